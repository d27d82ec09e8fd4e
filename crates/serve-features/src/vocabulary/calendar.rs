//! Where a row's own timestamp stands in the UTC calendar. Meaning: pandas' `dt.minute`, `dt.hour`, `dt.dayofweek`, `dt.day`,
//! `dt.dayofyear`, `dt.isocalendar().week`, `dt.month`, `dt.quarter`, `dt.year`, and `dt.dayofweek >= 5`.

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;

/// A part of the date or the time of day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Field {
    /// 0 to 59.
    Minute,
    /// 0 to 23.
    Hour,
    /// Monday 0 to Sunday 6.
    DayOfWeek,
    /// 1 on Saturday and Sunday, else 0.
    IsWeekend,
    /// 1 to 31.
    DayOfMonth,
    /// 1 to 366.
    DayOfYear,
    /// 1 to 53, of ISO 8601: a week belongs to the year of its Thursday.
    WeekOfYear,
    /// 1 to 12.
    Month,
    /// 1 to 4.
    Quarter,
    /// The year itself.
    Year,
}

/// The field of every timestamp, in UTC.
///
/// ```
/// use serve_features::vocabulary::calendar::{Field, field};
/// let new_year = ["2019-01-01T13:00:00Z".parse()?];
/// assert_eq!(field(&new_year, Field::Hour), [13.0]);
/// assert_eq!(field(&new_year, Field::DayOfWeek), [1.0]);
/// # Ok::<(), jiff::Error>(())
/// ```
#[must_use]
pub fn field(timestamps: &[Timestamp], field: Field) -> Vec<f64> {
    match field {
        Field::Minute => timestamps.iter().map(|t| (second_of_day(*t) / 60 % 60) as f64).collect(),
        Field::Hour => timestamps.iter().map(|t| (second_of_day(*t) / 3_600) as f64).collect(),
        Field::DayOfWeek => timestamps.iter().map(|t| day_of_week(*t) as f64).collect(),
        Field::IsWeekend => timestamps.iter().map(|t| f64::from(day_of_week(*t) >= 5)).collect(),
        Field::DayOfMonth => by_date(timestamps, |date| i16::from(date.day())),
        Field::DayOfYear => by_date(timestamps, Date::day_of_year),
        Field::WeekOfYear => by_date(timestamps, |date| i16::from(date.iso_week_date().week())),
        Field::Month => by_date(timestamps, |date| i16::from(date.month())),
        Field::Quarter => by_date(timestamps, |date| i16::from((date.month() + 2) / 3)),
        Field::Year => by_date(timestamps, Date::year),
    }
}

/// Days since January 1st, 1970, whatever the time of day.
pub(crate) fn day(timestamp: Timestamp) -> i64 {
    second(timestamp).div_euclid(86_400)
}

/// Of neighbours of one day the date is found once.
fn by_date(timestamps: &[Timestamp], part: impl Fn(Date) -> i16) -> Vec<f64> {
    let mut last = None;
    let value = |timestamp: &Timestamp| {
        let today = day(*timestamp);
        match last {
            Some((day, value)) if day == today => value,
            _ => {
                let value = f64::from(part(TimeZone::UTC.to_datetime(*timestamp).date()));
                last = Some((today, value));
                value
            }
        }
    };
    timestamps.iter().map(value).collect()
}

/// Rounded down, where jiff rounds towards 1970.
fn second(timestamp: Timestamp) -> i64 {
    timestamp.as_second() - i64::from(timestamp.subsec_nanosecond() < 0)
}

fn second_of_day(timestamp: Timestamp) -> i64 {
    second(timestamp).rem_euclid(86_400)
}

/// 1970 began on a Thursday.
fn day_of_week(timestamp: Timestamp) -> i64 {
    (day(timestamp) + 3).rem_euclid(7)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn fields_are_those_of_the_civil_date(
            micros in prop::collection::vec(-62_135_596_800_000_000..253_402_207_200_000_000_i64, 1..4),
            same_day in 0..86_400_000_000_i64,
        ) {
            let moments = micros.iter().flat_map(|micros| [*micros, micros - micros.rem_euclid(86_400_000_000) + same_day]);
            let moments: Vec<Timestamp> =
                moments.map(|micros| Timestamp::from_microsecond(micros).expect("is in range")).collect();
            let of = |asked: Field| field(&moments, asked);
            for (t, moment) in moments.iter().enumerate() {
                let civil = TimeZone::UTC.to_datetime(*moment);
                let day_of_week = civil.weekday().to_monday_zero_offset();
                for (asked, expected) in [
                    (Field::Minute, i16::from(civil.minute())),
                    (Field::Hour, i16::from(civil.hour())),
                    (Field::DayOfWeek, i16::from(day_of_week)),
                    (Field::IsWeekend, i16::from(day_of_week == 5 || day_of_week == 6)),
                    (Field::DayOfMonth, i16::from(civil.day())),
                    (Field::DayOfYear, civil.date().day_of_year()),
                    (Field::Month, i16::from(civil.month())),
                    (Field::Year, civil.year()),
                ] {
                    prop_assert_eq!(of(asked)[t], f64::from(expected), "{:?} of {}", asked, moment);
                }
            }
        }
    }

    #[test]
    fn a_moment_before_1970_belongs_to_the_day_it_is_in() {
        let moment = ["1969-12-31T23:59:59.999999Z".parse().expect("is a timestamp")];
        assert_eq!(field(&moment, Field::Minute), [59.0]);
        assert_eq!(field(&moment, Field::Hour), [23.0]);
        assert_eq!(field(&moment, Field::DayOfWeek), [2.0]);
        assert_eq!(field(&moment, Field::DayOfYear), [365.0]);
    }

    #[test]
    fn weeks_belong_to_the_year_of_their_thursday_and_quarters_have_three_months() {
        let days =
            ["2020-12-31T00:00:00Z", "2021-01-03T23:00:00Z", "2021-01-04T00:00:00Z", "2018-12-31T00:00:00Z"];
        let days = days.map(|day| day.parse().expect("is a timestamp"));
        assert_eq!(field(&days, Field::WeekOfYear), [53.0, 53.0, 1.0, 1.0]);
        let months =
            (1..=12).map(|month| format!("2024-{month:02}-15T00:00:00Z").parse().expect("is a timestamp"));
        let quarters = [1.0, 1.0, 1.0, 2.0, 2.0, 2.0, 3.0, 3.0, 3.0, 4.0, 4.0, 4.0];
        assert_eq!(field(&months.collect::<Vec<_>>(), Field::Quarter), quarters);
    }
}
