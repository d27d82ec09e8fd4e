//! What is counted of one version, and what it comes to.

use std::iter::Sum;
use std::ops::Add;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde::Serialize;

use crate::striped::{Mine, Striped};

/// Batches of at most this many rows are counted by their size; larger ones by the power of two that they reach up to.
const LARGEST_EXACT: usize = 128;

/// Powers of two above [`LARGEST_EXACT`]; the last takes all that are larger.
const POWERS: usize = 24;

/// How often something happened, and how long it took all together.
#[derive(Debug, Default)]
pub(super) struct Tally {
    count: AtomicU64,
    ns: AtomicU64,
}

/// How often something happened until now, and how long it took all together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Total {
    /// How often.
    pub count: u64,
    /// How long all together, in nanoseconds.
    pub ns: u64,
}

impl Add for Total {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self { count: self.count + other.count, ns: self.ns + other.ns }
    }
}

impl Sum for Total {
    fn sum<I: Iterator<Item = Self>>(totals: I) -> Self {
        totals.fold(Self::default(), Add::add)
    }
}

impl Mine<'_, Tally> {
    pub(super) fn happened(&self, time: Duration) {
        self.add(|tally| &tally.count, 1);
        // Nearly no request waits.
        if !time.is_zero() {
            self.add(|tally| &tally.ns, u64::try_from(time.as_nanos()).unwrap_or(u64::MAX));
        }
    }
}

impl Tally {
    fn total(&self) -> Total {
        Total { count: self.count.load(Ordering::Relaxed), ns: self.ns.load(Ordering::Relaxed) }
    }
}

/// What some threads counted of one version.
#[derive(Debug)]
pub(super) struct Counts {
    /// In milliseconds since 1970; 0 for never.
    pub(super) last_inference: AtomicU64,
    pub(super) inferences: AtomicU64,
    pub(super) executions: AtomicU64,
    pub(super) success: Tally,
    pub(super) fail: Tally,
    pub(super) queue: Tally,
    pub(super) compute_input: Tally,
    pub(super) compute_infer: Tally,
    pub(super) compute_output: Tally,
    batches: [OnceLock<Box<Stages>>; LARGEST_EXACT + POWERS],
}

/// Counts of one version at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Totals {
    /// When a row was last inferred, in milliseconds since 1970; 0 for never.
    pub last_inference_ms: u64,
    /// Rows that were inferred.
    pub inferences: u64,
    /// Executions of the model, each of one row or many.
    pub executions: u64,
    /// Requests that were answered, from their first byte to the end of their last stage until then.
    pub success: Total,
    /// Requests that reached the version and were refused or failed.
    pub fail: Total,
    /// Waiting of requests that were answered.
    pub queue: Total,
    /// Making sense of them.
    pub compute_input: Total,
    /// Inference, once an execution.
    pub compute_infer: Total,
    /// Writing answers.
    pub compute_output: Total,
    /// The batch sizes that there were, from the smallest.
    pub batches: Vec<BatchTotals>,
}

/// Stages of the executions of one batch size.
#[derive(Debug, Default)]
pub(super) struct Stages {
    pub(super) input: Tally,
    pub(super) infer: Tally,
    pub(super) output: Tally,
}

/// Stages of the executions of one batch size at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchTotals {
    /// Rows; above 128 the power of two that the batches reached up to.
    pub size: u64,
    /// Making sense of requests.
    pub input: Total,
    /// Inference.
    pub infer: Total,
    /// Writing answers.
    pub output: Total,
}

impl Totals {
    pub(super) fn of(counts: &Striped<Counts>) -> Self {
        let total = |of: fn(&Counts) -> &Tally| counts.all().map(|counts| of(counts).total()).sum();
        let last = counts.all().map(|counts| counts.last_inference.load(Ordering::Relaxed));
        Self {
            last_inference_ms: last.max().unwrap_or(0),
            inferences: counts.sum(|counts| &counts.inferences),
            executions: counts.sum(|counts| &counts.executions),
            success: total(|counts| &counts.success),
            fail: total(|counts| &counts.fail),
            queue: total(|counts| &counts.queue),
            compute_input: total(|counts| &counts.compute_input),
            compute_infer: total(|counts| &counts.compute_infer),
            compute_output: total(|counts| &counts.compute_output),
            batches: (0..LARGEST_EXACT + POWERS).filter_map(|place| BatchTotals::of(counts, place)).collect(),
        }
    }
}

impl BatchTotals {
    /// The batches that are counted at one place, where there were any.
    fn of(counts: &Striped<Counts>, place: usize) -> Option<Self> {
        let counted = counts.all().filter_map(|counts| counts.batches[place].get());
        counted.map(|stages| stages.totals(place)).reduce(|one, other| Self {
            size: one.size,
            input: one.input + other.input,
            infer: one.infer + other.infer,
            output: one.output + other.output,
        })
    }
}

impl Default for Counts {
    fn default() -> Self {
        Self {
            last_inference: AtomicU64::default(),
            inferences: AtomicU64::default(),
            executions: AtomicU64::default(),
            success: Tally::default(),
            fail: Tally::default(),
            queue: Tally::default(),
            compute_input: Tally::default(),
            compute_infer: Tally::default(),
            compute_output: Tally::default(),
            batches: [const { OnceLock::new() }; LARGEST_EXACT + POWERS],
        }
    }
}

impl Counts {
    pub(super) fn batch(&self, rows: usize) -> &Stages {
        self.batches[place(rows)].get_or_init(Box::default)
    }
}

impl Stages {
    fn totals(&self, place: usize) -> BatchTotals {
        let Self { input, infer, output } = self;
        BatchTotals { size: size(place), input: input.total(), infer: infer.total(), output: output.total() }
    }
}

/// Where a batch of `rows`, at least 1, is counted.
fn place(rows: usize) -> usize {
    if rows <= LARGEST_EXACT {
        return rows.max(1) - 1;
    }
    // 129 to 256 is the first.
    let power = (usize::BITS - (rows - 1).leading_zeros()) as usize - LARGEST_EXACT.ilog2() as usize - 1;
    LARGEST_EXACT + power.min(POWERS - 1)
}

/// The batch size that a place stands for.
fn size(place: usize) -> u64 {
    if place < LARGEST_EXACT {
        return place as u64 + 1;
    }
    (2 * LARGEST_EXACT as u64) << (place - LARGEST_EXACT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batch_sizes_are_exact_and_then_powers_of_two() {
        for (rows, expected) in [
            (1, 1),
            (2, 2),
            (128, 128),
            (129, 256),
            (256, 256),
            (257, 512),
            (10_000, 16_384),
            (usize::MAX, 1 << 31),
        ] {
            assert_eq!(size(place(rows)), expected, "{rows}");
        }
        assert_eq!(place(0), 0);
    }
}
