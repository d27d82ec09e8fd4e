//! `GET /ws/predict`: predictions on a socket (RFC 6455), asked for one by one or pushed when features change or on an
//! interval. See `docs/websocket.md` for the messages.
//!
//! - A push is a request like any other: it has a context of its own, with the caller that opened the socket.
//! - Nothing waits in a queue: a push is computed when it can be sent, from what is newest then. Who reads slowly is told how
//!   much was left out; who does not read at all is cut off.
//! - A page in a browser cannot set headers; its key may come as a subprotocol, see `lift_key`.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, StatusCode, Version, header};
use serve_app::metrics::Page;
use tokio::sync::watch;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig as Protocol};
use tracing::debug;

use crate::call::Call;
use crate::connection::Upgrade;
use crate::failure::{Dialect, Failure};
use crate::reply::{self, Reply};
use crate::routes::App;
use session::Session;

pub use config::WebSocketConfig;

mod budget;
mod config;
mod message;
mod session;
mod standing;
mod subscription;

/// Where a socket is opened.
const PATH: &str = "/ws/predict";
/// The subprotocol of these messages.
const PROTOCOL: &str = "serve.v1";
/// A subprotocol that is no protocol: what follows is a key.
const KEY_PREFIX: &str = "serve.key.";
const VERSION: &str = "13";

/// Opens a socket.
pub(crate) async fn connect(app: &App, mut call: Box<Call>) -> Result<Reply, Failure> {
    if let Err(missing) = check(&call.parts) {
        let message = format!("a WebSocket is opened by an upgrade of HTTP/1.1: {missing}");
        let failure = Failure::of(StatusCode::UPGRADE_REQUIRED, "upgrade_required", message);
        let mut reply = failure.reply(Dialect::Native, &call.id.0);
        reply.headers_mut().insert(header::UPGRADE, HeaderValue::from_static("websocket"));
        reply.headers_mut().insert(header::SEC_WEBSOCKET_VERSION, HeaderValue::from_static(VERSION));
        return Ok(reply);
    }
    let headers = &call.parts.headers;
    let accept =
        headers.get(header::SEC_WEBSOCKET_KEY).map(HeaderValue::as_bytes).filter(|key| key.len() == 24);
    let Some(accept) = accept.map(derive_accept_key) else {
        return Err(Failure::unreadable(
            "malformed_handshake",
            "sec-websocket-key is not 16 bytes in base64",
        ));
    };
    let speaks_ours = offered(headers).any(|protocol| protocol == PROTOCOL);
    let Some(upgrade) = call.parts.extensions.remove::<Upgrade>() else {
        return Err(Failure::unreadable("malformed_handshake", "the connection cannot be upgraded"));
    };
    let place = app.sockets.enter(&call.context.caller().to_string())?;
    let session = Session::new(app, &call, place);
    let config = protocol(&app.config.websocket);
    tokio::spawn(async move {
        let Some(wire) = upgrade.wire().await else {
            debug!("a socket was not opened: its client left before");
            return;
        };
        let socket = WebSocketStream::from_raw_socket(wire, Role::Server, Some(config)).await;
        session.run(socket).await;
    });
    Ok(switching(&accept, speaks_ours))
}

fn switching(accept: &str, speaks_ours: bool) -> Reply {
    let mut reply = reply::raw(StatusCode::SWITCHING_PROTOCOLS, bytes::Bytes::new());
    let headers = reply.headers_mut();
    headers.remove(header::CONTENT_TYPE);
    headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    if let Ok(accept) = HeaderValue::from_str(accept) {
        headers.insert(header::SEC_WEBSOCKET_ACCEPT, accept);
    }
    if speaks_ours {
        headers.insert(header::SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(PROTOCOL));
    }
    reply
}

fn protocol(config: &WebSocketConfig) -> Protocol {
    let longest = usize::try_from(config.max_message_bytes.0).unwrap_or(usize::MAX);
    Protocol::default()
        .read_buffer_size(4 << 10)
        .write_buffer_size(0)
        .max_message_size(Some(longest))
        .max_frame_size(Some(longest))
}

/// Whether a request is an opening handshake; what it lacks, if not.
fn check(parts: &Parts) -> Result<(), &'static str> {
    let says = |name, word: &str| {
        let values = parts.headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
        values.flat_map(|value| value.split(',')).any(|value| value.trim().eq_ignore_ascii_case(word))
    };
    if parts.version != Version::HTTP_11 || parts.method != Method::GET {
        return Err("expected a GET of HTTP/1.1");
    }
    if !says(header::CONNECTION, "upgrade") || !says(header::UPGRADE, "websocket") {
        return Err("expected connection: upgrade and upgrade: websocket");
    }
    if !says(header::SEC_WEBSOCKET_VERSION, VERSION) {
        return Err("expected sec-websocket-version: 13");
    }
    Ok(())
}

fn offered(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    let offers = headers.get_all(header::SEC_WEBSOCKET_PROTOCOL).iter();
    offers.filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(',')).map(str::trim)
}

/// Takes a key that comes as the subprotocol `serve.key.<key>` of a handshake for an `Authorization: Bearer`, beside those that
/// there are, for who asks shows one thing alone: a page in a browser has no other way. It is a subprotocol no more afterwards, so it is written nowhere.
pub(crate) fn lift_key(parts: &mut Parts) {
    let headers = &mut parts.headers;
    if !headers.contains_key(header::UPGRADE) || !headers.contains_key(header::SEC_WEBSOCKET_PROTOCOL) {
        return;
    }
    let keys = offered(headers).filter_map(|protocol| protocol.strip_prefix(KEY_PREFIX));
    let keys: Vec<String> = keys.map(|key| format!("Bearer {key}")).collect();
    if keys.is_empty() {
        return;
    }
    let others: Vec<&str> = offered(headers).filter(|protocol| !protocol.starts_with(KEY_PREFIX)).collect();
    let others = HeaderValue::from_str(&others.join(", "));
    match others {
        Ok(others) if !others.is_empty() => drop(headers.insert(header::SEC_WEBSOCKET_PROTOCOL, others)),
        _ => drop(headers.remove(header::SEC_WEBSOCKET_PROTOCOL)),
    }
    for mut key in keys.iter().filter_map(|key| HeaderValue::from_str(key).ok()) {
        key.set_sensitive(true);
        headers.append(header::AUTHORIZATION, key);
    }
}

/// The sockets that are open, by who opened them.
#[derive(Debug)]
pub(crate) struct Sockets {
    most: usize,
    most_of_one: usize,
    /// Held to count.
    open: Mutex<HashMap<String, usize>>,
    count: watch::Sender<usize>,
    counts: [AtomicU64; Counted::ALL.len()],
    closing: watch::Sender<bool>,
}

/// What is counted of sockets.
#[derive(Debug, Clone, Copy)]
enum Counted {
    Opened,
    Question,
    Push,
    Left,
    Slow,
    Refused,
    Stopping,
}

impl Counted {
    const ALL: [Self; 7] =
        [Self::Opened, Self::Question, Self::Push, Self::Left, Self::Slow, Self::Refused, Self::Stopping];

    /// The metric: its name, its help and its labels.
    fn series(self) -> (&'static str, &'static str, &'static [(&'static str, &'static str)]) {
        const ANSWERS: (&str, &str) =
            ("websocket_answers_total", "Answers on sockets, to questions and as pushes.");
        const CLOSED: (&str, &str) = ("websocket_closed_total", "Sockets that ended, by why.");
        let ((name, help), labels): (_, &[_]) = match self {
            Self::Opened => (("websocket_opened_total", "Sockets that were opened."), &[]),
            Self::Question => (ANSWERS, &[("to", "question")]),
            Self::Push => (ANSWERS, &[("to", "subscription")]),
            Self::Left => (CLOSED, &[("reason", "client")]),
            Self::Slow => (CLOSED, &[("reason", "slow")]),
            Self::Refused => (CLOSED, &[("reason", "refused")]),
            Self::Stopping => (CLOSED, &[("reason", "stopping")]),
        };
        (name, help, labels)
    }
}

/// One open socket.
#[derive(Debug)]
pub(crate) struct Place {
    sockets: Arc<Sockets>,
    name: String,
}

impl Sockets {
    pub(crate) fn new(config: &WebSocketConfig) -> Arc<Self> {
        let open = Mutex::default();
        let (count, closing) = (watch::Sender::new(0), watch::Sender::new(false));
        let (most, most_of_one) = (config.sockets, config.sockets_per_key);
        Arc::new(Self { most, most_of_one, open, count, counts: Default::default(), closing })
    }

    /// Has every socket close, as soon as what it sends is sent.
    pub(crate) fn close(&self) {
        self.closing.send_replace(true);
    }

    /// Completes when no socket is open.
    pub(crate) async fn ended(&self) {
        // The sender is in `self`, so this ends with the last socket alone.
        let mut count = self.count.subscribe();
        let _ended = count.wait_for(|count| *count == 0).await;
    }

    pub(crate) fn tell(&self, page: &mut Page) {
        page.gauge("websocket_open", "Sockets that are open.", &[], *self.count.borrow() as f64);
        for counted in Counted::ALL {
            let (name, help, labels) = counted.series();
            page.counter(name, help, labels, self.counts[counted as usize].load(Ordering::Relaxed));
        }
    }

    fn enter(self: &Arc<Self>, name: &str) -> Result<Place, Failure> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let refused = |status, what: &str, most, setting| {
            let message =
                format!("{what} {most} sockets open, the most that http.websocket.{setting} allows");
            Err(Failure::of(status, "too_many_sockets", message))
        };
        if *self.closing.borrow() {
            return Err(Failure::not_ready("the server is stopping"));
        }
        if open.values().sum::<usize>() >= self.most {
            return refused(StatusCode::SERVICE_UNAVAILABLE, "there are", self.most, "sockets");
        }
        let theirs = open.entry(name.to_owned()).or_default();
        if *theirs >= self.most_of_one {
            let what = format!("{name:?} has");
            return refused(StatusCode::TOO_MANY_REQUESTS, &what, self.most_of_one, "sockets_per_key");
        }
        *theirs += 1;
        self.counts[Counted::Opened as usize].fetch_add(1, Ordering::Relaxed);
        self.count.send_modify(|count| *count += 1);
        Ok(Place { sockets: Arc::clone(self), name: name.to_owned() })
    }
}

impl Place {
    fn count(&self, what: Counted) {
        self.sockets.counts[what as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// Says when the server stops.
    fn closing(&self) -> watch::Receiver<bool> {
        self.sockets.closing.subscribe()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut open = self.sockets.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = open.get_mut(&self.name) {
            *count -= 1;
            if *count == 0 {
                open.remove(&self.name);
            }
        }
        self.sockets.count.send_modify(|count| *count -= 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::Request;

    fn parts(headers: &[(&str, &str)]) -> Parts {
        let mut request = Request::builder().uri("/ws/predict");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(()).expect("is a request").into_parts().0
    }

    #[test]
    fn a_handshake_is_told_from_what_is_none() {
        let whole = [
            ("connection", "keep-alive, Upgrade"),
            ("upgrade", "WebSocket"),
            ("sec-websocket-version", "13"),
        ];
        assert_eq!(check(&parts(&whole)), Ok(()));
        for at in 0..whole.len() {
            let lacking: Vec<_> =
                whole.iter().enumerate().filter(|(i, _)| *i != at).map(|(_, h)| *h).collect();
            assert!(check(&parts(&lacking)).is_err(), "without {}", whole[at].0);
        }
        assert!(check(&parts(&[whole[0], whole[1], ("sec-websocket-version", "8")])).is_err());
    }

    #[test]
    fn a_key_among_the_subprotocols_is_lifted_and_hidden() {
        let lifted = |headers: &[(&str, &str)]| {
            let mut parts = parts(headers);
            lift_key(&mut parts);
            let text =
                |name| parts.headers.get(name).and_then(|v: &HeaderValue| v.to_str().ok()).map(str::to_owned);
            (text(header::AUTHORIZATION), text(header::SEC_WEBSOCKET_PROTOCOL))
        };
        let protocols = ("sec-websocket-protocol", "serve.v1, serve.key.abc.def");
        let socket = ("upgrade", "websocket");
        assert_eq!(lifted(&[socket, protocols]), (Some("Bearer abc.def".into()), Some("serve.v1".into())));
        let header = ("authorization", "Bearer theirs");
        let several = |headers: &[(&str, &str)]| {
            let mut parts = parts(headers);
            lift_key(&mut parts);
            parts.headers.get_all(header::AUTHORIZATION).iter().count()
        };
        assert_eq!(several(&[socket, protocols, header]), 2, "of which neither is taken");
        assert_eq!(several(&[socket, ("sec-websocket-protocol", "serve.key.a, serve.key.a")]), 2);
        assert_eq!(
            lifted(&[socket, ("sec-websocket-protocol", "serve.key.a")]),
            (Some("Bearer a".into()), None)
        );
        assert_eq!(lifted(&[protocols]).0, None, "not of other requests");
    }

    #[test]
    fn sockets_are_counted_by_who_opened_them() {
        let config = WebSocketConfig { sockets: 3, sockets_per_key: 2, ..WebSocketConfig::default() };
        let sockets = Sockets::new(&config);
        let code = |place: Result<Place, Failure>| place.expect_err("is refused").entry()["code"].clone();
        let first = sockets.enter("a").expect("a place");
        let _second = sockets.enter("a").expect("a place");
        assert_eq!(code(sockets.enter("a")), "too_many_sockets");
        let third = sockets.enter("b").expect("a place");
        assert_eq!(code(sockets.enter("c")), "too_many_sockets");
        drop(first);
        drop(third);
        assert!(sockets.enter("a").is_ok());
        sockets.close();
        assert_eq!(code(sockets.enter("a")), "not_ready");
    }
}
