//! Outputs in a bucket. An object has its name only when it is whole: a short one is put at once, a long one as parts of an upload that
//! is completed at the end and given up when something fails. Below a prefix the parts come one after the other, and `_SUCCESS` last,
//! as Hadoop's writers do it.

use std::fmt;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use bytes::Bytes;
use futures_util::TryStreamExt;
use futures_util::future::try_join_all;
use object_store::aws::AmazonS3;
use object_store::multipart::{MultipartStore, PartId};
use object_store::path::Path as Key;
use object_store::{MultipartId, ObjectStore, ObjectStoreExt, PutMode, PutOptions, PutPayload};
use serve_core::Digest;

use crate::error::ScoreError;
use crate::location::{StoreFailure, store, wait};

/// Says below a prefix that all parts are there.
const SUCCESS: &str = "_SUCCESS";

/// Bytes that are put at once.
const CHUNK: u64 = 8 << 20;

/// So many of these are sent side by side.
const AT_ONCE: usize = 4;

/// An upload has at most 10,000 parts.
const MOST_CHUNKS: u64 = 9_000;

/// A place in a bucket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BucketPlace {
    bucket: String,
    key: Key,
    /// Whether it is a prefix, below which the parts are.
    pub(super) folder: bool,
}

impl fmt::Display for BucketPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "s3://{}/{}{}", self.bucket, self.key, if self.folder { "/" } else { "" })
    }
}

impl BucketPlace {
    /// Reads `s3://bucket/key`, or `s3://bucket/prefix/`.
    pub(super) fn parse(url: &str) -> Result<Self, ScoreError> {
        let place = url.strip_prefix("s3://").unwrap_or(url);
        let (bucket, key) = place.split_once('/').unwrap_or((place, ""));
        let key = Key::parse(key.trim_end_matches('/')).ok().filter(|key| !key.as_ref().is_empty());
        match key {
            Some(key) if !bucket.is_empty() => {
                Ok(Self { bucket: bucket.to_owned(), key, folder: url.ends_with('/') })
            }
            _ => Err(ScoreError::usage(format!("{url}: expected s3://BUCKET/KEY, or s3://BUCKET/PREFIX/"))),
        }
    }

    /// The place of a path that is none of this machine.
    pub(crate) fn of(path: &Path) -> Result<Option<Self>, ScoreError> {
        path.to_str().filter(|url| url.starts_with("s3://")).map(Self::parse).transpose()
    }

    pub(super) fn name(&self) -> &str {
        self.key.filename().unwrap_or_default()
    }

    pub(super) fn rejects(&self) -> String {
        format!("s3://{}/{}.rejects.csv", self.bucket, self.key)
    }

    /// The folder of a job's state.
    pub(super) fn state(&self, below: Option<&Path>) -> Result<PathBuf, ScoreError> {
        let cache = || {
            let path = |name| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
            let cache = path("XDG_CACHE_HOME").or_else(|| path("HOME").map(|home| home.join(".cache")));
            cache.map_or_else(PathBuf::new, |cache| cache.join("serve-score"))
        };
        let below = below.map_or_else(cache, Path::to_owned);
        if !below.as_os_str().is_empty() {
            let failed = |error: io::Error| ScoreError::output(below.display().to_string(), error);
            fs::create_dir_all(&below).map_err(failed)?;
        }
        // Another endpoint's bucket of the same name is another bucket.
        let endpoint = std::env::var("AWS_ENDPOINT").or_else(|_| std::env::var("AWS_ENDPOINT_URL"));
        let place = Digest::of(format!("{} {self}", endpoint.unwrap_or_default()).as_bytes()).to_string();
        Ok(below.join(format!(".{}.{}.partial", self.name(), &place[..16])))
    }

    /// Whether nothing is there that has to stay.
    pub(crate) fn check_free(&self, overwrite: bool) -> Result<(), ScoreError> {
        // That the bucket answers is worth knowing before the first row.
        let found = self.found()?;
        if overwrite || found.is_empty() {
            return Ok(());
        }
        Err(ScoreError::Exists { location: self.to_string() })
    }

    /// What is there: the object, or those below the prefix.
    fn found(&self) -> Result<Vec<(Key, u64)>, ScoreError> {
        let store = self.store()?;
        let found = if self.folder {
            let listed = wait(0, async || store.list(Some(&self.key)).try_collect::<Vec<_>>().await);
            listed.map_err(|failure| self.failed(failure))?
        } else {
            match wait(0, async || store.head(&self.key).await) {
                Ok(meta) => vec![meta],
                Err(StoreFailure::NotFound(_)) => Vec::new(),
                Err(failure) => return Err(self.failed(failure)),
            }
        };
        Ok(found.into_iter().map(|meta| (meta.location, meta.size)).collect())
    }

    /// Puts a file there. `again` says that an earlier try may have done it.
    pub(crate) fn put(&self, file: &Path, overwrite: bool, again: bool) -> Result<(), ScoreError> {
        let failed = |error: io::Error| ScoreError::output(self.to_string(), error);
        let mut file = File::open(file).map_err(failed)?;
        let bytes = file.metadata().map_err(failed)?.len();
        let overwrite = overwrite || (again && self.has(bytes)?);
        if bytes > CHUNK {
            return self.upload(&mut file, bytes, overwrite);
        }
        let mut content = Vec::new();
        file.read_to_end(&mut content).map_err(failed)?;
        let content = Bytes::from(content);
        let mode = if overwrite { PutMode::Overwrite } else { PutMode::Create };
        let (store, tries) = (self.store()?, AtomicU32::new(0));
        let put = wait(bytes, async || {
            tries.fetch_add(1, Ordering::Relaxed);
            let payload = PutPayload::from(content.clone());
            store.put_opts(&self.key, payload, PutOptions::from(mode.clone())).await
        });
        match put {
            // The first try got there, and its answer got lost.
            Err(StoreFailure::Changed(_)) if tries.into_inner() > 1 && self.has(bytes)? => Ok(()),
            put => put.map(drop).map_err(|failure| self.failed(failure)),
        }
    }

    /// Whether an object of so many bytes is there.
    fn has(&self, bytes: u64) -> Result<bool, ScoreError> {
        Ok(self.found()?.iter().any(|(_, found)| *found == bytes))
    }

    fn upload(&self, file: &mut File, bytes: u64, overwrite: bool) -> Result<(), ScoreError> {
        self.check_free(overwrite)?;
        let store = self.store()?;
        let failed = |failure| self.failed(failure);
        let id = wait(0, async || store.create_multipart(&self.key).await).map_err(failed)?;
        let sent = self.send(&store, &id, file, bytes).and_then(|parts| {
            self.check_free(overwrite)?;
            match wait(0, async || store.complete_multipart(&self.key, &id, parts.clone()).await) {
                // It was completed, and the answer got lost.
                Err(StoreFailure::NotFound(_)) if self.has(bytes)? => Ok(()),
                completed => completed.map(drop).map_err(failed),
            }
        });
        if sent.is_err() {
            // What cannot be given up is left to the bucket's rules for uploads that were not completed.
            drop(wait(0, async || store.abort_multipart(&self.key, &id).await));
        }
        sent
    }

    /// Sends the parts of an upload, some side by side.
    fn send(
        &self,
        store: &AmazonS3,
        id: &MultipartId,
        file: &mut File,
        bytes: u64,
    ) -> Result<Vec<PartId>, ScoreError> {
        let size = CHUNK.max(bytes.div_ceil(MOST_CHUNKS));
        let mut parts = Vec::new();
        loop {
            let mut chunks = Vec::new();
            for number in 0..AT_ONCE {
                let mut content = Vec::new();
                let read = file.by_ref().take(size).read_to_end(&mut content);
                read.map_err(|error| ScoreError::output(self.to_string(), error))?;
                if !content.is_empty() {
                    chunks.push((parts.len() + number, Bytes::from(content)));
                }
            }
            if chunks.is_empty() {
                return Ok(parts);
            }
            let sent = wait(size * AT_ONCE as u64, async || {
                let put = |(number, content): &(usize, Bytes)| {
                    store.put_part(&self.key, id, *number, PutPayload::from(content.clone()))
                };
                try_join_all(chunks.iter().map(put)).await
            });
            parts.extend(sent.map_err(|failure| self.failed(failure))?);
        }
    }

    /// Puts files below the prefix; what was there and is none of them is deleted, where it may be.
    pub(crate) fn put_all(
        &self,
        files: &[(PathBuf, String)],
        overwrite: bool,
        again: bool,
    ) -> Result<(), ScoreError> {
        let before = self.found()?;
        let own = |key: &Key| key.filename().is_some_and(|name| files.iter().any(|(_, own)| own == name));
        if !overwrite && before.iter().any(|(key, _)| !(again && own(key))) {
            return Err(ScoreError::Exists { location: self.to_string() });
        }
        // What says that all is there goes first, and comes last.
        let success = self.key.clone().join(SUCCESS);
        let others = before.iter().map(|(key, _)| key).filter(|key| **key != success);
        if before.iter().any(|(key, _)| *key == success) {
            self.delete(&success)?;
        }
        for (file, name) in files {
            self.below(name).put(file, true, false)?;
        }
        others.filter(|key| !own(key)).try_for_each(|key| self.delete(key))?;
        let store = self.store()?;
        let put = wait(0, async || store.put(&success, PutPayload::new()).await);
        put.map(drop).map_err(|failure| self.failed(failure))
    }

    /// Deletes the object.
    pub(crate) fn remove(&self) -> Result<(), ScoreError> {
        self.delete(&self.key)
    }

    fn below(&self, name: &str) -> Self {
        Self { bucket: self.bucket.clone(), key: self.key.clone().join(name), folder: false }
    }

    fn delete(&self, key: &Key) -> Result<(), ScoreError> {
        let store = self.store()?;
        match wait(0, async || store.delete(key).await) {
            Ok(()) | Err(StoreFailure::NotFound(_)) => Ok(()),
            Err(failure) => Err(self.failed(failure)),
        }
    }

    fn store(&self) -> Result<Arc<AmazonS3>, ScoreError> {
        store(&self.bucket).map_err(|error| ScoreError::output(self.to_string(), error))
    }

    fn failed(&self, failure: StoreFailure) -> ScoreError {
        let location = self.to_string();
        match failure {
            StoreFailure::Absent(reason) => ScoreError::Unreachable { location, reason },
            StoreFailure::Changed(_) => ScoreError::Exists { location },
            other => ScoreError::output(location, other),
        }
    }
}
