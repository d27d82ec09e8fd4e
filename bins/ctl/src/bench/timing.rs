//! Time per row: the median over chunks of about half a millisecond, which is less than a scheduler's slice, so that
//! other work on the machine shifts it little.

use std::ops::Range;
use std::time::{Duration, Instant};

const CHUNK: Duration = Duration::from_micros(500);
const PER_CELL: Duration = Duration::from_millis(200);
const MIN_CHUNKS: usize = 3;

/// What `work` gives, and how long it takes.
pub(super) fn milliseconds<T>(work: impl FnOnce() -> T) -> (T, f64) {
    let start = Instant::now();
    let made = work();
    (made, start.elapsed().as_secs_f64() * 1e3)
}

/// The middle one, the upper of two; NaN for none.
pub(super) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// Calls with ranges of `batch` rows that rotate through `0..rows`; ns per row. `batch` is 1 to `rows`.
pub(super) fn ns_per_row(rows: usize, batch: usize, mut call: impl FnMut(Range<usize>)) -> f64 {
    let mut next = 0;
    let mut step = || {
        if next + batch > rows {
            next = 0;
        }
        next += batch;
        call(next - batch..next);
    };
    step();
    let start = Instant::now();
    let mut calls = 0;
    while start.elapsed() < 4 * CHUNK {
        step();
        calls += 1;
    }
    let per_chunk = (calls / 4).max(1);
    let start = Instant::now();
    let mut chunks = Vec::new();
    while start.elapsed() < PER_CELL || chunks.len() < MIN_CHUNKS {
        let chunk = Instant::now();
        (0..per_chunk).for_each(|_| step());
        chunks.push(chunk.elapsed().as_nanos() as f64 / (per_chunk * batch) as f64);
    }
    median(chunks)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle() {
        assert_eq!(median(vec![3.0, 1.0, 2.0]), 2.0);
        assert!(median(Vec::new()).is_nan());
    }

    #[test]
    fn batches_rotate_and_are_whole() {
        let mut seen = Vec::new();
        let cost = ns_per_row(7, 3, |range| {
            if seen.len() < 3 {
                seen.push(range);
            }
        });
        assert_eq!(seen, [0..3, 3..6, 0..3]);
        assert!(cost > 0.0);
    }
}
