//! Features in one SQLite file: the embedded default. Two faces on the same tables:
//!
//! - [`SqliteDatabase`] is one connection used where it stands. It blocks, and programs that ingest and build use it.
//! - [`SqliteStore`] owns such a connection on a thread of its own and answers asynchronously: what a server uses.
//!
//! The file is in write-ahead-log mode, so a server reads while another process ingests. Timestamps are whole microseconds
//! since 1970 UTC. Only this folder knows rusqlite and SQL.

use std::time::Duration;

use crate::store::{OpenError, StoreError};

pub use database::SqliteDatabase;
pub use serving::SqliteStore;

mod database;
mod feature;
mod raw;
mod schema;
mod serving;
mod state;

/// The store's kind in errors and on the health page.
pub(crate) const KIND: &str = "sqlite";

/// How a file is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SqliteOptions {
    /// What a crash of the machine may cost.
    pub durability: Durability,
    /// How long to wait for another process that writes.
    pub busy_timeout: Duration,
    /// How many requests may wait for [`SqliteStore`]'s thread; the next is refused.
    pub queue: usize,
}

impl Default for SqliteOptions {
    fn default() -> Self {
        Self { durability: Durability::Normal, busy_timeout: Duration::from_secs(5), queue: 1024 }
    }
}

/// What a crash of the machine may cost. A crash of the process alone never costs anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Durability {
    /// The last writes at most; the file stays sound.
    Normal,
    /// The file: for one that is thrown away anyway, such as the demo's. Saves waiting for the disk.
    ThrowAway,
}

/// The database is locked or the disk hiccuped: another try may succeed.
fn is_transient(error: &rusqlite::Error) -> bool {
    use rusqlite::ErrorCode::{DatabaseBusy, DatabaseLocked, DiskFull, SystemIoFailure};
    matches!(error.sqlite_error_code(), Some(DatabaseBusy | DatabaseLocked | DiskFull | SystemIoFailure))
}

/// For `map_err`.
fn failing(operation: &'static str) -> impl Fn(rusqlite::Error) -> StoreError {
    move |error| StoreError::Backend {
        store: KIND,
        operation,
        transient: is_transient(&error),
        source: Box::new(error),
    }
}
