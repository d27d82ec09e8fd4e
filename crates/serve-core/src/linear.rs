//! Linear models: linear and logistic regression, multinomial and one-vs-rest classification. They differ in the
//! number of outputs and in the link function behind them, not here.

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::link::Precision;

/// `score[k] = intercept[k] + Σᵢ weights[k, i] · x[i]`, summed in the order of the inputs.
///
/// In `f64` the intercept is added last, as scikit-learn does; in `f32` it is what the sum starts from, every step is
/// rounded and a missing input adds nothing, as XGBoost's `gblinear` has it.
///
/// Invariant: `weights` has `outputs · inputs` numbers, `intercept` has `outputs`, all finite.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "LinearFile", into = "LinearFile")]
pub struct LinearModel {
    inputs: usize,
    weights: Vec<f64>,
    intercept: Vec<f64>,
    precision: Precision,
}

/// Why numbers make no linear model.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum InvalidLinear {
    /// The counts do not fit together.
    #[error("expected {outputs} x {inputs} weights, got {got}")]
    Shape {
        /// Number of outputs.
        outputs: usize,
        /// Number of inputs.
        inputs: usize,
        /// Number of weights.
        got: usize,
    },
    /// A weight or an intercept is NaN or infinite.
    #[error("weight or intercept {index} is not finite")]
    NotFinite {
        /// Its position, intercepts after weights.
        index: usize,
    },
}

#[derive(Clone, Serialize, Deserialize)]
struct LinearFile {
    inputs: u64,
    weights: Vec<f64>,
    intercept: Vec<f64>,
    precision: Precision,
}

/// The same in the first format of `model.bin`.
#[derive(Debug, Deserialize)]
pub(crate) struct LinearOne {
    inputs: u64,
    weights: Vec<f64>,
    intercept: Vec<f64>,
}

impl TryFrom<LinearOne> for LinearModel {
    type Error = InvalidLinear;

    fn try_from(LinearOne { inputs, weights, intercept }: LinearOne) -> Result<Self, InvalidLinear> {
        LinearFile { inputs, weights, intercept, precision: Precision::F64 }.try_into()
    }
}

impl LinearModel {
    /// A model of `weights`, row-major `[outputs, inputs]`, and one intercept per output.
    ///
    /// # Errors
    /// When the counts do not fit or a number is not finite.
    pub fn new(inputs: usize, weights: Vec<f64>, intercept: Vec<f64>) -> Result<Self, InvalidLinear> {
        let outputs = intercept.len();
        if inputs == 0 || outputs == 0 || outputs.checked_mul(inputs) != Some(weights.len()) {
            return Err(InvalidLinear::Shape { outputs, inputs, got: weights.len() });
        }
        match weights.iter().chain(&intercept).position(|x| !x.is_finite()) {
            Some(index) => Err(InvalidLinear::NotFinite { index }),
            None => Ok(Self { inputs, weights, intercept, precision: Precision::F64 }),
        }
    }

    /// The same model in another precision.
    #[must_use]
    pub fn with_precision(self, precision: Precision) -> Self {
        Self { precision, ..self }
    }

    /// The precision it is computed in.
    #[must_use]
    pub fn precision(&self) -> Precision {
        self.precision
    }

    /// The weights, row-major `[outputs, inputs]`.
    #[must_use]
    pub fn weights(&self) -> &[f64] {
        &self.weights
    }

    /// One intercept per output.
    #[must_use]
    pub fn intercept(&self) -> &[f64] {
        &self.intercept
    }

    /// Number of inputs.
    #[must_use]
    pub fn inputs(&self) -> usize {
        self.inputs
    }

    /// Number of raw scores.
    #[must_use]
    pub fn outputs(&self) -> usize {
        self.intercept.len()
    }

    /// The raw scores of one row.
    pub fn score(&self, row: &[f64], out: &mut [f64]) {
        let outputs = self.weights.chunks_exact(self.inputs).zip(&self.intercept).zip(out);
        for ((weights, intercept), score) in outputs {
            *score = match self.precision {
                Precision::F64 => weights.iter().zip(row).map(|(w, x)| w * x).sum::<f64>() + intercept,
                Precision::F32 => f64::from(single(weights, row, *intercept as f32)),
            };
        }
    }
}

fn single(weights: &[f64], row: &[f64], intercept: f32) -> f32 {
    let present = weights.iter().zip(row).filter(|(_, x)| !x.is_nan());
    present.fold(intercept, |sum, (w, x)| sum + *w as f32 * *x as f32)
}

impl TryFrom<LinearFile> for LinearModel {
    type Error = InvalidLinear;

    fn try_from(file: LinearFile) -> Result<Self, InvalidLinear> {
        let inputs = usize::try_from(file.inputs).unwrap_or(usize::MAX);
        Ok(Self::new(inputs, file.weights, file.intercept)?.with_precision(file.precision))
    }
}

impl From<LinearModel> for LinearFile {
    fn from(model: LinearModel) -> Self {
        let LinearModel { inputs, weights, intercept, precision } = model;
        Self { inputs: inputs as u64, weights, intercept, precision }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scores_are_weighted_sums() {
        let model = LinearModel::new(2, vec![1.0, 2.0, -1.0, 0.5], vec![10.0, 0.0]).expect("valid");
        let mut out = [0.0; 2];
        model.score(&[3.0, 4.0], &mut out);
        assert_eq!(out, [21.0, -1.0]);
    }

    #[test]
    fn shapes_and_numbers_are_checked() {
        assert_eq!(
            LinearModel::new(2, vec![1.0], vec![0.0]),
            Err(InvalidLinear::Shape { outputs: 1, inputs: 2, got: 1 })
        );
        assert_eq!(
            LinearModel::new(1, vec![f64::NAN], vec![0.0]),
            Err(InvalidLinear::NotFinite { index: 0 })
        );
    }
}
