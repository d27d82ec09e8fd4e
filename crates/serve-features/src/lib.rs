//! Features: what a model is asked with. Where they are kept, how old they may be, and how they are computed from raw data.
//!
//! - **Serving**: a [`FeatureStore`] gives the newest [`FeatureRow`] of an [`Entity`] in a feature set, also "as of then".
//!   [`open_store`] opens one from a [`StoreUrl`]; [`MemoryStore`] and [`SqliteStore`] are there, with the feature `postgres`
//!   `PostgresStore`, and with the feature `redis` `RedisStore`, and `RedisCache` in front of another. [`check_freshness`] holds
//!   a row's age against its limit.
//! - **Retrieving**: a [`Retriever`] reads, computes and remembers rows, within their limits, whatever the store does.
//! - **Computing**: [`Declarations`] reads `features.yaml`, whose expressions are made of the [`vocabulary`];
//!   [`FeatureSet::compute`] turns raw rows into feature rows, [`build`] does so over a store, [`on_demand`] for one moment
//!   and a [`FeatureStream`] as rows arrive, all with the same bits. [`known_rows`] joins labels with what was known then.
//! - **Texts**: [`vader`] scores how positive or negative they read.
//! - **Filling**: [`RowReader`] reads CSV and Parquet, [`SqliteDatabase`] stores and builds,
//!   [`TableFile`] writes a built table.
//!
//! Invariants: a feature at a moment depends on nothing that became known later; timestamps are whole microseconds; a
//! missing value is missing everywhere, never 0; a store's answer holds one slot an entity, in order.
//!
//! Only [`sqlite`](SqliteDatabase) knows rusqlite, and only `postgres` knows tokio-postgres. Futures may be polled anywhere: a
//! store is woken by a thread of its own, or by the tokio runtime that it was opened in. [`Guarded`] and [`Retriever`] need
//! tokio's timers.

#[cfg(feature = "redis")]
pub use self::redis::{RedisBytes, RedisCache, RedisCacheOptions, RedisStore};
pub use compute::{
    BuildError, BuildRequest, BuildSink, Built, ComputeError, Computed, FeatureStream, Label, OnDemand,
    OnDemandError, OnDemandRequest, Piece, PointInTime, SourceFrames, SourceNeeds, SourceUsed, StreamError,
    Threads, build, known_rows, on_demand,
};
pub use config::{
    BreakerConfig, CacheConfig, FeaturesConfig, IngestConfig, OnDemandConfig, RetryConfig, Share, ShareError,
    WhenStale,
};
pub use declaration::{
    DeclarationDigest, DeclarationError, Declarations, Feature, FeatureKind, FeatureRange, FeatureSet,
    MissingPolicy, Mistake, Source, SourceColumn,
};
pub use expression::ExpressionError;
pub use feature_cache::CacheCounters;
pub use frame::{Column, Frame, FrameError};
pub use freshness::{Freshness, MaxAge, Outdated, Stale, check_declaration, check_freshness};
pub use ingest::{
    Cell, CellReader, ColumnKind, FileError, LabelRows, Place, ReadyRows, RowReader, Rows, is_parquet,
    read_features, read_raw,
};
pub use location::{RedisUrl, StoreUrl, UrlError, migrate_store, open_store, open_store_with, tables_of};
pub use memory::MemoryStore;
pub use name::{Entity, FeatureSetName, NameError};
pub use options::StoreOptions;
#[cfg(feature = "postgres")]
pub use postgres::{PostgresStore, PostgresUrl};
pub use raw::{RawRow, RawTable};
pub use resilience::{BreakerHealth, BreakerState, Guarded, StoreCounters, StoreHealth};
pub use retrieval::{
    Clock, FeatureLineage, IngestError, IngestRequest, Ingested, Lineage, Mode, Origin, Refusal,
    RetrievalCounters, RetrieveRequest, Retrieved, Retriever, RetrieverParts, RowCheck, SourceLineage,
    Unavailable,
};
pub use row::FeatureRow;
pub use sqlite::{Durability, SqliteDatabase, SqliteOptions, SqliteStore};
pub use store::{
    BoxFuture, Depth, Fault, FeatureStore, FetchRequest, HistoryRequest, OpenError, RawRequest, RawRows,
    RawSlot, RawStore, RetrieveError, SampledRow, SharedCacheCounters, Slot, StoreError, StoredState,
    Unreadable, WriteError,
};
pub use table::{TableColumn, TableFile, TableWriter};
pub use timestamp::{TimestampError, parse_timestamp};
pub use validation::{FeatureReport, SetReport, Violation, ViolationKind};

pub use serve_core::duration;

pub mod vader;
pub mod vocabulary;

mod compute;
mod config;
mod declaration;
mod expression;
mod feature_cache;
mod frame;
mod freshness;
mod ingest;
mod join;
mod location;
mod memory;
mod name;
mod options;
#[cfg(feature = "postgres")]
mod postgres;
mod raw;
#[cfg(feature = "redis")]
mod redis;
mod resilience;
mod retrieval;
mod row;
#[cfg(any(feature = "postgres", feature = "redis"))]
mod runtime;
#[cfg(test)]
mod scripted;
mod sqlite;
mod store;
mod stored;
mod table;
mod timestamp;
mod validation;
