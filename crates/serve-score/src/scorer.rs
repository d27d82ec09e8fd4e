//! A batch of rows to a batch of answers. Rows without an answer become rejects; the others keep their order.

use std::sync::Arc;

use arrow_array::builder::StringBuilder;
use arrow_array::{Array, ArrayRef, BooleanArray, Float64Array, RecordBatch, StringArray};
use arrow_schema::{Field, Schema};
use serve_core::signature::{InvalidInput, Violation};
use serve_core::{Answer, BatchPrediction, CheckedRow, PredictError};

use crate::convert::{Matrix, Wrong};
use crate::error::ScoreError;
use crate::plan::Plan;
use crate::reject::Reject;
use crate::source::{BATCH_ROWS, Batch};
use crate::tally::{Counted, Counter, Tally};

/// What became of a batch.
#[derive(Debug)]
pub struct Scored {
    /// How many rows were read.
    pub read: u64,
    /// The output's columns, for the rows that were answered.
    pub answers: RecordBatch,
    /// The others, in order.
    pub rejects: Vec<Reject>,
    /// What was counted of all of them, where the plan asks for it.
    pub tally: Option<Tally>,
}

/// Scores batches for one thread; what it needs is kept from batch to batch.
#[derive(Debug)]
pub struct Scorer {
    plan: Arc<Plan>,
    labels: Vec<String>,
    versions: ArrayRef,
    matrix: Matrix,
    wrong: Vec<Wrong>,
    predictions: BatchPrediction,
    counter: Option<Counter>,
}

impl Scorer {
    /// A scorer by a plan.
    #[must_use]
    pub fn new(plan: Arc<Plan>) -> Self {
        let manifest = plan.model().manifest();
        let labels = manifest.decision.labels(&manifest.target).to_vec();
        let versions = versions(manifest.version.as_str(), BATCH_ROWS);
        Self {
            counter: plan.gauge().cloned().map(Counter::new),
            plan,
            labels,
            versions,
            matrix: Matrix::default(),
            wrong: Vec::new(),
            predictions: BatchPrediction::new(),
        }
    }

    /// Scores a batch.
    ///
    /// # Errors
    /// Only for mistakes of ours: what is wrong with rows stands in the answer.
    pub fn score(&mut self, batch: Batch) -> Result<Scored, ScoreError> {
        let plan = Arc::clone(&self.plan);
        let pipeline = plan.model().pipeline();
        let columns: Vec<ArrayRef> = plan.inputs.iter().map(|&at| Arc::clone(&batch.columns[at])).collect();
        self.wrong.clear();
        self.matrix.read(pipeline.signature(), &columns, plan.texts, &mut self.wrong);
        let predicted = pipeline.predict_batch(self.matrix.rows(), &mut self.predictions);
        predicted.map_err(ScoreError::software)?;
        let mut rejects = self.rejects(&batch);
        let mut contributions = Contributions::default();
        if plan.explain {
            contributions = self.explain(&batch, &mut rejects)?;
        }
        let failed: Vec<usize> = rejects.iter().map(|(row, _)| *row).collect();
        let answers = self.answers(&batch, &failed, contributions)?;
        let mut rejects: Vec<Reject> = rejects.into_iter().map(|(_, reject)| reject).collect();
        if !batch.broken.is_empty() {
            rejects.extend(batch.broken);
            rejects.sort_by_key(|reject| reject.row);
        }
        let tally = self.counter.as_mut().map(|counter| {
            counter.count(&Counted {
                first_row: batch.first_row,
                read: batch.read,
                matrix: &self.matrix,
                wrong: &self.wrong,
                predictions: &self.predictions,
                failed: &failed,
                rejects: &rejects,
            })
        });
        Ok(Scored { read: batch.read, answers, rejects, tally })
    }

    /// The rows that fail, in order.
    fn rejects(&mut self, batch: &Batch) -> Vec<(usize, Reject)> {
        // Columns were read one after the other.
        self.wrong.sort_by_key(|wrong| wrong.row);
        let mut wrong = self.wrong.iter().peekable();
        let mut rejects = Vec::new();
        for row in 0..batch.rows {
            let own: Vec<&Wrong> = std::iter::from_fn(|| wrong.next_if(|wrong| wrong.row == row)).collect();
            let error = self.predictions.answer(row).err();
            if own.is_empty() && error.is_none() {
                continue;
            }
            let (column, reason) = self.told(&own, error);
            rejects.push((row, reject(&self.plan, batch, row, column, reason)));
        }
        rejects
    }

    /// The column at fault, and all that is wrong.
    fn told(&self, wrong: &[&Wrong], error: Option<&PredictError>) -> (String, String) {
        let signature = self.plan.model().pipeline().signature();
        let mut violations: Vec<(usize, Violation)> = wrong
            .iter()
            .map(|Wrong { input, problem, .. }| {
                let feature = signature.inputs()[*input].name.clone();
                (*input, Violation { feature, problem: problem.clone() })
            })
            .collect();
        match error {
            Some(PredictError::Input(InvalidInput::Violations { violations: more })) => {
                for violation in more {
                    let input = signature.position(&violation.feature).unwrap_or_default();
                    if !violations.iter().any(|(known, _)| *known == input) {
                        violations.push((input, violation.clone()));
                    }
                }
            }
            // What came of a value that could not be read says nothing.
            Some(other) if violations.is_empty() => return (String::new(), other.to_string()),
            _ => {}
        }
        violations.sort_by_key(|(input, _)| *input);
        let column = violations.first().map(|(input, _)| self.plan.columns[self.plan.inputs[*input]].clone());
        let reasons: Vec<String> = violations.iter().map(|(_, violation)| violation.to_string()).collect();
        (column.unwrap_or_default(), reasons.join("; "))
    }

    /// The contributions to the rows that are answered; rows that have none are rejected.
    fn explain(
        &self,
        batch: &Batch,
        rejects: &mut Vec<(usize, Reject)>,
    ) -> Result<Contributions, ScoreError> {
        let unresolved = || ScoreError::software("the model was not resolved to be explained");
        let explainer = self.plan.model().explainer().ok_or_else(unresolved)?;
        let signature = self.plan.model().pipeline().signature();
        let mut contributions = Contributions { width: explainer.names().len(), ..Contributions::default() };
        contributions.columns.resize_with(explainer.width() - explainer.output_count(), Vec::new);
        let (mut row, mut checked) = (vec![0.0; signature.len()], CheckedRow::new());
        let mut added = Vec::new();
        for number in 0..batch.rows {
            if rejects.binary_search_by_key(&number, |(row, _)| *row).is_ok() {
                continue;
            }
            row.iter_mut().enumerate().for_each(|(input, x)| *x = self.matrix.at(number, input));
            let explained = signature.read_numbers(&row, &mut checked).map_err(Into::into);
            match explained.and_then(|()| explainer.explain_checked(&checked)) {
                Ok(explanation) => contributions.push(&explanation),
                Err(error) => {
                    let reject = reject(&self.plan, batch, number, String::new(), error.to_string());
                    added.push((number, reject));
                }
            }
        }
        if !added.is_empty() {
            rejects.extend(added);
            rejects.sort_by_key(|(row, _)| *row);
        }
        Ok(contributions)
    }

    /// The output's columns without the rows in `failed`, which ascend.
    fn answers(
        &self,
        batch: &Batch,
        failed: &[usize],
        contributions: Contributions,
    ) -> Result<RecordBatch, ScoreError> {
        let schema = self.plan.schema();
        let mut columns = Vec::with_capacity(schema.fields().len());
        for (&at, field) in self.plan.kept.iter().zip(schema.fields()) {
            let column = cast(&batch.columns[at], field).map_err(ScoreError::software)?;
            columns.push(without(&column, failed).map_err(ScoreError::software)?);
        }
        let answered: Vec<usize> = if failed.is_empty() {
            (0..batch.rows).collect()
        } else {
            let mut failed = failed.iter().peekable();
            (0..batch.rows).filter(|row| failed.next_if(|next| *next == row).is_none()).collect()
        };
        if !self.labels.is_empty() {
            columns.push(self.label_column(&answered));
        }
        let width = self.plan.model().pipeline().target().task.scores();
        let scores = self.predictions.scores();
        for score in 0..width {
            let column = answered.iter().map(|row| scores[row * width + score]);
            columns.push(Arc::new(Float64Array::from_iter_values(column)));
        }
        columns.push(self.version_column(answered.len()));
        columns.extend(
            contributions.columns.into_iter().map(|column| Arc::new(Float64Array::from(column)) as ArrayRef),
        );
        RecordBatch::try_new(Arc::clone(schema), columns).map_err(ScoreError::software)
    }

    /// The same text in every row, made once.
    fn version_column(&self, rows: usize) -> ArrayRef {
        if self.versions.len() >= rows {
            return self.versions.slice(0, rows);
        }
        versions(self.plan.model().version().as_str(), rows)
    }

    fn label_column(&self, answered: &[usize]) -> ArrayRef {
        let mut column = StringBuilder::with_capacity(answered.len(), 8 * answered.len());
        for &row in answered {
            let label = match self.predictions.answer(row) {
                Ok(Answer::Class(label) | Answer::Band { band: label, .. }) => self.labels.get(label),
                _ => None,
            };
            column.append_value(label.map_or("", String::as_str));
        }
        Arc::new(column.finish())
    }
}

fn versions(version: &str, rows: usize) -> ArrayRef {
    Arc::new(StringArray::from_iter_values(std::iter::repeat_n(version, rows)))
}

fn cast(column: &ArrayRef, field: &Field) -> Result<ArrayRef, arrow_schema::ArrowError> {
    if column.data_type() == field.data_type() {
        return Ok(Arc::clone(column));
    }
    arrow_cast::cast(column, field.data_type())
}

/// A column without some rows.
fn without(column: &ArrayRef, failed: &[usize]) -> Result<ArrayRef, arrow_schema::ArrowError> {
    if failed.is_empty() {
        return Ok(Arc::clone(column));
    }
    let mut keep = vec![true; column.len()];
    failed.iter().for_each(|&row| keep[row] = false);
    arrow_select::filter::filter(column, &BooleanArray::from(keep))
}

/// Contributions, a column per output and feature.
#[derive(Debug, Default)]
struct Contributions {
    width: usize,
    columns: Vec<Vec<f64>>,
}

impl Contributions {
    fn push(&mut self, explanation: &serve_core::Explanation) {
        for (output, columns) in explanation.outputs().zip(self.columns.chunks_mut(self.width.max(1))) {
            columns.iter_mut().zip(output.contributions).for_each(|(column, x)| column.push(*x));
        }
    }
}

fn reject(plan: &Plan, batch: &Batch, row: usize, column: String, reason: String) -> Reject {
    let input = match &batch.texts {
        Some(texts) => texts.get(row),
        None => json(plan, batch, row),
    };
    Reject { row: batch.number(row), column, reason, input }
}

/// A row as JSON, of the columns that were read.
fn json(plan: &Plan, batch: &Batch, row: usize) -> String {
    let columns: Vec<ArrayRef> = batch.columns.iter().map(|column| column.slice(row, 1)).collect();
    let fields: Vec<Field> = plan
        .columns
        .iter()
        .zip(&columns)
        .map(|(name, column)| Field::new(name, column.data_type().clone(), true))
        .collect();
    let mut text = Vec::new();
    let mut writer = arrow_json::WriterBuilder::new()
        .with_explicit_nulls(true)
        .build::<_, arrow_json::writer::LineDelimited>(&mut text);
    let written = RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)
        .and_then(|batch| writer.write(&batch))
        .and_then(|()| writer.finish());
    drop(writer);
    match written {
        Ok(()) => String::from_utf8_lossy(text.trim_ascii_end()).into_owned(),
        Err(error) => format!("({error})"),
    }
}
