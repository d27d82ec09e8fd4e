//! A line of the log, written in one pass. The fields of an event stand flat beside its time, level, target and message,
//! so that each line of JSON is one object without levels.

use std::fmt::{self, Write as _};

use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

use super::LogFormat;
use crate::text::{self, Millis};

/// Writes events as lines.
#[derive(Debug, Clone, Copy)]
pub(super) struct Lines(pub(super) LogFormat);

impl<S, N> FormatEvent<S, N> for Lines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, _: &FmtContext<'_, S, N>, mut out: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let (now, metadata) = (Millis(jiff::Timestamp::now()), event.metadata());
        match self.0 {
            LogFormat::Text => {
                write!(out, "{now} {:>5} {}:", metadata.level(), metadata.target())?;
                let mut text = Text { out: &mut out };
                event.record(&mut First(&mut text));
                event.record(&mut text);
            }
            LogFormat::Json => {
                let (level, target) = (metadata.level().as_str(), metadata.target());
                write!(out, "{{\"timestamp\":\"{now}\",\"level\":\"{level}\",\"target\":\"{target}\"")?;
                event.record(&mut Json { out: &mut out });
                out.write_char('}')?;
            }
        }
        out.write_char('\n')
    }
}

/// The message, which stands before the other fields.
struct First<'a, 'w, 'b>(&'a mut Text<'w, 'b>);

impl Visit for First<'_, '_, '_> {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "message" {
            let _ = write!(OneLine(self.0.out), " {value:?}");
        }
    }
}

/// `key=value`, values in quotes where they need them.
struct Text<'w, 'b> {
    out: &'w mut Writer<'b>,
}

impl Text<'_, '_> {
    fn key(&mut self, field: &Field) {
        for piece in [" ", field.name(), "="] {
            let _ = self.out.write_str(piece);
        }
    }
}

impl Visit for Text<'_, '_> {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.key(field);
        let _ = number(self.out, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.key(field);
        let _ = text::whole(self.out, value);
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "message" {
            return;
        }
        let plain = |byte: u8| byte.is_ascii_graphic() && byte != b'"' && byte != b'=' && byte != b'\\';
        if !value.is_empty() && value.bytes().all(plain) {
            self.key(field);
            let _ = self.out.write_str(value);
        } else {
            self.key(field);
            let _ = write!(self.out, "{value:?}");
        }
    }

    fn record_error(&mut self, field: &Field, error: &(dyn std::error::Error + 'static)) {
        self.record_str(field, &with_causes(error));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() != "message" {
            self.key(field);
            let _ = write!(OneLine(self.out), "{value:?}");
        }
    }
}

/// `"key":value`.
struct Json<'w, 'b> {
    out: &'w mut Writer<'b>,
}

impl Json<'_, '_> {
    fn key(&mut self, field: &Field) {
        for piece in [",\"", field.name(), "\":"] {
            let _ = self.out.write_str(piece);
        }
    }
}

impl Visit for Json<'_, '_> {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.key(field);
        let _ = if value.is_finite() { number(self.out, value) } else { self.out.write_str("null") };
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.key(field);
        let _ = write!(self.out, "{value}");
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.key(field);
        let _ = text::whole(self.out, value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.key(field);
        let _ = self.out.write_str(if value { "true" } else { "false" });
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.key(field);
        let _ = self.out.write_char('"');
        let _ = Escaped(self.out).write_str(value);
        let _ = self.out.write_char('"');
    }

    fn record_error(&mut self, field: &Field, error: &(dyn std::error::Error + 'static)) {
        self.record_str(field, &with_causes(error));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.key(field);
        let _ = self.out.write_char('"');
        let _ = write!(Escaped(self.out), "{value:?}");
        let _ = self.out.write_char('"');
    }
}

fn with_causes(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let _ = write!(text, ": {error}");
        cause = error.source();
    }
    text
}

/// Writes a number with three places at most.
fn number(out: &mut impl fmt::Write, number: f64) -> fmt::Result {
    let thousandths = (number * 1e3).round();
    if thousandths.abs() < 9e15 {
        if thousandths < 0.0 {
            out.write_char('-')?;
        }
        return text::thousandths(out, thousandths.abs() as u64);
    }
    write!(out, "{number}")
}

/// Text without control characters: what a client sends cannot begin a line of the log, or colour a terminal.
struct OneLine<'w, 'b>(&'w mut Writer<'b>);

impl fmt::Write for OneLine<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        if text.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
            return self.0.write_str(text);
        }
        for piece in text.split_inclusive(char::is_control) {
            let mut characters = piece.chars();
            match characters.next_back() {
                Some(last) if last.is_control() => {
                    self.0.write_str(characters.as_str())?;
                    write!(self.0, "{}", last.escape_default())?;
                }
                _ => self.0.write_str(piece)?,
            }
        }
        Ok(())
    }
}

/// Text inside a JSON string.
struct Escaped<'w, 'b>(&'w mut Writer<'b>);

impl fmt::Write for Escaped<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let mut from = 0;
        for (at, byte) in text.bytes().enumerate() {
            if byte >= 0x20 && byte != b'"' && byte != b'\\' {
                continue;
            }
            self.0.write_str(&text[from..at])?;
            from = at + 1;
            match byte {
                b'"' => self.0.write_str("\\\"")?,
                b'\\' => self.0.write_str("\\\\")?,
                b'\n' => self.0.write_str("\\n")?,
                _ => write!(self.0, "\\u{byte:04x}")?,
            }
        }
        self.0.write_str(&text[from..])
    }
}
