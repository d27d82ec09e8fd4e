//! The journal of a job: a line for each thing that happened, on the disk before the job goes on. What a kill left of a last line is
//! no line.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::FinishedPart;

/// What happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Note {
    /// A part was finished.
    Part(Box<FinishedPart>),
    /// The output was made whole in the file or folder of this inode, and is about to get its name.
    Publishing(u64),
}

/// See the module.
#[derive(Debug)]
pub(super) struct Journal {
    file: File,
    /// Where each note ends.
    ends: Vec<u64>,
}

impl Journal {
    /// Opens a journal, with what stands in it.
    pub(super) fn open(path: &Path) -> io::Result<(Self, Vec<Note>)> {
        let mut file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
        let mut text = Vec::new();
        file.read_to_end(&mut text)?;
        let (mut notes, mut ends, mut end) = (Vec::new(), Vec::new(), 0);
        for line in text.split_inclusive(|byte| *byte == b'\n') {
            let whole = line.strip_suffix(b"\n").and_then(|line| serde_json::from_slice(line).ok());
            let Some(note) = whole else { break };
            notes.push(note);
            end += line.len() as u64;
            ends.push(end);
        }
        let mut journal = Self { file, ends };
        journal.truncate(notes.len())?;
        Ok((journal, notes))
    }

    /// Adds a note.
    pub(super) fn note(&mut self, note: &Note) -> io::Result<()> {
        let mut line = serde_json::to_vec(note)?;
        line.push(b'\n');
        self.file.write_all(&line)?;
        self.file.sync_data()?;
        self.ends.push(self.file.stream_position()?);
        Ok(())
    }

    /// Forgets all but the first notes.
    pub(super) fn truncate(&mut self, notes: usize) -> io::Result<()> {
        self.ends.truncate(notes);
        let end = self.ends.last().copied().unwrap_or(0);
        self.file.set_len(end)?;
        self.file.seek(SeekFrom::Start(end))?;
        self.file.sync_data()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_of_a_torn_line_is_no_note() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("journal");
        let (mut journal, notes) = Journal::open(&path).expect("opens");
        assert!(notes.is_empty());
        journal.note(&Note::Publishing(7)).expect("writes");
        journal.note(&Note::Publishing(8)).expect("writes");
        let whole = std::fs::read(&path).expect("reads");
        for torn in 0..whole.len() {
            std::fs::write(&path, &whole[..torn]).expect("writes");
            let (mut journal, notes) = Journal::open(&path).expect("opens");
            let lines = whole[..torn].split(|byte| *byte == b'\n').count() - 1;
            assert_eq!(notes.len(), lines, "{torn}");
            journal.note(&Note::Publishing(9)).expect("writes");
            let (_, again) = Journal::open(&path).expect("opens");
            assert_eq!((again.len(), again.last()), (lines + 1, Some(&Note::Publishing(9))));
        }
    }
}
