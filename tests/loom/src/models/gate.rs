//! Permits of the prediction service's gate: none is lost or doubled, and nobody waits who could go on.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};

use loom::sync::{Condvar, Mutex};
use loom::thread;

use super::{Count, bounded};
use crate::gate::{Entry, Gate, Permit, Place};
use crate::share::{Bounds, Share, Shares};

#[derive(Default)]
struct Woken {
    woken: Mutex<bool>,
    changed: Condvar,
}

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        *self.woken.lock().unwrap() = true;
        self.changed.notify_one();
    }
}

/// Waits for the turn; polled only when woken, so that a wake that is lost is a deadlock, which loom finds.
fn wait(mut place: Place) -> Permit {
    let woken = Arc::new(Woken::default());
    let waker = Waker::from(Arc::clone(&woken));
    loop {
        if let Poll::Ready(permit) = Pin::new(&mut place).poll(&mut Context::from_waker(&waker)) {
            return permit;
        }
        let mut is_woken = woken.woken.lock().unwrap();
        while !*is_woken {
            is_woken = woken.changed.wait(is_woken).unwrap();
        }
        *is_woken = false;
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

/// Two who want the only permit.
fn one_at_a_time(most: u32, of_share: u32) {
    bounded(3, move || {
        let (gate, share, inside) = (gate(most), share(0, of_share), Count::default());
        let (other, its, within) = (gate.clone(), share.clone(), inside.clone());
        let passes = thread::spawn(move || pass(&other, &its, &within));
        pass(&gate, &share, &inside);
        passes.join().unwrap();
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
    bounded(2, || {
        let (gate, share) = (gate(1), share(0, 1));
        let held = enter(&gate, &share);
        let (other, its) = (gate.clone(), share.clone());
        let leaves = thread::spawn(move || {
            // Whether it was its turn or not.
            drop(other.enter(Shares::One(its), 1));
        });
        drop(held);
        drop(enter(&gate, &share));
        leaves.join().unwrap();
        is_empty(&gate, &[&share]);
    });
}

#[test]
fn a_permit_of_two_shares_waits_for_both() {
    bounded(2, || {
        let (gate, a, b) = (gate(2), share(0, 1), share(1, 1));
        let (other, its) = (gate.clone(), b.clone());
        let passes = thread::spawn(move || drop(enter(&other, &its)));
        let both = Shares::Several([a.clone(), b.clone()].into());
        match gate.enter(both, 5) {
            Ok(Entry::Admitted(permit)) => drop(permit),
            Ok(Entry::Waits(place)) => drop(wait(place)),
            Err(full) => unreachable!("there is room to wait: {full:?}"),
        }
        passes.join().unwrap();
        is_empty(&gate, &[&a, &b]);
    });
}
