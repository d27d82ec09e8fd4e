//! Permits of the prediction service's gate: none is lost or doubled, and nobody waits who could go on.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Wake, Waker};

use loom::sync::Arc;
use loom::sync::atomic::{AtomicBool, Ordering::SeqCst};
use loom::thread;

use super::{Count, bounded};
use crate::gate::{Entry, Gate, Permit, Place};
use crate::share::{Bounds, Share, Shares};

struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: std::sync::Arc<Self>) {
        self.0.store(true, SeqCst);
    }
}

/// Waits for the turn; polled only when woken, so that a wake that is lost never ends.
fn wait(mut place: Place) -> Permit {
    let woken = std::sync::Arc::new(Woken(AtomicBool::new(false)));
    let waker = Waker::from(std::sync::Arc::clone(&woken));
    loop {
        match Pin::new(&mut place).poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(permit) => return permit,
            Poll::Pending => {
                while !woken.0.swap(false, SeqCst) {
                    thread::yield_now();
                }
            }
        }
    }
}

fn enter(gate: &Arc<Gate>, share: &Arc<Share>) -> Permit {
    match gate.enter(Shares::One(share.clone()), 5) {
        Ok(Entry::Admitted(permit)) => permit,
        Ok(Entry::Waits(place)) => wait(place),
        Err(full) => unreachable!("there is room to wait: {full:?}"),
    }
}

/// Comes in, is the only one there, and leaves.
fn pass(gate: &Arc<Gate>, share: &Arc<Share>, inside: &Count) {
    let permit = enter(gate, share);
    assert_eq!(inside.up(), 1, "nobody else is in");
    inside.down();
    drop(permit);
}

fn is_empty(gate: &Gate, shares: &[&Share]) {
    assert_eq!((gate.taken(), gate.waiting()), (0, 0));
    assert!(shares.iter().all(|share| share.taken() == 0));
}

fn gate(most: u32) -> Arc<Gate> {
    Arc::new(Gate::new(Bounds { most, queue: 4 }))
}

fn share(id: u64, most: u32) -> Arc<Share> {
    Arc::new(Share::new(id, Bounds { most, queue: 4 }))
}

/// Three who want the only permit.
fn one_at_a_time(most: u32, of_share: u32) {
    bounded(2, move || {
        let (gate, share, inside) = (gate(most), share(0, of_share), Count::default());
        let others: Vec<_> = (0..2)
            .map(|_| {
                let (gate, share, inside) = (gate.clone(), share.clone(), inside.clone());
                thread::spawn(move || pass(&gate, &share, &inside))
            })
            .collect();
        pass(&gate, &share, &inside);
        others.into_iter().for_each(|other| other.join().unwrap());
        is_empty(&gate, &[&share]);
    });
}

#[test]
fn a_full_gate_lets_in_one_at_a_time() {
    one_at_a_time(1, 4);
}

#[test]
fn a_full_share_lets_in_one_at_a_time() {
    one_at_a_time(4, 1);
}

#[test]
fn a_place_that_is_left_is_free() {
    bounded(3, || {
        let (gate, share, inside) = (gate(1), share(0, 1), Count::default());
        let (other, its) = (gate.clone(), share.clone());
        let leaves = thread::spawn(move || {
            // Whether it was its turn or not.
            drop(other.enter(Shares::One(its), 1));
        });
        let (other, its, within) = (gate.clone(), share.clone(), inside.clone());
        let passes = thread::spawn(move || pass(&other, &its, &within));
        pass(&gate, &share, &inside);
        leaves.join().unwrap();
        passes.join().unwrap();
        is_empty(&gate, &[&share]);
    });
}

#[test]
fn a_permit_of_two_shares_waits_for_both() {
    bounded(2, || {
        let (gate, a, b) = (gate(2), share(0, 1), share(1, 1));
        let others: Vec<_> = [&a, &b]
            .map(|share| {
                let (gate, share) = (gate.clone(), share.clone());
                thread::spawn(move || drop(enter(&gate, &share)))
            })
            .into();
        let both = Shares::Several([a.clone(), b.clone()].into());
        match gate.enter(both, 5) {
            Ok(Entry::Admitted(permit)) => drop(permit),
            Ok(Entry::Waits(place)) => drop(wait(place)),
            Err(full) => unreachable!("there is room to wait: {full:?}"),
        }
        others.into_iter().for_each(|other| other.join().unwrap());
        is_empty(&gate, &[&a, &b]);
    });
}
