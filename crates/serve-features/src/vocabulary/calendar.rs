//! Where a row's own timestamp stands in the UTC calendar. Meaning: pandas' `dt.hour`, `dt.dayofweek`, `dt.day`, `dt.month`.

use jiff::Timestamp;
use jiff::tz::TimeZone;

/// A part of the date or the time of day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Field {
    /// 0 to 23.
    Hour,
    /// Monday 0 to Sunday 6.
    DayOfWeek,
    /// 1 to 31.
    DayOfMonth,
    /// 1 to 12.
    Month,
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
    let value = |timestamp: &Timestamp| {
        let civil = TimeZone::UTC.to_datetime(*timestamp);
        f64::from(match field {
            Field::Hour => civil.hour(),
            Field::DayOfWeek => civil.weekday().to_monday_zero_offset(),
            Field::DayOfMonth => civil.day(),
            Field::Month => civil.month(),
        })
    };
    timestamps.iter().map(value).collect()
}
