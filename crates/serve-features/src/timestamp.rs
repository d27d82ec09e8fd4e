//! Timestamps as text and as the microseconds in which they are kept. SQLite's table and Postgres' `TIMESTAMPTZ` both hold
//! microseconds, so anything finer is cut off where a timestamp enters: the same row is found in every store.

use std::time::Duration;

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

/// A text that is no timestamp.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("timestamp {got:?}: expected {EXPECTED}")]
pub struct TimestampError {
    /// The refused text, cut off when long.
    pub got: String,
}

/// What [`parse_timestamp`] takes, for error messages.
pub(crate) const EXPECTED: &str =
    "RFC 3339 such as `2025-10-04T13:50:00Z`, or a date or `2025-10-04 13:50:00` meaning UTC";

/// Reads RFC 3339 with any offset, a bare date (midnight UTC), or a date and time without an offset (UTC).
/// Finer than a microsecond is cut off.
///
/// # Errors
/// [`TimestampError`] for anything else.
///
/// ```
/// use serve_features::parse_timestamp;
/// let midnight = parse_timestamp("2019-01-01")?;
/// assert_eq!(midnight, parse_timestamp("2019-01-01T02:00:00+02:00")?);
/// assert_eq!(midnight, parse_timestamp("2019-01-01 00:00:00")?);
/// # Ok::<(), serve_features::TimestampError>(())
/// ```
pub fn parse_timestamp(text: &str) -> Result<Timestamp, TimestampError> {
    let refused = || TimestampError { got: text.chars().take(60).collect() };
    let text = text.trim();
    // jiff reads more than RFC 3339: years of six digits, dates without dashes, zones in brackets.
    if !text.get(..5).is_some_and(|year| year.ends_with('-')) || text.contains('[') {
        return Err(refused());
    }
    if let Ok(timestamp) = text.parse::<Timestamp>() {
        return Ok(to_micros(timestamp));
    }
    let has_offset = text.get(10..).is_some_and(|time| time.contains(['+', '-', 'Z', 'z']));
    let civil = if has_offset { None } else { text.parse::<DateTime>().ok() };
    let timestamp = civil.and_then(|civil| TimeZone::UTC.to_timestamp(civil).ok());
    timestamp.map(to_micros).ok_or_else(refused)
}

/// The same moment, cut down to whole microseconds.
pub(crate) fn to_micros(timestamp: Timestamp) -> Timestamp {
    let micros = timestamp.as_microsecond();
    // `as_microsecond` cuts towards zero; before 1970 that would be later.
    let micros = if timestamp.subsec_nanosecond() % 1_000 < 0 { micros - 1 } else { micros };
    Timestamp::from_microsecond(micros).unwrap_or(timestamp)
}

/// Since 1970. Moments are held against a width in these, where no calendar ends and nothing is looked up.
pub(crate) fn nanos(timestamp: Timestamp) -> i128 {
    timestamp.as_nanosecond()
}

/// A moment later by `delay`; `None` past the year 9999.
pub(crate) fn later(timestamp: Timestamp, delay: Duration) -> Option<Timestamp> {
    timestamp.checked_add(SignedDuration::try_from(delay).ok()?).ok()
}

/// A moment earlier by `window`, at the earliest the first that there is.
pub(crate) fn earlier(timestamp: Timestamp, window: Duration) -> Timestamp {
    let window = SignedDuration::try_from(window).unwrap_or(SignedDuration::MAX);
    timestamp.checked_sub(window).unwrap_or(Timestamp::MIN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_accepted_form_means_utc_unless_it_says_otherwise() {
        let shown = |text: &str| parse_timestamp(text).map(|t| t.to_string());
        for (text, expected) in [
            ("2019-01-01", "2019-01-01T00:00:00Z"),
            (" 2019-01-01 ", "2019-01-01T00:00:00Z"),
            ("2019-01-01 10:20:30", "2019-01-01T10:20:30Z"),
            ("2019-01-01T10:20:30", "2019-01-01T10:20:30Z"),
            ("2019-01-01T10:20:30Z", "2019-01-01T10:20:30Z"),
            ("2019-01-01T10:20:30.5-05:30", "2019-01-01T15:50:30.5Z"),
            ("1969-12-31T23:59:59.9999999Z", "1969-12-31T23:59:59.999999Z"),
            ("2019-01-01 10:20:30.123456789", "2019-01-01T10:20:30.123456Z"),
        ] {
            assert_eq!(shown(text), Ok(expected.to_owned()), "{text}");
        }
    }

    #[test]
    fn everything_else_is_refused() {
        for bad in [
            "",
            "yesterday",
            "1546300800",
            "20190101",
            "01/02/2019",
            "2019-02-30",
            "2019-01-01T10:00:00+99:00",
            "2019-01-01T10:00:00-05:00[America/New_York]",
            "2019-13-01",
            "-000001-01-01",
        ] {
            assert_eq!(parse_timestamp(bad), Err(TimestampError { got: bad.to_owned() }), "{bad}");
        }
    }

    #[test]
    fn shifting_stays_in_range() {
        let t = parse_timestamp("2019-01-02").expect("is a timestamp");
        let day = Duration::from_hours(24);
        assert_eq!(earlier(t, day).to_string(), "2019-01-01T00:00:00Z");
        assert_eq!(later(t, day).map(|t| t.to_string()), Some("2019-01-03T00:00:00Z".to_owned()));
        assert_eq!(later(Timestamp::MAX, day), None);
        assert_eq!(earlier(Timestamp::MIN, day), Timestamp::MIN);
    }
}
