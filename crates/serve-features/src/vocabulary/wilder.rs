//! The two indicators of J. Welles Wilder, *New Concepts in Technical Trading Systems* (1978), seeded as TA-Lib does: the
//! first average is the plain mean of the first `n` values, each later one (avg·(n − 1) + x) / n.
//!
//! A missing value interrupts: the average ends there and is seeded anew from the `n` values after it, since an average
//! over a gap would pass for one without.

/// 100·G / (G + L), with G and L Wilder's averages of the gains and of the losses from row to row; 0 where nothing moved,
/// as in TA-Lib's `RSI`. The first value stands at row `n`. O(rows).
///
/// ```
/// use serve_features::vocabulary::wilder::rsi;
/// assert_eq!(rsi(&[1.0, 2.0, 3.0, 2.0], 2)[2..], [100.0, 50.0]);
/// ```
#[must_use]
pub fn rsi(x: &[f64], n: usize) -> Vec<f64> {
    let (mut gains, mut losses) = (Average::new(n), Average::new(n));
    let value = |t: usize| {
        let change = if t == 0 { f64::NAN } else { x[t] - x[t - 1] };
        // `f64::max` would turn a missing change into 0.
        let (gain, loss) =
            if change.is_nan() { (change, change) } else { (change.max(0.0), (-change).max(0.0)) };
        let (gain, loss) = (gains.next(gain), losses.next(loss));
        if gain + loss == 0.0 { 0.0 } else { 100.0 * (gain / (gain + loss)) }
    };
    (0..x.len()).map(value).collect()
}

/// Wilder's average of the true range max(highₜ − lowₜ, |highₜ − closeₜ₋₁|, |lowₜ − closeₜ₋₁|), as TA-Lib's `ATR`. The first
/// row has no true range, so the first value stands at row `n`. The three columns are of one length. O(rows).
#[must_use]
pub fn atr(high: &[f64], low: &[f64], close: &[f64], n: usize) -> Vec<f64> {
    let mut average = Average::new(n);
    let range = |t: usize| {
        let before = if t == 0 { f64::NAN } else { close[t - 1] };
        let spreads = [high[t] - low[t], (high[t] - before).abs(), (low[t] - before).abs()];
        let missing = spreads.iter().any(|x| x.is_nan());
        if missing { f64::NAN } else { spreads.into_iter().fold(0.0, f64::max) }
    };
    (0..close.len()).map(|t| average.next(range(t))).collect()
}

/// Wilder's running average.
struct Average {
    n: usize,
    /// Values taken since the beginning or the last gap, `n` at most.
    seen: usize,
    /// Their sum while there are fewer than `n`, then the average.
    value: f64,
}

impl Average {
    fn new(n: usize) -> Self {
        Self { n, seen: 0, value: 0.0 }
    }

    /// The average with `x`; NaN while fewer than `n` values are there.
    fn next(&mut self, x: f64) -> f64 {
        if x.is_nan() || self.n == 0 {
            (self.seen, self.value) = (0, 0.0);
            return f64::NAN;
        }
        let n = self.n as f64;
        if self.seen == self.n {
            self.value = (self.value * (n - 1.0) + x) / n;
            return self.value;
        }
        self.seen += 1;
        self.value += x;
        if self.seen < self.n {
            return f64::NAN;
        }
        self.value /= n;
        self.value
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_average_is_the_plain_mean_and_later_ones_are_smoothed() {
        let mut average = Average::new(3);
        let y: Vec<f64> = [1.0, 2.0, 6.0, 6.0].into_iter().map(|x| average.next(x)).collect();
        assert!(y[1].is_nan());
        assert_eq!(y[2..], [3.0, 4.0]);
    }

    #[test]
    fn still_prices_have_strength_zero() {
        assert_eq!(rsi(&[5.0; 4], 2)[2..], [0.0, 0.0]);
    }

    #[test]
    fn a_gap_begins_a_new_average() {
        let x = [1.0, 2.0, 3.0, f64::NAN, 1.0, 2.0, 1.0];
        let present: Vec<bool> = rsi(&x, 2).iter().map(|y| !y.is_nan()).collect();
        assert_eq!(present, [false, false, true, false, false, false, true]);
        assert_eq!(rsi(&x, 2)[6], 50.0);
    }

    #[test]
    fn the_true_range_reaches_from_the_last_close() {
        let y = atr(&[10.0, 12.0, 9.0], &[9.0, 11.0, 8.0], &[9.5, 11.5, 8.5], 1);
        assert!(y[0].is_nan());
        assert_eq!(y[1..], [2.5, 3.5]);
    }
}
