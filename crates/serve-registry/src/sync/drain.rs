//! Frees what was replaced, on a thread of its own and never on a reader's.
//!
//! The drain keeps a reference to everything handed to it and looks from time to time whether that is the last one. It
//! then takes the value out of its `Arc` with `try_unwrap`, one atomic step from one reference to none: a reader that comes
//! by a `Weak` in that moment either finds nothing, or keeps the value until a later look. Invariants, while the drain
//! lives:
//!
//! - A destructor runs on the drain's thread, once, when no reader holds the value; the callback runs after it, there too.
//! - A destructor or a callback that panics does not end the thread.
//! - Something handed over twice counts once: the drain's own second reference would keep it for ever.
//!
//! When the drain is dropped, it frees what nobody reads and lets the rest go: the last reader then frees it, because
//! waiting for it could take for ever. Callbacks of the rest are dropped uncalled.
//!
//! Looking is polling, because an `Arc` tells nobody that it was dropped, and a wrapper that did would cost every reader.
//! While nothing drains, the thread sleeps.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::PoisonError;
use std::time::Duration;

use super::primitives::{Arc, Builder, Condvar, JoinHandle, Mutex, MutexGuard, current, wait_a_while};

/// The pause after something was handed over; most readers are done by then.
const FIRST_PAUSE: Duration = Duration::from_millis(1);

/// Pauses double up to this one, which bounds how long something stays after its last reader has ended.
const LONGEST_PAUSE: Duration = Duration::from_millis(32);

type Callback = Box<dyn FnOnce() + Send>;

struct Draining<T> {
    value: Arc<T>,
    freed: Vec<Callback>,
}

struct State<T> {
    draining: Vec<Draining<T>>,
    /// Whether something was handed over since the last look.
    arrived: bool,
    closed: bool,
}

impl<T> State<T> {
    /// Takes out what nobody else holds.
    fn unread(&mut self) -> Vec<(T, Vec<Callback>)> {
        let mut unread = Vec::new();
        for Draining { value, freed } in std::mem::take(&mut self.draining) {
            match Arc::try_unwrap(value) {
                Ok(value) => unread.push((value, freed)),
                Err(value) => self.draining.push(Draining { value, freed }),
            }
        }
        unread
    }
}

struct Shared<T> {
    state: Mutex<State<T>>,
    changed: Condvar,
}

/// What drains, and the thread that frees it; see the module.
pub(crate) struct Drain<T> {
    shared: Arc<Shared<T>>,
    thread: Option<JoinHandle<()>>,
}

impl<T: Send + Sync + 'static> Drain<T> {
    /// Starts the thread, under this name.
    pub(crate) fn start(name: &str) -> io::Result<Self> {
        let state = State { draining: Vec::new(), arrived: false, closed: false };
        let shared = Arc::new(Shared { state: Mutex::new(state), changed: Condvar::new() });
        let work = {
            let shared = Arc::clone(&shared);
            move || shared.work()
        };
        let thread = Builder::new().name(name.to_owned()).spawn(work)?;
        Ok(Self { shared, thread: Some(thread) })
    }

    /// Takes over what nobody new can come to read. `freed` is called on the drain's thread once the value is gone.
    pub(crate) fn retire(&self, value: Arc<T>, freed: impl FnOnce() + Send + 'static) {
        let freed: Callback = Box::new(freed);
        let mut state = self.shared.lock();
        match state.draining.iter_mut().find(|known| Arc::ptr_eq(&known.value, &value)) {
            Some(known) => known.freed.push(freed),
            None => state.draining.push(Draining { value, freed: vec![freed] }),
        }
        state.arrived = true;
        drop(state);
        self.shared.changed.notify_one();
    }
}

impl<T> Drop for Drain<T> {
    fn drop(&mut self) {
        self.shared.lock().closed = true;
        self.shared.changed.notify_one();
        // A callback may own the drain; its thread cannot wait for itself.
        if let Some(thread) = self.thread.take().filter(|thread| thread.thread().id() != current().id()) {
            drop(thread.join());
        }
    }
}

impl<T> Shared<T> {
    fn work(&self) {
        let mut pause = FIRST_PAUSE;
        loop {
            let (unread, last) = self.look(&mut pause);
            for (value, freed) in unread {
                survive(|| drop(value));
                freed.into_iter().for_each(survive);
            }
            if last {
                let rest = std::mem::take(&mut self.lock().draining);
                // On this thread too: the last reader may end right now.
                return survive(|| drop(rest));
            }
        }
    }

    /// Waits until there is something to look at, takes out what nobody reads, and pauses where there was nothing. Answers
    /// also with whether the drain was closed before this look.
    fn look(&self, pause: &mut Duration) -> (Vec<(T, Vec<Callback>)>, bool) {
        let mut state = self.lock();
        while state.draining.is_empty() && !state.closed {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        if std::mem::take(&mut state.arrived) {
            *pause = FIRST_PAUSE;
        }
        let closed = state.closed;
        let unread = state.unread();
        if unread.is_empty() && !closed {
            drop(wait_a_while(&self.state, &self.changed, state, *pause));
            *pause = (*pause * 2).min(LONGEST_PAUSE);
        }
        (unread, closed)
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        // No code of a caller runs under the lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Runs a caller's code; its panic was reported by the hook and goes no further.
fn survive(work: impl FnOnce()) {
    drop(catch_unwind(AssertUnwindSafe(work)));
}
