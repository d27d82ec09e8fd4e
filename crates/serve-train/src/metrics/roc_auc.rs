//! Area under the ROC curve.

/// The area under the ROC curve: the chance that a row of the positive class scores above a row of the other, a tie
/// counting half. By ranks, `(R₁ − n₁(n₁ + 1)/2) / (n₁ · n₀)`, where `R₁` is the sum of the positive rows' ranks and
/// equal scores share the mean of their ranks. ½ is guessing.
///
/// `None` where only one class is there, or a score is NaN: no area is defined. `O(n log n)`.
///
/// Source: Hanley and McNeil, The meaning and use of the area under a ROC curve, Radiology 143, 1982;
/// `sklearn.metrics.roc_auc_score`.
///
/// ```
/// use serve_train::metrics::roc_auc;
/// assert_eq!(roc_auc(&[false, true, false, true], &[0.1, 0.4, 0.35, 0.8]), Some(1.0));
/// assert_eq!(roc_auc(&[false, true], &[0.5, 0.5]), Some(0.5));
/// ```
#[must_use]
pub fn roc_auc(positive: &[bool], scores: &[f64]) -> Option<f64> {
    if scores.iter().any(|score| score.is_nan()) {
        return None;
    }
    let mut rows: Vec<(f64, bool)> = scores.iter().copied().zip(positive.iter().copied()).collect();
    rows.sort_by(|a, b| a.0.total_cmp(&b.0));
    let positives = rows.iter().filter(|row| row.1).count();
    let negatives = rows.len() - positives;
    if positives == 0 || negatives == 0 {
        return None;
    }
    let mut below = 0;
    let mut twice_rank_sum = 0;
    for equal in rows.chunk_by(|a, b| a.0 == b.0) {
        let twice_mean_rank = 2 * below + equal.len() + 1;
        twice_rank_sum += twice_mean_rank * equal.iter().filter(|row| row.1).count();
        below += equal.len();
    }
    let twice_wins = twice_rank_sum - positives * (positives + 1);
    Some(twice_wins as f64 / (2 * positives * negatives) as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zero_and_minus_zero_are_one_score() {
        assert_eq!(roc_auc(&[true, false], &[-0.0, 0.0]), Some(0.5));
    }

    #[test]
    fn one_class_alone_has_no_area() {
        assert_eq!(roc_auc(&[true, true], &[0.1, 0.9]), None);
        assert_eq!(roc_auc(&[], &[]), None);
        assert_eq!(roc_auc(&[true, false], &[f64::NAN, 0.0]), None);
    }
}
