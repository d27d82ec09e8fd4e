//! What a window can keep while it slides, because no rounding is in it: its values in order, and how many are there.

use jiff::Timestamp;

use super::Window;

/// What is kept of the rows that a window sees.
pub(super) trait Kept {
    /// A row comes into sight.
    fn enter(&mut self, x: f64);
    /// The oldest leaves.
    fn leave(&mut self, x: f64);
    /// What is asked of the window.
    fn value(&self) -> f64;
}

/// The value of every full window; NaN elsewhere.
pub(super) fn over_windows(
    x: &[f64],
    timestamps: &[Timestamp],
    window: Window,
    kept: &mut impl Kept,
) -> Vec<f64> {
    let mut into = vec![f64::NAN; x.len()];
    let (mut oldest, mut next) = (0, 0);
    for stretch in window.stretches(x, timestamps) {
        for t in stretch.rows {
            x[next..=t].iter().for_each(|x| kept.enter(*x));
            next = t + 1;
            let first = next - stretch.length;
            x[oldest..first].iter().for_each(|x| kept.leave(*x));
            oldest = first;
            into[t] = kept.value();
        }
    }
    into
}

/// The quantile `q`, between neighbours linearly; missing where a value is. O(window) a row, as one copy within a buffer.
pub(super) struct Quantile {
    q: f64,
    /// Those that are present, by their [`key`].
    sorted: Vec<i64>,
    missing: usize,
}

impl Quantile {
    pub(super) fn new(q: f64) -> Self {
        Self { q: q.clamp(0.0, 1.0), sorted: Vec::new(), missing: 0 }
    }

    /// Where `x` stands, or would.
    fn place(&self, x: f64) -> usize {
        let key = key(x);
        self.sorted.partition_point(|other| *other < key)
    }

    fn ranked(&self, rank: f64) -> f64 {
        from_key(self.sorted[rank as usize])
    }
}

/// A whole number in the total order of IEEE 754, as [`f64::total_cmp`] has it: the bits, all but the sign turned over
/// where that is set.
fn key(x: f64) -> i64 {
    turned(x.to_bits().cast_signed())
}

fn from_key(key: i64) -> f64 {
    f64::from_bits(turned(key).cast_unsigned())
}

fn turned(bits: i64) -> i64 {
    bits ^ ((bits >> 63) & i64::MAX)
}

impl Kept for Quantile {
    fn enter(&mut self, x: f64) {
        if x.is_nan() {
            self.missing += 1;
        } else {
            self.sorted.insert(self.place(x), key(x));
        }
    }

    fn leave(&mut self, x: f64) {
        if x.is_nan() {
            self.missing -= 1;
        } else {
            self.sorted.remove(self.place(x));
        }
    }

    fn value(&self) -> f64 {
        if self.missing > 0 {
            return f64::NAN;
        }
        let rank = self.q * (self.sorted.len() - 1) as f64;
        let (low, high) = (self.ranked(rank.floor()), self.ranked(rank.ceil()));
        // Equal neighbours may be infinite, whose difference is NaN.
        if low == high { low } else { low + (high - low) * (rank - rank.floor()) }
    }
}

/// How many values are present.
#[derive(Default)]
pub(super) struct Present {
    count: usize,
}

impl Kept for Present {
    fn enter(&mut self, x: f64) {
        self.count += usize::from(!x.is_nan());
    }

    fn leave(&mut self, x: f64) {
        self.count -= usize::from(!x.is_nan());
    }

    fn value(&self) -> f64 {
        self.count as f64
    }
}
