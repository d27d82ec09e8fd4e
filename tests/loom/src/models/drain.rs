//! A destructor runs on the drain's thread, once, while nobody reads; the callback after it.

use loom::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use loom::sync::{Arc, Condvar, Mutex};
use loom::thread;

use super::{Count, bounded, exhaustive};
use crate::drain::Drain;

const NAME: &str = "drain";
const READER: &str = "reader";

#[derive(Clone, Default)]
struct Counts {
    /// How many hold the value and have not begun to let it go.
    reading: Count,
    dropped: Count,
    told: Count,
}

/// Something that is replaced.
struct Value {
    /// Readers load it and the destructor takes it mutably; loom fails the model where those two are not ordered.
    content: AtomicUsize,
    counts: Counts,
    /// The threads that may free it: the drain's, and once that has ended the reader's, but not the one that ends it.
    may_free: &'static [&'static str],
}

impl Value {
    fn new(counts: &Counts, may_free: &'static [&'static str]) -> Arc<Self> {
        Arc::new(Self { content: AtomicUsize::new(0), counts: counts.clone(), may_free })
    }
}

impl Drop for Value {
    fn drop(&mut self) {
        self.content.with_mut(|_| ());
        assert_eq!(self.counts.reading.get(), 0, "nobody reads it");
        assert_eq!(self.counts.dropped.up(), 1, "it is freed once");
        let here = thread::current();
        let name = here.name().unwrap_or("another thread");
        assert!(self.may_free.contains(&name), "freed by {name}");
    }
}

/// The pointer that is swapped, as far as these models need it.
type Slot = Arc<Mutex<Option<Arc<Value>>>>;

fn slot(value: &Arc<Value>) -> Slot {
    Arc::new(Mutex::new(Some(value.clone())))
}

fn reader(slot: &Slot, counts: &Counts) -> thread::JoinHandle<()> {
    let (slot, counts) = (slot.clone(), counts.clone());
    let read = move || {
        let held = slot.lock().unwrap().clone();
        if let Some(value) = held {
            counts.reading.up();
            value.content.load(Relaxed);
            counts.reading.down();
        }
    };
    thread::Builder::new().name(READER.to_owned()).spawn(read).unwrap()
}

/// Waits until callbacks have been called.
#[derive(Clone)]
struct Bell(Arc<(Mutex<usize>, Condvar)>);

impl Bell {
    fn new() -> Self {
        Self(Arc::new((Mutex::new(0), Condvar::new())))
    }

    fn ringer(&self, counts: &Counts) -> impl FnOnce() + Send + 'static {
        let (bell, counts) = (self.clone(), counts.clone());
        move || {
            assert_eq!(counts.dropped.get(), 1, "told after it is freed");
            counts.told.up();
            *bell.0.0.lock().unwrap() += 1;
            bell.0.1.notify_one();
        }
    }

    fn wait(&self, times: usize) {
        let mut rung = self.0.0.lock().unwrap();
        while *rung < times {
            rung = self.0.1.wait(rung).unwrap();
        }
    }
}

#[test]
fn whoever_reads_last_the_drain_frees() {
    bounded(3, || {
        let (counts, bell) = (Counts::default(), Bell::new());
        let drain = Drain::start(NAME).unwrap();
        let value = Value::new(&counts, &[NAME]);
        let slot = slot(&value);
        drop(value);
        let reads = reader(&slot, &counts);
        let old = slot.lock().unwrap().take().expect("the writer is the only one to take it");
        drain.retire(old, bell.ringer(&counts));
        bell.wait(1);
        reads.join().unwrap();
        drop(drain);
        assert_eq!((counts.dropped.get(), counts.told.get()), (1, 1));
    });
}

#[test]
fn what_is_handed_over_twice_is_freed_once_and_both_are_told() {
    exhaustive(|| {
        let (counts, bell) = (Counts::default(), Bell::new());
        let drain = Drain::start(NAME).unwrap();
        let value = Value::new(&counts, &[NAME]);
        drain.retire(value.clone(), bell.ringer(&counts));
        drain.retire(value, bell.ringer(&counts));
        bell.wait(2);
        drop(drain);
        assert_eq!((counts.dropped.get(), counts.told.get()), (1, 2));
    });
}

#[test]
fn a_drain_that_ends_frees_what_nobody_reads_and_tells() {
    exhaustive(|| {
        let counts = Counts::default();
        let drain = Drain::start(NAME).unwrap();
        let (one, told) = (Value::new(&counts, &[NAME]), counts.told.clone());
        drain.retire(one, move || assert_eq!(told.up(), 1));
        drop(drain);
        assert_eq!((counts.dropped.get(), counts.told.get()), (1, 1));
    });
}

/// The drain ends while a reader holds the value: one of them frees it, and it is told at most once.
#[test]
fn a_drain_that_ends_waits_for_no_reader_and_leaks_nothing() {
    exhaustive(|| {
        let counts = Counts::default();
        let drain = Drain::start(NAME).unwrap();
        let value = Value::new(&counts, &[NAME, READER]);
        let slot = slot(&value);
        drop(value);
        let reads = reader(&slot, &counts);
        let old = slot.lock().unwrap().take().expect("the writer is the only one to take it");
        let (told, dropped) = (counts.told.clone(), counts.dropped.clone());
        drain.retire(old, move || {
            assert_eq!(dropped.get(), 1, "told after it is freed");
            told.up();
        });
        drop(drain);
        reads.join().unwrap();
        assert_eq!(counts.dropped.get(), 1);
        assert!(counts.told.get() <= 1);
    });
}
