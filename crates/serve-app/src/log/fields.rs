//! The fields of a line of the log as text or as JSON, for events and for lines that are none. Writing to the log's memory
//! does not fail.

use std::fmt::{self, Write as _};
use std::time::Duration;

use crate::text;

/// `key=value`, values in quotes where they need them.
pub(super) struct Text<'w, W>(pub(super) &'w mut W);

impl<W: fmt::Write> Text<'_, W> {
    pub(super) fn key(&mut self, name: &str) -> &mut Self {
        for piece in [" ", name, "="] {
            let _ = self.0.write_str(piece);
        }
        self
    }

    pub(super) fn float(&mut self, value: f64) {
        let _ = number(self.0, value);
    }

    pub(super) fn milliseconds(&mut self, value: Duration) {
        let _ = text::thousandths(self.0, microseconds(value));
    }

    pub(super) fn whole(&mut self, value: u64) {
        let _ = text::whole(self.0, value);
    }

    pub(super) fn text(&mut self, value: &str) {
        // Graphic, but for quotes, `=` and `\`.
        let plain = |byte: u8| matches!(byte, b'!' | b'#'..=b'<' | b'>'..=b'[' | b']'..=b'~');
        let _ = if !value.is_empty() && all(value, plain) {
            self.0.write_str(value)
        } else {
            write!(self.0, "{value:?}")
        };
    }

    pub(super) fn debug(&mut self, value: &dyn fmt::Debug) {
        let _ = write!(OneLine(self.0), "{value:?}");
    }
}

/// `"key":value`.
pub(super) struct Json<'w, W>(pub(super) &'w mut W);

impl<W: fmt::Write> Json<'_, W> {
    pub(super) fn key(&mut self, name: &str) -> &mut Self {
        for piece in [",\"", name, "\":"] {
            let _ = self.0.write_str(piece);
        }
        self
    }

    pub(super) fn float(&mut self, value: f64) {
        let _ = if value.is_finite() { number(self.0, value) } else { self.0.write_str("null") };
    }

    pub(super) fn whole(&mut self, value: u64) {
        let _ = text::whole(self.0, value);
    }

    /// A number, `true` or `false`.
    pub(super) fn plain(&mut self, value: impl fmt::Display) {
        let _ = write!(self.0, "{value}");
    }

    pub(super) fn text(&mut self, value: &str) {
        let _ = self.0.write_char('"');
        let _ = Escaped(self.0).write_str(value);
        let _ = self.0.write_char('"');
    }

    pub(super) fn debug(&mut self, value: &dyn fmt::Debug) {
        let _ = self.0.write_char('"');
        let _ = write!(Escaped(self.0), "{value:?}");
        let _ = self.0.write_char('"');
    }
}

/// Whether all bytes are such, looked at many at a time: nearly always they are.
fn all(text: &str, such: impl Fn(u8) -> bool) -> bool {
    text.bytes().fold(true, |all, byte| all & such(byte))
}

/// Rounded, as numbers are.
fn microseconds(time: Duration) -> u64 {
    time.as_secs().saturating_mul(1_000_000).saturating_add((u64::from(time.subsec_nanos()) + 500) / 1_000)
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
pub(super) struct OneLine<'w, W>(pub(super) &'w mut W);

impl<W: fmt::Write> fmt::Write for OneLine<'_, W> {
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
pub(super) struct Escaped<'w, W>(pub(super) &'w mut W);

impl<W: fmt::Write> fmt::Write for Escaped<'_, W> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let plain = |byte: u8| matches!(byte, b' ' | b'!' | b'#'..=b'[' | b']'..);
        if all(text, plain) {
            return self.0.write_str(text);
        }
        let mut from = 0;
        for (at, byte) in text.bytes().enumerate() {
            if plain(byte) {
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
