//! Scalers, with scikit-learn's meaning and its order of operations, so that `transform` and `inverse_transform` give
//! its bits. A scaler is fitted when the model is trained and travels in the bundle; it is never fitted on a request.
//!
//! Source of every formula: scikit-learn, `sklearn.preprocessing`. NaN passes through unchanged and is left out of
//! every statistic. A column without spread gets the scale 1, so it is centred and not divided by zero.

use ndarray::ArrayView2;
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// A fitted scaler over columns in order. Parameters left out are not applied.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", rename_all_fields = "snake_case")]
#[non_exhaustive]
pub enum Scaler {
    /// `(x - mean) / scale`, where scale is the population standard deviation.
    Standard(Affine),
    /// `x * scale + min`, into a range; `clip` holds values of unseen rows inside it.
    MinMax(MinMaxScaler),
    /// `(x - median) / scale`, where scale is a range between two quantiles.
    Robust(Affine),
    /// `x / scale`, where scale is the greatest magnitude.
    MaxAbs(Affine),
}

/// `(x - center) / scale`, per column, then held inside `clip`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Affine {
    /// Subtracted first, where given.
    #[serde(default)]
    pub center: Option<Vec<f64>>,
    /// Divided by then, where given.
    #[serde(default)]
    pub scale: Option<Vec<f64>>,
    /// Lower and upper end that the result is held in, where given.
    #[serde(default)]
    pub clip: Option<(f64, f64)>,
}

/// `x * scale + min`, per column, as `sklearn.preprocessing.MinMaxScaler`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MinMaxScaler {
    /// Added after scaling.
    pub min: Vec<f64>,
    /// Multiplied by.
    pub scale: Vec<f64>,
    /// Lower and upper end that the result is held in, where given.
    #[serde(default)]
    pub clip: Option<(f64, f64)>,
}

/// A scaler whose parameters cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{scaler} scaler: {problem}")]
#[non_exhaustive]
pub struct InvalidScaler {
    /// Which scaler.
    pub scaler: &'static str,
    /// What is wrong with it.
    pub problem: String,
}

impl Scaler {
    /// Fits `(x - mean) / standard deviation` to training rows `[rows, features]`; the deviation is the population's
    /// (divided by the number of rows).
    #[must_use]
    pub fn fit_standard(rows: ArrayView2<'_, f64>) -> Self {
        let moments: Vec<_> = rows.columns().into_iter().map(|c| moments(c.iter().copied())).collect();
        Self::Standard(Affine {
            center: Some(moments.iter().map(|m| m.mean).collect()),
            scale: Some(moments.iter().map(Moments::scale).collect()),
            clip: None,
        })
    }

    /// Fits a scaling of each column's training range to 0…1.
    #[must_use]
    pub fn fit_min_max(rows: ArrayView2<'_, f64>) -> Self {
        let (mut min, mut scale) = (Vec::new(), Vec::new());
        for column in rows.columns() {
            let low = column.iter().copied().fold(f64::INFINITY, f64::min);
            let high = column.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            // Without a single value there is no range: nothing is moved or scaled.
            let (low, range) = if low > high { (0.0, 1.0) } else { (low, high - low) };
            let factor = 1.0 / divisor(range);
            scale.push(factor);
            min.push(0.0 - low * factor);
        }
        Self::MinMax(MinMaxScaler { min, scale, clip: None })
    }

    /// Fits `(x - median) / (third quartile - first quartile)`, with linear interpolation between order statistics.
    #[must_use]
    pub fn fit_robust(rows: ArrayView2<'_, f64>) -> Self {
        let (mut center, mut scale) = (Vec::new(), Vec::new());
        for column in rows.columns() {
            let mut sorted: Vec<f64> = column.iter().copied().filter(|x| !x.is_nan()).collect();
            sorted.sort_by(f64::total_cmp);
            center.push(quantile(&sorted, 0.5));
            scale.push(divisor(quantile(&sorted, 0.75) - quantile(&sorted, 0.25)));
        }
        Self::Robust(Affine { center: Some(center), scale: Some(scale), clip: None })
    }

    /// Fits `x / max |x|`.
    #[must_use]
    pub fn fit_max_abs(rows: ArrayView2<'_, f64>) -> Self {
        let greatest =
            |column: ndarray::ArrayView1<'_, f64>| column.iter().fold(0.0, |m: f64, x| m.max(x.abs()));
        let scale = rows.columns().into_iter().map(|c| divisor(greatest(c))).collect();
        Self::MaxAbs(Affine { center: None, scale: Some(scale), clip: None })
    }

    /// Scales one row in place.
    pub fn transform(&self, row: &mut [f64]) {
        match self {
            Self::Standard(affine) | Self::Robust(affine) | Self::MaxAbs(affine) => affine.transform(row),
            Self::MinMax(scaler) => scaler.transform(row),
        }
    }

    /// Undoes [`transform`](Self::transform) in place, but for clipping, which loses what it cuts.
    pub fn inverse_transform(&self, row: &mut [f64]) {
        match self {
            Self::Standard(affine) | Self::Robust(affine) | Self::MaxAbs(affine) => {
                affine.inverse_transform(row);
            }
            Self::MinMax(scaler) => scaler.inverse_transform(row),
        }
    }

    /// Checks that the parameters fit rows of `width` columns.
    ///
    /// # Errors
    /// When a parameter has another length, is not finite, or is a scale of zero.
    pub fn validate(&self, width: usize) -> Result<(), InvalidScaler> {
        let (scaler, offsets, scales, clip) = match self {
            Self::Standard(a) => ("standard", a.center.as_deref(), a.scale.as_deref(), a.clip),
            Self::MinMax(m) => ("min-max", Some(&m.min[..]), Some(&m.scale[..]), m.clip),
            Self::Robust(a) => ("robust", a.center.as_deref(), a.scale.as_deref(), a.clip),
            Self::MaxAbs(a) => ("max-abs", a.center.as_deref(), a.scale.as_deref(), a.clip),
        };
        let invalid = |problem| Err(InvalidScaler { scaler, problem });
        for values in [offsets, scales].into_iter().flatten() {
            if values.len() != width {
                return invalid(format!("expected parameters for {width} columns, got {}", values.len()));
            }
            if let Some(column) = values.iter().position(|x| !x.is_finite()) {
                return invalid(format!("a parameter of column {column} is not finite"));
            }
        }
        if let Some((low, high)) = clip.filter(|(low, high)| low.is_nan() || high.is_nan() || low > high) {
            return invalid(format!("it holds values between {low} and {high}"));
        }
        match scales.and_then(|scales| scales.iter().position(|&x| x == 0.0)) {
            Some(column) => invalid(format!("the scale of column {column} is zero")),
            None => Ok(()),
        }
    }
}

impl Affine {
    fn transform(&self, row: &mut [f64]) {
        each(row, self.center.as_deref(), |x, center| x - center);
        each(row, self.scale.as_deref(), |x, scale| x / scale);
        hold(row, self.clip);
    }

    fn inverse_transform(&self, row: &mut [f64]) {
        each(row, self.scale.as_deref(), |x, scale| x * scale);
        each(row, self.center.as_deref(), |x, center| x + center);
    }
}

impl MinMaxScaler {
    fn transform(&self, row: &mut [f64]) {
        each(row, Some(&self.scale), |x, scale| x * scale);
        each(row, Some(&self.min), |x, min| x + min);
        hold(row, self.clip);
    }

    fn inverse_transform(&self, row: &mut [f64]) {
        each(row, Some(&self.min), |x, min| x - min);
        each(row, Some(&self.scale), |x, scale| x / scale);
    }
}

/// `x` held between two ends; NaN stays NaN. Comparisons rather than `f64::max`, which leaves open which of two zeros it
/// answers with: numpy takes the end's.
pub(crate) fn clip(x: f64, low: f64, high: f64) -> f64 {
    if x <= low {
        low
    } else if x >= high {
        high
    } else {
        x
    }
}

fn hold(row: &mut [f64], ends: Option<(f64, f64)>) {
    if let Some((low, high)) = ends {
        row.iter_mut().for_each(|x| *x = clip(*x, low, high));
    }
}

fn each(row: &mut [f64], parameters: Option<&[f64]>, operation: impl Fn(f64, f64) -> f64) {
    if let Some(parameters) = parameters {
        row.iter_mut().zip(parameters).for_each(|(x, p)| *x = operation(*x, *p));
    }
}

struct Moments {
    count: f64,
    mean: f64,
    variance: f64,
}

/// Mean and population variance of the values that are not NaN, by the corrected two-pass formula
/// (Chan, Golub and LeVeque 1983), as scikit-learn computes them.
fn moments(values: impl Iterator<Item = f64> + Clone) -> Moments {
    let present = values.filter(|x| !x.is_nan());
    let count = present.clone().count() as f64;
    if count == 0.0 {
        return Moments { count, mean: 0.0, variance: 0.0 };
    }
    let mean = present.clone().sum::<f64>() / count;
    let correction = present.clone().map(|x| x - mean).sum::<f64>();
    let squares = present.map(|x| (x - mean) * (x - mean)).sum::<f64>();
    Moments { count, mean, variance: (squares - correction * correction / count) / count }
}

impl Moments {
    /// The standard deviation, or 1 where the variance is within the rounding of its own computation, by
    /// scikit-learn's bound (`_is_constant_feature`).
    fn scale(&self) -> f64 {
        let rounding = self.count * self.mean * f64::EPSILON;
        let bound = self.count * f64::EPSILON * self.variance + rounding * rounding;
        if self.variance <= bound { 1.0 } else { self.variance.sqrt() }
    }
}

/// A spread that can be divided by: 1 where it is within rounding of zero, by scikit-learn's bound
/// (`_handle_zeros_in_scale`).
fn divisor(spread: f64) -> f64 {
    if spread.is_finite() && spread >= 10.0 * f64::EPSILON { spread } else { 1.0 }
}

/// The quantile `q` of sorted values, interpolated linearly; 0 where there are none.
fn quantile(sorted: &[f64], q: f64) -> f64 {
    let Some(last) = sorted.len().checked_sub(1) else { return 0.0 };
    let at = q * last as f64;
    let (low, part) = (at.floor() as usize, at.fract());
    let (a, b) = (sorted[low], sorted[(low + 1).min(last)]);
    a + (b - a) * part
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;

    #[test]
    fn constant_column_scales_to_zero() {
        let scaler = Scaler::fit_standard(array![[5.0, 1.0], [5.0, 3.0]].view());
        let mut row = [5.0, 3.0];
        scaler.transform(&mut row);
        assert_eq!(row, [0.0, 1.0]);
        scaler.inverse_transform(&mut row);
        assert_eq!(row, [5.0, 3.0]);
    }

    #[test]
    fn parameters_of_another_width_are_refused() {
        let scaler = Scaler::MaxAbs(Affine { scale: Some(vec![1.0, 0.0]), ..Affine::default() });
        let told = |width| scaler.validate(width).map_err(|e| e.to_string());
        assert_eq!(told(3), Err("max-abs scaler: expected parameters for 3 columns, got 2".to_owned()));
        assert_eq!(told(2), Err("max-abs scaler: the scale of column 1 is zero".to_owned()));
    }
}
