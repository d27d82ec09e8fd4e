//! loom's locks and threads, in the shape of the registry's `sync/primitives.rs` and of `admission/primitives.rs`.

use std::sync::PoisonError;
use std::time::Duration;

pub(crate) use loom::sync::atomic::{AtomicU64, Ordering};
pub(crate) use loom::sync::{Arc, Condvar, Mutex, MutexGuard};
pub(crate) use loom::thread::{Builder, JoinHandle, current};

/// loom has no time. A wait with an end is modelled by one that ends at any moment: others run first, as many as loom
/// likes, and whether it was notified makes no difference.
pub(crate) fn wait_a_while<'a, T>(
    mutex: &'a Mutex<T>,
    _changed: &Condvar,
    guard: MutexGuard<'a, T>,
    _at_most: Duration,
) -> MutexGuard<'a, T> {
    drop(guard);
    loom::thread::yield_now();
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
