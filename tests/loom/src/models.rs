//! The models, how far they are run, and what they count with.
//!
//! With two threads of its own a model is run through every interleaving. With more there are too many: it is run through
//! all those in which threads are taken off so many times at most where they could have gone on. Switches where a thread
//! waits, yields or ends come on top, and are not counted. (Musuvathi and Qadeer, "Iterative context bounding for
//! systematic testing of multithreaded programs", PLDI 2007: few preemptions find nearly all bugs.)

use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};

mod coalesce;
mod drain;
mod gate;
mod single_flight;

/// Runs a model with so many preemptions at most: as many as keep it within seconds. `LOOM_MAX_PREEMPTIONS` in the
/// environment goes before it.
fn bounded(preemptions: usize, model: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = builder.preemption_bound.or(Some(preemptions));
    builder.check(model);
}

/// Runs a model through every interleaving.
fn exhaustive(model: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = None;
    builder.check(model);
}

/// A number that loom does not see.
#[derive(Clone, Default)]
struct Count(Arc<AtomicUsize>);

impl Count {
    /// Adds one and answers with the sum.
    fn up(&self) -> usize {
        self.0.fetch_add(1, SeqCst) + 1
    }

    fn down(&self) {
        self.0.fetch_sub(1, SeqCst);
    }

    fn get(&self) -> usize {
        self.0.load(SeqCst)
    }
}

/// What became of a callback: what it was called with, and how often it was dropped.
#[derive(Clone, Default)]
struct Fate {
    outcomes: Arc<Mutex<Vec<usize>>>,
    drops: Count,
}

impl Fate {
    /// A callback whose fate this is.
    fn callback(&self) -> impl FnOnce(usize) + Send + 'static {
        struct Dropped(Count);
        impl Drop for Dropped {
            fn drop(&mut self) {
                self.0.up();
            }
        }
        let (outcomes, dropped) = (Arc::clone(&self.outcomes), Dropped(self.drops.clone()));
        move |outcome| {
            let _dropped = dropped;
            outcomes.lock().expect("no panic").push(outcome);
        }
    }

    /// What it was called with, once it is gone for good.
    #[track_caller]
    fn outcomes(&self) -> Vec<usize> {
        assert_eq!(self.drops.get(), 1, "a callback is used up once");
        self.outcomes.lock().expect("no panic").clone()
    }
}
