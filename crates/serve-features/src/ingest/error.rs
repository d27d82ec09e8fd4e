//! What can be wrong with a CSV file.

/// Why a CSV file was refused. Lines count from 1, comments included.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CsvError {
    /// The input cannot be read, or is not UTF-8.
    #[error("the CSV cannot be read after line {line}")]
    Read {
        /// The last line that was read.
        line: u64,
        /// Why not.
        source: std::io::Error,
    },
    /// Not even a header.
    #[error("the CSV is empty: expected a header with {expected}")]
    Empty {
        /// The columns it should have.
        expected: &'static str,
    },
    /// A column is not there.
    #[error("line {line}: the header lacks `{column}`: expected {expected}")]
    HeaderLacks {
        /// The header's line.
        line: u64,
        /// The column.
        column: &'static str,
        /// The columns it should have.
        expected: &'static str,
    },
    /// A column that means nothing here, has no name or stands there twice.
    #[error("line {line}: the header has {problem} column `{column}`: expected {expected}")]
    HeaderHas {
        /// The header's line.
        line: u64,
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
    /// A cell that is not what its column holds.
    #[error("line {line}, column `{column}`: expected {expected}, got {got:?}")]
    Cell {
        /// The line.
        line: u64,
        /// The column.
        column: String,
        /// What the column holds.
        expected: &'static str,
        /// The cell, cut off when long.
        got: String,
    },
    /// Two lines for one row.
    #[error("line {line} has the same {key} as line {first}")]
    Repeated {
        /// The second line.
        line: u64,
        /// The first.
        first: u64,
        /// What names a row.
        key: &'static str,
    },
}
