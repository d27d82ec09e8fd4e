//! Output that appears under its name only when it is whole: it is written beside its place under another name and renamed.
//! Standard output is the exception: what is written there is gone.

#[cfg(feature = "s3")]
mod bucket;
mod encode;
mod staged;
mod stdout;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;

use crate::error::ScoreError;
use crate::format::Format;
use crate::part::{JobFacts, State};
use stdout::Stdout;

#[cfg(feature = "s3")]
pub use bucket::BucketPlace;
pub(crate) use encode::Encoder;
pub(crate) use staged::{StagedFile, StagedFolder, check_free, publish_file, publish_folder, sync};

/// Rows of a part that is a file of a folder.
pub const FOLDER_PART_ROWS: u64 = 5_000_000;

/// Rows of a part that is joined with others to one file: what a job that goes on does again at the most.
pub const FILE_PART_ROWS: u64 = 1_000_000;

/// Where answers go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    /// The place.
    pub place: OutputPlace,
    /// The format.
    pub format: Format,
    /// Whether what is in its place is replaced.
    pub overwrite: bool,
    /// Rows of a part, at the least.
    pub part_rows: u64,
    /// Where the state of jobs lies that write to buckets; in the user's cache where it is none.
    pub state: Option<PathBuf>,
}

/// A place for answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OutputPlace {
    /// Standard output.
    Stdout,
    /// One file.
    File(PathBuf),
    /// A folder of files `part-00000`, ….
    Folder(PathBuf),
    /// An object of a bucket, or objects below a prefix.
    #[cfg(feature = "s3")]
    Bucket(BucketPlace),
}

impl Output {
    /// What an argument means: `-`, a folder where it ends in `/` or is one, else a file. The format is the one that is said, or that
    /// the name tells.
    ///
    /// # Errors
    /// When neither tells it, or the format cannot go there.
    pub fn new(output: &str, format: Option<Format>, overwrite: bool) -> Result<Self, ScoreError> {
        let path = PathBuf::from(output);
        let place = match output {
            "-" => OutputPlace::Stdout,
            #[cfg(feature = "s3")]
            url if url.starts_with("s3://") => OutputPlace::Bucket(BucketPlace::parse(url)?),
            folder if folder.ends_with('/') || path.is_dir() => OutputPlace::Folder(path),
            _ => OutputPlace::File(path),
        };
        let told = match &place {
            OutputPlace::File(path) => {
                path.file_name().and_then(|name| Format::of_name(&name.to_string_lossy()))
            }
            OutputPlace::Folder(_) => Some(Format::Parquet),
            #[cfg(feature = "s3")]
            OutputPlace::Bucket(place) if place.folder => Some(Format::Parquet),
            #[cfg(feature = "s3")]
            OutputPlace::Bucket(place) => Format::of_name(place.name()),
            OutputPlace::Stdout => None,
        };
        let format = format.or(told).ok_or_else(|| untold(&place, output))?;
        if place == OutputPlace::Stdout && !format.is_text() {
            return Err(ScoreError::usage(format!(
                "{format} cannot be written to standard output: say csv or json"
            )));
        }
        if Path::new(output).file_name().is_none() && place != OutputPlace::Stdout {
            return Err(ScoreError::usage(format!(
                "--output {output}: expected a name, as in scores/: a folder is replaced as a whole"
            )));
        }
        if let OutputPlace::File(_) = place
            && !format.is_text()
            && compression(output).is_some()
        {
            return Err(ScoreError::usage(format!(
                "--output {output}: {format} files are compressed within, and only text as a whole: leave the ending out"
            )));
        }
        let mut output = Self { place, format, overwrite, part_rows: FILE_PART_ROWS, state: None };
        if output.is_folder() {
            output.part_rows = FOLDER_PART_ROWS;
        }
        Ok(output)
    }

    /// What it is called in messages.
    #[must_use]
    pub fn name(&self) -> String {
        match &self.place {
            OutputPlace::Stdout => "standard output".to_owned(),
            OutputPlace::File(path) | OutputPlace::Folder(path) => path.display().to_string(),
            #[cfg(feature = "s3")]
            OutputPlace::Bucket(place) => place.to_string(),
        }
    }

    /// Where rejects go unless it is said: beside it. With standard output they have no place.
    #[must_use]
    pub fn rejects(&self) -> Option<PathBuf> {
        match &self.place {
            OutputPlace::Stdout => None,
            OutputPlace::File(path) | OutputPlace::Folder(path) => {
                let mut name = path.components().as_path().as_os_str().to_owned();
                name.push(".rejects.csv");
                Some(name.into())
            }
            #[cfg(feature = "s3")]
            OutputPlace::Bucket(place) => Some(place.rejects().into()),
        }
    }

    /// Where it goes, where that is a place of this machine.
    #[must_use]
    pub fn path(&self) -> Option<&Path> {
        match &self.place {
            OutputPlace::File(path) | OutputPlace::Folder(path) => Some(path),
            _ => None,
        }
    }

    /// Whether it is a folder of parts.
    #[must_use]
    pub fn is_folder(&self) -> bool {
        match &self.place {
            OutputPlace::Stdout | OutputPlace::File(_) => false,
            OutputPlace::Folder(_) => true,
            #[cfg(feature = "s3")]
            OutputPlace::Bucket(place) => place.folder,
        }
    }

    /// The folder of a job's state, and the local path that the output gets.
    pub(crate) fn state(&self) -> Result<(PathBuf, Option<PathBuf>), ScoreError> {
        match &self.place {
            OutputPlace::Stdout => Err(ScoreError::software("standard output has no state")),
            OutputPlace::File(path) | OutputPlace::Folder(path) => {
                if self.state.is_some() {
                    let problem = "--state is for outputs in buckets: the state of others lies beside them";
                    return Err(ScoreError::usage(problem));
                }
                Ok((State::beside(path), Some(path.components().collect())))
            }
            #[cfg(feature = "s3")]
            OutputPlace::Bucket(place) => Ok((place.state(self.state.as_deref())?, None)),
        }
    }

    /// What decided the rows of the job that was ended before this output was whole, if there is one.
    ///
    /// # Errors
    /// When that cannot be read.
    pub fn begun(&self) -> Result<Option<JobFacts>, ScoreError> {
        self.state().map_or(Ok(None), |(folder, _)| State::facts(&folder))
    }

    /// Removes the state of a job that kept it beyond its end.
    pub fn forget(&self) {
        if let Ok((folder, _)) = self.state() {
            State::forget(&folder, &self.name());
        }
    }

    /// Whether nothing is in its place that has to stay; what an earlier try may have put into a bucket is looked at when it is put `again`.
    ///
    /// # Errors
    /// [`ScoreError::Exists`], or that something of another kind is there.
    pub fn check_free(&self, again: bool) -> Result<(), ScoreError> {
        match &self.place {
            OutputPlace::Stdout => Ok(()),
            OutputPlace::File(path) if path.is_dir() => {
                Err(ScoreError::output(self.name(), std::io::Error::other("it is a folder: expected a file")))
            }
            OutputPlace::File(path) => check_free(path, self.overwrite),
            OutputPlace::Folder(path) => {
                let path: PathBuf = path.components().collect();
                let empty = std::fs::read_dir(&path).is_ok_and(|mut entries| entries.next().is_none());
                check_free(&path, self.overwrite || empty)?;
                foreign(&path).map_or(Ok(()), |name| {
                    let problem =
                        format!("it holds {name:?}, which is no part of an output: only such are replaced");
                    Err(ScoreError::output(self.name(), std::io::Error::other(problem)))
                })
            }
            #[cfg(feature = "s3")]
            OutputPlace::Bucket(place) => place.check_free(self.overwrite || again),
        }
    }

    /// How its files' names end: the format, and the compression of text.
    pub(crate) fn extension(&self) -> String {
        let name = match &self.place {
            OutputPlace::File(path) if self.format.is_text() => path.to_string_lossy().into_owned(),
            #[cfg(feature = "s3")]
            OutputPlace::Bucket(place) if self.format.is_text() => place.name().to_owned(),
            _ => String::new(),
        };
        format!("{}{}", self.format.extension(), compression(&name).unwrap_or_default())
    }

    /// Opens it.
    ///
    /// # Errors
    /// When something is in its place, or it cannot be made.
    pub fn open(&self, schema: &SchemaRef) -> Result<Sink, ScoreError> {
        let failed = |error| ScoreError::output(self.name(), error);
        let part = |name: &Path, file: std::fs::File| {
            Encoder::new(self.format, schema, Box::new(file), &name.to_string_lossy(), true).map_err(failed)
        };
        let target = match &self.place {
            OutputPlace::Stdout => {
                let unread = Arc::new(AtomicBool::new(false));
                let stdout = Stdout::new(Arc::clone(&unread));
                let encoder = Encoder::new(self.format, schema, Box::new(stdout), "", true);
                Target::Stream(encoder.map_err(failed)?, unread)
            }
            OutputPlace::File(path) => {
                let staged = StagedFile::create(path, self.overwrite)?;
                Target::File(part(path, staged.file()?)?, staged)
            }
            OutputPlace::Folder(path) => Target::Folder {
                staged: StagedFolder::create(path, self.overwrite)?,
                part: None,
                parts: 0,
                rows: 0,
            },
            #[cfg(feature = "s3")]
            OutputPlace::Bucket(place) => {
                let problem = format!("{place}: what a query answers goes to a file or a folder");
                return Err(ScoreError::usage(problem));
            }
        };
        let mut sink = Sink { output: self.clone(), schema: schema.clone(), target };
        // An empty job leaves an empty part.
        sink.next_part()?;
        Ok(sink)
    }
}

/// An output whose name does not tell its format.
fn untold(place: &OutputPlace, output: &str) -> ScoreError {
    let what = match place {
        OutputPlace::Stdout => "--output - needs --format csv or json".to_owned(),
        _ => format!(
            "--output {output}: its name does not tell its format: end it in .parquet, .csv, .jsonl or .arrow, say --format, or \
             end it in / for a folder"
        ),
    };
    ScoreError::usage(what)
}

/// How the name of compressed text ends.
fn compression(name: &str) -> Option<&'static str> {
    let name = name.to_ascii_lowercase();
    [".gz", ".zst", ".zstd"].into_iter().find(|end| name.ends_with(end))
}

/// Something in a folder that no job has written there.
fn foreign(folder: &Path) -> Option<String> {
    let entries = std::fs::read_dir(folder).ok()?.flatten();
    let mut names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
    names.find(|name| !name.starts_with("part-") && name != "_SUCCESS")
}

/// An output under way.
pub struct Sink {
    output: Output,
    schema: SchemaRef,
    target: Target,
}

enum Target {
    Stream(Encoder, Arc<AtomicBool>),
    File(Encoder, StagedFile),
    Folder { staged: StagedFolder, part: Option<Encoder>, parts: u32, rows: u64 },
}

impl Sink {
    /// Writes rows.
    ///
    /// # Errors
    /// When they cannot be written.
    pub fn write(&mut self, batch: &RecordBatch) -> Result<(), ScoreError> {
        if batch.num_rows() == 0 {
            return Ok(());
        }
        let mut at = 0;
        while at < batch.num_rows() {
            let left = batch.num_rows() - at;
            let room = match &self.target {
                Target::Folder { rows, .. } => self.output.part_rows.saturating_sub(*rows),
                _ => left as u64,
            };
            if room == 0 {
                self.next_part()?;
                continue;
            }
            let some = left.min(usize::try_from(room).unwrap_or(left));
            self.write_some(&batch.slice(at, some))?;
            at += some;
        }
        Ok(())
    }

    fn write_some(&mut self, batch: &RecordBatch) -> Result<(), ScoreError> {
        let written = match &mut self.target {
            Target::Stream(encoder, unread) => match encoder.write(batch) {
                Err(_) if unread.load(Ordering::Relaxed) => return Err(ScoreError::Unread),
                written => written,
            },
            Target::File(encoder, _) => encoder.write(batch),
            Target::Folder { part, rows, .. } => {
                *rows += batch.num_rows() as u64;
                part.as_mut().map_or(Ok(()), |encoder| encoder.write(batch))
            }
        };
        written.map_err(|error| ScoreError::output(self.output.name(), error))
    }

    /// Begins the next file of a folder.
    fn next_part(&mut self) -> Result<(), ScoreError> {
        let Target::Folder { staged, part, parts, rows } = &mut self.target else { return Ok(()) };
        let failed = |error| ScoreError::output(self.output.name(), error);
        if let Some(encoder) = part.take() {
            encoder.finish().map_err(failed)?;
        }
        let name = format!("part-{parts:05}.{}", self.output.format.extension());
        let file = staged.file(&name)?;
        let encoder = Encoder::new(self.output.format, &self.schema, Box::new(file), &name, true);
        *part = Some(encoder.map_err(failed)?);
        (*parts, *rows) = (*parts + 1, 0);
        Ok(())
    }

    /// Ends it: it appears under its name.
    ///
    /// # Errors
    /// When it cannot be written to its end, or something has appeared in its place.
    pub fn finish(self) -> Result<(), ScoreError> {
        let failed = |error| ScoreError::output(self.output.name(), error);
        match self.target {
            Target::Stream(encoder, unread) => encoder.finish().map_err(|error| {
                if unread.load(Ordering::Relaxed) { ScoreError::Unread } else { failed(error) }
            }),
            Target::File(encoder, staged) => {
                encoder.finish().map_err(failed)?;
                staged.publish()
            }
            Target::Folder { staged, part, .. } => {
                if let Some(encoder) = part {
                    encoder.finish().map_err(failed)?;
                }
                staged.publish()
            }
        }
    }
}

impl std::fmt::Debug for Sink {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sink").field("output", &self.output).finish_non_exhaustive()
    }
}
