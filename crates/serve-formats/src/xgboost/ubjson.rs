//! UBJSON, draft 12 (<https://ubjson.org>), as a deserializer for the types that JSON is read into: XGBoost's
//! `save_model("model.ubj")` and its raw form write the same tree of keys in it.
//!
//! - A length or a count is held against the bytes that are left before anything is done with it. Typed containers of
//!   values without bytes (`Z`, `T`, `F`, `N`), which could claim any count, are refused; XGBoost writes none.
//! - Containers may lie [`DEEPEST`] inside each other, as in `serde_json`; what nobody reads is skipped in a loop.
//! - High-precision numbers are refused.

use std::fmt;

use serde::de::value::BorrowedStrDeserializer;
use serde::de::{self, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde::forward_to_deserialize_any;
use thiserror::Error;

const DEEPEST: usize = 128;

/// What is wrong; where is the reader's [`position`](Reader::position).
#[derive(Debug, Error)]
#[error("{0}")]
pub(super) struct UbjsonError(String);

impl de::Error for UbjsonError {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self(message.to_string())
    }
}

type Result<T> = std::result::Result<T, UbjsonError>;

fn error<T>(problem: impl Into<String>) -> Result<T> {
    Err(UbjsonError(problem.into()))
}

fn shown(marker: u8) -> String {
    format!("the marker '{}'", marker.escape_ascii())
}

/// Bytes, and how far they are read.
pub(super) struct Reader<'de> {
    bytes: &'de [u8],
    at: usize,
    /// Where the last value, key or count begins.
    begun: usize,
    depth: usize,
}

/// An array or an object whose beginning has been read.
struct Container {
    end: u8,
    kind: Option<u8>,
    left: Option<usize>,
}

/// A value whose marker has been read.
pub(super) struct Value<'a, 'de> {
    reader: &'a mut Reader<'de>,
    marker: u8,
}

/// How many bytes a value has at least; `None` for what is no marker of a value.
fn least_width(marker: u8) -> Option<usize> {
    Some(match marker {
        b'Z' | b'T' | b'F' => 0,
        b'i' | b'U' | b'C' | b'[' | b'{' => 1,
        b'I' | b'S' => 2,
        b'l' | b'd' => 4,
        b'L' | b'D' => 8,
        _ => return None,
    })
}

impl<'de> Reader<'de> {
    pub(super) fn new(bytes: &'de [u8]) -> Self {
        Self { bytes, at: 0, begun: 0, depth: 0 }
    }

    /// The byte that the last value, key or count begins at.
    pub(super) fn position(&self) -> usize {
        self.begun
    }

    /// The value that the bytes hold.
    pub(super) fn root(&mut self) -> Result<Value<'_, 'de>> {
        let marker = self.marker()?;
        Ok(Value { reader: self, marker })
    }

    /// That nothing comes after the value.
    pub(super) fn end(&mut self) -> Result<()> {
        self.begun = self.at;
        match self.bytes.len() - self.at {
            0 => Ok(()),
            left => error(format!("{left} bytes are left over")),
        }
    }

    fn slice(&mut self, length: usize) -> Result<&'de [u8]> {
        let left = &self.bytes[self.at..];
        match left.get(..length) {
            Some(slice) => {
                self.at += length;
                Ok(slice)
            }
            None => {
                error(format!("expected {length} bytes more, got the end of the file after {}", left.len()))
            }
        }
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let mut array = [0; N];
        array.copy_from_slice(self.slice(N)?);
        Ok(array)
    }

    fn byte(&mut self) -> Result<u8> {
        Ok(self.array::<1>()?[0])
    }

    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn skip_no_ops(&mut self) {
        while self.peek() == Some(b'N') {
            self.at += 1;
        }
    }

    /// The next value's marker.
    fn marker(&mut self) -> Result<u8> {
        self.skip_no_ops();
        self.begun = self.at;
        self.byte()
    }

    fn integer(&mut self, marker: u8) -> Result<Option<i64>> {
        Ok(Some(match marker {
            b'i' => i64::from(self.byte()?.cast_signed()),
            b'U' => i64::from(self.byte()?),
            b'I' => i64::from(i16::from_be_bytes(self.array()?)),
            b'l' => i64::from(i32::from_be_bytes(self.array()?)),
            b'L' => i64::from_be_bytes(self.array()?),
            _ => return Ok(None),
        }))
    }

    /// A length or a count of things that have at least `width` bytes each.
    fn length(&mut self, width: usize) -> Result<usize> {
        self.begun = self.at;
        let marker = self.byte()?;
        let Some(length) = self.integer(marker)? else {
            return error(format!("expected an integer for a length, got {}", shown(marker)));
        };
        let left = self.bytes.len() - self.at;
        match usize::try_from(length).ok().filter(|length| length.saturating_mul(width) <= left) {
            Some(length) => Ok(length),
            None => error(format!("expected a length that {left} bytes have room for, got {length}")),
        }
    }

    fn text(&mut self) -> Result<&'de str> {
        let length = self.length(1)?;
        let bytes = self.slice(length)?;
        str::from_utf8(bytes).map_err(|source| UbjsonError(format!("the text is not UTF-8: {source}")))
    }

    /// What stands between a container's marker and its first value.
    fn open(&mut self, marker: u8) -> Result<Container> {
        if self.depth == DEEPEST {
            return error(format!("values lie more than {DEEPEST} deep inside each other"));
        }
        let end = if marker == b'[' { b']' } else { b'}' };
        let mut container = Container { end, kind: None, left: None };
        let key = usize::from(marker == b'{') * 2;
        if self.peek() == Some(b'$') {
            self.at += 1;
            self.begun = self.at;
            let kind = self.byte()?;
            let Some(width) = least_width(kind).filter(|&width| width > 0) else {
                return error(format!("expected the type of values that have bytes, got {}", shown(kind)));
            };
            self.begun = self.at;
            if self.byte()? != b'#' {
                return error("expected '#' and a count after the type of a container's values");
            }
            container.kind = Some(kind);
            container.left = Some(self.length(width + key)?);
        } else if self.peek() == Some(b'#') {
            self.at += 1;
            container.left = Some(self.length(1 + key)?);
        }
        self.depth += 1;
        Ok(container)
    }

    /// Whether another value (or key) follows; at the end its mark is read.
    fn more(&mut self, container: &mut Container) -> bool {
        let more = match &mut container.left {
            Some(0) => false,
            Some(left) => {
                *left -= 1;
                true
            }
            None => {
                self.skip_no_ops();
                let ends = self.peek() == Some(container.end);
                self.at += usize::from(ends);
                !ends
            }
        };
        self.depth -= usize::from(!more);
        more
    }

    fn element(&mut self, container: &Container) -> Result<Value<'_, 'de>> {
        let marker = if let Some(kind) = container.kind {
            self.begun = self.at;
            kind
        } else {
            self.marker()?
        };
        Ok(Value { reader: self, marker })
    }

    /// Passes over a value and all that is in it.
    fn skip(&mut self, marker: u8) -> Result<()> {
        let mut open: Vec<Container> = Vec::new();
        let mut next = Some(marker);
        loop {
            match next {
                Some(marker @ (b'[' | b'{')) => {
                    let container = self.open(marker)?;
                    open.push(container);
                }
                Some(marker) => self.pass(marker)?,
                None => drop(open.pop()),
            }
            let Some(container) = open.last_mut() else { return Ok(()) };
            next = self.advance(container)?;
        }
    }

    /// The marker of the next value in a container, past its key; `None` at the end.
    fn advance(&mut self, container: &mut Container) -> Result<Option<u8>> {
        let width = container.kind.filter(|kind| !b"S[{".contains(kind)).and_then(least_width);
        if let (b']', Some(width), Some(left)) = (container.end, width, &mut container.left) {
            // The product was held against the bytes when the container was opened.
            self.at += std::mem::take(left) * width;
        }
        if !self.more(container) {
            return Ok(None);
        }
        if container.end == b'}' {
            self.text()?;
        }
        Ok(Some(self.element(container)?.marker))
    }

    /// Passes over a value without others in it.
    fn pass(&mut self, marker: u8) -> Result<()> {
        match (marker, least_width(marker)) {
            (b'S', _) => self.text().map(drop),
            (b'H', _) => error(HIGH_PRECISION),
            (_, Some(width)) => self.slice(width).map(drop),
            (_, None) => error(format!("expected a value, got {}", shown(marker))),
        }
    }
}

const HIGH_PRECISION: &str = "high-precision numbers (the marker 'H') are not supported";

struct Elements<'a, 'de> {
    reader: &'a mut Reader<'de>,
    container: Container,
    done: bool,
}

impl Elements<'_, '_> {
    fn more(&mut self) -> bool {
        self.done = self.done || !self.reader.more(&mut self.container);
        !self.done
    }
}

impl<'de> SeqAccess<'de> for Elements<'_, 'de> {
    type Error = UbjsonError;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>> {
        if !self.more() {
            return Ok(None);
        }
        seed.deserialize(self.reader.element(&self.container)?).map(Some)
    }

    fn size_hint(&self) -> Option<usize> {
        self.container.left
    }
}

impl<'de> MapAccess<'de> for Elements<'_, 'de> {
    type Error = UbjsonError;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>> {
        if !self.more() {
            return Ok(None);
        }
        self.reader.skip_no_ops();
        let key = self.reader.text()?;
        seed.deserialize(BorrowedStrDeserializer::new(key)).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value> {
        seed.deserialize(self.reader.element(&self.container)?)
    }
}

impl<'de> Deserializer<'de> for Value<'_, 'de> {
    type Error = UbjsonError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        let Self { reader, marker } = self;
        if let Some(integer) = reader.integer(marker)? {
            return match u64::try_from(integer) {
                Ok(count) => visitor.visit_u64(count),
                Err(_) => visitor.visit_i64(integer),
            };
        }
        match marker {
            b'd' => visitor.visit_f32(f32::from_be_bytes(reader.array()?)),
            b'D' => visitor.visit_f64(f64::from_be_bytes(reader.array()?)),
            b'S' => visitor.visit_borrowed_str(reader.text()?),
            b'C' => visitor.visit_char(char::from(reader.byte()?)),
            b'T' => visitor.visit_bool(true),
            b'F' => visitor.visit_bool(false),
            b'Z' => visitor.visit_unit(),
            b'[' => {
                let container = reader.open(marker)?;
                let mut elements = Elements { reader, container, done: false };
                let value = visitor.visit_seq(&mut elements)?;
                if elements.more() {
                    return error("the array has more values than expected");
                }
                Ok(value)
            }
            b'{' => {
                let container = reader.open(marker)?;
                visitor.visit_map(Elements { reader, container, done: false })
            }
            b'H' => error(HIGH_PRECISION),
            other => error(format!("expected a value, got {}", shown(other))),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        if self.marker == b'Z' { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        self.reader.skip(self.marker)?;
        visitor.visit_unit()
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct seq tuple
        tuple_struct map struct enum identifier
    }
}
