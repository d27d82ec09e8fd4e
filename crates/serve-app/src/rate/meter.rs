//! What counts requests against a rate: one meter for one caller, or many, one for each address or subject.
//!
//! What clients choose must not grow memory: many meters are bounded. Where there are more than [`MOST`] keys that were
//! used lately, further ones share [`SHARED`] meters by their hash, so that some are counted together; none goes uncounted.

use std::hash::{BuildHasher as _, Hash, RandomState};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use governor::clock::{Clock as _, DefaultClock};
use governor::middleware::{StateInformationMiddleware, StateSnapshot};
use governor::state::keyed::DashMapStateStore;
use governor::state::{InMemoryState, NotKeyed};
use governor::{NotUntil, RateLimiter};

use super::Rate;
use crate::striped::Striped;

type Instant = <DefaultClock as governor::clock::Clock>::Instant;

/// The most keys that are counted each by itself.
const MOST: usize = 100_000;

/// How many meters further keys share.
const SHARED: u64 = 1 << 16;

/// After how many requests of a thread it is looked whether there are too many keys.
const SWEEP: u64 = 1024;

/// Where somebody stands against one limit, as answers tell it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// Which limit: `key` or `address`.
    pub policy: &'static str,
    /// The limit.
    pub rate: Rate,
    /// How many more may come at once.
    pub remaining: u32,
    /// Until when all of the limit is there again.
    pub reset: Duration,
}

/// What came of a request for one more.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Taken {
    pub(crate) standing: Standing,
    /// How long to wait, where there was none left.
    pub(crate) wait: Option<Duration>,
}

/// Counts one caller's requests.
#[derive(Debug)]
pub(crate) struct Meter {
    rate: Rate,
    limiter: RateLimiter<NotKeyed, InMemoryState, DefaultClock, StateInformationMiddleware>,
}

impl Meter {
    pub(crate) fn new(rate: Rate) -> Self {
        Self { rate, limiter: RateLimiter::direct(rate.quota()).with_middleware() }
    }

    pub(crate) fn rate(&self) -> Rate {
        self.rate
    }

    pub(crate) fn take(&self, policy: &'static str) -> Taken {
        taken(policy, self.rate, self.limiter.check(), || self.limiter.clock().now())
    }
}

/// A key with a meter of its own, or one of those that share.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Counted<K> {
    Alone(K),
    Together(u16),
}

/// Counts the requests of many.
#[derive(Debug)]
pub(crate) struct Meters<K: Hash + Eq + Clone> {
    rate: Rate,
    limiter: RateLimiter<Counted<K>, DashMapStateStore<Counted<K>>, DefaultClock, StateInformationMiddleware>,
    hasher: RandomState,
    most: usize,
    crowded: AtomicBool,
    asked: Striped<AtomicU64>,
}

impl<K: Hash + Eq + Clone> Meters<K> {
    pub(crate) fn new(rate: Rate) -> Self {
        Self::with_most(rate, MOST)
    }

    fn with_most(rate: Rate, most: usize) -> Self {
        Self {
            rate,
            limiter: RateLimiter::dashmap(rate.quota()).with_middleware(),
            hasher: RandomState::new(),
            most,
            crowded: AtomicBool::new(false),
            asked: Striped::default(),
        }
    }

    pub(crate) fn rate(&self) -> Rate {
        self.rate
    }

    pub(crate) fn take(&self, policy: &'static str, key: K) -> Taken {
        let asked = self.asked.mine();
        if asked.load(Ordering::Relaxed).is_multiple_of(SWEEP) {
            self.sweep();
        }
        asked.add(|asked| asked, 1);
        let key = if self.crowded.load(Ordering::Relaxed) {
            Counted::Together((self.hasher.hash_one(&key) % SHARED) as u16)
        } else {
            Counted::Alone(key)
        };
        taken(policy, self.rate, self.limiter.check_key(&key), || self.limiter.clock().now())
    }

    /// Forgets those whose whole allowance is there again, where there are many.
    fn sweep(&self) {
        if self.limiter.len() > self.most / 2 {
            self.limiter.retain_recent();
            self.limiter.shrink_to_fit();
        }
        self.crowded.store(self.limiter.len() > self.most, Ordering::Relaxed);
    }

    #[cfg(test)]
    fn len(&self) -> usize {
        self.limiter.len()
    }
}

fn taken(
    policy: &'static str,
    rate: Rate,
    outcome: Result<StateSnapshot, NotUntil<Instant>>,
    now: impl Fn() -> Instant,
) -> Taken {
    let (remaining, wait) = match outcome {
        Ok(state) => (state.remaining_burst_capacity(), None),
        Err(until) => (0, Some(until.wait_time_from(now()))),
    };
    let reset = rate.interval() * (rate.burst() - remaining.min(rate.burst()));
    Taken { standing: Standing { policy, rate, remaining, reset }, wait }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rate(text: &str) -> Rate {
        text.parse().expect("is a rate")
    }

    #[test]
    fn a_burst_is_let_through_and_then_nothing() {
        let meter = Meter::new(rate("1/h burst 3"));
        let left: Vec<u32> = (0..3).map(|_| meter.take("key").standing.remaining).collect();
        assert_eq!(left, [2, 1, 0]);
        let refused = meter.take("key");
        let wait = refused.wait.expect("is refused");
        assert!(wait > Duration::from_secs(3_590) && wait <= Duration::from_secs(3_600), "{wait:?}");
        assert_eq!((refused.standing.remaining, refused.standing.reset), (0, Duration::from_secs(3 * 3_600)));
    }

    #[test]
    fn everyone_is_counted_alone() {
        let meters = Meters::new(rate("1/h"));
        assert!(meters.take("address", 1).wait.is_none());
        assert!(meters.take("address", 2).wait.is_none());
        assert!(meters.take("address", 1).wait.is_some());
    }

    #[test]
    fn a_flood_of_keys_is_bounded_and_still_counted() {
        let most = 2_048;
        let meters = Meters::with_most(rate("1/h"), most);
        for key in 0..300_000_u64 {
            meters.take("address", key);
        }
        let bound = most + SWEEP as usize + SHARED as usize;
        assert!(meters.len() <= bound, "{} keys", meters.len());
        assert!(meters.crowded.load(Ordering::Relaxed));
        let refused =
            (300_000..301_000_u64).filter(|key| meters.take("address", *key).wait.is_some()).count();
        assert!(refused > 900, "{refused} of 1000 are counted with those that were there");
    }

    #[test]
    fn those_with_a_whole_allowance_are_forgotten() {
        let meters = Meters::with_most(rate("1000000/s burst 1"), 64);
        for key in 0..20_000_u64 {
            meters.take("address", key);
        }
        assert!(meters.len() <= 64 + SWEEP as usize, "{} keys", meters.len());
    }
}
