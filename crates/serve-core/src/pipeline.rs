//! The pipeline: signature, transforms, scaler, model, link, decision, in that order, for one row or many. HTTP, gRPC,
//! embedding and offline scoring all call this, and nothing else predicts.

mod batch;

use std::cell::RefCell;
use std::collections::HashSet;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::decision::{Decide, DecisionPolicy, InvalidPolicy};
pub use crate::engine::InvalidEstimator;
use crate::engine::{Compiled, Path, TreeEngine, Workspace};
use crate::ensemble::Model;
use crate::link::Link;
use crate::manifest::Target;
use crate::prediction::{Prediction, Scores};
use crate::scaler::Scaler;
use crate::signature::{CheckedRow, Datatype, InvalidInput, MissingPolicy, Signature};
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
    admits: Admits,
}

/// Which rows the signature admits unchanged, whatever they hold beyond it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Admits {
    /// All.
    All,
    /// Those of finite numbers.
    Finite,
    /// Each has to be asked for.
    Asked,
}

impl Admits {
    fn of(signature: &Signature) -> Self {
        let inputs = signature.inputs();
        let number = |datatype| !matches!(datatype, Datatype::Bool | Datatype::Int64);
        if !inputs.iter().all(|input| input.range.is_none() && number(input.datatype)) {
            Self::Asked
        } else if inputs.iter().all(|input| input.missing == MissingPolicy::Nan) {
            Self::All
        } else {
            Self::Finite
        }
    }
}

#[derive(Default)]
struct Scratch {
    row: CheckedRow,
    rows: Vec<f64>,
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
        Self::with_path(signature, estimator, target, decision, Path::default())
    }

    /// As [`new`](Self::new), with every tree ensemble forced to one path of the engine: for tests and measurements.
    ///
    /// # Errors
    /// When the parts do not fit together, or the path cannot run a model or on this CPU.
    pub fn with_path(
        signature: Signature,
        estimator: &Estimator,
        target: Target,
        decision: DecisionPolicy,
        path: Path,
    ) -> Result<Self, InvalidPipeline> {
        let names = signature.inputs().iter().map(|input| input.name.as_str());
        let compiled = Compiled::new(names, estimator, path)?;
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
        let admits = Admits::of(&signature);
        Ok(Self { signature, target, decision, decide, compiled, admits })
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

    /// The tree ensembles that it runs, in order: which kernel takes how many rows, and what memory they take.
    #[must_use]
    pub fn tree_engines(&self) -> Vec<&TreeEngine> {
        self.compiled.tree_engines()
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
            if row.len() == self.signature.len() && self.admits_row(row) {
                return self.infer(row, &mut scratch.space);
            }
            self.signature.read_numbers(row, &mut scratch.row)?;
            self.infer(scratch.row.values(), &mut scratch.space)
        })
    }

    fn admits_row(&self, row: &[f64]) -> bool {
        match self.admits {
            Admits::All => true,
            Admits::Finite => row.iter().fold(true, |all, x| all & x.is_finite()),
            Admits::Asked => false,
        }
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

    /// The prediction that has these scores, as an earlier one of the same model had: they are decided upon anew, not
    /// inferred.
    ///
    /// # Errors
    /// When there are more or fewer than the model has, or one is not finite.
    pub fn predict_from_scores(&self, scores: &[f64]) -> Result<Prediction, PredictError> {
        let (expected, got) = (self.compiled.outputs(), scores.len());
        if expected != got {
            return Err(InvalidInput::Length { expected, got }.into());
        }
        finite(scores)?;
        let (answer, confidence) = self.decide.answer(scores);
        let classification = self.target.task.is_classification();
        Ok(Prediction { scores: scores.into(), answer, confidence, classification })
    }

    fn infer(&self, row: &[f64], space: &mut Workspace) -> Result<Prediction, PredictError> {
        let mut scores = Scores::from_elem(0.0, self.compiled.outputs());
        self.compiled.row(row, &mut scores, space);
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
