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
use crate::freshness::{MaxAge, Outdated, Stale};
use crate::name::{Entity, FeatureSetName};
use crate::resilience::{Guarded, StoreCounters, StoreHealth};
use crate::row::FeatureRow;
use crate::store::{Fault, FeatureStore, WriteError};
use crate::validation::{Validator, Violation};

use counters::Counters;
use found::{Failed, Found};

pub use counters::RetrievalCounters;
pub use ingest::{IngestError, IngestRequest, Ingested, Refusal, RowCheck};
pub use lineage::{FeatureLineage, Lineage, SourceLineage};
pub use unavailable::Unavailable;

mod auto;
mod computed;
mod counters;
mod depth;
mod found;
mod ingest;
mod lineage;
mod report;
mod stored;
mod unavailable;

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

/// What `use_cached_features` says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub enum Mode {
    /// `true`: the stored row, if it is fresh.
    #[default]
    Cached,
    /// `false`: computed from raw rows now.
    Compute,
    /// `auto`: the stored row if it is fresh, else computed, else what `on_demand.when_stale` says.
    Auto,
}

/// Which rows are wanted.
#[derive(Debug, Clone, PartialEq)]
pub struct RetrieveRequest {
    /// Of which set.
    pub set: FeatureSetName,
    /// Of whom, one answer each, in this order.
    pub entities: Vec<Entity>,
    /// Read or computed.
    pub mode: Mode,
    /// As of then: ages are measured against it too; `None`: now.
    pub as_of: Option<Timestamp>,
    /// The strictest limit of the request and the model, if they set any.
    pub max_age: Option<MaxAge>,
    /// When nobody waits any more.
    pub deadline: Option<std::time::Instant>,
}

impl RetrieveRequest {
    /// The newest stored rows, within the limits of the set and the configuration.
    #[must_use]
    pub fn cached(set: FeatureSetName, entities: impl IntoIterator<Item = Entity>) -> Self {
        let entities = entities.into_iter().collect();
        Self { set, entities, mode: Mode::Cached, as_of: None, max_age: None, deadline: None }
    }
}

/// Where a row came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Origin {
    /// The store, or the memory of what it said a moment ago.
    Cached,
    /// Raw rows, just now.
    Computed,
    /// Memory, in the place of a store that failed.
    LastKnownGood,
}

impl Origin {
    /// `cached`, `computed` or `last_known_good`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Cached => "cached",
            Self::Computed => "computed",
            Self::LastKnownGood => "last_known_good",
        }
    }
}

/// A row with all that has to be told about it.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Retrieved {
    /// The row; values that offended are missing, or what their policy says.
    pub row: FeatureRow,
    /// Where it came from.
    pub origin: Origin,
    /// Its age; 0 where it lies a little in the future.
    pub age_seconds: f64,
    /// It lies in the future, by no more than clocks may differ.
    pub from_future: bool,
    /// The moment of a newer row that was left out, because it lies further in the future than that.
    pub skipped_future: Option<Timestamp>,
    /// An older declaration of the set computed it.
    pub outdated: bool,
    /// For computed rows, whether functions of endless memory had their past.
    pub warm: Option<bool>,
    /// Features for which the set's constant stands.
    pub filled: Arc<[Arc<str>]>,
    /// Stored or computed values that their declaration does not allow; they count as missing.
    pub invalid: Arc<[Violation]>,
    /// Why the row is not what it should be, where it was answered all the same.
    pub degraded: Option<String>,
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

/// A row held against its limit, or why there is none.
#[derive(Debug)]
enum Weighed {
    Fresh(Retrieved),
    Stale(Retrieved, Unfit),
    Absent(Unavailable),
}

/// Why a row that is there does not answer without more ado.
#[derive(Debug, thiserror::Error)]
enum Unfit {
    #[error(transparent)]
    Old(Stale),
    #[error(transparent)]
    Outdated(Outdated),
}

impl Unfit {
    fn unavailable(self, set: &FeatureSetName, not_computed: Option<String>) -> Unavailable {
        let set = set.clone();
        match self {
            Self::Old(stale) => Unavailable::Stale { set, stale, not_computed },
            Self::Outdated(outdated) => Unavailable::Outdated { set, outdated, not_computed },
        }
    }
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

impl Weighed {
    /// A row that is too old, or outdated, is none.
    fn strictly(self, set: &FeatureSetName) -> Result<Retrieved, Unavailable> {
        match self {
            Self::Fresh(retrieved) => Ok(retrieved),
            Self::Stale(_, unfit) => Err(unfit.unavailable(set, None)),
            Self::Absent(unavailable) => Err(unavailable),
        }
    }
}

#[cfg(test)]
mod tests;
