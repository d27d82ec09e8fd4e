//! The `feature_data` table: ready feature rows by set, entity and timestamp.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use serve_core::Value;
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

use super::connection::Connection;
use super::failure::Failure;
use super::pool::Lent;
use super::value::{Json, JsonText, Moment};
use super::{CHUNK, has_nul};
use crate::declaration::DeclarationDigest;
use crate::name::{Entity, FeatureSetName};
use crate::row::FeatureRow;
use crate::store::{
    Cause, FetchRequest, HistoryRequest, RetrieveError, SampledRow, Slot, Unreadable, WriteError,
};
use crate::stored::{self, Decoder, Decoders};

/// One entity's newest row: a look-up in the primary key.
const NEWEST: &str = "SELECT timestamp, features, declaration FROM feature_data
    WHERE feature_set_name = $1 AND entity = $2 AND timestamp <= $3 ORDER BY timestamp DESC LIMIT 1";

/// The same of all times.
const NEWEST_OF_ALL: &str = "SELECT timestamp, features, declaration FROM feature_data
    WHERE feature_set_name = $1 AND entity = $2 ORDER BY timestamp DESC LIMIT 1";

/// The same for many in one query; `i` is the place in the request, from 1.
const NEWEST_OF_MANY: &str = "SELECT newest.timestamp, newest.features, newest.declaration, wanted.i
    FROM unnest($2::text[]) WITH ORDINALITY AS wanted (entity, i)
    CROSS JOIN LATERAL (
        SELECT timestamp, features, declaration FROM feature_data
        WHERE feature_set_name = $1 AND entity = wanted.entity AND timestamp <= $3
        ORDER BY timestamp DESC LIMIT 1
    ) AS newest";

/// What requests ask.
pub(super) const OFTEN_ASKED: [&str; 2] = [NEWEST_OF_ALL, NEWEST_OF_MANY];

const UPSERT: &str = "INSERT INTO feature_data (feature_set_name, entity, timestamp, features, declaration)
    SELECT $1, * FROM unnest($2::text[], $3::timestamptz[], $4::jsonb[], $5::text[])
    ON CONFLICT (feature_set_name, entity, timestamp)
        DO UPDATE SET features = excluded.features, declaration = excluded.declaration";

/// Goes from one entity to the next by the primary key, where `DISTINCT` would read every row.
const SAMPLE: &str = "WITH RECURSIVE known (entity) AS (
        (SELECT entity FROM feature_data WHERE feature_set_name = $1 ORDER BY entity LIMIT 1)
        UNION ALL
        SELECT (SELECT next.entity FROM feature_data AS next
                WHERE next.feature_set_name = $1 AND next.entity > known.entity ORDER BY next.entity LIMIT 1)
        FROM known WHERE known.entity IS NOT NULL
    ), wanted AS (SELECT entity FROM known WHERE entity IS NOT NULL LIMIT $2)
    SELECT newest.timestamp, newest.features, newest.declaration, wanted.entity FROM wanted
    CROSS JOIN LATERAL (
        SELECT timestamp, features, declaration FROM feature_data
        WHERE feature_set_name = $1 AND entity = wanted.entity ORDER BY timestamp DESC LIMIT 1
    ) AS newest ORDER BY wanted.entity";

const HISTORY: &str = "SELECT timestamp, features, declaration FROM feature_data
    WHERE feature_set_name = $1 AND entity = $2 AND timestamp >= $3 AND timestamp < $4 ORDER BY timestamp LIMIT $5";

/// What the database has for a request.
pub(super) enum Found {
    /// The row of its only entity.
    One(Option<Row>),
    /// Rows with their entities' places.
    Many(Vec<Row>),
}

/// The rows of the database for a request.
pub(super) async fn query(connection: &mut Connection, request: &FetchRequest) -> Result<Found, Failure> {
    let until = request.as_of.map_or(Moment::END, Moment::bound);
    let set = request.set.as_str();
    match request.entities.as_slice() {
        [] => Ok(Found::Many(Vec::new())),
        [entity] => {
            let (sql, parameters) = if request.as_of.is_none() { (NEWEST_OF_ALL, 2) } else { (NEWEST, 3) };
            let statement = connection.statement(sql).await?;
            let sought: [&(dyn ToSql + Sync); 3] = [&set, &entity.as_str(), &until];
            Ok(Found::One(connection.client.query_opt(&statement, &sought[..parameters]).await?))
        }
        entities => {
            let statement = connection.statement(NEWEST_OF_MANY).await?;
            let entities: Vec<&str> = entities.iter().map(Entity::as_str).collect();
            Ok(Found::Many(connection.client.query(&statement, &[&set, &entities, &until]).await?))
        }
    }
}

/// One slot an entity, in order.
pub(super) fn slots(request: &FetchRequest, found: &Found, decoders: &Decoders) -> Vec<Slot> {
    let mut decoder = decoders.of_newest(&request.set);
    let mut slot = |entity, row| decode(&request.set, entity, row, &mut decoder).map(Some);
    match found {
        Found::One(row) => {
            let one = |entity| row.as_ref().map_or(Ok(None), |row| slot(entity, row));
            request.entities.iter().map(one).collect()
        }
        Found::Many(rows) => {
            let mut slots = vec![Ok(None); request.entities.len()];
            for row in rows {
                let place = place(row, 3);
                let Some(entity) = request.entities.get(place) else { continue };
                slots[place] = slot(entity, row);
            }
            slots
        }
    }
}

/// The place in the request that `WITH ORDINALITY` counted.
pub(super) fn place(row: &Row, column: usize) -> usize {
    let counted = row.try_get::<_, i64>(column).unwrap_or(0);
    usize::try_from(counted - 1).unwrap_or(usize::MAX)
}

fn decode(set: &FeatureSetName, entity: &Entity, row: &Row, decoder: &mut Decoder<'_>) -> SampledRow {
    let mut decoded = || -> Result<FeatureRow, Cause> {
        let at = row.try_get::<_, Moment>(0)?.timestamp()?;
        let Json(json) = row.try_get(1)?;
        let (names, values) = decoder.decode(entity, json)?;
        let declaration = DeclarationDigest::parse_if_any(row.try_get(2)?)?;
        Ok(FeatureRow::of(entity.clone(), at, names, values).computed_by(declaration))
    };
    decoded().map_err(|source| Unreadable::new(set.as_str(), entity, source))
}

/// Rows as arrays, one a column. Of rows with the same key the last is kept, as if they had come one by one; in the keys'
/// order, so that two writers lock the same rows in the same order.
pub(super) fn columns(rows: &[FeatureRow]) -> Result<Columns, WriteError> {
    let mut newest: BTreeMap<(&str, Timestamp), &FeatureRow> = BTreeMap::new();
    for row in rows {
        check(row)?;
        newest.insert((row.entity().as_str(), row.timestamp()), row);
    }
    let mut columns = Columns::default();
    for ((entity, at), row) in newest {
        columns.entities.push(entity.to_owned());
        columns.moments.push(Moment::of(at));
        columns.features.push(JsonText(encode(row.features())));
        columns.declarations.push(row.declaration().map(|declaration| declaration.to_string()));
    }
    Ok(columns)
}

/// As [`stored::check`], and of text that PostgreSQL cannot hold.
fn check(row: &FeatureRow) -> Result<(), WriteError> {
    stored::check(row)?;
    match row.features().find(|(name, value)| has_nul(name, value)) {
        Some((name, _)) => Err(WriteError::NotStorable {
            entity: row.entity().clone(),
            timestamp: row.timestamp(),
            column: name.to_string(),
            got: "the character U+0000".to_owned(),
        }),
        None => Ok(()),
    }
}

/// JSON of finite numbers, booleans and texts cannot fail to be written.
pub(super) fn encode<'a>(
    values: impl ExactSizeIterator<Item = (&'a Arc<str>, &'a Value<'static>)>,
) -> String {
    stored::encode(values).unwrap_or_default()
}

/// What goes to the database at once.
#[derive(Debug, Default)]
pub(super) struct Columns {
    entities: Vec<String>,
    moments: Vec<Moment>,
    features: Vec<JsonText>,
    declarations: Vec<Option<String>>,
}

/// Inserts or replaces, in one transaction.
pub(super) async fn write(
    lent: &mut Lent<'_>,
    set: &FeatureSetName,
    columns: &Columns,
) -> Result<(), Failure> {
    let statement = lent.connection().statement(UPSERT).await?;
    let transaction = lent.connection().client.transaction().await?;
    let chunks = columns.entities.chunks(CHUNK).zip(columns.moments.chunks(CHUNK));
    let values = columns.features.chunks(CHUNK).zip(columns.declarations.chunks(CHUNK));
    for ((entities, moments), (features, declarations)) in chunks.zip(values) {
        transaction
            .execute(&statement, &[&set.as_str(), &entities, &moments, &features, &declarations])
            .await?;
    }
    Ok(transaction.commit().await?)
}

/// The newest row of each of the first entities.
pub(super) async fn sample(
    connection: &mut Connection,
    set: &FeatureSetName,
    limit: usize,
) -> Result<Vec<Row>, Failure> {
    let statement = connection.statement(SAMPLE).await?;
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    Ok(connection.client.query(&statement, &[&set.as_str(), &limit]).await?)
}

/// What [`sample`] found.
pub(super) fn sampled(
    set: &FeatureSetName,
    rows: &[Row],
    decoders: &Decoders,
) -> Result<Vec<SampledRow>, RetrieveError> {
    let mut decoder = decoders.of_newest(set);
    let one = |row: &Row| {
        let entity = super::entity("sample features", row, 3)?;
        Ok(decode(set, &entity, row, &mut decoder))
    };
    rows.iter().map(one).collect()
}

/// One entity's rows in a span of time, oldest first.
pub(super) async fn history(
    connection: &mut Connection,
    request: &HistoryRequest,
) -> Result<Vec<Row>, Failure> {
    let statement = connection.statement(HISTORY).await?;
    let from = Moment::bound(request.from.unwrap_or(Timestamp::MIN));
    let to = request.to.map_or(Moment::END, Moment::bound);
    let limit = i64::try_from(request.limit).unwrap_or(i64::MAX);
    let (set, entity) = (request.set.as_str(), request.entity.as_str());
    Ok(connection.client.query(&statement, &[&set, &entity, &from, &to, &limit]).await?)
}

/// What [`history`] found.
pub(super) fn past(
    request: &HistoryRequest,
    rows: &[Row],
    decoders: &Decoders,
) -> Result<Vec<FeatureRow>, Unreadable> {
    let mut decoder = decoders.of(&request.set);
    rows.iter().map(|row| decode(&request.set, &request.entity, row, &mut decoder)).collect()
}

/// Reads at most one row.
pub(super) async fn ping(connection: &mut Connection) -> Result<(), Failure> {
    let statement = connection.statement("SELECT 1 FROM feature_data LIMIT 1").await?;
    connection.client.query_opt(&statement, &[]).await?;
    Ok(())
}
