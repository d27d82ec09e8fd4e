//! Why a file makes no dataset. Messages name the column and the line, so that a person can go there.

use thiserror::Error;

use crate::fault::Fault;

/// Why a file makes no dataset.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum DatasetError {
    /// Reading failed, or the bytes are no UTF-8.
    #[error("the file cannot be read")]
    Csv(#[from] csv::Error),
    /// There is nothing before the end, comments aside.
    #[error("the file is empty, expected a line with the columns' names")]
    NoHeader,
    /// A column has no name.
    #[error("column {position} has no name")]
    Unnamed {
        /// Which column, from 1.
        position: usize,
    },
    /// Two columns have one name.
    #[error("column {name:?} stands twice in the header")]
    Duplicate {
        /// The name.
        name: String,
    },
    /// An option names a column that the file lacks.
    #[error("there is no column {name:?} ({role}); the file has {}", columns.join(", "))]
    Unknown {
        /// What the column is for: `target`, `time` or `exclude`.
        role: &'static str,
        /// The name.
        name: String,
        /// What there is.
        columns: Vec<String>,
    },
    /// One column is asked to be two things.
    #[error("column {name:?} cannot be the target and {role} too")]
    Conflict {
        /// The name.
        name: String,
        /// What it is besides.
        role: &'static str,
    },
    /// Every column is the target, the time, an entity or excluded.
    #[error("no column is left to learn from")]
    NoFeatures,
    /// A line has more or fewer cells than the header.
    #[error("line {line} has {got} cells, the header has {expected}")]
    Ragged {
        /// The line, from 1.
        line: u64,
        /// What the header has.
        expected: usize,
        /// What the line has.
        got: usize,
    },
    /// A feature is text.
    #[error(
        "column {column:?}, line {line}: expected a number, got {value:?}; leave the column out with --exclude {column}"
    )]
    NotANumber {
        /// The column.
        column: String,
        /// The line, from 1.
        line: u64,
        /// What stands there.
        value: String,
    },
    /// A number is infinite, or too large for 64 bits.
    #[error("column {column:?}, line {line}: expected a finite number, got {value:?}")]
    Infinite {
        /// The column.
        column: String,
        /// The line, from 1.
        line: u64,
        /// What stands there.
        value: String,
    },
    /// A time cannot be read.
    #[error(
        "column {column:?}, line {line}: expected a time such as 2024-05-01T12:00:00Z, 2024-05-01 12:00:00 (UTC) or 2024-05-01, got {value:?}"
    )]
    Time {
        /// The column.
        column: String,
        /// The line, from 1.
        line: u64,
        /// What stands there.
        value: String,
    },
    /// There are no rows.
    #[error("the file has no rows")]
    NoRows,
    /// A feature has no value anywhere, so no row is complete.
    #[error("column {column:?} is empty in all {rows} rows; leave it out with --exclude {column}")]
    EmptyColumn {
        /// The column.
        column: String,
        /// Number of rows.
        rows: usize,
    },
    /// Every row lacks something.
    #[error(
        "none of the {rows} rows is complete: {missing_target} lack the target, {missing_feature} lack a feature"
    )]
    NoCompleteRow {
        /// Number of rows.
        rows: usize,
        /// How many lack the target.
        missing_target: usize,
        /// How many have it and lack a feature.
        missing_feature: usize,
    },
    /// The target is a quantity.
    #[error(
        "target {target:?} has {distinct} different numbers, a classification has at most {limit}: that is a regression, and training regressions comes later"
    )]
    Regression {
        /// The target.
        target: String,
        /// How many different numbers.
        distinct: usize,
        /// The most that are taken for classes.
        limit: usize,
    },
    /// There is nothing to tell apart.
    #[error("target {target:?} is {class:?} in every complete row, expected two classes or more")]
    OneClass {
        /// The target.
        target: String,
        /// The only class.
        class: String,
    },
    /// The given classes are no list of classes.
    #[error("classes {}: {problem}", classes.join(","))]
    Classes {
        /// The given classes.
        classes: Vec<String>,
        /// What is wrong.
        problem: &'static str,
    },
    /// The target holds something that is not among the given classes.
    #[error("target {target:?}, line {line}: {value:?} is none of the classes {}", classes.join(","))]
    UnknownClass {
        /// The target.
        target: String,
        /// The first such line, from 1.
        line: u64,
        /// What stands there.
        value: String,
        /// The given classes.
        classes: Vec<String>,
    },
}

impl DatasetError {
    /// Whose fault it is.
    #[must_use]
    pub fn fault(&self) -> Fault {
        match self {
            Self::Unknown { .. } | Self::Conflict { .. } | Self::NoFeatures | Self::Classes { .. } => {
                Fault::Options
            }
            Self::Csv(_)
            | Self::NoHeader
            | Self::Unnamed { .. }
            | Self::Duplicate { .. }
            | Self::Ragged { .. }
            | Self::NotANumber { .. }
            | Self::Infinite { .. }
            | Self::Time { .. }
            | Self::NoRows
            | Self::EmptyColumn { .. }
            | Self::NoCompleteRow { .. }
            | Self::Regression { .. }
            | Self::OneClass { .. }
            | Self::UnknownClass { .. } => Fault::Data,
        }
    }
}
