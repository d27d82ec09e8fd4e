//! Rows that got no answer: which, why, and what they held. They are data, not errors.

use std::fmt;
use std::fs::File;
use std::path::PathBuf;
use std::str::FromStr;

use crate::error::ScoreError;
use crate::sink::StagedFile;

/// A row that got no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reject {
    /// Its number, from 1, over all files in order.
    pub row: u64,
    /// The column that is at fault, the first where there are several; empty where it is the row as a whole.
    pub column: String,
    /// Why.
    pub reason: String,
    /// What the row held: its text, or its columns as JSON where it had none.
    pub input: String,
}

/// What of a reject's reason a message has.
const TOLD_REASON: usize = 200;

impl Reject {
    /// In a line, without what the row held.
    pub(crate) fn told(&self) -> String {
        let Self { row, column, reason, .. } = self;
        let reason: String = reason.chars().take(TOLD_REASON).collect();
        match column.as_str() {
            // What the signature finds wrong names the input, which mostly is the column.
            column if column.is_empty() || reason.starts_with(column) => format!("row {row}: {reason}"),
            column => format!("row {row}, column {column:?}: {reason}"),
        }
    }
}

/// The file of rejects: CSV with `row,column,reason,input`. It is there only where a row was rejected.
#[derive(Debug)]
pub(crate) struct RejectsFile {
    path: Option<PathBuf>,
    overwrite: bool,
    open: Option<(csv::Writer<File>, StagedFile)>,
}

impl RejectsFile {
    /// A file at a path, or none at all.
    pub(crate) fn new(path: Option<PathBuf>, overwrite: bool) -> Result<Self, ScoreError> {
        if let Some(path) = path.as_ref().filter(|path| !overwrite && path.exists()) {
            return Err(ScoreError::Exists { location: path.display().to_string() });
        }
        Ok(Self { path, overwrite, open: None })
    }

    pub(crate) fn write(&mut self, rejects: &[Reject]) -> Result<(), ScoreError> {
        let Some(path) = self.path.as_ref().filter(|_| !rejects.is_empty()) else { return Ok(()) };
        let failed = |error: csv::Error| ScoreError::output(path.display().to_string(), error);
        let (writer, _) = match &mut self.open {
            Some(open) => open,
            None => {
                let staged = StagedFile::create(path, self.overwrite)?;
                let mut writer = csv::Writer::from_writer(staged.file()?);
                writer.write_record(["row", "column", "reason", "input"]).map_err(failed)?;
                self.open.insert((writer, staged))
            }
        };
        for Reject { row, column, reason, input } in rejects {
            writer.write_record([&row.to_string(), column, reason, input]).map_err(failed)?;
        }
        Ok(())
    }

    /// Ends it; without rejects, one of an earlier job in its place is removed where it may be replaced.
    pub(crate) fn finish(self) -> Result<Option<PathBuf>, ScoreError> {
        match (self.open, self.path) {
            (Some((mut writer, staged)), Some(path)) => {
                writer.flush().map_err(|error| ScoreError::output(path.display().to_string(), error))?;
                staged.publish()?;
                Ok(Some(path))
            }
            (None, Some(path)) if self.overwrite && path.is_file() => {
                let removed = std::fs::remove_file(&path);
                removed.map_err(|error| ScoreError::output(path.display().to_string(), error)).map(|()| None)
            }
            _ => Ok(None),
        }
    }
}

/// How many rows may be rejected.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum MaxRejects {
    /// So many.
    Rows(u64),
    /// So many of a hundred that were read.
    Percent(f64),
}

impl MaxRejects {
    /// Whether it is known by now that these are too many: a share only at the end.
    #[must_use]
    pub fn exceeded(self, rejected: u64, rows: u64, ended: bool) -> bool {
        match self {
            Self::Rows(most) => rejected > most,
            Self::Percent(most) => ended && rejected as f64 * 100.0 > most * rows as f64,
        }
    }
}

impl fmt::Display for MaxRejects {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rows(most) => write!(f, "{most}"),
            Self::Percent(most) => write!(f, "{most}%"),
        }
    }
}

impl FromStr for MaxRejects {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("expected a number of rows or a share such as 2.5%, got {text:?}");
        match text.strip_suffix('%') {
            None => text.parse().map(Self::Rows).map_err(|_| wrong()),
            Some(share) => match share.trim().parse::<f64>() {
                Ok(share) if (0.0..=100.0).contains(&share) => Ok(Self::Percent(share)),
                _ => Err(wrong()),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_a_number_or_a_share() {
        let rows: MaxRejects = "3".parse().expect("a number");
        assert!(!rows.exceeded(3, 3, true) && rows.exceeded(4, 1000, false));
        let share: MaxRejects = "2.5%".parse().expect("a share");
        assert!(
            !share.exceeded(5, 6, false) && !share.exceeded(5, 200, true) && share.exceeded(6, 200, true)
        );
        for wrong in ["", "-1", "101%", "x%", "NaN%"] {
            assert!(wrong.parse::<MaxRejects>().is_err(), "{wrong}");
        }
    }
}
