//! The `feature_state` table: what functions of endless memory remember, by set, entity and moment.

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, Row, Transaction, params};

use super::failing;
use super::feature::timestamp;
use crate::name::{Entity, FeatureSetName};
use crate::raw::RawRow;
use crate::store::{RetrieveError, StoredState, WriteError, earliest};
use crate::timestamp::to_micros;

const NEWEST: &str = "SELECT timestamp, state FROM feature_state
    WHERE feature_set_name = ?1 AND entity = ?2 AND timestamp <= ?3 AND declaration = ?4
    ORDER BY timestamp DESC LIMIT 1";

const UPSERT: &str = "INSERT INTO feature_state VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT DO UPDATE SET
    declaration = excluded.declaration, state = excluded.state";

/// One slot an entity, in order.
pub(super) fn read(
    connection: &Connection,
    set: &FeatureSetName,
    declaration: &str,
    entities: &[Entity],
    as_of: Option<Timestamp>,
) -> Result<Vec<Option<StoredState>>, RetrieveError> {
    let failed = failing("read states");
    let until = to_micros(as_of.unwrap_or(Timestamp::MAX)).as_microsecond();
    let mut statement = connection.prepare_cached(NEWEST).map_err(&failed)?;
    let mut one = |entity: &Entity| {
        let read = |row: &Row<'_>| -> rusqlite::Result<StoredState> {
            Ok(StoredState {
                entity: entity.clone(),
                timestamp: timestamp(row.get(0)?)?,
                declaration: declaration.to_owned(),
                state: row.get(1)?,
            })
        };
        let sought = params![set.as_str(), entity.as_str(), until, declaration];
        let found = statement.query_row(sought, |row| Ok(read(row).ok())).optional();
        Ok(found.map_err(&failed)?.flatten())
    };
    entities.iter().map(&mut one).collect()
}

/// Inserts or replaces.
pub(super) fn write(
    transaction: &Transaction<'_>,
    set: &FeatureSetName,
    states: &[StoredState],
) -> Result<(), WriteError> {
    let failed = failing("write states");
    let mut statement = transaction.prepare_cached(UPSERT).map_err(&failed)?;
    for StoredState { entity, timestamp, declaration, state } in states {
        let at = to_micros(*timestamp).as_microsecond();
        statement.execute(params![set.as_str(), entity.as_str(), at, declaration, state]).map_err(&failed)?;
    }
    Ok(())
}

/// Forgets what does not know these rows.
pub(super) fn forget(transaction: &Transaction<'_>, rows: Vec<&RawRow>) -> Result<(), WriteError> {
    let failed = failing("forget states");
    let sql = "DELETE FROM feature_state WHERE entity = ?1 AND timestamp >= ?2";
    let mut statement = transaction.prepare_cached(sql).map_err(&failed)?;
    for (entity, first) in earliest(rows) {
        statement.execute(params![entity.as_str(), to_micros(first).as_microsecond()]).map_err(&failed)?;
    }
    Ok(())
}
