//! Many ask for a look at the world as it is from now on, and those who wait share the next look.
//!
//! This is not [single flight](super::single_flight): a run that is under way may have looked before the caller's change,
//! so a caller never gets the outcome of a run that began before it asked. It waits for the next one, together with all
//! others who wait, and one of them does the work. So any number of simultaneous calls cause two runs at the most.
//! Invariants:
//!
//! - One run at a time.
//! - A caller gets the outcome of its own run, or of one that began after it asked.
//! - A run that panics ends like any other, for its own caller with the panic; of those who waited for it, one does its own
//!   work instead.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::PoisonError;

use super::primitives::{Arc, Condvar, Mutex, MutexGuard};

struct State<T> {
    /// The number of the run that began last.
    started: u64,
    /// Whether that run is under way.
    running: bool,
    /// How many wait for a run to end.
    waiting: usize,
    /// The number and the outcome of the last run that did not panic, kept while somebody waits.
    last: Option<(u64, Arc<T>)>,
}

impl<T> State<T> {
    fn outcome_since(&self, run: u64) -> Option<Arc<T>> {
        self.last.as_ref().filter(|(ended, _)| *ended >= run).map(|(_, outcome)| Arc::clone(outcome))
    }
}

/// Runs of some work, one at a time; see the module.
pub(crate) struct Coalesce<T> {
    state: Mutex<State<T>>,
    ended: Condvar,
}

impl<T: Clone> Coalesce<T> {
    /// Nothing has run.
    pub(crate) fn new() -> Self {
        let state = State { started: 0, running: false, waiting: 0, last: None };
        Self { state: Mutex::new(state), ended: Condvar::new() }
    }

    /// Does `work`, or waits for another caller's that begins after this call. `work` must not call `run` itself: it would
    /// wait for its own end.
    pub(crate) fn run(&self, work: impl FnOnce() -> T) -> T {
        let mut state = self.lock();
        if state.running {
            let next = state.started + 1;
            state.waiting += 1;
            while state.running && state.outcome_since(next).is_none() {
                state = self.ended.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
            state.waiting -= 1;
            if let Some(outcome) = state.outcome_since(next) {
                let kept = if state.waiting == 0 { state.last.take() } else { None };
                drop(state);
                drop(kept);
                return unshared(outcome);
            }
        }
        state.started += 1;
        state.running = true;
        let run = state.started;
        drop(state);
        let outcome = catch_unwind(AssertUnwindSafe(work)).map(Arc::new);
        self.end(run, outcome.as_ref().ok());
        outcome.map_or_else(|panic| resume_unwind(panic), unshared)
    }

    fn end(&self, run: u64, outcome: Option<&Arc<T>>) {
        let mut state = self.lock();
        state.running = false;
        let mut before = None;
        if let Some(outcome) = outcome {
            let kept = (state.waiting > 0).then(|| (run, Arc::clone(outcome)));
            before = std::mem::replace(&mut state.last, kept);
        }
        drop(state);
        // Outcomes are the caller's; none is dropped under the lock.
        drop(before);
        self.ended.notify_all();
    }

    /// How many wait for a run to end.
    #[cfg(test)]
    pub(crate) fn waiting(&self) -> usize {
        self.lock().waiting
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        // No code of a caller runs under the lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn unshared<T: Clone>(outcome: Arc<T>) -> T {
    Arc::try_unwrap(outcome).unwrap_or_else(|shared| (*shared).clone())
}
