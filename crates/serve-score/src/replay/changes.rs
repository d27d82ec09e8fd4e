//! Rows whose answer changes, as a report tells them and as an output has them.

use std::sync::Arc;

use arrow_array::{ArrayRef, Float64Array, RecordBatch, StringArray, UInt64Array};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use serde::Serialize;

use crate::error::ScoreError;

/// A row whose answer changes.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Change {
    /// Its number in the log, from 1.
    pub row: u64,
    /// Which prediction it is, where the log tells it.
    pub prediction_id: Option<String>,
    /// What the features describe, where the log tells it.
    pub entity: Option<String>,
    /// The version that answered then.
    pub version: String,
    /// What was decided then; none for a plain value.
    pub old_decision: Option<String>,
    /// What is decided now.
    pub new_decision: Option<String>,
    /// The score that differs most.
    pub score: String,
    /// It then.
    pub old_score: f64,
    /// It now.
    pub new_score: f64,
    /// Now less then.
    pub difference: f64,
}

/// The columns of an output.
pub(super) fn schema() -> SchemaRef {
    let text = |name: &str, nullable| Field::new(name, DataType::Utf8, nullable);
    let number = |name: &str| Field::new(name, DataType::Float64, false);
    Arc::new(Schema::new(vec![
        Field::new("row", DataType::UInt64, false),
        text("prediction_id", true),
        text("entity", true),
        text("version", false),
        text("old_decision", true),
        text("new_decision", true),
        text("score", false),
        number("old_score"),
        number("new_score"),
        number("difference"),
    ]))
}

/// Changes as rows of an output.
pub(super) fn batch(changes: &[Change]) -> Result<RecordBatch, ScoreError> {
    let texts = |text: fn(&Change) -> Option<&str>| -> ArrayRef {
        Arc::new(changes.iter().map(text).collect::<StringArray>())
    };
    let numbers = |number: fn(&Change) -> f64| -> ArrayRef {
        Arc::new(Float64Array::from_iter_values(changes.iter().map(number)))
    };
    let columns = vec![
        Arc::new(UInt64Array::from_iter_values(changes.iter().map(|change| change.row))) as ArrayRef,
        texts(|change| change.prediction_id.as_deref()),
        texts(|change| change.entity.as_deref()),
        texts(|change| Some(&change.version)),
        texts(|change| change.old_decision.as_deref()),
        texts(|change| change.new_decision.as_deref()),
        texts(|change| Some(&change.score)),
        numbers(|change| change.old_score),
        numbers(|change| change.new_score),
        numbers(|change| change.difference),
    ];
    RecordBatch::try_new(schema(), columns).map_err(ScoreError::software)
}

/// Keeps those that change most; of equals those that come first.
pub(super) fn keep_most(changes: &mut Vec<Change>, top: usize) {
    changes.sort_by(|a, b| b.difference.abs().total_cmp(&a.difference.abs()).then_with(|| a.row.cmp(&b.row)));
    changes.truncate(top);
}
