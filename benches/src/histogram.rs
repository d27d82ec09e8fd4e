//! Latencies in bounded memory: counts in buckets whose width is at most 1/64 of what they hold, so that a percentile is
//! within 1.6 % of the exact one.

use std::time::Duration;

/// Buckets per power of two.
const FINE: u64 = 64;

/// How often which latency was seen.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Histogram {
    counts: Vec<u64>,
    total: u64,
}

impl Histogram {
    /// Counts one.
    pub fn add(&mut self, latency: Duration) {
        let at = bucket(u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX));
        if at >= self.counts.len() {
            self.counts.resize(at + 1, 0);
        }
        self.counts[at] += 1;
        self.total += 1;
    }

    /// Counts what another one has counted.
    pub fn merge(&mut self, other: &Self) {
        if other.counts.len() > self.counts.len() {
            self.counts.resize(other.counts.len(), 0);
        }
        self.counts.iter_mut().zip(&other.counts).for_each(|(mine, more)| *mine += more);
        self.total += other.total;
    }

    /// How many were counted.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.total
    }

    /// Whether none was.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.total == 0
    }

    /// The least latency that `share` of all do not exceed, by the nearest rank; zero for none.
    #[must_use]
    pub fn percentile(&self, share: f64) -> Duration {
        let rank = ((share * self.total as f64).ceil() as u64).max(1);
        let mut below = 0;
        let found = self.counts.iter().position(|count| {
            below += count;
            below >= rank
        });
        Duration::from_nanos(found.map_or(0, least))
    }
}

/// Up to 127 each value has a bucket of its own; from there on 64 share a power of two.
fn bucket(nanos: u64) -> usize {
    let shift = nanos.max(1).ilog2().saturating_sub(FINE.ilog2());
    (u64::from(shift) * FINE + (nanos >> shift)) as usize
}

/// The least value in a bucket.
fn least(bucket: usize) -> u64 {
    let bucket = bucket as u64;
    let shift = (bucket / FINE).saturating_sub(1);
    (bucket - shift * FINE) << shift
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_lies_in_its_bucket_and_buckets_are_narrow() {
        let values =
            (0..1000).chain((7..64).flat_map(|power| [(1 << power) - 1, 1 << power, (1 << power) + 1]));
        for value in values.chain([u64::MAX]) {
            let (from, next) = (least(bucket(value)), bucket(value) + 1);
            assert!(from <= value && value - from <= value / 64, "{value} in a bucket from {from}");
            assert!(value >= 1 << 62 || least(next) > value, "{value} before {}", least(next));
        }
    }

    #[test]
    fn percentiles_are_those_of_the_nearest_rank() {
        let mut low = Histogram::default();
        assert!(low.is_empty() && low.percentile(0.5).is_zero());
        (1..=100).for_each(|nanos| low.add(Duration::from_nanos(nanos)));
        let share = |share| low.percentile(share).as_nanos();
        assert_eq!([share(0.0), share(0.5), share(0.99), share(1.0)], [1, 50, 99, 100]);
        let mut both = Histogram::default();
        (0..100).for_each(|_| both.add(Duration::from_nanos(1_001)));
        both.merge(&low);
        assert_eq!((both.len(), both.percentile(0.5).as_nanos()), (200, 100));
        assert_eq!(both.percentile(1.0).as_nanos(), 1_000, "the bucket that holds 1,001 begins there");
    }
}
