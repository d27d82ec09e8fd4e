//! Accuracy.

/// The share of rows whose answer is their class: `(1/n) · Σ [answerᵢ = labelᵢ]`. NaN without rows. `O(n)`.
///
/// Source: `sklearn.metrics.accuracy_score`.
///
/// ```
/// assert_eq!(serve_train::metrics::accuracy(&[0, 1, 1, 0], &[0, 1, 0, 0]), 0.75);
/// ```
#[must_use]
pub fn accuracy(labels: &[u32], answers: &[u32]) -> f64 {
    let right = labels.iter().zip(answers).filter(|(label, answer)| label == answer).count();
    right as f64 / labels.len() as f64
}
