//! The registry's threads: those that load versions, and the keeper, which moves the clock on and unloads what is idle.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use super::Shared;

/// Versions that load at the same time; others wait.
const LOADERS: usize = 4;

/// The keeper's step, which is also how fine the clock is by which the cache knows what was used.
const STEP: Duration = Duration::from_millis(100);

/// Threads that end with the registry.
#[derive(Debug)]
pub(super) struct Threads {
    stopped: Arc<(Mutex<bool>, Condvar)>,
    running: Vec<JoinHandle<()>>,
}

impl Threads {
    pub(super) fn start(shared: &Arc<Shared>) -> io::Result<Self> {
        let mut threads = Self { stopped: Arc::default(), running: Vec::new() };
        let started = threads.spawn_all(shared);
        if started.is_err() {
            shared.loads.close();
            threads.stop();
        }
        started.map(|()| threads)
    }

    fn spawn_all(&mut self, shared: &Arc<Shared>) -> io::Result<()> {
        let loaders = std::thread::available_parallelism().map_or(1, usize::from).min(LOADERS);
        for at in 0..loaders {
            let shared = Arc::clone(shared);
            self.spawn(format!("registry-loader-{at}"), move || load(&shared))?;
        }
        let (shared, stopped) = (Arc::clone(shared), Arc::clone(&self.stopped));
        self.spawn("registry-keeper".to_owned(), move || keep(&shared, &stopped))
    }

    fn spawn(&mut self, name: String, work: impl FnOnce() + Send + 'static) -> io::Result<()> {
        self.running.push(Builder::new().name(name).spawn(work)?);
        Ok(())
    }

    /// Ends the keeper, and waits for all threads. The loads have to be closed before.
    pub(super) fn stop(&mut self) {
        *self.stopped.0.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.stopped.1.notify_all();
        for thread in self.running.drain(..) {
            // One of its own callbacks may close a registry.
            if thread.thread().id() != std::thread::current().id() {
                drop(thread.join());
            }
        }
    }
}

fn load(shared: &Shared) {
    while let Some((key, flight)) = shared.loads.next() {
        // A panic ends the flight without an outcome, which those who wait see, and not the thread.
        drop(catch_unwind(AssertUnwindSafe(|| flight.finish(shared.load(&key)))));
    }
}

fn keep(shared: &Shared, (stopped, changed): &(Mutex<bool>, Condvar)) {
    let mut guard = stopped.lock().unwrap_or_else(PoisonError::into_inner);
    while !*guard {
        guard = changed.wait_timeout(guard, STEP).unwrap_or_else(PoisonError::into_inner).0;
        shared.tick();
        shared.expire();
    }
}
