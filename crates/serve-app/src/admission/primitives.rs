//! Where the gate takes its locks and counters from. The models in `tests/loom` have a file of the same shape with loom's.

pub(crate) use std::sync::atomic::{AtomicU64, Ordering};
pub(crate) use std::sync::{Mutex, MutexGuard};
