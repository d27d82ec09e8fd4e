//! Where input lies: a file, what a folder or a pattern holds, or standard input. A folder is read to all depths in the order of the
//! names; what begins with `_` or `.` is left out, as everywhere where Hive's layout is used; folders `column=value` give
//! their files a column.

#[cfg(feature = "s3")]
mod object;
mod pattern;
mod pipe;

use std::fs::{self, File, Metadata};
use std::io::{self, Read, Seek};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::error::ScoreError;
use crate::format::Format;
use crate::job::Progress;
#[cfg(feature = "s3")]
pub(crate) use object::{Object, StoreFailure, store, wait};
#[cfg(feature = "s3")]
pub use object::{bucket, retry_for};
pub use pattern::would_read;
use pattern::{is_pattern, matching, unmatched};
use pipe::Pipe;

/// One input file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InputFile {
    place: Place,
    bytes: Option<u64>,
    /// When it was changed last, or what stands for its content.
    stamp: Option<String>,
    partition: Vec<(String, String)>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Place {
    Stdin(Pipe),
    Path(PathBuf),
    #[cfg(feature = "s3")]
    Object(Object),
}

/// A file that is read from its beginning to its end.
pub(crate) type Reader = Box<dyn Read + Send>;

/// A file that is read anywhere.
pub(crate) trait Seekable: Read + Seek + Send {}

impl<T: Read + Seek + Send> Seekable for T {}

/// An input file as another process is told of it, which finds it on the same disk or in the same bucket.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Located {
    /// An absolute path, or `s3://bucket/key`.
    pub location: String,
    /// How long it is.
    pub bytes: u64,
    /// When it was changed last, or what stands for its content.
    pub stamp: Option<String>,
    /// The columns that its folders give it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub partition: Vec<(String, String)>,
}

impl Located {
    /// The file, without asking whether it is there.
    ///
    /// # Errors
    /// When there is no such bucket.
    pub fn file(&self) -> Result<InputFile, ScoreError> {
        let place = match self.location.strip_prefix("s3://") {
            Some(place) => {
                let (location, failed) = (&self.location, |source: io::Error| source.into());
                object_at(place, self.bytes, self.stamp.as_deref()).map_err(|source| ScoreError::NoInput {
                    location: location.clone(),
                    source: failed(source),
                })?
            }
            None => Place::Path(self.location.clone().into()),
        };
        let (stamp, partition) = (self.stamp.clone(), self.partition.clone());
        Ok(InputFile { place, bytes: Some(self.bytes), stamp, partition })
    }
}

/// What a file that is read anywhere is opened as.
#[derive(Debug)]
pub(crate) enum Opened {
    File(File),
    #[cfg(feature = "s3")]
    Object(Object),
}

impl Opened {
    /// One place to read at.
    pub(crate) fn seekable(self) -> Box<dyn Seekable> {
        match self {
            Self::File(file) => Box::new(file),
            #[cfg(feature = "s3")]
            Self::Object(object) => Box::new(object.reader()),
        }
    }
}

impl InputFile {
    /// Standard input.
    #[must_use]
    pub fn stdin() -> Self {
        Self { place: Place::Stdin(Pipe::default()), bytes: None, stamp: None, partition: Vec::new() }
    }

    fn at(path: PathBuf, metadata: &Metadata, below: &Path) -> Self {
        let folders = path.strip_prefix(below).ok().and_then(Path::parent);
        let names = folders.into_iter().flat_map(Path::components);
        let partition = names.filter_map(|name| partition_of(&name.as_os_str().to_string_lossy())).collect();
        let modified = metadata.modified().ok().and_then(|time| jiff::Timestamp::try_from(time).ok());
        let stamp = modified.map(|time| time.to_string());
        Self { place: Place::Path(path), bytes: Some(metadata.len()), stamp, partition }
    }

    /// The file at a path.
    pub(crate) fn found(path: &Path) -> Result<Self, ScoreError> {
        match fs::metadata(path) {
            Ok(metadata) => Ok(Self::at(path.to_owned(), &metadata, path)),
            Err(source) => {
                Err(ScoreError::NoInput { location: path.display().to_string(), source: source.into() })
            }
        }
    }

    /// How another process finds it; standard input it does not.
    ///
    /// # Errors
    /// When it is a pipe, or its name is no text.
    pub fn located(&self) -> Result<Located, ScoreError> {
        let nowhere = |why: &str| ScoreError::usage(format!("{}: {why}", self.name()));
        let location = match self.path() {
            Some(path) => {
                let path = std::path::absolute(path).map_err(|error| nowhere(&error.to_string()))?;
                path.into_os_string().into_string().map_err(|_| nowhere("its name is no UTF-8"))?
            }
            None if self.is_pipe() => return Err(nowhere("other machines cannot read it: expected files")),
            None => self.name(),
        };
        let (stamp, partition) = (self.stamp.clone(), self.partition.clone());
        Ok(Located { location, bytes: self.bytes.unwrap_or(0), stamp, partition })
    }

    /// What it is called in messages.
    #[must_use]
    pub fn name(&self) -> String {
        match &self.place {
            Place::Stdin(_) => "standard input".to_owned(),
            Place::Path(path) => path.display().to_string(),
            #[cfg(feature = "s3")]
            Place::Object(object) => object.name(),
        }
    }

    /// Where it lies, where that is a path of this machine.
    #[must_use]
    pub fn path(&self) -> Option<&Path> {
        match &self.place {
            Place::Path(path) => Some(path),
            Place::Stdin(_) => None,
            #[cfg(feature = "s3")]
            Place::Object(_) => None,
        }
    }

    /// The bucket that it lies in, and its store.
    #[cfg(feature = "s3")]
    pub(crate) fn object(&self) -> Option<&Object> {
        match &self.place {
            Place::Object(object) => Some(object),
            Place::Stdin(_) | Place::Path(_) => None,
        }
    }

    /// Whether it can be read only once.
    #[must_use]
    pub fn is_pipe(&self) -> bool {
        self.pipe().is_some()
    }

    /// Ends reading, where it waits for bytes that may never come, once the job is to end.
    pub fn end_with(&self, progress: &Progress) {
        if let Some(pipe) = self.pipe() {
            pipe.stop_with(&progress.stop_flag());
        }
    }

    /// Standard input, where it is that.
    pub(crate) fn pipe(&self) -> Option<&Pipe> {
        match &self.place {
            Place::Stdin(pipe) => Some(pipe),
            _ => None,
        }
    }

    /// The format that its name tells.
    #[must_use]
    pub fn format(&self) -> Option<Format> {
        if self.is_pipe() { None } else { Format::of_name(&self.name()) }
    }

    /// How long it is, where that is known.
    #[must_use]
    pub fn bytes(&self) -> Option<u64> {
        self.bytes
    }

    /// When it was changed last, or for an object what stands for its content; where that is known.
    #[must_use]
    pub fn stamp(&self) -> Option<&str> {
        self.stamp.as_deref()
    }

    /// The columns that its folders give it, with their values.
    #[must_use]
    pub fn partition(&self) -> &[(String, String)] {
        &self.partition
    }

    /// An error that came of reading it; where its store has stopped to answer, that.
    pub(crate) fn cause(&self, error: ScoreError) -> ScoreError {
        match &self.place {
            #[cfg(feature = "s3")]
            Place::Object(object) => match object.trouble() {
                Some(reason) => ScoreError::Unreachable { location: self.name(), reason: reason.to_owned() },
                None => error,
            },
            Place::Stdin(_) | Place::Path(_) => error,
        }
    }

    /// Opens it to be read from its beginning.
    pub(crate) fn reader(&self) -> Result<Reader, ScoreError> {
        if let Some(pipe) = self.pipe() {
            return Ok(Box::new(pipe.reader()));
        }
        self.open().map(|opened| Box::new(opened.seekable()) as Reader)
    }

    /// Opens it to be read anywhere.
    pub(crate) fn open(&self) -> Result<Opened, ScoreError> {
        match &self.place {
            Place::Stdin(_) => {
                Err(ScoreError::usage("standard input is read once: its format has to be csv or json"))
            }
            Place::Path(path) => File::open(path).map(Opened::File).map_err(|error| self.missing(error)),
            #[cfg(feature = "s3")]
            Place::Object(object) => Ok(Opened::Object(object.clone())),
        }
    }

    fn missing(&self, error: io::Error) -> ScoreError {
        ScoreError::NoInput { location: self.name(), source: error.into() }
    }
}

/// `column=value`.
fn partition_of(folder: &str) -> Option<(String, String)> {
    let (name, value) = folder.split_once('=')?;
    (!name.is_empty()).then(|| (name.to_owned(), value.to_owned()))
}

/// The files that an argument means, in order: `-`, a file, a folder, or a pattern with `*`, `?` or `[…]`.
///
/// # Errors
/// [`ScoreError::NoInput`] when there is none.
pub fn list(input: &str) -> Result<Vec<InputFile>, ScoreError> {
    if input == "-" {
        return Ok(vec![InputFile::stdin()]);
    }
    let none = |source: io::Error| ScoreError::NoInput { location: input.to_owned(), source: source.into() };
    if let Some(place) = input.strip_prefix("s3://") {
        let files = objects(place).map_err(|error| match error.kind() {
            io::ErrorKind::TimedOut => {
                ScoreError::Unreachable { location: input.to_owned(), reason: error.to_string() }
            }
            _ => none(error),
        })?;
        return if files.is_empty() { Err(none(nothing())) } else { Ok(files) };
    }
    let path = Path::new(input);
    let (found, missing) = match fs::metadata(path) {
        Ok(metadata) if metadata.is_dir() => (below(path).map_err(none)?, nothing()),
        Ok(metadata) => (vec![InputFile::at(path.to_owned(), &metadata, path)], nothing()),
        Err(_) if is_pattern(input) => (matching(input).map_err(none)?, unmatched()),
        Err(error) => return Err(none(error)),
    };
    if found.is_empty() { Err(none(missing)) } else { Ok(found) }
}

fn nothing() -> io::Error {
    io::Error::new(io::ErrorKind::NotFound, "no file of rows is there")
}

/// The files at `bucket/prefix` of an object store.
#[cfg(feature = "s3")]
fn objects(place: &str) -> io::Result<Vec<InputFile>> {
    let (bucket, prefix) = place.split_once('/').unwrap_or((place, ""));
    let store = object::store(bucket)?;
    let file = |object: Object| {
        let below = object.key().strip_prefix(prefix.trim_matches('/')).unwrap_or_default();
        let folders = below.rsplit_once('/').map_or("", |(folders, _)| folders);
        let partition = folders.split('/').filter_map(partition_of).collect();
        let stamp = Some(object.stamp());
        InputFile { bytes: Some(object.len()), stamp, partition, place: Place::Object(object) }
    };
    Ok(object::list(store, bucket, prefix)?.into_iter().map(file).collect())
}

/// The object at `bucket/key`.
#[cfg(feature = "s3")]
fn object_at(place: &str, bytes: u64, stamp: Option<&str>) -> io::Result<Place> {
    let (bucket, key) = place.split_once('/').unwrap_or((place, ""));
    let store = object::store(bucket)?;
    Object::at(store, bucket, key, bytes, stamp).map(Place::Object)
}

#[cfg(not(feature = "s3"))]
fn object_at(place: &str, _: u64, _: Option<&str>) -> io::Result<Place> {
    objects(place).map(|_| Place::Stdin(Pipe::default()))
}

#[cfg(not(feature = "s3"))]
fn objects(_: &str) -> io::Result<Vec<InputFile>> {
    Err(io::Error::other("this program is built without the feature `s3` of serve-score"))
}

fn below(root: &Path) -> io::Result<Vec<InputFile>> {
    let (mut folders, mut files) = (vec![root.to_owned()], Vec::new());
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            if entry.file_name().to_string_lossy().starts_with(['_', '.']) {
                continue;
            }
            // Follows links, of folders too, but not to what is being read already.
            let metadata = fs::metadata(entry.path())?;
            if metadata.is_dir() {
                if !entry.file_type()?.is_symlink() {
                    folders.push(entry.path());
                }
            } else {
                files.push(InputFile::at(entry.path(), &metadata, root));
            }
        }
    }
    files.sort_by(|a, b| a.path().cmp(&b.path()));
    Ok(files)
}
