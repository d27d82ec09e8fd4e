//! The raw tables `price_data` and `sentiment_data`: upserts, and reading one entity's rows as a frame.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use rusqlite::types::Type;
use rusqlite::{Connection, Row, Transaction, params};

use super::feature::timestamp;
use super::{reading, writing};
use crate::frame::Frame;
use crate::name::Entity;
use crate::raw::{self, PRICE_COLUMNS, PriceRow, RawTable, SCORE, Scores, SentimentRow};
use crate::store::{Cause, RetrieveError, WriteError};

const PRICE_UPSERT: &str = "INSERT INTO price_data VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT DO UPDATE SET
    open = excluded.open, high = excluded.high, low = excluded.low, close = excluded.close, volume = excluded.volume";

/// `?7` tells whether the row names `score` at all; one that does not leaves the stored score alone, as `json_patch` does
/// with the other scores.
const SENTIMENT_UPSERT: &str =
    "INSERT INTO sentiment_data VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT DO UPDATE SET
    score = CASE WHEN ?7 THEN excluded.score ELSE score END,
    scores = json_patch(scores, excluded.scores)";

pub(super) fn write_prices(transaction: &Transaction<'_>, rows: &[PriceRow]) -> Result<(), WriteError> {
    let failed = writing("write prices");
    let mut statement = transaction.prepare_cached(PRICE_UPSERT).map_err(&failed)?;
    for row in rows {
        let columns = PRICE_COLUMNS.iter().zip(row.values);
        finite(&row.symbol, row.timestamp, columns.map(|(name, x)| (*name, x)))?;
        let [open, high, low, close, volume] = row.values;
        let at = crate::timestamp::to_micros(row.timestamp).as_microsecond();
        statement
            .execute(params![row.symbol.as_str(), at, open, high, low, close, volume])
            .map_err(&failed)?;
    }
    Ok(())
}

pub(super) fn write_sentiment(
    transaction: &Transaction<'_>,
    rows: &[SentimentRow],
) -> Result<(), WriteError> {
    let failed = writing("write sentiment");
    let mut statement = transaction.prepare_cached(SENTIMENT_UPSERT).map_err(&failed)?;
    for row in rows {
        finite(&row.symbol, row.timestamp, row.scores.iter().map(|(name, x)| (&**name, *x)))?;
        let at = crate::timestamp::to_micros(row.timestamp).as_microsecond();
        let score = row.scores.iter().find(|(name, _)| &**name == SCORE).map(|(_, x)| *x);
        let others = row.scores.iter().filter(|(name, _)| &**name != SCORE);
        let others: BTreeMap<&str, f64> = others.map(|(name, x)| (&**name, *x)).collect();
        let json = serde_json::to_string(&others)
            .map_err(|error| failed(rusqlite::Error::ToSqlConversionFailure(error.into())))?;
        statement
            .execute(params![row.symbol.as_str(), at, row.digest(), row.text, score, json, score.is_some()])
            .map_err(&failed)?;
    }
    Ok(())
}

fn finite<'a>(
    symbol: &Entity,
    timestamp: Timestamp,
    mut columns: impl Iterator<Item = (&'a str, f64)>,
) -> Result<(), WriteError> {
    match columns.find(|(_, x)| x.is_infinite()) {
        Some((name, x)) => {
            let (entity, column) = (symbol.clone(), name.to_owned());
            Err(WriteError::NotStorable { entity, timestamp, column, got: x.to_string() })
        }
        None => Ok(()),
    }
}

pub(super) fn read_prices(connection: &Connection, symbol: &Entity) -> Result<Frame, RetrieveError> {
    let failed = reading("read prices");
    let sql = "SELECT timestamp, open, high, low, close, volume FROM price_data WHERE symbol = ?1";
    let mut statement = connection.prepare_cached(sql).map_err(&failed)?;
    let price = |row: &Row<'_>| {
        let mut values = [f64::NAN; PRICE_COLUMNS.len()];
        for (i, value) in values.iter_mut().enumerate() {
            *value = number(row, i + 1)?;
        }
        Ok(PriceRow { symbol: symbol.clone(), timestamp: timestamp(row.get(0)?)?, values })
    };
    let rows = statement.query_map([symbol.as_str()], price).and_then(Iterator::collect);
    let rows: Vec<PriceRow> = rows.map_err(&failed)?;
    raw::price_frame(&rows, symbol).map_err(|source| corrupt(RawTable::Price, symbol, source.into()))
}

pub(super) fn read_sentiment(connection: &Connection, symbol: &Entity) -> Result<Frame, RetrieveError> {
    let failed = reading("read sentiment");
    let sql =
        "SELECT timestamp, score, scores FROM sentiment_data WHERE symbol = ?1 ORDER BY timestamp, digest";
    let mut statement = connection.prepare_cached(sql).map_err(&failed)?;
    let wrong = |source: Cause| corrupt(RawTable::Sentiment, symbol, source);
    let mut read: Vec<(Timestamp, Scores)> = Vec::new();
    let mut rows = statement.query([symbol.as_str()]).map_err(&failed)?;
    while let Some(row) = rows.next().map_err(&failed)? {
        let at = row.get(0).and_then(timestamp).map_err(&failed)?;
        let json = row.get_ref(2).and_then(|text| Ok(text.as_str()?)).map_err(&failed)?;
        let others: BTreeMap<String, Option<f64>> =
            serde_json::from_str(json).map_err(|error| wrong(error.into()))?;
        let mut scores = vec![(Arc::from(SCORE), number(row, 1).map_err(&failed)?)];
        scores.extend(others.into_iter().map(|(name, x)| (name.into(), x.unwrap_or(f64::NAN))));
        read.push((at, scores));
    }
    raw::sentiment_columns(read.into_iter()).map_err(|source| wrong(source.into()))
}

fn number(row: &Row<'_>, column: usize) -> rusqlite::Result<f64> {
    Ok(row.get::<_, Option<f64>>(column)?.unwrap_or(f64::NAN))
}

fn corrupt(table: RawTable, entity: &Entity, source: Cause) -> RetrieveError {
    RetrieveError::Corrupt { table: table.name().to_owned(), entity: entity.clone(), source }
}

/// The symbols of which a table has rows, in order. The skip from one symbol to the next is a look-up in the primary key,
/// where `DISTINCT` would read every row.
pub(super) fn entities(connection: &Connection, table: RawTable) -> Result<Vec<Entity>, RetrieveError> {
    let failed = reading("list entities");
    let sql = match table {
        RawTable::Price => "SELECT symbol FROM price_data WHERE symbol > ?1 ORDER BY symbol LIMIT 1",
        RawTable::Sentiment => "SELECT symbol FROM sentiment_data WHERE symbol > ?1 ORDER BY symbol LIMIT 1",
    };
    let mut statement = connection.prepare_cached(sql).map_err(&failed)?;
    let mut next = |after: &str| match statement.query_row([after], |row| row.get::<_, String>(0)) {
        Ok(symbol) => symbol
            .parse::<Entity>()
            .map(Some)
            .map_err(|error| rusqlite::Error::FromSqlConversionFailure(0, Type::Text, Box::new(error))),
        Err(rusqlite::Error::QueryReturnedNoRows) => Ok(None),
        Err(error) => Err(error),
    };
    let mut entities: Vec<Entity> = Vec::new();
    while let Some(entity) = next(entities.last().map_or("", Entity::as_str)).map_err(&failed)? {
        entities.push(entity);
    }
    Ok(entities)
}
