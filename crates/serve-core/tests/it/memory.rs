//! Counts what the current thread allocates. Other threads, and so other tests, are not counted.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

/// What a thread allocated while it was measured.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Usage {
    /// How often memory was asked for, or asked to grow.
    pub(crate) allocations: u64,
    /// The most bytes held at once beyond those held at the start.
    pub(crate) peak_bytes: isize,
    held_bytes: isize,
}

thread_local! {
    static USAGE: Cell<Usage> = const { Cell::new(Usage { allocations: 0, peak_bytes: 0, held_bytes: 0 }) };
}

struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn record(allocations: u64, bytes: isize) {
    // A thread that is ending has no counter any more.
    let _ = USAGE.try_with(|usage| {
        let mut now = usage.get();
        now.allocations += allocations;
        now.held_bytes += bytes;
        now.peak_bytes = now.peak_bytes.max(now.held_bytes);
        usage.set(now);
    });
}

#[allow(
    unsafe_code,
    reason = "an allocator is unsafe by its nature; each call goes on to the system's as it came"
)]
// SAFETY: every method passes its arguments unchanged to `System`, which upholds the contract; counting allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        record(1, layout.size().cast_signed());
        // SAFETY: the caller's promises are passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        record(1, layout.size().cast_signed());
        // SAFETY: the caller's promises are passed on.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        record(1, size.cast_signed() - layout.size().cast_signed());
        // SAFETY: the caller's promises are passed on.
        unsafe { System.realloc(pointer, layout, size) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        record(0, -(layout.size().cast_signed()));
        // SAFETY: the caller's promises are passed on.
        unsafe { System.dealloc(pointer, layout) }
    }
}

/// Runs `work` and says what it allocated on this thread.
pub(crate) fn measure<R>(work: impl FnOnce() -> R) -> (R, Usage) {
    USAGE.set(Usage::default());
    let result = work();
    (result, USAGE.get())
}

#[test]
fn the_counter_counts() {
    let (kept, usage) = measure(|| {
        drop(vec![0_u8; 1000]);
        vec![0_u8; 10]
    });
    assert_eq!((kept.len(), usage.allocations, usage.peak_bytes), (10, 2, 1000));
}
