//! The raw rows from which features are computed, as files and tables have them, and how they become a [`Frame`].

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use jiff::Timestamp;
use sha2::{Digest, Sha256};

use crate::frame::{Frame, FrameError};
use crate::name::Entity;

/// One row's numbers by column.
pub(crate) type Scores = Vec<(Arc<str>, f64)>;

/// The columns of `price_data` besides its key, in order.
pub(crate) const PRICE_COLUMNS: [&str; 5] = ["open", "high", "low", "close", "volume"];
/// The score that every row of `sentiment_data` has, present or missing.
pub(crate) const SCORE: &str = "score";

/// A raw table, as the declarations name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum RawTable {
    /// `price_data`: open, high, low, close, volume.
    Price,
    /// `sentiment_data`: texts and their scores.
    Sentiment,
}

impl RawTable {
    /// The table of that name.
    ///
    /// ```
    /// use serve_features::RawTable;
    /// assert_eq!(RawTable::named("price_data"), Some(RawTable::Price));
    /// assert_eq!(RawTable::named("prices"), None);
    /// ```
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        [Self::Price, Self::Sentiment].into_iter().find(|table| table.name() == name)
    }

    /// The table's name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Price => "price_data",
            Self::Sentiment => "sentiment_data",
        }
    }
}

/// One candle. NaN is a missing value.
#[derive(Debug, Clone, PartialEq)]
pub struct PriceRow {
    /// Of what.
    pub symbol: Entity,
    /// When; the candle's opening or closing, as its source has it.
    pub timestamp: Timestamp,
    /// `[open, high, low, close, volume]`.
    pub values: [f64; 5],
}

/// What one text, or a whole day's news, says about a symbol.
#[derive(Debug, Clone, PartialEq)]
pub struct SentimentRow {
    /// About what.
    pub symbol: Entity,
    /// When it was published.
    pub timestamp: Timestamp,
    /// The text itself, where it is known.
    pub text: Option<String>,
    /// Numbers by column, `score` among them where there is one; NaN is a missing value.
    pub scores: Vec<(Arc<str>, f64)>,
}

impl SentimentRow {
    /// The text's part of the row's key: SHA-256 in hexadecimal, since texts come from strangers and must not overwrite each
    /// other; empty without a text.
    pub(crate) fn digest(&self) -> String {
        let mut hex = String::new();
        for byte in self.text.as_deref().map(Sha256::digest).into_iter().flatten() {
            // Writing to a string cannot fail.
            let _ = write!(hex, "{byte:02x}");
        }
        hex
    }
}

/// The candles of one symbol, in any order, as a frame with the columns `open high low close volume`.
///
/// # Errors
/// [`FrameError::Duplicate`] for two candles of one moment.
pub fn price_frame(rows: &[PriceRow], symbol: &Entity) -> Result<Frame, FrameError> {
    let mut rows: Vec<&PriceRow> = rows.iter().filter(|row| row.symbol == *symbol).collect();
    rows.sort_by_key(|row| row.timestamp);
    let timestamps = rows.iter().map(|row| row.timestamp).collect();
    let column =
        |(i, name): (usize, &&str)| (Arc::from(*name), rows.iter().map(|row| row.values[i]).collect());
    Frame::new(timestamps, PRICE_COLUMNS.iter().enumerate().map(column).collect())
}

/// The sentiment about one symbol, in any order, as a frame with `score` and every other column that a row has. Rows of one
/// moment stand in the order of their texts' digests, as a store returns them.
///
/// # Errors
/// [`FrameError::Duplicate`] for two rows of one moment and one text.
pub fn sentiment_frame(rows: &[SentimentRow], symbol: &Entity) -> Result<Frame, FrameError> {
    let rows = rows.iter().filter(|row| row.symbol == *symbol);
    let mut keyed: Vec<_> = rows.map(|row| ((row.timestamp, row.digest()), row)).collect();
    keyed.sort_by(|(a, _), (b, _)| a.cmp(b));
    if let Some(i) = keyed.windows(2).position(|pair| pair[0].0 == pair[1].0) {
        return Err(FrameError::Duplicate { row: i + 1, timestamp: keyed[i].1.timestamp });
    }
    sentiment_columns(keyed.iter().map(|(_, row)| (row.timestamp, row.scores.as_slice())))
}

/// Rows in order, as columns by name; a row that lacks a column is missing there.
pub(crate) fn sentiment_columns<S: AsRef<[(Arc<str>, f64)]>>(
    rows: impl Iterator<Item = (Timestamp, S)>,
) -> Result<Frame, FrameError> {
    let mut timestamps = Vec::new();
    let mut columns = BTreeMap::from([(Arc::from(SCORE), Vec::new())]);
    for (timestamp, scores) in rows {
        for (name, x) in scores.as_ref() {
            let column: &mut Vec<f64> = columns.entry(Arc::clone(name)).or_default();
            column.resize(timestamps.len(), f64::NAN);
            column.push(*x);
        }
        timestamps.push(timestamp);
    }
    for column in columns.values_mut() {
        column.resize(timestamps.len(), f64::NAN);
    }
    Frame::events(timestamps, columns.into_iter().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn news(second: i64, text: Option<&str>, scores: &[(&str, f64)]) -> SentimentRow {
        SentimentRow {
            symbol: "BTC/USD".parse().expect("is an entity"),
            timestamp: Timestamp::from_second(second).expect("is in range"),
            text: text.map(str::to_owned),
            scores: scores.iter().map(|(name, x)| (Arc::from(*name), *x)).collect(),
        }
    }

    #[test]
    fn sentiment_of_one_moment_is_ordered_by_its_text_whatever_the_files_order() {
        let symbol = "BTC/USD".parse().expect("is an entity");
        let rows =
            [news(2, Some("b"), &[("score", 2.0)]), news(2, Some("a"), &[("x", 3.0)]), news(1, None, &[])];
        let frame = sentiment_frame(&rows, &symbol).expect("is a frame");
        let mut backwards = rows.to_vec();
        backwards.reverse();
        let other = sentiment_frame(&backwards, &symbol).expect("is a frame");
        assert_eq!(frame.timestamps(), other.timestamps());
        // "b" has the lower digest: 3e23… against ca97….
        assert_eq!(format!("{:?}", frame.column("score")), "Some([NaN, 2.0, NaN])");
        assert_eq!(format!("{:?}", other.column("x")), "Some([NaN, NaN, 3.0])");
    }

    #[test]
    fn one_moment_and_text_twice_is_refused() {
        let symbol = "BTC/USD".parse().expect("is an entity");
        let twice = [news(1, Some("a"), &[]), news(1, Some("a"), &[("score", 1.0)])];
        assert!(matches!(sentiment_frame(&twice, &symbol), Err(FrameError::Duplicate { row: 1, .. })));
    }

    #[test]
    fn a_text_is_named_by_its_sha256() {
        let digest = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(news(1, Some("abc"), &[]).digest(), digest);
        assert_eq!(news(1, None, &[]).digest(), "");
    }
}
