//! A file as records of named cells, whatever its format: what is asked of a cell (an entity, a moment, a number, a text)
//! and the errors that name it are the same for both.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

use jiff::Timestamp;
use serve_core::Value;

#[cfg(feature = "parquet")]
use super::parquet::ParquetRecords;
use super::sheet::{Line, Sheet};
use super::{FileError, Place};
use crate::name::Entity;
use crate::timestamp::{self, parse_timestamp};

/// The bytes that a Parquet file begins with.
const PARQUET_MAGIC: &[u8; 4] = b"PAR1";

const NUMBER: &str = "a finite number, or nothing";

/// One cell as its format has it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Cell<'a> {
    /// Nothing there.
    Missing,
    /// A CSV cell, which means what its column says.
    Raw(&'a str),
    /// A number; NaN is missing.
    Number(f64),
    /// True or false.
    Bool(bool),
    /// A text.
    Text(&'a str),
    /// A moment.
    Moment(Timestamp),
}

/// Whether a file begins like Parquet; it is at its beginning again then. A pipe cannot go back, and is no Parquet file.
///
/// # Errors
/// When it cannot be read.
pub fn is_parquet(file: &mut File) -> io::Result<bool> {
    if !file.metadata()?.is_file() {
        return Ok(false);
    }
    let mut magic = Vec::with_capacity(PARQUET_MAGIC.len());
    file.by_ref().take(PARQUET_MAGIC.len() as u64).read_to_end(&mut magic)?;
    file.seek(SeekFrom::Start(0))?;
    Ok(magic == PARQUET_MAGIC)
}

/// A file behind its header.
pub(super) struct Records<'i> {
    format: Format<'i>,
    expected: &'static str,
    names: Vec<String>,
}

enum Format<'i> {
    Csv {
        sheet: Box<Sheet<Box<dyn Read + Send + 'i>>>,
        line: Line,
    },
    #[cfg(feature = "parquet")]
    Parquet(Box<ParquetRecords>),
}

impl<'i> Records<'i> {
    /// A CSV. `expected` names the columns in errors.
    pub(super) fn csv(input: Box<dyn Read + Send + 'i>, expected: &'static str) -> Result<Self, FileError> {
        Ok(Self::of_sheet(Sheet::open(input, expected)?, expected))
    }

    /// A CSV without comments, under whatever names, as a data frame is written to one.
    pub(super) fn plain_csv(input: Box<dyn Read + Send + 'i>) -> Result<Self, FileError> {
        let expected = "the columns' names";
        Ok(Self::of_sheet(Sheet::plain(input, expected, None)?, expected))
    }

    /// A Parquet file in memory that nobody has looked at.
    #[cfg(feature = "parquet")]
    pub(super) fn parquet_bytes(file: bytes::Bytes, most: u64) -> Result<Self, FileError> {
        let records = ParquetRecords::of_bytes(file, most)?;
        let names = records.names().to_vec();
        Ok(Self { format: Format::Parquet(Box::new(records)), expected: "the columns' names", names })
    }

    fn of_sheet(sheet: Sheet<Box<dyn Read + Send + 'i>>, expected: &'static str) -> Self {
        let names = sheet.names().map(str::to_owned).collect();
        Self { format: Format::Csv { sheet: Box::new(sheet), line: Line::default() }, expected, names }
    }

    /// A file, Parquet if it begins like one, else CSV.
    pub(super) fn open(path: &Path, expected: &'static str) -> Result<Self, FileError> {
        let opened = |source| FileError::Open { source };
        let mut file = File::open(path).map_err(opened)?;
        if is_parquet(&mut file).map_err(opened)? {
            Self::parquet(file, expected)
        } else {
            Self::csv(Box::new(file), expected)
        }
    }

    #[cfg(feature = "parquet")]
    pub(super) fn parquet(file: File, expected: &'static str) -> Result<Self, FileError> {
        let records = ParquetRecords::open(file)?;
        let names = records.names().to_vec();
        Ok(Self { format: Format::Parquet(Box::new(records)), expected, names })
    }

    #[cfg(not(feature = "parquet"))]
    fn parquet(_file: File, _expected: &'static str) -> Result<Self, FileError> {
        let message = "it is a Parquet file, and this program was built without the feature `parquet`";
        Err(FileError::Open { source: std::io::Error::other(message) })
    }

    /// The columns' names, in order.
    pub(super) fn names(&self) -> &[String] {
        &self.names
    }

    /// Whether a column holds whole numbers by its type; `None` where the format has no types.
    #[cfg_attr(not(feature = "parquet"), allow(unused_variables, reason = "no other format has types"))]
    pub(super) fn is_whole(&self, column: usize) -> Option<bool> {
        match &self.format {
            Format::Csv { .. } => None,
            #[cfg(feature = "parquet")]
            Format::Parquet(records) => Some(records.is_whole(column)),
        }
    }

    /// Where a column stands.
    pub(super) fn column(&self, name: &'static str) -> Result<usize, FileError> {
        let (line, expected) = (self.header_line(), self.expected);
        let found = self.names.iter().position(|known| known == name);
        found.ok_or(FileError::HeaderLacks { line, column: name, expected })
    }

    /// An error about a column of the header.
    pub(super) fn refuse(&self, problem: &'static str, column: &str) -> FileError {
        let (line, column, expected) = (self.header_line(), column.to_owned(), self.expected);
        FileError::HeaderHas { line, problem, column, expected }
    }

    fn header_line(&self) -> Option<u64> {
        match &self.format {
            Format::Csv { sheet, .. } => Some(sheet.header_line()),
            #[cfg(feature = "parquet")]
            Format::Parquet(_) => None,
        }
    }

    /// Goes to the next record; false at the end.
    pub(super) fn advance(&mut self) -> Result<bool, FileError> {
        match &mut self.format {
            Format::Csv { sheet, line } => match sheet.next()? {
                Some(next) => {
                    *line = next;
                    Ok(true)
                }
                None => Ok(false),
            },
            #[cfg(feature = "parquet")]
            Format::Parquet(records) => records.advance(),
        }
    }

    /// Where the record stands.
    pub(super) fn place(&self) -> Place {
        match &self.format {
            Format::Csv { line, .. } => Place::Line(line.number),
            #[cfg(feature = "parquet")]
            Format::Parquet(records) => Place::Row(records.row()),
        }
    }

    /// A cell of the record.
    pub(super) fn cell(&self, column: usize) -> Cell<'_> {
        match &self.format {
            Format::Csv { line, .. } => Cell::Raw(line.text(column)),
            #[cfg(feature = "parquet")]
            Format::Parquet(records) => records.cell(column),
        }
    }

    /// A cell that is not what it should be.
    pub(super) fn wrong(&self, column: usize, expected: &'static str) -> FileError {
        let got = match self.cell(column) {
            Cell::Missing => String::new(),
            Cell::Raw(text) | Cell::Text(text) => text.chars().take(60).collect(),
            Cell::Number(x) => x.to_string(),
            Cell::Bool(x) => x.to_string(),
            Cell::Moment(at) => at.to_string(),
        };
        FileError::Cell { place: self.place(), column: self.names[column].clone(), expected, got }
    }

    /// The cell as an entity.
    pub(super) fn entity(&self, column: usize) -> Result<Entity, FileError> {
        let expected = "a name of 1 to 256 bytes without control characters";
        match self.cell(column) {
            Cell::Raw(text) => text.trim().parse().ok(),
            Cell::Text(text) => text.parse().ok(),
            // Customers and machines are often numbered.
            Cell::Number(x) if x.fract() == 0.0 => x.to_string().parse().ok(),
            _ => None,
        }
        .ok_or_else(|| self.wrong(column, expected))
    }

    /// The cell as a moment.
    pub(super) fn timestamp(&self, column: usize) -> Result<Timestamp, FileError> {
        match self.cell(column) {
            Cell::Raw(text) | Cell::Text(text) => parse_timestamp(text.trim()).ok(),
            Cell::Moment(at) => Some(at),
            Cell::Missing | Cell::Number(_) | Cell::Bool(_) => None,
        }
        .ok_or_else(|| self.wrong(column, timestamp::EXPECTED))
    }

    /// The cell as a number; an empty one, or `NaN`, is missing.
    pub(super) fn number(&self, column: usize) -> Result<Value<'static>, FileError> {
        let number = match self.cell(column) {
            Cell::Missing => return Ok(Value::Missing),
            Cell::Raw(text) if text.trim().is_empty() => return Ok(Value::Missing),
            Cell::Raw(text) => text.trim().parse().ok(),
            Cell::Number(x) => Some(x),
            Cell::Bool(x) => Some(f64::from(u8::from(x))),
            Cell::Text(_) | Cell::Moment(_) => None,
        };
        number.filter(|x| !x.is_infinite()).map(Value::from).ok_or_else(|| self.wrong(column, NUMBER))
    }

    /// The cell as text, every character of it; an empty one is missing.
    pub(super) fn text(&self, column: usize) -> Result<Value<'static>, FileError> {
        match self.cell(column) {
            Cell::Missing | Cell::Raw("") | Cell::Text("") => Ok(Value::Missing),
            Cell::Raw(text) | Cell::Text(text) => Ok(Value::Text(text.to_owned().into())),
            Cell::Number(_) | Cell::Bool(_) | Cell::Moment(_) => {
                Err(self.wrong(column, "a text, or nothing"))
            }
        }
    }

    /// As [`any`](Self::any); a whole number that no double is stays as it is written, as text.
    pub(super) fn exact(&self, column: usize) -> Result<Value<'static>, FileError> {
        match self.beyond(column) {
            Some(digits) => Ok(Value::Text(digits.into())),
            None => self.any(column),
        }
    }

    /// The digits of a whole number that no double is.
    fn beyond(&self, column: usize) -> Option<String> {
        let whole: i128 = match &self.format {
            Format::Csv { line, .. } => line.text(column).trim().parse().ok()?,
            #[cfg(feature = "parquet")]
            Format::Parquet(records) => records.whole(column)?,
        };
        (whole as f64 as i128 != whole).then(|| whole.to_string())
    }

    /// The cell as what it reads as: a number, `true` or `false`, text, or nothing.
    pub(super) fn any(&self, column: usize) -> Result<Value<'static>, FileError> {
        let expected = "a finite number, a boolean, text or nothing";
        match self.cell(column) {
            Cell::Missing => Ok(Value::Missing),
            Cell::Raw(text) => match (text.trim(), text.trim().parse::<f64>()) {
                ("", _) => Ok(Value::Missing),
                (_, Ok(x)) if x.is_infinite() => Err(self.wrong(column, expected)),
                (_, Ok(x)) => Ok(Value::from(x)),
                ("true" | "True", _) => Ok(Value::Bool(true)),
                ("false" | "False", _) => Ok(Value::Bool(false)),
                (_, Err(_)) => Ok(Value::Text(text.to_owned().into())),
            },
            Cell::Number(x) if x.is_infinite() => Err(self.wrong(column, expected)),
            Cell::Number(x) => Ok(Value::from(x)),
            Cell::Bool(x) => Ok(Value::Bool(x)),
            Cell::Text(text) => Ok(Value::Text(text.to_owned().into())),
            Cell::Moment(at) => Ok(Value::Text(at.to_string().into())),
        }
    }
}
