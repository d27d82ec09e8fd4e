//! The raw tables `price_data` and `sentiment_data`, and `raw_data` for tables of the user's own: upserts, and reading one
//! entity's rows as a frame.

use std::sync::Arc;

use jiff::Timestamp;
use rusqlite::types::Type;
use rusqlite::{Connection, Params, Row, Statement, Transaction, params};
use serve_core::Value;

use super::failing;
use super::feature::timestamp;
use crate::name::Entity;
use crate::raw::{PRICE_COLUMNS, RawRow, RawTable, SCORE, TEXT};
use crate::store::{
    Cause, Depth, RawRequest, RawRows, RawSlot, RetrieveError, Unreadable, WriteError, check_raw,
};
use crate::stored;
use crate::timestamp::to_micros;

const PRICE_UPSERT: &str = "INSERT INTO price_data VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT DO UPDATE SET
    open = excluded.open, high = excluded.high, low = excluded.low, close = excluded.close, volume = excluded.volume
    WHERE (open, high, low, close, volume) IS NOT
        (excluded.open, excluded.high, excluded.low, excluded.close, excluded.volume)";

/// `?7` tells whether the row names `score` at all; one that does not leaves the stored score alone, as `json_patch` does
/// with the other scores.
const SENTIMENT_UPSERT: &str =
    "INSERT INTO sentiment_data VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT DO UPDATE SET
    score = CASE WHEN ?7 THEN excluded.score ELSE score END,
    scores = json_patch(scores, excluded.scores)
    WHERE ?7 AND score IS NOT excluded.score OR scores IS NOT json_patch(scores, excluded.scores)";

const EVENT_INSERT: &str = "INSERT INTO raw_data VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT DO NOTHING";

/// One row's values by column.
type Values = Vec<(Arc<str>, Value<'static>)>;

/// Inserts or replaces every row; those that were not there already as they are.
pub(super) fn write<'a>(
    transaction: &Transaction<'_>,
    table: &RawTable,
    rows: &'a [RawRow],
) -> Result<Vec<&'a RawRow>, WriteError> {
    let failed = failing("write raw rows");
    let sql = match table {
        RawTable::Price => PRICE_UPSERT,
        RawTable::Sentiment => SENTIMENT_UPSERT,
        RawTable::Events(_) => EVENT_INSERT,
    };
    let mut statement = transaction.prepare_cached(sql).map_err(&failed)?;
    let mut changed = Vec::new();
    for row in rows {
        check_raw(table, row)?;
        let written = match table {
            RawTable::Price => write_price(&mut statement, row),
            RawTable::Sentiment => write_sentiment(&mut statement, row, table),
            RawTable::Events(name) => write_event(&mut statement, row, table, name),
        };
        if written.map_err(&failed)? > 0 {
            changed.push(row);
        }
    }
    Ok(changed)
}

fn write_price(statement: &mut Statement<'_>, row: &RawRow) -> rusqlite::Result<usize> {
    let [open, high, low, close, volume] = PRICE_COLUMNS.map(|name| number_of(row.get(name)));
    let at = to_micros(row.timestamp).as_microsecond();
    statement.execute(params![row.entity.as_str(), at, open, high, low, close, volume])
}

fn write_sentiment(statement: &mut Statement<'_>, row: &RawRow, table: &RawTable) -> rusqlite::Result<usize> {
    let at = to_micros(row.timestamp).as_microsecond();
    let text = match row.get(TEXT) {
        Some(Value::Text(text)) => Some(&**text),
        _ => None,
    };
    let score = row.get(SCORE);
    let others = row.values.iter().filter(|(name, _)| !matches!(&**name, SCORE | TEXT));
    let json = encoded(&others.cloned().collect::<Values>())?;
    let score_value = number_of(score);
    statement.execute(params![
        row.entity.as_str(),
        at,
        row.digest(table),
        text,
        score_value,
        json,
        score.is_some()
    ])
}

fn write_event(
    statement: &mut Statement<'_>,
    row: &RawRow,
    table: &RawTable,
    name: &str,
) -> rusqlite::Result<usize> {
    let at = to_micros(row.timestamp).as_microsecond();
    statement.execute(params![name, row.entity.as_str(), at, row.digest(table), encoded(&row.values)?])
}

fn number_of(value: Option<&Value<'_>>) -> Option<f64> {
    match value {
        Some(Value::Number(x)) => Some(*x),
        _ => None,
    }
}

fn encoded(values: &Values) -> rusqlite::Result<String> {
    stored::encode(stored::pairs(values))
        .map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))
}

/// One slot an entity, in order: its rows as far back as asked.
pub(super) fn read(connection: &Connection, request: &RawRequest) -> Result<Vec<RawSlot>, RetrieveError> {
    request.entities.iter().map(|entity| read_one(connection, request, entity)).collect()
}

fn read_one(
    connection: &Connection,
    request: &RawRequest,
    entity: &Entity,
) -> Result<RawSlot, RetrieveError> {
    request.check_deadline()?;
    let mut rows = Vec::new();
    let until = to_micros(request.until.unwrap_or(Timestamp::MAX)).as_microsecond();
    let Depth { since, rows: before } = request.depth;
    let since = since.map_or(i64::MAX, |since| to_micros(since).as_microsecond());
    // One row more than asked tells whether older ones are there.
    let limit = i64::try_from(before).unwrap_or(i64::MAX).saturating_add(1);
    if let Err(unreadable) = scan(connection, &request.table, entity, (since, until), i64::MAX, &mut rows)? {
        return Ok(Err(unreadable));
    }
    let later = rows.len();
    let earlier = (i64::MIN, since.min(until));
    if let Err(unreadable) = scan(connection, &request.table, entity, earlier, limit, &mut rows)? {
        return Ok(Err(unreadable));
    }
    let complete = rows.len() - later <= before;
    if !complete {
        rows.pop();
    }
    // Both scans give the newest first.
    rows.reverse();
    let frame = request.table.columns(rows.into_iter());
    let rows = frame.map(|frame| RawRows { frame, complete });
    Ok(rows.map_err(|source| Unreadable::new(request.table.name(), entity, source.into())))
}

/// Rows later than `span.0` and not later than `span.1`, the newest first, `limit` at most; or which cannot be read.
fn scan(
    connection: &Connection,
    table: &RawTable,
    entity: &Entity,
    span: (i64, i64),
    limit: i64,
    rows: &mut Vec<(Timestamp, Values)>,
) -> Result<Result<(), Unreadable>, RetrieveError> {
    match table {
        RawTable::Price => {
            let sql = "SELECT timestamp, open, high, low, close, volume FROM price_data
                WHERE symbol = ?1 AND timestamp > ?2 AND timestamp <= ?3 ORDER BY timestamp DESC LIMIT ?4";
            collect(connection, sql, params![entity.as_str(), span.0, span.1, limit], (table, entity), rows)
        }
        RawTable::Sentiment => {
            let sql = "SELECT timestamp, scores, text, score FROM sentiment_data
                WHERE symbol = ?1 AND timestamp > ?2 AND timestamp <= ?3 ORDER BY timestamp DESC, digest DESC LIMIT ?4";
            collect(connection, sql, params![entity.as_str(), span.0, span.1, limit], (table, entity), rows)
        }
        RawTable::Events(name) => {
            let sql = "SELECT timestamp, columns FROM raw_data WHERE table_name = ?5 AND
                entity = ?1 AND timestamp > ?2 AND timestamp <= ?3 ORDER BY timestamp DESC, digest DESC LIMIT ?4";
            let sought = params![entity.as_str(), span.0, span.1, limit, &**name];
            collect(connection, sql, sought, (table, entity), rows)
        }
    }
}

fn collect(
    connection: &Connection,
    sql: &str,
    sought: impl Params,
    (table, entity): (&RawTable, &Entity),
    rows: &mut Vec<(Timestamp, Values)>,
) -> Result<Result<(), Unreadable>, RetrieveError> {
    let failed = failing("read raw rows");
    let names: Vec<Arc<str>> = PRICE_COLUMNS.iter().map(|name| Arc::from(*name)).collect();
    let (text, score): (Arc<str>, Arc<str>) = (TEXT.into(), SCORE.into());
    let mut statement = connection.prepare_cached(sql).map_err(&failed)?;
    let mut found = statement.query(sought).map_err(&failed)?;
    while let Some(row) = found.next().map_err(&failed)? {
        let decoded = || -> Result<(Timestamp, Values), Cause> {
            let at = timestamp(row.get(0)?)?;
            if *table == RawTable::Price {
                let number = |(i, name): (usize, &Arc<str>)| Ok((Arc::clone(name), number(row, i + 1)?));
                return Ok((at, names.iter().enumerate().map(number).collect::<rusqlite::Result<_>>()?));
            }
            let mut values = stored::decode(row.get_ref(1)?.as_str()?.as_bytes(), &[])?;
            if *table == RawTable::Sentiment {
                let said: Option<String> = row.get(2)?;
                let said = said.map_or(Value::Missing, |said| Value::Text(said.into()));
                values.push((Arc::clone(&text), said));
                values.push((Arc::clone(&score), number(row, 3)?));
            }
            Ok((at, values))
        };
        match decoded() {
            Ok(row) => rows.push(row),
            Err(source) => return Ok(Err(Unreadable::new(table.name(), entity, source))),
        }
    }
    Ok(Ok(()))
}

fn number(row: &Row<'_>, column: usize) -> rusqlite::Result<Value<'static>> {
    Ok(row.get::<_, Option<f64>>(column)?.map_or(Value::Missing, Value::from))
}

/// The entities of which a table has rows, in order. The skip from one to the next is a look-up in the primary key, where
/// `DISTINCT` would read every row.
pub(super) fn entities(
    connection: &Connection,
    table: &RawTable,
    after: Option<&Entity>,
    limit: usize,
) -> Result<Vec<Entity>, RetrieveError> {
    let failed = failing("list entities");
    let sql = match table {
        RawTable::Price => {
            "SELECT symbol FROM price_data WHERE symbol > ?1 AND ?2 <> '' ORDER BY symbol LIMIT 1"
        }
        RawTable::Sentiment => {
            "SELECT symbol FROM sentiment_data WHERE symbol > ?1 AND ?2 <> '' ORDER BY symbol LIMIT 1"
        }
        RawTable::Events(_) => {
            "SELECT entity FROM raw_data WHERE entity > ?1 AND table_name = ?2 ORDER BY entity LIMIT 1"
        }
    };
    let mut statement = connection.prepare_cached(sql).map_err(&failed)?;
    let mut next =
        |after: &str| match statement.query_row([after, table.name()], |row| row.get::<_, String>(0)) {
            Ok(entity) => entity
                .parse::<Entity>()
                .map(Some)
                .map_err(|error| rusqlite::Error::FromSqlConversionFailure(0, Type::Text, Box::new(error))),
            Err(rusqlite::Error::QueryReturnedNoRows) => Ok(None),
            Err(error) => Err(error),
        };
    let mut entities: Vec<Entity> = Vec::new();
    while entities.len() < limit {
        let after = entities.last().or(after).map_or("", Entity::as_str);
        let Some(entity) = next(after).map_err(&failed)? else { break };
        entities.push(entity);
    }
    Ok(entities)
}
