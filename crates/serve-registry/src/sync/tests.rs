//! What the models in `tests/loom` leave out: panics, and crowds.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{RecvError, channel};
use std::sync::{Arc, Barrier};
use std::thread;

use super::coalesce::Coalesce;
use super::drain::Drain;
use super::single_flight::{Flight, Join, SingleFlight};

fn lead<V: Clone>(flights: &SingleFlight<&'static str, V>) -> Flight<&'static str, V> {
    match flights.join("a", |_| ()) {
        Join::Lead(flight) => flight,
        Join::Wait | Join::Full => panic!("a flight is under way"),
    }
}

#[test]
fn a_flight_calls_back_in_order_of_arrival_and_other_keys_fly_apart() {
    let flights = SingleFlight::new(10);
    let (sender, receiver) = channel();
    let note = |who: u8| {
        let sender = sender.clone();
        move |outcome: u8| sender.send((who, outcome)).expect("heard")
    };
    let Join::Lead(flight) = flights.join("a", note(0)) else { panic!("nobody leads yet") };
    assert!(matches!(flights.join("a", note(1)), Join::Wait));
    assert!(matches!(flights.join("a", note(2)), Join::Wait));
    let Join::Lead(other) = flights.join("b", note(3)) else { panic!("another key") };
    assert_eq!(flights.in_flight(), 2);
    flight.finish(7);
    assert_eq!(flights.in_flight(), 1);
    other.finish(8);
    drop(sender);
    assert_eq!(receiver.into_iter().collect::<Vec<_>>(), [(0, 7), (1, 7), (2, 7), (3, 8)]);
}

#[test]
fn a_flight_whose_thread_panics_closes_every_channel_and_the_next_may_lead() {
    let flights = SingleFlight::<_, u8>::new(10);
    let (sender, receiver) = channel();
    let flight = lead(&flights);
    assert!(matches!(flights.join("a", move |outcome| sender.send(outcome).expect("heard")), Join::Wait));
    let work = thread::spawn(move || {
        let _flight = flight;
        panic!("the loader panicked");
    });
    work.join().expect_err("it panicked");
    assert_eq!(receiver.recv(), Err(RecvError));
    lead(&flights).finish(1);
}

#[test]
fn a_callback_that_panics_silences_no_other() {
    let flights = SingleFlight::new(10);
    let (sender, receiver) = channel();
    let flight = lead(&flights);
    assert!(matches!(flights.join("a", |_| panic!("mine")), Join::Wait));
    assert!(matches!(flights.join("a", move |outcome| sender.send(outcome).expect("heard")), Join::Wait));
    let panic = catch_unwind(AssertUnwindSafe(|| flight.finish(7))).expect_err("it goes on");
    assert_eq!(panic.downcast_ref::<&str>(), Some(&"mine"));
    assert_eq!((receiver.recv(), flights.in_flight()), (Ok(7), 0));
}

/// A callback may ask again, for the same key too: it is not called under the lock.
#[test]
fn a_callback_may_lead_the_next_flight() {
    let flights = Arc::new(SingleFlight::new(0));
    let (sender, receiver) = channel();
    let again = Arc::clone(&flights);
    let Join::Lead(flight) = flights.join("a", move |first: u8| {
        let Join::Lead(flight) = again.join("a", move |second| sender.send((first, second)).expect("heard"))
        else {
            panic!("the first flight has landed")
        };
        flight.finish(2);
    }) else {
        panic!("nobody leads yet")
    };
    flight.finish(1);
    assert_eq!(receiver.recv(), Ok((1, 2)));
}

/// The first run is held back until all others wait; they share the second.
#[test]
fn a_hundred_callers_cause_two_runs() {
    const CROWD: usize = 100;
    let coalesce = Coalesce::new();
    let (runs, calling, barrier) = (AtomicUsize::new(0), AtomicUsize::new(0), Barrier::new(CROWD));
    let work = || {
        let run = runs.fetch_add(1, Ordering::SeqCst);
        while run == 0 && (calling.load(Ordering::SeqCst), coalesce.waiting()) != (CROWD, CROWD - 1) {
            thread::yield_now();
        }
        run
    };
    let mut outcomes: Vec<_> = thread::scope(|scope| {
        let call = || {
            barrier.wait();
            calling.fetch_add(1, Ordering::SeqCst);
            coalesce.run(work)
        };
        let threads: Vec<_> = (0..CROWD).map(|_| scope.spawn(call)).collect();
        threads.into_iter().map(|thread| thread.join().expect("no panic")).collect()
    });
    outcomes.sort_unstable();
    assert_eq!((outcomes[0], &outcomes[1..]), (0, &[1; CROWD - 1][..]));
    assert_eq!(runs.into_inner(), 2);
}

/// Two wait for a run that panics: one of them does its own work, the other gets that outcome.
#[test]
fn a_run_that_panics_is_done_again_by_one_who_waits() {
    let coalesce = Coalesce::<Arc<u8>>::new();
    let outcomes: Vec<_> = thread::scope(|scope| {
        let (begun, begins) = channel();
        let coalesce = &coalesce;
        let first = scope.spawn(move || {
            coalesce.run(|| {
                begun.send(()).expect("awaited");
                while coalesce.waiting() < 2 {
                    thread::yield_now();
                }
                panic!("mine")
            })
        });
        begins.recv().expect("it runs");
        let others: Vec<_> = (1..3).map(|i| scope.spawn(move || coalesce.run(|| Arc::new(i)))).collect();
        first.join().expect_err("it panicked");
        others.into_iter().map(|thread| thread.join().expect("no panic")).collect()
    });
    // The second may have asked for its run after the first one's had begun; then it did its own.
    assert!(outcomes.iter().all(|outcome| [1, 2].contains(&**outcome)), "{outcomes:?}");
    drop(coalesce);
    assert!(
        outcomes.iter().all(|outcome| Arc::strong_count(outcome) <= 2),
        "nothing keeps an outcome but those who got it"
    );
}

/// Says on which thread it was dropped.
struct Tracer(std::sync::mpsc::Sender<(u8, Option<String>)>, u8);

impl Drop for Tracer {
    fn drop(&mut self) {
        let name = thread::current().name().map(str::to_owned);
        self.0.send((self.1, name)).expect("the test listens");
        assert_ne!(self.1, 13, "thirteen panics when it is dropped");
    }
}

#[test]
fn the_drain_frees_on_its_own_thread_also_after_a_destructor_that_panics() {
    let drain = Drain::start("drain").expect("starts");
    let ((dropped, drops), (told, tells)) = (channel(), channel());
    for id in [13, 1] {
        let told = told.clone();
        drain.retire(Arc::new(Tracer(dropped.clone(), id)), move || told.send(id).expect("heard"));
        assert_eq!(drops.recv(), Ok((id, Some("drain".to_owned()))));
        assert_eq!(tells.recv(), Ok(id));
    }
}

#[test]
fn what_is_read_is_kept_and_handing_it_over_twice_frees_it_once() {
    let drain = Drain::start("drain").expect("starts");
    let ((dropped, drops), (told, tells)) = (channel(), channel());
    let held = Arc::new(Tracer(dropped, 2));
    for time in 0..2 {
        let told = told.clone();
        drain.retire(Arc::clone(&held), move || told.send(time).expect("heard"));
    }
    assert_eq!(Arc::strong_count(&held), 2, "ours and the drain's");
    drop(told);
    drop(held);
    assert_eq!(tells.into_iter().collect::<Vec<_>>(), [0, 1]);
    assert_eq!(drops.into_iter().collect::<Vec<_>>(), [(2, Some("drain".to_owned()))]);
}

#[test]
fn a_drain_that_ends_frees_what_nobody_reads_and_lets_the_rest_go() {
    let drain = Drain::start("drain").expect("starts");
    let ((dropped, drops), (told, tells)) = (channel(), channel());
    let held = Arc::new(Tracer(dropped.clone(), 3));
    for value in [Arc::clone(&held), Arc::new(Tracer(dropped, 4))] {
        let (told, id) = (told.clone(), value.1);
        drain.retire(value, move || told.send(id).expect("heard"));
    }
    drop((drain, told));
    assert_eq!(tells.into_iter().collect::<Vec<_>>(), [4], "nobody is told that the other was freed");
    assert_eq!(drops.try_recv(), Ok((4, Some("drain".to_owned()))));
    drop(held);
    assert_eq!(drops.recv().map(|drop| drop.0), Ok(3));
}

/// The one who owns the drain may be what a callback owned.
#[test]
fn a_drain_may_end_on_its_own_thread() {
    let drain = Arc::new(Drain::start("drain").expect("starts"));
    let (told, tells) = channel();
    let last = Arc::clone(&drain);
    drain.retire(Arc::new(5), move || {
        // Waits until this is the last owner.
        let mut last = last;
        while let Err(shared) = Arc::try_unwrap(last) {
            last = shared;
            thread::yield_now();
        }
        told.send(()).expect("heard");
    });
    drop(drain);
    assert_eq!(tells.recv(), Ok(()));
}
