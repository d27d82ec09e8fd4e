//! Features in one SQLite file: the embedded default. Two faces on the same tables:
//!
//! - [`SqliteDatabase`] is one connection used where it stands. It blocks, and programs that ingest and build use it.
//! - [`SqliteStore`] owns such a connection on a thread of its own and answers asynchronously: what a server uses.
//!
//! The file is in write-ahead-log mode, so a server reads while another process ingests. Timestamps are whole microseconds
//! since 1970 UTC. Only this folder knows rusqlite and SQL.

use std::path::PathBuf;
use std::time::Duration;

use crate::store::{RetrieveError, WriteError};

pub use database::SqliteDatabase;
pub use serving::SqliteStore;

mod build;
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

/// Why a file could not be opened or migrated.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// SQLite refused.
    #[error("cannot {operation} {path:?}")]
    Sqlite {
        /// What was being done.
        operation: &'static str,
        /// The file.
        path: PathBuf,
        /// What SQLite said.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The file has an older schema, or other tables and none of ours.
    #[error(
        "{path:?} has schema version {found}, expected {expected}: run `serve-ctl features migrate --features sqlite://{}`",
        path.display()
    )]
    NotMigrated {
        /// The file.
        path: PathBuf,
        /// Its schema's number, 0 where there is none.
        found: i64,
        /// Ours.
        expected: i64,
    },
    /// A newer program has migrated the file.
    #[error(
        "{path:?} has schema version {found}, newer than this program's {expected}: use the newer program"
    )]
    TooNew {
        /// The file.
        path: PathBuf,
        /// Its schema's number.
        found: i64,
        /// Ours.
        expected: i64,
    },
    /// The file system or the file allows no write-ahead log, so a reader and a writer would block each other.
    #[error("{path:?} cannot use a write-ahead log: its journal mode stays {mode:?}")]
    NoWal {
        /// The file.
        path: PathBuf,
        /// The mode that it has.
        mode: String,
    },
    /// The Redis client cannot use the URL.
    #[error("cannot use the feature store's URL `{url}`")]
    Redis {
        /// The URL, without user and password.
        url: String,
        /// What the client said.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The program was built without the store.
    #[error("this program was built without `{scheme}://` feature stores")]
    NotBuilt {
        /// The part of the URL before `://`.
        scheme: &'static str,
    },
    /// No thread could be started for the store.
    #[error("cannot start the feature store's thread")]
    Thread {
        /// What the system said.
        source: std::io::Error,
    },
}

/// The database is locked or the disk hiccuped: another try may succeed.
fn is_transient(error: &rusqlite::Error) -> bool {
    use rusqlite::ErrorCode::{DatabaseBusy, DatabaseLocked, DiskFull, SystemIoFailure};
    matches!(error.sqlite_error_code(), Some(DatabaseBusy | DatabaseLocked | DiskFull | SystemIoFailure))
}

/// For `map_err` on a read.
fn reading(operation: &'static str) -> impl Fn(rusqlite::Error) -> RetrieveError {
    move |error| RetrieveError::Backend {
        store: KIND,
        operation,
        transient: is_transient(&error),
        source: Box::new(error),
    }
}

/// For `map_err` on a write.
fn writing(operation: &'static str) -> impl Fn(rusqlite::Error) -> WriteError {
    move |error| WriteError::Backend {
        store: KIND,
        operation,
        transient: is_transient(&error),
        source: Box::new(error),
    }
}
