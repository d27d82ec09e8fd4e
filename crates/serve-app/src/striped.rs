//! Counts that many threads add to all the time. A number that two cores write by turns wanders between them, and takes longer
//! on its way than the addition: so each thread adds to its own of a few copies, and who reads puts them together.

use std::cell::Cell;
use std::num::NonZero;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

/// The most copies; where there are more threads, some share one.
const MOST: usize = 16;

/// One in the memory that cores exchange as a whole: a line of 64 bytes, which they fetch by twos.
#[derive(Debug)]
#[repr(align(128))]
struct Apart<T>(T);

/// Copies of something that is counted in.
///
/// ```
/// use std::sync::atomic::{AtomicU64, Ordering};
///
/// let asked = serve_app::striped::Striped::<AtomicU64>::default();
/// std::thread::scope(|scope| {
///     for _ in 0..3 {
///         scope.spawn(|| asked.mine().fetch_add(1, Ordering::Relaxed));
///     }
/// });
/// assert_eq!(asked.all().map(|one| one.load(Ordering::Relaxed)).sum::<u64>(), 3);
/// ```
#[derive(Debug)]
pub struct Striped<T>(Box<[Apart<T>]>);

impl<T: Default> Default for Striped<T> {
    fn default() -> Self {
        Self::new(T::default)
    }
}

impl<T> Striped<T> {
    /// Copies that are made one by one.
    pub fn new(make: impl Fn() -> T) -> Self {
        let cores = thread::available_parallelism().map_or(1, NonZero::get);
        Self((0..cores.min(MOST)).map(|_| Apart(make())).collect())
    }

    /// The one that this thread counts in.
    #[must_use]
    pub fn mine(&self) -> &T {
        &self.0[number() % self.0.len()].0
    }

    /// All of them.
    pub fn all(&self) -> impl Iterator<Item = &T> {
        self.0.iter().map(|Apart(one)| one)
    }
}

/// This thread's number.
fn number() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static MINE: Cell<Option<usize>> = const { Cell::new(None) };
    }
    MINE.get().unwrap_or_else(|| {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        MINE.set(Some(number));
        number
    })
}
