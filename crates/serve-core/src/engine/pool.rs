//! A standing pool of threads for batches. Rows are independent, so how they are shared out changes no bit.

use std::sync::{Mutex, PoisonError};

use rayon::{ThreadPool, ThreadPoolBuilder};
use thiserror::Error;

use super::rows::Rows;

/// Rows of a part, at least: a part is worth handing to another thread, and a multiple of the engine's blocks.
const PART: usize = 256;

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

    /// Runs `work` on parts of `rows` with their places in `out`, `width` numbers a row, on all threads.
    pub(crate) fn share(
        &self,
        rows: &Rows<'_>,
        (out, width): (&mut [f64], usize),
        work: impl Fn(&Rows<'_>, &mut [f64]) + Sync,
    ) {
        let Some(others) = self.others.as_ref().filter(|_| rows.len() > PART / 2) else {
            return work(rows, out);
        };
        // Several parts a thread, so that a thread that was held up holds nobody up.
        let part = (rows.len() / (self.threads * 4)).clamp(PART, 16 * PART).next_multiple_of(PART);
        let part = part.min(rows.len().div_ceil(self.threads).next_multiple_of(PART / 4));
        let parts = Mutex::new((0..rows.len()).step_by(part).zip(out.chunks_mut(part * width)));
        let run = || {
            // The lock is held for taking a part only; a thread that panicked left the list whole.
            let next = || parts.lock().unwrap_or_else(PoisonError::into_inner).next();
            while let Some((start, out)) = next() {
                work(&rows.slice(start, rows.len().min(start + part)), out);
            }
        };
        others.in_place_scope(|scope| {
            for _ in 1..self.threads {
                scope.spawn(|_| run());
            }
            run();
        });
    }
}
