//! What a training tells a person: what it used, what it left out, and how good the model is beside guessing.

use serde::Serialize;
use serve_core::Metrics;

use crate::dataset::{Dataset, RowCounts};

/// The report of one training.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// The algorithm's name.
    pub algorithm: &'static str,
    /// Rows read, used and left out.
    pub rows: RowCounts,
    /// Columns left out for their names, `entity` or `symbol`.
    pub entity_columns: Vec<String>,
    /// Number of features.
    pub features: usize,
    /// The classes in order.
    pub classes: Vec<String>,
    /// What the model learned from.
    pub training: Part,
    /// What it was measured on.
    pub holdout: Part,
    /// The held-out figures, those of guessing among them, as in the manifest.
    pub metrics: Metrics,
    /// Trees and their nodes, leaves included; `None` for a linear model.
    pub trees: Option<(usize, usize)>,
}

/// One of the two parts of the data.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Part {
    /// Number of rows.
    pub rows: usize,
    /// First and last time, RFC 3339 UTC, where the file has times.
    pub window: Option<(String, String)>,
    /// Rows of each class, in class order.
    pub class_counts: Vec<usize>,
}

impl Part {
    pub(crate) fn of(dataset: &Dataset, from: usize, to: usize) -> Self {
        let (_, labels) = dataset.part(from, to);
        let mut class_counts = vec![0; dataset.classes().len()];
        labels.iter().for_each(|label| class_counts[*label as usize] += 1);
        let window = dataset.times().map(|times| (times[from].to_string(), times[to - 1].to_string()));
        Self { rows: to - from, window, class_counts }
    }

    /// Each class's share of the rows.
    #[must_use]
    pub fn shares(&self) -> Vec<f64> {
        self.class_counts.iter().map(|count| *count as f64 / self.rows as f64).collect()
    }
}
