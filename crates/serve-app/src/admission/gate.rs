//! Permits, and who waits for one. So many hold a permit at most, in all and of each share (a model's part of the whole);
//! so many wait; everyone else is told at once that it is full.
//!
//! Taking a permit where nobody waits is two atomic steps, and giving it back is two; the lock is for those who wait.
//! Invariants:
//!
//! - Nobody waits who could go on: whoever gives a permit back, joins the line or fails to get past it looks through the
//!   line afterwards. The last step of giving back and the first of joining are on the same number (`seats`), so that one of
//!   the two sees the other.
//! - A place in the line is left by being given a permit or by being dropped, and either happens once, under the lock.
//! - Who is more urgent goes first, among equals who came first; but the one that has waited longest is passed
//!   [`PATIENCE`] times in a row at most, so that nobody starves.
//! - A share that is full holds up its own line and no other.
//!
//! Nothing here knows of models, requests or a runtime. `tests/loom` runs this file through its interleavings.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, PoisonError};
use std::task::{Context, Poll, Waker};

use super::primitives::{AtomicU64, Mutex, MutexGuard, Ordering};
use super::share::{Bounds, Share, Shares};

/// How often in a row others go before the one that has waited longest.
pub(crate) const PATIENCE: u32 = 16;

/// In `seats`, one that waits; one that holds a permit is 1.
const WAITS: u64 = 1 << 32;

/// Why somebody is turned away.
#[derive(Debug, Clone)]
pub(crate) enum Full {
    /// The whole is full.
    Whole(Bounds),
    /// This share is.
    Share(Arc<Share>),
}

/// What somebody who comes is given.
#[derive(Debug)]
pub(crate) enum Entry {
    Admitted(Permit),
    Waits(Place),
}

#[derive(Debug)]
pub(super) struct Waiter {
    urgency: u8,
    /// In whose line it stands.
    line: u64,
    shares: Shares,
    waker: Option<Waker>,
}

/// Those who wait for one share, by urgency and by age. Numbers rise with time.
#[derive(Debug)]
struct Line {
    share: Arc<Share>,
    urgent: BTreeSet<(u8, u64)>,
    oldest: BTreeSet<u64>,
}

/// All who wait.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    next: u64,
    /// How often in a row the oldest was passed.
    passed: u32,
    pub(super) waiters: HashMap<u64, Waiter>,
    /// By the share's id; none is empty.
    lines: BTreeMap<u64, Line>,
}

impl Waiting {
    fn len(&self, share: &Share) -> usize {
        self.lines.get(&share.id()).map_or(0, |line| line.oldest.len())
    }

    fn join(&mut self, number: u64, urgency: u8, share: &Arc<Share>) {
        let line = self.lines.entry(share.id()).or_insert_with(|| Line {
            share: Arc::clone(share),
            urgent: BTreeSet::new(),
            oldest: BTreeSet::new(),
        });
        line.urgent.insert((urgency, number));
        line.oldest.insert(number);
    }

    fn leave(&mut self, number: u64, urgency: u8, id: u64) {
        if let Some(line) = self.lines.get_mut(&id) {
            line.urgent.remove(&(urgency, number));
            line.oldest.remove(&number);
            if line.oldest.is_empty() {
                self.lines.remove(&id);
            }
        }
    }

    fn remove(&mut self, number: u64) -> Option<Waiter> {
        let waiter = self.waiters.remove(&number)?;
        self.leave(number, waiter.urgency, waiter.line);
        Some(waiter)
    }

    /// Whose turn it is among those whose share has room, and who of them is the oldest.
    fn turn(&self) -> Option<(u64, u64)> {
        let open = || self.lines.values().filter(|line| line.share.has_room());
        let oldest = open().filter_map(|line| line.oldest.first().copied()).min()?;
        let (_, urgent) = open().filter_map(|line| line.urgent.first().copied()).min()?;
        Some((if self.passed < PATIENCE { urgent } else { oldest }, oldest))
    }
}

/// The whole.
#[derive(Debug)]
pub(crate) struct Gate {
    bounds: AtomicU64,
    /// How many hold a permit, and how many wait. The latter changes under the lock only.
    seats: AtomicU64,
    refused: AtomicU64,
    left: AtomicU64,
    waiting: Mutex<Waiting>,
}

impl Gate {
    pub(crate) fn new(bounds: Bounds) -> Self {
        let zero = || AtomicU64::new(0);
        let waiting = Mutex::new(Waiting::default());
        Self { bounds: AtomicU64::new(bounds.pack()), seats: zero(), refused: zero(), left: zero(), waiting }
    }

    pub(crate) fn bounds(&self) -> Bounds {
        Bounds::unpack(self.bounds.load(Ordering::Relaxed))
    }

    /// Other bounds. Who holds a permit or waits beyond them goes on.
    pub(crate) fn set_bounds(&self, bounds: Bounds) {
        self.bounds.store(bounds.pack(), Ordering::Relaxed);
        self.look();
    }

    /// How many hold a permit.
    pub(crate) fn taken(&self) -> u64 {
        self.seats.load(Ordering::Relaxed) % WAITS
    }

    /// How many wait for one.
    pub(crate) fn waiting(&self) -> u64 {
        self.seats.load(Ordering::Relaxed) / WAITS
    }

    /// How many wait for one of a share.
    pub(crate) fn waiting_for(&self, share: &Share) -> usize {
        self.lock().len(share)
    }

    /// How many were refused.
    pub(crate) fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    /// How many left the line before it was their turn.
    pub(crate) fn left(&self) -> u64 {
        self.left.load(Ordering::Relaxed)
    }

    /// Lets somebody in, or gives a place in the line; the lower `urgency`, the sooner.
    pub(crate) fn enter(self: &Arc<Self>, shares: Shares, urgency: u8) -> Result<Entry, Full> {
        if self.waiting() == 0 && self.take(&shares, true) {
            return Ok(Entry::Admitted(self.permit(shares)));
        }
        let mut waiting = self.lock();
        let mut woken = self.advance(&mut waiting);
        let nobody_before = shares.as_slice().iter().all(|share| waiting.len(share) == 0);
        let entry = if nobody_before && self.take(&shares, false) {
            Ok(Entry::Admitted(self.permit(shares)))
        } else {
            self.queue(&mut waiting, shares, urgency).map(Entry::Waits)
        };
        woken.extend(self.advance(&mut waiting));
        drop(waiting);
        woken.into_iter().for_each(Waker::wake);
        entry
    }

    fn permit(self: &Arc<Self>, shares: Shares) -> Permit {
        Permit { gate: Arc::clone(self), shares }
    }

    /// Takes one of everything, or nothing.
    fn take(&self, shares: &Shares, only_if_nobody_waits: bool) -> bool {
        if shares.full().is_some() {
            return false;
        }
        let slice = shares.as_slice();
        let taken = slice.iter().take_while(|share| share.take()).count();
        let most = u64::from(self.bounds().most);
        let one_more = |seats: u64| {
            let (waiting, taken) = (seats / WAITS, seats % WAITS);
            (taken < most && !(only_if_nobody_waits && waiting > 0)).then_some(seats + 1)
        };
        if taken == slice.len()
            && self.seats.fetch_update(Ordering::AcqRel, Ordering::Acquire, one_more).is_ok()
        {
            return true;
        }
        slice.iter().take(taken).for_each(|share| share.give_back());
        false
    }

    fn give_back(&self, shares: &Shares) {
        shares.as_slice().iter().for_each(|share| share.give_back());
        if self.seats.fetch_sub(1, Ordering::AcqRel) >= WAITS {
            self.look();
        }
    }

    fn queue(self: &Arc<Self>, waiting: &mut Waiting, shares: Shares, urgency: u8) -> Result<Place, Full> {
        let share = Arc::clone(shares.full().unwrap_or(&shares.as_slice()[0]));
        let bounds = self.bounds();
        if self.waiting() >= u64::from(bounds.queue) {
            self.refused.fetch_add(1, Ordering::Relaxed);
            return Err(Full::Whole(bounds));
        }
        if waiting.len(&share) >= share.bounds().queue as usize {
            self.refused.fetch_add(1, Ordering::Relaxed);
            share.refuse();
            return Err(Full::Share(share));
        }
        self.seats.fetch_add(WAITS, Ordering::AcqRel);
        let number = waiting.next;
        waiting.next += 1;
        waiting.join(number, urgency, &share);
        let waiter = Waiter { urgency, line: share.id(), shares: shares.clone(), waker: None };
        waiting.waiters.insert(number, waiter);
        Ok(Place { gate: Arc::clone(self), shares, number, over: false })
    }

    /// Lets in who may go on.
    pub(crate) fn look(&self) {
        let woken = self.advance(&mut self.lock());
        woken.into_iter().for_each(Waker::wake);
    }

    /// Gives permits to those who wait, as long as there are any; they are to be woken without the lock.
    fn advance(&self, waiting: &mut Waiting) -> Vec<Waker> {
        let mut woken = Vec::new();
        while self.taken() < u64::from(self.bounds().most) {
            let Some((number, oldest)) = waiting.turn() else { break };
            let Some(waiter) = waiting.waiters.get_mut(&number) else { break };
            if let Some(share) = waiter.shares.full().map(Arc::clone) {
                // It has room in the line where it stands, and none elsewhere: it waits there, with its age.
                let (urgency, from) = (waiter.urgency, std::mem::replace(&mut waiter.line, share.id()));
                waiting.leave(number, urgency, from);
                waiting.join(number, urgency, &share);
                continue;
            }
            // Where this fails somebody is about to give back what they could not use, and looks again.
            if !self.take(&waiter.shares, false) {
                break;
            }
            self.seats.fetch_sub(WAITS, Ordering::AcqRel);
            waiting.passed = if number == oldest { 0 } else { waiting.passed + 1 };
            woken.extend(waiting.remove(number).and_then(|waiter| waiter.waker));
        }
        woken
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Waiting> {
        // Nothing below panics between two steps that belong together.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Leave to go on, given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Permit {
    gate: Arc<Gate>,
    shares: Shares,
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.gate.give_back(&self.shares);
    }
}

/// A place in the line: completes with a permit. Dropped before, it is free.
#[derive(Debug)]
pub(crate) struct Place {
    gate: Arc<Gate>,
    shares: Shares,
    pub(super) number: u64,
    over: bool,
}

impl Future for Place {
    type Output = Permit;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Permit> {
        if let Some(waiter) = self.gate.lock().waiters.get_mut(&self.number) {
            waiter.waker = Some(context.waker().clone());
            return Poll::Pending;
        }
        self.over = true;
        Poll::Ready(self.gate.permit(self.shares.clone()))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if self.over {
            return;
        }
        let mut waiting = self.gate.lock();
        let waited = waiting.remove(self.number).is_some();
        if waited {
            self.gate.seats.fetch_sub(WAITS, Ordering::AcqRel);
            self.gate.left.fetch_add(1, Ordering::Relaxed);
        }
        drop(waiting);
        if !waited {
            self.gate.give_back(&self.shares);
        }
    }
}
