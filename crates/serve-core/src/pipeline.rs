//! The pipeline: signature, transforms, scaler, model, link, decision, in that order, for one row or many. HTTP, gRPC,
//! embedding and offline scoring all call this, and nothing else predicts.

use std::cell::RefCell;
use std::collections::HashSet;

use ndarray::ArrayView2;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::decision::{Decide, DecisionPolicy, InvalidPolicy};
pub use crate::engine::InvalidEstimator;
use crate::engine::{Compiled, Workspace};
use crate::ensemble::Model;
use crate::link::Link;
use crate::manifest::Target;
use crate::prediction::{BatchPrediction, Prediction, Scores};
use crate::scaler::Scaler;
use crate::signature::{CheckedRow, InvalidInput, Signature};
use crate::transform::Transform;

/// What turns a row of numbers into scores, as data: transforms, then a scaler, a model and its link function.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Estimator {
    /// Applied first, in order.
    #[serde(with = "crate::transform::as_json")]
    pub transforms: Vec<Transform>,
    /// Applied to the transformed columns.
    pub scaler: Option<Scaler>,
    /// Makes raw scores of the scaled columns.
    pub model: Model,
    /// Makes probabilities or values of raw scores.
    pub link: Link,
}

impl Estimator {
    /// A bare model.
    #[must_use]
    pub fn of(model: Model, link: Link) -> Self {
        Self { transforms: Vec::new(), scaler: None, model, link }
    }
}

/// Why a row got no prediction.
#[derive(Debug, Clone, PartialEq, Error)]
#[non_exhaustive]
pub enum PredictError {
    /// The signature refuses the row: the client's fault.
    #[error(transparent)]
    Input(#[from] InvalidInput),
    /// A score came out NaN or infinite: the row drives the model out of its range.
    #[error("non-finite output: score {output} of {outputs} is {got}")]
    NonFiniteOutput {
        /// Which score, from 0.
        output: usize,
        /// How many there are.
        outputs: usize,
        /// What it is.
        got: String,
    },
}

/// Parts that make no pipeline.
#[derive(Debug, Clone, PartialEq, Error)]
#[non_exhaustive]
pub enum InvalidPipeline {
    /// The estimator's parts do not fit.
    #[error(transparent)]
    Estimator(#[from] InvalidEstimator),
    /// The decision policy does not fit the target.
    #[error(transparent)]
    Policy(#[from] InvalidPolicy),
    /// Two classes have the same label, so an answer could mean either.
    #[error("the target {target:?} has the class {class:?} twice")]
    Class {
        /// The target's name.
        target: String,
        /// The class.
        class: String,
    },
    /// The model gives another number of scores than the target has.
    #[error("the target {target:?} needs {expected} scores, the model gives {got}")]
    Scores {
        /// The target's name.
        target: String,
        /// Number of classes, or 1.
        expected: usize,
        /// What the model gives.
        got: usize,
    },
}

/// A model ready to predict. Immutable and `Sync`: any number of threads may call it.
#[derive(Debug)]
pub struct Pipeline {
    signature: Signature,
    target: Target,
    decision: DecisionPolicy,
    decide: Decide,
    compiled: Compiled,
}

#[derive(Default)]
struct Scratch {
    row: CheckedRow,
    rows: Vec<f64>,
    /// A row of a view that is not row-major.
    loose: Vec<f64>,
    space: Workspace,
}

thread_local! {
    /// Per thread, so that predicting allocates nothing once warm and shares nothing between threads.
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

impl Pipeline {
    /// Checks that the parts fit together and compiles them.
    ///
    /// # Errors
    /// When they do not fit.
    pub fn new(
        signature: Signature,
        estimator: &Estimator,
        target: Target,
        decision: DecisionPolicy,
    ) -> Result<Self, InvalidPipeline> {
        let compiled = Compiled::new(signature.inputs().iter().map(|input| input.name.as_str()), estimator)?;
        let expected = target.task.scores();
        let mut seen = HashSet::new();
        if let Some(class) = target.task.classes().iter().find(|class| !seen.insert(class.as_str())) {
            return Err(InvalidPipeline::Class { class: class.clone(), target: target.name });
        }
        if compiled.outputs() != expected {
            let (target, got) = (target.name, compiled.outputs());
            return Err(InvalidPipeline::Scores { target, expected, got });
        }
        let decide = decision.resolve(&target)?;
        Ok(Self { signature, target, decision, decide, compiled })
    }

    /// What the model takes.
    #[must_use]
    pub fn signature(&self) -> &Signature {
        &self.signature
    }

    /// What it predicts.
    #[must_use]
    pub fn target(&self) -> &Target {
        &self.target
    }

    /// The answer's label: a class, or a band of the decision policy; `None` for a plain regression.
    #[must_use]
    pub fn label(&self, prediction: &Prediction) -> Option<&str> {
        let labels = self.decision.labels(&self.target);
        prediction.class().and_then(|class| labels.get(class)).map(String::as_str)
    }

    /// Predicts one row of numbers in the signature's order; NaN means missing.
    ///
    /// # Errors
    /// When the signature refuses the row, or a score is not finite.
    pub fn predict(&self, row: &[f64]) -> Result<Prediction, PredictError> {
        SCRATCH.with_borrow_mut(|scratch| {
            self.signature.read_numbers(row, &mut scratch.row)?;
            self.infer(scratch.row.values(), &mut scratch.space)
        })
    }

    /// Predicts a row that this pipeline's signature has admitted.
    ///
    /// # Errors
    /// When the row has another length, or a score is not finite.
    pub fn predict_checked(&self, row: &CheckedRow) -> Result<Prediction, PredictError> {
        let (expected, got) = (self.signature.len(), row.values().len());
        if expected != got {
            return Err(InvalidInput::Length { expected, got }.into());
        }
        SCRATCH.with_borrow_mut(|scratch| self.infer(row.values(), &mut scratch.space))
    }

    /// Predicts many rows, `[rows, inputs]`, into `out`, which is cleared first. A row that fails, fails alone. Row-major
    /// views are read in place; others row by row.
    ///
    /// # Errors
    /// [`InvalidInput::Length`] when the view has another number of columns than the signature has inputs.
    pub fn predict_batch(
        &self,
        rows: ArrayView2<'_, f64>,
        out: &mut BatchPrediction,
    ) -> Result<(), InvalidInput> {
        let (expected, got) = (self.signature.len(), rows.ncols());
        if expected != got {
            return Err(InvalidInput::Length { expected, got });
        }
        out.width = self.compiled.outputs();
        out.classification = self.target.task.is_classification();
        out.rows.clear();
        out.scores.clear();
        out.scores.resize(rows.nrows() * out.width, 0.0);
        SCRATCH.with_borrow_mut(|scratch| {
            self.admit_rows(rows, scratch, out);
            self.compiled.scores(&scratch.rows, &mut out.scores, &mut scratch.space);
        });
        self.decide_rows(out);
        Ok(())
    }

    fn admit_rows(&self, rows: ArrayView2<'_, f64>, scratch: &mut Scratch, out: &mut BatchPrediction) {
        let width = self.signature.len();
        scratch.rows.clear();
        for row in rows.rows() {
            let row = row.to_slice().unwrap_or_else(|| {
                scratch.loose.clear();
                scratch.loose.extend(row);
                &scratch.loose
            });
            match self.signature.read_numbers(row, &mut scratch.row) {
                Ok(()) => {
                    scratch.rows.extend_from_slice(scratch.row.values());
                    out.rows.push(Ok((crate::Answer::Value, None)));
                }
                Err(error) => {
                    scratch.rows.extend(std::iter::repeat_n(0.0, width));
                    out.rows.push(Err(error.into()));
                }
            }
        }
    }

    fn decide_rows(&self, out: &mut BatchPrediction) {
        for (row, scores) in out.rows.iter_mut().zip(out.scores.chunks_exact_mut(out.width)) {
            if row.is_ok() {
                *row = finite(scores).map(|()| self.decide.answer(scores));
            }
            if row.is_err() {
                scores.fill(f64::NAN);
            }
        }
    }

    fn infer(&self, row: &[f64], space: &mut Workspace) -> Result<Prediction, PredictError> {
        let mut scores = Scores::from_elem(0.0, self.compiled.outputs());
        self.compiled.scores(row, &mut scores, space);
        finite(&scores)?;
        let (answer, confidence) = self.decide.answer(&scores);
        Ok(Prediction { scores, answer, confidence, classification: self.target.task.is_classification() })
    }
}

fn finite(scores: &[f64]) -> Result<(), PredictError> {
    match scores.iter().position(|score| !score.is_finite()) {
        None => Ok(()),
        Some(output) => {
            let (outputs, got) = (scores.len(), scores[output].to_string());
            Err(PredictError::NonFiniteOutput { output, outputs, got })
        }
    }
}
