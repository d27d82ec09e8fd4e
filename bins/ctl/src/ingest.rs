//! `features ingest`: a file's rows into the store. The file is read twice: once to find what is wrong with it, before
//! anything is written, and once to write it, batch by batch. How far it came is noted beside the file, so that the same
//! command goes on where it was cut off; writing a row again changes nothing.

use std::fs;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use serde::{Deserialize, Serialize};
use serve_app::{Exit, ExitReason};
use serve_features::{
    FeatureSetName, FeatureStore, FileError, RawTable, ReadyRows, RowReader, Rows, WriteError,
};

use crate::config::CtlConfig;
use crate::print;

/// Rows that are written in one transaction.
const BATCH: usize = 5_000;

/// Where rows go.
pub(crate) enum Destination {
    Table(RawTable),
    Set(FeatureSetName),
}

impl Destination {
    pub(crate) fn of(table: Option<&str>, set: Option<&str>) -> Result<Self, Exit> {
        let data = |error: serve_features::NameError| Exit::because(ExitReason::Data, error);
        match (table, set) {
            (_, Some(set)) => set.parse().map(Self::Set).map_err(data),
            (Some(table), None) => table.parse().map(Self::Table).map_err(data),
            (None, None) => Err(Exit::told(ExitReason::Data, "say where the rows go: --table or --set")),
        }
    }

    fn told(&self) -> String {
        match self {
            Self::Table(table) => table.to_string(),
            Self::Set(set) => format!("feature set {set}"),
        }
    }
}

/// How far a file was written, noted beside it.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Mark {
    store: String,
    destination: String,
    bytes: u64,
    modified_seconds: u64,
    rows: u64,
}

impl Mark {
    /// The mark of a file of which nothing is written. A pipe has none: it cannot be read a second time.
    fn new(path: &Path, store: String, destination: &Destination) -> Result<Option<Self>, Exit> {
        let metadata = fs::metadata(path).map_err(|error| unreadable(path, &error))?;
        if metadata.is_dir() {
            return Err(Exit::told(
                ExitReason::NoInput,
                format!("{} is a folder, expected a file", path.display()),
            ));
        }
        let modified = metadata.modified().ok().and_then(|at| at.duration_since(std::time::UNIX_EPOCH).ok());
        let modified_seconds = modified.map_or(0, |at| at.as_secs());
        let (bytes, destination) = (metadata.len(), destination.told());
        Ok(metadata.is_file().then_some(Self { store, destination, bytes, modified_seconds, rows: 0 }))
    }

    fn path(file: &Path) -> PathBuf {
        let mut path = file.as_os_str().to_owned();
        path.push(".serve-ingest");
        path.into()
    }

    /// The rows that an earlier run has written of the same file to the same place.
    fn found(&self, file: &Path) -> u64 {
        let noted = fs::read(Self::path(file)).ok();
        let noted = noted.and_then(|json| serde_json::from_slice::<Self>(&json).ok());
        noted
            .filter(|noted| Self { rows: 0, ..clone(noted) } == Self { rows: 0, ..clone(self) })
            .map_or(0, |noted| noted.rows)
    }

    /// Best effort: without it, the next run begins anew.
    fn save(&self, file: &Path) {
        if let Ok(json) = serde_json::to_vec(self) {
            drop(fs::write(Self::path(file), json));
        }
    }
}

fn clone(mark: &Mark) -> Mark {
    let Mark { store, destination, bytes, modified_seconds, rows } = mark;
    let (store, destination) = (store.clone(), destination.clone());
    Mark { store, destination, bytes: *bytes, modified_seconds: *modified_seconds, rows: *rows }
}

pub(crate) fn run(config: &CtlConfig, destination: &Destination, path: &Path) -> Result<(), Exit> {
    let store = config.store()?;
    let mark = Mark::new(path, config.store_url()?.to_string(), destination)?;
    let runtime = crate::runtime()?;
    let rows = runtime.block_on(async {
        match destination {
            Destination::Table(table) => {
                let raw = store.raw().ok_or_else(|| no_raw(&*store))?;
                let write = async |rows| raw.write_raw(table.clone(), rows).await;
                copy(table.clone(), path, mark, write).await
            }
            Destination::Set(set) => {
                let write = async |rows| store.write(set.clone(), rows).await;
                copy(ReadyRows, path, mark, write).await
            }
        }
    })?;
    print(&format!("{rows} rows written to {}", destination.told()))
}

pub(crate) fn no_raw(store: &dyn FeatureStore) -> Exit {
    let message = format!("a {} feature store keeps no raw rows; use sqlite:// or postgres://", store.kind());
    Exit::told(ExitReason::Config, message)
}

/// Checks and writes; the number of rows that are in the store now.
async fn copy<R: Rows + Clone>(
    rows: R,
    path: &Path,
    mark: Option<Mark>,
    mut write: impl AsyncFnMut(Vec<R::Row>) -> Result<(), WriteError>,
) -> Result<u64, Exit> {
    let named = |error: FileError| told(path, error);
    let total = if mark.is_some() { Some(check(rows.clone(), path)?) } else { None };
    let mut done = mark.as_ref().map_or(0, |mark| mark.found(path));
    let mut reader = RowReader::open(rows, path).map_err(named)?;
    if done > 0 {
        eprintln!("going on after row {done} of {}", path.display());
        reader.skip(done).map_err(named)?;
    }
    let bar = bar(total, "writing");
    bar.set_position(done);
    loop {
        let batch = reader.next_batch(BATCH).map_err(named)?;
        if batch.is_empty() {
            break;
        }
        let count = batch.len() as u64;
        write(batch).await.map_err(|error| unwritten(error, done, mark.is_some()))?;
        done += count;
        bar.set_position(done);
        if let Some(mark) = &mark {
            Mark { rows: done, ..clone(mark) }.save(path);
        }
    }
    bar.finish_and_clear();
    if mark.is_some() {
        drop(fs::remove_file(Mark::path(path)));
    }
    Ok(done)
}

/// Reads the file once; the number of its rows.
fn check<R: Rows>(rows: R, path: &Path) -> Result<u64, Exit> {
    let mut reader = RowReader::open(rows, path).map_err(|error| told(path, error))?;
    let (mut count, bar) = (0, bar(None, "checking"));
    loop {
        let read = reader.next_batch(BATCH).map_err(|error| told(path, error))?.len() as u64;
        if read == 0 {
            bar.finish_and_clear();
            return Ok(count);
        }
        count += read;
        bar.set_position(count);
    }
}

fn unwritten(error: WriteError, done: u64, resumable: bool) -> Exit {
    let retry = error.retry_helps();
    let reason = if retry { ExitReason::Temporary } else { ExitReason::Unavailable };
    let reason =
        if matches!(error.fault(), serve_features::Fault::Client) { ExitReason::Data } else { reason };
    let exit = Exit::because(reason, error);
    if resumable && done > 0 {
        return Exit::told(
            reason,
            format!("{exit}; {done} rows are written, the same command goes on after them"),
        );
    }
    exit
}

/// A file that cannot be read, or not as what it should be.
pub(crate) fn told(path: &Path, error: FileError) -> Exit {
    match error {
        FileError::Open { source } => unreadable(path, &source),
        error => {
            let exit = Exit::because(ExitReason::Data, error);
            Exit::told(ExitReason::Data, format!("{}: {exit}", path.display()))
        }
    }
}

fn unreadable(path: &Path, error: &std::io::Error) -> Exit {
    Exit::told(ExitReason::NoInput, format!("{} cannot be read: {error}", path.display()))
}

/// On standard error, and only where that is a terminal.
pub(crate) fn bar(total: Option<u64>, doing: &'static str) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let (bar, template) = match total {
        Some(total) => {
            (ProgressBar::new(total), "{msg} {bar:40} {human_pos}/{human_len} rows {per_sec} {eta}")
        }
        None => (ProgressBar::new_spinner(), "{msg} {spinner} {human_pos} rows {elapsed}"),
    };
    let bar = bar.with_message(doing);
    bar.enable_steady_tick(Duration::from_millis(100));
    ProgressStyle::with_template(template).map_or_else(|_| bar.clone(), |style| bar.clone().with_style(style))
}
