//! The gate held against what it promises, with wakers that count.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use proptest::prelude::*;

use super::gate::*;
use super::share::{Bounds, Share, Shares};

#[derive(Default)]
struct Woken(AtomicUsize);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

fn gate(most: u32, queue: u32) -> Arc<Gate> {
    Arc::new(Gate::new(Bounds { most, queue }))
}

fn share(id: u64, most: u32, queue: u32) -> Arc<Share> {
    Arc::new(Share::new(id, Bounds { most, queue }))
}

fn of(share: &Arc<Share>) -> Shares {
    Shares::One(Arc::clone(share))
}

fn admitted(gate: &Arc<Gate>, share: &Arc<Share>) -> Permit {
    match gate.enter(of(share), 5) {
        Ok(Entry::Admitted(permit)) => permit,
        other => unreachable!("not admitted: {other:?}"),
    }
}

fn waits(gate: &Arc<Gate>, share: &Arc<Share>, urgency: u8) -> Place {
    match gate.enter(of(share), urgency) {
        Ok(Entry::Waits(place)) => place,
        other => unreachable!("does not wait: {other:?}"),
    }
}

fn ask(place: &mut Place) -> Option<Permit> {
    match Pin::new(place).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(permit) => Some(permit),
        Poll::Pending => None,
    }
}

/// The only one of them that has its turn.
fn turn(places: &mut Vec<(u32, Place)>) -> (u32, Permit) {
    let mut found = Vec::new();
    places.retain_mut(|(name, place)| match ask(place) {
        Some(permit) => {
            found.push((*name, permit));
            false
        }
        None => true,
    });
    assert_eq!(found.len(), 1, "{found:?}");
    found.remove(0)
}

#[test]
fn what_is_beyond_the_bounds_is_refused_at_once() {
    let (gate, m) = (gate(2, 1), share(0, 2, 1));
    let permits = [admitted(&gate, &m), admitted(&gate, &m)];
    let mut place = waits(&gate, &m, 5);
    assert!(matches!(gate.enter(of(&m), 1), Err(Full::Whole(Bounds { most: 2, queue: 1 }))));
    assert_eq!((gate.taken(), gate.waiting(), gate.refused(), gate.waiting_for(&m)), (2, 1, 1, 1));
    let woken = Arc::new(Woken::default());
    let waker = Waker::from(Arc::clone(&woken));
    assert!(Pin::new(&mut place).poll(&mut Context::from_waker(&waker)).is_pending());
    drop(permits);
    assert_eq!(woken.0.load(Ordering::SeqCst), 1);
    drop(ask(&mut place).expect("is admitted"));
    drop(place);
    assert_eq!((gate.taken(), gate.waiting(), m.taken(), gate.left()), (0, 0, 0, 0));
}

#[test]
fn the_more_urgent_goes_first_and_nobody_starves() {
    let (gate, m) = (gate(1, 100), share(0, 1, 100));
    let mut held = admitted(&gate, &m);
    let mut places: Vec<_> = (0..3).map(|name| (name, waits(&gate, &m, 5))).collect();
    places.extend((100..140).map(|name| (name, waits(&gate, &m, 1))));
    let mut order = Vec::new();
    while !places.is_empty() {
        drop(held);
        let (name, permit) = turn(&mut places);
        order.push(name);
        held = permit;
    }
    let mut expected: Vec<u32> = (100..116).collect();
    expected.push(0);
    expected.extend(116..132);
    expected.push(1);
    expected.extend(132..140);
    expected.push(2);
    assert_eq!(order, expected);
}

#[test]
fn a_full_share_holds_up_nobody_else() {
    let (gate, slow, other) = (gate(3, 10), share(0, 2, 2), share(1, 2, 2));
    let held = [admitted(&gate, &slow), admitted(&gate, &slow)];
    let mut first = waits(&gate, &slow, 5);
    let _second = waits(&gate, &slow, 5);
    assert!(matches!(gate.enter(of(&slow), 1), Err(Full::Share(full)) if Arc::ptr_eq(&full, &slow)));
    assert_eq!((slow.refused(), other.refused(), gate.refused()), (1, 0, 1));
    let permit = admitted(&gate, &other);
    assert!(matches!(gate.enter(of(&other), 5), Ok(Entry::Waits(_))));
    drop(permit);
    assert!(ask(&mut first).is_none());
    drop(admitted(&gate, &other));
    drop(held);
    assert!(ask(&mut first).is_some());
}

#[test]
fn a_permit_of_several_shares_waits_for_each() {
    let (gate, a, b) = (gate(9, 9), share(0, 1, 9), share(1, 1, 9));
    let both = || Shares::Several([Arc::clone(&a), Arc::clone(&b)].into());
    let (of_a, of_b) = (admitted(&gate, &a), admitted(&gate, &b));
    let Ok(Entry::Waits(mut place)) = gate.enter(both(), 5) else { unreachable!("waits") };
    drop(of_a);
    assert!(ask(&mut place).is_none());
    assert_eq!((gate.waiting_for(&a), gate.waiting_for(&b)), (0, 1));
    let of_a = admitted(&gate, &a);
    drop(of_b);
    assert!(ask(&mut place).is_none());
    drop(of_a);
    let permit = ask(&mut place).expect("both have room");
    assert_eq!((a.taken(), b.taken(), gate.taken()), (1, 1, 1));
    drop(permit);
    assert_eq!((a.taken(), b.taken(), gate.taken(), gate.waiting()), (0, 0, 0, 0));
}

#[test]
fn bounds_that_are_raised_let_in_who_waits() {
    let (gate, m) = (gate(1, 2), share(0, 9, 9));
    let _held = admitted(&gate, &m);
    let mut places = [waits(&gate, &m, 5), waits(&gate, &m, 5)];
    gate.set_bounds(Bounds { most: 2, queue: 0 });
    let [first, second] = &mut places;
    let permit = ask(first).expect("there is room now");
    assert!(ask(second).is_none());
    gate.set_bounds(Bounds { most: 1, queue: 0 });
    drop(permit);
    assert!(ask(second).is_none(), "one is under way, and no more may be");
}

#[derive(Debug, Clone)]
enum Act {
    Enter { share: usize, urgency: u8 },
    EnterBoth,
    End(usize),
    Leave(usize),
    Poll(usize),
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let act = prop_oneof![
        4 => (0..3_usize, 0..3_u8).prop_map(|(share, urgency)| Act::Enter { share, urgency }),
        1 => Just(Act::EnterBoth),
        3 => (0..8_usize).prop_map(Act::End),
        1 => (0..8_usize).prop_map(Act::Leave),
        2 => (0..8_usize).prop_map(Act::Poll),
    ];
    prop::collection::vec(act, 1..200)
}

/// What the test itself knows of one that waits: the shares that it needs, its urgency, and its place.
type Waits = (Vec<usize>, u8, Place);

/// Nobody waits who could go on, and the counts are those of what is held.
fn check(gate: &Gate, shares: &[Arc<Share>; 3], held: &[(Vec<usize>, Permit)], waiting: &[Waits]) {
    let numbers = gate.lock();
    let queued: Vec<&Waits> =
        waiting.iter().filter(|(_, _, place)| numbers.waiters.contains_key(&place.number)).collect();
    let granted = waiting.iter().filter(|(_, _, place)| !numbers.waiters.contains_key(&place.number));
    let all: Vec<&Vec<usize>> = held.iter().map(|(of, _)| of).chain(granted.map(|(of, _, _)| of)).collect();
    assert_eq!((gate.taken(), gate.waiting()), (all.len() as u64, queued.len() as u64));
    assert!(gate.taken() <= u64::from(gate.bounds().most));
    for (at, share) in shares.iter().enumerate() {
        assert_eq!(share.taken(), all.iter().filter(|of| of.contains(&at)).count() as u64);
        assert!(share.taken() <= u64::from(share.bounds().most));
    }
    if gate.taken() < u64::from(gate.bounds().most) {
        let stuck = |(of, _, _): &&&Waits| of.iter().any(|&at| !shares[at].has_room());
        assert_eq!(queued.iter().filter(stuck).count(), queued.len());
    }
    // Among equals of one share nobody is before who came first.
    for (of, urgency, place) in &queued {
        let later =
            |(other, same, granted): &&Waits| other == of && same == urgency && granted.number > place.number;
        let mut after = waiting.iter().filter(later);
        assert!(after.all(|(_, _, place)| numbers.waiters.contains_key(&place.number)));
    }
}

proptest! {
    #[test]
    fn no_permit_is_lost_or_doubled(acts in acts(), most in 1..5_u32, queue in 0..6_u32) {
        let gate = gate(most, queue);
        let shares = [share(0, 1, 2), share(1, 2, 9), share(2, 9, 9)];
        let (mut held, mut waiting): (Vec<(Vec<usize>, Permit)>, Vec<Waits>) = (Vec::new(), Vec::new());
        for act in acts {
            let (of_these, urgency) = match act {
                Act::End(at) => {
                    if at < held.len() {
                        drop(held.remove(at));
                    }
                    check(&gate, &shares, &held, &waiting);
                    continue;
                }
                Act::Leave(at) => {
                    if at < waiting.len() {
                        drop(waiting.remove(at));
                    }
                    check(&gate, &shares, &held, &waiting);
                    continue;
                }
                Act::Poll(at) => {
                    if let Some((_, _, place)) = waiting.get_mut(at)
                        && let Some(permit) = ask(place)
                    {
                        held.push((waiting.remove(at).0, permit));
                    }
                    check(&gate, &shares, &held, &waiting);
                    continue;
                }
                Act::Enter { share, urgency } => (vec![share], urgency),
                Act::EnterBoth => (vec![0, 1], 1),
            };
            let asked = match &of_these[..] {
                [one] => of(&shares[*one]),
                several => Shares::Several(several.iter().map(|&at| Arc::clone(&shares[at])).collect()),
            };
            match gate.enter(asked, urgency) {
                Ok(Entry::Admitted(permit)) => held.push((of_these, permit)),
                Ok(Entry::Waits(place)) => waiting.push((of_these, urgency, place)),
                Err(_) => {}
            }
            check(&gate, &shares, &held, &waiting);
        }
        drop(held);
        // Who had a turn and did not take it holds up the others until they go.
        while !waiting.is_empty() {
            let before = waiting.len();
            waiting.retain_mut(|(_, _, place)| ask(place).is_none());
            prop_assert!(waiting.len() < before, "somebody waits for nothing");
        }
        prop_assert_eq!((gate.taken(), gate.waiting()), (0, 0));
        prop_assert!(shares.iter().all(|share| share.taken() == 0));
    }
}
