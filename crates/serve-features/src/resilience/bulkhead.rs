//! So many calls at once, and so many that wait: a slow store fills its own places and nobody else's threads or memory.

use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::{Instant, timeout_at};

/// A bound on the calls of one store.
#[derive(Debug)]
pub(super) struct Bulkhead {
    places: Semaphore,
    /// How many places there are.
    size: usize,
    queue: usize,
    waiting: AtomicUsize,
}

/// Every place is taken, and as many as may wait do.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Full {
    /// How many wait.
    pub(super) waiting: usize,
}

/// One that waits; counted until it is dropped.
struct Waiting<'a>(&'a AtomicUsize);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Bulkhead {
    pub(super) fn new(places: usize, queue: usize) -> Self {
        let size = places.clamp(1, Semaphore::MAX_PERMITS);
        Self { places: Semaphore::new(size), size, queue, waiting: AtomicUsize::new(0) }
    }

    /// A place for one call, at once or by `end`.
    pub(super) async fn enter(&self, end: Instant) -> Result<SemaphorePermit<'_>, Full> {
        if let Ok(place) = self.places.try_acquire() {
            return Ok(place);
        }
        let before = self.waiting.fetch_add(1, Ordering::Relaxed);
        let waiting = Waiting(&self.waiting);
        if before >= self.queue {
            return Err(Full { waiting: before });
        }
        let place = timeout_at(end, self.places.acquire()).await;
        drop(waiting);
        match place {
            Ok(Ok(place)) => Ok(place),
            // The semaphore is never closed; then too there is no place.
            Ok(Err(_)) | Err(_) => Err(Full { waiting: self.waiting() }),
        }
    }

    /// How many calls are under way.
    pub(super) fn under_way(&self) -> usize {
        self.size - self.places.available_permits().min(self.size)
    }

    /// How many wait.
    pub(super) fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn soon() -> Instant {
        Instant::now() + Duration::from_millis(50)
    }

    #[tokio::test(start_paused = true)]
    async fn one_more_than_the_places_and_the_queue_is_refused_at_once() {
        let bulkhead = Bulkhead::new(1, 1);
        let first = bulkhead.enter(soon()).await.expect("is free");
        let (begun, end) = (Instant::now(), soon());
        let (second, third) = tokio::join!(bulkhead.enter(end), bulkhead.enter(end));
        assert_eq!((second.err(), third.err()), (Some(Full { waiting: 0 }), Some(Full { waiting: 1 })));
        assert_eq!(begun.elapsed(), Duration::from_millis(50));
        assert_eq!((bulkhead.under_way(), bulkhead.waiting()), (1, 0));
        drop(first);
        assert!(bulkhead.enter(soon()).await.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn a_place_that_comes_free_goes_to_the_one_that_waits() {
        let bulkhead = Bulkhead::new(1, 1);
        let first = bulkhead.enter(soon()).await.expect("is free");
        let (second, ()) = tokio::join!(bulkhead.enter(soon()), async {
            tokio::time::sleep(Duration::from_millis(10)).await;
            drop(first);
        });
        assert!(second.is_ok());
    }
}
