//! Sizes as people write them: one whole number and one unit, `10MiB`. A number without a unit is refused, because
//! nobody can tell what it means.

use std::fmt;

use serde::Serialize;
use serde::de::{Deserialize, Deserializer};
use thiserror::Error;

use crate::unit::WithUnit;

const UNITS: [(&str, u64); 5] =
    [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("kB", 1000), ("B", 1)];

/// A number of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(into = "String")]
pub struct ByteSize(pub u64);

/// Text that is no size.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("size {got:?}: expected a whole number and one of B, kB, KiB, MiB, GiB, such as 10MiB")]
pub struct SizeError {
    /// The refused text.
    pub got: String,
}

impl std::str::FromStr for ByteSize {
    type Err = SizeError;

    fn from_str(text: &str) -> Result<Self, SizeError> {
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        let (number, unit) = text.split_at(digits);
        let factor = UNITS.iter().find(|(name, _)| *name == unit.trim()).map(|(_, factor)| *factor);
        let bytes = factor.zip(number.parse::<u64>().ok()).and_then(|(factor, n)| n.checked_mul(factor));
        bytes.map(Self).ok_or_else(|| SizeError { got: text.chars().take(40).collect() })
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (unit, factor) =
            UNITS.iter().find(|(_, factor)| self.0.is_multiple_of(*factor)).unwrap_or(&("B", 1));
        write!(f, "{}{unit}", self.0 / factor)
    }
}

impl<'de> Deserialize<'de> for ByteSize {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(WithUnit { expected: "a size such as 10MiB", parse: str::parse })
    }
}

impl From<ByteSize> for String {
    fn from(size: ByteSize) -> Self {
        size.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_units() {
        for (text, bytes) in [("10MiB", 10 << 20), ("64KiB", 64 << 10), ("1500B", 1500), ("2 GiB", 2 << 30)] {
            assert_eq!(text.parse(), Ok(ByteSize(bytes)));
        }
        assert_eq!(ByteSize(10 << 20).to_string(), "10MiB");
        for text in ["10", "MiB", "-1B", "99999999999999999999B", "20000000000GiB"] {
            assert!(text.parse::<ByteSize>().is_err(), "{text}");
        }
        for (json, size) in [
            ("\"10MiB\"", Ok(ByteSize(10 << 20))),
            ("10", Err("size \"10\": expected a whole number and one of B")),
        ] {
            let read = serde_json::from_str::<ByteSize>(json).map_err(|error| error.to_string());
            match (read, size) {
                (Err(told), Err(begins)) => assert!(told.starts_with(begins), "{told}"),
                (read, size) => assert_eq!(read.ok(), size.ok(), "{json}"),
            }
        }
    }
}
