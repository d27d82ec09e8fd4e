//! Rows in this process's memory for a while, and one fetch for all who want the same row at the same time.
//!
//! - Bounded by rows and by bytes; what was not asked for longest goes first. "No row" is not kept: an entity's first row
//!   is seen at once, and names that nobody knows fill nothing.
//! - A key names the set, the entity and whether the row was read or computed; nothing is joined to text.
//! - Who finds nothing leads a fetch; who comes while it is under way joins it. A batch joins what is under way and
//!   fetches the rest in one go. A leader that is dropped, or gives up at its own deadline, tells nobody anything: one of
//!   those who joined leads then.
//! - [`forget`](FeatureCache::forget) makes sure that a fetch that began earlier is neither kept nor joined any more.
//! - A row stays past its time to live, to stand in for a store that fails ([`FeatureCache::last_known_good`]).

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use lru::LruCache;
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

use crate::config::CacheConfig;
use crate::name::{Entity, FeatureSetName};

/// What a row is known by.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct CacheKey {
    pub(crate) set: FeatureSetName,
    pub(crate) entity: Entity,
    pub(crate) kind: RowKind,
}

/// Where a row is from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum RowKind {
    Stored,
    Computed,
}

/// What is kept.
pub(crate) trait Cacheable: Clone {
    /// Memory that it takes; `None`: not to be kept.
    fn bytes(&self) -> Option<usize>;
}

/// What the cache did since the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct CacheCounters {
    /// Rows answered from memory.
    pub hits: u64,
    /// Rows fetched.
    pub misses: u64,
    /// Rows that came with another request's fetch.
    pub joined: u64,
    /// Rows thrown out for want of room.
    pub evicted: u64,
    /// Rows that stood in for a store that failed.
    pub served_stale: u64,
    /// Rows held now.
    pub rows: u64,
    /// Bytes held now, as estimated.
    pub bytes: u64,
}

/// A fetch's result for one key, as it is shared.
type Shared<V, E> = Result<Option<V>, E>;
type Leading<V, E> = watch::Sender<Option<Shared<V, E>>>;
type Joining<V, E> = watch::Receiver<Option<Shared<V, E>>>;

/// Rows, and fetches under way.
#[derive(Debug)]
pub(crate) struct FeatureCache<V, E> {
    ttl: Duration,
    last_known_good: Duration,
    max_rows: usize,
    max_bytes: usize,
    /// A key is under way or not, and a row is there or not, as one; held for map look-ups only.
    inner: Mutex<Inner<V, E>>,
}

#[derive(Debug)]
struct Inner<V, E> {
    rows: LruCache<CacheKey, Kept<V>>,
    bytes: usize,
    flights: HashMap<CacheKey, (u64, Joining<V, E>)>,
    flown: u64,
    counters: CacheCounters,
}

#[derive(Debug)]
struct Kept<V> {
    value: V,
    bytes: usize,
    at: Instant,
    /// It may be out of date, and answers only while the store fails.
    outdated: bool,
}

/// How a batch of keys is to be had.
struct Plan<'a, V, E> {
    leads: Vec<(usize, Lead<'a, V, E>)>,
    joins: Vec<(usize, Joining<V, E>)>,
}

/// A fetch of one key that others may join. Dropped without a result it is over, and they are told nothing.
struct Lead<'a, V, E> {
    cache: &'a FeatureCache<V, E>,
    key: CacheKey,
    id: u64,
    sender: Leading<V, E>,
}

impl<V, E> Drop for Lead<'_, V, E> {
    fn drop(&mut self) {
        let mut inner = self.cache.lock();
        if inner.flights.get(&self.key).is_some_and(|(id, _)| *id == self.id) {
            inner.flights.remove(&self.key);
        }
    }
}

/// What a caller of the cache brings.
pub(crate) struct Wanted<U, S, L> {
    /// Whether a kept row may answer.
    pub(crate) usable: U,
    /// Whether an error is everyone's, and not the leader's own deadline.
    pub(crate) shared: S,
    /// The error of who waited until its deadline.
    pub(crate) late: L,
    /// The deadline.
    pub(crate) end: Instant,
}

impl<V: Cacheable, E: Clone> FeatureCache<V, E> {
    pub(crate) fn new(config: &CacheConfig) -> Self {
        Self {
            ttl: config.ttl,
            last_known_good: config.last_known_good,
            max_rows: config.max_rows,
            max_bytes: usize::try_from(config.max_bytes.0).unwrap_or(usize::MAX),
            inner: Mutex::new(Inner {
                rows: LruCache::unbounded(),
                bytes: 0,
                flights: HashMap::new(),
                flown: 0,
                counters: CacheCounters::default(),
            }),
        }
    }

    /// The rows of keys, one slot a key: kept, fetched by another request under way, or fetched by `fetch`, which is given
    /// the indices of the keys that nobody else fetches and answers in their order: a key may fail alone.
    pub(crate) async fn get_or_fetch<F>(
        &self,
        keys: &[CacheKey],
        wanted: &Wanted<impl Fn(&V) -> bool, impl Fn(&E) -> bool, impl Fn() -> E>,
        fetch: impl Fn(Vec<usize>) -> F,
    ) -> Vec<Shared<V, E>>
    where
        F: Future<Output = Result<Vec<Shared<V, E>>, E>>,
    {
        let mut found: Vec<Option<Shared<V, E>>> = keys.iter().map(|_| None).collect();
        loop {
            let plan = self.plan(keys, &mut found, &wanted.usable);
            if !plan.leads.is_empty() {
                let leads = plan.leads;
                let fetched = fetch(leads.iter().map(|(i, _)| *i).collect()).await;
                self.land(leads, fetched, &wanted.shared, &mut found);
            }
            for (i, mut joining) in plan.joins {
                found[i] = match timeout_at(wanted.end, joining.wait_for(Option::is_some)).await {
                    Ok(Ok(landed)) => landed.clone(),
                    // The leader is gone.
                    Ok(Err(_)) if Instant::now() < wanted.end => None,
                    Ok(Err(_)) | Err(_) => Some(Err((wanted.late)())),
                };
            }
            if found.iter().all(Option::is_some) {
                return found.into_iter().flatten().collect();
            }
        }
    }

    /// A row that is past its time to live, and not past the time for which it may stand in.
    pub(crate) fn last_known_good(&self, key: &CacheKey) -> Option<V> {
        if self.last_known_good.is_zero() {
            return None;
        }
        let longest = self.ttl.saturating_add(self.last_known_good);
        let mut inner = self.lock();
        let kept = inner.rows.peek(key).filter(|kept| kept.at.elapsed() <= longest)?;
        let value = kept.value.clone();
        inner.counters.served_stale += 1;
        Some(value)
    }

    /// Forgets an entity's rows; a fetch that is under way is not kept.
    pub(crate) fn forget(&self, set: &FeatureSetName, entity: &Entity) {
        let mut inner = self.lock();
        for kind in [RowKind::Stored, RowKind::Computed] {
            let key = CacheKey { set: set.clone(), entity: entity.clone(), kind };
            inner.remove(&key);
            inner.flights.remove(&key);
        }
    }

    /// An entity's rows may have changed: they are read again, and stand in for a store that fails until then.
    pub(crate) fn outdate(&self, set: &FeatureSetName, entity: &Entity) {
        let mut inner = self.lock();
        for kind in [RowKind::Stored, RowKind::Computed] {
            let key = CacheKey { set: set.clone(), entity: entity.clone(), kind };
            if let Some(kept) = inner.rows.peek_mut(&key) {
                kept.outdated = true;
            }
            inner.flights.remove(&key);
        }
    }

    pub(crate) fn counters(&self) -> CacheCounters {
        let inner = self.lock();
        CacheCounters { rows: inner.rows.len() as u64, bytes: inner.bytes as u64, ..inner.counters }
    }

    /// Answers what is kept, and says for the rest who fetches it.
    fn plan(
        &self,
        keys: &[CacheKey],
        found: &mut [Option<Shared<V, E>>],
        usable: &impl Fn(&V) -> bool,
    ) -> Plan<'_, V, E> {
        let mut plan = Plan { leads: Vec::new(), joins: Vec::new() };
        let mut inner = self.lock();
        let inner = &mut *inner;
        for (i, key) in keys.iter().enumerate().filter(|(i, _)| found[*i].is_none()).collect::<Vec<_>>() {
            let kept = inner.rows.get(key).filter(|kept| !kept.outdated && kept.at.elapsed() < self.ttl);
            if let Some(kept) = kept.filter(|kept| usable(&kept.value)) {
                found[i] = Some(Ok(Some(kept.value.clone())));
                inner.counters.hits += 1;
            } else if let Some((_, joining)) = inner.flights.get(key) {
                plan.joins.push((i, joining.clone()));
                inner.counters.joined += 1;
            } else {
                inner.flown += 1;
                inner.counters.misses += 1;
                let (sender, joining) = watch::channel(None);
                inner.flights.insert(key.clone(), (inner.flown, joining));
                plan.leads.push((i, Lead { cache: self, key: key.clone(), id: inner.flown, sender }));
            }
        }
        plan
    }

    /// Tells those who joined, and keeps what may be kept.
    fn land(
        &self,
        leads: Vec<(usize, Lead<'_, V, E>)>,
        fetched: Result<Vec<Shared<V, E>>, E>,
        shared: &impl Fn(&E) -> bool,
        found: &mut [Option<Shared<V, E>>],
    ) {
        let mut fetched = fetched.map(Vec::into_iter);
        for (i, lead) in leads {
            let landed = match &mut fetched {
                Ok(values) => values.next().unwrap_or(Ok(None)),
                Err(error) => Err(error.clone()),
            };
            match &landed {
                Ok(value) => self.keep(&lead, value.as_ref()),
                Err(error) if shared(error) => {}
                Err(_) => {
                    found[i] = Some(landed);
                    continue;
                }
            }
            // Whoever joins from now on would find a flight that has landed.
            let sender = lead.sender.clone();
            drop(lead);
            sender.send_replace(Some(landed.clone()));
            found[i] = Some(landed);
        }
    }

    /// Keeps a fetched row, unless it was forgotten meanwhile.
    fn keep(&self, lead: &Lead<'_, V, E>, value: Option<&V>) {
        let mut inner = self.lock();
        if inner.flights.get(&lead.key).is_none_or(|(id, _)| *id != lead.id) {
            return;
        }
        inner.remove(&lead.key);
        let bytes = value.and_then(Cacheable::bytes).filter(|bytes| *bytes <= self.max_bytes);
        let keeps = !(self.ttl.is_zero() && self.last_known_good.is_zero()) && self.max_rows > 0;
        let (Some(value), Some(bytes), true) = (value, bytes, keeps) else { return };
        inner.bytes += bytes;
        inner
            .rows
            .put(lead.key.clone(), Kept { value: value.clone(), bytes, at: Instant::now(), outdated: false });
        while inner.bytes > self.max_bytes || inner.rows.len() > self.max_rows {
            let Some((_, oldest)) = inner.rows.pop_lru() else { return };
            inner.bytes -= oldest.bytes;
            inner.counters.evicted += 1;
        }
    }
}

impl<V, E> FeatureCache<V, E> {
    fn lock(&self) -> MutexGuard<'_, Inner<V, E>> {
        // Nothing in between panics but an allocation, after which counts may be off by a row.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<V, E> Inner<V, E> {
    fn remove(&mut self, key: &CacheKey) {
        if let Some(kept) = self.rows.pop(key) {
            self.bytes -= kept.bytes;
        }
    }
}

#[cfg(test)]
mod tests;
