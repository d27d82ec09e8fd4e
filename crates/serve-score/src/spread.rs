//! A plain job in shares that other processes score, each into a part. They have the same disk, or mount it at the same place; the
//! process that planned the job publishes what they wrote. A share is told as JSON, with the pinned model and its digest.
//!
//! A share of Parquet is a run of rows, since its files say how many they have. Of other formats it is a file, whose rows get their
//! numbers when the job is published.

mod pace;

use std::path::PathBuf;
use std::sync::Arc;

use arrow_schema::SchemaRef;
use serde::{Deserialize, Serialize};

use crate::error::ScoreError;
use crate::format::Format;
use crate::location::{InputFile, Located};
use crate::model::PinnedModel;
use crate::part::{FinishedPart, PartLayout, PartWriter};
use crate::plan::{Keep, Plan, PlanOptions};
use crate::scorer::Scorer;
use crate::source::Source;
use pace::Teller;
pub use pace::{Pace, Paces};

/// Rows of a share, where nothing says less: a few seconds of work, so that little is lost with an executor.
pub const SHARE_ROWS: u64 = 500_000;

/// A job, for those who score shares of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Spread {
    /// Name and version.
    pub(crate) model: String,
    /// The identity of its content.
    pub(crate) digest: String,
    pub(crate) map: Vec<(String, String)>,
    pub(crate) keep: Vec<String>,
    pub(crate) explain: bool,
    pub(crate) tally: bool,
    pub(crate) format: Format,
    pub(crate) files: Vec<Located>,
    pub(crate) layout: PartLayout,
    /// Where parts are written.
    pub(crate) folder: PathBuf,
    pub(crate) shares: Vec<Share>,
}

/// A part that is to be made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Share {
    number: u64,
    /// The files that it reads: the first, and the one behind the last.
    files: (usize, usize),
    /// Rows of these that belong to earlier shares.
    skip: u64,
    /// How many rows it has, where that is known.
    rows: Option<u64>,
    /// The number of its first row; 1 where nobody knows how many are before it.
    first_row: u64,
}

impl Spread {
    /// How many shares there are.
    #[must_use]
    pub fn shares(&self) -> usize {
        self.shares.len()
    }

    /// The model as planned queries have it.
    pub(crate) fn pinned(&self) -> String {
        format!("{}#{}", self.model, self.digest)
    }

    /// Scores a share into the folder, by the model that the job is pinned to.
    ///
    /// # Errors
    /// When the input is broken or was changed, or the part cannot be written; or when it is stopped.
    pub fn score(
        &self,
        share: usize,
        model: PinnedModel,
        schema: &SchemaRef,
        stopped: &dyn Fn() -> bool,
    ) -> Result<FinishedPart, ScoreError> {
        let unknown = || ScoreError::software(format!("the job has no share {share}"));
        let number = share;
        let share = self.shares.get(number).ok_or_else(unknown)?;
        let located = self.files.get(share.files.0..share.files.1).ok_or_else(unknown)?;
        let files = located.iter().map(Located::file).collect::<Result<Vec<_>, _>>()?;
        files.iter().try_for_each(unchanged)?;
        let source = Source::open(files, Some(self.format))?;
        let keep = Keep::Columns(self.keep.clone());
        let options = PlanOptions { map: self.map.clone(), keep, explain: self.explain, tally: self.tally };
        let (plan, bindings) = Plan::new(model, &source, &options)?;
        let plan = plan.with_schema(schema)?;
        let bytes = Arc::default();
        let mut teller = Teller::new(&self.folder, number, Arc::clone(&bytes));
        let mut pieces = source.read(bindings, bytes);
        pieces.skip_to(share.skip + 1);
        let mut writer =
            PartWriter::create(&self.folder, &self.layout, schema, share.number, share.first_row)?;
        let mut scorer = Scorer::new(Arc::new(plan));
        let mut left = share.rows.unwrap_or(u64::MAX);
        'rows: while let Some(mut piece) = pieces.next_piece()? {
            while let Some(mut batch) = piece.next_batch()? {
                if stopped() {
                    return Err(ScoreError::Interrupted { rows: writer.read() });
                }
                if batch.read > left {
                    batch.truncate(usize::try_from(left).unwrap_or(usize::MAX));
                }
                batch.renumber(share.skip, share.first_row - 1);
                left -= batch.read.min(left);
                writer.write(&scorer.score(batch)?)?;
                teller.tell(&writer);
                if left == 0 {
                    break 'rows;
                }
            }
        }
        match share.rows {
            Some(rows) if left > 0 => Err(ScoreError::plan(format!(
                "the input was changed meanwhile: part {} has {} rows, expected {rows}",
                share.number,
                rows - left
            ))),
            _ => {
                teller.end(&writer);
                writer.finish()
            }
        }
    }
}

/// A file that is on this machine's disk has to be the one that the job was planned with.
fn unchanged(file: &InputFile) -> Result<(), ScoreError> {
    let Some(path) = file.path() else { return Ok(()) };
    let now = InputFile::found(path)?;
    if (now.bytes(), now.stamp()) == (file.bytes(), file.stamp()) {
        return Ok(());
    }
    Err(ScoreError::plan(format!("{}: it is not the file that the job was planned with", file.name())))
}

/// The shares of files that say how many rows they have.
pub(crate) fn by_rows(rows: &[u64], most: u64) -> Vec<Share> {
    let (mut shares, mut first_row) = (Vec::new(), 1);
    let (mut file, mut skip) = (0, 0);
    let mut left: u64 = rows.iter().sum();
    while left > 0 {
        while rows[file] == skip {
            (file, skip) = (file + 1, 0);
        }
        let count = left.min(most.max(1));
        let (begin, begin_skip) = (file, skip);
        let mut wanted = count;
        while wanted > 0 {
            let some = wanted.min(rows[file] - skip);
            (skip, wanted) = (skip + some, wanted - some);
            if wanted > 0 {
                (file, skip) = (file + 1, 0);
            }
        }
        shares.push(Share {
            number: shares.len() as u64,
            files: (begin, file + 1),
            skip: begin_skip,
            rows: Some(count),
            first_row,
        });
        (left, first_row) = (left - count, first_row + count);
    }
    shares
}

/// A share for each file.
pub(crate) fn by_files(files: usize) -> Vec<Share> {
    let share = |at| Share { number: at as u64, files: (at, at + 1), skip: 0, rows: None, first_row: 1 };
    (0..files).map(share).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_by_rows_cover_every_row_once() {
        for (rows, most) in
            [(&[10, 0, 3, 7][..], 4), (&[5][..], 5), (&[0, 0][..], 3), (&[1, 1, 1][..], 9), (&[9, 0][..], 2)]
        {
            let total: u64 = rows.iter().sum();
            let mut next_row = 1;
            for (number, share) in by_rows(rows, most).into_iter().enumerate() {
                assert_eq!((share.number, share.first_row), (number as u64, next_row), "{rows:?}");
                let before: u64 = rows[..share.files.0].iter().sum();
                assert_eq!(before + share.skip + 1, next_row, "{rows:?}");
                let count = share.rows.expect("is known");
                let there: u64 = rows[share.files.0..share.files.1].iter().sum();
                assert!(count > 0 && count <= most && share.skip + count <= there, "{rows:?} {share:?}");
                next_row += count;
            }
            assert_eq!(next_row, total + 1, "{rows:?}");
        }
    }
}
