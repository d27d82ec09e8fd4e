//! Features: what a model is asked with. Where they are kept, how old they may be, and how they are computed from raw data.
//!
//! - **Serving**: a [`FeatureStore`] gives the newest [`FeatureRow`] of an [`Entity`] in a feature set, also "as of then".
//!   [`open_store`] opens one from a [`StoreUrl`]; [`MemoryStore`] and [`SqliteStore`] are there, and with the feature `redis`
//!   `RedisStore`, and `RedisCache` in front of another. [`check_freshness`] holds
//!   a row's age against its limit.
//! - **Computing**: [`Declarations`] reads `features.yaml`, whose expressions are made of the [`vocabulary`];
//!   [`FeatureSet::compute`] turns raw rows into feature rows, [`build`] does so over a store, [`on_demand`] for one moment
//!   and a [`FeatureStream`] as rows arrive, all with the same bits. [`known_rows`] joins labels with what was known then.
//! - **Filling**: [`RowReader`] reads CSV and Parquet, [`SqliteDatabase`] stores and builds,
//!   [`TableFile`] writes a built table.
//!
//! Invariants: a feature at a moment depends on nothing that became known later; timestamps are whole microseconds; a
//! missing value is missing everywhere, never 0; a store's answer holds one slot an entity, in order.
//!
//! Only [`sqlite`](SqliteDatabase) knows rusqlite. Futures may be polled anywhere: a store is woken by a thread of its own, or
//! by the tokio runtime that it was opened in.

#[cfg(feature = "redis")]
pub use self::redis::{RedisCache, RedisCacheCounts, RedisCacheOptions, RedisStore};
pub use compute::{
    BuildError, BuildRequest, BuildSink, Built, ComputeError, Computed, FeatureStream, Label, OnDemand,
    OnDemandError, OnDemandRequest, PointInTime, SourceFrames, SourceNeeds, SourceUsed, StreamError, build,
    known_rows, on_demand,
};
pub use config::FeaturesConfig;
pub use declaration::{
    DeclarationError, Declarations, Feature, FeatureKind, FeatureRange, FeatureSet, MissingPolicy, Mistake,
    Source, SourceColumn,
};
pub use expression::ExpressionError;
pub use frame::{Column, Frame, FrameError};
pub use freshness::{Freshness, MaxAge, Stale, check_freshness};
pub use ingest::{ColumnKind, FileError, Place, ReadyRows, RowReader, Rows, read_features, read_raw};
pub use location::{RedisUrl, StoreUrl, UrlError, open_store};
pub use memory::MemoryStore;
pub use name::{Entity, FeatureSetName, NameError};
pub use options::StoreOptions;
pub use raw::{RawRow, RawTable};
pub use row::FeatureRow;
pub use sqlite::{Durability, OpenError, SqliteDatabase, SqliteOptions, SqliteStore};
pub use store::{
    BoxFuture, Depth, Fault, FeatureStore, FetchRequest, HistoryRequest, RawRequest, RawRows, RawStore,
    RetrieveError, StoredState, WriteError,
};
pub use table::{TableFile, TableWriter};
pub use timestamp::{TimestampError, parse_timestamp};

pub use serve_core::duration;

pub mod vader;
pub mod vocabulary;

mod compute;
mod config;
mod declaration;
mod expression;
mod frame;
mod freshness;
mod ingest;
mod join;
mod location;
mod memory;
mod name;
mod options;
mod raw;
#[cfg(feature = "redis")]
mod redis;
mod row;
#[cfg(feature = "redis")]
mod runtime;
mod sqlite;
mod store;
mod stored;
mod table;
mod timestamp;
