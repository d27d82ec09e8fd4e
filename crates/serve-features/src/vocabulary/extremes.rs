//! The least and the greatest value of every window. Any order of comparing gives them, so windows of a power of two rows
//! are made of two of half as many, and a window of `n` of the two such that cover it: O(rows × log window).
//!
//! Of zeros of both signs the newest stands for all, whatever the order was.

use jiff::Timestamp;

use super::Window;

/// Windows for which neighbours are compared at once; what they see fits the nearest cache.
const BLOCK: usize = 512;
/// So few windows share too little.
const FEW: usize = 4;

/// The least value of every full window without missing values; NaN elsewhere.
pub(super) fn least(x: &[f64], timestamps: &[Timestamp], window: Window) -> Vec<f64> {
    over_windows(x, timestamps, window, |older, newer| if older < newer { older } else { newer })
}

/// The greatest value of every full window without missing values; NaN elsewhere.
pub(super) fn greatest(x: &[f64], timestamps: &[Timestamp], window: Window) -> Vec<f64> {
    over_windows(x, timestamps, window, |older, newer| if older > newer { older } else { newer })
}

fn over_windows(
    x: &[f64],
    timestamps: &[Timestamp],
    window: Window,
    pick: impl Fn(f64, f64) -> f64 + Copy,
) -> Vec<f64> {
    let mut into = vec![f64::NAN; x.len()];
    let mut halves = Halves::default();
    for stretch in window.stretches(x, timestamps) {
        let (rows, values) = (&x[stretch.seen()], &mut into[stretch.rows.clone()]);
        if values.len() < FEW {
            for (at, value) in values.iter_mut().enumerate() {
                *value = rows[at..at + stretch.length].iter().copied().reduce(pick).unwrap_or(f64::NAN);
            }
        } else {
            // Many times as many windows as rows that several of them see, so that little is compared twice.
            for (i, values) in values.chunks_mut(BLOCK.max(2 * stretch.length)).enumerate() {
                let at = i * BLOCK.max(2 * stretch.length);
                halves.of(&rows[at..at + values.len() + stretch.length - 1], values, pick);
            }
        }
        empty_missing(rows, stretch.length, values);
    }
    into
}

/// Room for windows of half the size and of the size.
#[derive(Default)]
struct Halves {
    half: Vec<f64>,
    whole: Vec<f64>,
}

impl Halves {
    /// Of each window that lies in `rows`, as many as `into` has.
    fn of(&mut self, rows: &[f64], into: &mut [f64], pick: impl Fn(f64, f64) -> f64 + Copy) {
        let length = rows.len() + 1 - into.len();
        self.half.clear();
        self.half.extend_from_slice(rows);
        let mut width = 1;
        while 2 * width <= length {
            let later = &self.half[width..];
            self.whole.clear();
            self.whole.extend(self.half.iter().zip(later).map(|(older, newer)| pick(*older, *newer)));
            std::mem::swap(&mut self.half, &mut self.whole);
            width *= 2;
        }
        let later = &self.half[length - width..];
        for ((value, older), newer) in into.iter_mut().zip(&self.half).zip(later) {
            *value = pick(*older, *newer);
        }
    }
}

/// Comparisons pass over a missing value.
fn empty_missing(rows: &[f64], length: usize, into: &mut [f64]) {
    let mut emptied = 0;
    for (t, _) in rows.iter().enumerate().filter(|(_, x)| x.is_nan()) {
        let until = (t + 1).min(into.len());
        let from = (t + 1).saturating_sub(length).max(emptied);
        if let Some(values) = into.get_mut(from..until) {
            values.fill(f64::NAN);
        }
        emptied = until;
    }
}
