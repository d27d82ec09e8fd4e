//! Copies on disk of what was read from an object store, so that a version is fetched once and a lost bucket is not
//! noticed by what was read before:
//!
//! ```text
//! <dir>/objects/<aa>/<sha-256>    bytes, named by their digest and held against it whenever they are read
//! <dir>/notes/<aa>/<sha-256>      for a key and a tag of the bucket, the digest of what lay there
//! ```
//!
//! Files get their names by rename, so several processes may share the folder. The cache is never needed: what cannot be
//! read counts as absent, what cannot be written is not kept.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use serve_core::Digest;

use crate::config::ObjectCacheConfig;
use crate::directory::io_at;
use crate::storage::StorageError;

const OBJECTS: &str = "objects";
const NOTES: &str = "notes";
const NOTE_BYTES: u64 = 64;

/// How full the cache is after pruning, so that not every further object prunes again.
const PRUNED_TO: f64 = 0.9;

/// The cache's folder.
#[derive(Debug)]
pub(super) struct DiskCache {
    root: PathBuf,
    max_bytes: u64,
    /// What this process believes to be there; pruning counts anew.
    used: AtomicU64,
}

impl DiskCache {
    /// Opens the cache; `None` where nothing is to be kept, or where no folder was named and none of the usual ones can
    /// be had.
    ///
    /// # Errors
    /// When the folder that was named cannot be made or written.
    pub(super) fn open(config: &ObjectCacheConfig) -> Result<Option<Self>, StorageError> {
        if config.max_bytes.0 == 0 {
            return Ok(None);
        }
        let opened = match &config.dir {
            Some(dir) => Self::at(dir.clone(), config.max_bytes.0).map_err(io_at("written", dir))?,
            None => match Self::at(usual_folder(), config.max_bytes.0) {
                Ok(cache) if cache.is_ours() => cache,
                _ => return Ok(None),
            },
        };
        let used = opened.files().iter().map(|file| file.bytes).sum();
        opened.used.store(used, Ordering::Relaxed);
        Ok(Some(opened))
    }

    fn at(root: PathBuf, max_bytes: u64) -> std::io::Result<Self> {
        for folder in [OBJECTS, NOTES] {
            fs::DirBuilder::new().recursive(true).mode(0o700).create(root.join(folder))?;
        }
        tempfile::tempfile_in(&root)?;
        Ok(Self { root, max_bytes, used: AtomicU64::new(0) })
    }

    /// Whether nobody else can write there: a note decides which manifest is believed.
    fn is_ours(&self) -> bool {
        let Ok(probe) = tempfile::tempfile_in(&self.root).and_then(|file| file.metadata()) else {
            return false;
        };
        let ours = |path: &Path| {
            fs::symlink_metadata(path).is_ok_and(|data| {
                data.is_dir() && data.uid() == probe.uid() && data.permissions().mode() & 0o022 == 0
            })
        };
        [self.root.clone(), self.root.join(OBJECTS), self.root.join(NOTES)].iter().all(|path| ours(path))
    }

    /// The bytes of a digest. What is damaged is removed.
    pub(super) fn object(&self, digest: &Digest) -> Option<Vec<u8>> {
        let path = self.path(OBJECTS, digest);
        let bytes = fs::read(&path).ok()?;
        if Digest::of(&bytes) != *digest {
            drop(fs::remove_file(&path));
            return None;
        }
        used_now(&path);
        Some(bytes)
    }

    /// Keeps bytes whose digest this is.
    pub(super) fn keep(&self, digest: &Digest, bytes: &[u8]) {
        if bytes.len() as u64 <= self.max_bytes {
            self.write(&self.path(OBJECTS, digest), bytes);
        }
    }

    /// What a key held when it had a tag, if that is known and still here.
    pub(super) fn noted(&self, key: &str, tag: &str) -> Option<Vec<u8>> {
        let path = self.note(key, tag);
        let digest = fs::read_to_string(&path).ok()?.parse().ok()?;
        used_now(&path);
        self.object(&digest)
    }

    /// Keeps what a key held when it had a tag.
    pub(super) fn note_and_keep(&self, key: &str, tag: &str, bytes: &[u8]) {
        let digest = Digest::of(bytes);
        self.keep(&digest, bytes);
        self.write(&self.note(key, tag), digest.to_string().as_bytes());
    }

    fn note(&self, key: &str, tag: &str) -> PathBuf {
        self.path(NOTES, &Digest::of(format!("{key}\0{tag}").as_bytes()))
    }

    fn path(&self, kind: &str, digest: &Digest) -> PathBuf {
        let name = digest.to_string();
        self.root.join(kind).join(&name[..2]).join(name)
    }

    fn write(&self, path: &Path, bytes: &[u8]) {
        let written = || -> std::io::Result<()> {
            let folder = path.parent().unwrap_or(&self.root);
            fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
            let mut file = tempfile::Builder::new().prefix(".writing-").tempfile_in(folder)?;
            file.write_all(bytes)?;
            file.persist(path)?;
            Ok(())
        };
        if written().is_ok() {
            let used = self.used.fetch_add(bytes.len() as u64, Ordering::Relaxed) + bytes.len() as u64;
            if used > self.max_bytes {
                self.prune();
            }
        }
    }

    /// Removes what was used longest ago until the rest fits.
    fn prune(&self) {
        let mut files = self.files();
        files.sort_by_key(|file| file.used);
        let mut used: u64 = files.iter().map(|file| file.bytes).sum();
        let target = (self.max_bytes as f64 * PRUNED_TO) as u64;
        for file in files {
            if used <= target {
                break;
            }
            if fs::remove_file(&file.path).is_ok() {
                used = used.saturating_sub(file.bytes);
            }
        }
        self.used.store(used, Ordering::Relaxed);
    }

    fn files(&self) -> Vec<CachedFile> {
        let entries = |folder: PathBuf| fs::read_dir(folder).into_iter().flatten().flatten();
        let kinds = [OBJECTS, NOTES].into_iter().map(|kind| self.root.join(kind));
        let folders = kinds.flat_map(entries).map(|entry| entry.path());
        folders.flat_map(entries).filter_map(|entry| cached_file(&entry.path())).collect()
    }
}

struct CachedFile {
    path: PathBuf,
    bytes: u64,
    used: SystemTime,
}

fn cached_file(path: &Path) -> Option<CachedFile> {
    let data = fs::symlink_metadata(path).ok().filter(fs::Metadata::is_file)?;
    // A note takes more than its 64 bytes of a disk; its share is what keeps it from being counted as nothing.
    Some(CachedFile { path: path.to_owned(), bytes: data.len().max(NOTE_BYTES), used: data.modified().ok()? })
}

/// The time of the last use is the file's time of change: times of access are often switched off.
fn used_now(path: &Path) {
    drop(File::open(path).and_then(|file| file.set_modified(SystemTime::now())));
}

/// Where a user's programs keep what they can get again.
fn usual_folder() -> PathBuf {
    let absolute = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let cache = absolute("XDG_CACHE_HOME").or_else(|| absolute("HOME").map(|home| home.join(".cache")));
    cache.unwrap_or_else(std::env::temp_dir).join("serve-objects")
}

#[cfg(test)]
mod tests {
    use serve_core::size::ByteSize;

    use super::*;

    fn cache(dir: &Path, max_bytes: u64) -> DiskCache {
        let config = ObjectCacheConfig { dir: Some(dir.to_owned()), max_bytes: ByteSize(max_bytes) };
        DiskCache::open(&config).expect("opens").expect("keeps")
    }

    #[test]
    fn what_is_damaged_counts_as_absent_and_is_removed() {
        let folder = tempfile::tempdir().expect("a folder");
        let cache = cache(folder.path(), 1 << 20);
        let digest = Digest::of(b"model");
        cache.keep(&digest, b"model");
        assert_eq!(cache.object(&digest).as_deref(), Some(&b"model"[..]));
        let path = cache.path(OBJECTS, &digest);
        fs::write(&path, b"m0del").expect("written");
        assert_eq!(cache.object(&digest), None);
        assert!(!path.exists());
    }

    #[test]
    fn a_note_tells_what_a_key_held_under_a_tag_and_processes_share_it() {
        let folder = tempfile::tempdir().expect("a folder");
        cache(folder.path(), 1 << 20).note_and_keep("s3://b/m/v1/manifest.json", "\"tag\"", b"{}");
        let other = cache(folder.path(), 1 << 20);
        assert_eq!(other.noted("s3://b/m/v1/manifest.json", "\"tag\"").as_deref(), Some(&b"{}"[..]));
        assert_eq!(other.noted("s3://b/m/v1/manifest.json", "\"other\""), None);
    }

    #[test]
    fn the_least_recently_used_goes_first_and_the_rest_fits() {
        let folder = tempfile::tempdir().expect("a folder");
        let cache = cache(folder.path(), 1000);
        let objects: Vec<[u8; 300]> = (0..5).map(|i| [i; 300]).collect();
        for (i, bytes) in objects.iter().enumerate() {
            let digest = Digest::of(bytes);
            cache.keep(&digest, bytes);
            let path = cache.path(OBJECTS, &digest);
            let used = SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(i as u64);
            if let Ok(file) = File::open(path) {
                file.set_modified(used).expect("set");
            }
        }
        let kept: Vec<bool> =
            objects.iter().map(|bytes| cache.object(&Digest::of(bytes)).is_some()).collect();
        assert_eq!(kept.iter().filter(|kept| **kept).count(), 3, "{kept:?}");
        assert!(!kept[0], "{kept:?}");
        assert!(cache.files().iter().map(|file| file.bytes).sum::<u64>() <= 1000);
    }

    #[test]
    fn what_cannot_be_written_is_not_kept_and_nothing_fails() {
        let folder = tempfile::tempdir().expect("a folder");
        let cache = cache(folder.path(), 1000);
        fs::remove_dir_all(folder.path().join(OBJECTS)).expect("removed");
        fs::write(folder.path().join(OBJECTS), b"in the way").expect("written");
        cache.keep(&Digest::of(b"model"), b"model");
        assert_eq!(cache.object(&Digest::of(b"model")), None);
        let named = ObjectCacheConfig { dir: Some(folder.path().join(OBJECTS)), ..Default::default() };
        let error = DiskCache::open(&named).expect_err("a file is no folder").to_string();
        assert!(error.ends_with("objects cannot be written"), "{error}");
        let none = ObjectCacheConfig { dir: None, max_bytes: ByteSize(0) };
        assert!(DiskCache::open(&none).expect("opens").is_none());
    }
}
