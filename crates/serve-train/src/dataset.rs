//! Data to learn from: a CSV file with a column to predict becomes rows of numbers in the order of time.
//!
//! What smartcore cannot take does not get in: it has no missing values (its forest fits NaN without a word, its
//! logistic regression answers zeros), so incomplete rows are left out and counted, and infinities are refused.
//!
//! Invariant of [`Dataset`]: at least one feature and two classes; every number is finite; rows ascend in time, and
//! rows of one time, or of a file without times, stand in the file's order.

mod classes;
mod columns;
mod error;
mod table;
pub(crate) mod timestamp;

use std::io::Read;

use jiff::Timestamp;
use ndarray::{Array2, ArrayView2, s};
use serde::Serialize;

use classes::Classes;
use columns::Columns;
pub use error::DatasetError;
use table::Table;

/// What the columns of a file are for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DatasetOptions {
    /// The column to predict.
    pub target: String,
    /// The column that orders the rows; else the first of `timestamp`, `time` and `date` that there is, and in a file
    /// without any the rows' order is their order in time.
    pub time: Option<String>,
    /// Columns to leave out. `entity` and `symbol` are left out without being named.
    pub exclude: Vec<String>,
    /// The classes in order; else sorted. Where the target is the numbers 0, 1, …, other words name them.
    pub classes: Option<Vec<String>>,
}

impl DatasetOptions {
    /// Predict `target` from all other columns.
    #[must_use]
    pub fn new(target: impl Into<String>) -> Self {
        Self { target: target.into(), time: None, exclude: Vec::new(), classes: None }
    }
}

/// How many rows a file had and what became of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct RowCounts {
    /// All rows.
    pub read: usize,
    /// Complete rows; they are the dataset.
    pub used: usize,
    /// Left out because the target is missing.
    pub missing_target: usize,
    /// Left out because a feature is missing, though the target is not.
    pub missing_feature: usize,
}

/// Rows with known classes; see the module for its invariant.
#[derive(Debug, Clone, PartialEq)]
pub struct Dataset {
    target: String,
    features: Vec<String>,
    rows: Array2<f64>,
    classes: Vec<String>,
    labels: Vec<u32>,
    times: Option<Vec<Timestamp>>,
    counts: RowCounts,
    entity_columns: Vec<String>,
}

impl Dataset {
    /// Reads a CSV file with a header. Lines that begin with `#` are comments. A cell that is empty, `nan`, `na`, `n/a`
    /// or `null`, or stands for nothing in pandas, is missing; true and false are 1 and 0. Times are RFC 3339, `YYYY-MM-DD` or `YYYY-MM-DD HH:MM:SS` in UTC.
    ///
    /// # Errors
    /// When the columns do not fit the options, a feature is text or infinite, a time cannot be read, no row is
    /// complete, or the target is no classification.
    ///
    /// ```
    /// use serve_train::{Dataset, DatasetOptions};
    /// let csv = "date,mood,move\n2024-01-02,0.5,up\n2024-01-01,-0.5,down\n2024-01-03,,up\n";
    /// let dataset = Dataset::from_csv(csv.as_bytes(), &DatasetOptions::new("move"))?;
    /// assert_eq!(dataset.features(), ["mood"]);
    /// assert_eq!((dataset.classes(), dataset.labels()), (&["down".into(), "up".into()][..], &[0, 1][..]));
    /// assert_eq!(dataset.counts().missing_feature, 1);
    /// # Ok::<(), serve_train::DatasetError>(())
    /// ```
    pub fn from_csv(input: impl Read, options: &DatasetOptions) -> Result<Self, DatasetError> {
        let mut reader = table::reader(input);
        let columns = Columns::choose(reader.headers()?, options)?;
        let table = Table::read(&mut reader, &columns)?;
        let classes = Classes::resolve(&options.target, &table.seen, options.classes.as_deref())?;
        let order = order(&table.times, table.counts.used);
        let width = columns.features.len();
        let rows = Array2::from_shape_fn((order.len(), width), |(r, c)| table.values[order[r] * width + c]);
        let label = |&row: &usize| classes.of_seen[table.targets[row] as usize];
        let times = columns.time.map(|_| order.iter().map(|&row| table.times[row]).collect());
        Ok(Self {
            target: options.target.clone(),
            features: columns.feature_names(),
            rows,
            labels: order.iter().map(label).collect(),
            classes: classes.labels,
            times,
            counts: table.counts,
            entity_columns: columns.entities,
        })
    }

    /// Name of the column to predict.
    #[must_use]
    pub fn target(&self) -> &str {
        &self.target
    }

    /// Names of the features, in the file's order.
    #[must_use]
    pub fn features(&self) -> &[String] {
        &self.features
    }

    /// The features, `[rows, features]`, row-major.
    #[must_use]
    pub fn rows(&self) -> ArrayView2<'_, f64> {
        self.rows.view()
    }

    /// The classes in the order of the model's probabilities.
    #[must_use]
    pub fn classes(&self) -> &[String] {
        &self.classes
    }

    /// The number of each row's class.
    #[must_use]
    pub fn labels(&self) -> &[u32] {
        &self.labels
    }

    /// The rows' times, ascending, where the file has any.
    #[must_use]
    pub fn times(&self) -> Option<&[Timestamp]> {
        self.times.as_deref()
    }

    /// How many rows were read, used and left out.
    #[must_use]
    pub fn counts(&self) -> RowCounts {
        self.counts
    }

    /// Columns that were left out for their names, `entity` or `symbol`.
    #[must_use]
    pub fn entity_columns(&self) -> &[String] {
        &self.entity_columns
    }

    /// The rows `from..to`.
    pub(crate) fn part(&self, from: usize, to: usize) -> (ArrayView2<'_, f64>, &[u32]) {
        (self.rows.slice(s![from..to, ..]), &self.labels[from..to])
    }
}

/// The rows' order in time; rows of one time keep their order.
fn order(times: &[Timestamp], rows: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..rows).collect();
    if !times.is_empty() {
        order.sort_by_key(|&row| times[row]);
    }
    order
}
