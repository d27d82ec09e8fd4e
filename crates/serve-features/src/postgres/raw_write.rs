//! Writing the raw tables: rows as arrays, one a column, and states that do not know them forgotten in the same transaction.
//! Rows of one batch with the same key become one first, as if they had come one by one: an upsert takes each key once.

use std::collections::BTreeMap;

use serve_core::Value;
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

use super::failure::Failure;
use super::feature::encode;
use super::pool::Lent;
use super::value::{JsonText, Moment};
use super::{CHUNK, has_nul, state};
use crate::raw::{PRICE_COLUMNS, RawRow, RawTable, SCORE, TEXT, merge};
use crate::store::{WriteError, check_raw};
use crate::stored::pairs;

const PRICES: &str = "INSERT INTO price_data (symbol, timestamp, open, high, low, close, volume)
    SELECT * FROM unnest($1::text[], $2::timestamptz[],
        $3::float8[], $4::float8[], $5::float8[], $6::float8[], $7::float8[])
    ON CONFLICT (symbol, timestamp) DO UPDATE SET open = excluded.open, high = excluded.high, low = excluded.low,
        close = excluded.close, volume = excluded.volume
    WHERE (price_data.open, price_data.high, price_data.low, price_data.close, price_data.volume) IS DISTINCT FROM
        (excluded.open, excluded.high, excluded.low, excluded.close, excluded.volume)
    RETURNING symbol, timestamp";

const SCORED: &str = "INSERT INTO sentiment_data AS known (symbol, timestamp, digest, text, scores, score)
    SELECT * FROM unnest($1::text[], $2::timestamptz[], $3::text[], $4::text[], $5::jsonb[], $6::float8[])
    ON CONFLICT (symbol, timestamp, digest) DO UPDATE SET
        scores = known.scores || excluded.scores, score = excluded.score
    WHERE (known.scores, known.score) IS DISTINCT FROM (known.scores || excluded.scores, excluded.score)
    RETURNING symbol, timestamp";

/// For rows that do not name `score`: one that is there stays.
const UNSCORED: &str = "INSERT INTO sentiment_data AS known (symbol, timestamp, digest, text, scores)
    SELECT * FROM unnest($1::text[], $2::timestamptz[], $3::text[], $4::text[], $5::jsonb[])
    ON CONFLICT (symbol, timestamp, digest) DO UPDATE SET scores = known.scores || excluded.scores
    WHERE known.scores IS DISTINCT FROM known.scores || excluded.scores
    RETURNING symbol, timestamp";

const EVENTS: &str = "INSERT INTO raw_data (table_name, entity, timestamp, digest, columns)
    SELECT $1, * FROM unnest($2::text[], $3::timestamptz[], $4::text[], $5::jsonb[]) ON CONFLICT DO NOTHING
    RETURNING entity, timestamp";

/// Rows as columns; those that a table lacks stay empty.
#[derive(Debug, Default)]
pub(super) struct Columns {
    sql: &'static str,
    table: String,
    entities: Vec<String>,
    moments: Vec<Moment>,
    digests: Vec<String>,
    texts: Vec<Option<String>>,
    json: Vec<JsonText>,
    numbers: [Vec<Option<f64>>; PRICE_COLUMNS.len()],
}

/// What is written: rows of one table.
#[derive(Debug)]
pub(super) struct Batch(Vec<Columns>);

impl Batch {
    /// # Errors
    /// A row that the table or PostgreSQL cannot hold.
    pub(super) fn new(table: &RawTable, rows: &[RawRow]) -> Result<Self, WriteError> {
        let mut merged: BTreeMap<_, RawRow> = BTreeMap::new();
        for row in rows {
            check_raw(table, row)?;
            check_text(table, row)?;
            let key = (row.entity.clone(), Moment::of(row.timestamp).micros(), row.digest(table));
            match (table, merged.get_mut(&key)) {
                (RawTable::Sentiment, Some(known)) => merge(&mut known.values, row.values.iter().cloned()),
                (_, Some(known)) => *known = row.clone(),
                (_, None) => drop(merged.insert(key, row.clone())),
            }
        }
        let new = |sql| Columns { sql, table: table.name().to_owned(), ..Columns::default() };
        let mut columns = match table {
            RawTable::Price => vec![new(PRICES)],
            RawTable::Sentiment => vec![new(SCORED), new(UNSCORED)],
            RawTable::Events(_) => vec![new(EVENTS)],
        };
        for ((_, _, digest), row) in merged {
            let unscored = *table == RawTable::Sentiment && row.get(SCORE).is_none();
            columns[usize::from(unscored)].push(table, row, digest);
        }
        Ok(Self(columns))
    }

    /// Inserts and replaces in one transaction, and forgets states that do not know what was not there before.
    pub(super) async fn write(&self, lent: &mut Lent<'_>) -> Result<(), Failure> {
        let mut statements = Vec::new();
        for columns in &self.0 {
            statements.push(lent.connection().statement(columns.sql).await?);
        }
        let forget = lent.connection().statement(state::FORGET).await?;
        let transaction = lent.connection().client.transaction().await?;
        let mut unknown: BTreeMap<String, Moment> = BTreeMap::new();
        for (columns, statement) in self.0.iter().zip(&statements) {
            for from in (0..columns.entities.len()).step_by(CHUNK) {
                for row in columns.send(&transaction, statement, from).await? {
                    let at = row.try_get::<_, Moment>(1)?;
                    unknown.entry(row.try_get(0)?).and_modify(|first| *first = at.min(*first)).or_insert(at);
                }
            }
        }
        let entities: Vec<&str> = unknown.keys().map(String::as_str).collect();
        let moments: Vec<Moment> = unknown.values().copied().collect();
        transaction.execute(&forget, &[&entities, &moments]).await?;
        Ok(transaction.commit().await?)
    }
}

impl Columns {
    fn push(&mut self, table: &RawTable, row: RawRow, digest: String) {
        self.entities.push(row.entity.as_str().to_owned());
        self.moments.push(Moment::of(row.timestamp));
        match table {
            RawTable::Price => {
                for (numbers, name) in self.numbers.iter_mut().zip(PRICE_COLUMNS) {
                    numbers.push(number(row.get(name)));
                }
                return;
            }
            RawTable::Sentiment => {
                self.numbers[0].push(number(row.get(SCORE)));
                self.texts.push(match row.get(TEXT) {
                    Some(Value::Text(text)) => Some(text.clone().into_owned()),
                    _ => None,
                });
                let mut others = row.values;
                others.retain(|(name, _)| !matches!(&**name, SCORE | TEXT));
                self.json.push(JsonText(encode(pairs(&others))));
            }
            RawTable::Events(_) => self.json.push(JsonText(encode(pairs(&row.values)))),
        }
        self.digests.push(digest);
    }

    async fn send(
        &self,
        transaction: &tokio_postgres::Transaction<'_>,
        statement: &tokio_postgres::Statement,
        from: usize,
    ) -> Result<Vec<Row>, Failure> {
        let to = (from + CHUNK).min(self.entities.len());
        let (entities, moments) = (&self.entities[from..to], &self.moments[from..to]);
        let numbers = self.numbers.each_ref().map(|numbers| numbers.get(from..to).unwrap_or_default());
        let digests = self.digests.get(from..to).unwrap_or_default();
        let texts = self.texts.get(from..to).unwrap_or_default();
        let json = self.json.get(from..to).unwrap_or_default();
        let mut sent: Vec<&(dyn ToSql + Sync)> = vec![&entities, &moments];
        match self.sql {
            PRICES => sent.extend(numbers.iter().map(|numbers| -> &(dyn ToSql + Sync) { numbers })),
            EVENTS => {
                sent.insert(0, &self.table);
                sent.extend([&digests as &(dyn ToSql + Sync), &json]);
            }
            scored => {
                sent.extend([&digests as &(dyn ToSql + Sync), &texts, &json]);
                if scored == SCORED {
                    sent.push(&numbers[0]);
                }
            }
        }
        Ok(transaction.query(statement, &sent).await?)
    }
}

/// A number to be stored; NaN is missing.
fn number(value: Option<&Value<'_>>) -> Option<f64> {
    match value {
        Some(Value::Number(x)) if !x.is_nan() => Some(*x),
        _ => None,
    }
}

/// PostgreSQL's texts have no U+0000.
fn check_text(table: &RawTable, row: &RawRow) -> Result<(), WriteError> {
    let Some((name, _)) = row.values.iter().find(|(name, value)| has_nul(name, value)) else { return Ok(()) };
    Err(WriteError::RawNotStorable {
        table: table.clone(),
        entity: row.entity.clone(),
        timestamp: row.timestamp,
        column: name.to_string(),
        expected: "text that PostgreSQL can hold",
        got: "the character U+0000".to_owned(),
    })
}
