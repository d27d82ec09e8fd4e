//! Link functions: from a model's raw scores to probabilities or values. Exponentials in `f64` have the bits of `libm`, a port
//! of FreeBSD's in pure Rust, within one unit in the last place of the trainers' own; those in `f32` are our own, with
//! the bits of glibc. So an answer has the same bits on every CPU; a platform's `exp` differs between CPUs with and
//! without fused multiply-add.

mod double;
mod exponential;

use serde::{Deserialize, Serialize};

/// Greatest argument of the exponential in the logistic function in `f32`.
const LARGEST_EXPONENT: f32 = 88.7;

/// The precision in which a model was trained to add and to compare.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// Every step in `f64`.
    #[default]
    F64,
    /// Every step rounded to `f32`.
    F32,
}

/// A link function.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum LinkFunction {
    /// The raw scores are the answer.
    #[default]
    Identity,
    /// One raw score `r` becomes `[1 - p, p]` with `p = 1 / (1 + exp(-scale · r))`.
    Logistic {
        /// Steepness; LightGBM's `sigmoid`, otherwise 1.
        scale: f64,
    },
    /// `exp(rᵢ - max r) / Σ exp(rⱼ - max r)`.
    Softmax,
    /// `1 / (1 + exp(-scale · rᵢ))` for each class by itself; where `normalize`, divided by their sum. Where every class
    /// comes out 0, all stay 0, as scikit-learn has it.
    OneVsRest {
        /// Steepness, as above.
        scale: f64,
        /// Whether the probabilities are made to sum to 1, as scikit-learn does and LightGBM does not.
        normalize: bool,
    },
    /// `exp(rᵢ)`: Poisson, gamma and Tweedie regression, Cox and accelerated failure times.
    Exp,
    /// `ln(1 + exp(rᵢ))`: LightGBM's `cross_entropy_lambda`.
    Softplus,
    /// `sign(rᵢ) · rᵢ²`: LightGBM's `regression` trained on square roots.
    SignedSquare,
    /// One raw score `r` becomes `[0, 1]` where `r > 0` and `[1, 0]` elsewhere: XGBoost's `binary:hinge`.
    Hinge,
    /// One raw score that is a probability already, `p`, becomes `[1 - p, p]`.
    Complement,
    /// Raw scores, one per class, divided by their sum; all stay 0 where it is 0.
    Normalize,
    /// As [`Logistic`](Self::Logistic) with scale 1, but computed for the likelier class, the other being 1 minus it: ONNX
    /// Runtime's formula, which shows in `f32`.
    FoldedLogistic,
}

/// A link function and the precision it is computed in.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Link {
    /// The function.
    pub function: LinkFunction,
    /// The precision.
    pub precision: Precision,
}

impl Link {
    /// The identity.
    pub const IDENTITY: Self = Self { function: LinkFunction::Identity, precision: Precision::F64 };

    /// `function` in `f64`.
    #[must_use]
    pub fn new(function: LinkFunction) -> Self {
        Self { function, precision: Precision::F64 }
    }

    /// How many numbers come out for `raw` raw scores.
    #[must_use]
    pub fn outputs(&self, raw: usize) -> usize {
        if self.takes_one_score() { 2 } else { raw }
    }

    /// Whether it makes two probabilities of one raw score.
    pub(crate) fn takes_one_score(&self) -> bool {
        use LinkFunction::{Complement, FoldedLogistic, Hinge, Logistic};
        matches!(self.function, Logistic { .. } | Hinge | Complement | FoldedLogistic)
    }

    /// Applies the function to one row. `out` has [`outputs`](Self::outputs) places.
    pub fn apply(&self, raw: &[f64], out: &mut [f64]) {
        match self.function {
            LinkFunction::Identity => out.copy_from_slice(raw),
            LinkFunction::Logistic { scale } => {
                let p = self.sigmoid(raw[0], scale);
                out[0] = self.round(1.0 - p);
                out[1] = p;
            }
            LinkFunction::Softmax => self.softmax(raw, out),
            LinkFunction::OneVsRest { scale, normalize } => {
                out.iter_mut().zip(raw).for_each(|(p, r)| *p = self.sigmoid(*r, scale));
                if normalize {
                    self.normalize(out);
                }
            }
            LinkFunction::Exp => self.each(raw, out, |r| self.exp(r)),
            LinkFunction::Softplus => self.each(raw, out, |r| libm::log1p(libm::exp(r))),
            LinkFunction::SignedSquare => self.each(raw, out, |r| r * r.abs()),
            LinkFunction::Hinge => {
                let positive = raw[0] > 0.0;
                out.copy_from_slice(&[f64::from(u8::from(!positive)), f64::from(u8::from(positive))]);
            }
            LinkFunction::Complement => out.copy_from_slice(&[self.round(1.0 - raw[0]), raw[0]]),
            LinkFunction::FoldedLogistic => {
                let likely = self.sigmoid(raw[0].abs(), 1.0);
                let class = usize::from(raw[0] >= 0.0);
                out[class] = likely;
                out[1 - class] = self.round(1.0 - likely);
            }
            LinkFunction::Normalize => {
                out.copy_from_slice(raw);
                self.normalize(out);
            }
        }
    }

    fn each(&self, raw: &[f64], out: &mut [f64], function: impl Fn(f64) -> f64) {
        out.iter_mut().zip(raw).for_each(|(value, r)| *value = self.round(function(*r)));
    }

    fn normalize(&self, out: &mut [f64]) {
        let sum: f64 = out.iter().sum();
        if sum != 0.0 {
            out.iter_mut().for_each(|p| *p = self.round(*p / sum));
        }
    }

    fn exp(&self, x: f64) -> f64 {
        match self.precision {
            Precision::F64 => double::exp(x),
            Precision::F32 => f64::from(exponential::exp(x as f32)),
        }
    }

    fn round(&self, x: f64) -> f64 {
        match self.precision {
            Precision::F64 => x,
            Precision::F32 => f64::from(x as f32),
        }
    }

    #[inline]
    fn sigmoid(&self, raw: f64, scale: f64) -> f64 {
        match self.precision {
            Precision::F64 => 1.0 / (1.0 + double::exp(-scale * raw)),
            // The bound is XGBoost's: the least probability is not 0, but 1 / exp(88.7).
            Precision::F32 => f64::from(
                1.0 / (exponential::exp((-(scale as f32) * raw as f32).min(LARGEST_EXPONENT)) + 1.0),
            ),
        }
    }

    /// `f32`: exponentials in `f32`, their sum in `f64`, the quotient rounded to `f32`, as XGBoost does.
    fn softmax(&self, raw: &[f64], out: &mut [f64]) {
        let max = raw.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let mut sum = 0.0;
        for (p, r) in out.iter_mut().zip(raw) {
            *p = match self.precision {
                Precision::F64 => double::exp(r - max),
                Precision::F32 => f64::from(exponential::exp(*r as f32 - max as f32)),
            };
            sum += *p;
        }
        if self.precision == Precision::F32 {
            sum = f64::from(sum as f32);
        }
        out.iter_mut().for_each(|p| *p = self.round(*p / sum));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn apply(function: LinkFunction, raw: &[f64]) -> Vec<f64> {
        let link = Link::new(function);
        let mut out = vec![0.0; link.outputs(raw.len())];
        link.apply(raw, &mut out);
        out
    }

    #[test]
    fn logistic_gives_both_classes() {
        assert_eq!(apply(LinkFunction::Logistic { scale: 1.0 }, &[0.0]), [0.5, 0.5]);
        let far = apply(LinkFunction::Logistic { scale: 1.0 }, &[-800.0]);
        assert_eq!(far, [1.0, 0.0]);
    }

    #[test]
    fn logistic_in_single_precision_keeps_a_least_probability() {
        let link = Link { function: LinkFunction::Logistic { scale: 1.0 }, precision: Precision::F32 };
        let mut out = [0.0; 2];
        link.apply(&[-800.0], &mut out);
        // XGBoost 3.2's answer for a base margin of -800.
        assert_eq!(out, [1.0, f64::from(f32::from_bits(0x0020_bd47))]);
        link.apply(&[800.0], &mut out);
        assert_eq!(out, [0.0, 1.0]);
    }

    #[test]
    fn softmax_survives_large_scores() {
        assert_eq!(apply(LinkFunction::Softmax, &[1000.0, 1000.0]), [0.5, 0.5]);
    }

    #[test]
    fn values_follow_their_formulas() {
        assert_eq!(apply(LinkFunction::Exp, &[0.0, 700.0]), [1.0, 1.014_232_054_735_004_5e304]);
        assert_eq!(apply(LinkFunction::Softplus, &[0.0]), [std::f64::consts::LN_2]);
        assert_eq!(apply(LinkFunction::SignedSquare, &[-3.0, 0.5]), [-9.0, 0.25]);
        assert_eq!(apply(LinkFunction::Hinge, &[0.0]), [1.0, 0.0]);
        assert_eq!(apply(LinkFunction::Hinge, &[0.1]), [0.0, 1.0]);
        assert_eq!(apply(LinkFunction::Complement, &[0.25]), [0.75, 0.25]);
        assert_eq!(apply(LinkFunction::Normalize, &[1.0, 3.0]), [0.25, 0.75]);
        assert_eq!(apply(LinkFunction::Normalize, &[0.0, 0.0]), [0.0, 0.0]);
    }

    #[test]
    fn one_vs_rest_sums_to_one_only_where_told() {
        let function = |normalize| LinkFunction::OneVsRest { scale: 1.0, normalize };
        assert_eq!(apply(function(false), &[0.0, 0.0]), [0.5, 0.5]);
        assert_eq!(apply(function(true), &[0.0, 0.0, 0.0]), [0.5 / 1.5; 3]);
        assert_eq!(apply(function(true), &[-1e4, -1e4]), [0.0, 0.0]);
    }
}
