//! A built table as a file: `entity,timestamp,<features as declared>`. What [`crate::RowReader`] reads back is the same rows.
//! In a CSV, numbers stand in their shortest form that keeps every bit, moments in RFC 3339 UTC, and a missing value is an
//! empty cell; in a Parquet file, moments are microseconds UTC and a missing value is null.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use serve_core::Value;

use crate::row::FeatureRow;

#[cfg(feature = "parquet")]
mod parquet;

/// What a column of a table holds, where its format tells kinds apart: Parquet's does, a CSV's does not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TableColumn {
    /// Numbers.
    Number,
    /// Whole numbers of at most 2^53, which a double holds exactly.
    Whole,
    /// Texts; what is none is written as a CSV has it.
    Text,
}

impl TableColumn {
    /// The narrowest that holds all of these values. Without any it is [`TableColumn::Number`].
    ///
    /// ```
    /// use serve_core::Value;
    /// use serve_features::TableColumn;
    /// let of = |values: &[Value<'static>]| TableColumn::of(values);
    /// assert_eq!(of(&[1.0.into(), Value::Missing]), TableColumn::Whole);
    /// assert_eq!(of(&[1.0.into(), 0.5.into()]), TableColumn::Number);
    /// assert_eq!(of(&[1.0.into(), Value::Text("up".into())]), TableColumn::Text);
    /// ```
    pub fn of<'v>(values: impl IntoIterator<Item = &'v Value<'static>>) -> Self {
        let (mut any, mut whole) = (false, true);
        for value in values {
            match value {
                Value::Missing => {}
                Value::Number(x) if x.is_nan() => {}
                Value::Number(x) => (any, whole) = (true, whole && is_whole(*x)),
                Value::Bool(_) | Value::Text(_) | Value::Other(_) => return Self::Text,
            }
        }
        if any && whole { Self::Whole } else { Self::Number }
    }
}

fn is_whole(x: f64) -> bool {
    x.fract() == 0.0 && x.abs() <= EXACT
}

/// 2^53: beyond it doubles skip whole numbers.
const EXACT: f64 = 9_007_199_254_740_992.0;

/// A file that rows are written to, CSV or Parquet as its name says. It has its name only once it is whole.
pub struct TableFile {
    format: Format,
    temporary: std::path::PathBuf,
    path: std::path::PathBuf,
}

enum Format {
    Csv(Box<TableWriter<BufWriter<File>>>),
    #[cfg(feature = "parquet")]
    Parquet(Box<parquet::ParquetTable>),
}

impl TableFile {
    /// Begins a file with these columns beside `entity` and `timestamp`. One that ends in `.parquet` is a Parquet file, with
    /// columns of doubles, 64-bit integers and texts; a value that its column cannot hold is null there.
    ///
    /// # Errors
    /// What the system says; and that this program was built without Parquet.
    pub fn create(path: impl AsRef<Path>, columns: &[(String, TableColumn)]) -> io::Result<Self> {
        let path = path.as_ref().to_owned();
        let mut temporary = path.as_os_str().to_owned();
        temporary.push(".part");
        let file = File::create(&temporary)?;
        let format = if path.extension().is_some_and(|extension| extension == "parquet") {
            parquet(file, columns)?
        } else {
            let names = columns.iter().map(|(name, _)| name.as_str());
            Format::Csv(Box::new(TableWriter::new(BufWriter::new(file), names)?))
        };
        Ok(Self { format, temporary: temporary.into(), path })
    }

    /// Writes rows, each feature in its column whatever the row's order; one that a row lacks is missing.
    ///
    /// # Errors
    /// What the system says.
    pub fn write(&mut self, rows: &[FeatureRow]) -> io::Result<()> {
        match &mut self.format {
            Format::Csv(table) => table.write(rows),
            #[cfg(feature = "parquet")]
            Format::Parquet(table) => table.write(rows),
        }
    }

    /// Ends the file and gives it its name.
    ///
    /// # Errors
    /// What the system says.
    pub fn finish(self) -> io::Result<()> {
        match self.format {
            Format::Csv(table) => table.finish()?.flush()?,
            #[cfg(feature = "parquet")]
            Format::Parquet(table) => table.finish()?,
        }
        std::fs::rename(self.temporary, self.path)
    }
}

#[cfg(feature = "parquet")]
fn parquet(file: File, columns: &[(String, TableColumn)]) -> io::Result<Format> {
    Ok(Format::Parquet(Box::new(parquet::ParquetTable::new(file, columns)?)))
}

#[cfg(not(feature = "parquet"))]
fn parquet(_file: File, _columns: &[(String, TableColumn)]) -> io::Result<Format> {
    Err(io::Error::other("this program was built without the feature `parquet`"))
}

impl std::fmt::Debug for TableFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TableFile").field("path", &self.path).finish_non_exhaustive()
    }
}

/// The value of a row under a name, where it is most likely to stand first.
fn named<'r>(row: &'r FeatureRow, at: usize, name: &str) -> Option<&'r Value<'static>> {
    row.get_near(at, name)
}

/// Writes rows as they are computed, entity by entity.
///
/// ```
/// use serve_features::{FeatureRow, TableWriter, parse_timestamp};
/// let features = [("mood".into(), 0.25.into()), ("trend".into(), serve_core::Value::Missing)];
/// let row = FeatureRow::new("BTC/USD".parse()?, parse_timestamp("2019-01-01")?, features);
/// let mut table = TableWriter::new(Vec::new(), ["mood", "trend"])?;
/// table.write(&[row])?;
/// assert_eq!(table.finish()?, b"entity,timestamp,mood,trend\nBTC/USD,2019-01-01T00:00:00Z,0.25,\n");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct TableWriter<W: Write> {
    writer: csv::Writer<W>,
    names: Vec<String>,
}

impl<W: Write> TableWriter<W> {
    /// Writes the header.
    ///
    /// # Errors
    /// What the writer says.
    pub fn new<N: Into<String>>(writer: W, names: impl IntoIterator<Item = N>) -> io::Result<Self> {
        let names: Vec<String> = names.into_iter().map(Into::into).collect();
        // An entity that begins with `#` is quoted, so that no reader takes it for a comment.
        let mut writer = csv::WriterBuilder::new().comment(Some(b'#')).from_writer(writer);
        writer.write_record(["entity", "timestamp"].into_iter().chain(names.iter().map(String::as_str)))?;
        Ok(Self { writer, names })
    }

    /// Writes rows, each feature in its column whatever the row's order; one that a row lacks is missing.
    ///
    /// # Errors
    /// What the writer says.
    pub fn write(&mut self, rows: &[FeatureRow]) -> io::Result<()> {
        for row in rows {
            self.writer.write_field(row.entity().as_str())?;
            self.writer.write_field(row.timestamp().to_string())?;
            for (i, name) in self.names.iter().enumerate() {
                self.writer.write_field(named(row, i, name).map(cell).unwrap_or_default())?;
            }
            self.writer.write_record(None::<&[u8]>)?;
        }
        Ok(())
    }

    /// Flushes, and gives the writer back.
    ///
    /// # Errors
    /// What the writer says.
    pub fn finish(self) -> io::Result<W> {
        self.writer.into_inner().map_err(csv::IntoInnerError::into_error)
    }
}

fn cell(value: &Value<'_>) -> String {
    match value {
        Value::Missing | Value::Other(_) => String::new(),
        Value::Number(x) if x.is_nan() => String::new(),
        Value::Number(x) => number(*x),
        Value::Bool(x) => x.to_string(),
        Value::Text(text) => text.clone().into_owned(),
    }
}

/// The fewest digits that read back as the same number; with an exponent where zeros would fill the cell.
fn number(x: f64) -> String {
    if x == 0.0 || (1e-5..1e16).contains(&x.abs()) { x.to_string() } else { format!("{x:e}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_keep_every_bit_in_few_digits() {
        for (x, text) in [
            (0.1 + 0.2, "0.30000000000000004"),
            (5.0, "5"),
            (-0.0, "-0"),
            (1e16, "1e16"),
            (1.5e-7, "1.5e-7"),
            (f64::MAX, "1.7976931348623157e308"),
            (5e-324, "5e-324"),
        ] {
            assert_eq!(number(x), text);
            assert_eq!(text.parse::<f64>().map(f64::to_bits), Ok(x.to_bits()));
        }
    }
}
