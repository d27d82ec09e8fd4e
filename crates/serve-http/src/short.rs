//! A header's value on its way out: written where there is room for it already, and copied once.

use std::fmt;

use http::HeaderValue;

/// Bytes of the longest value.
const ROOM: usize = 256;

/// A value that is being written; what is longer finds no room.
pub(crate) struct Short {
    bytes: [u8; ROOM],
    length: usize,
}

impl Short {
    pub(crate) fn new() -> Self {
        Self { bytes: [0; ROOM], length: 0 }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// The value; nothing, where it has characters that no header has.
    pub(crate) fn value(&self) -> Option<HeaderValue> {
        HeaderValue::from_bytes(self.bytes.get(..self.length)?).ok()
    }
}

impl fmt::Write for Short {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let end = self.length + text.len();
        self.bytes.get_mut(self.length..end).ok_or(fmt::Error)?.copy_from_slice(text.as_bytes());
        self.length = end;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use super::*;

    #[test]
    fn what_has_room_is_the_value() {
        let mut short = Short::new();
        assert!(short.is_empty());
        write!(short, "{}{}", "a".repeat(250), "b".repeat(6)).expect("has room");
        assert_eq!(short.value().map(|value| value.len()), Some(ROOM));
        assert!(short.write_str("c").is_err() && short.write_str("").is_ok());
        let mut short = Short::new();
        short.write_str("a\n").expect("has room");
        assert_eq!(short.value(), None);
    }
}
