//! Asking again, within bounds: a budget that calls pay into and retries draw on, so that retries add a fifth to a
//! store's load in the long run and never double it; and pauses of random length, so that those who failed together do not
//! come back together (Brooker, "Exponential backoff and jitter", 2015: full jitter).

use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// What a retry costs, in units of the budget.
const RETRY: u32 = 5;
/// What a call pays in.
const CALL: u32 = 1;
/// The most that is saved up: ten retries.
const FULL: u32 = 10 * RETRY;

/// How many retries there may be.
#[derive(Debug)]
pub(super) struct RetryBudget(AtomicU32);

impl RetryBudget {
    pub(super) fn new() -> Self {
        Self(AtomicU32::new(FULL))
    }

    /// A call was made.
    pub(super) fn pay_in(&self) {
        let add = |saved: u32| (saved < FULL).then_some((saved + CALL).min(FULL));
        let _full = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add);
    }

    /// Whether a retry may be made; it is counted.
    pub(super) fn draw(&self) -> bool {
        let take = |saved: u32| saved.checked_sub(RETRY);
        self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).is_ok()
    }
}

/// The pause before attempt `attempt + 1`.
pub(super) fn pause(backoff: Duration, attempt: u32, draw: f64) -> Duration {
    let longest = backoff.saturating_mul(1_u32.checked_shl(attempt.saturating_sub(1)).unwrap_or(u32::MAX));
    longest.mul_f64(draw)
}

/// A number from 0 to 1.
pub(super) fn draw() -> f64 {
    random() as f64 / u64::MAX as f64
}

/// A number that nobody guesses and hardly anybody draws again.
pub(crate) fn random() -> u64 {
    // Every `RandomState` has keys of its own, drawn from the operating system's randomness once a thread.
    RandomState::new().hash_one(0_u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retries_add_a_fifth_at_most_in_the_long_run() {
        let budget = RetryBudget::new();
        let retries = (0..1_000).filter(|_| {
            budget.pay_in();
            budget.draw()
        });
        assert_eq!(retries.count(), 10 + 1_000 / 5 - 1);
    }

    #[test]
    fn a_quiet_time_saves_up_no_more_than_ten() {
        let budget = RetryBudget::new();
        (0..1_000).for_each(|_| budget.pay_in());
        assert_eq!((0..100).filter(|_| budget.draw()).count(), 10);
    }

    #[test]
    fn pauses_double_and_are_drawn_in_full() {
        let backoff = Duration::from_millis(5);
        assert_eq!(pause(backoff, 1, 1.0), backoff);
        assert_eq!(pause(backoff, 3, 1.0), 4 * backoff);
        assert_eq!(pause(backoff, 3, 0.0), Duration::ZERO);
        assert!((0..100).map(|_| draw()).all(|x| (0.0..=1.0).contains(&x)));
    }
}
