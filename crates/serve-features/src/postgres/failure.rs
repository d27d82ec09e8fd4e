//! Why a call to the database failed: what of it may pass, and what only the connection's end tells.

use tokio_postgres::error::{DbError, Severity, SqlState};

use crate::store::{Cause, OpenError};

/// Why a call failed.
#[derive(Debug)]
pub(super) enum Failure {
    /// All connections were in use until the deadline, and none is being made.
    Exhausted { connections: usize, waiting: usize },
    /// The deadline passed.
    Late,
    /// The deadline passed while a connection was being made, and not for long yet.
    Connecting,
    /// The connection ended. Whether the server did what it was asked is not known.
    Lost(Cause),
    /// What `Backend` errors carry.
    Backend { transient: bool, source: Cause },
}

impl From<tokio_postgres::Error> for Failure {
    fn from(error: tokio_postgres::Error) -> Self {
        let transient = is_transient(&error);
        if transient && ends_the_session(&error) {
            return Self::Lost(cause(error));
        }
        Self::Backend { transient, source: cause(error) }
    }
}

impl Failure {
    /// No connection was made.
    pub(super) fn not_connected(error: tokio_postgres::Error) -> Self {
        Self::Backend { transient: is_transient(&error), source: cause(error) }
    }

    /// A table was altered since the statement was prepared ("cached plan must not change result type"); prepared anew it works.
    pub(super) fn is_of_an_old_plan(&self) -> bool {
        let Self::Backend { source, .. } = self else { return false };
        source.downcast_ref::<DbError>().is_some_and(|error| *error.code() == SqlState::FEATURE_NOT_SUPPORTED)
    }
}

impl From<OpenError> for Failure {
    fn from(error: OpenError) -> Self {
        Self::Backend { transient: false, source: Box::new(error) }
    }
}

/// The server's own words, without "db error" before them.
fn cause(error: tokio_postgres::Error) -> Cause {
    if error.as_db_error().is_some() {
        error.into_source().unwrap_or_else(|| "the server gave no reason".into())
    } else {
        Box::new(error)
    }
}

/// Nothing more can be asked on the connection.
fn ends_the_session(error: &tokio_postgres::Error) -> bool {
    let severity = error.as_db_error().and_then(DbError::parsed_severity);
    error.is_closed() || matches!(severity, Some(Severity::Fatal | Severity::Panic))
}

/// The next try may succeed: the connection broke or was never there, or the server was not able to just now.
fn is_transient(error: &tokio_postgres::Error) -> bool {
    let Some(code) = error.code() else {
        return !is_about_certificates(error);
    };
    let now_and_then = [
        SqlState::T_R_SERIALIZATION_FAILURE,
        SqlState::T_R_DEADLOCK_DETECTED,
        SqlState::LOCK_NOT_AVAILABLE,
        SqlState::QUERY_CANCELED,
        // a standby that is about to become the primary
        SqlState::READ_ONLY_SQL_TRANSACTION,
        // a table that was altered under a prepared statement
        SqlState::FEATURE_NOT_SUPPORTED,
    ];
    // Lost connections, want of resources, the operator's intervention, the system's errors.
    ["08", "53", "57P", "58"].iter().any(|class| code.code().starts_with(class))
        || now_and_then.contains(code)
}

fn is_about_certificates(error: &tokio_postgres::Error) -> bool {
    let mut level: Option<&dyn std::error::Error> = Some(error);
    while let Some(error) = level {
        let inner = error.downcast_ref::<std::io::Error>().and_then(|error| error.get_ref());
        if inner.and_then(|error| error.downcast_ref::<rustls::Error>()).is_some() {
            return true;
        }
        level = error.source();
    }
    false
}
