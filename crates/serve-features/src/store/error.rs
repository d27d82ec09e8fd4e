//! What can go wrong between a caller and a store, and the two things an adapter must know of it: whose fault it is, and
//! whether asking again can help. The libraries behind a store stay hidden: their errors are carried as `dyn Error`.

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
pub(crate) type Cause = Box<dyn std::error::Error + Send + Sync>;

/// Why rows could not be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RetrieveError {
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
    /// A stored row is not what a store writes.
    #[error("the stored row of \"{entity}\" in \"{table}\" cannot be read")]
    Corrupt {
        /// The feature set or raw table.
        table: String,
        /// Whose row.
        entity: Entity,
        /// What is wrong with it.
        source: Cause,
    },
}

impl RetrieveError {
    /// Whose fault it is.
    #[must_use]
    pub fn fault(&self) -> Fault {
        match self {
            Self::Deadline { .. }
            | Self::RawDeadline { .. }
            | Self::Busy { .. }
            | Self::TimedOut { .. }
            | Self::BreakerOpen { .. }
            | Self::Exhausted { .. }
            | Self::Connecting { .. }
            | Self::Backend { .. }
            | Self::Corrupt { .. } => Fault::Upstream,
            Self::NoRaw { .. } => Fault::Client,
            Self::Stopped { .. } => Fault::Ours,
        }
    }

    /// Whether the same request may succeed later.
    #[must_use]
    pub fn retry_helps(&self) -> bool {
        match self {
            Self::Deadline { .. }
            | Self::RawDeadline { .. }
            | Self::Busy { .. }
            | Self::TimedOut { .. }
            | Self::BreakerOpen { .. }
            | Self::Exhausted { .. }
            | Self::Connecting { .. } => true,
            Self::Backend { transient, .. } => *transient,
            Self::Stopped { .. } | Self::NoRaw { .. } | Self::Corrupt { .. } => false,
        }
    }
}

/// Why rows could not be written. Nothing of the batch was.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WriteError {
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
            Self::Busy { .. } | Self::BreakerOpen { .. } | Self::Exhausted { .. } | Self::Connecting { .. }
        )
    }

    /// Whose fault it is.
    #[must_use]
    pub fn fault(&self) -> Fault {
        match self {
            Self::Busy { .. }
            | Self::Exhausted { .. }
            | Self::Connecting { .. }
            | Self::TimedOut { .. }
            | Self::BreakerOpen { .. }
            | Self::Backend { .. } => Fault::Upstream,
            Self::Stopped { .. } => Fault::Ours,
            Self::NoRaw { .. } | Self::NotStorable { .. } | Self::RawNotStorable { .. } => Fault::Client,
        }
    }

    /// Whether the same rows may be written later.
    #[must_use]
    pub fn retry_helps(&self) -> bool {
        match self {
            Self::Busy { .. }
            | Self::Exhausted { .. }
            | Self::Connecting { .. }
            | Self::TimedOut { .. }
            | Self::BreakerOpen { .. } => true,
            Self::Backend { transient, .. } => *transient,
            Self::Stopped { .. }
            | Self::NoRaw { .. }
            | Self::NotStorable { .. }
            | Self::RawNotStorable { .. } => false,
        }
    }
}
