//! Reading the raw tables: every entity of a request in one query.

use std::sync::Arc;

use jiff::Timestamp;
use serve_core::Value;
use tokio_postgres::Row;

use super::connection::Connection;
use super::failure::Failure;
use super::feature::place;
use super::value::{Json, Moment};
use crate::name::Entity;
use crate::raw::{PRICE_COLUMNS, RawTable, SCORE, TEXT};
use crate::store::{Cause, RawRequest, RawRows, RawSlot, Unreadable};
use crate::stored;

/// For each entity: its rows later than `$2` and not later than `$3`, and the newest `$5` of those not later than `$4`.
macro_rules! read {
    ($table:literal, $of:literal, $columns:literal, $order:literal, $newest:literal) => {
        concat!(
            "SELECT known.*, wanted.i FROM unnest($1::text[]) WITH ORDINALITY AS wanted (entity, i)
            CROSS JOIN LATERAL (
                (SELECT timestamp, true AS later, ",
            $columns,
            " FROM ",
            $table,
            "
                WHERE ",
            $of,
            " = wanted.entity AND timestamp > $2 AND timestamp <= $3)
                UNION ALL
                (SELECT timestamp, false, ",
            $columns,
            " FROM ",
            $table,
            "
                WHERE ",
            $of,
            " = wanted.entity AND timestamp <= $4 ORDER BY ",
            $newest,
            " LIMIT $5)
            ) AS known ORDER BY wanted.i, ",
            $order
        )
    };
}

const PRICES: &str =
    read!("price_data", "symbol", "open, high, low, close, volume", "known.timestamp", "timestamp DESC");
const SENTIMENT: &str = read!(
    "sentiment_data",
    "symbol",
    "scores, text, score, digest",
    "known.timestamp, known.digest",
    "timestamp DESC, digest DESC"
);
const EVENTS: &str = read!(
    "raw_data",
    "table_name = $6 AND entity",
    "columns, digest",
    "known.timestamp, known.digest",
    "timestamp DESC, digest DESC"
);

/// Goes from one entity to the next by the primary key.
macro_rules! entities {
    ($table:literal, $entity:literal, $which:literal) => {
        concat!(
            "WITH RECURSIVE known (entity) AS (
                (SELECT ",
            $entity,
            " FROM ",
            $table,
            " WHERE ",
            $entity,
            " > $1 AND ",
            $which,
            "
                ORDER BY ",
            $entity,
            " LIMIT 1)
                UNION ALL
                SELECT (SELECT ",
            $entity,
            " FROM ",
            $table,
            " WHERE ",
            $entity,
            " > known.entity AND ",
            $which,
            "
                        ORDER BY ",
            $entity,
            " LIMIT 1)
                FROM known WHERE known.entity IS NOT NULL
            ) SELECT entity FROM known WHERE entity IS NOT NULL LIMIT $2"
        )
    };
}

const PRICE_ENTITIES: &str = entities!("price_data", "price_data.symbol", "true");
const SENTIMENT_ENTITIES: &str = entities!("sentiment_data", "sentiment_data.symbol", "true");
const EVENT_ENTITIES: &str = entities!("raw_data", "raw_data.entity", "table_name = $3");

/// One row's values by column.
type Values = Vec<(Arc<str>, Value<'static>)>;

/// The rows of the database for a request, in the order of its entities, oldest first.
pub(super) async fn query(connection: &mut Connection, request: &RawRequest) -> Result<Vec<Row>, Failure> {
    let until = request.until.map_or(Moment::END, Moment::bound);
    let since = request.depth.since.map_or(Moment::END, Moment::bound);
    let before = match (request.depth.since, request.until) {
        (Some(since), Some(until)) => Moment::bound(since.min(until)),
        (Some(_), None) => since,
        (None, _) => until,
    };
    // One row more than asked tells whether older ones are there.
    let limit = i64::try_from(request.depth.rows).unwrap_or(i64::MAX).saturating_add(1);
    let entities: Vec<&str> = request.entities.iter().map(Entity::as_str).collect();
    let name = request.table.name();
    let (sql, parameters) = match request.table {
        RawTable::Price => (PRICES, 5),
        RawTable::Sentiment => (SENTIMENT, 5),
        RawTable::Events(_) => (EVENTS, 6),
    };
    let statement = connection.statement(sql).await?;
    let sought: [&(dyn tokio_postgres::types::ToSql + Sync); 6] =
        [&entities, &since, &until, &before, &limit, &name];
    Ok(connection.client.query(&statement, &sought[..parameters]).await?)
}

/// One slot an entity, in order.
pub(super) fn slots(request: &RawRequest, rows: &[Row]) -> Vec<RawSlot> {
    let table = &request.table;
    let last = match table {
        RawTable::Price => 7,
        RawTable::Sentiment => 6,
        RawTable::Events(_) => 4,
    };
    let mut rest = rows;
    let mut slots = Vec::with_capacity(request.entities.len());
    for (i, entity) in request.entities.iter().enumerate() {
        let (of_entity, others) = rest.split_at(rest.partition_point(|row| place(row, last) <= i));
        rest = others;
        let slot = one(table, of_entity, request.depth.rows);
        slots.push(slot.map_err(|source| Unreadable::new(table.name(), entity, source)));
    }
    slots
}

fn one(table: &RawTable, rows: &[Row], depth: usize) -> Result<RawRows, Cause> {
    let before = rows.iter().filter(|row| !row.try_get::<_, bool>(1).unwrap_or(true)).count();
    let complete = before <= depth;
    // The oldest row is the one more than asked.
    let rows = if complete { rows } else { &rows[1..] };
    let names = PRICE_COLUMNS.map(Arc::<str>::from);
    let mut known: Vec<(Timestamp, Values)> = Vec::with_capacity(rows.len());
    for row in rows {
        let at = row.try_get::<_, Moment>(0)?.timestamp()?;
        let values = match table {
            RawTable::Price => candle(row, &names)?,
            RawTable::Sentiment | RawTable::Events(_) => {
                let like = known.last().map_or(&[][..], |(_, values)| values);
                let mut values = stored::decode(row.try_get::<_, Json<'_>>(2)?.0, like)?;
                if *table == RawTable::Sentiment {
                    said(row, &mut values)?;
                }
                values
            }
        };
        known.push((at, values));
    }
    Ok(RawRows { frame: table.columns(known.into_iter())?, complete })
}

fn candle(row: &Row, names: &[Arc<str>]) -> Result<Values, Cause> {
    let number = |(i, name): (usize, &Arc<str>)| Ok((Arc::clone(name), number(row, i + 2)?));
    names.iter().enumerate().map(number).collect()
}

fn said(row: &Row, values: &mut Values) -> Result<(), Cause> {
    let text = row.try_get::<_, Option<&str>>(3)?;
    let text = text.map_or(Value::Missing, |text| Value::Text(text.to_owned().into()));
    values.push((TEXT.into(), text));
    values.push((SCORE.into(), number(row, 4)?));
    Ok(())
}

fn number(row: &Row, column: usize) -> Result<Value<'static>, Cause> {
    Ok(row.try_get::<_, Option<f64>>(column)?.map_or(Value::Missing, Value::from))
}

/// The entities of which a table has rows, in order.
pub(super) async fn entities(
    connection: &mut Connection,
    table: &RawTable,
    after: Option<&Entity>,
    limit: usize,
) -> Result<Vec<Row>, Failure> {
    let after = after.map_or("", Entity::as_str);
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let (sql, parameters) = match table {
        RawTable::Price => (PRICE_ENTITIES, 2),
        RawTable::Sentiment => (SENTIMENT_ENTITIES, 2),
        RawTable::Events(_) => (EVENT_ENTITIES, 3),
    };
    let statement = connection.statement(sql).await?;
    let sought: [&(dyn tokio_postgres::types::ToSql + Sync); 3] = [&after, &limit, &table.name()];
    Ok(connection.client.query(&statement, &sought[..parameters]).await?)
}
