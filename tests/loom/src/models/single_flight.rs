//! One lead per flight, every callback once, nobody left behind in a flight that has ended.

use loom::sync::{Arc, Mutex};
use loom::thread;

use super::{Count, Fate, bounded, exhaustive};
use crate::single_flight::{Flight, Join, SingleFlight};

const KEY: u8 = 7;

type Flights = Arc<SingleFlight<u8, usize>>;

fn flights(max_waiting: usize) -> Flights {
    Arc::new(SingleFlight::new(max_waiting))
}

#[track_caller]
fn lead(flights: &Flights, fate: &Fate) -> Flight<u8, usize> {
    match flights.join(KEY, fate.callback()) {
        Join::Lead(flight) => flight,
        Join::Wait | Join::Full => panic!("nobody leads yet"),
    }
}

/// Callers ask at any moments, each leader ends its flight with the flight's number. Each caller is answered once, by a
/// flight that had not ended when it asked.
fn callers(others: usize) -> impl Fn() {
    move || {
        let flights = flights(9);
        let (leads, leading, ended) = (Count::default(), Count::default(), Count::default());
        let ask = || {
            let (flights, leads, leading, ended) =
                (flights.clone(), leads.clone(), leading.clone(), ended.clone());
            move || {
                let fate = Fate::default();
                let before = ended.get();
                match flights.join(KEY, fate.callback()) {
                    Join::Lead(flight) => {
                        assert_eq!(leading.up(), 1, "one leads at a time");
                        let number = leads.up();
                        leading.down();
                        flight.finish(number);
                        ended.up();
                    }
                    Join::Wait => {}
                    Join::Full => panic!("there is room for nine"),
                }
                (before, fate)
            }
        };
        let threads: Vec<_> = (0..others).map(|_| thread::spawn(ask())).collect();
        let mut asked = vec![ask()()];
        asked.extend(threads.into_iter().map(|thread| thread.join().unwrap()));
        for (before, fate) in asked {
            let outcomes = fate.outcomes();
            assert_eq!(outcomes.len(), 1, "every callback is called once");
            assert!(outcomes[0] > before, "flight {} had ended, with {before} others", outcomes[0]);
        }
        assert_eq!((flights.in_flight(), leads.get()), (0, ended.get()));
    }
}

#[test]
fn two_callers_are_answered_once_by_a_flight_that_had_not_ended() {
    exhaustive(callers(1));
}

#[test]
fn three_callers_are_answered_once_by_a_flight_that_had_not_ended() {
    bounded(3, callers(2));
}

/// The way the registry loads: look, join, look again when leading, publish, finish. The work is done once, whoever comes
/// when.
#[test]
fn with_a_second_look_by_the_leader_the_work_is_done_once() {
    bounded(3, || {
        let (flights, loaded, works) = (flights(9), Arc::new(Mutex::new(None)), Count::default());
        let ask = || {
            let (flights, loaded, works) = (flights.clone(), loaded.clone(), works.clone());
            move || {
                let fate = Fate::default();
                if let Some(found) = *loaded.lock().unwrap() {
                    assert_eq!(found, 1);
                    return None;
                }
                if let Join::Lead(flight) = flights.join(KEY, fate.callback()) {
                    let found = *loaded.lock().unwrap();
                    let outcome = found.unwrap_or_else(|| works.up());
                    *loaded.lock().unwrap() = Some(outcome);
                    flight.finish(outcome);
                }
                Some(fate)
            }
        };
        let threads = [thread::spawn(ask()), thread::spawn(ask())];
        let mut asked = vec![ask()()];
        asked.extend(threads.map(|thread| thread.join().unwrap()));
        assert!(asked.into_iter().flatten().all(|fate| fate.outcomes() == [1]));
        assert_eq!(works.get(), 1);
    });
}

#[test]
fn of_two_who_would_wait_one_may_and_the_other_is_told_at_once() {
    exhaustive(|| {
        let flights = flights(1);
        let mine = Fate::default();
        let flight = lead(&flights, &mine);
        let ask = || {
            let flights = flights.clone();
            move || {
                let fate = Fate::default();
                let full = match flights.join(KEY, fate.callback()) {
                    Join::Lead(_) => panic!("a flight is under way"),
                    Join::Wait => false,
                    Join::Full => true,
                };
                (full, fate)
            }
        };
        let threads = [thread::spawn(ask()), thread::spawn(ask())];
        let asked = threads.map(|thread| thread.join().unwrap());
        assert_eq!(asked.iter().filter(|(full, _)| *full).count(), 1);
        flight.finish(5);
        assert_eq!(mine.outcomes(), [5]);
        for (full, fate) in asked {
            assert_eq!(fate.outcomes(), if full { vec![] } else { vec![5] });
        }
    });
}

/// A flight is dropped while others come: they are let go, or lead, and a flight that follows is not touched.
#[test]
fn who_waits_for_an_abandoned_flight_is_let_go() {
    exhaustive(|| {
        let flights = flights(9);
        let mine = Fate::default();
        let flight = lead(&flights, &mine);
        let ask = |outcome: usize| {
            let flights = flights.clone();
            move || {
                let fate = Fate::default();
                let led = match flights.join(KEY, fate.callback()) {
                    Join::Lead(flight) => {
                        flight.finish(outcome);
                        true
                    }
                    Join::Wait => false,
                    Join::Full => panic!("there is room for nine"),
                };
                (led, fate)
            }
        };
        let threads = [thread::spawn(ask(1)), thread::spawn(ask(2))];
        drop(flight);
        let asked = threads.map(|thread| thread.join().unwrap());
        assert_eq!(mine.outcomes(), []);
        for (me, (led, fate)) in (1..).zip(asked) {
            match fate.outcomes()[..] {
                [] => assert!(!led, "it waited for the abandoned flight"),
                [by] => assert_eq!(led, by == me),
                _ => panic!("called more than once"),
            }
        }
        assert_eq!(flights.in_flight(), 0);
    });
}
