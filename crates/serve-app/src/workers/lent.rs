//! The threads as who computes features sees them: pieces of one lot are the parts of a job, so that they take turns with
//! those of other jobs.

use std::sync::Arc;

use serve_features::{Piece, Threads};

use super::{Shared, alone};

/// The threads, lent to who computes features.
pub(super) struct Lent {
    pub(super) shared: Arc<Shared>,
    pub(super) threads: usize,
}

impl std::fmt::Debug for Lent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Lent").field("threads", &self.threads).finish_non_exhaustive()
    }
}

impl Threads for Lent {
    fn run(&self, pieces: Vec<Piece>) {
        if self.threads == 0 {
            pieces.into_iter().for_each(|piece| drop(alone(piece)));
            return;
        }
        self.shared.line_up(pieces.into(), self.threads);
    }
}
