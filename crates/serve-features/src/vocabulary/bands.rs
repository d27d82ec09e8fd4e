//! A value against its window's mean and deviation.

use jiff::Timestamp;

use super::Window;
use super::elementwise::ratio;
use super::moments::{Deviation, Mean, Moment, over_windows};

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
    over_windows(x, timestamps, window, &Zscore)
}

/// mean + k·σ of the window, σ with the whole count (population): Bollinger's bands as TA-Lib's `BBANDS` with its simple
/// moving average. The lower band is that with −k.
#[must_use]
pub fn bollinger(x: &[f64], timestamps: &[Timestamp], window: Window, k: f64) -> Vec<f64> {
    over_windows(x, timestamps, window, &Band { k })
}

/// xₜ / mean of the window: `volume / volume.rolling(n).mean()` in pandas, known to traders as relative volume. Missing where
/// the mean is 0, which in pandas is 0/0 or infinite.
///
/// ```
/// use serve_features::vocabulary::{Window, bands::volume_ratio};
/// let same = [jiff::Timestamp::UNIX_EPOCH; 3];
/// assert_eq!(volume_ratio(&[2.0, 1.0, 6.0], &same, Window::Rows(3))[2], 2.0);
/// ```
#[must_use]
pub fn volume_ratio(x: &[f64], timestamps: &[Timestamp], window: Window) -> Vec<f64> {
    over_windows(x, timestamps, window, &OfMean)
}

struct Zscore;

impl Moment for Zscore {
    #[inline]
    fn of<const L: usize>(&self, rows: &[f64], length: usize) -> [f64; L] {
        let means = Mean.of::<L>(rows, length);
        let mut scores = Deviation { freedom: 1 }.from(&means, rows, length);
        for ((score, mean), newest) in scores.iter_mut().zip(means).zip(&rows[length - 1..]) {
            *score = (newest - mean) / *score;
        }
        scores
    }

    fn of_equal(&self, _: f64, _: usize) -> Option<f64> {
        Some(f64::NAN)
    }
}

struct Band {
    k: f64,
}

impl Moment for Band {
    #[inline]
    fn of<const L: usize>(&self, rows: &[f64], length: usize) -> [f64; L] {
        let means = Mean.of::<L>(rows, length);
        let mut band = Deviation { freedom: 0 }.from(&means, rows, length);
        for (value, mean) in band.iter_mut().zip(means) {
            *value = mean + self.k * *value;
        }
        band
    }

    fn of_equal(&self, x: f64, _: usize) -> Option<f64> {
        Some(x + self.k * 0.0)
    }
}

struct OfMean;

impl Moment for OfMean {
    #[inline]
    fn of<const L: usize>(&self, rows: &[f64], length: usize) -> [f64; L] {
        let mut ratios = Mean.of::<L>(rows, length);
        for (value, newest) in ratios.iter_mut().zip(&rows[length - 1..]) {
            *value = ratio(*newest, *value);
        }
        ratios
    }

    fn of_equal(&self, x: f64, _: usize) -> Option<f64> {
        Some(ratio(x, x))
    }
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
        assert_eq!(volume_ratio(&x, &same, Window::Rows(3))[2], 1.0);
    }

    #[test]
    fn nothing_is_a_multiple_of_no_volume() {
        let (x, same) = ([0.0, 0.0, -2.0, 2.0], [Timestamp::UNIX_EPOCH; 4]);
        assert!(volume_ratio(&x, &same, Window::Rows(2))[1].is_nan());
        assert!(volume_ratio(&x, &same, Window::Rows(2))[3].is_nan());
    }
}
