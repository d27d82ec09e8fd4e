//! When a cache that fails is left alone. Its own, and simpler than a store's: a cache is skipped without harm, so one probe
//! at a time is enough, and nothing has to be told to anybody.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Failures in a row after which Redis is not asked for a while.
pub(super) const FAILURES: u32 = 3;
/// For how long at first; each further failure doubles it.
const PAUSE: Duration = Duration::from_millis(500);
/// The longest.
const LONGEST_PAUSE: Duration = Duration::from_secs(15);

#[derive(Debug, Default)]
pub(super) struct Breaker(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    failures: u32,
    /// There from the last of [`FAILURES`] failures on until a success.
    pause: Option<(Instant, Duration)>,
    /// A caller was let through after the pause, and nothing is known of it yet.
    probing: bool,
}

impl Breaker {
    /// Whether to ask. After a pause one caller may; the others wait for what comes of it.
    pub(super) fn allows(&self, now: Instant) -> bool {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match &mut state.pause {
            None => true,
            Some((until, _)) if now < *until => false,
            Some((until, pause)) => {
                *until = now + *pause;
                state.probing = true;
                true
            }
        }
    }

    /// Whether Redis is left alone, or was and has not answered since.
    pub(super) fn is_open(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).pause.is_some()
    }

    /// Notes an answer; whether it ends a time without.
    pub(super) fn succeeded(&self) -> bool {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut *state).pause.is_some()
    }

    /// Notes a failure; whether it is the one from which on Redis is left alone.
    pub(super) fn failed(&self, now: Instant) -> bool {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.failures = state.failures.saturating_add(1);
        // What began before the pause tells nothing new.
        let (open, known) = (state.pause.is_some(), state.pause.is_some() && !state.probing);
        if state.failures >= FAILURES && !known {
            let pause = state.pause.map_or(PAUSE, |(_, pause)| (pause * 2).min(LONGEST_PAUSE));
            state.pause = Some((now + pause, pause));
            state.probing = false;
        }
        !open && state.pause.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_in_a_row_open_it_and_one_probe_at_a_time_closes_it() {
        let (breaker, start) = (Breaker::default(), Instant::now());
        breaker.failed(start);
        breaker.failed(start);
        assert!(!breaker.succeeded(), "it was never closed");
        let mut opened = Vec::new();
        for _ in 0..FAILURES {
            assert!(breaker.allows(start) && !breaker.is_open());
            opened.push(breaker.failed(start));
        }
        assert_eq!(opened, [false, false, true]);
        assert!(!breaker.allows(start) && breaker.is_open());
        let later = start + PAUSE;
        assert!(breaker.allows(later), "a probe");
        assert!(!breaker.allows(later), "only one");
        assert!(!breaker.failed(later), "it was open");
        assert!(!breaker.allows(later + PAUSE), "the pause has grown");
        assert!(breaker.allows(later + PAUSE * 2));
        assert!(breaker.succeeded());
        assert!(breaker.allows(later) && breaker.allows(later) && !breaker.succeeded());
    }

    #[test]
    fn the_pause_has_a_cap() {
        let (breaker, mut now) = (Breaker::default(), Instant::now());
        // Many that were under way together fail together, which is one pause.
        assert_eq!((0..100).filter(|_| breaker.failed(now)).count(), 1);
        assert!(breaker.allows(now + PAUSE));
        for _ in 0..100 {
            assert!(!breaker.failed(now));
            now += LONGEST_PAUSE;
            assert!(breaker.allows(now));
        }
        assert!(!breaker.failed(now));
        assert!(!breaker.allows(now + LONGEST_PAUSE.saturating_sub(Duration::from_millis(1))));
        assert!(breaker.allows(now + LONGEST_PAUSE));
    }
}
