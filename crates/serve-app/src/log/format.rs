//! An event as a line of the log, written in one pass. Its fields stand flat beside its time, level, target and message,
//! so that each line of JSON is one object without levels.

use std::fmt::{self, Write as _};
use std::time::{Duration, Instant};

use serve_core::words::with_causes;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

use super::LogFormat;
use super::fields::{Json, OneLine, Text};
use crate::{text, wall};

/// Writes events as lines.
#[derive(Debug, Clone, Copy)]
pub(super) struct Lines(pub(super) LogFormat);

impl<S, N> FormatEvent<S, N> for Lines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, _: &FmtContext<'_, S, N>, mut out: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let metadata = event.metadata();
        let now = wall::at(Instant::now());
        begin(&mut out, self.0, now, *metadata.level(), metadata.target())?;
        match self.0 {
            LogFormat::Text => {
                event.record(&mut Message(&mut out));
                event.record(&mut Text(&mut out));
            }
            LogFormat::Json => event.record(&mut Json(&mut out)),
        }
        end(&mut out, self.0)
    }
}

/// What stands before the fields of a line of so long after 1970 began.
pub(super) fn begin(
    out: &mut impl fmt::Write,
    format: LogFormat,
    since: Duration,
    level: Level,
    target: &str,
) -> fmt::Result {
    let level = level.as_str();
    let pieces = match format {
        LogFormat::Text => {
            text::time(out, since)?;
            // `INFO` and `WARN` are a letter shorter than the others.
            [if level.len() < 5 { "  " } else { " " }, level, " ", target, ":", ""]
        }
        LogFormat::Json => {
            out.write_str("{\"timestamp\":\"")?;
            text::time(out, since)?;
            ["\",\"level\":\"", level, "\",\"target\":\"", target, "\"", ""]
        }
    };
    pieces.into_iter().try_for_each(|piece| out.write_str(piece))
}

/// What stands behind them.
pub(super) fn end(out: &mut impl fmt::Write, format: LogFormat) -> fmt::Result {
    out.write_str(if format == LogFormat::Json { "}\n" } else { "\n" })
}

/// The message, which stands before the other fields of a line of text.
struct Message<'w, 'b>(&'w mut Writer<'b>);

impl Visit for Message<'_, '_> {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "message" {
            let _ = write!(OneLine(self.0), " {value:?}");
        }
    }
}

impl Visit for Text<'_, Writer<'_>> {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.key(field.name()).float(value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.key(field.name()).whole(value);
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() != "message" {
            self.key(field.name()).text(value);
        }
    }

    fn record_error(&mut self, field: &Field, error: &(dyn std::error::Error + 'static)) {
        self.key(field.name()).text(&with_causes(error));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() != "message" {
            self.key(field.name()).debug(value);
        }
    }
}

impl Visit for Json<'_, Writer<'_>> {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.key(field.name()).float(value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.key(field.name()).plain(value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.key(field.name()).whole(value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.key(field.name()).plain(value);
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.key(field.name()).text(value);
    }

    fn record_error(&mut self, field: &Field, error: &(dyn std::error::Error + 'static)) {
        self.key(field.name()).text(&with_causes(error));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.key(field.name()).debug(value);
    }
}
