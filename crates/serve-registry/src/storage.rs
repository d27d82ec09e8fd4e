//! The seam between the registry and where its bundles and aliases lie. A storage is synchronous and may block; the
//! registry calls it beside the serving path only.
//!
//! What every storage keeps: a version exists from the moment its manifest does, which is created last and only if absent;
//! a published version never changes; the aliases of a model change as a whole, and of two writers that read the same
//! state one has to read again. `tests/it/storage.rs` holds every storage to this.

use std::fmt;
use std::io;
use std::path::PathBuf;

use serve_core::{Bundle, BundleError, Digest, Manifest, ModelName, ModelVersion};
use thiserror::Error;

use crate::aliases::Aliases;
use crate::url::InvalidRegistryUrl;

/// Why the storage could not be read or changed.
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
    /// The object store refused, or did not answer.
    #[error("{location} cannot be {action}")]
    Remote {
        /// `read`, `written`, ….
        action: &'static str,
        /// The object or prefix, as a URL.
        location: String,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The alias file is not one.
    #[error("{location} cannot be used: {problem}")]
    Aliases {
        /// The file.
        location: String,
        /// Why.
        problem: String,
    },
    /// Others changed a model's aliases whenever this one was about to.
    #[error("the aliases of {name:?} were changed by others {attempts} times in a row; try again")]
    Contended {
        /// The model.
        name: ModelName,
        /// How often it was tried.
        attempts: u32,
    },
    /// What was said is no place for a registry.
    #[error(transparent)]
    Url(#[from] InvalidRegistryUrl),
    /// The storage cannot do that.
    #[error("{location} cannot be {action}: this kind of storage does not do that")]
    Unsupported {
        /// `signed`, ….
        action: &'static str,
        /// The storage.
        location: String,
    },
    /// Somebody else's attempt, which this one was part of, failed.
    #[error(transparent)]
    Shared(std::sync::Arc<StorageError>),
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

/// Why a version was not published.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum PublishError {
    /// It is published already; a published version never changes.
    #[error(
        "{name}@{version} is published already, and a published version never changes; choose another version"
    )]
    Exists {
        /// The model.
        name: ModelName,
        /// The version.
        version: ModelVersion,
    },
    /// Numbered versions and timestamps would mix.
    #[error(
        "{name} counts its versions like {existing}; {version} is of the other kind, and the kinds never mix"
    )]
    MixedKinds {
        /// The model.
        name: ModelName,
        /// The version refused.
        version: ModelVersion,
        /// A version that is there.
        existing: ModelVersion,
    },
    /// The storage could not be read or changed.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

/// Why a version was not deleted.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum DeleteError {
    /// An alias leads to it.
    #[error("{name}@{version} is not deleted: the alias {alias} points to it")]
    Aliased {
        /// The model.
        name: ModelName,
        /// The version.
        version: ModelVersion,
        /// The alias.
        alias: serve_core::Alias,
    },
    /// A running process has it loaded.
    #[error("{name}@{version} is not deleted: a running process has it loaded")]
    InUse {
        /// The model.
        name: ModelName,
        /// The version.
        version: ModelVersion,
    },
    /// The storage could not be read or changed.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

/// Something that differs when any file of a version does: names, lengths and a tag such as a time or an entity tag.
pub type Fingerprint = Vec<(String, u64, String)>;

/// Keeps a version from being deleted by other processes while it is held, where the storage can do that.
#[derive(Debug, Default)]
pub struct Lease(#[expect(dead_code, reason = "held, never read")] Option<std::fs::File>);

impl Lease {
    /// A lease that a lock on a file stands for.
    #[must_use]
    pub fn of(file: std::fs::File) -> Self {
        Self(Some(file))
    }
}

/// Decides about a change after it has seen the present state: whether the state as changed is to be written. May be called
/// again with a newer state when another writer came first.
pub type EditAliases<'a> = dyn FnMut(&mut Aliases) -> bool + 'a;

/// Where bundles and aliases lie.
///
/// [`models`](Self::models) looks anew; a storage for which looking is dear may answer [`versions`](Self::versions),
/// [`aliases`](Self::aliases), [`stamp`](Self::stamp) and [`fingerprint`](Self::fingerprint) from what was seen then, with
/// its own changes since. What changes something always looks anew.
pub trait Storage: fmt::Debug + Send + Sync {
    /// What people call the place: a path or a URL.
    fn location(&self) -> String;

    /// The models that have at least one version, or whose versions cannot be read now, in order.
    ///
    /// # Errors
    /// When the registry as a whole cannot be read.
    fn models(&self) -> Result<Vec<ModelName>, StorageError>;

    /// The names under which models may lie, in order: those of [`models`](Self::models), and others where looking closer
    /// would cost more than listing.
    ///
    /// # Errors
    /// As [`models`](Self::models).
    fn candidates(&self) -> Result<Vec<ModelName>, StorageError> {
        self.models()
    }

    /// The published versions of a model, oldest first; none for an unknown model.
    ///
    /// # Errors
    /// When it is there and cannot be read.
    fn versions(&self, name: &ModelName) -> Result<Vec<ModelVersion>, StorageError>;

    /// A version's manifest and its digest.
    ///
    /// # Errors
    /// When the version is unknown or its manifest does not read.
    fn manifest(&self, name: &ModelName, version: &ModelVersion) -> Result<(Manifest, Digest), StorageError>;

    /// A whole version, every file held against its digest, with its [signature](Self::signature) where it has one.
    ///
    /// # Errors
    /// When the version is unknown, or a file is missing, damaged or truncated.
    fn bundle(&self, name: &ModelName, version: &ModelVersion) -> Result<Bundle, StorageError>;

    /// The content of a version's `manifest.sig`, if it has one. A storage that reads it without the whole version says how.
    ///
    /// # Errors
    /// When it is there and cannot be read.
    fn signature(&self, name: &ModelName, version: &ModelVersion) -> Result<Option<Vec<u8>>, StorageError> {
        Ok(self.bundle(name, version)?.signature().map(<[u8]>::to_vec))
    }

    /// Puts a signature beside a published version's manifest, in place of the one that is there.
    ///
    /// # Errors
    /// When the version is unknown, or the signature cannot be written.
    fn sign(&self, name: &ModelName, version: &ModelVersion, signature: &[u8]) -> Result<(), StorageError> {
        let _ = signature;
        let location = format!("{}/{name}/{version}", self.location());
        Err(StorageError::Unsupported { action: "signed", location })
    }

    /// A model's aliases. Where there is no file, the champion is the oldest version.
    ///
    /// # Errors
    /// When the file does not read.
    fn aliases(&self, name: &ModelName) -> Result<Aliases, StorageError>;

    /// Changes a model's aliases as a whole; see [`EditAliases`]. Answers with the state as written, or nothing where the
    /// edit decided against it. Use [`change_aliases`].
    ///
    /// # Errors
    /// When the model is unknown, or its aliases do not read or write.
    fn edit_aliases(
        &self,
        name: &ModelName,
        edit: &mut EditAliases<'_>,
    ) -> Result<Option<Aliases>, StorageError>;

    /// Publishes a version: its files, its [signature](Bundle::signature) if it has one, its manifest. The first one of a
    /// model becomes its champion.
    ///
    /// # Errors
    /// When the version exists, is of the other kind than the model's others, or cannot be written.
    fn publish(&self, bundle: &Bundle, by: &str) -> Result<(), PublishError>;

    /// Deletes a version that no alias leads to and, where the storage can tell, no process has loaded.
    ///
    /// # Errors
    /// When it is unknown, in use, or cannot be deleted.
    fn delete(&self, name: &ModelName, version: &ModelVersion) -> Result<(), DeleteError>;

    /// Whether a running process has the version loaded, where the storage can tell.
    fn in_use(&self, name: &ModelName, version: &ModelVersion) -> bool {
        let _ = (name, version);
        false
    }

    /// What a version's files look like now, its signature among them.
    fn fingerprint(&self, name: &ModelName, version: &ModelVersion) -> Fingerprint;

    /// Something that differs when a model's versions or aliases do, cheaper than reading them; `None` where it cannot be
    /// told for sure, so that they have to be read.
    fn stamp(&self, name: &ModelName) -> Option<Fingerprint>;

    /// A lease on a version that is about to be loaded.
    fn lease(&self, name: &ModelName, version: &ModelVersion) -> Lease;
}

/// Changes a model's aliases as a whole. `change` sees the present state, and may be called again with a newer one when
/// another writer came first; what it refuses is not written.
///
/// # Errors
/// What `change` refused, or as [`Storage::edit_aliases`].
pub fn change_aliases<E: From<StorageError>>(
    storage: &dyn Storage,
    name: &ModelName,
    mut change: impl FnMut(&mut Aliases) -> Result<(), E>,
) -> Result<Aliases, E> {
    let mut refused = None;
    let changed = storage.edit_aliases(name, &mut |aliases| {
        refused = change(aliases).err();
        refused.is_none()
    });
    match (refused, changed?) {
        (Some(error), _) => Err(error),
        (None, Some(aliases)) => Ok(aliases),
        (None, None) => Err(StorageError::UnknownModel { name: name.clone() }.into()),
    }
}
