//! Why a store could not be opened or migrated. URLs are shown with their passwords masked.

use std::path::PathBuf;

use super::Cause;

/// Why a store could not be opened or migrated.
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
        source: Cause,
    },
    /// A server refused, or did not answer.
    #[error("cannot {operation} `{url}`")]
    Server {
        /// What was being done.
        operation: &'static str,
        /// The store.
        url: String,
        /// What the server or its client said.
        source: Cause,
    },
    /// The store has an older schema, or other tables and none of ours.
    #[error(
        "`{url}` has schema version {found}, expected {expected}: run `serve-ctl features migrate --features {url}`"
    )]
    NotMigrated {
        /// The store.
        url: String,
        /// Its schema's number, 0 where there is none.
        found: i64,
        /// Ours.
        expected: i64,
    },
    /// A newer program has migrated the store.
    #[error(
        "`{url}` has schema version {found}, newer than this program's {expected}: use the newer program"
    )]
    TooNew {
        /// The store.
        url: String,
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
        source: Cause,
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

impl OpenError {
    /// For a schema that is not the expected one.
    pub(crate) fn other_version(url: String, found: i64, expected: i64) -> Self {
        if found > expected {
            Self::TooNew { url, found, expected }
        } else {
            Self::NotMigrated { url, found, expected }
        }
    }
}
