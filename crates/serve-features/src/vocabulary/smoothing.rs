//! Exponential smoothing, and Appel's moving average convergence/divergence made of it.

/// yₜ = yₜ₋₁ + α·(xₜ − yₜ₋₁) with α = 2/(span+1) and y₀ = x₀, from the first value that is there: pandas'
/// `ewm(span=span, adjust=False).mean()`.
///
/// At a missing value the average stands still, and what it weighs fades with each such row (pandas' `ignore_na=False`):
/// after `g` of them the next value enters with α / (α + (1 − α)^(g+1)). NaN before the first value. O(rows).
///
/// ```
/// use serve_features::vocabulary::smoothing::ema;
/// assert_eq!(ema(&[1.0, 3.0, 2.0], 3), [1.0, 2.0, 2.0]);
/// ```
#[must_use]
pub fn ema(x: &[f64], span: usize) -> Vec<f64> {
    let alpha = 2.0 / (span as f64 + 1.0);
    let (mut y, mut old_weight) = (f64::NAN, 1.0);
    let step = |x: &f64| {
        if y.is_nan() {
            y = *x;
        } else {
            old_weight *= 1.0 - alpha;
            if !x.is_nan() {
                y += share(alpha, old_weight) * (x - y);
                old_weight = 1.0;
            }
        }
        y
    };
    x.iter().map(step).collect()
}

/// The share of the new value. Without a gap it is α itself, not α divided by a sum that rounding may keep from being 1.
fn share(alpha: f64, old_weight: f64) -> f64 {
    if old_weight == 1.0 - alpha { alpha } else { alpha / (alpha + old_weight) }
}

/// `ema(x, fast) − ema(x, slow)`: the MACD line. Both begin at the first value, where TA-Lib's `MACD` waits for the slow
/// one's first window and begins with its mean.
#[must_use]
pub fn macd(x: &[f64], fast: usize, slow: usize) -> Vec<f64> {
    ema(x, fast).iter().zip(ema(x, slow)).map(|(fast, slow)| fast - slow).collect()
}

/// The `ema` over `signal` of [`macd`].
#[must_use]
pub fn macd_signal(x: &[f64], fast: usize, slow: usize, signal: usize) -> Vec<f64> {
    ema(&macd(x, fast, slow), signal)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gap_holds_the_average_and_fades_its_weight() {
        let y = ema(&[f64::NAN, 1.0, f64::NAN, 3.0], 3);
        assert!(y[0].is_nan());
        assert_eq!(y[1..3], [1.0, 1.0]);
        // α = 0.5, the old value weighs 0.25: 1 + 0.5/0.75 · 2
        assert_eq!(y[3], 1.0 + 0.5 / 0.75 * 2.0);
    }

    #[test]
    fn a_span_of_one_follows_the_values() {
        assert_eq!(ema(&[1.0, 5.0, 2.0], 1), [1.0, 5.0, 2.0]);
    }

    #[test]
    fn macd_begins_at_zero() {
        assert_eq!(macd(&[7.0, 7.0], 12, 26), [0.0, 0.0]);
        assert_eq!(macd_signal(&[7.0, 7.0], 12, 26, 9), [0.0, 0.0]);
    }
}
