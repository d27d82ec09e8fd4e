//! What is told of an exchange once it has its answer: the log's line, the metrics' counts, `Server-Timing`, and where it
//! stands in a trace. Headers are never told, and of the path only so much.

use std::fmt::Write as _;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::uri::PathAndQuery;
use http::{HeaderName, HeaderValue, Method, Request, StatusCode};
use hyper::body::{Body as _, Incoming};
use serve_app::error::Fault;
use serve_app::payloads::Sample;
use serve_app::telemetry::{Attribute, Span};
use serve_app::trace::Trace;
use serve_app::{Caller, Code, Context, Permission, Stage, text};
use tracing::Level;

use crate::call::{Call, Peer, RequestId};
use crate::failure::{Dialect, Told};
use crate::present::Present;
use crate::reply::Reply;
use crate::routes::{App, Route, dialect};
use crate::short::Short;
use line::cut;

pub(crate) use line::Line;

mod line;

pub(crate) const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
pub(crate) const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");
const SERVER_TIMING: HeaderName = HeaderName::from_static("server-timing");

/// The longest `tracestate` that is handed on, as the recommendation asks at least.
const LONGEST_STATE: usize = 512;

/// What stands in the line of a request that has no answer: a code, and why.
const ABANDONED: (&str, &str) = ("abandoned", "the client or its connection was gone before the answer");

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
    /// What it asks for, once that is known.
    route: Option<&'static Route>,
    /// Who was turned away, where that is known.
    turned_away: Option<Arc<Caller>>,
    /// Once it was let in.
    context: Option<Arc<Context>>,
    read: Option<Read>,
    answered: bool,
}

/// What is known once the request was read.
struct Read {
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
            route: None,
            turned_away: None,
            context: None,
            read: None,
            answered: false,
        }
    }

    fn path(&self) -> &str {
        self.path.as_ref().map_or("", PathAndQuery::path)
    }

    /// It is known what is asked for, and who was turned away, if anybody was.
    pub(crate) fn at_door(&mut self, route: &'static Route, turned_away: Option<Arc<Caller>>) {
        (self.route, self.turned_away) = (Some(route), turned_away);
    }

    /// The request was let in.
    pub(crate) fn let_in(&mut self, context: &Arc<Context>) {
        self.context = Some(Arc::clone(context));
    }

    /// The request was read and is handed to its handler.
    pub(crate) fn read(&mut self, call: &Call) {
        let kept = self.asks_prediction() && self.app.service.payloads().picks(&self.id.0);
        self.read = Some(Read { length: call.body.len(), body: kept.then(|| call.body.clone()) });
    }

    fn asks_prediction(&self) -> bool {
        self.route.is_some_and(|route| route.permission == Some(Permission::Predict))
    }

    /// Keeps the bodies, if the request was picked.
    pub(crate) fn sample(&self, reply: &Reply) {
        let Some(request) = self.read.as_ref().and_then(|read| read.body.as_ref()) else { return };
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
        let error = told.as_ref().map(|told| (told.code, &*told.message));
        self.line(Some(reply.status()), reply.body().size_hint().exact(), error, took);
        self.span(Some(reply.status()), took);
        let headers = reply.headers_mut();
        if let Some(trace) = self.trace.and_then(|trace| HeaderValue::try_from(trace.to_string()).ok()) {
            headers.insert(TRACEPARENT, trace);
            if let Some(state) = self.state.take() {
                headers.insert(TRACESTATE, state);
            }
        }
        if self.app.config.server_timing
            && let Some(context) = self.context.as_ref()
            && let Some(value) = timing(context, took)
        {
            headers.insert(SERVER_TIMING, value);
        }
        reply
    }

    fn count(&self, dialect: Dialect, status: StatusCode, told: Option<&Told>, took: Duration) {
        self.app.traffic.answered(dialect, status, took);
        // A socket that is opened is no prediction; what is asked on it is counted there.
        let asked =
            self.read.is_some() && self.asks_prediction() && status != StatusCode::SWITCHING_PROTOCOLS;
        if let Some(context) = self.context.as_ref().filter(|_| asked) {
            let fault = if status.is_client_error() { Fault::Client } else { Fault::Ours };
            let failed = (!status.is_success()).then(|| (told.map_or("other", |told| told.code), fault));
            self.app.service.predicted(context, took, failed);
        }
    }

    /// Hands the exchange's span on, where somebody wants it.
    fn span(&self, status: Option<StatusCode>, took: Duration) {
        let telemetry = self.app.service.telemetry();
        let Some(trace) = self.trace.filter(|trace| trace.sampled && telemetry.is_on()) else { return };
        let context = self.context.as_ref();
        let stages = context.map(|context| Stage::ALL.map(|stage| (stage.as_str(), context.spent(stage))));
        let route = self.route.map_or("", |route| route.path);
        telemetry.record(Span {
            trace,
            name: format!("{} {route}", self.method),
            began: serve_app::telemetry::began(took),
            took,
            stages: stages.into_iter().flatten().filter(|(_, took)| !took.is_zero()).collect(),
            attributes: self.attributes(status),
            failed: status.is_some_and(|status| status.is_server_error()),
        });
    }

    /// What a span tells.
    fn attributes(&self, status: Option<StatusCode>) -> Vec<(&'static str, Attribute)> {
        let context = self.context.as_ref();
        let manifest =
            context.and_then(|context| context.deployment()).map(|deployment| deployment.manifest());
        let text = |text: &str| Attribute::Text(text.to_owned());
        let known = [
            ("http.request.method", Some(text(self.method.as_str()))),
            ("http.route", self.route.map(|route| text(route.path))),
            ("http.response.status_code", status.map(|status| Attribute::Whole(status.as_u16().into()))),
            ("error.type", status.is_none().then(|| text(ABANDONED.0))),
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
    fn line(
        &self,
        status: Option<StatusCode>,
        bytes_out: Option<u64>,
        error: Option<(&str, &str)>,
        took: Duration,
    ) {
        let quiet = self.context.is_some() && self.route.is_some_and(|route| is_quiet(route.path));
        let level = match (status.is_some_and(|status| status.is_server_error()), quiet) {
            (true, _) => Level::WARN,
            (false, true) => Level::DEBUG,
            (false, false) => Level::INFO,
        };
        Line {
            request_id: &self.id.0,
            method: self.method.as_str(),
            path: self.path(),
            route: self.route.map(|route| route.path),
            status: status.map(|status| status.as_u16()),
            turned_away: self.turned_away.as_deref(),
            peer: &self.peer.shown,
            client: self.peer.forwarded(),
            certificate: self.peer.subject().map(|subject| &**subject),
            context: self.context.as_deref(),
            ended: self.began + took,
            took,
            bytes_in: self.read.as_ref().map(|read| read.length as u64),
            bytes_out,
            trace: self.trace,
            error,
        }
        .write(level);
    }
}

/// Where no answer was told, nobody waits for one, or its handler panicked.
impl Drop for Seen<'_> {
    fn drop(&mut self) {
        if self.answered {
            return;
        }
        let took = self.began.elapsed();
        let status = thread::panicking().then_some(StatusCode::INTERNAL_SERVER_ERROR);
        let error = if let Some(status) = status {
            self.app.traffic.answered(dialect(self.path()), status, took);
            (Code::Internal.as_str(), "the request's handler panicked")
        } else {
            self.app.traffic.abandoned();
            ABANDONED
        };
        self.line(status, None, Some(error), took);
        self.span(status, took);
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
