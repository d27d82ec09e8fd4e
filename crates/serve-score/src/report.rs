//! What a job came to, for people and for programs: one value, written as JSON or as one page of HTML. `docs/report.md` has its schema.
//!
//! It says nothing of the machine: no names of hosts, users or folders.

mod bars;
mod column;
mod html;
pub(crate) mod page;
mod picture;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde::Serialize;
use serve_core::{Digest, Manifest};

pub use bars::{Bar, CategoryBar, Histogram};
pub use column::{ColumnReport, Drift, Training};

use crate::digest::FileDigest;
use crate::error::ScoreError;
use crate::job::Summary;
use crate::model::PinnedModel;
use crate::plan::Plan;
use crate::sink::{StagedFile, check_free};
use crate::tally::{Reason, Tally};

/// The version of the report's schema.
pub const FORMAT: u32 = 1;

/// The program in whose name reports are written.
pub(crate) const PROGRAM: &str = concat!("serve-score ", env!("CARGO_PKG_VERSION"));

/// Kinds of reason that a report lists.
const REASONS: usize = 50;

/// A report on a job.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// [`FORMAT`].
    pub format: u32,
    /// `score`.
    pub kind: &'static str,
    /// The program and its version.
    pub program: &'static str,
    /// When it was made, RFC 3339 UTC.
    pub created: String,
    /// What scored.
    pub model: ModelReport,
    /// What decided the rows, by option.
    pub options: BTreeMap<String, String>,
    /// What was read.
    pub input: Files,
    /// What was written.
    pub output: Files,
    /// Rows.
    pub rows: Rows,
    /// How long it took.
    pub speed: Speed,
    /// Answered rows by label; none for a plain regression.
    pub labels: Vec<LabelReport>,
    /// The scores, in order.
    pub scores: Vec<ColumnReport>,
    /// The inputs, worst drift first.
    pub features: Vec<ColumnReport>,
}

/// What scored.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ModelReport {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// The identity of its content.
    pub digest: Digest,
    /// What it predicts.
    pub target: String,
    /// The kind of model.
    pub model_type: Option<String>,
    /// What trained it.
    pub trained_by: String,
    /// When it was trained, RFC 3339 UTC.
    pub training_date: Option<String>,
    /// First and last time of the training rows.
    pub training_window: Option<(String, String)>,
    /// Training rows that drift is measured against; none where the version has no such record.
    pub training_rows: Option<u64>,
}

impl ModelReport {
    /// A model as reports tell it.
    #[must_use]
    pub fn new(model: &PinnedModel) -> Self {
        let Manifest { source, training_date, model_type, target, .. } = model.manifest();
        let library = match &source.version {
            Some(version) => format!("{} {version}", source.library),
            None => source.library.clone(),
        };
        let reference = model.reference();
        Self {
            name: model.name().to_string(),
            version: model.version().to_string(),
            digest: model.digest(),
            target: target.name.clone(),
            model_type: model_type.clone(),
            trained_by: library,
            training_date: training_date.clone(),
            training_window: reference.and_then(|reference| reference.window.clone()),
            training_rows: reference.map(|reference| reference.rows),
        }
    }
}

/// Files of one kind.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Files {
    /// Their format.
    pub format: String,
    /// The files, in order.
    pub files: Vec<FileDigest>,
}

/// Rows by what became of them.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Rows {
    /// Rows that were read.
    pub read: u64,
    /// Rows that were answered.
    pub answered: u64,
    /// Rows that were rejected.
    pub rejected: u64,
    /// Rejected rows by column and kind of reason, most first.
    pub reasons: Vec<Reason>,
}

/// How long a job took.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Speed {
    /// Seconds from the first row to the output under its name, of the last run where it went on behind another.
    pub seconds: f64,
    /// Rows of that run.
    pub rows: u64,
    /// Rows by seconds.
    pub rows_per_second: f64,
    /// Threads that scored; none where they were those of a cluster.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub threads: Option<usize>,
}

impl Speed {
    /// Where it was reached.
    pub(crate) fn place(&self) -> String {
        self.threads.map_or_else(|| "in a cluster".to_owned(), |threads| format!("{threads} threads"))
    }
}

/// Answered rows of one label.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LabelReport {
    /// The label.
    pub label: String,
    /// Rows.
    pub rows: u64,
    /// Their share of the answered rows.
    pub share: f64,
}

/// What a report needs beside the plan and what came of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Circumstances {
    /// What decided the rows, by option.
    pub options: Vec<(String, String)>,
    /// What was read.
    pub input: Files,
    /// What was written.
    pub output: Files,
    /// Threads that scored, where that is known.
    pub threads: Option<usize>,
}

impl Report {
    /// The report on a job whose plan counted rows.
    #[must_use]
    pub fn new(plan: &Plan, summary: &Summary, circumstances: Circumstances) -> Self {
        let none = Tally::default();
        let tally = summary.tally.as_ref().unwrap_or(&none);
        let Circumstances { options, input, output, threads } = circumstances;
        let mut reasons = tally.reasons.clone();
        reasons.sort_by_key(|reason| std::cmp::Reverse(reason.rows));
        reasons.truncate(REASONS);
        let rows = summary.rows - summary.earlier_rows;
        let seconds = summary.elapsed.as_secs_f64();
        let answered = summary.rows - summary.rejected;
        let (labels, scores, features) = match plan.gauge() {
            Some(gauge) => (
                labels(&gauge.labels, &tally.labels),
                column::scores(gauge, tally),
                column::features(gauge, tally),
            ),
            None => Default::default(),
        };
        Self {
            format: FORMAT,
            kind: "score",
            program: PROGRAM,
            created: now(),
            model: ModelReport::new(plan.model()),
            options: options.into_iter().collect(),
            input,
            output,
            rows: Rows { read: summary.rows, answered, rejected: summary.rejected, reasons },
            speed: Speed { seconds, rows, rows_per_second: rows as f64 / seconds.max(1e-9), threads },
            labels,
            scores,
            features,
        }
    }

    /// As one page of HTML that needs nothing else.
    #[must_use]
    pub fn html(&self) -> String {
        html::page(self)
    }
}

/// The present, to the second.
pub(crate) fn now() -> String {
    let now = jiff::Timestamp::now();
    jiff::Timestamp::from_second(now.as_second()).unwrap_or(now).to_string()
}

fn labels(labels: &[String], rows: &[u64]) -> Vec<LabelReport> {
    let all: u64 = rows.iter().sum();
    let label = |(label, rows): (&String, u64)| LabelReport {
        label: label.clone(),
        rows,
        share: rows as f64 / all.max(1) as f64,
    };
    labels.iter().zip(rows.iter().copied().chain(std::iter::repeat(0))).map(label).collect()
}

/// A file that a report is written to; its name tells how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReportFile {
    path: PathBuf,
    page: bool,
}

impl FromStr for ReportFile {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let path = PathBuf::from(text);
        match path.extension().and_then(|end| end.to_str()).map(str::to_ascii_lowercase).as_deref() {
            Some("html" | "htm") => Ok(Self { path, page: true }),
            Some("json") => Ok(Self { path, page: false }),
            _ => Err("expected a name that ends in .html or .json".to_owned()),
        }
    }
}

impl ReportFile {
    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Sees that nothing is in its place.
    ///
    /// # Errors
    /// [`ScoreError::Exists`].
    pub fn check(&self, overwrite: bool) -> Result<(), ScoreError> {
        check_free(&self.path, overwrite)
    }

    /// Writes a report, as JSON or as the page that `html` makes of it.
    ///
    /// # Errors
    /// When it cannot be written, or something is in its place.
    pub fn write<R: Serialize>(
        &self,
        report: &R,
        html: impl FnOnce(&R) -> String,
        overwrite: bool,
    ) -> Result<(), ScoreError> {
        let mut text = if self.page {
            html(report)
        } else {
            serde_json::to_string_pretty(report).map_err(ScoreError::software)?
        };
        text.push('\n');
        let staged = StagedFile::create(&self.path, overwrite)?;
        let written = staged.file()?;
        std::io::Write::write_all(&mut &written, text.as_bytes())
            .map_err(|error| ScoreError::output(self.path.display().to_string(), error))?;
        staged.publish()
    }
}
