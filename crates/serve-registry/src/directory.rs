//! A registry in a folder:
//!
//! ```text
//! <root>/<model>/<version>/manifest.json …    a published version
//! <root>/<model>/<version>/manifest.sig         its signature, if it has one
//! <root>/<model>/aliases.json                 where aliases point
//! <root>/<model>/.lock                        taken while either is changed
//! ```
//!
//! Invariants: a version exists from the moment its manifest does, which is written last and only if absent; a published
//! version never changes; alias files are replaced by rename, never written in place. What is neither a model nor a
//! version is ignored. Nothing is read through a symbolic link that leaves the root.

mod publish;

use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use serve_core::bundle::{BundleError, MANIFEST_FILE, MAX_MANIFEST_BYTES, SIGNATURE_FILE, read_manifest};
use serve_core::{Bundle, Digest, Manifest, ModelName, ModelVersion};

use crate::aliases::Aliases;
use crate::arrival;
use crate::signature::MAX_SIGNATURE_BYTES;
use crate::storage::{DeleteError, EditAliases, Fingerprint, Lease, PublishError, Storage, StorageError};

pub(crate) const ALIASES_FILE: &str = "aliases.json";
const LOCK_FILE: &str = ".lock";

/// File systems that note times no finer than this cannot tell two changes within it apart.
const COARSEST_CLOCK: Duration = Duration::from_secs(2);

/// Longest alias file that is read: histories of tens of thousands of moves.
pub(crate) const MAX_ALIASES_BYTES: u64 = 16 << 20;

/// Maps an I/O error to the path it happened at.
pub(crate) fn io_at<'a>(action: &'static str, path: &'a Path) -> impl FnOnce(io::Error) -> StorageError + 'a {
    move |source| StorageError::Io { action, path: path.to_owned(), source }
}

/// Whether nothing lies at a path, rather than something that cannot be read just now. Only the first may make a model
/// or a version count as gone.
fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

/// A registry's folder.
#[derive(Debug, Clone)]
pub struct Directory {
    root: PathBuf,
}

impl Directory {
    /// Opens a registry that is there.
    ///
    /// # Errors
    /// [`StorageError::NoRegistry`] when it is not.
    pub fn open(root: impl Into<PathBuf>) -> Result<Self, StorageError> {
        let root = root.into();
        match root.canonicalize() {
            Ok(root) if root.is_dir() => Ok(Self { root }),
            _ => Err(StorageError::NoRegistry { path: root }),
        }
    }

    /// Opens a registry, making its folder if it is not there.
    ///
    /// # Errors
    /// When the folder cannot be made.
    pub fn create(root: impl Into<PathBuf>) -> Result<Self, StorageError> {
        let root = root.into();
        fs::create_dir_all(&root).map_err(io_at("created", &root))?;
        let directory = Self::open(root)?;
        if let Some(parent) = directory.root.parent() {
            // Not every parent may be opened by who may create a folder in it.
            drop(publish::sync_folder(parent));
        }
        Ok(directory)
    }

    /// The folder.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The content of the alias file, if there is one.
    fn aliases_file(&self, name: &ModelName) -> Result<Option<Aliases>, StorageError> {
        let path = self.model_folder(name).join(ALIASES_FILE);
        let (resolved, bytes) = match self.regular_file(&path) {
            Err(StorageError::Io { source, .. }) if is_absent(&source) => return Ok(None),
            other => other?,
        };
        let unusable = |problem| StorageError::Aliases { location: path.display().to_string(), problem };
        if bytes > MAX_ALIASES_BYTES {
            return Err(unusable(format!("it has {bytes} bytes, expected at most {MAX_ALIASES_BYTES}")));
        }
        let bytes = fs::read(&resolved).map_err(io_at("read", &path))?;
        Aliases::read(&bytes).map(Some).map_err(unusable)
    }

    fn default_aliases(&self, name: &ModelName) -> Result<Aliases, StorageError> {
        let versions = self.versions(name)?;
        let Some(oldest) = versions.first() else { return Ok(Aliases::default()) };
        let at = fs::metadata(self.version_folder(name, oldest)).and_then(|data| data.modified()).ok();
        let at = at.and_then(|at| at.try_into().ok()).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
        Ok(arrival::first_aliases(oldest, crate::aliases::STAND_IN, at))
    }

    /// The folders in `folder` whose names are of a type, in order; none where there is no such folder. What leads out of
    /// the registry or nowhere is not seen.
    fn names_in<T: std::str::FromStr + Ord>(&self, folder: &Path) -> Result<Vec<T>, StorageError> {
        let entries = match fs::read_dir(folder) {
            // Of a registry that is gone nobody knows what it had.
            Err(error) if is_absent(&error) && folder != self.root && self.root.is_dir() => {
                return Ok(Vec::new());
            }
            entries => entries.map_err(io_at("read", folder))?,
        };
        // What is no link, in a folder that is none, is inside; ten thousand times that saves most of the work.
        let plain = folder == self.root || !folder.is_symlink();
        let mut names = Vec::new();
        for entry in entries {
            let entry = entry.map_err(io_at("read", folder))?;
            let Some(name) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
            let is_folder = match entry.file_type() {
                Ok(kind) if plain && !kind.is_symlink() => kind.is_dir(),
                _ => self.is_folder(entry.path())?,
            };
            if is_folder {
                names.push(name);
            }
        }
        names.sort();
        Ok(names)
    }

    fn is_folder(&self, path: PathBuf) -> Result<bool, StorageError> {
        // A link may also lead in a circle.
        let link = path.is_symlink();
        match self.inside(path) {
            Ok(path) => Ok(path.is_dir()),
            Err(StorageError::Outside { .. }) => Ok(false),
            Err(StorageError::Io { source, .. }) if link || is_absent(&source) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// The path with links resolved, which must lie inside the root.
    fn inside(&self, path: PathBuf) -> Result<PathBuf, StorageError> {
        let resolved = path.canonicalize().map_err(io_at("read", &path))?;
        if resolved.starts_with(&self.root) { Ok(resolved) } else { Err(StorageError::Outside { path }) }
    }

    /// The resolved path of a file inside the root, and its length. A pipe or a device would be read for ever.
    fn regular_file(&self, path: &Path) -> Result<(PathBuf, u64), StorageError> {
        let resolved = self.inside(path.to_owned())?;
        let data = fs::metadata(&resolved).map_err(io_at("read", path))?;
        if data.is_file() {
            Ok((resolved, data.len()))
        } else {
            Err(io_at("read", path)(io::Error::other("it is no regular file")))
        }
    }

    fn model_folder(&self, name: &ModelName) -> PathBuf {
        self.root.join(name.as_str())
    }

    fn version_folder(&self, name: &ModelName, version: &ModelVersion) -> PathBuf {
        self.model_folder(name).join(version.as_str())
    }

    fn manifest_path(&self, name: &ModelName, version: &ModelVersion) -> PathBuf {
        self.version_folder(name, version).join(MANIFEST_FILE)
    }

    /// Whether a version has a manifest, or may have one that cannot be read now.
    fn is_published(&self, name: &ModelName, version: &ModelVersion) -> bool {
        match fs::metadata(self.manifest_path(name, version)) {
            Ok(data) => data.is_file(),
            Err(error) => !is_absent(&error),
        }
    }

    fn manifest_bytes(&self, name: &ModelName, version: &ModelVersion) -> Result<Vec<u8>, StorageError> {
        let path = self.manifest_path(name, version);
        let (resolved, bytes) = match self.regular_file(&path) {
            Err(StorageError::Io { source, .. }) if is_absent(&source) => {
                return Err(if self.versions(name)?.is_empty() {
                    StorageError::UnknownModel { name: name.clone() }
                } else {
                    StorageError::UnknownVersion { name: name.clone(), version: version.clone() }
                });
            }
            other => other?,
        };
        if bytes > MAX_MANIFEST_BYTES as u64 {
            return Err(BundleError::ManifestSize { bytes: bytes as usize }.into());
        }
        fs::read(&resolved).map_err(io_at("read", &path))
    }

    /// An exclusive lock on a model, held until the file is dropped, also between processes.
    fn lock(&self, name: &ModelName) -> Result<File, StorageError> {
        let path = self.model_folder(name).join(LOCK_FILE);
        let file = OpenOptions::new().create(true).truncate(false).write(true).open(&path);
        let file = file.map_err(io_at("opened", &path))?;
        file.lock().map_err(io_at("locked", &path))?;
        Ok(file)
    }

    fn write_aliases(&self, name: &ModelName, aliases: &Aliases) -> Result<(), StorageError> {
        let folder = self.model_folder(name);
        let path = folder.join(ALIASES_FILE);
        let bytes = aliases.write().map_err(|e| io_at("written", &path)(e.into()))?;
        publish::write_file(&folder, &path, &bytes, true)
    }
}

impl Storage for Directory {
    fn location(&self) -> String {
        self.root.display().to_string()
    }

    /// Every folder with a model's name.
    fn candidates(&self) -> Result<Vec<ModelName>, StorageError> {
        self.names_in(&self.root)
    }

    fn models(&self) -> Result<Vec<ModelName>, StorageError> {
        let mut models = self.candidates()?;
        models.retain(|name| {
            let versions = self.names_in(&self.model_folder(name));
            versions.map_or(true, |versions| versions.iter().any(|version| self.is_published(name, version)))
        });
        Ok(models)
    }

    fn versions(&self, name: &ModelName) -> Result<Vec<ModelVersion>, StorageError> {
        let mut versions = self.names_in::<ModelVersion>(&self.model_folder(name))?;
        versions.retain(|version| self.is_published(name, version));
        Ok(versions)
    }

    fn manifest(&self, name: &ModelName, version: &ModelVersion) -> Result<(Manifest, Digest), StorageError> {
        let bytes = self.manifest_bytes(name, version)?;
        Ok((read_manifest(&bytes)?, Digest::of(&bytes)))
    }

    fn bundle(&self, name: &ModelName, version: &ModelVersion) -> Result<Bundle, StorageError> {
        let manifest = self.manifest_bytes(name, version)?;
        let folder = self.version_folder(name, version);
        let bundle = Bundle::open(manifest, |file, entry| {
            let path = folder.join(file);
            let (resolved, got) = match self.regular_file(&path) {
                Err(StorageError::Io { source, .. }) if is_absent(&source) => {
                    return Err(BundleError::Missing { name: file.to_owned() }.into());
                }
                other => other?,
            };
            if got != entry.bytes {
                return Err(BundleError::Length { name: file.to_owned(), expected: entry.bytes, got }.into());
            }
            fs::read(&resolved).map_err(io_at("read", &path))
        });
        bundle.and_then(|bundle| Ok(bundle.with_signature(self.signature(name, version)?)))
    }

    fn signature(&self, name: &ModelName, version: &ModelVersion) -> Result<Option<Vec<u8>>, StorageError> {
        let path = self.version_folder(name, version).join(SIGNATURE_FILE);
        let (resolved, bytes) = match self.regular_file(&path) {
            Err(StorageError::Io { source, .. }) if is_absent(&source) => return Ok(None),
            other => other?,
        };
        if bytes > MAX_SIGNATURE_BYTES {
            let told = format!("it has {bytes} bytes, expected at most {MAX_SIGNATURE_BYTES}");
            return Err(io_at("read", &path)(io::Error::other(told)));
        }
        fs::read(&resolved).map(Some).map_err(io_at("read", &path))
    }

    fn sign(&self, name: &ModelName, version: &ModelVersion, signature: &[u8]) -> Result<(), StorageError> {
        self.manifest_bytes(name, version)?;
        let _lock = self.lock(name)?;
        let folder = self.version_folder(name, version);
        publish::write_file(&folder, &folder.join(SIGNATURE_FILE), signature, true)
    }

    fn aliases(&self, name: &ModelName) -> Result<Aliases, StorageError> {
        Ok(match self.aliases_file(name)? {
            Some(aliases) => aliases,
            None => self.default_aliases(name)?,
        })
    }

    /// Under the model's lock, by one rename: nobody comes first.
    fn edit_aliases(
        &self,
        name: &ModelName,
        edit: &mut EditAliases<'_>,
    ) -> Result<Option<Aliases>, StorageError> {
        if self.versions(name)?.is_empty() {
            return Err(StorageError::UnknownModel { name: name.clone() });
        }
        let _lock = self.lock(name)?;
        let mut aliases = self.aliases(name)?;
        if !edit(&mut aliases) {
            return Ok(None);
        }
        self.write_aliases(name, &aliases)?;
        Ok(Some(aliases))
    }

    fn publish(&self, bundle: &Bundle, by: &str) -> Result<(), PublishError> {
        self.publish_bundle(bundle, by)
    }

    /// The folder loses its name in one rename, so that nobody sees half of a version.
    fn delete(&self, name: &ModelName, version: &ModelVersion) -> Result<(), DeleteError> {
        if !self.versions(name)?.contains(version) {
            return Err(StorageError::UnknownVersion { name: name.clone(), version: version.clone() }.into());
        }
        let _lock = self.lock(name)?;
        arrival::refuse_aliased(name, version, &self.aliases(name)?)?;
        let manifest = self.manifest_path(name, version);
        let file = File::open(&manifest).map_err(io_at("read", &manifest))?;
        if file.try_lock().is_err() {
            return Err(DeleteError::InUse { name: name.clone(), version: version.clone() });
        }
        let folder = self.version_folder(name, version);
        let gone = self.model_folder(name).join(format!(".deleted-{version}-{}", std::process::id()));
        fs::rename(&folder, &gone).map_err(io_at("deleted", &folder))?;
        fs::remove_dir_all(&gone).map_err(io_at("deleted", &gone))?;
        Ok(())
    }

    /// Whoever has it loaded holds a lock on its manifest; see [`lease`](Storage::lease).
    fn in_use(&self, name: &ModelName, version: &ModelVersion) -> bool {
        File::open(self.manifest_path(name, version)).is_ok_and(|file| file.try_lock().is_err())
    }

    fn fingerprint(&self, name: &ModelName, version: &ModelVersion) -> Fingerprint {
        let folder = self.version_folder(name, version);
        let mut files = seen_in(&folder);
        files.extend(seen_in(&folder.join(serve_core::bundle::SOURCE_FOLDER)));
        files.sort();
        files
    }

    fn stamp(&self, name: &ModelName) -> Option<Fingerprint> {
        let folder = self.model_folder(name);
        let mut seen = Fingerprint::new();
        for entry in fs::read_dir(&folder).ok()? {
            let path = entry.ok()?.path();
            let file = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            if file.parse::<ModelVersion>().is_ok() {
                seen.extend(seen_at(&path.join(MANIFEST_FILE)));
            }
            // The lock and temporary files tell nothing.
            if !file.starts_with('.') {
                seen.extend(seen_at(&path));
            }
        }
        seen.sort();
        let settled = fs::metadata(&folder).and_then(|data| data.modified()).ok()?;
        let settled = SystemTime::now().duration_since(settled).is_ok_and(|age| age > COARSEST_CLOCK);
        settled.then_some(seen)
    }

    /// A shared lock on the manifest; [`delete`](Storage::delete) wants it for itself.
    fn lease(&self, name: &ModelName, version: &ModelVersion) -> Lease {
        let file = File::open(self.manifest_path(name, version)).ok();
        file.filter(|file| file.try_lock_shared().is_ok()).map(Lease::of).unwrap_or_default()
    }
}

/// What the entries of a folder look like.
fn seen_in(folder: &Path) -> Fingerprint {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.filter_map(|entry| seen_at(&entry.path())).collect()
}

fn seen_at(path: &Path) -> Option<(String, u64, String)> {
    let data = fs::metadata(path).ok()?;
    let changed = data.modified().ok()?.duration_since(SystemTime::UNIX_EPOCH).ok()?;
    Some((path.to_string_lossy().into_owned(), data.len(), changed.as_nanos().to_string()))
}
