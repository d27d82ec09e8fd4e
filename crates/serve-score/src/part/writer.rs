//! Writes one part: its answers, and beside them its rejects. The files have names that no other attempt at the part has, and are gone
//! when it is given up.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use arrow_schema::SchemaRef;
use serde::{Deserialize, Serialize};
use serve_core::Digest;
use sha2::{Digest as _, Sha256};

use super::FinishedPart;
use crate::error::ScoreError;
use crate::format::Format;
use crate::reject::Reject;
use crate::scorer::Scored;
use crate::sink::Encoder;
use crate::tally::Tally;

/// What all parts of one output have in common.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartLayout {
    /// The format.
    pub format: Format,
    /// How the files' names end, which tells how text is compressed.
    pub extension: String,
    /// Whether each part is a file for itself; else parts are joined, and of a CSV only the first has a header.
    pub separate: bool,
    /// Whether rejects are written.
    pub rejects: bool,
}

impl PartLayout {
    /// The name of a part's file in a folder.
    #[must_use]
    pub fn name(&self, number: u64) -> String {
        format!("part-{number:05}.{}", self.extension)
    }
}

/// Bytes and their digest, on their way to a file.
#[derive(Debug, Default)]
struct Seen {
    bytes: u64,
    sha256: Sha256,
}

struct Watched {
    file: File,
    seen: Arc<Mutex<Seen>>,
}

impl Write for Watched {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.bytes += written as u64;
        seen.sha256.update(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// A part under way.
pub struct PartWriter {
    part: FinishedPart,
    paths: Paths,
    encoder: Encoder,
    file: File,
    seen: Arc<Mutex<Seen>>,
    keeps_rejects: bool,
    rejects: Option<csv::Writer<File>>,
}

/// Files that are deleted unless they are kept.
struct Paths {
    answers: PathBuf,
    rejects: PathBuf,
    kept: bool,
}

impl Drop for Paths {
    fn drop(&mut self) {
        if !self.kept {
            // What cannot be deleted is named nowhere.
            drop(fs::remove_file(&self.answers));
            drop(fs::remove_file(&self.rejects));
        }
    }
}

impl PartWriter {
    /// Begins a part in a folder of state. `first_row` is the number of its first row.
    ///
    /// # Errors
    /// When its file cannot be made.
    pub fn create(
        folder: &Path,
        layout: &PartLayout,
        schema: &SchemaRef,
        number: u64,
        first_row: u64,
    ) -> Result<Self, ScoreError> {
        let attempt = attempt();
        let name = format!("part-{number:05}.{attempt}.{}", layout.extension);
        let rejects = format!("part-{number:05}.{attempt}.rejects.csv");
        let paths = Paths { answers: folder.join(&name), rejects: folder.join(&rejects), kept: false };
        let failed = |error: io::Error| ScoreError::output(paths.answers.display().to_string(), error);
        let file = File::create_new(&paths.answers).map_err(failed)?;
        let seen = Arc::new(Mutex::new(Seen::default()));
        let watched = Watched { file: file.try_clone().map_err(failed)?, seen: Arc::clone(&seen) };
        let header = layout.separate || number == 0;
        let encoder = Encoder::new(layout.format, schema, Box::new(watched), &name, header)
            .map_err(|error| ScoreError::output(paths.answers.display().to_string(), error))?;
        let part = FinishedPart {
            number,
            first_row,
            read: 0,
            answered: 0,
            rejected: 0,
            file: name,
            rejects: layout.rejects.then_some(rejects),
            bytes: 0,
            sha256: Digest::from_bytes([0; 32]),
            tally: None,
        };
        Ok(Self { part, paths, encoder, file, seen, keeps_rejects: layout.rejects, rejects: None })
    }

    /// How many rows were read.
    #[must_use]
    pub fn read(&self) -> u64 {
        self.part.read
    }

    /// How many of them were rejected.
    #[must_use]
    pub fn rejected(&self) -> u64 {
        self.part.rejected
    }

    /// Writes what became of a batch.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&mut self, scored: &Scored) -> Result<(), ScoreError> {
        if scored.answers.num_rows() > 0 {
            let written = self.encoder.write(&scored.answers);
            written.map_err(|error| ScoreError::output(self.paths.answers.display().to_string(), error))?;
        }
        self.part.read += scored.read;
        self.part.answered += scored.answers.num_rows() as u64;
        self.part.rejected += scored.rejects.len() as u64;
        Tally::add(&mut self.part.tally, scored.tally.as_ref());
        if self.keeps_rejects && !scored.rejects.is_empty() {
            self.reject(&scored.rejects)?;
        }
        Ok(())
    }

    fn reject(&mut self, rejects: &[Reject]) -> Result<(), ScoreError> {
        let path = &self.paths.rejects;
        let failed = |error: csv::Error| ScoreError::output(path.display().to_string(), error);
        let writer = match &mut self.rejects {
            Some(writer) => writer,
            None => {
                let file = File::create_new(path);
                let file = file.map_err(|error| ScoreError::output(path.display().to_string(), error))?;
                self.rejects.insert(csv::Writer::from_writer(file))
            }
        };
        for Reject { row, column, reason, input } in rejects {
            writer.write_record([&row.to_string(), column, reason, input]).map_err(failed)?;
        }
        Ok(())
    }

    /// Ends it: its files are whole, and on the disk.
    ///
    /// # Errors
    /// When they cannot be written to their ends.
    pub fn finish(mut self) -> Result<FinishedPart, ScoreError> {
        let answers = self.paths.answers.display().to_string();
        self.encoder.finish().map_err(|error| ScoreError::output(&answers, error))?;
        self.file.sync_all().map_err(|error| ScoreError::output(&answers, error))?;
        match self.rejects {
            Some(mut rejects) => {
                let synced = rejects.flush().and_then(|()| rejects.get_ref().sync_all());
                synced
                    .map_err(|error| ScoreError::output(self.paths.rejects.display().to_string(), error))?;
            }
            None => self.part.rejects = None,
        }
        let seen = std::mem::take(&mut *self.seen.lock().unwrap_or_else(PoisonError::into_inner));
        self.part.bytes = seen.bytes;
        self.part.sha256 = Digest::from_bytes(seen.sha256.finalize().into());
        self.paths.kept = true;
        Ok(self.part)
    }
}

impl std::fmt::Debug for PartWriter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PartWriter").field("part", &self.part).finish_non_exhaustive()
    }
}

/// A text that no other attempt has.
fn attempt() -> String {
    use std::hash::{BuildHasher, Hasher, RandomState};
    // Its keys come from the system's source of chance.
    let chance = RandomState::new().build_hasher().finish();
    format!("{:x}-{:08x}", std::process::id(), chance >> 32)
}
