//! Objects of a bucket, read by threads that may block. The store's client makes requests again that fail for a while.

use std::fmt;
use std::io::{self, Read, Seek, SeekFrom};
use std::ops::Range;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use futures_util::TryStreamExt;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use tokio::runtime::Runtime;

/// Bytes that one request asks for where a file is read from its beginning.
const AHEAD: u64 = 8 << 20;

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
    let found: Vec<_> = runtime()?
        .block_on(async {
            match store.head(&prefix).await {
                Ok(object) => Ok(vec![object]),
                Err(object_store::Error::NotFound { .. }) => store.list(Some(&prefix)).try_collect().await,
                Err(error) => Err(error),
            }
        })
        .map_err(io::Error::other)?;
    let bucket: Arc<str> = bucket.into();
    let object = |meta: object_store::ObjectMeta| Object {
        store: Arc::clone(&store),
        bucket: Arc::clone(&bucket),
        path: meta.location,
        bytes: meta.size,
        tag: meta.e_tag,
        modified: meta.last_modified.to_rfc3339(),
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
    /// An object of a known length.
    pub(super) fn at(store: Arc<dyn ObjectStore>, bucket: &str, key: &str, bytes: u64) -> io::Result<Self> {
        let path = Path::parse(key).map_err(io::Error::other)?;
        Ok(Self { store, bucket: bucket.into(), path, bytes, tag: None, modified: String::new() })
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
        runtime()?.block_on(self.store.get_range(&self.path, range)).map_err(io::Error::other)
    }

    /// Some of its bytes, asked for side by side.
    pub(crate) fn ranges(&self, ranges: &[Range<u64>]) -> io::Result<Vec<Bytes>> {
        runtime()?.block_on(self.store.get_ranges(&self.path, ranges)).map_err(io::Error::other)
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
