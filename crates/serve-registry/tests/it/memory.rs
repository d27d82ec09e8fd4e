//! Counts what the current thread frees, which tells on whose thread a model was dropped.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

thread_local! {
    static FREED: Cell<usize> = const { Cell::new(0) };
}

struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[allow(
    unsafe_code,
    reason = "an allocator is unsafe by its nature; each call goes on to the system's as it came"
)]
// SAFETY: every method passes its arguments unchanged to `System`, which upholds the contract; counting allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promises are passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // A thread that is ending has no counter any more.
        let _ = FREED.try_with(|freed| freed.set(freed.get() + layout.size()));
        // SAFETY: the caller's promises are passed on.
        unsafe { System.dealloc(pointer, layout) }
    }
}

/// How many bytes this thread frees in `work`.
pub(crate) fn freed_by(work: impl FnOnce()) -> usize {
    let before = FREED.get();
    work();
    FREED.get() - before
}

#[test]
fn the_counter_counts() {
    let list = vec![0_u8; 1000];
    assert_eq!(freed_by(|| drop(list)), 1000);
}
