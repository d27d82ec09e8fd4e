//! Asking the service's locks who asks, and telling clients where they stand against their limits.
//!
//! `RateLimit-Policy` and `RateLimit` are those of draft-ietf-httpapi-ratelimit-headers-10: a list of policies by name,
//! with quota `q` and window `w` in seconds, and of what is left, `r`, with the seconds until all of it is back, `t`.

use std::cell::RefCell;
use std::fmt::Write as _;
use std::sync::Arc;

use http::{HeaderMap, HeaderName, HeaderValue, header};
use serve_app::auth::{Asked, Credentials, Entry, Standings};
use serve_app::{Code, Origin, Rate, text};

use crate::call::{Peer, RequestId};
use crate::present::Present;
use crate::routes::{App, Route};
use crate::short::Short;

pub(crate) const API_KEY: HeaderName = HeaderName::from_static("x-api-key");
const POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
const LIMIT: HeaderName = HeaderName::from_static("ratelimit");

/// The limits that somebody has, of the two that there are.
type Limits = [Option<(&'static str, Rate)>; 2];

/// How many requests are left of each, and the seconds until all are.
type Left = [Option<(u32, u64)>; 2];

/// What somebody was told.
struct Told {
    limits: Limits,
    left: Left,
    policies: HeaderValue,
    standing: HeaderValue,
}

thread_local! {
    /// What this thread told last: callers have few limits between them, and who asks far less often than they may stands where
    /// they stood.
    static TOLD: RefCell<Option<Told>> = const { RefCell::new(None) };
}

/// Who asks for a line of the table.
pub(crate) fn enter(
    app: &App,
    peer: &Peer,
    parts: &http::request::Parts,
    present: Present,
    route: &Route,
    id: &RequestId,
) -> Entry {
    // A key that comes with a socket's opening was lifted to its place since.
    let headers = present.among(&parts.headers, Present::CREDENTIALS | Present::UPGRADE);
    app.service.locks().enter(&Asked {
        credentials: credentials(headers),
        address: peer.client,
        certificate: peer.subject().map(|subject| &**subject),
        what: (route.method.as_str(), parts.uri.path()),
        act: route.act,
        page: route.path,
        permission: route.permission,
        request: &id.0,
    })
}

/// Where a request comes from, and what it asks for.
pub(crate) fn origin(peer: &Peer, request: Arc<str>, route: &'static Route) -> Origin {
    Origin {
        address: Some(peer.client),
        certificate: peer.subject().cloned(),
        request,
        asked: Some((route.method.as_str(), route.path)),
    }
}

/// What a request shows of who asks.
pub(crate) fn credentials(headers: &HeaderMap) -> Credentials<'_> {
    let values = |name: HeaderName| headers.get_all(name).into_iter().map(HeaderValue::as_bytes);
    Credentials::read(values(header::AUTHORIZATION), values(API_KEY))
}

/// Writes where the caller stands, if anything limits them.
pub(crate) fn tell(standings: Standings, headers: &mut HeaderMap) {
    let limits = pair(standings.iter().map(|standing| (standing.policy, standing.rate)));
    if limits[0].is_none() {
        return;
    }
    let left = pair(standings.iter().map(|standing| {
        let remaining = standing.remaining.min(standing.rate.requests());
        let reset = standing.reset;
        // Whatever is not all there takes a moment.
        (remaining, reset.as_secs() + u64::from(reset.subsec_nanos() > 0))
    }));
    let told = TOLD.with_borrow_mut(|told| {
        *told = match told.take().filter(|told| told.limits == limits) {
            Some(known) if known.left == left => Some(known),
            known => Told::of(limits, left, known.map(|known| known.policies)),
        };
        told.as_ref().map(|told| (told.policies.clone(), told.standing.clone()))
    });
    if let Some((policies, standing)) = told {
        headers.insert(POLICY, policies);
        headers.insert(LIMIT, standing);
    }
}

fn pair<T>(mut items: impl Iterator<Item = T>) -> [Option<T>; 2] {
    [items.next(), items.next()]
}

impl Told {
    fn of(limits: Limits, left: Left, policies: Option<HeaderValue>) -> Option<Self> {
        let mut standing = Short::new();
        for ((policy, _), (remaining, reset)) in limits.iter().flatten().zip(left.iter().flatten()) {
            item(&mut standing, policy, [("\";r=", (*remaining).into()), (";t=", *reset)]);
        }
        let policies = policies.or_else(|| list(&limits))?;
        Some(Self { limits, left, policies, standing: standing.value()? })
    }
}

/// What the limits are.
fn list(limits: &Limits) -> Option<HeaderValue> {
    let mut list = Short::new();
    for (policy, rate) in limits.iter().flatten() {
        item(&mut list, policy, [("\";q=", rate.requests().into()), (";w=", rate.window_seconds())]);
    }
    list.value()
}

/// One item of a list: a name in quotes, and its parameters.
fn item(list: &mut Short, name: &str, parameters: [(&str, u64); 2]) {
    let begin = if list.is_empty() { "\"" } else { ", \"" };
    // A name and two numbers have room, for each of the two limits that there are.
    let _ = [begin, name].into_iter().try_for_each(|piece| list.write_str(piece));
    for (parameter, value) in parameters {
        let _ = list.write_str(parameter).and_then(|()| text::whole(list, value));
    }
}

/// How to say who asks, where that was not said, or not so that it is believed (RFC 6750, section 3).
pub(crate) fn challenge(code: &'static str) -> HeaderValue {
    HeaderValue::from_static(if code == Code::Unauthenticated.as_str() {
        "Bearer realm=\"serve\""
    } else if code == Code::AmbiguousCredentials.as_str() {
        "Bearer realm=\"serve\", error=\"invalid_request\""
    } else {
        "Bearer realm=\"serve\", error=\"invalid_token\""
    })
}
