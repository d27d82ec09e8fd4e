//! A value against its window's mean and deviation.

use jiff::Timestamp;

use super::Window;
use super::rolling::{deviation, mean, over_windows};

/// (xₜ − mean) / std of the window, std with one degree of freedom less: `(x - x.rolling(n).mean()) / x.rolling(n).std()` in
/// pandas. A window of equal values has no z-score (0/0).
///
/// ```
/// use serve_features::vocabulary::{Window, bands::zscore};
/// let same = [jiff::Timestamp::UNIX_EPOCH; 3];
/// assert_eq!(zscore(&[1.0, 2.0, 3.0], &same, Window::Rows(3))[2], 1.0);
/// ```
#[must_use]
pub fn zscore(x: &[f64], timestamps: &[Timestamp], window: Window) -> Vec<f64> {
    over_windows(x, timestamps, window, |rows| (rows[rows.len() - 1] - mean(rows)) / deviation(rows, 1))
}

/// mean + k·σ of the window, σ with the whole count (population): Bollinger's bands as TA-Lib's `BBANDS` with its simple
/// moving average. The lower band is that with −k.
#[must_use]
pub fn bollinger(x: &[f64], timestamps: &[Timestamp], window: Window, k: f64) -> Vec<f64> {
    over_windows(x, timestamps, window, |rows| mean(rows) + k * deviation(rows, 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bands_are_symmetric_and_use_the_population_deviation() {
        let (x, same) = ([1.0, 3.0], [Timestamp::UNIX_EPOCH; 2]);
        assert_eq!(bollinger(&x, &same, Window::Rows(2), 2.0)[1], 4.0);
        assert_eq!(bollinger(&x, &same, Window::Rows(2), -2.0)[1], 0.0);
    }

    #[test]
    fn equal_values_have_no_score_and_bands_of_no_width() {
        let (x, same) = ([0.1; 3], [Timestamp::UNIX_EPOCH; 3]);
        assert!(zscore(&x, &same, Window::Rows(3))[2].is_nan());
        assert_eq!(bollinger(&x, &same, Window::Rows(3), 2.0)[2], 0.1);
    }
}
