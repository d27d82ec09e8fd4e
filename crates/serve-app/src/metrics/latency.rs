//! A histogram of durations: two atomic additions an observation.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Upper bounds in nanoseconds, from 50 µs to 10 s.
const BOUNDS: [u64; 17] = [
    50_000,
    100_000,
    200_000,
    500_000,
    1_000_000,
    2_000_000,
    5_000_000,
    10_000_000,
    20_000_000,
    50_000_000,
    100_000_000,
    200_000_000,
    500_000_000,
    1_000_000_000,
    2_000_000_000,
    5_000_000_000,
    10_000_000_000,
];

/// Durations, counted by size.
#[derive(Debug, Default)]
pub struct Latency {
    /// The last counts what is longer than all bounds.
    counts: [AtomicU64; BOUNDS.len() + 1],
    nanoseconds: AtomicU64,
}

impl Latency {
    /// Counts one.
    pub fn observe(&self, took: Duration) {
        let nanoseconds = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        let bucket = BOUNDS.iter().position(|bound| nanoseconds <= *bound).unwrap_or(BOUNDS.len());
        self.counts[bucket].fetch_add(1, Ordering::Relaxed);
        self.nanoseconds.fetch_add(nanoseconds, Ordering::Relaxed);
    }

    /// How many were counted.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.counts.iter().map(|count| count.load(Ordering::Relaxed)).sum()
    }

    /// How many were at most as long as each bound in seconds; how many in all; and the seconds of all.
    pub(super) fn cumulative(&self) -> (Vec<(f64, u64)>, u64, f64) {
        let mut sum = 0;
        let mut upto = |count: &AtomicU64| {
            sum += count.load(Ordering::Relaxed);
            sum
        };
        let buckets = BOUNDS.iter().zip(&self.counts);
        let buckets = buckets.map(|(bound, count)| (*bound as f64 / 1e9, upto(count))).collect();
        let all = upto(&self.counts[BOUNDS.len()]);
        (buckets, all, self.nanoseconds.load(Ordering::Relaxed) as f64 / 1e9)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bound_belongs_to_its_bucket() {
        let latency = Latency::default();
        for nanoseconds in [0, 50_000, 50_001, 10_000_000_000, 10_000_000_001] {
            latency.observe(Duration::from_nanos(nanoseconds));
        }
        let (buckets, all, _) = latency.cumulative();
        assert_eq!((buckets[0], buckets[1], buckets[16], all), ((5e-5, 2), (1e-4, 3), (10.0, 4), 5));
        assert_eq!(latency.count(), 5);
    }
}
