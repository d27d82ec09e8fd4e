//! Sums over every window of a column at once. Each row's window is summed anew and oldest first, as a loop over that row
//! alone would do it; what is done at once are neighbouring rows. Step `k` adds to each of `L` rows the `k`-th value of its
//! own window, so the additions of one row keep their order and bits, and those of `L` rows share instructions.
//!
//! A missing value makes its windows missing by itself: NaN stays NaN in every sum. Windows of equal values need a rule of
//! their own: their sum divided by the count may be off by a rounding, and the deviation from such a mean is not 0.

use jiff::Timestamp;

use super::Window;

/// Rows computed at once: their sums and means fit the registers of any CPU.
const LANES: usize = 16;

/// A statistic made of sums over the window.
pub(super) trait Moment {
    /// Of the `L` windows of `length` rows that lie in `rows`, of which there are `length + L - 1`.
    fn of<const L: usize>(&self, rows: &[f64], length: usize) -> [f64; L];

    /// Of a window of finite equal values, the oldest of which is `x`; `None` where the sums are right.
    fn of_equal(&self, x: f64, length: usize) -> Option<f64>;
}

/// The statistic of every full window; NaN elsewhere. O(rows × window).
pub(super) fn over_windows(
    x: &[f64],
    timestamps: &[Timestamp],
    window: Window,
    moment: &impl Moment,
) -> Vec<f64> {
    let mut into = vec![f64::NAN; x.len()];
    for stretch in window.stretches(x, timestamps) {
        let (rows, values) = (&x[stretch.seen()], &mut into[stretch.rows.clone()]);
        sums(rows, stretch.length, values, moment);
        equal_values(rows, stretch.length, values, moment);
    }
    into
}

fn sums(rows: &[f64], length: usize, into: &mut [f64], moment: &impl Moment) {
    let mut at = 0;
    while at + LANES <= into.len() {
        into[at..at + LANES].copy_from_slice(&moment.of::<LANES>(&rows[at..at + length + LANES - 1], length));
        at += LANES;
    }
    if at == into.len() {
        return;
    }
    // The last rows once more with those before them: every row's value is its own, so it comes out the same.
    if let Some(at) = into.len().checked_sub(LANES) {
        into[at..].copy_from_slice(&moment.of::<LANES>(&rows[at..], length));
        return;
    }
    for (at, value) in into.iter_mut().enumerate() {
        [*value] = moment.of::<1>(&rows[at..at + length], length);
    }
}

fn equal_values(rows: &[f64], length: usize, into: &mut [f64], moment: &impl Moment) {
    // How many rows up to this one are equal.
    let mut run = 0;
    let mut last = f64::NAN;
    for (t, x) in rows.iter().enumerate() {
        run = if *x == last { run + 1 } else { 1 };
        last = *x;
        if run >= length
            && x.is_finite()
            && let Some(value) = moment.of_equal(rows[t + 1 - length], length)
        {
            into[t + 1 - length] = value;
        }
    }
}

/// Σx.
pub(super) struct Sum;

impl Moment for Sum {
    #[inline]
    fn of<const L: usize>(&self, rows: &[f64], _: usize) -> [f64; L] {
        let mut sums = [0.0; L];
        for oldest in rows.windows(L) {
            for (sum, x) in sums.iter_mut().zip(oldest) {
                *sum += x;
            }
        }
        sums
    }

    fn of_equal(&self, _: f64, _: usize) -> Option<f64> {
        None
    }
}

/// Σx / n; of equal values that value.
pub(super) struct Mean;

impl Moment for Mean {
    #[inline]
    fn of<const L: usize>(&self, rows: &[f64], length: usize) -> [f64; L] {
        Sum.of::<L>(rows, length).map(|sum| sum / length as f64)
    }

    fn of_equal(&self, x: f64, _: usize) -> Option<f64> {
        Some(x)
    }
}

/// √(Σ(x − mean)² / (n − freedom)), in two passes; of equal values 0. Missing unless n is above `freedom`.
pub(super) struct Deviation {
    pub(super) freedom: usize,
}

impl Deviation {
    /// From means that are known.
    #[inline]
    pub(super) fn from<const L: usize>(&self, means: &[f64; L], rows: &[f64], length: usize) -> [f64; L] {
        let Some(count) = length.checked_sub(self.freedom).filter(|count| *count > 0) else {
            return [f64::NAN; L];
        };
        let mut squares = [0.0; L];
        for oldest in rows.windows(L) {
            for ((sum, mean), x) in squares.iter_mut().zip(means).zip(oldest) {
                *sum += (x - mean) * (x - mean);
            }
        }
        squares.map(|sum| (sum / count as f64).sqrt())
    }
}

impl Moment for Deviation {
    #[inline]
    fn of<const L: usize>(&self, rows: &[f64], length: usize) -> [f64; L] {
        self.from(&Mean.of::<L>(rows, length), rows, length)
    }

    fn of_equal(&self, _: f64, length: usize) -> Option<f64> {
        Some(if length > self.freedom { 0.0 } else { f64::NAN })
    }
}
