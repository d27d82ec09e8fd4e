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

use serve_core::bundle::{BundleError, MANIFEST_FILE, read_manifest};
use serve_core::{Alias, Bundle, Digest, Manifest, ModelName, ModelVersion};
use thiserror::Error;

use crate::aliases::Aliases;

pub use publish::PublishError;

const ALIASES_FILE: &str = "aliases.json";
const LOCK_FILE: &str = ".lock";

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
        Self::open(root)
    }

    /// The folder.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The models that have at least one version, in order.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn models(&self) -> Result<Vec<ModelName>, StorageError> {
        let mut models = self.names_in::<ModelName>(&self.root)?;
        models.retain(|name| self.versions(name).is_ok_and(|versions| !versions.is_empty()));
        Ok(models)
    }

    /// The published versions of a model, oldest first; none for an unknown model.
    ///
    /// # Errors
    /// When its folder cannot be read.
    pub fn versions(&self, name: &ModelName) -> Result<Vec<ModelVersion>, StorageError> {
        let folder = self.model_folder(name);
        if !folder.is_dir() {
            return Ok(Vec::new());
        }
        let mut versions = self.names_in::<ModelVersion>(&folder)?;
        versions.retain(|version| self.manifest_path(name, version).is_file());
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
            let path = self.inside(folder.join(file)).map_err(|error| match error {
                StorageError::Io { source, .. } if source.kind() == io::ErrorKind::NotFound => {
                    BundleError::Missing { name: file.to_owned() }.into()
                }
                other => other,
            })?;
            let got = fs::metadata(&path).map_err(io_at("read", &path))?.len();
            if got != entry.bytes {
                return Err(BundleError::Length { name: file.to_owned(), expected: entry.bytes, got }.into());
            }
            fs::read(&path).map_err(io_at("read", &path))
        })
    }

    /// A model's aliases. Where there is no file, the champion is the oldest version.
    ///
    /// # Errors
    /// When the file does not read.
    pub fn aliases(&self, name: &ModelName) -> Result<Aliases, StorageError> {
        let path = self.model_folder(name).join(ALIASES_FILE);
        match fs::read(&path) {
            Ok(bytes) => Aliases::read(&bytes).map_err(|problem| StorageError::Aliases { path, problem }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(self.default_aliases(name)?),
            Err(error) => Err(io_at("read", &path)(error)),
        }
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

    fn names_in<T: std::str::FromStr + Ord>(&self, folder: &Path) -> Result<Vec<T>, StorageError> {
        let mut names = Vec::new();
        for entry in fs::read_dir(folder).map_err(io_at("read", folder))? {
            let entry = entry.map_err(io_at("read", folder))?;
            let name = entry.file_name().to_str().and_then(|name| name.parse().ok());
            if let Some(name) = name
                && self.inside(entry.path()).is_ok_and(|path| path.is_dir())
            {
                names.push(name);
            }
        }
        names.sort();
        Ok(names)
    }

    /// The path with links resolved, which must lie inside the root.
    fn inside(&self, path: PathBuf) -> Result<PathBuf, StorageError> {
        let resolved = path.canonicalize().map_err(io_at("read", &path))?;
        if resolved.starts_with(&self.root) { Ok(resolved) } else { Err(StorageError::Outside { path }) }
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
        match fs::read(self.inside(path.clone()).unwrap_or_else(|_| path.clone())) {
            Ok(bytes) => {
                self.inside(path)?;
                Ok(bytes)
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                if self.versions(name)?.is_empty() {
                    Err(StorageError::UnknownModel { name: name.clone() })
                } else {
                    Err(StorageError::UnknownVersion { name: name.clone(), version: version.clone() })
                }
            }
            Err(error) => Err(io_at("read", &path)(error)),
        }
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
