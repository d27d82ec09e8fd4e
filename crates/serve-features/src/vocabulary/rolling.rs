//! Statistics of a moving window. Meaning: pandas' `Series.rolling(n)` with its default `min_periods=n`. Every window is
//! summed anew, oldest first: O(rows × window), and no rounding error of an earlier row carries over (pandas' running sums
//! keep such errors). A missing value in the window makes the result missing, unless presence is what is counted.

use jiff::Timestamp;

use super::moments::{self, Deviation, Mean, Sum};
use super::sliding::{self, Present, Quantile};
use super::{Window, extremes};

/// What is taken of a window.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Statistic {
    /// Σx / n. Of equal values exactly that value.
    Mean,
    /// √(Σ(x − mean)² / (n − 1)); missing for one row. Of equal values exactly 0.
    Std,
    /// The smallest value; of zeros of both signs the newest.
    Min,
    /// The largest value; of zeros of both signs the newest.
    Max,
    /// The quantile 0.5.
    Median,
    /// Σx.
    Sum,
    /// The value at rank q·(n − 1) of the sorted window, between two ranks linearly (numpy's `linear`); q in 0…1.
    Quantile(f64),
    /// How many values are present; the only statistic that a missing value leaves in place.
    Count,
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
    match statistic {
        Statistic::Mean => moments::over_windows(x, timestamps, window, &Mean),
        Statistic::Std => moments::over_windows(x, timestamps, window, &Deviation { freedom: 1 }),
        Statistic::Sum => moments::over_windows(x, timestamps, window, &Sum),
        Statistic::Min => extremes::least(x, timestamps, window),
        Statistic::Max => extremes::greatest(x, timestamps, window),
        Statistic::Median => sliding::over_windows(x, timestamps, window, &mut Quantile::new(0.5)),
        Statistic::Quantile(q) => sliding::over_windows(x, timestamps, window, &mut Quantile::new(q)),
        Statistic::Count => sliding::over_windows(x, timestamps, window, &mut Present::default()),
    }
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
    fn rows_without_a_timestamp_have_no_window() {
        for window in [Window::Rows(2), Window::Time(std::time::Duration::from_secs(1))] {
            for statistic in [Statistic::Mean, Statistic::Min, Statistic::Median] {
                let y = rolling(statistic, &[1.0, 2.0, 4.0], &[Timestamp::UNIX_EPOCH; 1], window);
                assert!(y.len() == 3 && y.iter().all(|y| y.is_nan()));
                assert!(rolling(statistic, &[], &[Timestamp::UNIX_EPOCH; 3], window).is_empty());
            }
        }
    }

    #[test]
    fn present_values_are_counted_once_the_window_is_full() {
        let counts = of(Statistic::Count, &[1.0, f64::NAN, 3.0, f64::NAN, f64::NAN], 2);
        assert!(counts[0].is_nan());
        assert_eq!(counts[1..], [1.0, 1.0, 1.0, 0.0]);
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
