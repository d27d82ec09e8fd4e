//! What can be wrong with a file of rows.

use std::fmt;

/// Where in a file: lines of a CSV count from 1, comments included; rows of a Parquet file count from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// A line of a CSV file.
    Line(u64),
    /// A row of a Parquet file.
    Row(u64),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Line(line) => write!(f, "line {line}"),
            Self::Row(row) => write!(f, "row {row}"),
        }
    }
}

/// Why a file was refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FileError {
    /// The file cannot be opened.
    #[error("the file cannot be opened")]
    Open {
        /// Why not.
        source: std::io::Error,
    },
    /// The input cannot be read, or is not UTF-8.
    #[error("the CSV cannot be read after line {line}")]
    Read {
        /// The last line that was read.
        line: u64,
        /// Why not.
        source: std::io::Error,
    },
    /// The bytes are no Parquet file, or a broken one.
    #[error("the Parquet file cannot be read after row {row}")]
    Parquet {
        /// The last row that was read.
        row: u64,
        /// Why not.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Not even a header.
    #[error("the CSV is empty: expected a header with {expected}")]
    Empty {
        /// The columns it should have.
        expected: &'static str,
    },
    /// A column is not there.
    #[error("{place}the header lacks `{column}`: expected {expected}", place = at(*line))]
    HeaderLacks {
        /// The header's line; a Parquet file has none.
        line: Option<u64>,
        /// The column.
        column: &'static str,
        /// The columns it should have.
        expected: &'static str,
    },
    /// A column that means nothing here, has no name or stands there twice.
    #[error("{place}the header has {problem} column `{column}`: expected {expected}", place = at(*line))]
    HeaderHas {
        /// The header's line; a Parquet file has none.
        line: Option<u64>,
        /// What is wrong with it.
        problem: &'static str,
        /// The column.
        column: String,
        /// The columns it should have.
        expected: &'static str,
    },
    /// A line with too few or too many cells.
    #[error("line {line}: expected {expected} cells, as many as the header, got {got}")]
    Width {
        /// The line.
        line: u64,
        /// The header's.
        expected: usize,
        /// The line's.
        got: usize,
    },
    /// A Parquet column of a type that its rows cannot have.
    #[error("column `{column}`: expected {expected}, got the type {got}")]
    ColumnType {
        /// The column.
        column: String,
        /// What it should hold.
        expected: &'static str,
        /// Its type.
        got: String,
    },
    /// A cell that is not what its column holds.
    #[error("{place}, column `{column}`: expected {expected}, got {got:?}")]
    Cell {
        /// Where.
        place: Place,
        /// The column.
        column: String,
        /// What the column holds.
        expected: &'static str,
        /// The cell, cut off when long.
        got: String,
    },
    /// Two lines for one row.
    #[error("{place} has the same {key} as {first}")]
    Repeated {
        /// The second.
        place: Place,
        /// The first.
        first: Place,
        /// What names a row.
        key: &'static str,
    },
}

fn at(line: Option<u64>) -> String {
    line.map_or_else(String::new, |line| format!("line {line}: "))
}
