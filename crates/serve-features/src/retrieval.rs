//! Feature rows for predictions: read, computed, or the last that was good; with their age, and never silently too old.
//!
//! A [`Retriever`] stands between who needs features and the store. It holds each row's age against the strictest limit
//! that anybody set, reads a row's moment against the clock, lets one fetch serve all who ask for the same entity at once,
//! and says of every row where it came from and what was wrong with it. A store that fails costs each request a bounded
//! time at most ([`crate::Guarded`]).
//!
//! What holds: a row that is answered is not older than its limit, and not computed by an older declaration of its set,
//! unless it is marked `degraded`; a row from further in
//! the future than clocks may differ is never used; one bad entity of a batch fails alone.
//!
//! Needs tokio's timers where there is a store.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;

use crate::compute::Threads;
use crate::config::FeaturesConfig;
use crate::declaration::{DeclarationDigest, Declarations, FeatureSet};
use crate::feature_cache::{CacheKey, FeatureCache, RowKind};
use crate::freshness::MaxAge;
use crate::name::{Entity, FeatureSetName};
use crate::resilience::{Guarded, StoreCounters, StoreHealth};
use crate::store::{Fault, FeatureStore, WriteError};
use crate::validation::Validator;

use counters::Counters;
use found::{Failed, Found};
use weighed::{Unfit, Weighed};

pub use counters::RetrievalCounters;
pub use ingest::{IngestError, IngestRequest, Ingested, Refusal, RowCheck};
pub use lineage::{FeatureLineage, Lineage, SourceLineage};
pub use row::{Mode, Origin, RetrieveRequest, Retrieved};
pub use unavailable::Unavailable;

mod auto;
mod computed;
mod counters;
mod depth;
mod found;
mod ingest;
mod lineage;
mod report;
mod row;
mod stored;
mod unavailable;
mod weighed;

/// Tells the time; tests bring their own.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// What a retriever is made of.
pub struct RetrieverParts {
    /// The store, not guarded yet; without one every retrieval says so.
    pub store: Option<Arc<dyn FeatureStore>>,
    /// The declared sets.
    pub declarations: Declarations,
    /// Limits, bounds and the cache.
    pub config: FeaturesConfig,
    /// Tells the time.
    pub clock: Clock,
}

/// Gives feature rows.
pub struct Retriever {
    store: Option<Guarded>,
    declarations: Declarations,
    validators: HashMap<FeatureSetName, Validator>,
    config: FeaturesConfig,
    clock: Clock,
    cache: FeatureCache<Found, Failed>,
    counters: Counters,
    threads: OnceLock<Arc<dyn Threads>>,
}

impl fmt::Debug for Retriever {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Retriever").field("store", &self.store).finish_non_exhaustive()
    }
}

/// One request while it is answered.
#[derive(Debug, Clone, Copy)]
struct Asked<'a> {
    set: &'a FeatureSetName,
    as_of: Option<Timestamp>,
    /// What ages are measured against.
    now: Timestamp,
    limit: MaxAge,
    /// What rows are computed by now.
    computed_by: Option<DeclarationDigest>,
    deadline: Option<std::time::Instant>,
}

impl Retriever {
    /// A retriever of these parts.
    #[must_use]
    pub fn new(parts: RetrieverParts) -> Self {
        let RetrieverParts { store, declarations, config, clock } = parts;
        let validators = declarations.sets().iter().map(|set| (set.name().clone(), Validator::new(set)));
        Self {
            store: store.map(|store| Guarded::new(store, &config)),
            validators: validators.collect(),
            cache: FeatureCache::new(&config.cache),
            counters: Counters::default(),
            threads: OnceLock::new(),
            declarations,
            config,
            clock,
        }
    }

    /// The rows of some entities, one slot each, in order. A slot that fails, fails alone.
    ///
    /// # Errors
    /// [`Unavailable`] for what no slot can have: there is no store, or the set cannot be computed.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use serve_features::{
    ///     Declarations, FeatureRow, FeatureStore, FeaturesConfig, MemoryStore, Retriever, RetrieverParts, RetrieveRequest,
    ///     parse_timestamp,
    /// };
    /// # let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
    /// # runtime.block_on(async {
    /// let store = Arc::new(MemoryStore::new());
    /// let row = FeatureRow::new("BTC/USD".parse()?, parse_timestamp("2025-10-04T13:50:00Z")?, [("mood".into(), 0.25.into())]);
    /// store.write("vader".parse()?, vec![row]).await?;
    ///
    /// let now = parse_timestamp("2025-10-04T13:54:14Z")?;
    /// let retriever = Retriever::new(RetrieverParts {
    ///     store: Some(store),
    ///     declarations: Declarations::default(),
    ///     config: FeaturesConfig::default(),
    ///     clock: Arc::new(move || now),
    /// });
    /// let request = RetrieveRequest::cached("vader".parse()?, ["BTC/USD".parse()?, "DOGE/XYZ".parse()?]);
    /// let rows = retriever.retrieve(request).await?;
    /// assert_eq!(rows[0].as_ref().map(|row| row.age_seconds), Ok(254.0));
    /// let error = rows[1].as_ref().expect_err("there is none");
    /// assert_eq!(error.to_string(), "no features for entity \"DOGE/XYZ\" in feature set \"vader\"");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub async fn retrieve(
        &self,
        request: RetrieveRequest,
    ) -> Result<Vec<Result<Retrieved, Unavailable>>, Unavailable> {
        let asked = self.asked(&request);
        let slots = match request.mode {
            Mode::Cached => {
                let weighed = self.stored(asked, &request.entities).await?;
                weighed.into_iter().map(|weighed| weighed.strictly(asked.set)).collect()
            }
            Mode::Compute => {
                let weighed = self.computed(asked, &request.entities).await?;
                weighed.into_iter().map(|weighed| weighed.strictly(asked.set)).collect()
            }
            Mode::Auto => self.stored_or_computed(asked, &request.entities).await?,
        };
        self.counters.count(&slots);
        Ok(slots)
    }

    /// Has what takes long to compute done on these threads, from the first call on. Without it is computed where it is
    /// asked for.
    pub fn compute_on(&self, threads: Arc<dyn Threads>) {
        // Who comes second finds threads, which is all that was wanted.
        drop(self.threads.set(threads));
    }

    fn threads(&self) -> Option<&dyn Threads> {
        self.threads.get().map(|threads| &**threads)
    }

    /// How the store does, without asking it; `None` where there is none.
    #[must_use]
    pub fn health(&self) -> Option<StoreHealth> {
        self.store.as_ref().map(Guarded::health)
    }

    /// Asks the store for a sign of life, within its time-out and not while its breaker is open; then [`health`] is up to
    /// date also where nobody asks for features.
    ///
    /// [`health`]: Self::health
    pub async fn probe(&self) -> Option<StoreHealth> {
        let store = self.store.as_ref()?;
        // What it said stands in the breaker.
        let _told = store.ping().await;
        Some(store.health())
    }

    /// What happened since the start.
    #[must_use]
    pub fn counters(&self) -> RetrievalCounters {
        let shared = self.store.as_ref().and_then(FeatureStore::shared_cache);
        self.counters.read(self.store_counters(), self.cache.counters(), shared)
    }

    /// The store as the retriever asks it, guarded.
    #[must_use]
    pub fn store(&self) -> Option<&Guarded> {
        self.store.as_ref()
    }

    /// The declared sets.
    #[must_use]
    pub fn declarations(&self) -> &Declarations {
        &self.declarations
    }

    /// The configuration.
    #[must_use]
    pub fn config(&self) -> &FeaturesConfig {
        &self.config
    }

    /// Whom a request for a set means that names nobody.
    #[must_use]
    pub fn default_entity(&self, set: &FeatureSetName) -> Option<&Entity> {
        self.declared(set)?.default_entity()
    }

    /// Takes account of a write of an entity's rows, ready or raw: what is kept of it is forgotten if they were stored, and
    /// only stands in for a store that fails if that is not known.
    pub fn written(&self, set: &FeatureSetName, entity: &Entity, written: &Result<(), WriteError>) {
        match written {
            Ok(()) => self.cache.forget(set, entity),
            Err(error) if error.fault() == Fault::Client || error.was_not_sent() => {}
            Err(_) => self.cache.outdate(set, entity),
        }
    }

    fn asked<'a>(&self, request: &'a RetrieveRequest) -> Asked<'a> {
        let now = request.as_of.unwrap_or_else(|| (self.clock)());
        let limit = self.limit(&request.set).strictest(request.max_age);
        let computed_by = self.declared(&request.set).and_then(FeatureSet::digest);
        Asked { set: &request.set, as_of: request.as_of, now, limit, computed_by, deadline: request.deadline }
    }

    /// The limit that the age of a set's rows is held against: the set's own, or the configuration's for those that declare
    /// none. A request may be stricter.
    #[must_use]
    pub fn limit(&self, set: &FeatureSetName) -> MaxAge {
        self.declared(set).and_then(FeatureSet::max_age).unwrap_or(self.config.max_age)
    }

    fn declared(&self, set: &FeatureSetName) -> Option<&FeatureSet> {
        self.declarations.get(set.as_str())
    }

    fn guarded(&self, set: &FeatureSetName) -> Result<&Guarded, Unavailable> {
        self.store.as_ref().ok_or_else(|| Unavailable::NoStore { set: set.clone() })
    }

    fn store_counters(&self) -> StoreCounters {
        self.store.as_ref().map(Guarded::counters).unwrap_or_default()
    }

    /// The moment after which a row is no clock that runs ahead.
    fn latest(&self, now: Timestamp) -> Timestamp {
        crate::timestamp::later(now, self.config.clock_skew).unwrap_or(Timestamp::MAX)
    }
}

impl Asked<'_> {
    fn key(&self, entity: &Entity, kind: RowKind) -> CacheKey {
        CacheKey { set: self.set.clone(), entity: entity.clone(), kind }
    }

    fn end(&self, timeout: Duration) -> Instant {
        let latest = Instant::now() + timeout;
        self.deadline.map_or(latest, |deadline| latest.min(Instant::from_std(deadline)))
    }
}

#[cfg(test)]
mod tests;
