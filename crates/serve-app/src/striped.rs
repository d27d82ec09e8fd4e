//! Counts that many threads add to all the time. A number that two cores write by turns wanders between them, and takes longer
//! on its way than the addition: so each thread adds to its own of a few copies, and who reads puts them together.
//!
//! Even alone, to add in one step that no other thread can come between takes a core twenty times as long as to add. So the
//! threads that count most [have copies for themselves](own_a_copy), in which nobody else adds; all others share the rest.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::marker::PhantomData;
use std::num::NonZero;
use std::ops::Deref;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread;

/// The most copies that threads have for themselves, and the most that others share.
const MOST: usize = 16;

/// One in the memory that cores exchange as a whole: a line of 64 bytes, which they fetch by twos.
#[repr(align(128))]
struct Apart<T>(T);

/// Copies of something that is counted in; each is made once a thread counts in it.
///
/// ```
/// use std::sync::atomic::AtomicU64;
///
/// let asked = serve_app::striped::Striped::<AtomicU64>::default();
/// std::thread::scope(|scope| {
///     for _ in 0..3 {
///         scope.spawn(|| asked.mine().add(|asked| asked, 1));
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
        for copy in &self.copies {
            self.made(copy);
        }
        self
    }

    fn made<'a>(&'a self, copy: &'a OnceLock<Box<Apart<T>>>) -> &'a T {
        &copy.get_or_init(|| Box::new(Apart((self.make)()))).0
    }

    /// The one that this thread counts in.
    #[must_use]
    pub fn mine(&self) -> Mine<'_, T> {
        let place = place();
        Mine { copy: self.made(&self.copies[place.at]), alone: place.alone, here: PhantomData }
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

/// Something with owners in many threads, who come and go with every request. An [`Arc`] counts them all in one place; of this
/// each thread counts its own.
#[derive(Debug)]
pub(crate) struct Owned<T> {
    shared: Arc<T>,
    copies: Striped<OnceLock<Owner<T>>>,
}

/// One of its owners.
#[derive(Debug)]
pub(crate) struct Owner<T>(Arc<One<T>>);

/// What owners of one thread have together.
#[derive(Debug)]
struct One<T>(Arc<T>);

impl<T> Owned<T> {
    pub(crate) fn new(shared: T) -> Self {
        Self { shared: Arc::new(shared), copies: Striped::default() }
    }

    /// For who owns it for long.
    pub(crate) fn shared(&self) -> &Arc<T> {
        &self.shared
    }

    /// For who owns it for the time of a request.
    pub(crate) fn mine(&self) -> Owner<T> {
        let copies = self.copies.mine();
        let copy = copies.get_or_init(|| Owner(Arc::new(One(Arc::clone(&self.shared)))));
        Owner(Arc::clone(&copy.0))
    }
}

impl<T> Deref for Owner<T> {
    type Target = Arc<T>;

    fn deref(&self) -> &Arc<T> {
        &self.0.0
    }
}

/// The copy that this thread counts in, or a part of it. It does not leave the thread.
#[derive(Debug)]
pub struct Mine<'a, T> {
    copy: &'a T,
    /// Whether no other thread adds to it.
    alone: bool,
    here: PhantomData<*const ()>,
}

impl<'a, T> Mine<'a, T> {
    /// A part of it.
    pub fn part<U>(&self, of: impl FnOnce(&'a T) -> &'a U) -> Mine<'a, U> {
        Mine { copy: of(self.copy), alone: self.alone, here: PhantomData }
    }

    /// Adds to one of its counts.
    #[inline]
    pub fn add(&self, count: impl FnOnce(&'a T) -> &'a AtomicU64, more: u64) {
        let count = count(self.copy);
        if self.alone {
            count.store(count.load(Ordering::Relaxed).wrapping_add(more), Ordering::Relaxed);
        } else {
            count.fetch_add(more, Ordering::Relaxed);
        }
    }
}

impl<T> Deref for Mine<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.copy
    }
}

/// Which copy of everything a thread counts in.
#[derive(Debug, Clone, Copy)]
struct Place {
    at: usize,
    alone: bool,
}

/// How many copies threads have for themselves: one a core.
fn owned() -> usize {
    static OWNED: OnceLock<usize> = OnceLock::new();
    *OWNED.get_or_init(|| thread::available_parallelism().map_or(1, NonZero::get).min(MOST))
}

/// How many copies there are of anything. For each two that threads have for themselves others share one.
pub(crate) fn copies() -> usize {
    owned() + owned().div_ceil(2)
}

thread_local! {
    static PLACE: Cell<Option<Place>> = const { Cell::new(None) };
    static CLAIM: RefCell<Option<Claim<'static>>> = const { RefCell::new(None) };
}

/// Has this thread count in copies of its own until it ends, as long as there are some left; the threads that count much are
/// to ask for it before they first count. Others share what is left.
pub fn own_a_copy() {
    static CLAIMS: Claims = Claims(AtomicU64::new(0));
    CLAIM.with_borrow_mut(|mine| {
        if mine.is_none() {
            *mine = CLAIMS.claim(owned());
        }
        if let Some(claim) = mine {
            PLACE.set(Some(Place { at: claim.at, alone: true }));
        }
    });
}

fn place() -> Place {
    PLACE.get().unwrap_or_else(shared_place)
}

/// The next of the places that threads share.
#[cold]
fn shared_place() -> Place {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    let shared = copies() - owned();
    let place = Place { at: owned() + NEXT.fetch_add(1, Ordering::Relaxed) % shared, alone: false };
    PLACE.set(Some(place));
    place
}

/// Which copies threads have for themselves, a bit each.
#[derive(Debug)]
struct Claims(AtomicU64);

impl Claims {
    /// The first of so many that nobody has.
    fn claim(&self, of: usize) -> Option<Claim<'_>> {
        let free = |taken: u64| Some(taken.trailing_ones() as usize).filter(|at| *at < of);
        // What the thread that had it before has counted is to be seen.
        let taken = self
            .0
            .fetch_update(Ordering::Acquire, Ordering::Relaxed, |taken| Some(taken | 1 << free(taken)?));
        taken.ok().and_then(free).map(|at| Claim { claims: self, at })
    }
}

/// A copy that a thread has for itself until it ends.
#[derive(Debug)]
struct Claim<'a> {
    claims: &'a Claims,
    at: usize,
}

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        // What the thread still counts at its end it counts elsewhere.
        let _ = PLACE.try_with(|place| place.set(None));
        self.claims.0.fetch_and(!(1 << self.at), Ordering::Release);
    }
}

/// Has something done by two threads that count in copies of their own, where there are some left.
#[cfg(test)]
pub(crate) fn by_two_threads(work: impl Fn() + Sync) {
    thread::scope(|scope| {
        for _ in 0..2 {
            let work = &work;
            scope.spawn(move || {
                own_a_copy();
                work();
            });
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_threads_count_alone_and_together_adds_up() {
        let striped = Striped::<AtomicU64>::default();
        assert_eq!(striped.all().count(), 0, "none is made before it is needed");
        let count = || (0..10_000).for_each(|_| striped.mine().add(|count| count, 1));
        thread::scope(|scope| {
            for number in 0..8 {
                scope.spawn(move || {
                    if number % 2 == 0 {
                        own_a_copy();
                    }
                    count();
                });
            }
        });
        // Threads that ended have left what they counted to those that count in their copies after them.
        by_two_threads(count);
        assert_eq!(striped.sum(|count| count), 100_000);
        assert_eq!(striped.filled().all().count(), copies());
    }

    #[test]
    fn owners_of_one_thread_are_counted_apart() {
        let owned = Owned::new(7);
        thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    own_a_copy();
                    assert_eq!((**owned.mine(), Arc::strong_count(&owned.mine().0) > 1), (7, true));
                });
            }
        });
        let before = Arc::strong_count(owned.shared());
        let (first, second) = (owned.mine(), owned.mine());
        assert!(Arc::ptr_eq(&first, owned.shared()) && Arc::ptr_eq(&first.0, &second.0));
        assert!(Arc::strong_count(owned.shared()) <= before + 1, "they are counted in one");
    }

    #[test]
    fn a_copy_has_one_owner_at_a_time() {
        let claims = Claims(AtomicU64::new(0));
        let (first, second) = (claims.claim(2), claims.claim(2));
        let at = |claim: &Option<Claim<'_>>| claim.as_ref().map(|claim| claim.at);
        assert_eq!((at(&first), at(&second)), (Some(0), Some(1)));
        assert!(claims.claim(2).is_none());
        drop(first);
        let (third, fourth) = (claims.claim(2), claims.claim(2));
        assert_eq!((at(&third), at(&fourth)), (Some(0), None));
    }

    #[test]
    fn who_owns_no_copy_shares_one_with_others_like_it() {
        let striped = Striped::<AtomicU64>::default();
        let shared = thread::scope(|scope| {
            let seen = scope.spawn(|| (striped.mine().alone, place().at));
            seen.join().expect("it ends")
        });
        assert!(!shared.0 && (owned()..copies()).contains(&shared.1));
    }
}
