//! Which versions stay loaded. The list holds no deployments, only their keys in the order of use and their sizes; what
//! leaves it is taken out of the snapshots by the registry.
//!
//! Requests by alias do not touch the list: they note the time in the deployment (see `Deployment::touch`), and the list is
//! put in order whenever somebody is about to leave. What is pinned, in use, or protected by the caller never leaves.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use lru::LruCache;
use serde::Serialize;
use serve_core::{ModelName, ModelVersion};

use crate::config::CacheConfig;
use crate::deployment::Deployment;

/// Preloading stops at this share of the limits, in percent, so that there is room for what is asked for.
const PRELOAD_PERCENT: u64 = 80;

/// Counters that threads add to without waiting for each other's caches.
const SHARDS: usize = 16;

pub(crate) type Key = (ModelName, ModelVersion);

/// What a version that has no place would need.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NoRoom {
    /// More than the whole cache has.
    TooLarge,
    /// More than can be freed now.
    Occupied,
}

/// What the cache holds and what happened to it.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct CacheStats {
    /// Estimated bytes of all loaded versions.
    pub bytes: u64,
    /// The limit on them.
    pub max_bytes: u64,
    /// Number of loaded versions.
    pub entries: usize,
    /// The limit on it.
    pub max_models: usize,
    /// Requests whose version was loaded.
    pub hits: u64,
    /// Requests whose version had to be loaded first.
    pub misses: u64,
    /// Versions that left for others.
    pub evictions: u64,
    /// Versions that left because nobody asked for them.
    pub expirations: u64,
    /// Loads.
    pub loads: LoadStats,
    /// The loaded versions, most recently used first.
    pub models: Vec<CacheEntry>,
}

/// Loads and how long they took.
#[derive(Debug, Clone, Copy, Default, Serialize)]
#[non_exhaustive]
pub struct LoadStats {
    /// Loads that ended well.
    pub succeeded: u64,
    /// Loads that did not.
    pub failed: u64,
    /// Loads under way.
    pub in_flight: usize,
    /// Milliseconds of all that ended well.
    pub total_ms: f64,
    /// Milliseconds of the longest of them.
    pub max_ms: f64,
    /// Milliseconds of the last of them.
    pub last_ms: f64,
}

/// One loaded version.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct CacheEntry {
    /// The model.
    pub name: ModelName,
    /// The version.
    pub version: ModelVersion,
    /// Estimated bytes.
    pub bytes: u64,
    /// Whether it is never evicted.
    pub pinned: bool,
    /// Seconds since it was last asked for.
    pub idle_seconds: f64,
    /// How long loading, proving and warming took.
    pub load_ms: f64,
    /// When it became ready, RFC 3339 UTC.
    pub loaded_at: jiff::Timestamp,
}

#[derive(Debug)]
struct Entry {
    deployment: Weak<Deployment>,
    bytes: u64,
    pinned: bool,
    /// The time of use by which it is in the order.
    ordered: u64,
}

#[derive(Debug, Default)]
#[repr(align(64))]
struct Shard(AtomicU64);

#[derive(Debug)]
pub(crate) struct Cache {
    limits: CacheConfig,
    list: Mutex<List>,
    hits: [Shard; SHARDS],
    misses: AtomicU64,
    evictions: AtomicU64,
    expirations: AtomicU64,
    loads: Mutex<LoadStats>,
}

#[derive(Debug)]
struct List {
    entries: LruCache<Key, Entry>,
    bytes: u64,
}

impl Cache {
    pub(crate) fn new(limits: CacheConfig) -> Self {
        Self {
            limits,
            list: Mutex::new(List { entries: LruCache::unbounded(), bytes: 0 }),
            hits: Default::default(),
            misses: AtomicU64::new(0),
            evictions: AtomicU64::new(0),
            expirations: AtomicU64::new(0),
            loads: Mutex::default(),
        }
    }

    pub(crate) fn limits(&self) -> &CacheConfig {
        &self.limits
    }

    pub(crate) fn hit(&self) {
        self.hits[shard()].0.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn miss(&self) {
        self.misses.fetch_add(1, Ordering::Relaxed);
    }

    /// Notes a load that ended: how long it took, or that it failed.
    pub(crate) fn loaded(&self, took: Option<Duration>) {
        let mut loads = self.loads.lock().unwrap_or_else(PoisonError::into_inner);
        match took {
            Some(took) => {
                loads.succeeded += 1;
                loads.last_ms = took.as_secs_f64() * 1e3;
                loads.total_ms += loads.last_ms;
                loads.max_ms = loads.max_ms.max(loads.last_ms);
            }
            None => loads.failed += 1,
        }
    }

    /// Whether preloading may go on.
    pub(crate) fn has_room_to_preload(&self) -> bool {
        let list = self.list();
        let within = |now: u64, limit: u64| now * 100 < limit.saturating_mul(PRELOAD_PERCENT);
        within(list.bytes, self.limits.max_bytes.0)
            && within(list.entries.len() as u64, self.limits.max_models.get() as u64)
    }

    /// Who has to leave so that `bytes` more have room, least recently used first; `replaced` bytes and versions leave
    /// anyway. `may_leave` is asked about each candidate.
    pub(crate) fn victims(
        &self,
        bytes: u64,
        replaced: (u64, usize),
        may_leave: impl Fn(&Key, &Weak<Deployment>) -> bool,
    ) -> Result<Vec<Key>, NoRoom> {
        let (max_bytes, max_models) = (self.limits.max_bytes.0, self.limits.max_models.get());
        if bytes > max_bytes {
            return Err(NoRoom::TooLarge);
        }
        let mut list = self.list();
        list.order();
        let mut left_bytes = (list.bytes + bytes).saturating_sub(replaced.0);
        let mut left = (list.entries.len() + 1).saturating_sub(replaced.1);
        let mut victims = Vec::new();
        for (key, entry) in list.entries.iter().rev() {
            if left_bytes <= max_bytes && left <= max_models {
                break;
            }
            if !entry.pinned && may_leave(key, &entry.deployment) {
                left_bytes = left_bytes.saturating_sub(entry.bytes);
                left -= 1;
                victims.push(key.clone());
            }
        }
        if left_bytes <= max_bytes && left <= max_models { Ok(victims) } else { Err(NoRoom::Occupied) }
    }

    /// Who was not asked for since `before`.
    pub(crate) fn idle(&self, before: u64, may_leave: impl Fn(&Key, &Weak<Deployment>) -> bool) -> Vec<Key> {
        let list = self.list();
        let idle = list.entries.iter().filter(|(key, entry)| {
            let used = entry.deployment.upgrade().map_or(0, |deployment| deployment.last_used());
            used < before && !entry.pinned && may_leave(key, &entry.deployment)
        });
        idle.map(|(key, _)| key.clone()).collect()
    }

    pub(crate) fn insert(&self, key: Key, deployment: &Arc<Deployment>, pinned: bool) {
        let bytes = deployment.memory_bytes();
        let ordered = deployment.last_used();
        let entry = Entry { deployment: Arc::downgrade(deployment), bytes, pinned, ordered };
        let mut list = self.list();
        list.bytes += bytes;
        if let Some(old) = list.entries.put(key, entry) {
            list.bytes -= old.bytes;
        }
    }

    /// Notes at once that a version was asked for, where the order must be exact.
    pub(crate) fn touch(&self, key: &Key) {
        self.list().entries.promote(key);
    }

    /// Takes a version off the list.
    pub(crate) fn remove(&self, key: &Key) {
        let mut list = self.list();
        if let Some(entry) = list.entries.pop(key) {
            list.bytes -= entry.bytes;
        }
    }

    pub(crate) fn evicted(&self) {
        self.evictions.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn expired(&self) {
        self.expirations.fetch_add(1, Ordering::Relaxed);
    }

    /// `now` is the registry's clock in milliseconds.
    pub(crate) fn stats(&self, now: u64, in_flight: usize) -> CacheStats {
        let mut list = self.list();
        list.order();
        let entry = |((name, version), entry): (&Key, &Entry)| {
            let deployment = entry.deployment.upgrade()?;
            Some(CacheEntry {
                name: name.clone(),
                version: version.clone(),
                bytes: entry.bytes,
                pinned: entry.pinned,
                idle_seconds: now.saturating_sub(deployment.last_used()) as f64 / 1e3,
                load_ms: deployment.load_time().as_secs_f64() * 1e3,
                loaded_at: deployment.loaded_at(),
            })
        };
        let loads = *self.loads.lock().unwrap_or_else(PoisonError::into_inner);
        CacheStats {
            bytes: list.bytes,
            max_bytes: self.limits.max_bytes.0,
            entries: list.entries.len(),
            max_models: self.limits.max_models.get(),
            hits: self.hits.iter().map(|shard| shard.0.load(Ordering::Relaxed)).sum(),
            misses: self.misses.load(Ordering::Relaxed),
            evictions: self.evictions.load(Ordering::Relaxed),
            expirations: self.expirations.load(Ordering::Relaxed),
            loads: LoadStats { in_flight, ..loads },
            models: list.entries.iter().filter_map(entry).collect(),
        }
    }

    fn list(&self) -> MutexGuard<'_, List> {
        // Nothing that runs under the lock panics between two changes that belong together.
        self.list.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl List {
    /// Puts what was used since it was last looked at in front, in the order of use.
    fn order(&mut self) {
        let mut used: Vec<(u64, Key)> = Vec::new();
        // From the least recently used on, so that what was used in the same tick keeps its order.
        for (key, entry) in self.entries.iter_mut().rev() {
            let last = entry.deployment.upgrade().map_or(entry.ordered, |deployment| deployment.last_used());
            if last != entry.ordered {
                entry.ordered = last;
                used.push((last, key.clone()));
            }
        }
        used.sort_by_key(|(last, _)| *last);
        for (_, key) in &used {
            self.entries.promote(key);
        }
    }
}

/// Which shard of a counter this thread adds to.
fn shard() -> usize {
    use std::sync::atomic::AtomicUsize;
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local!(static MINE: usize = NEXT.fetch_add(1, Ordering::Relaxed) % SHARDS);
    MINE.with(|mine| *mine)
}
