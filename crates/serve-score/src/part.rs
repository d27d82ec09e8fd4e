//! Parts of a job: what of an output is finished, so that a job which was killed goes on behind it.
//!
//! A part is a run of rows in the input's order. It ends with the first batch at which so many rows were read as a part has, so its
//! cuts depend on the files and the options alone. One [`PartWriter`] writes the answers and the rejects of one part into a folder,
//! under names of its own attempt; a [`FinishedPart`] says what came of it; an [`Assembly`] takes finished parts in order and gives
//! the output its name. Nothing here assumes that those who write parts and the one who publishes them are one process.
//!
//! On one machine a [`State`] keeps finished parts in a journal. Invariants: a part's files are on the disk before the journal names
//! it; what the journal does not name is nothing; one job at a time works in a folder of state.

mod assembly;
mod cuts;
mod facts;
mod join;
mod journal;
mod state;
mod writer;

use serde::{Deserialize, Serialize};
use serve_core::Digest;

use crate::tally::Tally;

pub use assembly::{Assembly, Staged};
pub(crate) use cuts::{Cuts, PieceCuts};
pub use facts::{InputFacts, JobFacts};
pub use state::{Begun, State};
pub use writer::{PartLayout, PartWriter};

/// What came of a part.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FinishedPart {
    /// Its number, from 0.
    pub number: u64,
    /// The number of the first row that was read, from 1.
    pub first_row: u64,
    /// How many rows were read.
    pub read: u64,
    /// How many of them were answered.
    pub answered: u64,
    /// How many were rejected.
    pub rejected: u64,
    /// The file of answers, in the folder of state.
    pub file: String,
    /// The file of rejects, where there are any.
    pub rejects: Option<String>,
    /// Bytes of the file of answers.
    pub bytes: u64,
    /// Digest of the file of answers.
    pub sha256: Digest,
    /// What was counted of its rows, where that was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tally: Option<Tally>,
}

impl FinishedPart {
    /// The number of the first row behind it.
    #[must_use]
    pub fn next_row(&self) -> u64 {
        self.first_row + self.read
    }
}
