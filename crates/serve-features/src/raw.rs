//! The raw rows from which features are computed, as files and tables have them, and how they become a [`Frame`].
//!
//! Two tables are known by what they mean: `price_data`, a series of candles, and `sentiment_data`, texts and their scores.
//! Every other name is a table of events with columns of the user's own. A row is told from others of its moment by its
//! [digest](RawRow::digest), so that writing the same file twice changes nothing.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serve_core::Value;
use sha2::{Digest, Sha256};

use crate::frame::{Column, Frame, FrameError};
use crate::name::{Entity, NameError, is_table_name};
use crate::timestamp::to_micros;

/// The columns of `price_data` besides its key, in order.
pub(crate) const PRICE_COLUMNS: [&str; 5] = ["open", "high", "low", "close", "volume"];
/// The score that every row of `sentiment_data` has, present or missing.
pub(crate) const SCORE: &str = "score";
/// The column of `sentiment_data` that holds the text itself.
pub(crate) const TEXT: &str = "text";

/// A raw table, as the declarations name it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
#[non_exhaustive]
pub enum RawTable {
    /// `price_data`: open, high, low, close, volume; one row a moment.
    Price,
    /// `sentiment_data`: texts and their scores; several rows may be of one moment.
    Sentiment,
    /// Any other name: events with columns of the user's own; several rows may be of one moment.
    Events(Arc<str>),
}

impl RawTable {
    /// The table's name.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Price => "price_data",
            Self::Sentiment => "sentiment_data",
            Self::Events(name) => name,
        }
    }

    /// Whether a row may have this value in this column; what was expected, if not.
    ///
    /// # Errors
    /// What the column holds, for an error message.
    pub fn check(&self, column: &str, value: &Value<'_>) -> Result<(), &'static str> {
        match (self, value) {
            (_, Value::Number(x)) if x.is_infinite() => Err("a finite number, or nothing"),
            (Self::Price, _) if !PRICE_COLUMNS.contains(&column) => {
                Err("one of the columns `open`, `high`, `low`, `close`, `volume`")
            }
            (_, Value::Missing) => Ok(()),
            (Self::Sentiment, Value::Text(_)) if column == TEXT => Ok(()),
            (Self::Sentiment, _) if column == TEXT => Err("a text, or nothing"),
            (_, Value::Number(_)) => Ok(()),
            (Self::Events(_), Value::Text(_) | Value::Bool(_)) => Ok(()),
            (Self::Events(_), _) => Err("a finite number, a boolean, text or nothing"),
            (Self::Price | Self::Sentiment, _) => Err("a finite number, or nothing"),
        }
    }

    /// The rows of one entity, in any order, as a frame: oldest first, rows of one moment in the order of their digests, as
    /// every store returns them. A row that lacks a column is missing there; booleans are 0 and 1.
    ///
    /// ```
    /// use serve_features::{RawTable, read_raw};
    /// let csv = "symbol,timestamp,open,high,low,close,volume\nBTC/USD,2019-01-01,1,2,0.5,1.5,\n";
    /// let rows = read_raw(&RawTable::Price, csv.as_bytes())?;
    /// let frame = RawTable::Price.frame(&rows, &"BTC/USD".parse()?)?;
    /// assert_eq!(frame.column("close"), Some(&[1.5][..]));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`FrameError`]: two rows of one moment and digest.
    pub fn frame(&self, rows: &[RawRow], entity: &Entity) -> Result<Frame, FrameError> {
        let rows = rows.iter().filter(|row| row.entity == *entity);
        let mut keyed: Vec<_> = rows.map(|row| ((row.timestamp, row.digest(self)), row)).collect();
        keyed.sort_by(|(a, _), (b, _)| a.cmp(b));
        if let Some(i) = keyed.windows(2).position(|pair| pair[0].0 == pair[1].0) {
            return Err(FrameError::Duplicate { row: i + 1, timestamp: keyed[i].1.timestamp });
        }
        self.columns(keyed.iter().map(|(_, row)| (row.timestamp, row.values.as_slice())))
    }

    /// Rows in order, as columns by name.
    pub(crate) fn columns<V: AsRef<[(Arc<str>, Value<'static>)]>>(
        &self,
        rows: impl Iterator<Item = (Timestamp, V)>,
    ) -> Result<Frame, FrameError> {
        let always: &[&str] = match self {
            Self::Price => &PRICE_COLUMNS,
            Self::Sentiment => &[SCORE],
            Self::Events(_) => &[],
        };
        let mut timestamps = Vec::new();
        let mut columns: BTreeMap<Arc<str>, Column> =
            always.iter().map(|name| (Arc::from(*name), Column::Numbers(Vec::new()))).collect();
        if *self == Self::Sentiment {
            columns.insert(TEXT.into(), Column::Texts(Vec::new()));
        }
        for (timestamp, values) in rows {
            for (name, value) in values.as_ref() {
                let column = columns.entry(Arc::clone(name)).or_insert_with(|| Column::like(value));
                column.set(timestamps.len(), value);
            }
            timestamps.push(timestamp);
        }
        for column in columns.values_mut() {
            column.resize(timestamps.len());
        }
        Frame::of(timestamps, columns.into_iter().collect())
    }
}

impl FromStr for RawTable {
    type Err = NameError;

    fn from_str(name: &str) -> Result<Self, NameError> {
        match name {
            "price_data" => Ok(Self::Price),
            "sentiment_data" => Ok(Self::Sentiment),
            other if is_table_name(other) => Ok(Self::Events(other.into())),
            other => Err(NameError::table(other)),
        }
    }
}

impl TryFrom<String> for RawTable {
    type Error = NameError;

    fn try_from(name: String) -> Result<Self, NameError> {
        name.parse()
    }
}

impl From<RawTable> for String {
    fn from(table: RawTable) -> Self {
        table.name().to_owned()
    }
}

impl fmt::Display for RawTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// One raw row: a candle, a text with its scores, an event.
#[derive(Debug, Clone, PartialEq)]
pub struct RawRow {
    /// Of what.
    pub entity: Entity,
    /// When, as its source has it.
    pub timestamp: Timestamp,
    /// Values by column.
    pub values: Vec<(Arc<str>, Value<'static>)>,
}

impl RawRow {
    /// A row; its timestamp is cut down to microseconds, which every store keeps.
    #[must_use]
    pub fn new(entity: Entity, timestamp: Timestamp, values: Vec<(Arc<str>, Value<'static>)>) -> Self {
        Self { entity, timestamp: to_micros(timestamp), values }
    }

    /// The named value.
    #[must_use]
    pub fn get(&self, column: &str) -> Option<&Value<'static>> {
        self.values.iter().find(|(name, _)| &**name == column).map(|(_, value)| value)
    }

    /// What tells the row from others of its entity and moment, SHA-256 in hexadecimal since texts come from strangers and
    /// must not overwrite each other: nothing for a candle, the text of a sentiment row (empty without one), all columns
    /// but the missing of an event, by name.
    #[must_use]
    pub fn digest(&self, table: &RawTable) -> String {
        match table {
            RawTable::Price => String::new(),
            RawTable::Sentiment => match self.get(TEXT) {
                Some(Value::Text(text)) => hex(&Sha256::digest(text.as_bytes())),
                _ => String::new(),
            },
            RawTable::Events(_) => {
                let mut values: Vec<_> =
                    self.values.iter().filter(|(_, value)| *value != Value::Missing).collect();
                values.sort_by(|(a, _), (b, _)| a.cmp(b));
                let mut sha = Sha256::new();
                for (name, value) in values {
                    // Lengths keep two columns from being told as one.
                    let value = match value {
                        Value::Number(x) => format!("n{x:?}"),
                        Value::Bool(x) => format!("b{x}"),
                        Value::Text(text) => format!("t{text}"),
                        Value::Missing | Value::Other(_) => String::new(),
                    };
                    sha.update(format!("{}:{name}{}:{value}", name.len(), value.len()));
                }
                hex(&sha.finalize())
            }
        }
    }
}

/// New scores over old ones; what the new row does not name stays.
pub(crate) fn merge(
    stored: &mut Vec<(Arc<str>, Value<'static>)>,
    new: impl IntoIterator<Item = (Arc<str>, Value<'static>)>,
) {
    for (name, value) in new {
        match stored.iter_mut().find(|(known, _)| *known == name) {
            Some((_, old)) => *old = value,
            None => stored.push((name, value)),
        }
    }
}

/// Bytes in hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut hex, byte| {
        for digit in [byte >> 4, byte & 15] {
            hex.push(char::from_digit(u32::from(digit), 16).unwrap_or('0'));
        }
        hex
    })
}

/// A frame's rows as they may be written.
pub(crate) fn rows_of(frame: &Frame, entity: &Entity) -> Vec<RawRow> {
    let value = |name: &str, i: usize| match (frame.column(name), frame.texts(name)) {
        (Some(numbers), None) => Value::from(numbers[i]),
        (Some(numbers), _) if !numbers[i].is_nan() => Value::from(numbers[i]),
        (_, Some(texts)) => match &texts[i] {
            Some(text) => Value::Text(text.to_string().into()),
            None => Value::Missing,
        },
        (None, None) => Value::Missing,
    };
    let row = |(i, at): (usize, &Timestamp)| {
        let values = frame.names().map(|name| (Arc::from(name), value(name, i))).collect();
        RawRow::new(entity.clone(), *at, values)
    };
    frame.timestamps().iter().enumerate().map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn news(second: i64, text: Option<&str>, scores: &[(&str, f64)]) -> RawRow {
        let text = text.map(|text| (Arc::from(TEXT), Value::Text(text.to_owned().into())));
        let scores = scores.iter().map(|(name, x)| (Arc::from(*name), Value::from(*x)));
        let at = Timestamp::from_second(second).expect("is in range");
        RawRow::new("BTC/USD".parse().expect("is an entity"), at, text.into_iter().chain(scores).collect())
    }

    #[test]
    fn sentiment_of_one_moment_is_ordered_by_its_text_whatever_the_files_order() {
        let symbol = "BTC/USD".parse().expect("is an entity");
        let rows =
            [news(2, Some("b"), &[("score", 2.0)]), news(2, Some("a"), &[("x", 3.0)]), news(1, None, &[])];
        let frame = RawTable::Sentiment.frame(&rows, &symbol).expect("is a frame");
        let mut backwards = rows.to_vec();
        backwards.reverse();
        let other = RawTable::Sentiment.frame(&backwards, &symbol).expect("is a frame");
        assert_eq!(frame.timestamps(), other.timestamps());
        // "b" has the lower digest: 3e23… against ca97….
        assert_eq!(format!("{:?}", frame.column("score")), "Some([NaN, 2.0, NaN])");
        assert_eq!(format!("{:?}", other.column("x")), "Some([NaN, NaN, 3.0])");
        assert_eq!(frame.texts("text"), Some(&[None, Some("b".into()), Some("a".into())][..]));
    }

    #[test]
    fn one_moment_and_text_twice_is_refused() {
        let symbol = "BTC/USD".parse().expect("is an entity");
        let twice = [news(1, Some("a"), &[]), news(1, Some("a"), &[("score", 1.0)])];
        let frame = RawTable::Sentiment.frame(&twice, &symbol);
        assert!(matches!(frame, Err(FrameError::Duplicate { row: 1, .. })));
    }

    #[test]
    fn a_text_is_named_by_its_sha256() {
        let digest = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(news(1, Some("abc"), &[]).digest(&RawTable::Sentiment), digest);
        assert_eq!(news(1, None, &[]).digest(&RawTable::Sentiment), "");
    }

    #[test]
    fn an_event_is_named_by_its_values_whatever_their_order() {
        let table: RawTable = "payments".parse().expect("is a table");
        let (one, two) = (news(1, Some("a"), &[("x", 1.0)]), news(1, Some("a"), &[("x", 2.0)]));
        let mut turned = one.clone();
        turned.values.reverse();
        turned.values.push(("gone".into(), Value::Missing));
        assert_eq!(one.digest(&table), turned.digest(&table));
        assert_ne!(one.digest(&table), two.digest(&table));
    }

    #[test]
    fn a_table_has_a_plain_name() {
        for name in ["payments", "price_data", "a1_b"] {
            assert_eq!(name.parse::<RawTable>().map(|table| table.to_string()), Ok(name.to_owned()));
        }
        for name in ["", "1a", "A", "a-b", "a.b", "a; drop table x", &"a".repeat(64)] {
            assert!(name.parse::<RawTable>().is_err(), "{name}");
        }
    }
}
