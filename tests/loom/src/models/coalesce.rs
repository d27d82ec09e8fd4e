//! A change made before `run` is called is seen by the run whose outcome comes back; one run at a time; nobody waits for
//! ever.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use loom::sync::Arc;
use loom::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use loom::thread;

use super::{Count, bounded, exhaustive};
use crate::coalesce::Coalesce;

/// The folder that runs look at: every caller sets a bit of its own. With how many run, and how many ran.
#[derive(Clone)]
struct World {
    changes: Arc<AtomicUsize>,
    coalesce: Arc<Coalesce<usize>>,
    running: Count,
    runs: Count,
}

impl World {
    fn new() -> Self {
        let (changes, coalesce) = (Arc::new(AtomicUsize::new(0)), Arc::new(Coalesce::new()));
        Self { changes, coalesce, running: Count::default(), runs: Count::default() }
    }

    fn look(&self) -> usize {
        assert_eq!(self.running.up(), 1, "one run at a time");
        self.runs.up();
        let seen = self.changes.load(SeqCst);
        self.running.down();
        seen
    }

    /// Makes a change, and asks.
    fn change(&self, mine: usize) {
        self.changes.fetch_or(mine, SeqCst);
        let seen = self.coalesce.run(|| self.look());
        assert_eq!(seen & mine, mine, "the run saw {seen:b} without {mine:b}");
    }

    fn idle(&self) {
        assert_eq!((self.running.get(), self.coalesce.waiting()), (0, 0));
    }
}

/// Each caller makes a change and gets a run that saw it.
fn callers(others: usize) -> impl Fn() {
    move || {
        let world = World::new();
        let change = |i| {
            let world = world.clone();
            thread::spawn(move || world.change(1_usize << i))
        };
        let threads: Vec<_> = (0..others).map(change).collect();
        world.change(1_usize << others);
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        assert!((1..=others + 1).contains(&world.runs.get()));
        world.idle();
    }
}

#[test]
fn two_callers_get_a_run_that_saw_their_change() {
    exhaustive(callers(1));
}

#[test]
fn three_callers_get_a_run_that_saw_their_change() {
    bounded(3, callers(2));
}

/// The first run goes on until three others wait: one does the next run, two are given its outcome.
#[test]
fn all_who_wait_share_the_next_run() {
    bounded(1, || {
        let world = World::new();
        let mut threads = Vec::new();
        world.coalesce.run(|| {
            let seen = world.look();
            threads.extend((0..3).map(|i| {
                let world = world.clone();
                thread::spawn(move || world.change(1_usize << i))
            }));
            while world.coalesce.waiting() < 3 {
                thread::yield_now();
            }
            seen
        });
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        assert_eq!(world.runs.get(), 2);
        world.idle();
    });
}

#[test]
fn a_run_that_panics_keeps_nobody_waiting() {
    bounded(3, || {
        let world = World::new();
        let mine = world.clone();
        let first = thread::spawn(move || {
            let panics = || -> usize {
                mine.look();
                resume_unwind(Box::new("mine"))
            };
            let attempt = catch_unwind(AssertUnwindSafe(|| mine.coalesce.run(panics)));
            // Where it waited, it may have got another's outcome.
            attempt.is_err()
        });
        let other = world.clone();
        let second = thread::spawn(move || other.change(1));
        world.change(2);
        let panicked = first.join().unwrap();
        second.join().unwrap();
        assert!(world.runs.get() > usize::from(panicked));
        world.idle();
    });
}
