//! What is told of an exchange once it has its answer: the log's line, the metrics' counts, `Server-Timing`, and where it
//! stands in a trace. Headers are never told, and of the path only so much.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::uri::PathAndQuery;
use http::{HeaderName, HeaderValue, Method, Request, StatusCode};
use hyper::body::{Body as _, Incoming};
use serve_app::error::Fault;
use serve_app::log::ACCESS;
use serve_app::payloads::Sample;
use serve_app::telemetry::{Attribute, Span};
use serve_app::trace::Trace;
use serve_app::{Context, Permission, Stage, text};
use tracing::{Level, debug};

use crate::call::{Call, Peer, RequestId};
use crate::failure::{Dialect, Told};
use crate::present::Present;
use crate::reply::Reply;
use crate::routes::{App, Route};
use crate::short::Short;
use line::cut;

pub(crate) use line::Line;

mod line;

pub(crate) const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
pub(crate) const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");
const SERVER_TIMING: HeaderName = HeaderName::from_static("server-timing");

/// The longest `tracestate` that is handed on, as the recommendation asks at least.
const LONGEST_STATE: usize = 512;

/// One exchange, as it is seen from outside.
pub(crate) struct Seen<'a> {
    app: &'a App,
    began: Instant,
    id: &'a RequestId,
    method: Method,
    path: Option<PathAndQuery>,
    peer: &'a Peer,
    trace: Option<Trace>,
    state: Option<HeaderValue>,
    entered: Option<Entered>,
    answered: bool,
}

/// What is known once the request was read and may be answered.
struct Entered {
    route: &'static Route,
    context: Arc<Context>,
    /// Bytes of the body.
    length: usize,
    /// The body, where it is kept.
    body: Option<Bytes>,
}

impl<'a> Seen<'a> {
    /// The exchange begins.
    pub(crate) fn new(
        app: &'a App,
        request: &Request<Incoming>,
        present: Present,
        peer: &'a Peer,
        id: &'a RequestId,
        began: Instant,
    ) -> Self {
        app.traffic.begin();
        let headers = present.among(request.headers(), Present::TRACE);
        let parent = headers.get(TRACEPARENT).and_then(|value| value.to_str().ok());
        let trace = match parent {
            Some(parent) => Some(Trace::of(parent).unwrap_or_else(|| Trace::begin(false))),
            None => app.service.telemetry().begin(),
        };
        // Without its parent a state says nothing.
        let goes_on = trace.is_some_and(|trace| trace.parent_id != 0);
        let state = headers.get(TRACESTATE).filter(|state| goes_on && state.len() <= LONGEST_STATE).cloned();
        Self {
            app,
            began,
            id,
            method: request.method().clone(),
            path: request.uri().path_and_query().cloned(),
            peer,
            trace,
            state,
            entered: None,
            answered: false,
        }
    }

    fn path(&self) -> &str {
        self.path.as_ref().map_or("", PathAndQuery::path)
    }

    /// The request was read and is handed to its handler.
    pub(crate) fn enter(&mut self, route: &'static Route, call: &Call) {
        let kept =
            route.permission == Some(Permission::Predict) && self.app.service.payloads().picks(&self.id.0);
        let body = kept.then(|| call.body.clone());
        let context = Arc::clone(&call.context);
        self.entered = Some(Entered { route, context, length: call.body.len(), body });
    }

    /// Keeps the bodies, if the request was picked.
    pub(crate) fn sample(&self, reply: &Reply) {
        let Some(request) = self.entered.as_ref().and_then(|entered| entered.body.as_ref()) else { return };
        self.app.service.payloads().keep(Sample {
            request_id: Arc::clone(&self.id.0),
            asked: format!("{} {}", self.method, cut(self.path())),
            status: reply.status().as_u16(),
            request: request.to_vec(),
            response: reply.body().clone().into_inner().unwrap_or_default().to_vec(),
        });
    }

    /// The exchange has its answer.
    pub(crate) fn told(mut self, mut reply: Reply, dialect: Dialect) -> Reply {
        self.answered = true;
        let took = self.began.elapsed();
        let told = reply.extensions_mut().remove::<Told>();
        self.count(dialect, reply.status(), told.as_ref(), took);
        self.line(&reply, told.as_ref(), took);
        self.span(&reply, took);
        let headers = reply.headers_mut();
        if let Some(trace) = self.trace.and_then(|trace| HeaderValue::try_from(trace.to_string()).ok()) {
            headers.insert(TRACEPARENT, trace);
            if let Some(state) = self.state.take() {
                headers.insert(TRACESTATE, state);
            }
        }
        if self.app.config.server_timing
            && let Some(entered) = self.entered.as_ref()
            && let Some(value) = timing(&entered.context, took)
        {
            headers.insert(SERVER_TIMING, value);
        }
        reply
    }

    fn count(&self, dialect: Dialect, status: StatusCode, told: Option<&Told>, took: Duration) {
        self.app.traffic.answered(dialect, status, took);
        // A socket that is opened is no prediction; what is asked on it is counted there.
        let entered = self.entered.as_ref().filter(|_| status != StatusCode::SWITCHING_PROTOCOLS);
        let Some(entered) = entered else { return };
        if entered.route.permission == Some(Permission::Predict) {
            let fault = if status.is_client_error() { Fault::Client } else { Fault::Ours };
            let failed = (!status.is_success()).then(|| (told.map_or("other", |told| told.code), fault));
            self.app.service.predicted(&entered.context, took, failed);
        }
    }

    /// Hands the exchange's span on, where somebody wants it.
    fn span(&self, reply: &Reply, took: Duration) {
        let telemetry = self.app.service.telemetry();
        let Some(trace) = self.trace.filter(|trace| trace.sampled && telemetry.is_on()) else { return };
        let context = self.entered.as_ref().map(|entered| &entered.context);
        let stages = context.map(|context| Stage::ALL.map(|stage| (stage.as_str(), context.spent(stage))));
        let route = self.entered.as_ref().map_or("", |entered| entered.route.path);
        telemetry.record(Span {
            trace,
            name: format!("{} {route}", self.method),
            began: serve_app::telemetry::began(took),
            took,
            stages: stages.into_iter().flatten().filter(|(_, took)| !took.is_zero()).collect(),
            attributes: self.attributes(reply.status()),
            failed: reply.status().is_server_error(),
        });
    }

    /// What a span tells.
    fn attributes(&self, status: StatusCode) -> Vec<(&'static str, Attribute)> {
        let entered = self.entered.as_ref();
        let context = entered.map(|entered| &entered.context);
        let manifest =
            context.and_then(|context| context.deployment()).map(|deployment| deployment.manifest());
        let text = |text: &str| Attribute::Text(text.to_owned());
        let known = [
            ("http.request.method", Some(text(self.method.as_str()))),
            ("http.route", entered.map(|entered| text(entered.route.path))),
            ("http.response.status_code", Some(Attribute::Whole(status.as_u16().into()))),
            ("url.path", Some(text(cut(self.path())))),
            ("client.address", Some(Attribute::Text(self.peer.client.to_string()))),
            (
                "network.peer.address",
                self.peer.forwarded().map(|_| Attribute::Text(self.peer.address.ip().to_string())),
            ),
            ("serve.request_id", Some(text(&self.id.0))),
            ("serve.model", manifest.map(|manifest| text(manifest.name.as_str()))),
            ("serve.version", manifest.map(|manifest| text(manifest.version.as_str()))),
            ("serve.rows", context.map(|context| Attribute::Whole(context.rows()))),
        ];
        known.into_iter().filter_map(|(key, value)| Some((key, value?))).collect()
    }

    /// The log's line: of health and metrics at debug, of what failed at warn, and of all else at info.
    fn line(&self, reply: &Reply, told: Option<&Told>, took: Duration) {
        let quiet = self.entered.as_ref().is_some_and(|entered| is_quiet(entered.route.path));
        let level = match (reply.status().is_server_error(), quiet) {
            (true, _) => Level::WARN,
            (false, true) => Level::DEBUG,
            (false, false) => Level::INFO,
        };
        Line {
            request_id: &self.id.0,
            method: self.method.as_str(),
            path: self.path(),
            route: self.entered.as_ref().map(|entered| entered.route.path),
            status: Some(reply.status().as_u16()),
            peer: &self.peer.shown,
            client: self.peer.forwarded(),
            certificate: self.peer.subject().map(|subject| &**subject),
            context: self.entered.as_ref().map(|entered| &*entered.context),
            ended: self.began + took,
            took,
            bytes_in: self.entered.as_ref().map(|entered| entered.length as u64),
            bytes_out: reply.body().size_hint().exact(),
            trace: self.trace,
            error: told.map(|told| (told.code, &*told.message)),
        }
        .write(level);
    }
}

/// The client is gone where no answer was told.
impl Drop for Seen<'_> {
    fn drop(&mut self) {
        if !self.answered {
            self.app.traffic.abandoned();
            debug!(target: ACCESS, request_id = &*self.id.0, peer = %self.peer.address, "the client is gone");
        }
    }
}

/// Paths that machines ask every few seconds.
fn is_quiet(path: &str) -> bool {
    path == "/metrics" || path.starts_with("/health") || path.starts_with("/v2/health") || path == "/ping"
}

/// `Server-Timing`, with the stages that took any time.
fn timing(context: &Context, took: Duration) -> Option<HeaderValue> {
    let mut line = Short::new();
    let mut stage = |name: &str, took: Duration| {
        let before = if line.is_empty() { "" } else { ", " };
        [before, name, ";dur="].into_iter().try_for_each(|piece| line.write_str(piece))?;
        text::thousandths(&mut line, u64::try_from(took.as_micros()).unwrap_or(u64::MAX))
    };
    for one in Stage::ALL {
        let spent = context.spent(one);
        if spent >= Duration::from_micros(1) {
            stage(one.as_str(), spent).ok()?;
        }
    }
    stage("total", took).ok()?;
    line.value()
}

#[cfg(test)]
mod tests {
    use super::*;
    use line::LONGEST;

    #[test]
    fn stages_that_took_time_stand_in_server_timing() {
        let context = Context::internal();
        context.spend(Stage::Infer, Duration::from_micros(1_234));
        context.spend(Stage::Parse, Duration::from_micros(50));
        context.spend(Stage::Write, Duration::from_nanos(999));
        let told = timing(&context, Duration::from_millis(12));
        assert_eq!(told.expect("has room"), "parse;dur=0.050, infer;dur=1.234, total;dur=12.000");
        Stage::ALL.iter().for_each(|stage| context.spend(*stage, Duration::from_secs(31_536_000)));
        assert!(timing(&context, Duration::from_secs(31_536_000)).is_some(), "a year has room");
    }

    #[test]
    fn what_is_long_is_cut_between_characters() {
        assert_eq!(cut(&"ü".repeat(300)).len(), LONGEST);
        assert_eq!(cut(&format!("a{}", "ü".repeat(300))).len(), LONGEST - 1);
        assert!(is_quiet("/health/live") && is_quiet("/metrics") && !is_quiet("/models"));
    }
}
