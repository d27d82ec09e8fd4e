//! How far the shares of a job are. Who scores a share writes it into a small file of the folder of state, now and then and at the
//! share's end; the process that planned the job reads these files. They are there to be shown, and to end a job early whose rejects
//! are too many: what counts at the end is what the finished parts say.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::Spread;
use crate::part::PartWriter;

/// Between two words of a share.
const BETWEEN: Duration = Duration::from_millis(500);

/// What became of the rows of a share, or of all.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pace {
    /// Rows that were read.
    pub rows: u64,
    /// Those of them that were rejected.
    pub rejected: u64,
    /// Bytes of the input that were read, where that says how far it is.
    pub bytes: u64,
    /// Whether nothing is left.
    whole: bool,
}

/// What names of the files begin with.
const NAME: &str = "pace-";

/// Tells how far one share is.
pub(super) struct Teller {
    path: PathBuf,
    bytes: Arc<AtomicU64>,
    told: Instant,
}

impl Teller {
    pub(super) fn new(folder: &Path, share: usize, bytes: Arc<AtomicU64>) -> Self {
        Self { path: folder.join(format!("{NAME}{share:05}")), bytes, told: Instant::now() }
    }

    /// Says what is written, if it is time to.
    pub(super) fn tell(&mut self, writer: &PartWriter) {
        if self.told.elapsed() >= BETWEEN {
            self.told = Instant::now();
            self.write(writer, false);
        }
    }

    /// Says that it is all.
    pub(super) fn end(self, writer: &PartWriter) {
        self.write(writer, true);
    }

    fn write(&self, writer: &PartWriter, whole: bool) {
        let (rows, rejected) = (writer.read(), writer.rejected());
        let pace = Pace { rows, rejected, bytes: self.bytes.load(Ordering::Relaxed), whole };
        if let Ok(text) = serde_json::to_string(&pace) {
            // What cannot be told is not shown.
            drop(fs::write(&self.path, text));
        }
    }
}

/// How far all shares are.
#[derive(Debug)]
pub struct Paces {
    folder: PathBuf,
    shares: Vec<Pace>,
}

impl Paces {
    /// Of a job of which nothing is done.
    #[must_use]
    pub fn new(spread: &Spread) -> Self {
        Self { folder: spread.folder.clone(), shares: vec![Pace::default(); spread.shares()] }
    }

    /// Reads what was told of shares that are not whole yet. What is being written, and so no pace, is read the next time.
    pub fn look(&mut self) -> Pace {
        for entry in fs::read_dir(&self.folder).into_iter().flatten().flatten() {
            let name = entry.file_name();
            let share = name.to_str().and_then(|name| name.strip_prefix(NAME)?.parse().ok());
            if let Some(pace) = share.and_then(|share: usize| self.shares.get_mut(share))
                && !pace.whole
                && let Ok(text) = fs::read(entry.path())
                && let Ok(told) = serde_json::from_slice(&text)
            {
                *pace = told;
            }
        }
        self.shares.iter().fold(Pace::default(), |all, share| Pace {
            rows: all.rows + share.rows,
            rejected: all.rejected + share.rejected,
            bytes: all.bytes + share.bytes,
            whole: false,
        })
    }
}
