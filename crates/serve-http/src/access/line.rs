//! The log's line of one exchange, or of one answer on a socket.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use serve_app::log::ACCESS;
use serve_app::log::direct::{self, Clean, Key};
use serve_app::trace::Trace;
use serve_app::{Caller, Context, Stage};
use tracing::{Level, debug, enabled, info, warn};

/// How much of a path, or of an error's message, stands in the log.
pub(super) const LONGEST: usize = 256;

/// A field's name, as each format of the log writes it.
macro_rules! key {
    ($name:expr) => {
        Key { text: concat!(" ", stringify!($name), "="), json: concat!(",\"", stringify!($name), "\":") }
    };
}

/// What is known to be written as it is: a method is a token, our own paths are ours, names and versions have letters, digits,
/// dots and dashes, and an address has its own.
macro_rules! marked {
    (method $value:expr) => {
        Clean($value)
    };
    (peer $value:expr) => {
        Clean($value)
    };
    (route $value:expr) => {
        $value.map(Clean)
    };
    (model $value:expr) => {
        $value.map(Clean)
    };
    (version $value:expr) => {
        $value.map(Clean)
    };
    ($name:ident $value:expr) => {
        $value
    };
}

/// Writes the line, past `tracing` or as an event of it.
macro_rules! told {
    (
        $level:ident at $moment:expr,
        $($name:ident: $value:expr),*;
        peer: $peer:expr;
        $($rest:ident: $later:expr),*;
        times: $($stage:ident: $took:expr),*;
        $($last:ident: $latest:expr),* $(,)?
    ) => {
        if let Some(mut line) = direct::line($level, ACCESS, $moment) {
            $(line.field(key!($name), marked!($name $value));)*
            line.field(key!(peer), marked!(peer $peer));
            $(line.field(key!($rest), marked!($rest $later));)*
            $(line.field(key!($stage), $took);)*
            $(line.field(key!($last), $latest);)*
            line.end();
        } else {
            macro_rules! event {
                ($event:ident) => {
                    $event!(
                        target: ACCESS,
                        $($name = $value,)*
                        peer = %$peer,
                        $($rest = $later,)*
                        $($stage = $took.map(milliseconds),)*
                        $($last = $latest),*
                    )
                };
            }
            match $level {
                Level::WARN => event!(warn),
                Level::DEBUG => event!(debug),
                _ => event!(info),
            }
        }
    };
}

/// What the line says.
pub(crate) struct Line<'a> {
    pub(crate) request_id: &'a str,
    pub(crate) method: &'a str,
    pub(crate) path: &'a str,
    pub(crate) route: Option<&'a str>,
    pub(crate) status: Option<u16>,
    pub(crate) peer: &'a str,
    /// Who it is from, where another than the peer is believed.
    pub(crate) client: Option<IpAddr>,
    pub(crate) certificate: Option<&'a str>,
    /// Who was turned away, where that is known.
    pub(crate) turned_away: Option<&'a Caller>,
    pub(crate) context: Option<&'a Context>,
    pub(crate) ended: Instant,
    pub(crate) took: Duration,
    pub(crate) bytes_in: Option<u64>,
    pub(crate) bytes_out: Option<u64>,
    pub(crate) trace: Option<Trace>,
    /// Code and message.
    pub(crate) error: Option<(&'a str, &'a str)>,
}

impl Line<'_> {
    /// Writes it, where lines of that level are wanted.
    pub(crate) fn write(&self, level: Level) {
        let wanted = direct::wanted(level).unwrap_or_else(|| match level {
            Level::WARN => enabled!(target: ACCESS, Level::WARN),
            Level::DEBUG => enabled!(target: ACCESS, Level::DEBUG),
            _ => enabled!(target: ACCESS, Level::INFO),
        });
        if wanted {
            self.told(level);
        }
    }

    fn told(&self, level: Level) {
        let context = self.context;
        let manifest =
            context.and_then(|context| context.deployment()).map(|deployment| deployment.manifest());
        let spent = |stage| context.map(|context| context.spent(stage)).filter(|spent| !spent.is_zero());
        let count = |of: fn(&Context) -> u64| context.map(of).filter(|count| *count > 0);
        let trace = self.trace.map(|trace| format!("{:032x}", trace.trace_id));
        let span = self.trace.map(|trace| format!("{:016x}", trace.span_id));
        let caller = context.map(|context| &**context.caller()).or(self.turned_away).map(Caller::shown);
        let client = self.client.map(|client| client.to_string());
        told! {
            level at self.ended,
            request_id: self.request_id,
            method: self.method,
            path: cut(self.path),
            route: self.route,
            status: self.status,
            caller: caller;
            peer: self.peer;
            client: client.as_deref(),
            certificate: self.certificate,
            model: manifest.map(|manifest| manifest.name.as_str()),
            version: manifest.map(|manifest| manifest.version.as_str()),
            rows: count(Context::rows),
            failed_rows: count(Context::failed_rows);
            times:
            ms: Some(self.took),
            receive_ms: spent(Stage::Receive),
            parse_ms: spent(Stage::Parse),
            queue_ms: spent(Stage::Queue),
            features_ms: spent(Stage::Features),
            cache_ms: spent(Stage::Cache),
            infer_ms: spent(Stage::Infer),
            write_ms: spent(Stage::Write);
            bytes_in: self.bytes_in,
            bytes_out: self.bytes_out,
            trace_id: trace.as_deref(),
            span_id: span.as_deref(),
            code: self.error.map(|(code, _)| code),
            error: self.error.map(|(_, message)| cut(message)),
        }
    }
}

fn milliseconds(took: Duration) -> f64 {
    took.as_secs_f64() * 1e3
}

pub(super) fn cut(text: &str) -> &str {
    &text[..text.floor_char_boundary(LONGEST)]
}
