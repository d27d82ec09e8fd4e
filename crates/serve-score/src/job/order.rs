//! What is scored, in the order of the input: of all rows, or where they may come as they are scored, of parts. What is at the front is
//! written by the thread that scored it; what lies behind it waits.
//!
//! The row that comes first of those not written is never one that waits: the thread that has it writes it at once. So threads that
//! wait for room always get some.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Condvar, Mutex, PoisonError};

use super::written::Written;
use super::{Progress, RunOptions, lock};
use crate::error::ScoreError;
use crate::part::PieceCuts;
use crate::reject::MaxRejects;
use crate::scorer::Scored;

/// Where rows belong.
#[derive(Debug, Clone, Copy)]
pub(super) struct Turn {
    pub(super) piece: u64,
    pub(super) part: u64,
}

/// The order of pieces or parts, and what is written.
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
    /// The piece, or the part, that is written as it comes.
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
        let front = if options.ordered { 0 } else { written.position().0 };
        Self {
            state: Mutex::new(State { front, waiting, bytes: 0, ended, failed: None, written }),
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

    /// Tells where parts end in the piece that begins, before anything of it is put.
    pub(super) fn begin(&self, cuts: &PieceCuts) {
        lock(&self.state).written.cut(cuts.part, &cuts.ends);
    }

    /// Writes what rows came to, now or in their turn; false when the job has failed.
    pub(super) fn put(&self, turn: Turn, scored: Scored) -> Result<bool, ScoreError> {
        let mut state = lock(&self.state);
        let bytes = scored.answers.get_array_memory_size();
        let turn = if self.ordered { turn.piece } else { turn.part };
        let full = |state: &State| {
            state.failed.is_none()
                && turn != state.front
                && state.bytes > 0
                && state.bytes + bytes > self.waiting_bytes
        };
        while full(&state) {
            state = self.moved.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        if state.failed.is_some() {
            return Ok(false);
        }
        if turn == state.front {
            let ended = self.write(&mut state, scored)?;
            if ended && !self.ordered {
                self.move_on(&mut state)?;
            }
        } else {
            state.bytes += bytes;
            state.waiting.entry(turn).or_default().push(scored);
        }
        Ok(true)
    }

    /// Notes that a piece is scored, and writes what waited for it.
    pub(super) fn end(&self, piece: u64) -> Result<(), ScoreError> {
        if !self.ordered {
            return Ok(());
        }
        let mut state = lock(&self.state);
        state.ended.insert(piece);
        loop {
            let front = state.front;
            if !state.ended.remove(&front) {
                break;
            }
            self.move_on(&mut state)?;
        }
        Ok(())
    }

    /// The next is at the front, and what waited of it is written.
    fn move_on(&self, state: &mut State) -> Result<(), ScoreError> {
        let mut ended = true;
        while ended {
            state.front += 1;
            ended = false;
            for scored in state.waiting.remove(&state.front).unwrap_or_default() {
                state.bytes = state.bytes.saturating_sub(scored.answers.get_array_memory_size());
                ended |= self.write(state, scored)? && !self.ordered;
            }
        }
        self.moved.notify_all();
        Ok(())
    }

    /// Writes rows; true when a part ended with them.
    fn write(&self, state: &mut State, scored: Scored) -> Result<bool, ScoreError> {
        let ended = state.written.write(&scored)?;
        self.progress.count(scored.read, scored.rejects.len() as u64);
        self.progress.check(self.max_rejects, false)?;
        Ok(ended)
    }

    /// Ends the job; the first error counts.
    pub(super) fn fail(&self, error: ScoreError) {
        lock(&self.state).failed.get_or_insert(error);
        self.moved.notify_all();
    }

    /// What was written, and what went wrong.
    pub(super) fn finish(self) -> (Written, Result<(), ScoreError>) {
        let enough = self.progress.check(self.max_rejects, true);
        let State { failed, written, .. } = self.state.into_inner().unwrap_or_else(PoisonError::into_inner);
        (written, failed.map_or(enough, Err))
    }
}
