//! Objects of a bucket, read and written by threads that may block. The store's client makes requests again that fail, until they have
//! failed for [`RETRY`] or what [`retry_for`] said; a request that is not answered at all is given up and made again too.

use std::fmt;
use std::io::{self, Read, Seek, SeekFrom};
use std::ops::Range;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::TryStreamExt;
use object_store::aws::AmazonS3;
use object_store::path::Path;
use object_store::{GetOptions, GetRange, ObjectStore, ObjectStoreExt};
use tokio::runtime::Runtime;

/// Bytes that one request asks for where a file is read from its beginning.
const AHEAD: u64 = 8 << 20;

/// How long requests are made again.
const RETRY: Duration = Duration::from_secs(180);

/// How long a request may take that asks for nothing long.
const SILENCE: Duration = Duration::from_secs(60);

/// What is slower than this has stopped.
const SLOWEST_BYTES_PER_SECOND: u64 = 64 << 10;

/// Between requests that failed on their way; the pause doubles up to the longer one.
const PAUSES: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(10));

static PATIENCE: OnceLock<Duration> = OnceLock::new();

/// Says how long requests to buckets are made again that fail; the first word counts, and only before the first request.
pub fn retry_for(time: Duration) {
    // What was said first counts.
    let _ = PATIENCE.set(time);
}

/// The client of a bucket, with the settings of the environment, for others who read from it.
///
/// # Errors
/// When the settings contradict each other. Nothing is asked of the bucket.
pub fn bucket(bucket: &str) -> io::Result<Arc<dyn ObjectStore>> {
    Ok(store(bucket)?)
}

/// The client of a bucket.
pub(crate) fn store(bucket: &str) -> io::Result<Arc<AmazonS3>> {
    serve_registry::object_store::bucket(bucket, patience()).map_err(io::Error::other)
}

fn patience() -> Duration {
    PATIENCE.get().copied().unwrap_or(RETRY)
}

/// Waits for what a store answers to a request for so many bytes. The client repeats what a store refuses for the moment; what fails on
/// its way or is not answered is repeated here, so a request has to be one that may come twice.
pub(crate) fn wait<T>(
    bytes: u64,
    request: impl AsyncFn() -> object_store::Result<T>,
) -> Result<T, StoreFailure> {
    let limit = SILENCE + Duration::from_secs(bytes / SLOWEST_BYTES_PER_SECOND);
    let runtime = runtime().map_err(|error| StoreFailure::Absent(error.to_string()))?;
    runtime.block_on(async {
        let (began, mut pause) = (Instant::now(), PAUSES.0);
        loop {
            let failure = match tokio::time::timeout(limit, request()).await {
                Ok(Ok(answer)) => return Ok(answer),
                Ok(Err(error)) => StoreFailure::from(error),
                Err(_) => StoreFailure::Absent(format!("no answer within {} s", limit.as_secs())),
            };
            if !matches!(failure, StoreFailure::Absent(_)) || began.elapsed() + pause > patience() {
                return Err(failure);
            }
            tokio::time::sleep(pause).await;
            pause = PAUSES.1.min(2 * pause);
        }
    })
}

/// Why a store did not do what it was asked for.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum StoreFailure {
    /// It did not answer, or not now.
    #[error("{0}")]
    Absent(String),
    /// It has no such thing.
    #[error("{0}")]
    NotFound(String),
    /// There is another thing than there was, or one where none was expected.
    #[error("{0}")]
    Changed(String),
    /// It said no.
    #[error("{0}")]
    Refused(String),
}

impl From<object_store::Error> for StoreFailure {
    fn from(error: object_store::Error) -> Self {
        use object_store::Error;
        let told = told(&error);
        match error {
            Error::Generic { .. } | Error::JoinError { .. } => Self::Absent(told),
            Error::NotFound { .. } => Self::NotFound(told),
            Error::AlreadyExists { .. } | Error::Precondition { .. } | Error::NotModified { .. } => {
                Self::Changed(told)
            }
            _ => Self::Refused(told),
        }
    }
}

impl From<StoreFailure> for io::Error {
    fn from(failure: StoreFailure) -> Self {
        let kind = match failure {
            StoreFailure::Absent(_) => io::ErrorKind::TimedOut,
            StoreFailure::NotFound(_) => io::ErrorKind::NotFound,
            StoreFailure::Changed(_) => io::ErrorKind::AlreadyExists,
            StoreFailure::Refused(_) => io::ErrorKind::PermissionDenied,
        };
        Self::new(kind, failure)
    }
}

/// An error with its causes, in one line; what a store answered as a page is cut.
fn told(error: &dyn std::error::Error) -> String {
    let mut told = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let text = error.to_string();
        if !told.contains(&text) {
            told = format!("{told}: {text}");
        }
        cause = error.source();
    }
    let line = told.split_whitespace().collect::<Vec<_>>().join(" ");
    line.chars().take(500).collect()
}

/// The runtime that waits for stores, made at its first use.
fn runtime() -> io::Result<&'static Runtime> {
    static RUNTIME: OnceLock<io::Result<Runtime>> = OnceLock::new();
    let made = RUNTIME.get_or_init(|| {
        tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("objects")
            .enable_all()
            .build()
    });
    made.as_ref().map_err(|error| io::Error::new(error.kind(), error.to_string()))
}

/// An object.
#[derive(Clone)]
pub(crate) struct Object {
    store: Arc<dyn ObjectStore>,
    bucket: Arc<str>,
    path: Path,
    bytes: u64,
    /// What stands for its content.
    tag: Option<String>,
    modified: String,
    /// That the store has stopped to answer, as it was told last.
    trouble: Arc<OnceLock<String>>,
}

impl fmt::Debug for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name())
    }
}

impl PartialEq for Object {
    fn eq(&self, other: &Self) -> bool {
        (&self.bucket, &self.path, self.bytes) == (&other.bucket, &other.path, other.bytes)
    }
}

impl Eq for Object {}

/// The objects below a prefix, or the one of that name, in the order of their names.
pub(super) fn list(store: Arc<dyn ObjectStore>, bucket: &str, prefix: &str) -> io::Result<Vec<Object>> {
    let prefix = Path::parse(prefix.trim_matches('/')).map_err(io::Error::other)?;
    let mut found: Vec<_> = wait(0, async || store.list(Some(&prefix)).try_collect().await)?;
    if found.is_empty() && !prefix.as_ref().is_empty() {
        match wait(0, async || store.head(&prefix).await) {
            Err(StoreFailure::NotFound(_)) => {}
            object => found.push(object?),
        }
    }
    let bucket: Arc<str> = bucket.into();
    let object = |meta: object_store::ObjectMeta| Object {
        store: Arc::clone(&store),
        bucket: Arc::clone(&bucket),
        path: meta.location,
        bytes: meta.size,
        tag: meta.e_tag,
        modified: meta.last_modified.to_rfc3339(),
        trouble: Arc::default(),
    };
    let hidden = |object: &Object| {
        let below = object.path.as_ref().strip_prefix(prefix.as_ref()).unwrap_or_default();
        below.split('/').any(|part| part.starts_with(['_', '.']))
    };
    let mut objects: Vec<Object> = found.into_iter().map(object).filter(|object| !hidden(object)).collect();
    objects.retain(|object| object.bytes > 0 || object.path == prefix);
    objects.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(objects)
}

impl Object {
    /// An object of a known length and stamp. What is changed since is not read, where the stamp is a tag.
    pub(super) fn at(
        store: Arc<dyn ObjectStore>,
        bucket: &str,
        key: &str,
        bytes: u64,
        stamp: Option<&str>,
    ) -> io::Result<Self> {
        let path = Path::parse(key).map_err(io::Error::other)?;
        let (bucket, trouble) = (bucket.into(), Arc::default());
        // Tags are in quotes, times are not.
        let (tag, modified) = match stamp.map(str::to_owned) {
            Some(tag) if tag.ends_with('"') => (Some(tag), String::new()),
            modified => (None, modified.unwrap_or_default()),
        };
        Ok(Self { store, bucket, path, bytes, tag, modified, trouble })
    }

    pub(super) fn name(&self) -> String {
        format!("s3://{}/{}", self.bucket, self.path)
    }

    /// Its name without the bucket's.
    pub(crate) fn key(&self) -> &str {
        self.path.as_ref()
    }

    pub(crate) fn bucket(&self) -> &str {
        &self.bucket
    }

    pub(crate) fn store(&self) -> Arc<dyn ObjectStore> {
        Arc::clone(&self.store)
    }

    pub(super) fn stamp(&self) -> String {
        self.tag.clone().unwrap_or_else(|| self.modified.clone())
    }

    pub(crate) fn len(&self) -> u64 {
        self.bytes
    }

    /// Some of its bytes.
    pub(crate) fn range(&self, range: Range<u64>) -> io::Result<Bytes> {
        let bytes = range.end.saturating_sub(range.start);
        let asked = || GetOptions {
            range: Some(GetRange::Bounded(range.clone())),
            if_match: self.tag.clone(),
            ..GetOptions::default()
        };
        self.noted(wait(bytes, async || self.store.get_opts(&self.path, asked()).await?.bytes().await))
    }

    /// What a store answered; that it did not is remembered, since readers of files keep no causes.
    fn noted<T>(&self, answer: Result<T, StoreFailure>) -> io::Result<T> {
        if let Err(StoreFailure::Absent(reason)) = &answer {
            self.trouble.get_or_init(|| reason.clone());
        }
        Ok(answer?)
    }

    /// Why it cannot be read now, where its store has stopped to answer.
    pub(super) fn trouble(&self) -> Option<&str> {
        self.trouble.get().map(String::as_str)
    }

    /// Some of its bytes, asked for side by side.
    pub(crate) fn ranges(&self, ranges: &[Range<u64>]) -> io::Result<Vec<Bytes>> {
        let bytes = ranges.iter().map(|range| range.end.saturating_sub(range.start)).sum();
        self.noted(wait(bytes, async || self.store.get_ranges(&self.path, ranges).await))
    }

    /// What reads it from its beginning.
    pub(crate) fn reader(self) -> ObjectReader {
        ObjectReader { object: self, at: 0, ahead: Bytes::new() }
    }
}

/// Reads an object by requests of some megabytes.
#[derive(Debug)]
pub(crate) struct ObjectReader {
    object: Object,
    at: u64,
    /// What was read from there on.
    ahead: Bytes,
}

impl Read for ObjectReader {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.ahead.is_empty() && self.at < self.object.bytes {
            self.ahead = self.object.range(self.at..self.object.bytes.min(self.at + AHEAD))?;
        }
        let some = self.ahead.split_to(into.len().min(self.ahead.len()));
        into[..some.len()].copy_from_slice(&some);
        self.at += some.len() as u64;
        Ok(some.len())
    }
}

impl Seek for ObjectReader {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let at = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::End(by) => self.object.bytes.checked_add_signed(by),
            SeekFrom::Current(by) => self.at.checked_add_signed(by),
        };
        let at =
            at.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "a place before the object"))?;
        if at != self.at {
            (self.at, self.ahead) = (at, Bytes::new());
        }
        Ok(at)
    }
}
