//! `features ingest`: a file's rows into the store. The file is read twice: once to find what is wrong with it, before
//! anything is written, and once to write it, batch by batch. How far it came is noted beside the file, so that the same
//! command goes on where it was cut off; writing a row again changes nothing.

use std::fs;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serve_app::{Exit, ExitReason};
use serve_features::{
    FeatureSetName, FeatureStore, FileError, RawTable, RowCheck, RowReader, Rows, StoreUrl, WriteError,
};

use crate::config::CtlConfig;
use crate::features::declared;
use crate::print;
use crate::sink::{RawSink, SetSink, Sink};

/// Rows that are written in one transaction.
const BATCH: usize = 5_000;

/// Refused rows that are told one by one.
const TOLD: usize = 20;

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
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Mark {
    store: String,
    destination: String,
    bytes: u64,
    modified_nanoseconds: u64,
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
        let modified_nanoseconds = modified.map_or(0, |at| u64::try_from(at.as_nanos()).unwrap_or(u64::MAX));
        let (bytes, destination) = (metadata.len(), destination.told());
        Ok(metadata.is_file().then_some(Self { store, destination, bytes, modified_nanoseconds, rows: 0 }))
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
            .filter(|noted| Self { rows: 0, ..noted.clone() } == Self { rows: 0, ..self.clone() })
            .map_or(0, |noted| noted.rows)
    }

    /// Best effort: without it, the next run begins anew.
    fn save(&self, file: &Path) {
        if let Ok(json) = serde_json::to_vec(self) {
            drop(fs::write(Self::path(file), json));
        }
    }
}

pub(crate) fn run(
    config: &CtlConfig,
    destination: &Destination,
    path: &Path,
    declarations: Option<&Path>,
) -> Result<(), Exit> {
    let store = config.store()?;
    let mark = Mark::new(path, place(config.store_url()?), destination)?;
    let runtime = crate::runtime()?;
    let rows = match destination {
        Destination::Table(table) => {
            let store = store.raw().ok_or_else(|| no_raw(&*store))?;
            let check = RowCheck::new(None, latest(config));
            runtime.block_on(copy(&RawSink { store, table, check }, path, mark))?
        }
        Destination::Set(set) => {
            let check = row_check(config, set, declarations)?;
            runtime.block_on(copy(&SetSink { store: &*store, set, check }, path, mark))?
        }
    };
    if rows == 0 {
        eprintln!("no rows: {} has a header and nothing else", path.display());
    }
    print(&format!("{rows} rows written to {}", destination.told()))
}

/// Later moments lie in the future, however clocks differ.
fn latest(config: &CtlConfig) -> Timestamp {
    Timestamp::now().checked_add(config.features.clock_skew).unwrap_or(Timestamp::MAX)
}

/// What the set's rows are held against: their declaration, and the clock.
fn row_check(
    config: &CtlConfig,
    set: &FeatureSetName,
    declarations: Option<&Path>,
) -> Result<RowCheck, Exit> {
    let latest = latest(config);
    if declarations.or(config.features.declarations.as_deref()).is_none() {
        return Ok(RowCheck::new(None, latest));
    }
    let declarations = declared(config, declarations)?;
    let declared = declarations.get(set.as_str());
    if declared.is_none() {
        eprintln!("feature set {set} is not declared: its rows are taken as they are");
    }
    Ok(RowCheck::new(declared, latest))
}

/// Where a store is, whatever folder the program runs in. The database has been opened, so its file is there.
fn place(url: &StoreUrl) -> String {
    let StoreUrl::Sqlite { path } = url else { return url.to_string() };
    let path = fs::canonicalize(path).unwrap_or_else(|_| path.clone());
    format!("sqlite://{}", path.display())
}

pub(crate) fn no_raw(store: &dyn FeatureStore) -> Exit {
    let message = format!("a {} feature store keeps no raw rows; use sqlite:// or postgres://", store.kind());
    Exit::told(ExitReason::Config, message)
}

/// Checks and writes; the number of rows that are in the store now.
async fn copy<S: Sink>(sink: &S, path: &Path, mark: Option<Mark>) -> Result<u64, Exit> {
    let total = if mark.is_some() { Some(check(sink, path)?) } else { None };
    let noted = mark.as_ref().map_or(0, |mark| mark.found(path));
    let (mut reader, mut done) = begin(sink, path, noted).await?;
    let bar = bar(total, "writing");
    bar.set_position(done);
    loop {
        let batch = batch(sink, &mut reader, path)?;
        if batch.is_empty() {
            break;
        }
        let count = batch.len() as u64;
        sink.write(batch).await.map_err(|error| unwritten(error, done, mark.is_some()))?;
        done += count;
        bar.set_position(done);
        if let Some(mark) = &mark {
            Mark { rows: done, ..mark.clone() }.save(path);
        }
    }
    bar.finish_and_clear();
    if mark.is_some() {
        drop(fs::remove_file(Mark::path(path)));
    }
    Ok(done)
}

/// A reader behind the rows that an earlier run has written, and their number. A note proves nothing about a store that was
/// deleted, restored or replaced since: the first and the last of these rows must be there.
async fn begin<'i, S: Sink>(
    sink: &S,
    path: &Path,
    noted: u64,
) -> Result<(RowReader<'i, S::Rows>, u64), Exit> {
    let named = |error: FileError| told(path, error);
    if noted > 0 {
        let mut reader = RowReader::open(sink.rows(), path).map_err(named)?;
        let (mut there, mut behind) = (true, 0);
        for row in [1, noted] {
            if row > behind && there {
                reader.skip(row - behind - 1).map_err(named)?;
                let found = reader.next_batch(1).map_err(named)?.pop();
                there = match found {
                    Some(row) => sink.has(&row).await,
                    None => false,
                };
                behind = row;
            }
        }
        if there {
            eprintln!("going on after row {noted} of {}", path.display());
            return Ok((reader, noted));
        }
        eprintln!(
            "beginning anew: the store lacks rows of {} that an earlier run has written",
            path.display()
        );
    }
    Ok((RowReader::open(sink.rows(), path).map_err(named)?, 0))
}

/// Reads the file once; the number of its rows.
fn check<S: Sink>(sink: &S, path: &Path) -> Result<u64, Exit> {
    let mut reader = RowReader::open(sink.rows(), path).map_err(|error| told(path, error))?;
    let (mut count, mut refused, mut list, bar) = (0, 0, Vec::new(), bar(None, "checking"));
    while let Some(row) = reader.next_batch(1).map_err(|error| told(path, error))?.pop() {
        if let Some(refusal) = sink.refusal(&row) {
            refused += 1;
            if list.len() < TOLD {
                list.push(format!("{}: {refusal}", reader.place()));
            }
        }
        count += 1;
        if count % BATCH as u64 == 0 {
            bar.set_position(count);
        }
    }
    bar.finish_and_clear();
    match refused {
        0 => Ok(count),
        refused => Err(Exit::listing(
            ExitReason::Data,
            format!("{}: {refused} of {count} rows are refused, and none is written", path.display()),
            list,
        )),
    }
}

/// The next rows, each of which may be stored.
fn batch<S: Sink>(
    sink: &S,
    reader: &mut RowReader<'_, S::Rows>,
    path: &Path,
) -> Result<Vec<<S::Rows as Rows>::Row>, Exit> {
    let mut rows = Vec::new();
    while rows.len() < BATCH {
        let Some(row) = reader.next_batch(1).map_err(|error| told(path, error))?.pop() else { break };
        if let Some(refusal) = sink.refusal(&row) {
            let message = format!("{}: {}: {refusal}", path.display(), reader.place());
            return Err(Exit::told(ExitReason::Data, message));
        }
        rows.push(row);
    }
    Ok(rows)
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
