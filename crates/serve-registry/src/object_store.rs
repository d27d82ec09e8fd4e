//! A registry in an S3-compatible object store, with the layout of a folder's:
//!
//! ```text
//! s3://<bucket>/<prefix>/<model>/<version>/manifest.json …     a published version
//! s3://<bucket>/<prefix>/<model>/<version>/.files/<sha-256>    where a file's own name was taken by another publisher
//! s3://<bucket>/<prefix>/<model>/aliases.json                  where aliases point
//! ```
//!
//! Invariants: nothing but an alias file is ever overwritten, every object of a version is created only if absent, and the
//! manifest last, so that of two publishers one wins and neither harms the other's files; alias files change only if they
//! are still what was read (`If-Match`). The store has to answer conditional writes, as S3, R2, MinIO and others do.
//!
//! What a bucket cannot do: there is no lease, so a deletion does not see whether a process has the version loaded. What
//! is loaded serves on without the bucket, and what is in the cache on disk loads without it.

mod disk;
mod index;
mod publish;
mod remote;
mod settings;

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ::object_store::RetryConfig;
use ::object_store::path::Path;
use serve_core::bundle::{BundleError, MANIFEST_FILE, MAX_MANIFEST_BYTES, SIGNATURE_FILE, read_manifest};
use serve_core::manifest::FileEntry;
use serve_core::{Bundle, Digest, Manifest, ModelName, ModelVersion};

use crate::aliases::Aliases;
use crate::arrival;
use crate::config::ObjectCacheConfig;
use crate::directory::{ALIASES_FILE, MAX_ALIASES_BYTES};
use crate::signature::MAX_SIGNATURE_BYTES;
use crate::storage::{DeleteError, EditAliases, Fingerprint, Lease, PublishError, Storage, StorageError};

use disk::DiskCache;
use index::{Index, ModelEntry, Seen};
use remote::{CallError, Got, Remote};
use settings::Client;
pub use settings::bucket;

/// Files whose own names another publisher took, by digest.
const FILES_FOLDER: &str = ".files";

/// Ends the name of a signature that lies among them, after the digest of its manifest.
const CONTESTED_SIGNATURE: &str = ".sig";

/// How an object store is talked to.
#[derive(Debug, Clone)]
pub struct ObjectOptions {
    /// The copies on disk.
    pub cache: ObjectCacheConfig,
    /// How long the store may keep silent before a request counts as failed.
    pub timeout: Duration,
    /// How often a request is made that may be repeated.
    pub attempts: u32,
}

impl Default for ObjectOptions {
    fn default() -> Self {
        Self { cache: ObjectCacheConfig::default(), timeout: Duration::from_secs(10), attempts: 3 }
    }
}

/// A registry below a prefix of a bucket; see the module.
pub struct ObjectStorage {
    /// Without a slash at the end.
    url: String,
    /// Tells buckets of the same name apart, empty for AWS itself.
    endpoint: String,
    prefix: Path,
    remote: Remote,
    cache: Option<DiskCache>,
    /// What the newest list of everything told, with this process's own changes since; nothing before the first list.
    /// Invariant: the lock is not held during a request.
    index: Mutex<Option<Index>>,
}

impl fmt::Debug for ObjectStorage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ObjectStorage").field("url", &self.url).finish_non_exhaustive()
    }
}

impl ObjectStorage {
    /// A registry in a bucket of S3 or what speaks like it. Endpoint and credentials come from the environment, by the
    /// names that AWS's own tools use: `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`, `AWS_REGION`, `AWS_ENDPOINT`,
    /// `AWS_ALLOW_HTTP`, …; what a machine's role gives is taken where there are none.
    ///
    /// # Errors
    /// When the settings contradict each other or the cache's folder cannot be written. Nothing is asked of the bucket.
    pub fn open(bucket: &str, prefix: &str, options: ObjectOptions) -> Result<Self, StorageError> {
        Self::with_settings(bucket, prefix, options, std::env::vars())
    }

    /// [`open`](Self::open) with settings in place of the environment.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn with_settings(
        bucket: &str,
        prefix: &str,
        options: ObjectOptions,
        settings: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, StorageError> {
        let url =
            if prefix.is_empty() { format!("s3://{bucket}") } else { format!("s3://{bucket}/{prefix}") };
        let cannot = |source: Box<dyn std::error::Error + Send + Sync>| StorageError::Remote {
            action: "opened",
            location: url.clone(),
            source,
        };
        let cache = DiskCache::open(&options.cache)?;
        // `Remote` makes its requests again itself.
        let retry = RetryConfig { max_retries: 0, ..RetryConfig::default() };
        let Client { store, secrets, endpoint } =
            settings::client(bucket, settings, retry).map_err(cannot)?;
        let remote = Remote::start(store, secrets, options.timeout, options.attempts);
        let remote = remote.map_err(|error| cannot(error.into()))?;
        Ok(Self { url, endpoint, prefix: Path::from(prefix), remote, cache, index: Mutex::new(None) })
    }

    fn key(&self, name: &ModelName, rest: &[&str]) -> Path {
        let below = rest.iter().flat_map(|part| part.split('/'));
        let parts = std::iter::once(name.as_str()).chain(below);
        parts.fold(self.prefix.clone(), Path::join)
    }

    fn failed(&self, action: &'static str, key: &Path, error: CallError) -> StorageError {
        let below = key.as_ref().strip_prefix(self.prefix.as_ref()).unwrap_or(key.as_ref());
        let location = match below.trim_start_matches('/') {
            "" => self.url.clone(),
            below => format!("{}/{below}", self.url),
        };
        StorageError::Remote { action, location, source: error.into() }
    }

    fn index(&self) -> MutexGuard<'_, Option<Index>> {
        // What is stored is whole before it is stored.
        self.index.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn list(&self, prefix: &Path) -> Result<Index, StorageError> {
        let below = (!prefix.as_ref().is_empty()).then(|| prefix.clone());
        let listed = self.remote.list(below, Index::below(self.prefix.clone()), Index::add);
        listed.map_err(|error| self.failed("listed", prefix, error))
    }

    /// What there is of a model, from the newest list of everything, or asked for where there is none.
    fn entry(&self, name: &ModelName) -> Result<Arc<ModelEntry>, StorageError> {
        if let Some(index) = &*self.index() {
            return Ok(index.models.get(name).cloned().unwrap_or_default());
        }
        self.look(name)
    }

    /// What there is of a model now.
    fn look(&self, name: &ModelName) -> Result<Arc<ModelEntry>, StorageError> {
        let listed = self.list(&self.key(name, &[]))?.models.remove(name);
        if let Some(index) = &mut *self.index() {
            match &listed {
                Some(entry) => drop(index.models.insert(name.clone(), Arc::clone(entry))),
                None => drop(index.models.remove(name)),
            }
        }
        Ok(listed.unwrap_or_default())
    }

    /// An object that was seen, from the disk where it is known by its tag.
    fn read(&self, key: &Path, seen: &Seen, limit: u64) -> Result<Read, StorageError> {
        let location = format!("{} {} {key}", self.endpoint, self.url);
        let tag = format!("{} {}", seen.bytes, seen.tag);
        let cached = self.cache.as_ref().and_then(|cache| cache.noted(&location, &tag));
        if let Some(bytes) = cached {
            return Ok(Read::Bytes(bytes));
        }
        match self.remote.get(key, limit).map_err(|error| self.failed("read", key, error))? {
            Got::Absent => Ok(Read::Absent),
            Got::TooLong(bytes) => Ok(Read::TooLong(bytes)),
            Got::Object(bytes, meta) => {
                // Only what was seen may be kept under its tag; it may have changed since.
                let same = meta.size == seen.bytes && (seen.e_tag.is_none() || meta.e_tag == seen.e_tag);
                if let Some(cache) = self.cache.as_ref().filter(|_| same) {
                    cache.note_and_keep(&location, &tag, &bytes);
                }
                Ok(Read::Bytes(bytes))
            }
        }
    }

    fn manifest_bytes(&self, name: &ModelName, version: &ModelVersion) -> Result<Vec<u8>, StorageError> {
        let mut entry = self.entry(name)?;
        if entry.file(version, MANIFEST_FILE).is_none() {
            entry = self.look(name)?;
        }
        let key = self.key(name, &[version.as_str(), MANIFEST_FILE]);
        let got = match entry.file(version, MANIFEST_FILE) {
            Some(seen) => self.read(&key, seen, MAX_MANIFEST_BYTES as u64)?,
            None => Read::Absent,
        };
        match got {
            Read::Bytes(bytes) => Ok(bytes),
            Read::TooLong(bytes) => Err(BundleError::ManifestSize { bytes: bytes as usize }.into()),
            Read::Absent if entry.versions().is_empty() => {
                Err(StorageError::UnknownModel { name: name.clone() })
            }
            Read::Absent => Err(unknown(name, version)),
        }
    }

    /// A file of a version: from the disk, under its own name, or under its digest.
    fn file(
        &self,
        name: &ModelName,
        version: &ModelVersion,
        file: &str,
        entry: &FileEntry,
    ) -> Result<Vec<u8>, StorageError> {
        if let Some(bytes) = self.cache.as_ref().and_then(|cache| cache.object(&entry.sha256)) {
            return Ok(bytes);
        }
        let digest = entry.sha256.to_string();
        let mut problem = None;
        for rest in [&[version.as_str(), file][..], &[version.as_str(), FILES_FOLDER, &digest]] {
            let key = self.key(name, rest);
            let got = self.remote.get(&key, entry.bytes).map_err(|error| self.failed("read", &key, error))?;
            let wrong: BundleError = match got {
                Got::Object(bytes, _) if Digest::of(&bytes) == entry.sha256 => {
                    if let Some(cache) = &self.cache {
                        cache.keep(&entry.sha256, &bytes);
                    }
                    return Ok(bytes);
                }
                Got::Object(bytes, _) if bytes.len() as u64 == entry.bytes => {
                    let (expected, got) = (entry.sha256, Digest::of(&bytes));
                    BundleError::Digest { name: file.to_owned(), expected, got }
                }
                Got::Object(bytes, _) => length(file, entry, bytes.len() as u64),
                Got::TooLong(bytes) => length(file, entry, bytes),
                Got::Absent => BundleError::Missing { name: file.to_owned() },
            };
            // What is told is what is wrong with the file under its own name.
            problem.get_or_insert(wrong);
        }
        Err(problem.unwrap_or(BundleError::Missing { name: file.to_owned() }).into())
    }

    /// A model's aliases as they are seen in `entry`.
    fn aliases_in(&self, name: &ModelName, entry: &ModelEntry) -> Result<Aliases, StorageError> {
        let key = self.key(name, &[ALIASES_FILE]);
        let got = match &entry.aliases {
            Some(seen) => self.read(&key, seen, MAX_ALIASES_BYTES)?,
            None => Read::Absent,
        };
        match got {
            Read::Bytes(bytes) => self.parse_aliases(name, &bytes),
            Read::TooLong(bytes) => Err(self.unusable(name, too_long(bytes))),
            Read::Absent => Ok(default_aliases(entry)),
        }
    }

    fn parse_aliases(&self, name: &ModelName, bytes: &[u8]) -> Result<Aliases, StorageError> {
        Aliases::read(bytes).map_err(|problem| self.unusable(name, problem))
    }

    fn unusable(&self, name: &ModelName, problem: String) -> StorageError {
        StorageError::Aliases { location: format!("{}/{name}/{ALIASES_FILE}", self.url), problem }
    }
}

/// Where a version's signature lies whose manifest has these bytes, if another publisher's was there before.
fn contested_signature(manifest: &[u8]) -> String {
    format!("{FILES_FOLDER}/{}{CONTESTED_SIGNATURE}", Digest::of(manifest))
}

/// What an object that was seen holds.
enum Read {
    Absent,
    TooLong(u64),
    Bytes(Vec<u8>),
}

fn unknown(name: &ModelName, version: &ModelVersion) -> StorageError {
    StorageError::UnknownVersion { name: name.clone(), version: version.clone() }
}

fn too_long(bytes: u64) -> String {
    format!("it has {bytes} bytes, expected at most {MAX_ALIASES_BYTES}")
}

fn length(file: &str, entry: &FileEntry, got: u64) -> BundleError {
    BundleError::Length { name: file.to_owned(), expected: entry.bytes, got }
}

/// What a model without an alias file has: its oldest version is the champion.
fn default_aliases(entry: &ModelEntry) -> Aliases {
    let versions = entry.versions();
    let Some(oldest) = versions.first() else { return Aliases::default() };
    let at = entry.file(oldest, MANIFEST_FILE).map_or(jiff::Timestamp::UNIX_EPOCH, |seen| seen.modified);
    arrival::first_aliases(oldest, crate::aliases::STAND_IN, at)
}

impl Storage for ObjectStorage {
    fn location(&self) -> String {
        self.url.clone()
    }

    /// One request per thousand objects of the whole registry.
    fn models(&self) -> Result<Vec<ModelName>, StorageError> {
        let listed = self.list(&self.prefix)?;
        let models = listed.models.iter().filter(|(_, entry)| !entry.versions().is_empty());
        let models = models.map(|(name, _)| name.clone()).collect();
        *self.index() = Some(listed);
        Ok(models)
    }

    fn versions(&self, name: &ModelName) -> Result<Vec<ModelVersion>, StorageError> {
        Ok(self.entry(name)?.versions())
    }

    fn manifest(&self, name: &ModelName, version: &ModelVersion) -> Result<(Manifest, Digest), StorageError> {
        let bytes = self.manifest_bytes(name, version)?;
        Ok((read_manifest(&bytes)?, Digest::of(&bytes)))
    }

    fn bundle(&self, name: &ModelName, version: &ModelVersion) -> Result<Bundle, StorageError> {
        let manifest = self.manifest_bytes(name, version)?;
        let bundle = Bundle::open(manifest, |file, entry| self.file(name, version, file, entry));
        bundle.and_then(|bundle| Ok(bundle.with_signature(self.signature(name, version)?)))
    }

    fn signature(&self, name: &ModelName, version: &ModelVersion) -> Result<Option<Vec<u8>>, StorageError> {
        let entry = self.entry(name)?;
        let mut file = SIGNATURE_FILE.to_owned();
        if entry.files(version).any(|file| file.ends_with(CONTESTED_SIGNATURE)) {
            let contested = contested_signature(&self.manifest_bytes(name, version)?);
            file = if entry.file(version, &contested).is_some() { contested } else { file };
        }
        let Some(seen) = entry.file(version, &file) else { return Ok(None) };
        let key = self.key(name, &[version.as_str(), &file]);
        match self.read(&key, seen, MAX_SIGNATURE_BYTES)? {
            Read::Absent => Ok(None),
            Read::Bytes(bytes) => Ok(Some(bytes)),
            Read::TooLong(bytes) => {
                let told = format!("it has {bytes} bytes, expected at most {MAX_SIGNATURE_BYTES}");
                let location = format!("{}/{name}/{version}/{file}", self.url);
                Err(StorageError::Remote { action: "read", location, source: told.into() })
            }
        }
    }

    fn sign(&self, name: &ModelName, version: &ModelVersion, signature: &[u8]) -> Result<(), StorageError> {
        self.sign_version(name, version, signature)
    }

    fn aliases(&self, name: &ModelName) -> Result<Aliases, StorageError> {
        self.aliases_in(name, &*self.entry(name)?)
    }

    fn edit_aliases(
        &self,
        name: &ModelName,
        edit: &mut EditAliases<'_>,
    ) -> Result<Option<Aliases>, StorageError> {
        self.change_aliases(name, edit)
    }

    fn publish(&self, bundle: &Bundle, by: &str) -> Result<(), PublishError> {
        self.publish_bundle(bundle, by)
    }

    fn delete(&self, name: &ModelName, version: &ModelVersion) -> Result<(), DeleteError> {
        self.delete_version(name, version)
    }

    fn fingerprint(&self, name: &ModelName, version: &ModelVersion) -> Fingerprint {
        self.entry(name).map(|entry| entry.fingerprint(version)).unwrap_or_default()
    }

    fn stamp(&self, name: &ModelName) -> Option<Fingerprint> {
        self.entry(name).ok().map(|entry| entry.stamp())
    }

    /// None: a bucket has no locks.
    fn lease(&self, _: &ModelName, _: &ModelVersion) -> Lease {
        Lease::default()
    }
}
