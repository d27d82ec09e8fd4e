//! Statistics of a moving window. Meaning: pandas' `Series.rolling(n)` with its default `min_periods=n`. Every window is
//! summed anew, oldest first: O(rows × window), and no rounding error of an earlier row carries over (pandas' running sums
//! keep such errors). A missing value in the window makes the result missing.

use jiff::Timestamp;

use super::Window;

/// What is taken of a window.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Statistic {
    /// Σx / n. Of equal values exactly that value.
    Mean,
    /// √(Σ(x − mean)² / (n − 1)); missing for one row. Of equal values exactly 0.
    Std,
    /// The smallest value.
    Min,
    /// The largest value.
    Max,
    /// The quantile 0.5.
    Median,
    /// Σx.
    Sum,
    /// The value at rank q·(n − 1) of the sorted window, between two ranks linearly (numpy's `linear`); q in 0…1.
    Quantile(f64),
}

/// The statistic of every window over `x`, one value a row.
///
/// ```
/// use serve_features::vocabulary::{Window, rolling::{Statistic, rolling}};
/// let days: Vec<jiff::Timestamp> = (0..4).map(|day| jiff::Timestamp::from_second(day * 86_400)).collect::<Result<_, _>>()?;
/// let mean = rolling(Statistic::Mean, &[1.0, 2.0, 6.0, 7.0], &days, Window::Rows(3));
/// assert!(mean[1].is_nan());
/// assert_eq!(mean[2..], [3.0, 5.0]);
/// # Ok::<(), jiff::Error>(())
/// ```
#[must_use]
pub fn rolling(statistic: Statistic, x: &[f64], timestamps: &[Timestamp], window: Window) -> Vec<f64> {
    let mut sorted = Vec::new();
    over_windows(x, timestamps, window, |rows| match statistic {
        Statistic::Mean => mean(rows),
        Statistic::Std => deviation(rows, 1),
        Statistic::Min => rows.iter().copied().fold(f64::INFINITY, f64::min),
        Statistic::Max => rows.iter().copied().fold(f64::NEG_INFINITY, f64::max),
        Statistic::Sum => sum(rows.iter().copied()),
        Statistic::Median => quantile(rows, 0.5, &mut sorted),
        Statistic::Quantile(q) => quantile(rows, q, &mut sorted),
    })
}

/// `f` of each full window without missing values; NaN elsewhere.
pub(super) fn over_windows(
    x: &[f64],
    timestamps: &[Timestamp],
    window: Window,
    mut f: impl FnMut(&[f64]) -> f64,
) -> Vec<f64> {
    let value = |t| match window.start(timestamps, t).map(|start| &x[start..=t]) {
        Some(rows) if !rows.iter().any(|x| x.is_nan()) => f(rows),
        _ => f64::NAN,
    };
    (0..x.len()).map(value).collect()
}

/// Oldest first, from zero.
fn sum(rows: impl Iterator<Item = f64>) -> f64 {
    rows.fold(0.0, |sum, x| sum + x)
}

/// Of equal values that value itself: their sum divided again may be off by a rounding, and `x / mean - 1` not 0.
pub(super) fn mean(rows: &[f64]) -> f64 {
    if constant(rows) { rows[0] } else { sum(rows.iter().copied()) / rows.len() as f64 }
}

/// The deviation from the mean, in two passes, dividing by the count less `freedom`.
pub(super) fn deviation(rows: &[f64], freedom: usize) -> f64 {
    if rows.len() <= freedom {
        return f64::NAN;
    }
    if constant(rows) {
        return 0.0;
    }
    let mean = mean(rows);
    let squares = sum(rows.iter().map(|x| (x - mean) * (x - mean)));
    (squares / (rows.len() - freedom) as f64).sqrt()
}

fn constant(rows: &[f64]) -> bool {
    rows.windows(2).all(|pair| pair[0] == pair[1]) && rows.first().is_some_and(|x| x.is_finite())
}

fn quantile(rows: &[f64], q: f64, sorted: &mut Vec<f64>) -> f64 {
    sorted.clear();
    sorted.extend_from_slice(rows);
    sorted.sort_by(f64::total_cmp);
    let rank = q * (rows.len() - 1) as f64;
    let (low, high) = (sorted[rank.floor() as usize], sorted[rank.ceil() as usize]);
    // Equal neighbours may be infinite, whose difference is NaN.
    if low == high { low } else { low + (high - low) * (rank - rank.floor()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(statistic: Statistic, x: &[f64], n: usize) -> Vec<f64> {
        let timestamps = vec![Timestamp::UNIX_EPOCH; x.len()];
        rolling(statistic, x, &timestamps, Window::Rows(n))
    }

    #[test]
    fn one_missing_value_empties_every_window_that_sees_it() {
        let sums = of(Statistic::Sum, &[1.0, f64::NAN, 3.0, 4.0, 5.0], 2);
        let present: Vec<bool> = sums.iter().map(|y| !y.is_nan()).collect();
        assert_eq!(present, [false, false, false, true, true]);
    }

    #[test]
    fn equal_values_have_exactly_that_mean_and_no_deviation() {
        // Summed and divided, three times 0.1 is 0.10000000000000002.
        let x = [0.1; 3];
        assert_eq!(of(Statistic::Mean, &x, 3)[2], 0.1);
        assert_eq!(of(Statistic::Std, &x, 3)[2], 0.0);
        assert!(of(Statistic::Std, &x, 1)[2].is_nan());
    }

    #[test]
    fn quantiles_lie_between_neighbours_linearly() {
        let x = [4.0, 1.0, 3.0, 2.0];
        assert_eq!(of(Statistic::Quantile(0.0), &x, 4)[3], 1.0);
        assert_eq!(of(Statistic::Quantile(0.25), &x, 4)[3], 1.75);
        assert_eq!(of(Statistic::Median, &x, 4)[3], 2.5);
        assert_eq!(of(Statistic::Quantile(1.0), &x, 4)[3], 4.0);
    }

    #[test]
    fn a_window_does_not_remember_what_left_it() {
        let x = [1e17, 1.0, 2.0, 3.0];
        assert_eq!(of(Statistic::Sum, &x, 3)[3], 6.0);
        assert_eq!(of(Statistic::Std, &x, 3)[3], 1.0);
    }
}
