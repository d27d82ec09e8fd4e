//! Why a training fails.

use serve_core::linear::InvalidLinear;
use serve_core::pipeline::{InvalidPipeline, PredictError};
use serve_core::signature::{InvalidInput, InvalidSignature};
use serve_core::tree::InvalidTrees;
use smartcore::error::Failed;
use thiserror::Error;

use crate::fault::Fault;
use crate::settings::InvalidSetting;

/// Why a training fails.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum TrainError {
    /// A setting cannot be used.
    #[error(transparent)]
    Setting(#[from] InvalidSetting),
    /// A part of the data is too small to say anything.
    #[error("the {part} part has {got} rows of {rows}, expected at least {expected}")]
    TooFewRows {
        /// `training` or `held-out`.
        part: &'static str,
        /// How many rows it has.
        got: usize,
        /// How many the dataset has.
        rows: usize,
        /// How many it needs.
        expected: usize,
    },
    /// A class cannot be learned.
    #[error(
        "class {class:?} is in none of the {rows} training rows, only in later ones; hold out less, or use more data"
    )]
    ClassAbsent {
        /// The class.
        class: String,
        /// Number of training rows.
        rows: usize,
    },
    /// A class is in no row at all, so it was asked for by name.
    #[error("class {class:?} is in no row")]
    ClassUnseen {
        /// The class.
        class: String,
    },
    /// The squares of a feature's values are beyond 64-bit numbers, so it has no standard deviation.
    #[error("feature {feature:?} has values too large to be scaled; leave it out, or divide it")]
    TooLarge {
        /// The feature.
        feature: String,
    },
    /// smartcore refuses.
    #[error("smartcore cannot {step}")]
    Smartcore {
        /// What it was asked to do.
        step: &'static str,
        /// What it says.
        #[source]
        source: Failed,
    },
    /// smartcore's trees do not read as the version that we know writes them.
    #[error("smartcore's trees cannot be read")]
    Export(#[from] serde_json::Error),
    /// Trees came out that are none.
    #[error("the trained trees are no ensemble")]
    Trees(#[from] InvalidTrees),
    /// Coefficients came out that are none.
    #[error("the trained coefficients are no linear model")]
    Linear(#[from] InvalidLinear),
    /// A model that was never fitted holds nothing to lower.
    #[error("the model was never fitted")]
    NotFitted,
    /// A model was fitted on other columns than its caller says.
    #[error("expected {expected} columns, as many as the model was fitted on, got {got}")]
    Columns {
        /// What the model says.
        expected: usize,
        /// What its caller says.
        got: usize,
    },
    /// What was exported of a model contradicts its answer.
    #[error("row {row}: smartcore answers class {expected}, the export of its model class {got}")]
    Unfaithful {
        /// Which of the golden rows, from 0.
        row: usize,
        /// The class that smartcore answers.
        expected: u32,
        /// The class that follows from what was exported.
        got: u32,
    },
    /// The features' names make no signature.
    #[error("the features make no signature")]
    Signature(#[from] InvalidSignature),
    /// The trained parts do not fit together.
    #[error("the trained parts do not fit together")]
    Pipeline(#[from] InvalidPipeline),
    /// The pipeline refuses the rows that it was trained on.
    #[error("the pipeline refuses the data")]
    Input(#[from] InvalidInput),
    /// A row drives the model out of the range of numbers.
    #[error("the pipeline fails at row {row} of the {part} part")]
    Predict {
        /// `training` or `held-out`.
        part: &'static str,
        /// The row of that part, from 0.
        row: usize,
        /// Why.
        #[source]
        source: PredictError,
    },
}

impl TrainError {
    /// Whose fault it is.
    #[must_use]
    pub fn fault(&self) -> Fault {
        match self {
            Self::Setting(error) => error.fault(),
            Self::ClassUnseen { .. } | Self::NotFitted | Self::Columns { .. } => Fault::Options,
            Self::TooFewRows { .. }
            | Self::ClassAbsent { .. }
            | Self::TooLarge { .. }
            | Self::Predict { .. } => Fault::Data,
            Self::Smartcore { .. }
            | Self::Export(_)
            | Self::Trees(_)
            | Self::Linear(_)
            | Self::Unfaithful { .. }
            | Self::Signature(_)
            | Self::Pipeline(_)
            | Self::Input(_) => Fault::Ours,
        }
    }
}
