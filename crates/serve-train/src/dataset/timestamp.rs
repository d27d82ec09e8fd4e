//! Times as data files write them. What names no zone is UTC.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

/// RFC 3339, or a date with or without a time of day in UTC.
pub(super) fn parse(text: &str) -> Option<Timestamp> {
    text.parse().ok().or_else(|| {
        let civil: DateTime = text.parse().ok()?;
        Some(civil.to_zoned(TimeZone::UTC).ok()?.timestamp())
    })
}

/// A window of time for people: days where both ends are midnights, else RFC 3339.
pub(crate) fn describe(first: Timestamp, last: Timestamp) -> String {
    let whole_day = |t: Timestamp| t.as_second() % 86_400 == 0 && t.subsec_nanosecond() == 0;
    if whole_day(first) && whole_day(last) {
        let day = |t: Timestamp| t.to_zoned(TimeZone::UTC).date();
        format!("{} to {}", day(first), day(last))
    } else {
        format!("{first} to {last}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_to_write_a_time_is_one_instant() {
        let noon: Timestamp = "2024-05-01T12:00:00Z".parse().expect("RFC 3339");
        for text in
            ["2024-05-01T12:00:00Z", "2024-05-01T14:00:00+02:00", "2024-05-01 12:00:00", "2024-05-01T12:00"]
        {
            assert_eq!(parse(text), Some(noon), "{text}");
        }
        assert_eq!(parse("2024-05-01"), "2024-05-01T00:00:00Z".parse().ok());
        for text in ["", "yesterday", "1714564800", "01/05/2024", "2024-02-30"] {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_window_of_midnights_is_told_in_days() {
        let at = |text| parse(text).expect("a time");
        assert_eq!(describe(at("2024-05-01"), at("2024-06-01")), "2024-05-01 to 2024-06-01");
        assert_eq!(
            describe(at("2024-05-01"), at("2024-06-01 06:00:00")),
            "2024-05-01T00:00:00Z to 2024-06-01T06:00:00Z"
        );
    }
}
