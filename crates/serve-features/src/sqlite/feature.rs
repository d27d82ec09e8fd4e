//! The `feature_data` table: ready feature rows by set, entity and timestamp.

use jiff::Timestamp;
use rusqlite::types::Type;
use rusqlite::{Connection, OptionalExtension, Row, Transaction, params};

use super::failing;
use crate::declaration::DeclarationDigest;
use crate::name::{Entity, FeatureSetName};
use crate::row::FeatureRow;
use crate::store::{
    Cause, FetchRequest, HistoryRequest, RetrieveError, SampledRow, Slot, Unreadable, WriteError,
};
use crate::stored::{self, Decoder, Decoders};

const NEWEST: &str = "SELECT timestamp, features, declaration FROM feature_data
    WHERE feature_set_name = ?1 AND entity = ?2 AND timestamp <= ?3
    ORDER BY timestamp DESC LIMIT 1";

const UPSERT: &str = "INSERT INTO feature_data (feature_set_name, entity, timestamp, features, declaration)
    VALUES (?1, ?2, ?3, ?4, ?5)
    ON CONFLICT DO UPDATE SET features = excluded.features, declaration = excluded.declaration";

/// One slot an entity, in order: its newest row not later than `as_of`. One look-up in the primary key each.
pub(super) fn fetch(
    connection: &Connection,
    decoders: &Decoders,
    request: &FetchRequest,
) -> Result<Vec<Slot>, RetrieveError> {
    let failed = failing("fetch features");
    let until = request.as_of.map_or(i64::MAX, |at| crate::timestamp::to_micros(at).as_microsecond());
    let mut statement = connection.prepare_cached(NEWEST).map_err(&failed)?;
    let mut decoder = decoders.of_newest(&request.set);
    let mut rows = Vec::with_capacity(request.entities.len());
    for entity in &request.entities {
        request.check_deadline()?;
        let mut found =
            statement.query(params![request.set.as_str(), entity.as_str(), until]).map_err(&failed)?;
        let row = found.next().map_err(&failed)?;
        rows.push(row.map(|row| read(row, &request.set, entity, &mut decoder)).transpose());
    }
    Ok(rows)
}

/// A row of timestamp, features and declaration.
fn read(row: &Row<'_>, set: &FeatureSetName, entity: &Entity, decoder: &mut Decoder<'_>) -> SampledRow {
    let mut decoded = || -> Result<FeatureRow, Cause> {
        let at = timestamp(row.get(0)?)?;
        let (names, values) = decoder.decode(entity, row.get_ref(1)?.as_bytes()?)?;
        let declaration = DeclarationDigest::parse_if_any(row.get_ref(2)?.as_str_or_null()?)?;
        Ok(FeatureRow::of(entity.clone(), at, names, values).computed_by(declaration))
    };
    decoded().map_err(|source| Unreadable::new(set.as_str(), entity, source))
}

/// Inserts or replaces every row.
pub(super) fn write(
    transaction: &Transaction<'_>,
    set: &FeatureSetName,
    rows: &[FeatureRow],
) -> Result<(), WriteError> {
    let failed = failing("write feature rows");
    let mut statement = transaction.prepare_cached(UPSERT).map_err(&failed)?;
    for row in rows {
        stored::check(row)?;
        let json = stored::encode(row.features())
            .map_err(|error| failed(rusqlite::Error::ToSqlConversionFailure(error.into())))?;
        let (entity, at) = (row.entity().as_str(), row.timestamp().as_microsecond());
        let declaration = row.declaration().map(|declaration| declaration.to_string());
        statement.execute(params![set.as_str(), entity, at, json, declaration]).map_err(&failed)?;
    }
    Ok(())
}

/// The newest row of each of the first entities. The skip from one entity to the next is a look-up in the primary key.
pub(super) fn sample(
    connection: &Connection,
    decoders: &Decoders,
    set: &FeatureSetName,
    limit: usize,
) -> Result<Vec<SampledRow>, RetrieveError> {
    let failed = failing("sample features");
    let next =
        "SELECT entity FROM feature_data WHERE feature_set_name = ?1 AND entity > ?2 ORDER BY entity LIMIT 1";
    let mut next = connection.prepare_cached(next).map_err(&failed)?;
    let mut rows: Vec<SampledRow> = Vec::new();
    while rows.len() < limit {
        let after = rows.last().map_or("", |row| entity_of(row).as_str());
        let found: Option<String> =
            next.query_row([set.as_str(), after], |row| row.get(0)).optional().map_err(&failed)?;
        let Some(found) = found else { break };
        let entity = found.parse::<Entity>().map_err(|error| {
            failed(rusqlite::Error::FromSqlConversionFailure(0, Type::Text, Box::new(error)))
        })?;
        let newest = fetch(connection, decoders, &FetchRequest::newest(set.clone(), [entity]))?;
        rows.extend(newest.into_iter().filter_map(Result::transpose));
    }
    Ok(rows)
}

fn entity_of(row: &SampledRow) -> &Entity {
    match row {
        Ok(row) => row.entity(),
        Err(unreadable) => &unreadable.entity,
    }
}

/// One entity's rows in a span of time, oldest first.
pub(super) fn history(
    connection: &Connection,
    decoders: &Decoders,
    request: &HistoryRequest,
) -> Result<Vec<FeatureRow>, RetrieveError> {
    let failed = failing("read the history of features");
    let sql = "SELECT timestamp, features, declaration FROM feature_data WHERE feature_set_name = ?1 AND entity = ?2
        AND timestamp >= ?3 AND timestamp < ?4 ORDER BY timestamp LIMIT ?5";
    let micros =
        |at: Option<Timestamp>, or| at.map_or(or, |at| crate::timestamp::to_micros(at).as_microsecond());
    let span = (micros(request.from, i64::MIN), micros(request.to, i64::MAX));
    let limit = i64::try_from(request.limit).unwrap_or(i64::MAX);
    let mut statement = connection.prepare_cached(sql).map_err(&failed)?;
    let (set, entity) = (&request.set, &request.entity);
    let mut found =
        statement.query(params![set.as_str(), entity.as_str(), span.0, span.1, limit]).map_err(&failed)?;
    let (mut rows, mut decoder) = (Vec::new(), decoders.of(set));
    while let Some(row) = found.next().map_err(&failed)? {
        rows.push(read(row, set, entity, &mut decoder)?);
    }
    Ok(rows)
}

/// Reads at most one row.
pub(super) fn ping(connection: &Connection) -> Result<(), RetrieveError> {
    let failed = failing("answer a ping");
    let mut statement = connection.prepare_cached("SELECT 1 FROM feature_data LIMIT 1").map_err(&failed)?;
    statement.query_row([], |_| Ok(())).optional().map_err(failed)?;
    Ok(())
}

/// A timestamp column's value; one out of range was written by somebody else.
pub(super) fn timestamp(micros: i64) -> rusqlite::Result<Timestamp> {
    Timestamp::from_microsecond(micros)
        .map_err(|error| rusqlite::Error::FromSqlConversionFailure(0, Type::Integer, Box::new(error)))
}
