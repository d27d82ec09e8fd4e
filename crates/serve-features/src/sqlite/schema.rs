//! The tables, and how a file gets them. The schema's number is SQLite's `user_version`; each migration runs once, in a
//! transaction with the number that it leads to, so a file is never between two versions.

use rusqlite::{Connection, TransactionBehavior};

/// Migration `i` leads from version `i` to `i + 1`. Only ever appended to.
const MIGRATIONS: &[&str] = &[
    "
    CREATE TABLE feature_data (
        feature_set_name TEXT NOT NULL,
        entity           TEXT NOT NULL,
        timestamp        INTEGER NOT NULL, -- microseconds since 1970 UTC
        features         TEXT NOT NULL,    -- JSON object, in the set's order
        PRIMARY KEY (feature_set_name, entity, timestamp)
    ) STRICT, WITHOUT ROWID;

    CREATE TABLE price_data (
        symbol    TEXT NOT NULL,
        timestamp INTEGER NOT NULL,
        open REAL, high REAL, low REAL, close REAL, volume REAL,
        PRIMARY KEY (symbol, timestamp)
    ) STRICT, WITHOUT ROWID;

    CREATE TABLE sentiment_data (
        symbol    TEXT NOT NULL,
        timestamp INTEGER NOT NULL,
        digest    TEXT NOT NULL,              -- SHA-256 of the text, '' without one
        text      TEXT,
        score     REAL,
        scores    TEXT NOT NULL DEFAULT '{}', -- JSON object of further numbers
        PRIMARY KEY (symbol, timestamp, digest)
    ) STRICT, WITHOUT ROWID;
",
    "
    CREATE TABLE raw_data (
        table_name TEXT NOT NULL,
        entity     TEXT NOT NULL,
        timestamp  INTEGER NOT NULL,
        digest     TEXT NOT NULL, -- SHA-256 of the columns
        columns    TEXT NOT NULL, -- JSON object of numbers, booleans and texts
        PRIMARY KEY (table_name, entity, timestamp, digest)
    ) STRICT, WITHOUT ROWID;

    CREATE TABLE feature_state (
        feature_set_name TEXT NOT NULL,
        entity           TEXT NOT NULL,
        timestamp        INTEGER NOT NULL, -- everything visible then is in it
        declaration      TEXT NOT NULL,    -- names the declaration that it belongs to
        state            TEXT NOT NULL,
        PRIMARY KEY (feature_set_name, entity, timestamp)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX feature_state_entity ON feature_state (entity, timestamp);
",
    // What computed the row; NULL: it came ready, or is older than the column.
    "
    ALTER TABLE feature_data ADD COLUMN declaration TEXT;
",
];

/// The version that this program reads and writes.
pub(crate) const CURRENT: i64 = 3;

/// A file's schema, as far as it matters for opening it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    /// Nothing in it at all.
    New,
    /// Of some version; 0 where there are tables, but not ours.
    Version(i64),
}

/// What state the file is in.
pub(crate) fn state(connection: &Connection) -> rusqlite::Result<State> {
    // One statement sees one moment, also while another process migrates.
    let sql = "SELECT user_version, (SELECT count(*) FROM sqlite_schema) FROM pragma_user_version";
    let (version, tables): (i64, i64) =
        connection.query_row(sql, [], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(if version == 0 && tables == 0 { State::New } else { State::Version(version) })
}

/// Runs what is missing. The version is read again inside the transaction, so two processes may try at once. A file of a
/// newer version is left alone.
pub(crate) fn migrate(connection: &mut Connection) -> rusqlite::Result<()> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let found = version(&transaction)?;
    let done = usize::try_from(found).unwrap_or(0);
    for migration in MIGRATIONS.iter().skip(done) {
        transaction.execute_batch(migration)?;
    }
    if found < CURRENT {
        transaction.pragma_update(None, "user_version", CURRENT)?;
    }
    transaction.commit()
}

fn version(connection: &Connection) -> rusqlite::Result<i64> {
    connection.pragma_query_value(None, "user_version", |row| row.get(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_migration_counts_one() {
        assert_eq!(i64::try_from(MIGRATIONS.len()), Ok(CURRENT));
    }

    #[test]
    fn migrating_twice_is_migrating_once() {
        let mut connection = Connection::open_in_memory().expect("opens");
        assert_eq!(state(&connection), Ok(State::New));
        for _ in 0..2 {
            migrate(&mut connection).expect("migrates");
            assert_eq!(state(&connection), Ok(State::Version(CURRENT)));
        }
    }
}
