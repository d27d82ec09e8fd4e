//! Many ask for the same thing, the work is done once, and all get its outcome.
//!
//! Whoever asks for a key first leads: it gets a [`Flight`] and does the work, or hands it to a thread. Whoever asks while
//! the flight is under way leaves a callback, up to a bound. Invariants:
//!
//! - One flight per key at a time; only that flight removes its key, and it does so once.
//! - The key is removed before the first callback is called. So a caller either is among those who are called, or leads a
//!   flight of its own that begins after; nobody is left in a flight that has ended. A leader therefore looks first
//!   whether the work was done meanwhile, and publishes what it made before it ends the flight.
//! - A callback is called once, or dropped uncalled where the flight was dropped without an outcome (its thread panicked).
//!   A callback that owns the sender of a channel closes it in both cases, so no receiver waits for ever.
//! - No callback runs, and none is dropped, under the lock.
//!
//! A waiter that gives up keeps its place until the flight ends; its callback then finds that nobody listens.
//!
//! The name and the idea are those of Go's `golang.org/x/sync/singleflight`.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::Hash;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::PoisonError;

use super::primitives::{Arc, Mutex, MutexGuard};

type Callback<V> = Box<dyn FnOnce(V) + Send>;

/// The callbacks of every flight under way, in order of arrival, the leader's own first.
struct Flights<K, V>(Mutex<HashMap<K, Vec<Callback<V>>>>);

impl<K, V> Flights<K, V> {
    fn lock(&self) -> MutexGuard<'_, HashMap<K, Vec<Callback<V>>>> {
        // Each change of the map is a single insertion, push or removal.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The flights of some kind of work; see the module.
pub(crate) struct SingleFlight<K, V> {
    flights: Arc<Flights<K, V>>,
    max_waiting: usize,
}

/// What a caller of [`SingleFlight::join`] has become.
#[must_use = "the one who leads has to do the work"]
pub(crate) enum Join<K: Eq + Hash, V> {
    /// It does the work and ends the flight.
    Lead(Flight<K, V>),
    /// It waits to be called back.
    Wait,
    /// As many wait for this key as may; the callback was dropped.
    Full,
}

impl<K: Eq + Hash + Clone, V: Clone> SingleFlight<K, V> {
    /// No flights yet; at most `max_waiting` wait for the outcome of each, beside its leader.
    pub(crate) fn new(max_waiting: usize) -> Self {
        Self { flights: Arc::new(Flights(Mutex::new(HashMap::new()))), max_waiting }
    }

    /// Joins the flight of `key`, or starts one. `done` is called with the outcome on the thread that ends the flight, also
    /// the leader's.
    pub(crate) fn join(&self, key: K, done: impl FnOnce(V) + Send + 'static) -> Join<K, V> {
        // Declared before the guard, so that where it is not kept it is dropped after the lock is released.
        let done: Callback<V> = Box::new(done);
        let mut flights = self.flights.lock();
        match flights.entry(key) {
            Entry::Vacant(entry) => {
                let key = Some(entry.key().clone());
                entry.insert(vec![done]);
                Join::Lead(Flight { flights: Arc::clone(&self.flights), key })
            }
            // One of them is the leader's.
            Entry::Occupied(callbacks) if callbacks.get().len() > self.max_waiting => Join::Full,
            Entry::Occupied(mut callbacks) => {
                callbacks.get_mut().push(done);
                Join::Wait
            }
        }
    }

    /// How many flights are under way.
    pub(crate) fn in_flight(&self) -> usize {
        self.flights.lock().len()
    }
}

/// The right and the duty to do the work for a key. Dropped without [`finish`](Self::finish), it ends the flight without
/// an outcome: every callback is dropped uncalled.
pub(crate) struct Flight<K: Eq + Hash, V> {
    flights: Arc<Flights<K, V>>,
    /// None once it has landed: the key may by then be another flight's.
    key: Option<K>,
}

impl<K: Eq + Hash, V> Flight<K, V> {
    fn land(&mut self) -> Vec<Callback<V>> {
        let landed = self.key.take().and_then(|key| self.flights.lock().remove(&key));
        landed.unwrap_or_default()
    }
}

impl<K: Eq + Hash, V: Clone> Flight<K, V> {
    /// Ends the flight: removes the key first, then calls every callback. Where one panics, the others are called all the
    /// same, and then the panic goes on.
    pub(crate) fn finish(mut self, outcome: V) {
        let mut panicked = None;
        let mut call = |callback: Callback<V>, outcome: V| {
            if let Err(panic) = catch_unwind(AssertUnwindSafe(|| callback(outcome))) {
                panicked.get_or_insert(panic);
            }
        };
        let mut callbacks = self.land();
        let last = callbacks.pop();
        callbacks.into_iter().for_each(|callback| call(callback, outcome.clone()));
        // The last one gets the outcome itself, so that this thread holds none of it once all are told.
        if let Some(callback) = last {
            call(callback, outcome);
        }
        if let Some(panic) = panicked {
            resume_unwind(panic);
        }
    }
}

impl<K: Eq + Hash, V> Drop for Flight<K, V> {
    fn drop(&mut self) {
        drop(self.land());
    }
}
