//! Contributions to linear models: `w · (x - mean)` for each input, from `w · mean + b`.
//!
//! Inputs are the scaled columns. Where a standard scaler made them their mean is 0, and where nothing tells it 0 is taken,
//! so the contribution is `w · x` in both cases and the base value is the intercept; only the meaning differs.

use super::Background;
use crate::linear::LinearModel;
use crate::link::Precision;
use crate::scaler::{Affine, Scaler};

/// A linear model whose inputs add to labels.
#[derive(Debug)]
pub(super) struct Linear {
    inputs: usize,
    /// Row-major `[outputs, inputs]`.
    weights: Vec<f64>,
    labels: Vec<u32>,
    single: bool,
}

/// What the mean of the scaled columns is.
pub(super) fn background(scaler: Option<&Scaler>) -> Background {
    match scaler {
        Some(Scaler::Standard(Affine { center: Some(_), clip: None, .. })) => Background::TrainingMean,
        _ => Background::Zero,
    }
}

impl Linear {
    pub(super) fn new(model: &LinearModel, outputs: &[usize], scale: f64, labels: &[u32]) -> Self {
        let inputs = model.inputs();
        let rows = outputs.iter().flat_map(|&k| &model.weights()[k * inputs..(k + 1) * inputs]);
        Self {
            inputs,
            weights: rows.map(|weight| weight * scale).collect(),
            labels: labels.to_vec(),
            single: model.precision() == Precision::F32,
        }
    }

    /// Adds to `out`, `[rows, outputs, width]`.
    pub(super) fn add(&self, rows: &[f64], out: &mut [f64], width: usize) {
        let outputs = self.weights.len() / self.inputs;
        for (row, out) in rows.chunks_exact(self.inputs).zip(out.chunks_exact_mut(outputs * width)) {
            for (weights, out) in self.weights.chunks_exact(self.inputs).zip(out.chunks_exact_mut(width)) {
                for ((weight, x), label) in weights.iter().zip(row).zip(&self.labels) {
                    out[*label as usize] += if self.single { single(*weight, *x) } else { weight * x };
                }
            }
        }
    }
}

/// As XGBoost's `gblinear`: a missing input adds nothing.
fn single(weight: f64, x: f64) -> f64 {
    if x.is_nan() { 0.0 } else { weight * f64::from(x as f32) }
}
