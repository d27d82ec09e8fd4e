//! Answers in memory, in several parts so that threads seldom wait for each other. Times are given by the caller.

use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use lru::LruCache;
use serve_core::Digest;
use tokio::sync::watch;

use super::{Counters, Key, Landed, Outcome, PredictionCacheStats, add};

/// At most so many parts, each of at least [`LEAST`] bytes.
const MOST: usize = 16;
const LEAST: usize = 1 << 20;
/// What an entry takes besides its row and its numbers: itself, twice its place in the list and the table's slot.
const ENTRY: usize = size_of::<Key>() + size_of::<Kept>() + 64;

#[derive(Debug)]
pub(super) struct Shards {
    parts: Box<[Mutex<Shard>]>,
    max_bytes: usize,
    ttl: Duration,
    counters: Counters,
}

/// A part. Invariant of its lock: a key is under way or not, and an answer is there or not, as one; it is held for look-ups
/// only.
#[derive(Debug)]
struct Shard {
    entries: LruCache<Key, Kept>,
    bytes: usize,
    flights: HashMap<Key, (u64, watch::Receiver<Landed>)>,
    flown: u64,
}

#[derive(Debug)]
struct Kept {
    outcome: Outcome,
    bytes: usize,
    at: Instant,
}

/// What there is for a key.
pub(super) enum Slot {
    Kept(Outcome),
    UnderWay(watch::Receiver<Landed>),
    /// Nothing: the caller has a flight with this number now.
    Lead(u64, watch::Sender<Landed>),
}

impl Shards {
    pub(super) fn new(max_bytes: usize, ttl: Duration) -> Self {
        let shard = || {
            Mutex::new(Shard { entries: LruCache::unbounded(), bytes: 0, flights: HashMap::new(), flown: 0 })
        };
        let count = (max_bytes / LEAST).clamp(1, MOST);
        let parts = std::iter::repeat_with(shard).take(count).collect();
        Self { parts, max_bytes, ttl, counters: Counters::default() }
    }

    pub(super) fn find(&self, key: &Key, now: Instant) -> Slot {
        let mut shard = self.shard(key);
        if let Some(outcome) = self.fresh(&mut shard, key, now) {
            add(&self.counters.hits, 1);
            return Slot::Kept(outcome);
        }
        if let Some((_, receiver)) = shard.flights.get(key) {
            add(&self.counters.joined, 1);
            return Slot::UnderWay(receiver.clone());
        }
        add(&self.counters.misses, 1);
        shard.flown += 1;
        let (sender, receiver) = watch::channel(None);
        let flight = shard.flown;
        shard.flights.insert(key.clone(), (flight, receiver));
        Slot::Lead(flight, sender)
    }

    pub(super) fn kept(&self, key: &Key, now: Instant) -> Option<Outcome> {
        let found = self.fresh(&mut self.shard(key), key, now);
        add(if found.is_some() { &self.counters.hits } else { &self.counters.misses }, 1);
        found
    }

    fn fresh(&self, shard: &mut Shard, key: &Key, now: Instant) -> Option<Outcome> {
        let kept = shard.entries.get(key)?;
        if now.saturating_duration_since(kept.at) < self.ttl {
            return Some(kept.outcome.clone());
        }
        add(&self.counters.expired, shard.remove(key));
        None
    }

    pub(super) fn keep(&self, key: &Key, outcome: &Outcome, now: Instant) {
        let bytes = ENTRY + key.bytes() + outcome.bytes();
        let most = self.max_bytes / self.parts.len();
        if bytes > most || self.ttl.is_zero() {
            return;
        }
        let mut shard = self.shard(key);
        shard.remove(key);
        shard.bytes += bytes;
        shard.entries.put(key.clone(), Kept { outcome: outcome.clone(), bytes, at: now });
        while let Some((_, oldest)) = shard.entries.peek_lru() {
            let expired = now.saturating_duration_since(oldest.at) >= self.ttl;
            if !expired && shard.bytes <= most {
                return;
            }
            let bytes = oldest.bytes;
            shard.entries.pop_lru();
            shard.bytes -= bytes;
            add(if expired { &self.counters.expired } else { &self.counters.evicted }, 1);
        }
    }

    /// A flight is over.
    pub(super) fn landed(&self, key: &Key, flight: u64) {
        let mut shard = self.shard(key);
        if shard.flights.get(key).is_some_and(|(number, _)| *number == flight) {
            shard.flights.remove(key);
        }
    }

    /// Frees what is kept of a version.
    pub(super) fn retire(&self, digest: &Digest) {
        for shard in &self.parts {
            let mut shard = lock(shard);
            let gone = shard.entries.iter().map(|(key, _)| key).filter(|key| key.digest == *digest);
            let gone: Vec<Key> = gone.cloned().collect();
            let retired: usize = gone.iter().map(|key| shard.remove(key)).sum();
            add(&self.counters.retired, retired);
        }
    }

    pub(super) fn stats(&self) -> PredictionCacheStats {
        let read = |counter: &std::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed);
        let held = self.parts.iter().map(lock).map(|shard| (shard.entries.len(), shard.bytes));
        let (entries, bytes) = held.fold((0, 0), |sum, part| (sum.0 + part.0, sum.1 + part.1));
        PredictionCacheStats {
            hits: read(&self.counters.hits),
            misses: read(&self.counters.misses),
            joined: read(&self.counters.joined),
            evicted: read(&self.counters.evicted),
            expired: read(&self.counters.expired),
            retired: read(&self.counters.retired),
            entries: entries as u64,
            bytes: bytes as u64,
            max_bytes: self.max_bytes as u64,
            shared: None,
        }
    }

    fn shard(&self, key: &Key) -> MutexGuard<'_, Shard> {
        lock(&self.parts[key.spread() as usize % self.parts.len()])
    }
}

fn lock(shard: &Mutex<Shard>) -> MutexGuard<'_, Shard> {
    // Nothing in between panics but an allocation, after which a count may be off by an entry.
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shard {
    /// How many entries that were.
    fn remove(&mut self, key: &Key) -> usize {
        let removed = self.entries.pop(key);
        self.bytes -= removed.as_ref().map_or(0, |kept| kept.bytes);
        usize::from(removed.is_some())
    }
}
