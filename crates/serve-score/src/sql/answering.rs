//! What a function answers: its type, and its column for a batch of rows.

use std::sync::Arc;

use arrow_array::builder::StringBuilder;
use arrow_array::{ArrayRef, Float64Array, StructArray};
use arrow_schema::{DataType, Field, Fields};
use arrow_select::nullif::nullif;
use datafusion::common::{Result, plan_err};
use serde::{Deserialize, Serialize};
use serve_core::{Answer, BatchPrediction, CheckedRow, Task};

use super::function::Kind;
use crate::convert::{Matrix, Texts, Wrong};
use crate::error::ScoreError;
use crate::model::PinnedModel;

/// The type of a function's answers. It travels with a planned query, since whoever plans a part of it need not have the model.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Answers {
    /// A label.
    Text,
    /// A value.
    Number,
    /// Numbers with names.
    Numbers(Vec<String>),
}

impl Answers {
    /// What a function answers of a model.
    pub(super) fn of(kind: Kind, model: &PinnedModel) -> Result<Self> {
        let target = model.pipeline().target();
        Ok(match (kind, &target.task) {
            (Kind::Predict, _) if !model.manifest().decision.labels(target).is_empty() => Self::Text,
            (Kind::Predict, Task::MultiRegression { outputs }) => Self::Numbers(outputs.clone()),
            (Kind::Predict, _) => Self::Number,
            (Kind::Probabilities, Task::Classification { classes }) => Self::Numbers(classes.clone()),
            (Kind::Probabilities, _) => return plan_err!("{model} is a regression and has no probabilities"),
            (Kind::Explain, _) => {
                Self::Numbers(model.explainer().map(crate::plan::contributions).unwrap_or_default())
            }
        })
    }

    /// As a type of Arrow.
    pub(super) fn datatype(&self) -> DataType {
        match self {
            Self::Text => DataType::Utf8,
            Self::Number => DataType::Float64,
            Self::Numbers(names) => DataType::Struct(numbers(names)),
        }
    }
}

fn numbers(names: &[String]) -> Fields {
    names.iter().map(|name| Field::new(name, DataType::Float64, true)).collect()
}

/// The answers to one batch.
pub(super) struct Answering {
    kind: Kind,
    model: PinnedModel,
    matrix: Matrix,
    /// Per row, whether it has no answer.
    failed: Vec<bool>,
}

impl Answering {
    pub(super) fn new(kind: Kind, model: PinnedModel) -> Self {
        Self { kind, model, matrix: Matrix::default(), failed: Vec::new() }
    }

    /// The answers, and why the rows that have none have none.
    pub(super) fn answer(&mut self, columns: &[ArrayRef]) -> Result<(ArrayRef, Vec<String>), ScoreError> {
        let pipeline = self.model.pipeline();
        let mut wrong: Vec<Wrong> = Vec::new();
        self.matrix.read(pipeline.signature(), columns, Texts::Values, &mut wrong);
        let mut predictions = BatchPrediction::new();
        let predicted = pipeline.predict_batch(self.matrix.rows(), &mut predictions);
        predicted.map_err(ScoreError::software)?;
        let mut reasons: Vec<Option<String>> = (0..self.matrix.len())
            .map(|row| predictions.answer(row).err().map(ToString::to_string))
            .collect();
        for Wrong { row, input, problem } in wrong {
            let feature = pipeline.signature().inputs()[input].name.clone();
            reasons[row] = Some(serve_core::Violation { feature, problem }.to_string());
        }
        self.failed = reasons.iter().map(Option::is_some).collect();
        let target = pipeline.target();
        let labelled = !self.model.manifest().decision.labels(target).is_empty();
        let answers = match self.kind {
            Kind::Predict if labelled => self.labels(&predictions),
            Kind::Explain => self.contributions(&mut reasons)?,
            Kind::Predict | Kind::Probabilities => self.scores(&predictions)?,
        };
        Ok((answers, reasons.into_iter().flatten().collect()))
    }

    fn labels(&self, predictions: &BatchPrediction) -> ArrayRef {
        let target = self.model.pipeline().target();
        let labels = self.model.manifest().decision.labels(target);
        let mut column = StringBuilder::new();
        for (row, failed) in self.failed.iter().enumerate() {
            let label = match predictions.answer(row) {
                Ok(Answer::Class(label) | Answer::Band { band: label, .. }) if !failed => labels.get(label),
                _ => None,
            };
            column.append_option(label);
        }
        Arc::new(column.finish())
    }

    fn scores(&self, predictions: &BatchPrediction) -> Result<ArrayRef, ScoreError> {
        let answers = Answers::of(self.kind, &self.model).map_err(ScoreError::software)?;
        let width = self.model.pipeline().target().task.scores();
        let column = |score: usize| -> ArrayRef {
            let scores = predictions.scores().iter().skip(score).step_by(width);
            let scores = scores.zip(&self.failed).map(|(score, failed)| (!failed).then_some(*score));
            Arc::new(scores.collect::<Float64Array>())
        };
        match answers {
            Answers::Numbers(names) => self.nested(numbers(&names), (0..width).map(column).collect()),
            _ => Ok(column(0)),
        }
    }

    fn nested(&self, fields: Fields, columns: Vec<ArrayRef>) -> Result<ArrayRef, ScoreError> {
        let nested = StructArray::try_new(fields, columns, None).map_err(ScoreError::software)?;
        nullif(&nested, &self.failed.clone().into()).map_err(ScoreError::software)
    }

    fn contributions(&mut self, reasons: &mut [Option<String>]) -> Result<ArrayRef, ScoreError> {
        let unresolved = || ScoreError::software("the model was not resolved to be explained");
        let explainer = self.model.explainer().ok_or_else(unresolved)?;
        let signature = self.model.pipeline().signature();
        let mut columns: Vec<Vec<Option<f64>>> =
            vec![Vec::new(); explainer.width() - explainer.output_count()];
        let mut checked = CheckedRow::new();
        for (row, failed) in self.failed.iter_mut().enumerate() {
            let values: Vec<f64> = (0..signature.len()).map(|input| self.matrix.at(row, input)).collect();
            let explained = if *failed {
                None
            } else {
                let read = signature.read_numbers(&values, &mut checked).map_err(Into::into);
                match read.and_then(|()| explainer.explain_checked(&checked)) {
                    Ok(explanation) => Some(explanation),
                    Err(error) => {
                        (*failed, reasons[row]) = (true, Some(error.to_string()));
                        None
                    }
                }
            };
            let Some(explanation) = explained else {
                columns.iter_mut().for_each(|column| column.push(None));
                continue;
            };
            let contributions = explanation.outputs().flat_map(|output| output.contributions);
            columns.iter_mut().zip(contributions).for_each(|(column, x)| column.push(Some(*x)));
        }
        let fields = numbers(&crate::plan::contributions(explainer));
        let columns =
            columns.into_iter().map(|column| Arc::new(Float64Array::from(column)) as ArrayRef).collect();
        self.nested(fields, columns)
    }
}
