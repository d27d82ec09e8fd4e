//! The as-of join: which row of another source a row of the first one sees. A row is visible from its timestamp plus its
//! source's delay on; the newest visible row is taken, whatever its values, as pandas' `merge_asof` does.

use std::time::Duration;

use jiff::Timestamp;

use crate::freshness::MaxAge;
use crate::timestamp::{later, nanos};

/// When each row of a source becomes visible. Rows past the last moment there is never do: the answer ends before them.
pub(crate) fn visible(timestamps: &[Timestamp], delay: Duration) -> Vec<Timestamp> {
    if delay.is_zero() {
        return timestamps.to_vec();
    }
    timestamps.iter().map_while(|timestamp| later(*timestamp, delay)).collect()
}

/// For each moment of `rows`, how many of `others` are visible then; the last of these is the one that is seen. Both are in
/// order; O(rows + others).
pub(crate) fn seen(rows: &[Timestamp], others: &[Timestamp]) -> Vec<usize> {
    let mut seen = 0;
    let count = |now: &Timestamp| {
        while others.get(seen).is_some_and(|other| other <= now) {
            seen += 1;
        }
        seen
    };
    rows.iter().map(count).collect()
}

/// Whether what became visible at `then` may still be used `now`. Longer than the limit before is too long.
pub(crate) fn is_fresh(then: Timestamp, now: Timestamp, max_age: Option<MaxAge>) -> bool {
    match max_age {
        Some(MaxAge::Limit(limit)) => {
            nanos(now) - nanos(then) <= i128::try_from(limit.as_nanos()).unwrap_or(i128::MAX)
        }
        Some(MaxAge::Unlimited) | None => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(hours: &[i64]) -> Vec<Timestamp> {
        hours.iter().map(|hour| Timestamp::from_second(hour * 3_600).expect("is in range")).collect()
    }

    #[test]
    fn the_newest_visible_row_is_taken() {
        assert_eq!(seen(&at(&[0, 5, 6]), &at(&[5, 5, 7])), [0, 2, 2]);
        assert_eq!(seen(&at(&[1]), &[]), [0]);
    }

    #[test]
    fn what_is_older_than_the_limit_is_no_answer() {
        let limit = Some(MaxAge::Limit(Duration::from_hours(3)));
        let fresh = at(&[5, 8, 9]).into_iter().map(|now| is_fresh(at(&[5])[0], now, limit));
        assert_eq!(fresh.collect::<Vec<_>>(), [true, true, false]);
        assert!(is_fresh(at(&[5])[0], at(&[9])[0], Some(MaxAge::Unlimited)));
    }

    #[test]
    fn a_delay_keeps_a_row_from_being_seen() {
        let delayed = visible(&at(&[0, 1]), Duration::from_hours(1));
        assert_eq!(seen(&at(&[0, 1, 2]), &delayed), [0, 1, 2]);
        let never = visible(&[Timestamp::UNIX_EPOCH, Timestamp::MAX], Duration::from_hours(1));
        assert_eq!(never.len(), 1);
    }
}
