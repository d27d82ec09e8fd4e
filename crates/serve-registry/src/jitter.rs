//! Waiting times that differ between processes, so that many servers on one registry do not ask at the same moment.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

/// A duration drawn evenly from `share` below to `share` above `duration`.
///
/// ```
/// let period = std::time::Duration::from_secs(5);
/// let next = serve_registry::jitter::around(period, 0.2);
/// assert!(next >= period.mul_f64(0.8) && next <= period.mul_f64(1.2));
/// ```
#[must_use]
pub fn around(duration: Duration, share: f64) -> Duration {
    // Every `RandomState` has keys of its own, drawn from the operating system's randomness once a thread.
    let drawn = RandomState::new().hash_one(0) as f64 / u64::MAX as f64;
    duration.mul_f64((1.0 + share.clamp(0.0, 1.0) * (2.0 * drawn - 1.0)).max(0.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_differ_and_stay_within_the_share() {
        let second = Duration::from_secs(1);
        let drawn: Vec<_> = (0..200).map(|_| around(second, 0.2)).collect();
        assert!(drawn.iter().all(|d| (800..=1200).contains(&d.as_millis())), "{drawn:?}");
        let below = drawn.iter().filter(|d| **d < second).count();
        assert!((40..=160).contains(&below), "{below} of 200 below the middle");
        assert_eq!(around(second, 0.0), second);
    }
}
