//! A histogram of durations: two atomic additions an observation.

use std::sync::atomic::AtomicU64;
use std::time::Duration;

use crate::striped::Striped;

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
pub struct Latency(Striped<Durations>);

/// Those that some threads counted.
#[derive(Debug, Default)]
struct Durations {
    /// The last counts what is longer than all bounds.
    counts: [AtomicU64; BOUNDS.len() + 1],
    nanoseconds: AtomicU64,
}

impl Latency {
    /// Counts one.
    pub fn observe(&self, took: Duration) {
        let nanoseconds = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        let bucket = BOUNDS.iter().position(|bound| nanoseconds <= *bound).unwrap_or(BOUNDS.len());
        let mine = self.0.mine();
        mine.add(|durations| &durations.counts[bucket], 1);
        mine.add(|durations| &durations.nanoseconds, nanoseconds);
    }

    /// How many were counted.
    #[must_use]
    pub fn count(&self) -> u64 {
        (0..=BOUNDS.len()).map(|bucket| self.counted(bucket)).sum()
    }

    fn counted(&self, bucket: usize) -> u64 {
        self.0.sum(|durations| &durations.counts[bucket])
    }

    /// How many were at most as long as each bound in seconds; how many in all; and the seconds of all.
    pub(super) fn cumulative(&self) -> (Vec<(f64, u64)>, u64, f64) {
        let mut sum = 0;
        let mut upto = |bucket| {
            sum += self.counted(bucket);
            sum
        };
        let buckets = BOUNDS.iter().enumerate();
        let buckets = buckets.map(|(bucket, bound)| (*bound as f64 / 1e9, upto(bucket))).collect();
        let all = upto(BOUNDS.len());
        (buckets, all, self.0.sum(|durations| &durations.nanoseconds) as f64 / 1e9)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::striped;

    #[test]
    fn a_bound_belongs_to_its_bucket() {
        let latency = Latency::default();
        for nanoseconds in [0, 50_000, 50_001, 10_000_000_000, 10_000_000_001] {
            latency.observe(Duration::from_nanos(nanoseconds));
        }
        let (buckets, all, _) = latency.cumulative();
        assert_eq!((buckets[0], buckets[1], buckets[16], all), ((5e-5, 2), (1e-4, 3), (10.0, 4), 5));
        assert_eq!(latency.count(), 5);
        striped::by_two_threads(|| latency.observe(Duration::from_nanos(50_001)));
        let (buckets, all, seconds) = latency.cumulative();
        assert_eq!((buckets[0], buckets[1], all), ((5e-5, 2), (1e-4, 5), 7));
        assert!((seconds - 20.000_200_004).abs() < 1e-9, "{seconds}");
    }
}
