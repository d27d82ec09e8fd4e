//! A circuit breaker: after too many failures a store is left alone for a while, so that requests fail at once instead of
//! each waiting for it, and a store that comes back is not met by everyone at the same time.
//!
//! `closed → open → half open → closed`, or back to `open` with twice the pause. It opens when the share of failures in a
//! sliding window reaches its limit and there were enough calls for that to mean something, or after so many failures in a
//! row. Half open, only a few probes pass. A call that began before the last change of state says nothing about the state
//! any more. Nothing here reads a clock.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tracing::{info, warn};

use super::window::SlidingWindow;
use crate::config::BreakerConfig;

/// Whether calls pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BreakerState {
    /// All do.
    Closed,
    /// None does, until the cooldown is over.
    Open,
    /// Probes do.
    HalfOpen,
}

impl BreakerState {
    /// `closed`, `open` or `half_open`, for the health page and metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open => "open",
            Self::HalfOpen => "half_open",
        }
    }
}

/// A breaker at one moment.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct BreakerHealth {
    /// Whether calls pass.
    pub state: BreakerState,
    /// For how long it has been so.
    pub since: Duration,
    /// Calls that ended in the window.
    pub calls: u64,
    /// Those of them that failed.
    pub failures: u64,
    /// How often it has opened.
    pub opened: u64,
    /// How long it stays open.
    pub retry_after: Option<Duration>,
    /// What the last failure was, and how long ago; a later success does not take it away.
    pub last_error: Option<(String, Duration)>,
    /// Whether the last call that told anything failed; `None` before the first.
    pub last_failed: Option<bool>,
}

/// A circuit breaker.
#[derive(Debug)]
pub(super) struct Breaker {
    config: BreakerConfig,
    /// A draw from 0 to 1.
    draw: fn() -> f64,
    /// Everything changes together, for a few instructions a call.
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    phase: Phase,
    since: Instant,
    /// Counts the changes of state.
    generation: u64,
    window: SlidingWindow,
    /// Openings since it was closed.
    trips: u32,
    opened: u64,
    last_error: Option<(String, Instant)>,
    last_failed: Option<bool>,
}

#[derive(Debug, Clone, Copy)]
enum Phase {
    Closed { failures_in_a_row: u32 },
    Open { until: Instant },
    HalfOpen { under_way: u32, succeeded: u32 },
}

/// What a call told of the store.
enum Told {
    Answered,
    Failed(String),
    Nothing,
}

/// Leave for one call. Dropped without a word it tells nothing of the store.
#[derive(Debug)]
pub(super) struct Permit<'a> {
    breaker: &'a Breaker,
    generation: u64,
    told: bool,
}

impl Permit<'_> {
    /// The store answered, be it with a refusal.
    pub(super) fn answered(mut self, now: Instant) {
        self.told = true;
        self.breaker.end(self.generation, now, Told::Answered);
    }

    /// The store failed.
    pub(super) fn failed(mut self, now: Instant, error: String) {
        self.told = true;
        self.breaker.end(self.generation, now, Told::Failed(error));
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        if !self.told {
            let since = self.breaker.lock().since;
            self.breaker.end(self.generation, since, Told::Nothing);
        }
    }
}

impl Breaker {
    pub(super) fn new(config: BreakerConfig, now: Instant, draw: fn() -> f64) -> Self {
        let inner = Inner {
            phase: Phase::Closed { failures_in_a_row: 0 },
            since: now,
            generation: 0,
            window: SlidingWindow::new(config.window, now),
            trips: 0,
            opened: 0,
            last_error: None,
            last_failed: None,
        };
        Self { config, draw, inner: Mutex::new(inner) }
    }

    /// How long nothing passes; `None` where a call may.
    pub(super) fn refuses(&self, now: Instant) -> Option<Duration> {
        match self.lock().phase {
            Phase::Open { until } if now < until => Some(until - now),
            Phase::Open { .. } | Phase::Closed { .. } => None,
            Phase::HalfOpen { under_way, succeeded } => {
                (under_way + succeeded >= self.probes()).then_some(self.config.cooldown)
            }
        }
    }

    /// Leave for a call, or how long none is given.
    pub(super) fn acquire(&self, now: Instant) -> Result<Permit<'_>, Duration> {
        let mut inner = self.lock();
        if let Phase::Open { until } = inner.phase {
            if now < until {
                return Err(until - now);
            }
            inner.turn(Phase::HalfOpen { under_way: 0, succeeded: 0 }, now);
        }
        if let Phase::HalfOpen { under_way, succeeded } = &mut inner.phase {
            if *under_way + *succeeded >= self.probes() {
                return Err(self.config.cooldown);
            }
            *under_way += 1;
        }
        Ok(Permit { breaker: self, generation: inner.generation, told: false })
    }

    pub(super) fn health(&self, now: Instant) -> BreakerHealth {
        let inner = self.lock();
        let (calls, failures) = inner.window.sum(now);
        let (state, retry_after) = match inner.phase {
            Phase::Closed { .. } => (BreakerState::Closed, None),
            Phase::Open { until } => (BreakerState::Open, Some(until.saturating_duration_since(now))),
            Phase::HalfOpen { .. } => (BreakerState::HalfOpen, None),
        };
        let ago = |(text, at): &(String, Instant)| (text.clone(), now.saturating_duration_since(*at));
        BreakerHealth {
            state,
            since: now.saturating_duration_since(inner.since),
            calls,
            failures,
            opened: inner.opened,
            retry_after,
            last_error: inner.last_error.as_ref().map(ago),
            last_failed: inner.last_failed,
        }
    }

    /// An error that does not count, and that somebody has to mend: told once a minute, and on the health page.
    pub(super) fn noticed(&self, now: Instant, error: String) {
        let mut inner = self.lock();
        let known = inner.last_error.as_ref().is_some_and(|(text, at)| {
            *text == error && now.saturating_duration_since(*at) < Duration::from_mins(1)
        });
        inner.last_failed = Some(true);
        if !known {
            warn!(error, "the feature store refuses");
            inner.last_error = Some((error, now));
        }
    }

    fn end(&self, generation: u64, now: Instant, told: Told) {
        let mut inner = self.lock();
        let inner = &mut *inner;
        let current = inner.generation == generation;
        let failed = match told {
            Told::Nothing => {
                if let (true, Phase::HalfOpen { under_way, .. }) = (current, &mut inner.phase) {
                    *under_way = under_way.saturating_sub(1);
                }
                return;
            }
            Told::Answered => false,
            Told::Failed(error) => {
                inner.last_error = Some((error, now));
                true
            }
        };
        inner.last_failed = Some(failed);
        if current {
            inner.window.add(now, 1, u64::from(failed));
            self.count(inner, now, failed);
        }
    }

    fn count(&self, inner: &mut Inner, now: Instant, failed: bool) {
        match &mut inner.phase {
            Phase::Closed { failures_in_a_row } => {
                *failures_in_a_row = if failed { failures_in_a_row.saturating_add(1) } else { 0 };
                let in_a_row = *failures_in_a_row >= self.config.consecutive_failures.max(1);
                if failed && (in_a_row || self.too_many(inner.window.sum(now))) {
                    self.open(inner, now);
                }
            }
            Phase::HalfOpen { .. } if failed => self.open(inner, now),
            Phase::HalfOpen { under_way, succeeded } => {
                *under_way = under_way.saturating_sub(1);
                *succeeded += 1;
                if *succeeded >= self.probes() {
                    info!("the feature store answers again: its circuit breaker is closed");
                    inner.turn(Phase::Closed { failures_in_a_row: 0 }, now);
                    inner.trips = 0;
                    inner.window.clear();
                }
            }
            // Its generation ended with the call that opened it.
            Phase::Open { .. } => {}
        }
    }

    fn too_many(&self, (calls, failures): (u64, u64)) -> bool {
        calls >= u64::from(self.config.minimum_calls.max(1))
            && failures as f64 >= self.config.failure_rate.get() * calls as f64
    }

    /// Up to a quarter of the cooldown is taken off by chance, so that many servers do not probe at once.
    fn open(&self, inner: &mut Inner, now: Instant) {
        let grown = self.config.cooldown.saturating_mul(1_u32.checked_shl(inner.trips).unwrap_or(u32::MAX));
        let cooldown = grown.min(self.config.max_cooldown).mul_f64(1.0 - (self.draw)() / 4.0);
        let error = inner.last_error.as_ref().map_or("", |(text, _)| text.as_str());
        warn!(
            error,
            retry_in_ms = cooldown.as_millis(),
            "the feature store fails: its circuit breaker is open"
        );
        inner.turn(Phase::Open { until: now + cooldown }, now);
        inner.trips = inner.trips.saturating_add(1).min(31);
        inner.opened += 1;
    }

    fn probes(&self) -> u32 {
        self.config.probes.max(1)
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // No call leaves it half changed.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn turn(&mut self, phase: Phase, now: Instant) {
        self.phase = phase;
        self.since = now;
        self.generation += 1;
    }
}

#[cfg(test)]
mod tests;
