//! The lines of requests. Each request has one, of about twenty fields, and as an event of `tracing` it costs four times what
//! the line itself does. So where this process's log is ours, they are written past it; where it is another's, they are
//! events as all else is.

use std::cell::Cell;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{Duration, Instant};

use tracing::{Level, enabled};

use super::fields::{Json, Text};
use super::format;
use super::writer::Writer;
use super::{ACCESS, LogFormat};
use crate::wall;

/// This process's log, where it is ours.
static LOG: OnceLock<(Writer, LogFormat)> = OnceLock::new();

thread_local! {
    /// The room of this thread's last line.
    static ROOM: Cell<String> = const { Cell::new(String::new()) };
}

/// What is longer than this gives its room back.
const KEPT: usize = 4 << 10;

/// The levels at which lines of requests are wanted, one bit each: asked of `tracing` once, and after each change.
static WANTED: AtomicU8 = AtomicU8::new(0);

const LEVELS: [Level; 3] = [Level::WARN, Level::INFO, Level::DEBUG];

pub(super) fn install(writer: Writer, format: LogFormat) {
    drop(LOG.set((writer, format)));
    refresh();
}

/// The filter was changed.
pub(super) fn refresh() {
    let wanted = [
        enabled!(target: ACCESS, Level::WARN),
        enabled!(target: ACCESS, Level::INFO),
        enabled!(target: ACCESS, Level::DEBUG),
    ];
    let bits = wanted.iter().enumerate().map(|(at, wanted)| u8::from(*wanted) << at).sum();
    WANTED.store(bits, Ordering::Relaxed);
}

/// Whether a request's line of this level is wanted; nothing, where this process's log is not ours.
#[must_use]
pub fn wanted(level: Level) -> Option<bool> {
    LOG.get()?;
    let at = LEVELS.iter().position(|known| *known == level)?;
    Some(WANTED.load(Ordering::Relaxed) & 1 << at != 0)
}

/// A line of this moment, which begins; nothing, where this process's log is not ours.
#[must_use]
pub fn line(level: Level, target: &'static str, moment: Instant) -> Option<Line> {
    let (writer, format) = LOG.get()?;
    let mut text = ROOM.take();
    // Writing to a string does not fail.
    let _ = format::begin(&mut text, *format, wall::at(moment), level, target);
    Some(Line { writer, format: *format, text })
}

/// A line that is being written.
#[derive(Debug)]
pub struct Line {
    writer: &'static Writer,
    format: LogFormat,
    text: String,
}

impl Line {
    /// Adds a field, if it has a value.
    #[inline]
    pub fn field(&mut self, key: Key, value: impl Field) {
        value.write(key, self);
    }

    /// Begins a field. Compiled where the key is known, it is a store of some bytes.
    #[inline]
    fn key(&mut self, key: Key) {
        match self.format {
            LogFormat::Text => self.text.push_str(key.text),
            LogFormat::Json => self.text.push_str(key.json),
        }
    }

    #[inline(never)]
    fn text(&mut self, value: &str) {
        match self.format {
            LogFormat::Text => Text(&mut self.text).text(value),
            LogFormat::Json => Json(&mut self.text).text(value),
        }
    }

    #[inline(never)]
    fn clean(&mut self, value: &str) {
        debug_assert!(
            !value.is_empty()
                && value.bytes().all(|byte| byte.is_ascii_graphic() && !b"\"=\\".contains(&byte))
        );
        match self.format {
            LogFormat::Text => self.text.push_str(value),
            LogFormat::Json => {
                self.text.push('"');
                self.text.push_str(value);
                self.text.push('"');
            }
        }
    }

    /// Numbers are written alike in both formats.
    #[inline(never)]
    fn whole(&mut self, value: u64) {
        Text(&mut self.text).whole(value);
    }

    #[inline(never)]
    fn milliseconds(&mut self, value: Duration) {
        Text(&mut self.text).milliseconds(value);
    }

    /// Writes it.
    pub fn end(mut self) {
        let _ = format::end(&mut self.text, self.format);
        self.writer.line(self.text.as_bytes());
        if self.text.capacity() <= KEPT {
            self.text.clear();
            ROOM.set(self.text);
        }
    }
}

/// A field's name with what stands around it in each format, put together when the program is compiled.
#[derive(Debug, Clone, Copy)]
pub struct Key {
    /// ` name=`
    pub text: &'static str,
    /// `,"name":`
    pub json: &'static str,
}

/// What a field may be.
pub trait Field {
    /// Adds it to a line.
    fn write(self, key: Key, line: &mut Line);
}

macro_rules! field {
    ($type:ty, $method:ident) => {
        impl Field for $type {
            #[inline]
            fn write(self, key: Key, line: &mut Line) {
                line.key(key);
                line.$method(self.into());
            }
        }
    };
}

/// Text that is written as it is in either format, such as a model's name: not empty, and graphic ASCII but for quotes, `=` and `\\`.
#[derive(Debug, Clone, Copy)]
pub struct Clean<'a>(pub &'a str);

impl Field for Clean<'_> {
    #[inline]
    fn write(self, key: Key, line: &mut Line) {
        line.key(key);
        line.clean(self.0);
    }
}

field!(&str, text);
field!(u64, whole);
field!(u16, whole);
field!(Duration, milliseconds);

impl<T: Field> Field for Option<T> {
    #[inline]
    fn write(self, key: Key, line: &mut Line) {
        if let Some(value) = self {
            value.write(key, line);
        }
    }
}
