//! A job that other processes score: this one plans it, begins its state, and publishes the parts that they wrote.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, absolute};
use std::time::{Duration, Instant};

use super::written::Written;
use super::{Job, Progress, RunOptions, Summary};
use crate::error::ScoreError;
use crate::format::Format;
use crate::location::InputFile;
use crate::part::FinishedPart;
use crate::spread::{SHARE_ROWS, Spread, by_files, by_rows};

/// How long others may take to end the parts of a job that was given up.
const LETTING_GO: Duration = Duration::from_secs(5);
const BETWEEN_TRIES: Duration = Duration::from_millis(50);

impl Job {
    /// Hands the job to `run`, which gives back the finished parts in any order, and publishes them. On an error nothing has
    /// appeared under the output's name.
    ///
    /// # Errors
    /// As [`run`](Self::run); also when the input or the output is a pipe, which no other process has.
    pub fn run_elsewhere(
        self,
        options: &RunOptions,
        progress: &Progress,
        run: impl FnOnce(Spread) -> Result<Vec<FinishedPart>, ScoreError>,
    ) -> Result<Summary, ScoreError> {
        let began = Instant::now();
        if options.resume {
            return Err(ScoreError::usage(
                "a job in a cluster begins with the first row: --resume is for one machine",
            ));
        }
        let files = self.source.files().iter().map(InputFile::located).collect::<Result<Vec<_>, _>>()?;
        let written = Written::begin(options, self.plan.schema(), &self.facts(options)?, progress)?;
        let Written::Parts(mut parts) = written else {
            return Err(ScoreError::usage(
                "executors write on a disk that all share: --output needs a file or a folder",
            ));
        };
        let most = options.output.part_rows.min(SHARE_ROWS);
        let rows = self.source.headers().iter().map(|header| header.rows).collect::<Option<Vec<u64>>>();
        let shares = match rows {
            Some(rows) if self.source.format() == Format::Parquet => by_rows(&rows, most),
            _ => by_files(files.len()),
        };
        let folder =
            absolute(parts.folder()).map_err(|error| ScoreError::output(options.output.name(), error))?;
        let kept = self.plan.kept.iter().map(|&at| self.plan.columns[at].clone());
        let spread = Spread {
            model: self.plan.model().to_string(),
            digest: self.plan.model().digest().to_string(),
            map: self.options.map.clone(),
            keep: kept.collect(),
            explain: self.options.explain,
            tally: self.options.tally,
            format: self.source.format(),
            files,
            layout: parts.layout().clone(),
            folder,
            shares,
        };
        let count = spread.shares();
        let done = run(spread).and_then(|finished| {
            let (mut rows, mut rejected) = (0, 0);
            for part in in_order(finished, count)? {
                (rows, rejected) = (rows + part.read, rejected + part.rejected);
                parts.note(part)?;
            }
            // What was told on the way need not have been all.
            progress.stand(rows, rejected);
            progress.check(options.max_rejects, true)
        });
        if let Err(error) = done {
            let folder = parts.folder().to_owned();
            parts.remove();
            remove(&folder);
            return Err(error);
        }
        let (rejects, tally) = Written::Parts(parts).finish(progress)?;
        let (rows, rejected) = (progress.rows(), progress.rejected());
        Ok(Summary { rows, earlier_rows: 0, rejected, rejects, elapsed: began.elapsed(), tally })
    }
}

/// Removes a folder in which others may still be ending parts: where it is gone they cannot begin one.
fn remove(folder: &Path) {
    let began = Instant::now();
    while folder.exists() && began.elapsed() < LETTING_GO {
        drop(fs::remove_dir_all(folder));
        std::thread::sleep(BETWEEN_TRIES);
    }
}

/// All parts, each once: one that was scored twice, since its executor was thought lost, counts once. Rows get their numbers by the parts
/// before them.
fn in_order(finished: Vec<FinishedPart>, count: usize) -> Result<Vec<FinishedPart>, ScoreError> {
    let by_number: BTreeMap<u64, FinishedPart> =
        finished.into_iter().map(|part| (part.number, part)).collect();
    if by_number.len() != count || !by_number.keys().copied().eq(0..count as u64) {
        return Err(ScoreError::software(format!("{} of {count} parts came back", by_number.len())));
    }
    Ok(by_number.into_values().collect())
}
