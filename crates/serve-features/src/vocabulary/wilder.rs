//! The two indicators of J. Welles Wilder, *New Concepts in Technical Trading Systems* (1978), seeded as TA-Lib does: the
//! first average is the plain mean of the first `n` values, each later one (avg·(n − 1) + x) / n.
//!
//! A missing value interrupts: the average ends there and is seeded anew from the `n` values after it, since an average
//! over a gap would pass for one without. Both are recursions that can be stopped after any row and taken up again.

/// 100·G / (G + L), with G and L Wilder's averages of the gains and of the losses from row to row; 0 where nothing moved,
/// as in TA-Lib's `RSI`. The first value stands at row `n`. O(rows).
///
/// ```
/// use serve_features::vocabulary::wilder::rsi;
/// assert_eq!(rsi(&[1.0, 2.0, 3.0, 2.0], 2)[2..], [100.0, 50.0]);
/// ```
#[must_use]
pub fn rsi(x: &[f64], n: usize) -> Vec<f64> {
    let mut rsi = Rsi::new(n);
    x.iter().map(|x| rsi.next(*x)).collect()
}

/// Wilder's average of the true range max(highₜ − lowₜ, |highₜ − closeₜ₋₁|, |lowₜ − closeₜ₋₁|), as TA-Lib's `ATR`. The first
/// row has no true range, so the first value stands at row `n`. The three columns are of one length. O(rows).
#[must_use]
pub fn atr(high: &[f64], low: &[f64], close: &[f64], n: usize) -> Vec<f64> {
    let mut atr = Atr::new(n);
    high.iter().zip(low).zip(close).map(|((high, low), close)| atr.next(*high, *low, *close)).collect()
}

/// The recursion of [`rsi`] after some rows.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Rsi {
    /// The last value; NaN before the first.
    pub(crate) last: f64,
    pub(crate) gains: Average,
    pub(crate) losses: Average,
}

impl Rsi {
    pub(crate) fn new(n: usize) -> Self {
        Self { last: f64::NAN, gains: Average::new(n), losses: Average::new(n) }
    }

    pub(crate) fn next(&mut self, x: f64) -> f64 {
        let change = x - self.last;
        self.last = x;
        // `f64::max` would turn a missing change into 0.
        let (gain, loss) =
            if change.is_nan() { (change, change) } else { (change.max(0.0), (-change).max(0.0)) };
        let (gain, loss) = (self.gains.next(gain), self.losses.next(loss));
        if gain + loss == 0.0 { 0.0 } else { 100.0 * (gain / (gain + loss)) }
    }
}

/// The recursion of [`atr`] after some rows.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Atr {
    /// The last close; NaN before the first.
    pub(crate) close: f64,
    pub(crate) average: Average,
}

impl Atr {
    pub(crate) fn new(n: usize) -> Self {
        Self { close: f64::NAN, average: Average::new(n) }
    }

    pub(crate) fn next(&mut self, high: f64, low: f64, close: f64) -> f64 {
        let spreads = [high - low, (high - self.close).abs(), (low - self.close).abs()];
        self.close = close;
        let missing = spreads.iter().any(|x| x.is_nan());
        self.average.next(if missing { f64::NAN } else { spreads.into_iter().fold(0.0, f64::max) })
    }
}

/// Wilder's running average.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Average {
    n: usize,
    /// Values taken since the beginning or the last gap, `n` at most.
    pub(crate) seen: usize,
    /// Their sum while there are fewer than `n`, then the average.
    pub(crate) value: f64,
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
