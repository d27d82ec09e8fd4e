//! Features in PostgreSQL. A bounded pool of connections, statements prepared once on each, parameters in the binary format:
//! a name is never part of the SQL. A request is one query however many entities it asks for, a batch of rows is one
//! transaction.
//!
//! The store connects when it is first asked, so a server starts while its database is down. What differs from other stores:
//! values are kept by name (`jsonb` orders them itself: by the length of the name, then its bytes), `-0.0` comes back as
//! `0.0`, and text with the character U+0000 is refused.
//!
//! Only this folder knows tokio-postgres.

use serve_core::Value;
use tokio_postgres::Row;

use crate::name::Entity;
use crate::store::{Cause, RetrieveError, StoreError};

use failure::Failure;

pub use serving::PostgresStore;
pub use url::PostgresUrl;

mod connection;
mod failure;
mod feature;
mod pool;
mod raw;
mod raw_write;
mod schema;
mod serving;
mod state;
mod tls;
mod url;
mod value;

/// The store's kind in errors and on the health page.
const KIND: &str = "postgres";

/// How many rows one statement writes: enough that the statements cost nothing beside the rows, few enough for memory.
const CHUNK: usize = 4096;

/// For `map_err` on a call that has no deadline but the store's own.
fn failing(operation: &'static str) -> impl FnOnce(Failure) -> StoreError {
    let backend = move |transient, source| StoreError::Backend { store: KIND, operation, transient, source };
    move |failure| match failure {
        Failure::Late => backend(true, "no answer in time".into()),
        Failure::Connecting => StoreError::Connecting { store: KIND },
        Failure::Exhausted { connections, waiting } => {
            StoreError::Exhausted { store: KIND, connections, waiting }
        }
        Failure::Lost(source) => backend(true, source),
        Failure::Backend { transient, source } => backend(transient, source),
    }
}

/// For `map_err` on a call with a deadline of its own, whose error is `late`.
fn failing_or(
    operation: &'static str,
    late: impl FnOnce() -> RetrieveError,
) -> impl FnOnce(Failure) -> RetrieveError {
    move |failure| match failure {
        Failure::Late => late(),
        failure => failing(operation)(failure).into(),
    }
}

/// An entity as a column has it; somebody else may have written what is none.
fn entity(operation: &'static str, row: &Row, column: usize) -> Result<Entity, RetrieveError> {
    let read = || -> Result<Entity, Cause> { Ok(row.try_get::<_, &str>(column)?.parse()?) };
    let failed = |source| StoreError::Backend { store: KIND, operation, transient: false, source };
    Ok(read().map_err(failed)?)
}

/// Neither `text` nor `jsonb` can hold U+0000.
fn has_nul(name: &str, value: &Value<'_>) -> bool {
    name.contains('\0') || matches!(value, Value::Text(text) if text.contains('\0'))
}
