//! Where the modules beside this one take their locks and threads from. The models in `tests/loom` have a file of the same
//! shape with loom's.

use std::time::Duration;

pub(crate) use std::sync::{Arc, Condvar, Mutex, MutexGuard};
pub(crate) use std::thread::{Builder, JoinHandle, current};

/// Waits until it is notified, or for a while; the caller looks again in either case.
pub(crate) fn wait_a_while<'a, T>(
    _mutex: &'a Mutex<T>,
    changed: &Condvar,
    guard: MutexGuard<'a, T>,
    at_most: Duration,
) -> MutexGuard<'a, T> {
    changed.wait_timeout(guard, at_most).unwrap_or_else(std::sync::PoisonError::into_inner).0
}
