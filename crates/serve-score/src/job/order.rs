//! What is scored, in the order of the input. The piece at the front is written as it is scored, by the thread that scores it; those behind it
//! wait.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Condvar, Mutex, PoisonError};

use super::{Progress, RunOptions, lock};
use crate::error::ScoreError;
use crate::reject::{MaxRejects, RejectsFile};
use crate::scorer::Scored;
use crate::sink::Sink;
use crate::tally::Tally;

use std::sync::atomic::Ordering;

/// What is written.
pub(super) struct Written {
    pub(super) sink: Sink,
    pub(super) rejects: RejectsFile,
    /// What was counted of it, where anything was.
    pub(super) tally: Option<Tally>,
}

/// The order of pieces, and what is written.
pub(super) struct Order<'a> {
    /// Invariant: held while anything is written, so the output has one writer.
    state: Mutex<State>,
    moved: Condvar,
    ordered: bool,
    /// So many pieces may be under way.
    window: u64,
    waiting_bytes: usize,
    max_rejects: Option<MaxRejects>,
    progress: &'a Progress,
}

struct State {
    /// The piece that is written as it comes.
    front: u64,
    waiting: BTreeMap<u64, Vec<Scored>>,
    bytes: usize,
    ended: BTreeSet<u64>,
    failed: Option<ScoreError>,
    written: Written,
}

impl<'a> Order<'a> {
    pub(super) fn new(written: Written, options: &RunOptions, progress: &'a Progress) -> Self {
        let (waiting, ended) = (BTreeMap::new(), BTreeSet::new());
        Self {
            state: Mutex::new(State { front: 0, waiting, bytes: 0, ended, failed: None, written }),
            moved: Condvar::new(),
            ordered: options.ordered,
            window: 2 * options.threads.max(1) as u64,
            waiting_bytes: options.waiting_bytes,
            max_rejects: options.max_rejects,
            progress,
        }
    }

    /// Waits until a piece may begin; false when the job has failed.
    pub(super) fn wait_for_window(&self, piece: u64) -> bool {
        let mut state = lock(&self.state);
        while state.failed.is_none() && self.ordered && piece >= state.front + self.window {
            state = self.moved.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.failed.is_none()
    }

    /// Writes what a piece came to, now or in its turn; false when the job has failed.
    pub(super) fn put(&self, piece: u64, scored: Scored) -> Result<bool, ScoreError> {
        let mut state = lock(&self.state);
        let bytes = scored.answers.get_array_memory_size();
        let full = |state: &State| {
            state.failed.is_none()
                && self.ordered
                && piece != state.front
                && state.bytes > 0
                && state.bytes + bytes > self.waiting_bytes
        };
        while full(&state) {
            state = self.moved.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        if state.failed.is_some() {
            return Ok(false);
        }
        if !self.ordered || piece == state.front {
            self.write(&mut state, scored)?;
        } else {
            state.bytes += bytes;
            state.waiting.entry(piece).or_default().push(scored);
        }
        Ok(true)
    }

    /// Notes that a piece is scored, and writes what waited for it.
    pub(super) fn end(&self, piece: u64) -> Result<(), ScoreError> {
        let mut state = lock(&self.state);
        state.ended.insert(piece);
        loop {
            let front = state.front;
            if !state.ended.remove(&front) {
                break;
            }
            state.front += 1;
            for scored in state.waiting.remove(&(front + 1)).unwrap_or_default() {
                state.bytes = state.bytes.saturating_sub(scored.answers.get_array_memory_size());
                self.write(&mut state, scored)?;
            }
        }
        self.moved.notify_all();
        Ok(())
    }

    fn write(&self, state: &mut State, scored: Scored) -> Result<(), ScoreError> {
        state.written.sink.write(&scored.answers)?;
        state.written.rejects.write(&scored.rejects)?;
        if let Some(tally) = &scored.tally {
            state.written.tally.get_or_insert_default().merge(tally);
        }
        self.progress.rows.fetch_add(scored.read, Ordering::Relaxed);
        self.progress.rejected.fetch_add(scored.rejects.len() as u64, Ordering::Relaxed);
        self.check_rejects(false)
    }

    fn check_rejects(&self, ended: bool) -> Result<(), ScoreError> {
        let (rows, rejected) = (self.progress.rows(), self.progress.rejected());
        match self.max_rejects {
            Some(most) if most.exceeded(rejected, rows, ended) => {
                Err(ScoreError::TooManyRejects { rejected, rows, most })
            }
            _ => Ok(()),
        }
    }

    /// Ends the job; the first error counts.
    pub(super) fn fail(&self, error: ScoreError) {
        lock(&self.state).failed.get_or_insert(error);
        self.moved.notify_all();
    }

    /// What was written, when all of it was.
    pub(super) fn finish(self) -> Result<Written, ScoreError> {
        self.check_rejects(true).map_err(|error| self.first_of(error))?;
        let state = self.state.into_inner().unwrap_or_else(PoisonError::into_inner);
        match state.failed {
            Some(error) => Err(error),
            None => Ok(state.written),
        }
    }

    /// An earlier error, where there was one.
    fn first_of(&self, error: ScoreError) -> ScoreError {
        lock(&self.state).failed.take().unwrap_or(error)
    }
}
