//! Exponential smoothing, and Appel's moving average convergence/divergence made of it. Each is a recursion that can be
//! stopped after any row and taken up again with the same bits.

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
    let mut ema = Ema::new(span);
    x.iter().map(|x| ema.next(*x)).collect()
}

/// `ema(x, fast) − ema(x, slow)`: the MACD line. Both begin at the first value, where TA-Lib's `MACD` waits for the slow
/// one's first window and begins with its mean.
#[must_use]
pub fn macd(x: &[f64], fast: usize, slow: usize) -> Vec<f64> {
    let mut macd = Macd::new(fast, slow);
    x.iter().map(|x| macd.next(*x)).collect()
}

/// The `ema` over `signal` of [`macd`].
#[must_use]
pub fn macd_signal(x: &[f64], fast: usize, slow: usize, signal: usize) -> Vec<f64> {
    let mut macd_signal = MacdSignal::new(fast, slow, signal);
    x.iter().map(|x| macd_signal.next(*x)).collect()
}

/// The recursion of [`ema`] after some rows.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Ema {
    alpha: f64,
    /// The average; NaN before the first value.
    pub(crate) y: f64,
    /// What it weighs against α.
    pub(crate) weight: f64,
}

impl Ema {
    pub(crate) fn new(span: usize) -> Self {
        Self { alpha: 2.0 / (span as f64 + 1.0), y: f64::NAN, weight: 1.0 }
    }

    /// The average with `x`.
    pub(crate) fn next(&mut self, x: f64) -> f64 {
        if self.y.is_nan() {
            self.y = x;
        } else {
            self.weight *= 1.0 - self.alpha;
            if !x.is_nan() {
                self.y += self.share() * (x - self.y);
                self.weight = 1.0;
            }
        }
        self.y
    }

    /// The share of the new value. Without a gap it is α itself, not α divided by a sum that rounding may keep from being 1.
    fn share(&self) -> f64 {
        if self.weight == 1.0 - self.alpha { self.alpha } else { self.alpha / (self.alpha + self.weight) }
    }
}

/// The recursion of [`macd`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Macd {
    pub(crate) fast: Ema,
    pub(crate) slow: Ema,
}

impl Macd {
    pub(crate) fn new(fast: usize, slow: usize) -> Self {
        Self { fast: Ema::new(fast), slow: Ema::new(slow) }
    }

    pub(crate) fn next(&mut self, x: f64) -> f64 {
        self.fast.next(x) - self.slow.next(x)
    }
}

/// The recursion of [`macd_signal`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct MacdSignal {
    pub(crate) macd: Macd,
    pub(crate) signal: Ema,
}

impl MacdSignal {
    pub(crate) fn new(fast: usize, slow: usize, signal: usize) -> Self {
        Self { macd: Macd::new(fast, slow), signal: Ema::new(signal) }
    }

    pub(crate) fn next(&mut self, x: f64) -> f64 {
        self.signal.next(self.macd.next(x))
    }
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
