//! The as-of join: which row of another source a row of the first one sees. A row is visible from its timestamp plus its
//! source's delay on; the newest visible row is taken, whatever its values, as pandas' `merge_asof` does.

use std::time::Duration;

use jiff::Timestamp;

use crate::freshness::MaxAge;
use crate::timestamp::{earlier, later};

/// When each row of a source becomes visible; `None` where that is past the last moment there is.
pub(crate) fn visible(timestamps: &[Timestamp], delay: Duration) -> Vec<Option<Timestamp>> {
    timestamps.iter().map(|timestamp| later(*timestamp, delay)).collect()
}

/// For each moment of `rows`, the index of the newest of `others` that is visible then. One that became visible longer than
/// `max_age` before is no answer. Both are in order; O(rows + others).
pub(crate) fn as_of(
    rows: &[Option<Timestamp>],
    others: &[Option<Timestamp>],
    max_age: Option<MaxAge>,
) -> Vec<Option<usize>> {
    let mut seen = 0;
    let newest = |row: &Option<Timestamp>| {
        let now = (*row)?;
        while others.get(seen).is_some_and(|other| other.is_some_and(|other| other <= now)) {
            seen += 1;
        }
        let index = seen.checked_sub(1)?;
        let fresh = match max_age {
            Some(MaxAge::Limit(limit)) => others[index]? >= earlier(now, limit),
            Some(MaxAge::Unlimited) | None => true,
        };
        fresh.then_some(index)
    };
    rows.iter().map(newest).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(hours: &[i64]) -> Vec<Option<Timestamp>> {
        hours.iter().map(|hour| Timestamp::from_second(hour * 3_600).ok()).collect()
    }

    #[test]
    fn the_newest_visible_row_is_taken() {
        assert_eq!(as_of(&at(&[0, 5, 6]), &at(&[5, 5, 7]), None), [None, Some(1), Some(1)]);
        assert_eq!(as_of(&at(&[1]), &[], None), [None]);
    }

    #[test]
    fn what_is_older_than_the_limit_is_no_answer() {
        let limit = Some(MaxAge::Limit(Duration::from_hours(3)));
        assert_eq!(as_of(&at(&[5, 8, 9]), &at(&[5]), limit), [Some(0), Some(0), None]);
    }

    #[test]
    fn a_delay_keeps_a_row_from_being_seen() {
        let hours = [0, 1].map(|hour| Timestamp::from_second(hour * 3_600).expect("is in range"));
        let delayed = visible(&hours, Duration::from_hours(1));
        assert_eq!(as_of(&at(&[0, 1, 2]), &delayed, None), [None, Some(0), Some(1)]);
    }
}
