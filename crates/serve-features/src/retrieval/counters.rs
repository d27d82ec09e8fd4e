//! What happened since the start, as plain numbers for a metrics page.

use std::sync::atomic::{AtomicU64, Ordering};

use tracing::warn;

use super::{Origin, Retrieved, Unavailable};
use crate::feature_cache::CacheCounters;
use crate::resilience::StoreCounters;
use crate::store::SharedCacheCounters;

/// What happened since the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct RetrievalCounters {
    /// Rows answered from the store, or the memory of it.
    pub cached: u64,
    /// Rows computed.
    pub computed: u64,
    /// Rows that stood in for a store that failed.
    pub last_known_good: u64,
    /// Rows marked `degraded`, those that stood in included.
    pub degraded: u64,
    /// Rows refused as too old.
    pub stale: u64,
    /// Rows refused because an older declaration computed them.
    pub outdated: u64,
    /// Rows refused because the store failed.
    pub store_failed: u64,
    /// Rows refused because they, or a raw row that they were to be computed from, cannot be read.
    pub unreadable: u64,
    /// Rows that were not there, or refused for another reason.
    pub unavailable: u64,
    /// Rows a little in the future, taken for fresh.
    pub from_future: u64,
    /// Rows too far in the future, left out.
    pub skipped_future: u64,
    /// Answered rows computed without the past of functions of endless memory.
    pub cold: u64,
    /// Values that their declaration did not allow.
    pub invalid: u64,
    /// Rows written.
    pub ingested: u64,
    /// Rows refused on ingest.
    pub refused: u64,
    /// The store's calls.
    pub store: StoreCounters,
    /// The cache.
    pub cache: CacheCounters,
    /// The cache that servers share, where there is one.
    pub shared_cache: Option<SharedCacheCounters>,
}

#[derive(Default)]
pub(super) struct Counters {
    cached: AtomicU64,
    computed: AtomicU64,
    last_known_good: AtomicU64,
    degraded: AtomicU64,
    stale: AtomicU64,
    outdated: AtomicU64,
    store_failed: AtomicU64,
    unreadable: AtomicU64,
    unavailable: AtomicU64,
    from_future: AtomicU64,
    skipped_future: AtomicU64,
    cold: AtomicU64,
    invalid: AtomicU64,
    ingested: AtomicU64,
    refused: AtomicU64,
}

fn add(counter: &AtomicU64, n: usize) {
    if n > 0 {
        counter.fetch_add(n as u64, Ordering::Relaxed);
    }
}

impl Counters {
    /// Counts the answers to one request, and tells of rows that somebody has to mend.
    pub(super) fn count(&self, slots: &[Result<Retrieved, Unavailable>]) {
        for slot in slots {
            match slot {
                Ok(retrieved) => self.count_row(retrieved),
                Err(Unavailable::Stale { .. }) => add(&self.stale, 1),
                Err(Unavailable::Outdated { .. }) => add(&self.outdated, 1),
                Err(Unavailable::Store { .. }) => add(&self.store_failed, 1),
                Err(Unavailable::Unreadable { set, source }) => {
                    let (set, entity, table) = (set.as_str(), source.entity.as_str(), &*source.table);
                    warn!(set, entity, table, error = %source.source, "a stored row cannot be read");
                    add(&self.unreadable, 1);
                }
                Err(Unavailable::FromFuture { .. }) => {
                    add(&self.skipped_future, 1);
                    add(&self.unavailable, 1);
                }
                Err(_) => add(&self.unavailable, 1),
            }
        }
    }

    pub(super) fn count_ingest(&self, written: usize, refused: usize) {
        add(&self.ingested, written);
        add(&self.refused, refused);
    }

    fn count_row(&self, row: &Retrieved) {
        match row.origin {
            Origin::Cached => add(&self.cached, 1),
            Origin::Computed => add(&self.computed, 1),
            Origin::LastKnownGood => add(&self.last_known_good, 1),
        }
        add(&self.degraded, usize::from(row.degraded.is_some()));
        add(&self.from_future, usize::from(row.from_future));
        add(&self.skipped_future, usize::from(row.skipped_future.is_some()));
        add(&self.cold, usize::from(row.warm == Some(false)));
        add(&self.invalid, row.invalid.len());
    }

    pub(super) fn read(
        &self,
        store: StoreCounters,
        cache: CacheCounters,
        shared_cache: Option<SharedCacheCounters>,
    ) -> RetrievalCounters {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        RetrievalCounters {
            cached: read(&self.cached),
            computed: read(&self.computed),
            last_known_good: read(&self.last_known_good),
            degraded: read(&self.degraded),
            stale: read(&self.stale),
            outdated: read(&self.outdated),
            store_failed: read(&self.store_failed),
            unreadable: read(&self.unreadable),
            unavailable: read(&self.unavailable),
            from_future: read(&self.from_future),
            skipped_future: read(&self.skipped_future),
            cold: read(&self.cold),
            invalid: read(&self.invalid),
            ingested: read(&self.ingested),
            refused: read(&self.refused),
            store,
            cache,
            shared_cache,
        }
    }
}
