//! Durations as people write them: one whole number and one unit, `15m`. Configuration, declarations and windows of the
//! expression language share this notation. A number without a unit is refused, because nobody can tell what it means.
//!
//! Usable with `#[serde(with = "serve_core::duration")]`.

use std::time::Duration;

use serde::Serializer;
use serde::de::Deserializer;

use crate::unit::WithUnit;

/// Units from the largest to the smallest, with their microseconds.
const UNITS: [(&str, u64); 7] = [
    ("w", 604_800_000_000),
    ("d", 86_400_000_000),
    ("h", 3_600_000_000),
    ("m", 60_000_000),
    ("s", 1_000_000),
    ("ms", 1_000),
    ("us", 1),
];

/// The units, as messages list them.
pub const LISTED: &str = "`us`, `ms`, `s`, `m`, `h`, `d`, `w`";

/// Hundred years of 365 days: longer ones are mistakes, and sums with timestamps stay in range.
const LONGEST_MICROS: u64 = 36_500 * 86_400_000_000;

/// Why a text is not a duration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DurationError {
    /// A bare number.
    #[error("duration {got:?} has no unit: expected one of {LISTED}, such as `15m`")]
    NoUnit {
        /// The refused text.
        got: String,
    },
    /// Not a whole number with a known unit.
    #[error("duration {got:?}: expected a whole number and one of {LISTED}, such as `15m`")]
    Malformed {
        /// The refused text.
        got: String,
    },
    /// Beyond hundred years.
    #[error("duration {got:?} is longer than 36500d")]
    TooLong {
        /// The refused text.
        got: String,
    },
}

/// Reads `15m`, `50ms`, `1d`, `90s`, `2w`, `3h`, `250us`.
///
/// # Errors
/// [`DurationError`] for a missing or unknown unit, a number that is not whole, and more than hundred years.
///
/// ```
/// use std::time::Duration;
/// assert_eq!(serve_core::duration::parse("15m"), Ok(Duration::from_secs(900)));
/// assert!(serve_core::duration::parse("15").is_err());
/// ```
pub fn parse(text: &str) -> Result<Duration, DurationError> {
    let got = || text.chars().take(40).collect::<String>();
    let trimmed = text.trim();
    let digits = trimmed.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = trimmed.split_at(digits);
    if digits == 0 {
        return Err(DurationError::Malformed { got: got() });
    }
    if unit.is_empty() {
        return Err(DurationError::NoUnit { got: got() });
    }
    let Some((_, scale)) = UNITS.iter().find(|(name, _)| *name == unit) else {
        return Err(DurationError::Malformed { got: got() });
    };
    let micros = number.parse::<u64>().ok().and_then(|n| n.checked_mul(*scale));
    match micros {
        Some(micros) if micros <= LONGEST_MICROS => Ok(Duration::from_micros(micros)),
        _ => Err(DurationError::TooLong { got: got() }),
    }
}

/// Writes a duration with the largest unit that divides it: `90s` becomes `90s`, 5,400 s `90m`. Below a microsecond is cut off.
#[must_use]
pub fn format(duration: Duration) -> String {
    let micros = duration.as_micros();
    if micros == 0 {
        return "0s".to_owned();
    }
    let fits = UNITS.iter().find(|(_, scale)| micros.is_multiple_of(u128::from(*scale)));
    fits.map_or_else(
        || format!("{micros}us"),
        |(unit, scale)| format!("{}{unit}", micros / u128::from(*scale)),
    )
}

/// For `#[serde(with)]`: text with a unit.
pub fn serialize<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&format(*duration))
}

/// For `#[serde(with)]`: text with a unit.
pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    deserializer.deserialize_any(WithUnit { expected: "a duration such as `15m`", parse })
}

/// For `#[serde(with)]` where there may be none.
pub mod optional {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer};

    /// Text with a unit, or nothing.
    #[allow(clippy::ref_option, reason = "the signature is serde's")]
    pub fn serialize<S: Serializer>(duration: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
        match duration {
            Some(duration) => super::serialize(duration, serializer),
            None => serializer.serialize_none(),
        }
    }

    /// Text with a unit, or nothing.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
        #[derive(Deserialize)]
        struct There(#[serde(with = "super")] Duration);
        Ok(Option::<There>::deserialize(deserializer)?.map(|There(duration)| duration))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formatting_picks_the_largest_whole_unit_and_reads_back() {
        for text in ["15m", "50ms", "1d", "90s", "2w", "3h", "250us", "90m", "0s"] {
            assert_eq!(format(parse(text).expect("is well formed")), text);
        }
        assert_eq!(format(Duration::from_hours(24 * 7)), "1w");
    }

    #[test]
    fn mistakes_say_what_was_expected() {
        let message = |text: &str| parse(text).expect_err("is refused").to_string();
        assert!(message("15").starts_with("duration \"15\" has no unit"));
        let read =
            |number| deserialize(serde::de::value::U64Deserializer::<serde::de::value::Error>::new(number));
        assert_eq!(
            read(30).expect_err("is refused").to_string(),
            parse("30").expect_err("is refused").to_string()
        );
        for malformed in ["", "m", "1.5h", "-1s", "15 minutes", "1h30m", "1D"] {
            assert_eq!(parse(malformed), Err(DurationError::Malformed { got: malformed.to_owned() }));
        }
        for long in ["36501d", "99999999999999999999s", "18446744073709551615w"] {
            assert_eq!(parse(long), Err(DurationError::TooLong { got: long.to_owned() }));
        }
    }
}
