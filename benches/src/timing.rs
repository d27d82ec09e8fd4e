//! Nanoseconds per row, taken so that they mean something on a machine that does other work as well.
//!
//! Wall time is the median over chunks of about half a millisecond, which is less than a scheduler's slice: most chunks
//! are not interrupted, and the median is one of those. CPU time is the process's, all threads, over all chunks. Rows
//! rotate through the whole matrix, so that no branch predictor learns one row. Programs that are compared (`benches/peers`)
//! measure in the same way.

use std::ops::Range;
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

/// Aim for one chunk.
const CHUNK: Duration = Duration::from_micros(500);
/// CPU time after which a cell is done.
const ENOUGH_CPU: Duration = Duration::from_millis(120);
/// Wall time after which it is done in any case.
const ENOUGH_WALL: Duration = Duration::from_secs(3);
/// A median of fewer chunks says nothing.
const MIN_CHUNKS: usize = 3;

/// What a row costs.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PerRow {
    /// Median wall time over chunks, in ns.
    pub wall_ns: f64,
    /// CPU time of the whole process over all chunks, in ns.
    pub cpu_ns: f64,
}

/// CPU time of this process so far, all its threads together.
#[must_use]
pub fn process_cpu() -> Duration {
    let now = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(u64::try_from(now.tv_sec).unwrap_or(0), u32::try_from(now.tv_nsec).unwrap_or(0))
}

/// The middle of some numbers; NaN for none.
#[must_use]
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    match values.len() {
        0 => f64::NAN,
        n if n % 2 == 1 => values[n / 2],
        n => f64::midpoint(values[n / 2 - 1], values[n / 2]),
    }
}

/// Walks through `0..rows` in steps of `batch`, from the start again where fewer than `batch` are left.
struct Rotation {
    rows: usize,
    batch: usize,
    next: usize,
}

impl Rotation {
    fn step(&mut self) -> Range<usize> {
        if self.next + self.batch > self.rows {
            self.next = 0;
        }
        let start = self.next;
        self.next += self.batch;
        start..self.next
    }
}

/// Measures `call`, which is given the rows to predict: `batch` of `rows` each time.
///
/// `batch` has to be at least 1 and at most `rows`.
pub fn measure(rows: usize, batch: usize, mut call: impl FnMut(Range<usize>)) -> PerRow {
    let mut rotation = Rotation { rows, batch, next: 0 };
    let calls = calls_per_chunk(&mut rotation, &mut call);
    let per_chunk = (calls * batch) as f64;
    let (start, start_cpu) = (Instant::now(), process_cpu());
    let mut chunks = Vec::new();
    loop {
        let chunk = Instant::now();
        (0..calls).for_each(|_| call(rotation.step()));
        chunks.push(chunk.elapsed().as_nanos() as f64 / per_chunk);
        let cpu = process_cpu().saturating_sub(start_cpu);
        let done = cpu > ENOUGH_CPU || start.elapsed() > ENOUGH_WALL;
        if done && chunks.len() >= MIN_CHUNKS {
            let cpu_ns = cpu.as_nanos() as f64 / (chunks.len() as f64 * per_chunk);
            return PerRow { wall_ns: median(chunks), cpu_ns };
        }
    }
}

/// Calls until caches and scratch memory are warm, then says how many calls make a chunk.
fn calls_per_chunk(rotation: &mut Rotation, call: &mut impl FnMut(Range<usize>)) -> usize {
    call(rotation.step());
    let start = Instant::now();
    let mut calls = 0_u32;
    while start.elapsed() < 4 * CHUNK && calls < 10_000 {
        call(rotation.step());
        calls += 1;
    }
    let one = start.elapsed() / calls.max(1);
    (CHUNK.as_nanos() / one.as_nanos().max(1)).max(1) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle() {
        assert_eq!(median(vec![3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(vec![4.0, 1.0]), 2.5);
        assert!(median(Vec::new()).is_nan());
    }

    #[test]
    fn rows_rotate_and_a_batch_is_always_whole() {
        let mut rotation = Rotation { rows: 7, batch: 3, next: 0 };
        let steps: Vec<_> = (0..4).map(|_| rotation.step()).collect();
        assert_eq!(steps, [0..3, 3..6, 0..3, 3..6]);
    }

    #[test]
    fn cpu_time_does_not_go_back() {
        let before = process_cpu();
        assert!((0..1000).all(|_| process_cpu() >= before));
    }

    #[test]
    fn every_call_gets_a_whole_batch() {
        let mut calls = 0_usize;
        let cost = measure(10, 4, |rows| {
            assert!(rows == (0..4) || rows == (4..8), "{rows:?}");
            calls += 1;
        });
        assert!(calls >= MIN_CHUNKS && cost.wall_ns > 0.0 && cost.cpu_ns > 0.0, "{calls} calls, {cost:?}");
    }
}
