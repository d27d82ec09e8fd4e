//! One connection to a feature database, used where it stands. Every call blocks; [`super::SqliteStore`] puts it on a
//! thread. Writes are one transaction each: all rows or none.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use rusqlite::config::DbConfig;
use rusqlite::{Connection, Transaction, TransactionBehavior};

use super::schema::{self, State};
use super::{Durability, OpenError, SqliteOptions, failing, feature, raw, state};
use crate::frame::Frame;
use crate::name::{Entity, FeatureSetName};
use crate::raw::{RawRow, RawTable};
use crate::row::FeatureRow;
use crate::store::{
    Depth, FetchRequest, HistoryRequest, RawRequest, RawSlot, RetrieveError, SampledRow, Slot, StoredState,
    WriteError,
};
use crate::stored::Decoders;

/// Statements kept prepared on the connection; there are fewer.
const STATEMENTS: usize = 32;

/// A feature database on a connection of its own.
pub struct SqliteDatabase {
    connection: Connection,
    decoders: Arc<Decoders>,
    path: PathBuf,
}

impl SqliteDatabase {
    /// Opens a file for reading and writing. A new one is created with its tables; one of an older schema is refused.
    ///
    /// # Errors
    /// [`OpenError`]: the file cannot be opened, or its schema is not this program's.
    pub fn open(path: impl AsRef<Path>, options: SqliteOptions) -> Result<Self, OpenError> {
        let database = Self::connect(path.as_ref(), options.busy_timeout)?;
        match database.state()? {
            State::New => database.configured(options)?.migrated(),
            State::Version(found) if found == schema::CURRENT => database.configured(options),
            State::Version(found) => Err(database.other_version(found)),
        }
    }

    /// Opens a file and brings its schema to this program's version, from whatever older one it has. Tables of others in
    /// the same file are left alone.
    ///
    /// # Errors
    /// [`OpenError`]: also for a file of a newer schema.
    pub fn migrate(path: impl AsRef<Path>, options: SqliteOptions) -> Result<Self, OpenError> {
        let database = Self::connect(path.as_ref(), options.busy_timeout)?;
        match database.state()? {
            State::Version(found) if found > schema::CURRENT => Err(database.other_version(found)),
            State::New | State::Version(_) => database.configured(options)?.migrated(),
        }
    }

    /// The newest rows for a request, as [`crate::FeatureStore::fetch`].
    ///
    /// # Errors
    /// [`RetrieveError`]; `Deadline` also when it passes between two entities.
    pub fn fetch(&self, request: &FetchRequest) -> Result<Vec<Slot>, RetrieveError> {
        feature::fetch(&self.connection, &self.decoders, request)
    }

    /// Stores feature rows, replacing those of the same set, entity and timestamp.
    ///
    /// # Errors
    /// [`WriteError`]; nothing was written.
    pub fn write_features(&mut self, set: &FeatureSetName, rows: &[FeatureRow]) -> Result<(), WriteError> {
        self.transact("write feature rows", |transaction| feature::write(transaction, set, rows))
    }

    /// The newest row of each of the first entities of a set, as [`crate::FeatureStore::sample`].
    ///
    /// # Errors
    /// [`RetrieveError`].
    pub fn sample(&self, set: &FeatureSetName, limit: usize) -> Result<Vec<SampledRow>, RetrieveError> {
        feature::sample(&self.connection, &self.decoders, set, limit)
    }

    /// One entity's rows in a span of time, as [`crate::FeatureStore::history`].
    ///
    /// # Errors
    /// [`RetrieveError`].
    pub fn history(&self, request: &HistoryRequest) -> Result<Vec<FeatureRow>, RetrieveError> {
        feature::history(&self.connection, &self.decoders, request)
    }

    /// Raw rows, as [`crate::RawStore::read_raw`].
    ///
    /// # Errors
    /// [`RetrieveError`].
    pub fn read_raw(&self, request: &RawRequest) -> Result<Vec<RawSlot>, RetrieveError> {
        raw::read(&self.connection, request)
    }

    /// Stores raw rows, as [`crate::RawStore::write_raw`].
    ///
    /// # Errors
    /// [`WriteError`]; nothing was written.
    pub fn write_raw(&mut self, table: &RawTable, rows: &[RawRow]) -> Result<(), WriteError> {
        self.transact("write raw rows", |transaction| {
            let changed = raw::write(transaction, table, rows)?;
            state::forget(transaction, changed)
        })
    }

    /// Everything that a raw table has of one entity, oldest first.
    ///
    /// # Errors
    /// [`RetrieveError`].
    pub fn read_frame(&self, table: &RawTable, entity: &Entity) -> Result<Frame, RetrieveError> {
        let (table, entities) = (table.clone(), vec![entity.clone()]);
        let request = RawRequest { table, entities, until: None, depth: Depth::ALL, deadline: None };
        Ok(self.read_raw(&request)?.pop().transpose()?.unwrap_or_default().frame)
    }

    /// The entities of which a raw table has rows, in order, as [`crate::RawStore::raw_entities`].
    ///
    /// # Errors
    /// [`RetrieveError`].
    pub fn raw_entities(
        &self,
        table: &RawTable,
        after: Option<&Entity>,
        limit: usize,
    ) -> Result<Vec<Entity>, RetrieveError> {
        raw::entities(&self.connection, table, after, limit)
    }

    /// States, as [`crate::RawStore::read_states`].
    ///
    /// # Errors
    /// [`RetrieveError`].
    pub fn read_states(
        &self,
        set: &FeatureSetName,
        declaration: &str,
        entities: &[Entity],
        as_of: Option<Timestamp>,
    ) -> Result<Vec<Option<StoredState>>, RetrieveError> {
        state::read(&self.connection, set, declaration, entities, as_of)
    }

    /// Stores states, as [`crate::RawStore::write_states`].
    ///
    /// # Errors
    /// [`WriteError`]; nothing was written.
    pub fn write_states(&mut self, set: &FeatureSetName, states: &[StoredState]) -> Result<(), WriteError> {
        self.transact("write states", |transaction| state::write(transaction, set, states))
    }

    /// One small read, to see whether the database answers.
    ///
    /// # Errors
    /// [`RetrieveError`].
    pub fn ping(&self) -> Result<(), RetrieveError> {
        feature::ping(&self.connection)
    }

    fn connect(path: &Path, busy_timeout: Duration) -> Result<Self, OpenError> {
        let opened = Connection::open(path).and_then(|connection| {
            connection.busy_timeout(busy_timeout)?;
            // Plans do not depend on the values bound, as every statement is a look-up in a key. Without this, clearing a
            // cached statement's bindings makes SQLite prepare it anew for every call, which costs more than the query.
            connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
            connection.set_prepared_statement_cache_capacity(STATEMENTS);
            Ok(connection)
        });
        let failed = |error: rusqlite::Error| OpenError::Sqlite {
            operation: "open",
            path: path.to_owned(),
            source: Box::new(error),
        };
        let (connection, decoders) = (opened.map_err(failed)?, Arc::default());
        Ok(Self { connection, decoders, path: path.to_owned() })
    }

    /// A second connection to the same file, for reads that wait for nobody: what another process blocks fails at once.
    pub(super) fn reader(&self) -> Result<Self, OpenError> {
        let mut reader = Self::connect(&self.path, Duration::ZERO)?;
        reader.decoders = Arc::clone(&self.decoders);
        reader.connection.pragma_update(None, "query_only", true).map_err(self.failed("configure"))?;
        Ok(reader)
    }

    fn state(&self) -> Result<State, OpenError> {
        schema::state(&self.connection).map_err(self.failed("read the schema of"))
    }

    /// Sets what the connection needs; only after the file was found to be ours.
    fn configured(self, options: SqliteOptions) -> Result<Self, OpenError> {
        let mode = write_ahead(&self.connection, options.busy_timeout)
            .map_err(self.failed("set the journal mode of"))?;
        if mode != "wal" {
            return Err(OpenError::NoWal { path: self.path, mode });
        }
        let synchronous = match options.durability {
            Durability::Normal => "NORMAL",
            Durability::ThrowAway => "OFF",
        };
        let set = self.connection.pragma_update(None, "synchronous", synchronous);
        set.map_err(self.failed("configure"))?;
        Ok(self)
    }

    fn migrated(mut self) -> Result<Self, OpenError> {
        let failed = self.failed("migrate");
        schema::migrate(&mut self.connection).map_err(failed)?;
        match self.state()? {
            State::Version(found) if found == schema::CURRENT => Ok(self),
            State::Version(found) => Err(self.other_version(found)),
            State::New => Err(self.other_version(0)),
        }
    }

    fn other_version(&self, found: i64) -> OpenError {
        let url = crate::location::StoreUrl::sqlite(&self.path).to_string();
        OpenError::other_version(url, found, schema::CURRENT)
    }

    fn failed(&self, operation: &'static str) -> impl FnOnce(rusqlite::Error) -> OpenError + use<> {
        let path = self.path.clone();
        move |source| OpenError::Sqlite { operation, path, source: Box::new(source) }
    }

    /// Runs `work` in a transaction that takes the write lock at once: one that began as a reader could not wait for it.
    fn transact(
        &mut self,
        operation: &'static str,
        work: impl FnOnce(&Transaction<'_>) -> Result<(), WriteError>,
    ) -> Result<(), WriteError> {
        let failed = failing(operation);
        let begun = self.connection.transaction_with_behavior(TransactionBehavior::Immediate);
        let transaction = begun.map_err(&failed)?;
        work(&transaction)?;
        Ok(transaction.commit().map_err(failed)?)
    }
}

/// Switches to the write-ahead log. SQLite does not wait for its busy timeout when two connections switch a new file at
/// once, so we do.
fn write_ahead(connection: &Connection, patience: Duration) -> rusqlite::Result<String> {
    let give_up = Instant::now() + patience;
    loop {
        let mode = connection.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get(0));
        match mode {
            Err(error) if super::is_transient(&error) && Instant::now() < give_up => {
                std::thread::sleep(Duration::from_millis(2));
            }
            answer => return answer,
        }
    }
}

impl fmt::Debug for SqliteDatabase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteDatabase").field("path", &self.path).finish_non_exhaustive()
    }
}
