//! What can go wrong between a caller and a store, and the two things an adapter must know of it: whose fault it is, and
//! whether asking again can help. The libraries behind a store stay hidden: their errors are carried as `dyn Error`.
//!
//! A store that does not answer ([`StoreError`]) is told in the same words whatever was asked of it. A stored row that cannot
//! be read ([`Unreadable`]) is one entity's: the others of its query are answered.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use crate::name::{Entity, FeatureSetName};
use crate::raw::RawTable;

/// Who has to act on an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The request cannot be answered as it was asked.
    Client,
    /// Something that we depend on is down, slow or broken.
    Upstream,
    /// We did something wrong.
    Ours,
}

/// An error of a library behind a store.
pub(crate) type Cause = Box<dyn Error + Send + Sync>;

/// Why a store does not answer, whatever was asked of it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// Too many requests wait for the store.
    #[error("the {store} feature store is busy: {waiting} requests wait for it already")]
    Busy {
        /// The store's kind.
        store: &'static str,
        /// How many wait at most.
        waiting: usize,
    },
    /// The call took longer than the store is given; it was dropped.
    #[error("the {store} feature store did not answer within {} ms", waited.as_millis())]
    TimedOut {
        /// The store's kind.
        store: &'static str,
        /// How long it was waited for.
        waited: Duration,
    },
    /// The store failed so often that it is left alone for a while.
    #[error(
        "the {store} feature store is not asked: its circuit breaker is open for another {} ms",
        retry_after.as_millis()
    )]
    BreakerOpen {
        /// The store's kind.
        store: &'static str,
        /// When a call may be let through.
        retry_after: Duration,
    },
    /// A connection to the store is being made. It will be there for a later call.
    #[error("the {store} feature store is not connected yet")]
    Connecting {
        /// The store's kind.
        store: &'static str,
    },
    /// Every connection to the store was in use until the deadline.
    #[error(
        "the {store} feature store is busy: {connections} connections are in use, {waiting} requests wait"
    )]
    Exhausted {
        /// The store's kind.
        store: &'static str,
        /// How many connections there may be.
        connections: usize,
        /// How many other requests wait for one.
        waiting: usize,
    },
    /// The store's thread has ended.
    #[error("the {store} feature store has stopped")]
    Stopped {
        /// The store's kind.
        store: &'static str,
    },
    /// The database failed.
    #[error("the {store} feature store cannot {operation}")]
    Backend {
        /// The store's kind.
        store: &'static str,
        /// What it was doing.
        operation: &'static str,
        /// The failure may be gone at the next try.
        transient: bool,
        /// What the database said.
        source: Cause,
    },
    /// The store keeps feature rows only.
    #[error("the {store} feature store keeps no raw rows")]
    NoRaw {
        /// The store's kind.
        store: &'static str,
    },
}

impl StoreError {
    /// Whose fault it is.
    #[must_use]
    pub fn fault(&self) -> Fault {
        match self {
            Self::Busy { .. }
            | Self::TimedOut { .. }
            | Self::BreakerOpen { .. }
            | Self::Exhausted { .. }
            | Self::Connecting { .. }
            | Self::Backend { .. } => Fault::Upstream,
            Self::NoRaw { .. } => Fault::Client,
            Self::Stopped { .. } => Fault::Ours,
        }
    }

    /// Whether the same request may succeed later.
    #[must_use]
    pub fn retry_helps(&self) -> bool {
        match self {
            Self::Busy { .. }
            | Self::TimedOut { .. }
            | Self::BreakerOpen { .. }
            | Self::Exhausted { .. }
            | Self::Connecting { .. } => true,
            Self::Backend { transient, .. } => *transient,
            Self::Stopped { .. } | Self::NoRaw { .. } => false,
        }
    }
}

/// A stored row that is not what a store writes. Cheap to clone: all who asked for it share it.
#[derive(Debug, Clone, thiserror::Error)]
#[error("the stored row of \"{entity}\" in \"{table}\" cannot be read: {}", serve_core::words::plain(&source.to_string()))]
pub struct Unreadable {
    /// The feature set or raw table.
    pub table: Arc<str>,
    /// Whose row.
    pub entity: Entity,
    /// What is wrong with it.
    pub source: Arc<dyn Error + Send + Sync>,
}

impl PartialEq for Unreadable {
    /// By what is said: sources have no equality of their own.
    fn eq(&self, other: &Self) -> bool {
        self.to_string() == other.to_string()
    }
}

impl Eq for Unreadable {}

impl Unreadable {
    pub(crate) fn new(table: &str, entity: &Entity, source: Cause) -> Self {
        Self { table: table.into(), entity: entity.clone(), source: source.into() }
    }
}

/// Why rows could not be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RetrieveError {
    /// The store does not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The deadline passed before the rows were read; the rest of the work was dropped.
    #[error("the deadline passed before feature set \"{set}\" was read")]
    Deadline {
        /// The set asked for.
        set: FeatureSetName,
    },
    /// The deadline passed before raw rows were read.
    #[error("the deadline passed before raw table \"{table}\" was read")]
    RawDeadline {
        /// The table asked for.
        table: RawTable,
    },
    /// One entity's rows were asked for, and one of them cannot be read.
    #[error(transparent)]
    Unreadable(#[from] Unreadable),
}

impl RetrieveError {
    /// Whose fault it is.
    #[must_use]
    pub fn fault(&self) -> Fault {
        match self {
            Self::Store(error) => error.fault(),
            Self::Deadline { .. } | Self::RawDeadline { .. } | Self::Unreadable(_) => Fault::Upstream,
        }
    }

    /// Whether the same request may succeed later.
    #[must_use]
    pub fn retry_helps(&self) -> bool {
        match self {
            Self::Store(error) => error.retry_helps(),
            Self::Deadline { .. } | Self::RawDeadline { .. } => true,
            Self::Unreadable(_) => false,
        }
    }
}

/// Why rows could not be written. Nothing of the batch was.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WriteError {
    /// The store does not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A value that a store has no form for: infinite, a list, an object.
    #[error(
        "`{column}` of \"{entity}\" at {timestamp}: expected a finite number, a boolean or text, got {got}"
    )]
    NotStorable {
        /// Whose row.
        entity: Entity,
        /// The row's moment.
        timestamp: Timestamp,
        /// The feature or raw column.
        column: String,
        /// The value.
        got: String,
    },
    /// A raw row with a value that its table does not hold.
    #[error("`{column}` of \"{entity}\" at {timestamp} in {table}: expected {expected}, got {got}")]
    RawNotStorable {
        /// The table.
        table: RawTable,
        /// Whose row.
        entity: Entity,
        /// The row's moment.
        timestamp: Timestamp,
        /// The column.
        column: String,
        /// What the column holds.
        expected: &'static str,
        /// The value.
        got: String,
    },
}

impl WriteError {
    /// The rows never left for the store.
    #[must_use]
    pub fn was_not_sent(&self) -> bool {
        matches!(
            self,
            Self::Store(
                StoreError::Busy { .. }
                    | StoreError::BreakerOpen { .. }
                    | StoreError::Exhausted { .. }
                    | StoreError::Connecting { .. }
            )
        )
    }

    /// Whose fault it is.
    #[must_use]
    pub fn fault(&self) -> Fault {
        match self {
            Self::Store(error) => error.fault(),
            Self::NotStorable { .. } | Self::RawNotStorable { .. } => Fault::Client,
        }
    }

    /// Whether the same rows may be written later.
    #[must_use]
    pub fn retry_helps(&self) -> bool {
        match self {
            Self::Store(error) => error.retry_helps(),
            Self::NotStorable { .. } | Self::RawNotStorable { .. } => false,
        }
    }
}
