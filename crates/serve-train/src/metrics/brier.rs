//! The Brier score.

use ndarray::ArrayView2;

/// The Brier score. For two classes `(1/n) · Σ (pᵢ − yᵢ)²`, `pᵢ` the probability of the second class and `yᵢ` 1 where it
/// is the row's; from 0 to 1. For more, `(1/n) · Σᵢ Σₖ (pᵢₖ − yᵢₖ)²` over all classes; from 0 to 2.
///
/// `probabilities` is `[rows, classes]`, `labels` holds a class number for each row. NaN without rows. `O(n)`.
///
/// Source: Brier, Verification of forecasts expressed in terms of probability, Monthly Weather Review 78, 1950;
/// `sklearn.metrics.brier_score_loss`, which halves the sum for two classes likewise.
///
/// ```
/// use ndarray::array;
/// let score = serve_train::metrics::brier_score(&[0, 1], array![[0.75, 0.25], [0.5, 0.5]].view());
/// assert_eq!(score, (0.0625 + 0.25) / 2.0);
/// ```
#[must_use]
pub fn brier_score(labels: &[u32], probabilities: ArrayView2<'_, f64>) -> f64 {
    let first = usize::from(probabilities.ncols() == 2);
    let mut sum = 0.0;
    for (&label, row) in labels.iter().zip(probabilities.rows()) {
        for (class, p) in row.iter().enumerate().skip(first) {
            let y = f64::from(label as usize == class);
            sum += (p - y) * (p - y);
        }
    }
    sum / labels.len() as f64
}
