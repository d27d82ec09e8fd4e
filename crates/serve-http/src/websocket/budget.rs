//! How many messages a client may send: a bucket that fills as time goes by.

use tokio::time::Instant;

/// How long a client may send faster than it may on average.
const BURST_SECONDS: f64 = 2.0;

/// What is left of it.
pub(super) struct Budget {
    rate: f64,
    left: f64,
    at: Instant,
}

impl Budget {
    pub(super) fn new(rate: u32) -> Self {
        let rate = f64::from(rate);
        Self { rate, left: rate * BURST_SECONDS, at: Instant::now() }
    }

    /// Whether one more may be.
    pub(super) fn spend(&mut self, now: Instant) -> bool {
        let passed = now.saturating_duration_since(self.at).as_secs_f64();
        self.at = now;
        self.left = (self.left + passed * self.rate).min(self.rate * BURST_SECONDS);
        let may = self.left >= 1.0;
        if may {
            self.left -= 1.0;
        }
        may
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_client_sends_so_much_on_average() {
        let mut budget = Budget::new(10);
        let start = budget.at;
        assert_eq!((0..100).filter(|_| budget.spend(start)).count(), 20);
        let later = start + Duration::from_millis(500);
        assert_eq!((0..100).filter(|_| budget.spend(later)).count(), 5);
        let much_later = start + Duration::from_mins(5);
        assert_eq!((0..100).filter(|_| budget.spend(much_later)).count(), 20);
    }
}
