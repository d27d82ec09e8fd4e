//! How far a job is, for those who watch it; and the way to stop it.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use super::lock;
use crate::error::ScoreError;
use crate::reject::{MaxRejects, Reject};
use crate::spread::Pace;

/// Rejects that a message has.
const FIRST_REJECTS: usize = 3;

/// How far a job is; and the way to stop it.
#[derive(Debug, Default)]
pub struct Progress {
    rows: AtomicU64,
    /// Those of them that an earlier run had done.
    earlier: AtomicU64,
    rejected: AtomicU64,
    bytes: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
    notices: Mutex<Vec<String>>,
    /// The first rejects, told.
    first_rejects: Mutex<Vec<String>>,
}

impl Progress {
    /// Rows that were read and written, or rejected.
    #[must_use]
    pub fn rows(&self) -> u64 {
        self.rows.load(Ordering::Relaxed)
    }

    /// Those of them that an earlier run had done.
    #[must_use]
    pub fn earlier_rows(&self) -> u64 {
        self.earlier.load(Ordering::Relaxed)
    }

    /// Those of them that were rejected.
    #[must_use]
    pub fn rejected(&self) -> u64 {
        self.rejected.load(Ordering::Relaxed)
    }

    /// Bytes of the input that were read, where that says how far it is.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Ends the job soon, without output. Safe to call from a handler of signals.
    pub fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }

    /// Whether the job is to end.
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// What there is to say since this was asked last.
    #[must_use]
    pub fn notices(&self) -> Vec<String> {
        std::mem::take(&mut lock(&self.notices))
    }

    /// Says something to whoever runs the job.
    pub fn tell(&self, notice: String) {
        lock(&self.notices).push(notice);
    }

    /// Begins behind rows that an earlier run has done.
    pub(super) fn go_on(&self, rows: u64, rejected: u64) {
        self.stand(rows, rejected);
        self.earlier.store(rows, Ordering::Relaxed);
    }

    /// Says how far others are with the job.
    pub fn follow(&self, pace: Pace) {
        self.stand(pace.rows, pace.rejected);
        self.bytes.store(pace.bytes, Ordering::Relaxed);
    }

    /// So many rows were read and rejected, whatever was counted before.
    pub(super) fn stand(&self, rows: u64, rejected: u64) {
        self.rows.store(rows, Ordering::Relaxed);
        self.rejected.store(rejected, Ordering::Relaxed);
    }

    /// Where bytes that were read are counted.
    pub(crate) fn bytes_read(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.bytes)
    }

    /// What says that the job is to end, for those who wait for bytes.
    pub(crate) fn stop_flag(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.stop)
    }

    /// Keeps the first rejects, for a message.
    pub(super) fn keep(&self, rejects: &[Reject]) {
        if rejects.is_empty() {
            return;
        }
        let mut first = lock(&self.first_rejects);
        let room = FIRST_REJECTS.saturating_sub(first.len());
        first.extend(rejects.iter().take(room).map(Reject::told));
    }

    /// Counts rows that were read, and those of them that were rejected.
    pub(super) fn count(&self, rows: u64, rejected: u64) {
        self.rows.fetch_add(rows, Ordering::Relaxed);
        self.rejected.fetch_add(rejected, Ordering::Relaxed);
    }

    /// Fails when too many rows are rejected. How large their share is counts at the end only.
    ///
    /// # Errors
    /// [`ScoreError::TooManyRejects`].
    pub fn check(&self, most: Option<MaxRejects>, ended: bool) -> Result<(), ScoreError> {
        let (rows, rejected) = (self.rows(), self.rejected());
        match most {
            Some(most) if most.exceeded(rejected, rows, ended) => {
                let first = lock(&self.first_rejects).clone();
                Err(ScoreError::TooManyRejects { rejected, rows, most, first })
            }
            _ => Ok(()),
        }
    }

    /// Counts rows that were written.
    pub fn add(&self, rows: u64) {
        self.rows.fetch_add(rows, Ordering::Relaxed);
    }
}
