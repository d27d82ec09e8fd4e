//! A standing pool of threads for batches. Rows are independent, so how they are shared out changes no bit.

use std::sync::{Mutex, PoisonError};

use rayon::{ThreadPool, ThreadPoolBuilder};
use thiserror::Error;

use super::rows::Rows;

/// What it takes to hand a part to another thread and to hear that it is done, in nanoseconds of CPU time: most of it is
/// spent by a thread that looks for more work before it sleeps again. `docs/engine.md` has the measurement.
const HAND_OVER: f64 = 50_000.0;

/// A part is worth this many hand-overs.
const WORTH: f64 = 4.0;

/// Parts are whole groups of the engine's rows.
const GROUP: usize = 64;

/// Parts of a thread, at most, so that a thread that was held up holds nobody up.
const PARTS: usize = 4;

/// A pool of threads that the caller has asked for; the crate starts none of its own accord.
///
/// The thread that asks for a prediction works too, so a pool of `n` starts `n - 1`, and a pool of one starts none. They
/// end with the pool.
#[derive(Debug)]
pub struct Pool {
    threads: usize,
    others: Option<ThreadPool>,
}

/// Threads could not be started.
#[derive(Debug, Error)]
#[error("{threads} threads could not be started")]
#[non_exhaustive]
pub struct PoolError {
    /// How many were asked for.
    pub threads: usize,
    /// Why.
    pub source: rayon::ThreadPoolBuildError,
}

impl Pool {
    /// A pool of `threads`, the caller's own included; 0 is taken as 1.
    ///
    /// # Errors
    /// When the system starts no more threads.
    pub fn new(threads: usize) -> Result<Self, PoolError> {
        let others = threads.saturating_sub(1);
        let builder = ThreadPoolBuilder::new().num_threads(others).thread_name(|n| format!("engine-{n}"));
        let built = (others > 0).then(|| builder.build()).transpose();
        let others = built.map_err(|source| PoolError { threads, source })?;
        Ok(Self { threads: threads.max(1), others })
    }

    /// How many threads work at a batch.
    #[must_use]
    pub fn threads(&self) -> usize {
        self.threads
    }

    /// Runs `work` on parts of `rows` with their places in `out`, `width` numbers a row, on as many threads as pay when
    /// a row takes `ns_per_row`.
    pub(crate) fn share(
        &self,
        rows: &Rows<'_>,
        (out, width): (&mut [f64], usize),
        ns_per_row: f64,
        work: impl Fn(&Rows<'_>, &mut [f64]) + Sync,
    ) {
        let count = parts(rows.len(), self.threads, ns_per_row);
        let Some(others) = self.others.as_ref().filter(|_| count > 1) else {
            return work(rows, out);
        };
        let part = rows.len().div_ceil(count).next_multiple_of(GROUP);
        let parts = Mutex::new((0..rows.len()).step_by(part).zip(out.chunks_mut(part * width)));
        let run = || {
            // The lock is held for taking a part only; a thread that panicked left the list whole.
            let next = || parts.lock().unwrap_or_else(PoisonError::into_inner).next();
            while let Some((start, out)) = next() {
                work(&rows.slice(start, rows.len().min(start + part)), out);
            }
        };
        others.in_place_scope(|scope| {
            for _ in 1..self.threads.min(count) {
                scope.spawn(|_| run());
            }
            run();
        });
    }
}

/// Into how many parts rows are cut: 1 where threads do not pay, a multiple of `threads` where there are enough.
fn parts(rows: usize, threads: usize, ns_per_row: f64) -> usize {
    let worth = (rows as f64 * ns_per_row / (WORTH * HAND_OVER)) as usize;
    let groups = rows.div_ceil(GROUP);
    match worth.min(groups) {
        0 => 1,
        few if few < threads => few,
        many => many.min(PARTS * threads) / threads * threads,
    }
}

#[cfg(test)]
mod tests {
    use super::parts;

    #[test]
    fn small_work_stays_and_large_work_is_shared_evenly() {
        assert_eq!(parts(0, 2, 100.0), 1);
        assert_eq!(parts(1000, 1, 1e6), 4);
        assert_eq!(parts(1000, 2, 90.0), 1);
        assert_eq!(parts(1000, 2, 520.0), 2);
        assert_eq!(parts(1000, 8, 520.0), 2);
        assert_eq!(parts(100_000, 2, 90.0), 8);
        assert_eq!(parts(8000, 2, 90.0), 2);
        assert_eq!(parts(64, 4, 1e9), 1);
        assert_eq!(parts(65, 4, 1e9), 2);
        assert_eq!(parts(usize::MAX, 4, f64::INFINITY), 16);
    }
}
