//! Counts that many threads add to all the time. A number that two cores write by turns wanders between them, and takes longer
//! on its way than the addition: so each thread adds to its own of a few copies, and who reads puts them together.

use std::cell::Cell;
use std::fmt;
use std::num::NonZero;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::thread;

/// The most copies; where there are more cores, some threads share one.
const MOST: usize = 16;

/// One in the memory that cores exchange as a whole: a line of 64 bytes, which they fetch by twos.
#[repr(align(128))]
struct Apart<T>(T);

/// Copies of something that is counted in, one for each core; each is made once a thread counts in it.
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
/// assert_eq!(asked.sum(|asked| asked), 3);
/// ```
pub struct Striped<T> {
    copies: Box<[OnceLock<Box<Apart<T>>>]>,
    make: fn() -> T,
}

impl<T: Default> Default for Striped<T> {
    fn default() -> Self {
        Self::new(T::default)
    }
}

impl<T: fmt::Debug> fmt::Debug for Striped<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.all()).finish()
    }
}

impl<T> Striped<T> {
    /// Copies that are made by `make`.
    #[must_use]
    pub fn new(make: fn() -> T) -> Self {
        Self { copies: (0..copies()).map(|_| OnceLock::new()).collect(), make }
    }

    /// With all copies made.
    #[must_use]
    pub fn filled(self) -> Self {
        for number in 0..self.copies.len() {
            self.copy(number);
        }
        self
    }

    fn copy(&self, number: usize) -> &T {
        &self.copies[number % self.copies.len()].get_or_init(|| Box::new(Apart((self.make)()))).0
    }

    /// The one that this thread counts in.
    #[must_use]
    pub fn mine(&self) -> &T {
        self.copy(number())
    }

    /// All that are made.
    pub fn all(&self) -> impl Iterator<Item = &T> {
        self.copies.iter().filter_map(OnceLock::get).map(|apart| &apart.0)
    }

    /// What one of their counts comes to, in all of them.
    pub fn sum(&self, of: impl Fn(&T) -> &AtomicU64) -> u64 {
        self.all().map(|copy| of(copy).load(Ordering::Relaxed)).sum()
    }
}

/// How many copies there are of anything.
pub(crate) fn copies() -> usize {
    static COPIES: OnceLock<usize> = OnceLock::new();
    *COPIES.get_or_init(|| thread::available_parallelism().map_or(1, NonZero::get).min(MOST))
}

thread_local! {
    static MINE: Cell<Option<usize>> = const { Cell::new(None) };
}

/// Gives this thread a number. Threads that count much are to have numbers in a row, so that no two of them share a copy while
/// others lie idle; any other thread takes the next number when it first counts.
pub fn number_this_thread(number: usize) {
    MINE.set(Some(number));
}

fn number() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    MINE.get().unwrap_or_else(|| {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        MINE.set(Some(number));
        number
    })
}

/// Has something done by two threads that count in copies of their own, where there are several.
#[cfg(test)]
pub(crate) fn by_two_threads(work: impl Fn() + Sync) {
    thread::scope(|scope| {
        for number in 0..2 {
            let work = &work;
            scope.spawn(move || {
                number_this_thread(number);
                work();
            });
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_with_numbers_in_a_row_count_apart() {
        let striped = Striped::<AtomicU64>::default();
        assert_eq!(striped.all().count(), 0, "none is made before it is needed");
        by_two_threads(|| {
            striped.mine().fetch_add(1, Ordering::Relaxed);
        });
        let counts: Vec<u64> = striped.all().map(|one| one.load(Ordering::Relaxed)).collect();
        assert_eq!(counts, if copies() == 1 { vec![2] } else { vec![1, 1] });
        assert_eq!(striped.filled().all().count(), copies());
    }
}
