//! The pointer that is swapped, and the only file that knows how.
//!
//! Readers never wait: [`Slot::with`] borrows the value for a synchronous prediction, [`Slot::load`] takes a counted
//! reference where a snapshot has to cross an await. A reader sees one value whole, the one stored last before it
//! looked or a later one. There is one writer at a time (the registry's lock sees to that), so `store` needs no
//! comparison. arc-swap before 1.9.3 had orderings that could free a value in use; the workspace asks for 1.9.3.

use std::sync::Arc;

use arc_swap::ArcSwap;

/// A value that is replaced as a whole while others read it.
///
/// ```
/// let slot = serve_registry::Slot::new(1);
/// let before = slot.load();
/// let old = slot.store(2);
/// assert_eq!((*before, *old, slot.with(|now| *now)), (1, 1, 2));
/// ```
#[derive(Debug)]
pub struct Slot<T>(ArcSwap<T>);

impl<T> Slot<T> {
    /// A slot that holds `value`.
    pub fn new(value: T) -> Self {
        Self(ArcSwap::from_pointee(value))
    }

    /// Calls `read` with the current value. Do not block in it: the value cannot be freed meanwhile.
    pub fn with<R>(&self, read: impl FnOnce(&T) -> R) -> R {
        read(&self.0.load())
    }

    /// A counted reference to the current value.
    pub fn load(&self) -> Arc<T> {
        self.0.load_full()
    }

    /// Replaces the value with one pointer store and returns the old one, which readers may still hold.
    pub fn store(&self, value: T) -> Arc<T> {
        self.0.swap(Arc::new(value))
    }
}
