//! The folder of a job under way: who works in it, what decides its rows, and which parts are finished. It outlives the process.
//!
//! ```text
//! .<name>.partial/lock                         held by the job that works here
//! .<name>.partial/job.json                     what decides the rows
//! .<name>.partial/journal                      what is finished
//! .<name>.partial/part-00000.<attempt>.<end>   answers of a part, and its rejects
//! ```

use std::fs::{self, File, TryLockError};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use serve_core::Digest;
use sha2::{Digest as _, Sha256};

use super::journal::{Journal, Note};
use super::{FinishedPart, JobFacts};
use crate::error::ScoreError;
use crate::sink::sync;

const LOCK: &str = "lock";
const FACTS: &str = "job.json";
const JOURNAL: &str = "journal";

/// How a job began.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Begun {
    /// Nothing was there.
    New,
    /// What an ended job had left was removed: so many rows in finished parts.
    Anew(u64),
    /// It goes on behind so many rows.
    GoneOn(u64),
    /// The output has its name already; only the state was left.
    Published,
}

/// See the module.
#[derive(Debug)]
pub struct State {
    folder: PathBuf,
    output: String,
    _lock: File,
    journal: Journal,
    parts: Vec<FinishedPart>,
    publishing: Option<u64>,
}

impl State {
    /// The folder of state beside an output.
    #[must_use]
    pub fn beside(output: &Path) -> PathBuf {
        let output: PathBuf = output.components().collect();
        let name = output.file_name().unwrap_or_default().to_string_lossy().into_owned();
        output.with_file_name(format!(".{name}.partial"))
    }

    /// What decided the rows of the job whose state a folder has, if it has one.
    ///
    /// # Errors
    /// [`ScoreError::Damaged`] when what is there cannot be read.
    pub fn facts(folder: &Path) -> Result<Option<JobFacts>, ScoreError> {
        let path = folder.join(FACTS);
        let damaged = |problem: String| ScoreError::Damaged {
            state: folder.display().to_string(),
            problem: format!("{FACTS}: {problem}"),
        };
        match fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes).map(Some).map_err(|error| damaged(error.to_string())),
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                Ok(None)
            }
            Err(error) => Err(damaged(error.to_string())),
        }
    }

    /// Begins in a folder, or with `resume` goes on there. `place` is the local path that the output gets, `output` what it is called.
    ///
    /// # Errors
    /// [`ScoreError::Busy`] while another job works there; with `resume` [`ScoreError::Changed`] when it is another job.
    pub fn begin(
        folder: PathBuf,
        output: &str,
        place: Option<&Path>,
        facts: &JobFacts,
        resume: bool,
    ) -> Result<(Self, Begun), ScoreError> {
        let failed = |error: io::Error| ScoreError::output(output, error);
        let lock = lock(&folder, output)?;
        let found = match Self::facts(&folder) {
            // What cannot be read is removed as what is not wanted.
            Err(_) if !resume => None,
            found => found?,
        };
        if let Some(was) = found.as_ref().filter(|_| resume) {
            let differences = was.differences(facts);
            if !differences.is_empty() {
                let (state, differences) = (folder.display().to_string(), differences.join("; "));
                return Err(ScoreError::Changed { state, differences });
            }
        }
        let (journal, notes) = Journal::open(&folder.join(JOURNAL)).map_err(failed)?;
        let mut state = Self {
            folder,
            output: output.to_owned(),
            _lock: lock,
            journal,
            parts: Vec::new(),
            publishing: None,
        };
        state.read(notes);
        if !resume || found.is_none() {
            let rows = state.rows();
            state.clear(facts).map_err(failed)?;
            return Ok((state, if found.is_some() { Begun::Anew(rows) } else { Begun::New }));
        }
        if state.is_published(place) {
            return Ok((state, Begun::Published));
        }
        state.check().map_err(failed)?;
        let rows = state.rows();
        Ok((state, Begun::GoneOn(rows)))
    }

    /// Where it lies.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The parts that are finished, in order.
    #[must_use]
    pub fn parts(&self) -> &[FinishedPart] {
        &self.parts
    }

    /// How many rows they have.
    #[must_use]
    pub fn rows(&self) -> u64 {
        self.parts.iter().map(|part| part.read).sum()
    }

    /// Whether the output was about to get its name when the job ended.
    #[must_use]
    pub fn was_publishing(&self) -> bool {
        self.publishing.is_some()
    }

    /// Notes that a part is finished.
    ///
    /// # Errors
    /// When the note cannot be written.
    pub fn note(&mut self, part: FinishedPart) -> Result<(), ScoreError> {
        // The names of the part's files have to be there as long as its note.
        let noted = sync(&self.folder).and_then(|()| self.journal.note(&Note::Part(Box::new(part.clone()))));
        noted.map_err(|error| ScoreError::output(&self.output, error))?;
        self.parts.push(part);
        Ok(())
    }

    /// Notes that the output gets its name next, in the file or folder of this inode.
    ///
    /// # Errors
    /// When the note cannot be written.
    pub fn note_publishing(&mut self, inode: u64) -> Result<(), ScoreError> {
        let noted = sync(&self.folder).and_then(|()| self.journal.note(&Note::Publishing(inode)));
        noted.map_err(|error| ScoreError::output(&self.output, error))?;
        self.publishing = Some(inode);
        Ok(())
    }

    /// Removes it. What cannot be removed is removed by the next job for the same output.
    pub fn remove(mut self) {
        self.parts.clear();
        self.tidy();
        // Last, and at once, what says that the output is published.
        for name in [FACTS, JOURNAL, LOCK] {
            drop(fs::remove_file(self.folder.join(name)));
        }
        drop(fs::remove_dir(&self.folder));
    }

    /// Removes what a job has left, unless another one works there.
    pub fn forget(folder: &Path, output: &str) {
        if let Ok(_lock) = lock(folder, output) {
            drop(fs::remove_dir_all(folder));
        }
    }

    /// Removes what no note names, as far as that can be done.
    pub fn tidy(&self) {
        drop(self.sweep());
    }

    fn read(&mut self, notes: Vec<Note>) {
        for note in notes {
            match note {
                Note::Part(part) => self.parts.push(*part),
                Note::Publishing(inode) => self.publishing = Some(inode),
            }
        }
    }

    /// Whether the output is what was about to be published.
    fn is_published(&self, place: Option<&Path>) -> bool {
        let inode = place.and_then(|place| fs::symlink_metadata(place).ok()).map(|found| found.ino());
        self.publishing.is_some() && inode == self.publishing
    }

    /// Forgets everything, and notes what decides the rows.
    fn clear(&mut self, facts: &JobFacts) -> io::Result<()> {
        self.journal.truncate(0)?;
        (self.parts, self.publishing) = (Vec::new(), None);
        drop(fs::remove_file(self.folder.join(FACTS)));
        self.sweep()?;
        let mut staged = tempfile::NamedTempFile::new_in(&self.folder)?;
        serde_json::to_writer_pretty(&mut staged, facts)?;
        staged.as_file().sync_all()?;
        staged.persist(self.folder.join(FACTS)).map_err(|error| error.error)?;
        sync(&self.folder)
    }

    /// Keeps those parts whose files are as they were noted, up to the first that is not.
    fn check(&mut self) -> io::Result<()> {
        let mut next_row = 1;
        let whole = self.parts.iter().enumerate().take_while(|(number, part)| {
            let follows = part.number == *number as u64 && part.first_row == next_row;
            next_row = part.next_row();
            let rejects = part.rejects.as_ref().is_none_or(|rejects| self.folder.join(rejects).is_file());
            follows && rejects && is_whole(&self.folder.join(&part.file), part)
        });
        let whole = whole.count();
        if whole < self.parts.len() {
            self.parts.truncate(whole);
            self.journal.truncate(whole)?;
            self.publishing = None;
        }
        self.sweep()
    }

    /// Removes what is not named.
    fn sweep(&self) -> io::Result<()> {
        for entry in fs::read_dir(&self.folder)? {
            let entry = entry?;
            let name = entry.file_name();
            let named = |part: &FinishedPart| {
                name.to_str().is_some_and(|name| part.file == name || part.rejects.as_deref() == Some(name))
            };
            let own = [LOCK, FACTS, JOURNAL].iter().any(|own| name == *own);
            if own || self.parts.iter().any(named) {
                continue;
            }
            if entry.file_type()?.is_dir() {
                fs::remove_dir_all(entry.path())?;
            } else {
                fs::remove_file(entry.path())?;
            }
        }
        Ok(())
    }
}

/// Makes a folder and locks it for this process, as long as the file is open.
fn lock(folder: &Path, output: &str) -> Result<File, ScoreError> {
    let failed = |error: io::Error| ScoreError::output(output, error);
    let path = folder.join(LOCK);
    loop {
        match fs::create_dir(folder) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(failed(error)),
            _ => {}
        }
        let file = match File::options().read(true).write(true).create(true).truncate(false).open(&path) {
            // The job that had it has just removed it.
            Err(error) if error.kind() == io::ErrorKind::NotFound && !folder.exists() => continue,
            opened => opened.map_err(failed)?,
        };
        match file.try_lock() {
            Err(TryLockError::WouldBlock) => {
                let (location, state) = (output.to_owned(), folder.display().to_string());
                return Err(ScoreError::Busy { location, state });
            }
            Err(TryLockError::Error(error)) => return Err(failed(error)),
            Ok(()) => {}
        }
        // Another job may have removed the folder between the opening and the lock.
        let same =
            fs::metadata(&path).is_ok_and(|found| file.metadata().is_ok_and(|own| own.ino() == found.ino()));
        if same {
            return Ok(file);
        }
    }
}

/// Whether a part's file has the bytes that were noted.
fn is_whole(path: &Path, part: &FinishedPart) -> bool {
    let digest = || -> io::Result<Digest> {
        let mut file = File::open(path)?;
        if file.metadata()?.len() != part.bytes {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let (mut sha256, mut buffer) = (Sha256::new(), vec![0; 1 << 18]);
        loop {
            match file.read(&mut buffer)? {
                0 => return Ok(Digest::from_bytes(sha256.finalize().into())),
                read => sha256.update(&buffer[..read]),
            }
        }
    };
    digest().is_ok_and(|digest| digest == part.sha256)
}
