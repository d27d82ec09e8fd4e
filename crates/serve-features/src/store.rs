//! The seam to where features are kept. Asynchronous and batched from the first: a batch of predictions is one call, and a
//! store that blocks does so on a thread of its own. A row is found by feature set, entity and moment; nothing here knows
//! what a feature means or how old is too old ([`crate::check_freshness`]).

use std::fmt;
use std::pin::Pin;
use std::time::Instant;

use jiff::Timestamp;

use crate::name::{Entity, FeatureSetName};
use crate::row::FeatureRow;

pub(crate) use error::Cause;
pub use error::{Fault, RetrieveError, StoreError, Unreadable, WriteError};
pub use open::OpenError;
pub use raw::{Depth, RawRequest, RawRows, RawSlot, RawStore, StoredState};
pub(crate) use raw::{check_raw, earliest};

mod error;
mod open;
mod raw;

/// What a store's calls return: object-safe, and needing no particular runtime.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// One entity's part of a fetch: its row, `None` where there is none, or why the row cannot be read. An entity whose row cannot
/// be read fails alone.
pub type Slot = Result<Option<FeatureRow>, Unreadable>;

/// One entity's part of a sample.
pub type SampledRow = Result<FeatureRow, Unreadable>;

/// Which rows are wanted.
#[derive(Debug, Clone, PartialEq)]
pub struct FetchRequest {
    /// Of which feature set.
    pub set: FeatureSetName,
    /// Of whom, one answer each, in this order. An entity may stand here twice.
    pub entities: Vec<Entity>,
    /// The newest row not later than this; `None`: the newest of all.
    pub as_of: Option<Timestamp>,
    /// When nobody waits for the answer any more; work that comes up later is dropped.
    pub deadline: Option<Instant>,
}

impl FetchRequest {
    /// The newest rows there are, however long it takes.
    #[must_use]
    pub fn newest(set: FeatureSetName, entities: impl IntoIterator<Item = Entity>) -> Self {
        Self { set, entities: entities.into_iter().collect(), as_of: None, deadline: None }
    }

    /// The request's work is no longer wanted.
    pub(crate) fn check_deadline(&self) -> Result<(), RetrieveError> {
        if self.deadline.is_some_and(|deadline| Instant::now() >= deadline) {
            return Err(RetrieveError::Deadline { set: self.set.clone() });
        }
        Ok(())
    }
}

/// What became of requests in a cache that stands before a store and that several servers share: in entities, but for
/// `failures`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct SharedCacheCounters {
    /// Answered from the cache.
    pub hits: u64,
    /// Not in the cache.
    pub misses: u64,
    /// In the cache in a form that no row has; misses too.
    pub corrupt: u64,
    /// The cache was not asked, because it had failed before.
    pub skipped: u64,
    /// The cache was asked, and failed or took too long.
    pub failed: u64,
    /// Calls that failed or took too long, those behind an answer included.
    pub failures: u64,
    /// It failed so often in a row that it is left alone for now.
    pub lost: bool,
}

/// Which part of one entity's past is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HistoryRequest {
    /// Of which feature set.
    pub set: FeatureSetName,
    /// Of whom.
    pub entity: Entity,
    /// The first moment; `None`: from the beginning.
    pub from: Option<Timestamp>,
    /// The first moment that is too late; `None`: up to now.
    pub to: Option<Timestamp>,
    /// The most rows to return.
    pub limit: usize,
}

/// A place that keeps feature rows.
///
/// ```
/// use serve_features::{FeatureRow, FeatureStore, FetchRequest, MemoryStore, parse_timestamp};
/// # fn block_on<T>(future: impl Future<Output = T>) -> T {
/// #     let mut future = std::pin::pin!(future);
/// #     let mut context = std::task::Context::from_waker(std::task::Waker::noop());
/// #     loop {
/// #         if let std::task::Poll::Ready(value) = future.as_mut().poll(&mut context) { return value; }
/// #     }
/// # }
/// let store: Box<dyn FeatureStore> = Box::new(MemoryStore::new());
/// let (set, bitcoin) = ("vader".parse()?, "BTC/USD".parse()?);
/// let row = FeatureRow::new(bitcoin, parse_timestamp("2025-10-04T13:50:00Z")?, [("mood".into(), 0.25.into())]);
/// # block_on(async {
/// store.write(set, vec![row]).await?;
///
/// let request = FetchRequest::newest("vader".parse()?, ["BTC/USD".parse()?, "DOGE/XYZ".parse()?]);
/// let rows = store.fetch(request).await?.into_iter().collect::<Result<Vec<_>, _>>()?;
/// assert_eq!(rows[0].as_ref().and_then(|row| row.get("mood")), Some(&0.25.into()));
/// assert_eq!(rows[1], None);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub trait FeatureStore: fmt::Debug + Send + Sync {
    /// The store's kind for logs and the health page: `memory`, `sqlite`, `postgres`.
    fn kind(&self) -> &'static str;

    /// The newest row of each entity that is not later than `as_of`, one slot an entity in the order asked; `None` where
    /// there is no such row.
    ///
    /// Work begins at the call or at the first poll; dropping the future abandons it. `deadline` keeps the store from working
    /// for nobody; how long the caller itself waits is the caller's to bound.
    fn fetch(&self, request: FetchRequest) -> BoxFuture<'_, Result<Vec<Slot>, RetrieveError>>;

    /// Stores rows, all or none; a row of the same set, entity and timestamp is replaced. Whether the rows of a dropped
    /// future are stored is not known.
    fn write(&self, set: FeatureSetName, rows: Vec<FeatureRow>) -> BoxFuture<'_, Result<(), WriteError>>;

    /// The newest row of entities of a set, at most `limit` of them in order of their names: how fresh the set is and what it
    /// lacks, without reading all of it.
    fn sample(
        &self,
        set: FeatureSetName,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<SampledRow>, RetrieveError>>;

    /// One entity's rows from `from` on and before `to`, oldest first, at most `limit` of them.
    fn history(&self, request: HistoryRequest) -> BoxFuture<'_, Result<Vec<FeatureRow>, RetrieveError>>;

    /// What is known of the newest rows without asking the store itself, one slot an entity: from a cache that stands before
    /// it. Answers while the store is left alone.
    fn near(&self, request: FetchRequest) -> BoxFuture<'_, Vec<Option<FeatureRow>>> {
        Box::pin(std::future::ready(vec![None; request.entities.len()]))
    }

    /// What became of requests in a cache that stands before the store, where there is one.
    fn shared_cache(&self) -> Option<SharedCacheCounters> {
        None
    }

    /// The raw rows, where the store keeps them too.
    fn raw(&self) -> Option<&dyn RawStore> {
        None
    }

    /// Whether the store answers at all, at the cost of one small read.
    fn ping(&self) -> BoxFuture<'_, Result<(), RetrieveError>>;
}
