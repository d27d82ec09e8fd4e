//! All models of a registry, and how they change.
//!
//! Readers resolve a reference to a deployment without waiting for anyone. Every change (load, reload, promote, rollback)
//! runs under one lock, beside the serving path: it reads and proves first, then stores one pointer per model. Because the
//! lock is taken before the folder is read, a hundred reloads at once load once: the others find nothing to do.

mod change;
mod refresh;

use std::collections::{BTreeMap, HashMap};
use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use lru::LruCache;
use serve_core::{Alias, EngineLoader, ModelLoader, ModelName, ModelRef, ModelVersion, Selector};
use thiserror::Error;

pub use change::PromoteError;
pub use refresh::{ReloadOutcome, ReloadStatus};

use crate::config::CacheConfig;
use crate::deployment::{Deployment, RefusedError};
use crate::directory::Directory;
use crate::explanations::{Explanations, ReadAgainError};
use crate::reaper::Reaper;
use crate::slot::Slot;
use crate::snapshot::{ModelSnapshot, Refusal, Resolution};
use crate::storage::Fingerprint;
use crate::storage::StorageError;

/// Why a reference leads to no deployment.
#[derive(Debug, Clone, Error)]
#[non_exhaustive]
pub enum DeploymentError {
    /// There is no such model.
    #[error("unknown model {name:?}")]
    UnknownModel {
        /// The model.
        name: ModelName,
    },
    /// The model has no such version.
    #[error("model {name:?} has no version {version:?}")]
    UnknownVersion {
        /// The model.
        name: ModelName,
        /// The version.
        version: ModelVersion,
    },
    /// The model has no such alias.
    #[error("model {name:?} has no alias {alias:?}")]
    UnknownAlias {
        /// The model.
        name: ModelName,
        /// The alias.
        alias: Alias,
    },
    /// `latest`, `previous` or `best` means no version of this model.
    #[error("model {name:?} has no such version: {reason}")]
    Nothing {
        /// The model.
        name: ModelName,
        /// Why not.
        reason: &'static str,
    },
    /// The model's folder cannot be read, so nobody knows what it has.
    #[error("model {name:?} cannot be read: {reason}")]
    Unreadable {
        /// The model.
        name: ModelName,
        /// Why, with every cause.
        reason: Arc<str>,
    },
    /// The version is there and not loaded; [`Registry::deployment`] loads it, off the request path.
    #[error("{name}@{version} is not loaded yet")]
    NotLoaded {
        /// The model.
        name: ModelName,
        /// The version.
        version: ModelVersion,
    },
    /// The version may not serve.
    #[error(transparent)]
    Refused(#[from] RefusedError),
}

/// Why a registry does not open.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum OpenError {
    /// Its folder cannot be read.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// The thread that frees replaced versions does not start.
    #[error("a thread cannot be started")]
    Thread(#[source] std::io::Error),
}

/// Model names by feature set, then by model type.
type Index = BTreeMap<String, BTreeMap<String, Vec<ModelName>>>;

#[derive(Debug, Default)]
struct Catalog {
    models: HashMap<ModelName, Arc<Slot<ModelSnapshot>>>,
    index: Index,
}

/// What only a writer touches.
#[derive(Debug)]
struct Writer {
    /// What a refused version looked like, so that polling tries it again only after it changed.
    seen_refused: HashMap<(ModelName, ModelVersion), Fingerprint>,
}

/// A registry of models; see the module.
pub struct Registry {
    directory: Directory,
    loader: Box<dyn ModelLoader>,
    catalog: Slot<Catalog>,
    /// Invariant: held while the catalog or any snapshot is replaced, so each has one writer.
    writer: Mutex<Writer>,
    /// Versions loaded because somebody asked for them and not for an alias, least recently used first to go. The lock is
    /// held for a look-up only, and only on requests that ask so.
    explicit: Mutex<LruCache<(ModelName, ModelVersion), ()>>,
    reaper: Reaper,
}

impl std::fmt::Debug for Registry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Registry").field("directory", &self.directory).finish_non_exhaustive()
    }
}

impl Registry {
    /// Opens the registry in a folder with the native engine, and loads what aliases point to.
    ///
    /// A version that is refused does not fail the opening; see [`models`](Self::models).
    ///
    /// # Errors
    /// When the folder is not there or cannot be read.
    pub fn open(root: impl AsRef<Path>) -> Result<Self, OpenError> {
        let directory = Directory::open(root.as_ref())?;
        Self::with_loader(directory, Box::new(EngineLoader), CacheConfig::default())
    }

    /// Opens a registry with a loader of the caller's.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn with_loader(
        directory: Directory,
        loader: Box<dyn ModelLoader>,
        cache: CacheConfig,
    ) -> Result<Self, OpenError> {
        let capacity: NonZeroUsize = cache.max_models;
        let registry = Self {
            directory,
            loader,
            catalog: Slot::new(Catalog::default()),
            writer: Mutex::new(Writer { seen_refused: HashMap::new() }),
            explicit: Mutex::new(LruCache::new(capacity)),
            reaper: Reaper::start().map_err(OpenError::Thread)?,
        };
        registry.reload()?;
        Ok(registry)
    }

    /// The folder.
    #[must_use]
    pub fn directory(&self) -> &Directory {
        &self.directory
    }

    /// The deployment that a reference means, if it is loaded. Never blocks on a load and does no I/O.
    ///
    /// # Errors
    /// When there is no such version, or it is refused or [not loaded](DeploymentError::NotLoaded).
    pub fn resolve(&self, reference: &ModelRef) -> Result<Arc<Deployment>, DeploymentError> {
        let resolution = self.catalog.with(|catalog| {
            let slot = catalog.models.get(&reference.name)?;
            Some(slot.with(|snapshot| snapshot.resolve(&reference.selector)))
        });
        let name = || reference.name.clone();
        match resolution.ok_or_else(|| DeploymentError::UnknownModel { name: name() })? {
            Resolution::Ready(deployment) => {
                if !matches!(reference.selector, Selector::Alias(_)) {
                    self.touch(&deployment);
                }
                Ok(deployment)
            }
            Resolution::NotLoaded(version) => Err(DeploymentError::NotLoaded { name: name(), version }),
            Resolution::Refused(version, refusal) => {
                Err(RefusedError { name: name(), version, reason: refusal.reason }.into())
            }
            Resolution::UnknownAlias(alias) => Err(DeploymentError::UnknownAlias { name: name(), alias }),
            Resolution::UnknownVersion(version) => {
                Err(DeploymentError::UnknownVersion { name: name(), version })
            }
            Resolution::Unreadable(reason) => Err(DeploymentError::Unreadable { name: name(), reason }),
            Resolution::Nothing(reason) => Err(DeploymentError::Nothing { name: name(), reason }),
        }
    }

    /// The deployment that a reference means, loaded if need be. May block for as long as loading takes.
    ///
    /// # Errors
    /// When there is no such version, or it is refused.
    pub fn deployment(&self, reference: &ModelRef) -> Result<Arc<Deployment>, DeploymentError> {
        loop {
            let (name, version) = match self.resolve(reference) {
                Err(DeploymentError::NotLoaded { name, version }) => (name, version),
                resolved => return resolved,
            };
            match self.load_explicit(&name, &version) {
                // A refused version is neither the latest nor the best any more: another one is. Each turn refuses one.
                Err(DeploymentError::Refused(_))
                    if matches!(reference.selector, Selector::Latest | Selector::Best) => {}
                loaded => return loaded,
            }
        }
    }

    /// What explains the predictions of a deployment, made at the first call: it reads the bundle's files again and
    /// explains the golden rows, so it belongs on a thread that may block. Many first calls make it once.
    ///
    /// # Errors
    /// When the files cannot be read, or have changed.
    pub fn explanations<'a>(&self, deployment: &'a Deployment) -> Result<&'a Explanations, ReadAgainError> {
        match deployment.explanations() {
            Some(made) => Ok(made),
            None => deployment.make_explanations(&self.directory, &*self.loader),
        }
    }

    /// Every model at this moment, in order of name.
    #[must_use]
    pub fn models(&self) -> Vec<Arc<ModelSnapshot>> {
        let catalog = self.catalog.load();
        let mut models: Vec<_> = catalog.models.values().map(|slot| slot.load()).collect();
        models.sort_by(|a, b| a.name.cmp(&b.name));
        models
    }

    /// One model at this moment.
    #[must_use]
    pub fn model(&self, name: &str) -> Option<Arc<ModelSnapshot>> {
        self.catalog.with(|catalog| catalog.models.get(name).map(|slot| slot.load()))
    }

    /// The names of the models of a feature set and a model type, either of which may be left open.
    #[must_use]
    pub fn find(&self, feature_set: Option<&str>, model_type: Option<&str>) -> Vec<ModelName> {
        self.catalog.with(|catalog| {
            let sets =
                catalog.index.iter().filter(|(set, _)| feature_set.is_none_or(|wanted| wanted == *set));
            let types = sets.flat_map(|(_, types)| types);
            let found = types.filter(|(kind, _)| model_type.is_none_or(|wanted| wanted == *kind));
            let mut names: Vec<_> = found.flat_map(|(_, names)| names).cloned().collect();
            names.sort();
            names
        })
    }

    fn touch(&self, deployment: &Deployment) {
        let manifest = deployment.manifest();
        let key = (manifest.name.clone(), manifest.version.clone());
        self.explicit().promote(&key);
    }

    fn explicit(&self) -> MutexGuard<'_, LruCache<(ModelName, ModelVersion), ()>> {
        // A panic while the lock is held cannot leave a list of names half changed.
        self.explicit.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn writer(&self) -> MutexGuard<'_, Writer> {
        // Writers publish whole snapshots; a panic before that leaves the old ones.
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn slot(&self, name: &ModelName) -> Option<Arc<Slot<ModelSnapshot>>> {
        self.catalog.with(|catalog| catalog.models.get(name).cloned())
    }

    /// Publishes a snapshot with one pointer store and hands what it replaced to the reaper.
    fn publish_snapshot(&self, slot: &Slot<ModelSnapshot>, snapshot: ModelSnapshot) {
        let kept: Vec<_> = snapshot.deployments.values().cloned().collect();
        let old = slot.store(snapshot);
        self.retire(&old, &kept);
    }

    /// Keeps a refusal, so that a version is proven again only when asked to or after its files changed.
    fn refuse(
        &self,
        slot: &Slot<ModelSnapshot>,
        writer: &mut Writer,
        error: &RefusedError,
        fingerprint: Fingerprint,
    ) {
        writer.seen_refused.insert((error.name.clone(), error.version.clone()), fingerprint);
        let mut snapshot = (*slot.load()).clone();
        let refusal = Refusal { reason: Arc::clone(&error.reason), at: jiff::Timestamp::now() };
        snapshot.refused.insert(error.version.clone(), refusal);
        self.publish_snapshot(slot, snapshot);
    }

    fn retire(&self, old: &ModelSnapshot, kept: &[Arc<Deployment>]) {
        for deployment in old.deployments.values() {
            if !kept.iter().any(|other| Arc::ptr_eq(other, deployment)) {
                self.reaper.retire(Arc::clone(deployment));
            }
        }
    }

    /// Makes the index anew and publishes it with the list of models.
    fn publish_catalog(&self, models: HashMap<ModelName, Arc<Slot<ModelSnapshot>>>) {
        let mut index = Index::new();
        for (name, slot) in &models {
            slot.with(|snapshot| {
                let Some(manifest) = snapshot.manifest() else { return };
                let set = manifest.feature_set.clone().unwrap_or_default();
                let kind = manifest.model_type.clone().unwrap_or_default();
                index.entry(set).or_default().entry(kind).or_default().push(name.clone());
            });
        }
        self.catalog.store(Catalog { models, index });
    }
}
