//! A registry in a folder:
//!
//! ```text
//! <root>/<model>/<version>/manifest.json …    a published version
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

use serve_core::bundle::{BundleError, MANIFEST_FILE, MAX_MANIFEST_BYTES, read_manifest};
use serve_core::{Alias, Bundle, Digest, Manifest, ModelName, ModelVersion};
use thiserror::Error;

use crate::aliases::Aliases;

pub use publish::PublishError;

const ALIASES_FILE: &str = "aliases.json";
const LOCK_FILE: &str = ".lock";

/// Longest alias file that is read: histories of tens of thousands of moves.
const MAX_ALIASES_BYTES: u64 = 16 << 20;

/// Why the folder could not be read or changed.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum StorageError {
    /// There is no registry.
    #[error("there is no registry at {}: no such folder; `serve-ctl import` and `serve-ctl train` create one", path.display())]
    NoRegistry {
        /// Where it was looked for.
        path: PathBuf,
    },
    /// The model is not there.
    #[error("unknown model {name:?}")]
    UnknownModel {
        /// The model.
        name: ModelName,
    },
    /// The version is not there.
    #[error("model {name:?} has no version {version:?}")]
    UnknownVersion {
        /// The model.
        name: ModelName,
        /// The version.
        version: ModelVersion,
    },
    /// The operating system refused.
    #[error("{} cannot be {action}", path.display())]
    Io {
        /// `read`, `written`, ….
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The alias file is not one.
    #[error("{} cannot be used: {problem}", path.display())]
    Aliases {
        /// The file.
        path: PathBuf,
        /// Why.
        problem: String,
    },
    /// A bundle is damaged.
    #[error(transparent)]
    Bundle(#[from] BundleError),
    /// A path leaves the registry.
    #[error("{} leads out of the registry", path.display())]
    Outside {
        /// The path.
        path: PathBuf,
    },
}

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

    /// The models that have at least one version, or whose versions cannot be read now, in order.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn models(&self) -> Result<Vec<ModelName>, StorageError> {
        let mut models = self.names_in::<ModelName>(&self.root)?;
        models.retain(|name| !self.versions(name).is_ok_and(|versions| versions.is_empty()));
        Ok(models)
    }

    /// The published versions of a model, oldest first; none for an unknown model.
    ///
    /// # Errors
    /// When its folder is there and cannot be read.
    pub fn versions(&self, name: &ModelName) -> Result<Vec<ModelVersion>, StorageError> {
        let mut versions = self.names_in::<ModelVersion>(&self.model_folder(name))?;
        versions.retain(|version| match fs::metadata(self.manifest_path(name, version)) {
            Ok(data) => data.is_file(),
            Err(error) => !is_absent(&error),
        });
        Ok(versions)
    }

    /// A version's manifest and its digest.
    ///
    /// # Errors
    /// When the version is unknown or its manifest does not read.
    pub fn manifest(
        &self,
        name: &ModelName,
        version: &ModelVersion,
    ) -> Result<(Manifest, Digest), StorageError> {
        let bytes = self.manifest_bytes(name, version)?;
        Ok((read_manifest(&bytes)?, Digest::of(&bytes)))
    }

    /// A whole version, every file held against its digest.
    ///
    /// # Errors
    /// When the version is unknown, or a file is missing, damaged or truncated.
    pub fn bundle(&self, name: &ModelName, version: &ModelVersion) -> Result<Bundle, StorageError> {
        let manifest = self.manifest_bytes(name, version)?;
        let folder = self.version_folder(name, version);
        Bundle::open(manifest, |file, entry| {
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
        })
    }

    /// A model's aliases. Where there is no file, the champion is the oldest version.
    ///
    /// # Errors
    /// When the file does not read.
    pub fn aliases(&self, name: &ModelName) -> Result<Aliases, StorageError> {
        Ok(match self.aliases_file(name)? {
            Some(aliases) => aliases,
            None => self.default_aliases(name)?,
        })
    }

    /// The content of the alias file, if there is one.
    fn aliases_file(&self, name: &ModelName) -> Result<Option<Aliases>, StorageError> {
        let path = self.model_folder(name).join(ALIASES_FILE);
        let (resolved, bytes) = match self.regular_file(&path) {
            Err(StorageError::Io { source, .. }) if is_absent(&source) => return Ok(None),
            other => other?,
        };
        let unusable = |problem| StorageError::Aliases { path: path.clone(), problem };
        if bytes > MAX_ALIASES_BYTES {
            return Err(unusable(format!("it has {bytes} bytes, expected at most {MAX_ALIASES_BYTES}")));
        }
        let bytes = fs::read(&resolved).map_err(io_at("read", &path))?;
        Aliases::read(&bytes).map(Some).map_err(unusable)
    }

    fn default_aliases(&self, name: &ModelName) -> Result<Aliases, StorageError> {
        let mut aliases = Aliases::default();
        if let Some(oldest) = self.versions(name)?.first() {
            let folder = self.version_folder(name, oldest);
            let at = fs::metadata(&folder).and_then(|data| data.modified()).ok();
            let at = at.and_then(|at| at.try_into().ok()).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
            aliases.point(&Alias::champion(), oldest, crate::aliases::Action::Publish, "the registry", at);
        }
        Ok(aliases)
    }

    /// Changes a model's aliases under its lock, in one rename.
    ///
    /// # Errors
    /// When the model is unknown, the file does not read or write, or `change` refuses.
    pub fn change_aliases<E: From<StorageError>>(
        &self,
        name: &ModelName,
        change: impl FnOnce(&mut Aliases) -> Result<(), E>,
    ) -> Result<Aliases, E> {
        if self.versions(name)?.is_empty() {
            return Err(StorageError::UnknownModel { name: name.clone() }.into());
        }
        let _lock = self.lock(name)?;
        let mut aliases = self.aliases(name)?;
        change(&mut aliases)?;
        self.write_aliases(name, &aliases)?;
        Ok(aliases)
    }

    /// Something that differs when any file of a version does: names, lengths and times of change.
    pub(crate) fn fingerprint(
        &self,
        name: &ModelName,
        version: &ModelVersion,
    ) -> Vec<(PathBuf, u64, Option<std::time::SystemTime>)> {
        let folder = self.version_folder(name, version);
        let source = folder.join(serve_core::bundle::SOURCE_FOLDER);
        let entries = [folder, source].into_iter().filter_map(|folder| fs::read_dir(folder).ok()).flatten();
        let mut files: Vec<_> = entries
            .filter_map(|entry| {
                let entry = entry.ok()?;
                let data = entry.metadata().ok()?;
                Some((entry.path(), data.len(), data.modified().ok()))
            })
            .collect();
        files.sort();
        files
    }

    /// The folders in `folder` whose names are of a type, in order; none where there is no such folder. What leads out of
    /// the registry or nowhere is not seen.
    fn names_in<T: std::str::FromStr + Ord>(&self, folder: &Path) -> Result<Vec<T>, StorageError> {
        let entries = match fs::read_dir(folder) {
            Err(error) if is_absent(&error) && folder != self.root => return Ok(Vec::new()),
            entries => entries.map_err(io_at("read", folder))?,
        };
        let mut names = Vec::new();
        for entry in entries {
            let entry = entry.map_err(io_at("read", folder))?;
            let name = entry.file_name().to_str().and_then(|name| name.parse().ok());
            if let Some(name) = name
                && self.is_folder(entry.path())?
            {
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
