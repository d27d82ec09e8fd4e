//! Rows of a file, in batches, so that a file larger than the memory can be read. A bad row is named with its line, column
//! and value. A row that stands there twice is refused, as far back as [`REMEMBERED`] rows.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use super::records::Records;
use super::rows::{ColumnKind, ReadyRows, Rows};
use super::{FileError, Place};
use crate::raw::{RawRow, RawTable};
use crate::row::FeatureRow;

/// So many rows are remembered to find one that repeats them: some 200 MB.
const REMEMBERED: usize = 4_000_000;

/// A file's rows, one batch after the other.
pub struct RowReader<'i, R: Rows> {
    rows: R,
    records: Records<'i>,
    entity: usize,
    timestamp: usize,
    columns: Vec<(usize, Arc<str>, ColumnKind)>,
    seen: HashMap<u128, Place>,
}

impl<'i, R: Rows> RowReader<'i, R> {
    /// Rows of a CSV.
    ///
    /// # Errors
    /// [`FileError`]: no header, or not the columns that these rows have.
    pub fn csv(rows: R, input: impl Read + Send + 'i) -> Result<Self, FileError> {
        let records = Records::csv(Box::new(input), rows.expected())?;
        Self::of(rows, records)
    }

    /// Rows of a file: Parquet if it begins like one, else CSV.
    ///
    /// # Errors
    /// [`FileError`]: also when it cannot be opened.
    pub fn open(rows: R, path: impl AsRef<Path>) -> Result<Self, FileError> {
        let records = Records::open(path.as_ref(), rows.expected())?;
        Self::of(rows, records)
    }

    fn of(rows: R, records: Records<'i>) -> Result<Self, FileError> {
        let entity = if rows.has_symbols() {
            records.column("symbol").or_else(|lacks| records.column("entity").map_err(|_| lacks))?
        } else {
            records.column("entity")?
        };
        let timestamp = records.column("timestamp")?;
        let mut columns = Vec::new();
        for (column, name) in records.names().iter().enumerate() {
            if column == entity || column == timestamp {
                continue;
            }
            columns.push((column, Arc::from(name.as_str()), rows.kind(name)));
        }
        if let Some(exactly) = rows.exactly() {
            for name in exactly {
                records.column(name)?;
            }
            if let Some((_, other, _)) = columns.iter().find(|(_, name, _)| !exactly.contains(&&**name)) {
                return Err(records.refuse("an unknown", other));
            }
        }
        Ok(Self { rows, records, entity, timestamp, columns, seen: HashMap::new() })
    }

    /// The names of the value columns, in the file's order.
    pub fn columns(&self) -> impl Iterator<Item = &str> {
        self.columns.iter().map(|(_, name, _)| &**name)
    }

    /// Whether a value column holds whole numbers by its type; `None` where there is no such column, and where the file's
    /// format has no types, as a CSV's.
    #[must_use]
    pub fn is_whole(&self, name: &str) -> Option<bool> {
        let (column, ..) = self.columns.iter().find(|(_, known, _)| **known == *name)?;
        self.records.is_whole(*column)
    }

    /// The next rows, at most so many; none at the end.
    ///
    /// # Errors
    /// [`FileError`] for the first row that is wrong, or that was there before.
    pub fn next_batch(&mut self, most: usize) -> Result<Vec<R::Row>, FileError> {
        let mut batch = Vec::new();
        while batch.len() < most && self.records.advance()? {
            let mut values = Vec::with_capacity(self.columns.len());
            for (column, name, kind) in &self.columns {
                let value = match kind {
                    ColumnKind::Number => self.records.number(*column)?,
                    ColumnKind::Text => self.records.text(*column)?,
                    ColumnKind::Any => self.records.any(*column)?,
                    ColumnKind::Exact => self.records.exact(*column)?,
                };
                values.push((Arc::clone(name), value));
            }
            let (entity, timestamp) =
                (self.records.entity(self.entity)?, self.records.timestamp(self.timestamp)?);
            let row = self.rows.row(entity, timestamp, values);
            self.check_repeated(&row)?;
            batch.push(row);
        }
        Ok(batch)
    }

    /// Goes over rows without reading them; how many were there.
    ///
    /// # Errors
    /// [`FileError`] where the file itself is broken.
    pub fn skip(&mut self, rows: u64) -> Result<u64, FileError> {
        let mut skipped = 0;
        while skipped < rows && self.records.advance()? {
            skipped += 1;
        }
        Ok(skipped)
    }

    /// Where the row stands that was read last.
    #[must_use]
    pub fn place(&self) -> Place {
        self.records.place()
    }

    fn check_repeated(&mut self, row: &R::Row) -> Result<(), FileError> {
        if self.seen.len() >= REMEMBERED || !self.rows.once() {
            return Ok(());
        }
        let identity = self.rows.identity(row);
        let hash = |salt: u8| {
            let mut hasher = DefaultHasher::new();
            (salt, &identity).hash(&mut hasher);
            u128::from(hasher.finish())
        };
        let place = self.records.place();
        match self.seen.insert(hash(0) << 64 | hash(1), place) {
            Some(first) => Err(FileError::Repeated { place, first, key: self.rows.key() }),
            None => Ok(()),
        }
    }
}

impl<R: Rows> std::fmt::Debug for RowReader<'_, R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RowReader").field("columns", &self.columns).finish_non_exhaustive()
    }
}

/// Reads raw rows of a CSV, all of them. Candles have all seven columns and no others, an empty number is missing. Of
/// sentiment, `text` may be missing, and every other column holds numbers. Events have any columns: what reads as a number is
/// one, `true` and `false` are booleans, everything else is text.
///
/// # Errors
/// [`FileError`] for the first line that is wrong, and for two lines that are the same row.
///
/// ```
/// use serve_features::{RawTable, read_raw};
/// let csv = "symbol,timestamp,text,finbert\nBTC/USD,2019-01-01,To the moon,\n";
/// let rows = read_raw(&RawTable::Sentiment, csv.as_bytes())?;
/// assert_eq!(rows[0].get("text"), Some(&serve_core::Value::Text("To the moon".into())));
/// assert_eq!(rows[0].get("finbert"), Some(&serve_core::Value::Missing));
/// # Ok::<(), serve_features::FileError>(())
/// ```
pub fn read_raw(table: &RawTable, input: impl Read + Send) -> Result<Vec<RawRow>, FileError> {
    RowReader::csv(table.clone(), input)?.next_batch(usize::MAX)
}

/// Reads feature rows of a CSV, all of them, the features in the header's order. An empty cell or `NaN` is missing; what
/// reads as a number is one; `true` and `false` are booleans; everything else is text.
///
/// # Errors
/// [`FileError`] for the first line that is wrong, and for two lines of one entity and timestamp.
///
/// ```
/// let csv = "entity,timestamp,mood,trend\nBTC/USD,2025-10-04T13:50:00Z,0.25,up\n";
/// let rows = serve_features::read_features(csv.as_bytes())?;
/// assert_eq!(rows[0].get("mood"), Some(&0.25.into()));
/// assert_eq!(rows[0].get("trend"), Some(&serve_core::Value::Text("up".into())));
/// # Ok::<(), serve_features::FileError>(())
/// ```
pub fn read_features(input: impl Read + Send) -> Result<Vec<FeatureRow>, FileError> {
    RowReader::csv(ReadyRows, input)?.next_batch(usize::MAX)
}

#[cfg(test)]
mod tests {
    use serve_core::Value;

    use super::*;
    use crate::raw::PRICE_COLUMNS;

    const HEADER: &str = "symbol,timestamp,open,high,low,close,volume\n";

    fn read<R: Rows>(rows: R, csv: &str) -> Result<Vec<R::Row>, FileError> {
        RowReader::csv(rows, csv.as_bytes())?.next_batch(usize::MAX)
    }

    fn refused<R: Rows<Row: std::fmt::Debug>>(rows: R, csv: &str) -> String {
        read(rows, csv).expect_err("is refused").to_string()
    }

    fn prices(lines: &str) -> String {
        refused(RawTable::Price, &format!("{HEADER}{lines}"))
    }

    #[test]
    fn a_wrong_cell_is_named_with_line_column_and_value() {
        assert_eq!(
            prices("BTC/USD,2019-01-01,1,1,1,1,1\nBTC/USD,2019-01-02,1,1,1,cheap,1\n"),
            "line 3, column `close`: expected a finite number, or nothing, got \"cheap\""
        );
        assert!(
            prices("BTC/USD,yesterday,1,1,1,1,1")
                .starts_with("line 2, column `timestamp`: expected RFC 3339")
        );
        assert!(prices("BTC/USD,2019-01-01,1,1,1,inf,1").contains("got \"inf\""));
        assert!(prices(",2019-01-01,1,1,1,1,1").starts_with("line 2, column `symbol`: expected a name"));
    }

    #[test]
    fn one_moment_twice_is_refused_also_when_written_differently() {
        let lines = "A,2019-01-01,1,1,1,1,1\nB,2019-01-01,1,1,1,1,1\nA,2019-01-01T01:00:00+01:00,1,1,1,1,1\n";
        assert_eq!(prices(lines), "line 4 has the same symbol and timestamp as line 2");
        let ready = "entity,timestamp,a\nX,2019-01-01,1\nX,2019-01-01 00:00:00,2\n";
        assert_eq!(refused(ReadyRows, ready), "line 3 has the same entity and timestamp as line 2");
    }

    #[test]
    fn the_header_is_exact_but_in_any_order() {
        let csv = "timestamp,close,symbol,open,volume,high,low\n2019-01-01,4,A,1,5,2,3\n";
        let rows = read(RawTable::Price, csv).expect("reads");
        let expected = [1.0, 2.0, 3.0, 4.0, 5.0].map(|x| Some(Value::Number(x)));
        assert_eq!(PRICE_COLUMNS.map(|name| rows[0].get(name).cloned()), expected);
        let columns = RawTable::Price.expected();
        assert_eq!(
            refused(RawTable::Price, "symbol,timestamp,open\n"),
            format!("line 1: the header lacks `high`: expected {columns}")
        );
        assert_eq!(
            refused(RawTable::Price, "symbol,timestamp,open,high,low,close,volume,vwap\n"),
            format!("line 1: the header has an unknown column `vwap`: expected {columns}")
        );
        assert!(refused(RawTable::Sentiment, "a,timestamp\n").contains("the header lacks `symbol`"));
    }

    #[test]
    fn texts_keep_every_character_and_scores_their_names() {
        let csv = "score,text,symbol,timestamp,pos\n0.5,\" To the moon,\n\"\"HODL\"\" \",BTC/USD,2019-01-01,nan\n,,BTC/USD,2019-01-01,1\n";
        let rows = read(RawTable::Sentiment, csv).expect("reads");
        assert_eq!(rows[0].get("text"), Some(&Value::Text(" To the moon,\n\"HODL\" ".into())));
        assert_eq!((rows[0].get("score"), rows[0].get("pos")), (Some(&0.5.into()), Some(&Value::Missing)));
        assert_eq!((rows[1].get("text"), rows[1].get("pos")), (Some(&Value::Missing), Some(&1.0.into())));
    }

    #[test]
    fn the_same_text_twice_in_a_moment_is_refused() {
        assert_eq!(
            refused(
                RawTable::Sentiment,
                "symbol,timestamp,text\nA,2019-01-01,x\nA,2019-01-01,y\nA,2019-01-01,x\n"
            ),
            "line 4 has the same symbol, timestamp and text as line 2"
        );
        assert_eq!(
            refused(RawTable::Sentiment, "symbol,timestamp,mood\nA,2019-01-01,good\n"),
            "line 2, column `mood`: expected a finite number, or nothing, got \"good\""
        );
    }

    #[test]
    fn cells_of_events_and_features_become_what_they_read_as() {
        let csv = "timestamp,a,entity,b,c,d,e\n2019-01-01, 1e3 ,X,,NaN,True, two words\n";
        let expected = [
            ("a", Value::Number(1000.0)),
            ("b", Value::Missing),
            ("c", Value::Missing),
            ("d", Value::Bool(true)),
            ("e", Value::Text(" two words".into())),
        ];
        let known: Vec<(Arc<str>, Value<'static>)> =
            expected.map(|(name, value)| (name.into(), value)).into();
        let ready = read(ReadyRows, csv).expect("reads").remove(0);
        assert!(known.iter().map(|(name, value)| (name, value)).eq(ready.features()), "{ready:?}");
        let table: RawTable = "payments".parse().expect("is a table");
        assert_eq!(read(table, csv).expect("reads")[0].values, known);
        assert_eq!(
            refused(ReadyRows, "entity,timestamp,a\nX,2019-01-01,-inf\n"),
            "line 2, column `a`: expected a finite number, a boolean, text or nothing, got \"-inf\""
        );
    }

    #[test]
    fn a_file_is_read_in_batches_and_from_any_row_on() {
        let csv = "entity,timestamp,a\nX,2019-01-01,1\nX,2019-01-02,2\nX,2019-01-03,3\n";
        let open = || RowReader::csv(ReadyRows, csv.as_bytes()).expect("opens");
        let mut reader = open();
        let sizes = [0; 3].map(|_| reader.next_batch(2).expect("reads").len());
        assert_eq!(sizes, [2, 1, 0]);
        let mut reader = open();
        assert_eq!(reader.skip(2).expect("skips"), 2);
        assert_eq!(reader.next_batch(9).expect("reads")[0].get("a"), Some(&3.0.into()));
        assert_eq!(reader.skip(2).expect("skips"), 0);
    }
}
