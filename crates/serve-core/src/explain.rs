//! Explanations: how much each input of a row added to each raw score, and what a model makes of its inputs as a whole.
//!
//! Contributions are Shapley values. For trees they are path-dependent TreeSHAP: what is not known of a row is averaged
//! over the training data by the covers of the nodes. For a linear model an input contributes `w · (x - mean)`. They are
//! of raw scores, before the link function, and sum with the base value to the raw score.
//!
//! An [`Explainer`] is a thing of its own beside the [`Pipeline`](crate::Pipeline): what predicts carries nothing for
//! explaining, and whoever never explains pays nothing.

mod importance;
mod kernel;
mod labels;
mod layout;
mod linear;
mod part;
mod paths;
mod quadrature;

use std::cell::RefCell;
use std::sync::Arc;

use serde::Serialize;
use thiserror::Error;

use crate::engine::InvalidEstimator;
use crate::manifest::Target;
use crate::pipeline::Estimator;
use crate::signature::{CheckedRow, InvalidInput, Signature};
pub use importance::{Importance, Importances};
use part::{Builder, Part, Space};

/// Rows explained together: a tree's numbers stay in the cache for all of them.
const BLOCK: usize = 32;

/// What contributions are measured from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Background {
    /// The training data, by how much of it reached each node of the trees.
    NodeCovers,
    /// The mean of the training data, which the standard scaler knows.
    TrainingMean,
    /// Inputs of zero, where a linear model's file does not tell a mean.
    Zero,
    /// Several of these: the members of an ensemble differ.
    Mixed,
}

/// Why a model cannot be explained.
#[derive(Debug, Clone, PartialEq, Error)]
#[non_exhaustive]
pub enum Unexplainable {
    /// The file told nothing about the training data.
    #[error("explanations need node covers, which this model's file lacks")]
    NoCovers,
    /// Leaves are models themselves.
    #[error("trees with linear leaves (linear_tree) have no explanations, in LightGBM either")]
    LinearLeaves,
    /// The score is no sum.
    #[error("a score that is the {which} leaf of its trees is no sum of contributions")]
    NoSum {
        /// `least` or `greatest`.
        which: &'static str,
    },
    /// A member's scores go through a link function before they are averaged.
    #[error(
        "member {member} of the ensemble has a link function, so its contributions do not add up to the average"
    )]
    MemberLink {
        /// Which member, from 0.
        member: usize,
    },
    /// A path asks too much.
    #[error("a path through a tree asks {got} features, explanations take at most {most}")]
    Features {
        /// How many the path asks.
        got: usize,
        /// How many are allowed.
        most: usize,
    },
    /// The kind of model has no explanations.
    #[error("models of this kind have no explanations: {reason}")]
    Kind {
        /// Why not.
        reason: String,
    },
    /// The estimator's parts do not fit.
    #[error(transparent)]
    Estimator(#[from] InvalidEstimator),
}

/// Why a row has no explanation.
#[derive(Debug, Clone, PartialEq, Error)]
#[non_exhaustive]
pub enum ExplainError {
    /// The signature refuses the row: the client's fault.
    #[error(transparent)]
    Input(#[from] InvalidInput),
    /// A contribution came out NaN or infinite.
    #[error("non-finite contribution of {feature:?} to output {output}: {got}")]
    NonFinite {
        /// The feature.
        feature: String,
        /// Which output, from 0.
        output: usize,
        /// What it is.
        got: String,
    },
}

/// What an explainer is made with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ExplainOptions {
    /// Where the scores of trees are averages, explains their sums, as LightGBM's `pred_contrib` and `raw_score` do for
    /// its random forests. The sum is [`Explanation::averaged_over`] times what the link function is given.
    pub sums_of_averages: bool,
}

/// Explains the predictions of one model. Immutable and `Sync`: any number of threads may call it.
#[derive(Debug)]
pub struct Explainer {
    signature: Signature,
    names: Arc<[String]>,
    outputs: Arc<[String]>,
    part: Part,
    base: Vec<f64>,
    background: Background,
    averaged_over: Option<usize>,
}

/// The explanation of one row.
#[derive(Debug, Clone, PartialEq)]
pub struct Explanation {
    names: Arc<[String]>,
    outputs: Arc<[String]>,
    /// Per output: contributions, then the base value.
    values: Vec<f64>,
    background: Background,
    averaged_over: Option<usize>,
}

/// The explanation of one output.
#[derive(Debug, Clone, Copy)]
pub struct OutputExplanation<'a> {
    /// The class or output; `None` where there is only one, or for the positive one of two classes.
    pub name: Option<&'a str>,
    /// Sum of the base value and all contributions.
    pub raw_score: f64,
    /// The raw score of a row of which nothing is known.
    pub base_value: f64,
    /// The names of the features.
    pub names: &'a [String],
    /// What each of them adds.
    pub contributions: &'a [f64],
}

thread_local! {
    /// Per thread, as for predictions.
    static SPACE: RefCell<Space> = RefCell::default();
}

impl Explainer {
    /// An explainer of what `estimator` makes of rows of `signature`. `O(nodes)` in time and memory, about 32 bytes a node.
    ///
    /// # Errors
    /// When the model has no explanations, or its parts do not fit together.
    ///
    /// ```
    /// use serve_core::explain::{ExplainOptions, Explainer};
    /// use serve_core::{Estimator, Link, LinearModel, Model, Signature, Target, Task};
    /// let model = Model::Linear(LinearModel::new(2, vec![2.0, -1.0], vec![0.5])?);
    /// let target = Target { name: "price".to_owned(), task: Task::Regression };
    /// let signature = Signature::of_numbers(["a", "b"])?;
    /// let estimator = Estimator::of(model, Link::IDENTITY);
    /// let explainer = Explainer::new(&signature, &estimator, &target, ExplainOptions::default())?;
    /// let explanation = explainer.explain(&[3.0, 4.0])?;
    /// let output = explanation.outputs().next().ok_or("no output")?;
    /// assert_eq!((output.raw_score, output.base_value, output.contributions), (2.5, 0.5, &[6.0, -4.0][..]));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn new(
        signature: &Signature,
        estimator: &Estimator,
        target: &Target,
        options: ExplainOptions,
    ) -> Result<Self, Unexplainable> {
        let inputs: Vec<String> = signature.names().map(str::to_owned).collect();
        let built = Builder::build(&inputs, estimator, target, options)?;
        Ok(Self {
            signature: signature.clone(),
            names: built.names.into(),
            outputs: built.outputs.into(),
            part: built.part,
            base: built.base,
            background: built.background,
            averaged_over: built.averaged_over,
        })
    }

    /// The names that contributions have, in their order.
    #[must_use]
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// The names of the outputs that are explained; none where there is only one.
    #[must_use]
    pub fn output_names(&self) -> &[String] {
        &self.outputs
    }

    /// How many outputs are explained: one for each class of three or more and for each value of a regression, else one.
    #[must_use]
    pub fn output_count(&self) -> usize {
        self.base.len()
    }

    /// Explains one row of numbers in the signature's order; NaN means missing.
    ///
    /// # Errors
    /// When the signature refuses the row, or a contribution is not finite.
    pub fn explain(&self, row: &[f64]) -> Result<Explanation, ExplainError> {
        let mut checked = CheckedRow::new();
        self.signature.read_numbers(row, &mut checked)?;
        self.explain_checked(&checked)
    }

    /// Explains a row that the pipeline's signature has admitted.
    ///
    /// # Errors
    /// As [`explain`](Self::explain).
    pub fn explain_checked(&self, row: &CheckedRow) -> Result<Explanation, ExplainError> {
        let (expected, got) = (self.signature.len(), row.values().len());
        if expected != got {
            return Err(InvalidInput::Length { expected, got }.into());
        }
        let mut values = vec![0.0; self.width()];
        self.contributions(row.values(), &mut values);
        let width = self.names.len() + 1;
        if let Some(at) = values.iter().position(|value| !value.is_finite()) {
            let feature = self.names.get(at % width).map_or("base value", String::as_str).to_owned();
            let got = values[at].to_string();
            return Err(ExplainError::NonFinite { feature, output: at / width, got });
        }
        let (names, outputs) = (Arc::clone(&self.names), Arc::clone(&self.outputs));
        let Self { background, averaged_over, .. } = *self;
        Ok(Explanation { names, outputs, values, background, averaged_over })
    }

    /// How many numbers [`contributions`](Self::contributions) makes of a row.
    #[must_use]
    pub fn width(&self) -> usize {
        self.base.len() * (self.names.len() + 1)
    }

    /// The contributions to many admitted rows, row-major `[rows, inputs]`, into `out`, `[rows, outputs, names + 1]`; the
    /// last number of an output is its base value. A row's numbers have the same bits alone and in any batch.
    ///
    /// # Panics
    /// Never: rows beyond the end of either slice are left out.
    pub fn contributions(&self, rows: &[f64], out: &mut [f64]) {
        let (inputs, width) = (self.signature.len(), self.width());
        out.fill(0.0);
        SPACE.with_borrow_mut(|space| {
            for (rows, out) in rows.chunks(BLOCK * inputs).zip(out.chunks_mut(BLOCK * width)) {
                self.part.add(rows, out, self.names.len() + 1, space);
            }
        });
        for row in out.chunks_exact_mut(width) {
            for (output, base) in row.chunks_exact_mut(self.names.len() + 1).zip(&self.base) {
                output[self.names.len()] = *base;
            }
        }
    }

    /// `mean |contribution|` of each name over these rows, summed over the outputs; rows that the signature refuses are
    /// left out. `None` where no row is left.
    #[must_use]
    pub fn mean_magnitudes<'a>(&self, rows: impl IntoIterator<Item = &'a [f64]>) -> Option<Importance> {
        let (mut sums, mut count) = (vec![0.0; self.names.len()], 0.0);
        for row in rows {
            let Ok(explanation) = self.explain(row) else { continue };
            for output in explanation.outputs() {
                sums.iter_mut().zip(output.contributions).for_each(|(sum, x)| *sum += x.abs());
            }
            count += 1.0;
        }
        sums.iter_mut().for_each(|sum| *sum /= count);
        (count > 0.0).then(|| Importance::new(Arc::clone(&self.names), sums))
    }
}

impl Explanation {
    /// One explanation for each output; a model of two classes has one, for the positive class.
    pub fn outputs(&self) -> impl ExactSizeIterator<Item = OutputExplanation<'_>> {
        self.values.chunks_exact(self.names.len() + 1).enumerate().map(|(at, values)| {
            let (contributions, base) = values.split_at(self.names.len());
            OutputExplanation {
                name: self.outputs.get(at).map(String::as_str),
                raw_score: base[0] + contributions.iter().sum::<f64>(),
                base_value: base[0],
                names: &self.names,
                contributions,
            }
        })
    }

    /// What contributions are measured from.
    #[must_use]
    pub fn background(&self) -> Background {
        self.background
    }

    /// The number of trees whose sum is explained where the score is their average.
    #[must_use]
    pub fn averaged_over(&self) -> Option<usize> {
        self.averaged_over
    }
}
