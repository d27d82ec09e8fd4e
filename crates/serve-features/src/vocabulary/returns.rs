//! A row against the row `n` before it. Meaning: pandas' `shift`, `diff` and `pct_change(fill_method=None)`.

/// xₜ₋ₙ; the first `n` rows have none.
#[must_use]
pub fn lag(x: &[f64], n: usize) -> Vec<f64> {
    against(x, n, |_, past| past)
}

/// xₜ − xₜ₋ₙ.
#[must_use]
pub fn diff(x: &[f64], n: usize) -> Vec<f64> {
    against(x, n, |now, past| now - past)
}

/// xₜ / xₜ₋ₙ − 1. A past value of zero gives an infinity, as in pandas.
///
/// ```
/// use serve_features::vocabulary::returns::simple_return;
/// assert_eq!(simple_return(&[100.0, 150.0, 75.0], 1)[1..], [0.5, -0.5]);
/// ```
#[must_use]
pub fn simple_return(x: &[f64], n: usize) -> Vec<f64> {
    against(x, n, |now, past| now / past - 1.0)
}

/// ln(xₜ / xₜ₋ₙ).
#[must_use]
pub fn log_return(x: &[f64], n: usize) -> Vec<f64> {
    against(x, n, |now, past| libm::log(now / past))
}

fn against(x: &[f64], n: usize, f: impl Fn(f64, f64) -> f64) -> Vec<f64> {
    let past = |t: usize| t.checked_sub(n).map(|p| x[p]);
    x.iter().enumerate().map(|(t, now)| past(t).map_or(f64::NAN, |past| f(*now, past))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn history_shorter_than_the_lag_is_missing() {
        assert!(lag(&[1.0, 2.0], 2).iter().all(|y| y.is_nan()));
        assert!(lag(&[1.0, 2.0], usize::MAX).iter().all(|y| y.is_nan()));
        assert_eq!(lag(&[1.0, 2.0, 3.0], 2)[2], 1.0);
        assert!(diff(&[], 1).is_empty());
    }

    #[test]
    fn a_missing_end_makes_the_difference_missing() {
        let y = diff(&[1.0, f64::NAN, 3.0, 4.0], 1);
        assert!(y[1].is_nan() && y[2].is_nan());
        assert_eq!(y[3], 1.0);
    }
}
