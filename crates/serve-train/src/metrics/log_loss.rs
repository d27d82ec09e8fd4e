//! Log loss.

use ndarray::ArrayView2;

/// Log loss, also cross-entropy: `−(1/n) · Σ ln pᵢ`, `pᵢ` the probability given to row `i`'s class, in nats. 0 is
/// certain and right; guessing with `K` equal classes is `ln K`.
///
/// `pᵢ` is held in ε…1 − ε with ε = 2⁻⁵², so that certain and wrong is bad and not infinite: 36 nats.
/// `probabilities` is `[rows, classes]`, `labels` holds a class number for each row. NaN without rows. `O(n)`.
///
/// Source: `sklearn.metrics.log_loss`, which clips by the machine epsilon of `f64` since 1.3 (1e-15 before).
///
/// ```
/// use ndarray::array;
/// let loss = serve_train::metrics::log_loss(&[0, 1], array![[0.5, 0.5], [0.5, 0.5]].view());
/// assert!((loss - 2.0_f64.ln()).abs() < 1e-15);
/// ```
#[must_use]
pub fn log_loss(labels: &[u32], probabilities: ArrayView2<'_, f64>) -> f64 {
    let rows = labels.iter().zip(probabilities.rows());
    let sum: f64 = rows.map(|(&label, row)| -clip(row[label as usize]).ln()).sum();
    sum / labels.len() as f64
}

fn clip(p: f64) -> f64 {
    p.clamp(f64::EPSILON, 1.0 - f64::EPSILON)
}
