//! Finished parts, in order, to an output under its name. First everything is made whole beside its place, then it gets its name in one
//! step: a single part is renamed, the parts of a folder are linked into it, the parts of one file are joined.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::join::join;
use super::{FinishedPart, PartLayout};
use crate::error::ScoreError;
#[cfg(feature = "s3")]
use crate::sink::BucketPlace;
use crate::sink::{Output, OutputPlace, StagedFile, check_free, publish_file, publish_folder, sync};

/// The columns of a file of rejects.
const REJECTS_HEADER: &[u8] = b"row,column,reason,input\n";

/// See the module.
#[derive(Debug)]
pub struct Assembly {
    folder: PathBuf,
    layout: PartLayout,
    output: Output,
    rejects: Option<PathBuf>,
    parts: Vec<FinishedPart>,
}

/// An output that is whole and has not its name yet.
#[derive(Debug)]
pub struct Staged {
    output: Output,
    /// The file or folder that gets the output's name.
    path: PathBuf,
    /// Files with their names, where they get them one by one.
    #[cfg(feature = "s3")]
    files: Vec<(PathBuf, String)>,
    /// The rejects, where there are any, and the place that they get.
    rejects: Option<PathBuf>,
    rejects_place: Option<PathBuf>,
}

impl Assembly {
    /// An assembly of parts that lie in a folder; `rejects` is where the rejects go.
    #[must_use]
    pub fn new(folder: &Path, layout: &PartLayout, output: &Output, rejects: Option<PathBuf>) -> Self {
        let (folder, layout, output) = (folder.to_owned(), layout.clone(), output.clone());
        Self { folder, layout, output, rejects, parts: Vec::new() }
    }

    /// Takes the next part.
    ///
    /// # Errors
    /// When it is not the next.
    pub fn add(&mut self, part: FinishedPart) -> Result<(), ScoreError> {
        if part.number != self.parts.len() as u64 {
            let (expected, got) = (self.parts.len(), part.number);
            return Err(ScoreError::software(format!("part {got} came where part {expected} was expected")));
        }
        self.parts.push(part);
        Ok(())
    }

    /// Makes the output whole.
    ///
    /// # Errors
    /// When a part cannot be read or the whole cannot be written.
    pub fn stage(self) -> Result<Staged, ScoreError> {
        let failed = |error: io::Error| ScoreError::output(self.output.name(), error);
        let path = match (&self.output.place, self.parts.as_slice()) {
            (OutputPlace::Folder(_), parts) => self.link(parts).map_err(failed)?,
            #[cfg(feature = "s3")]
            (OutputPlace::Bucket(_), _) if self.layout.separate => self.folder.clone(),
            (_, [part]) => self.folder.join(&part.file),
            (_, parts) => self.join(parts)?,
        };
        let rejects = self.join_rejects().map_err(failed)?;
        #[cfg(feature = "s3")]
        let files = self
            .parts
            .iter()
            .map(|part| (self.folder.join(&part.file), self.layout.name(part.number)))
            .collect();
        Ok(Staged {
            output: self.output,
            path,
            #[cfg(feature = "s3")]
            files,
            rejects,
            rejects_place: self.rejects,
        })
    }

    /// A folder of the parts, which stay where they are too.
    fn link(&self, parts: &[FinishedPart]) -> io::Result<PathBuf> {
        let whole = self.folder.join("output");
        fs::create_dir(&whole)?;
        for part in parts {
            let (from, to) = (self.folder.join(&part.file), whole.join(self.layout.name(part.number)));
            // Not every file system has links.
            if fs::hard_link(&from, &to).is_err() {
                fs::copy(&from, &to)?;
                File::open(&to)?.sync_all()?;
            }
        }
        sync(&whole)?;
        Ok(whole)
    }

    fn join(&self, parts: &[FinishedPart]) -> Result<PathBuf, ScoreError> {
        let path = self.folder.join(format!("output.{}", self.layout.extension));
        let files: Vec<PathBuf> = parts.iter().map(|part| self.folder.join(&part.file)).collect();
        let failed = |error| ScoreError::output(self.output.name(), error);
        let mut file = File::create(&path).map_err(|error| failed(error.into()))?;
        join(self.layout.format, &files, &mut file).map_err(failed)?;
        file.sync_all().map_err(|error| failed(error.into()))?;
        Ok(path)
    }

    /// One file of all rejects. A part that was read for itself numbered its rows from 1.
    fn join_rejects(&self) -> io::Result<Option<PathBuf>> {
        if self.rejects.is_none() || self.parts.iter().all(|part| part.rejects.is_none()) {
            return Ok(None);
        }
        let path = self.folder.join("rejects.csv");
        let mut file = File::create(&path)?;
        file.write_all(REJECTS_HEADER)?;
        let mut next_row = 1;
        for part in &self.parts {
            if let Some(rejects) = &part.rejects {
                let rejects = self.folder.join(rejects);
                match next_row - part.first_row.min(next_row) {
                    0 => drop(io::copy(&mut File::open(rejects)?, &mut file)?),
                    shift => renumber(&rejects, &mut file, shift)?,
                }
            }
            next_row += part.read;
        }
        file.sync_all()?;
        Ok(Some(path))
    }
}

/// Copies rejects with larger numbers.
fn renumber(rejects: &Path, into: &mut File, shift: u64) -> io::Result<()> {
    let mut reader = csv::ReaderBuilder::new().has_headers(false).from_path(rejects)?;
    let mut writer = csv::Writer::from_writer(into);
    let mut record = csv::ByteRecord::new();
    while reader.read_byte_record(&mut record)? {
        let row = record.get(0).and_then(|row| std::str::from_utf8(row).ok()?.parse::<u64>().ok());
        let row = row.ok_or_else(|| io::Error::other("a reject without a number"))?;
        let number = (row + shift).to_string();
        writer.write_record(std::iter::once(number.as_bytes()).chain(record.iter().skip(1)))?;
    }
    writer.flush()
}

impl Staged {
    /// What tells it from everything else on its disk.
    ///
    /// # Errors
    /// When it is gone.
    pub fn inode(&self) -> Result<u64, ScoreError> {
        let metadata = fs::metadata(&self.path);
        metadata.map(|found| found.ino()).map_err(|error| ScoreError::output(self.output.name(), error))
    }

    /// Gives the rejects and then the output their names; gives back where the rejects lie. `again` says that an earlier try may have got
    /// half of that done.
    ///
    /// # Errors
    /// When something has appeared in its place, or it cannot be renamed.
    pub fn publish(self, again: bool) -> Result<Option<PathBuf>, ScoreError> {
        let overwrite = self.output.overwrite;
        let placed = match (self.rejects, self.rejects_place) {
            (Some(rejects), Some(place)) => {
                publish_rejects(&rejects, &place, overwrite, again)?;
                Some(place)
            }
            (None, Some(place)) if overwrite => {
                remove_rejects(&place)?;
                None
            }
            _ => None,
        };
        match &self.output.place {
            OutputPlace::File(path) => publish_file(&self.path, path, overwrite)?,
            OutputPlace::Folder(path) => publish_folder(&self.path, path, overwrite)?,
            #[cfg(feature = "s3")]
            OutputPlace::Bucket(place) if self.output.is_folder() => {
                place.put_all(&self.files, overwrite, again)?;
            }
            #[cfg(feature = "s3")]
            OutputPlace::Bucket(place) => place.put(&self.path, overwrite, again)?,
            OutputPlace::Stdout => return Err(ScoreError::software("standard output has no name to get")),
        }
        Ok(placed)
    }
}

/// Without rejects those of an earlier job go, in whose place they would be.
fn remove_rejects(place: &Path) -> Result<(), ScoreError> {
    #[cfg(feature = "s3")]
    if let Some(place) = BucketPlace::of(place)? {
        return place.remove();
    }
    match fs::remove_file(place) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(ScoreError::output(place.display().to_string(), error))
        }
        _ => Ok(()),
    }
}

/// Rejects may go to another disk than the output, or to a bucket.
fn publish_rejects(staged: &Path, place: &Path, overwrite: bool, again: bool) -> Result<(), ScoreError> {
    #[cfg(feature = "s3")]
    if let Some(bucket) = BucketPlace::of(place)? {
        return bucket.put(staged, overwrite, again);
    }
    let overwrite = overwrite || again;
    let failed = |error: io::Error| ScoreError::output(place.display().to_string(), error);
    match publish_file(staged, place, overwrite) {
        Err(ScoreError::Output { source, .. }) if crosses_devices(&source) => {
            check_free(place, overwrite)?;
            let copy = StagedFile::create(place, overwrite)?;
            io::copy(&mut File::open(staged).map_err(failed)?, &mut copy.file()?).map_err(failed)?;
            copy.publish()
        }
        published => published,
    }
}

fn crosses_devices(cause: &crate::error::Cause) -> bool {
    cause.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::CrossesDevices)
}
