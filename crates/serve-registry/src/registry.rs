//! All models of a registry, and how they change.
//!
//! Readers resolve a reference to a deployment without waiting for anyone. Versions are loaded and proven by threads of the
//! registry, each once however many ask for it; snapshots are replaced under one lock that is held for a pointer store
//! and never while something loads. Order of locks: a model's lock in the storage, then the writer's.

mod change;
mod error;
mod follow;
mod guarding;
mod load;
mod outcome;
mod publication;
mod reading;
mod rehearsal;
mod successor;
mod threads;

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::sync_channel;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Instant;

use serve_core::{
    EngineLoader, InvalidName, Manifest, ModelLoader, ModelName, ModelRef, ModelVersion, Selector,
};

pub use change::PromoteError;
pub use error::{DeploymentError, OpenError};
pub use outcome::{ReloadOutcome, ReloadStatus};

use crate::cache::{Cache, CacheStats};
use crate::config::Options;
use crate::deployment::{Deployment, RefusedError};
use crate::directory::Directory;
use crate::explanations::{Explanations, ReadAgainError};
use crate::handle::Handle;
use crate::lifecycle::{Lifecycle, Lifecycles};
use crate::reaper::Reaper;
use crate::slot::Slot;
use crate::snapshot::{ModelSnapshot, Resolution};
use crate::storage::{Storage, StorageError};
use crate::summary::Names;
use crate::sync::coalesce::Coalesce;
use load::Loads;
pub use load::Unloaded;
use publication::{Catalog, Writer};
use threads::Threads;

/// What names a deployment: a [`ModelRef`], or text such as `name`, `name@alias` or `name@version`.
pub trait ToReference {
    /// The reference.
    ///
    /// # Errors
    /// When the text is none.
    fn to_reference(&self) -> Result<ModelRef, InvalidName>;
}

impl ToReference for &ModelRef {
    fn to_reference(&self) -> Result<ModelRef, InvalidName> {
        Ok((*self).clone())
    }
}

impl ToReference for &str {
    fn to_reference(&self) -> Result<ModelRef, InvalidName> {
        self.parse()
    }
}

/// What loading a version came to.
pub(crate) type Outcome = Result<Arc<Deployment>, DeploymentError>;

/// What a refresh of everything came to; shared by all who asked for it.
type Refreshed = Result<Arc<Vec<ReloadOutcome>>, Arc<StorageError>>;

/// What the registry's threads share with it.
pub(crate) struct Shared {
    /// For callbacks that must not keep it alive.
    this: Weak<Shared>,
    storage: Arc<dyn Storage>,
    loader: Box<dyn ModelLoader>,
    options: Options,
    catalog: Slot<Catalog>,
    /// Invariant: held while the catalog or any snapshot is replaced, so each has one writer. Never held while something
    /// is read or loaded.
    writer: Mutex<Writer>,
    loads: Loads,
    cache: Cache,
    lifecycles: Arc<Lifecycles>,
    names: Names,
    reloading: Coalesce<Refreshed>,
    /// Invariant: held while the storage is followed, so that nobody follows an older state than somebody else.
    following: Mutex<()>,
    /// Why the storage could not be read when it was last looked at.
    trouble: Mutex<Option<Arc<str>>>,
    reaper: Reaper,
    opened: Instant,
    /// Milliseconds since then, as coarse as the keeper's steps.
    clock: AtomicU64,
}

/// A registry of models; see the module.
pub struct Registry {
    shared: Arc<Shared>,
    threads: Threads,
}

impl std::fmt::Debug for Registry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Registry").field("storage", &self.shared.storage).finish_non_exhaustive()
    }
}

impl Registry {
    /// Opens the registry in a folder with the native engine, and loads what its champions are.
    ///
    /// A version that is refused does not fail the opening; see [`models`](Self::models).
    ///
    /// # Errors
    /// When the folder is not there or cannot be read.
    pub fn open(root: impl AsRef<Path>) -> Result<Self, OpenError> {
        Self::with(Directory::open(root.as_ref())?, Box::new(EngineLoader), Options::default())
    }

    /// Opens a registry with a storage and a loader of the caller's.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn with(
        storage: impl Storage + 'static,
        loader: Box<dyn ModelLoader>,
        options: Options,
    ) -> Result<Self, OpenError> {
        Self::with_storage(Arc::new(storage), loader, options)
    }

    /// Opens a registry with a storage that is shared.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn with_storage(
        storage: Arc<dyn Storage>,
        loader: Box<dyn ModelLoader>,
        options: Options,
    ) -> Result<Self, OpenError> {
        let reaper = Reaper::start().map_err(OpenError::Thread)?;
        let shared = Arc::new_cyclic(|this| Shared {
            this: Weak::clone(this),
            storage,
            loader,
            catalog: Slot::new(Catalog::default()),
            writer: Mutex::default(),
            loads: Loads::new(options.cache.max_waiting),
            cache: Cache::new(options.cache),
            lifecycles: Arc::default(),
            names: Names::default(),
            reloading: Coalesce::new(),
            following: Mutex::default(),
            trouble: Mutex::default(),
            reaper,
            opened: Instant::now(),
            clock: AtomicU64::new(0),
            options,
        });
        let threads = Threads::start(&shared).map_err(OpenError::Thread)?;
        let registry = Self { shared, threads };
        registry.shared.open()?;
        Ok(registry)
    }

    /// Where bundles and aliases lie.
    #[must_use]
    pub fn storage(&self) -> &dyn Storage {
        &*self.shared.storage
    }

    /// How its models are held.
    #[must_use]
    pub fn options(&self) -> &Options {
        &self.shared.options
    }

    /// The deployment that a reference means, if it is loaded. Never blocks on a load and does no I/O.
    ///
    /// # Errors
    /// When there is no such version, or it is refused or [not loaded](DeploymentError::NotLoaded).
    pub fn resolve(&self, reference: &ModelRef) -> Result<Arc<Deployment>, DeploymentError> {
        self.shared.resolve(reference)
    }

    /// The deployment that a reference means, loaded if need be. May block for as long as loading takes, at most
    /// `load_timeout`.
    ///
    /// # Errors
    /// When there is no such version, it is refused, or it is not loaded in time.
    pub fn deployment(&self, reference: impl ToReference) -> Result<Arc<Deployment>, DeploymentError> {
        let reference = reference.to_reference()?;
        match self.shared.resolve(&reference) {
            Err(DeploymentError::NotLoaded { name, version }) => self.wait_for(reference, name, version),
            resolved => resolved,
        }
    }

    fn wait_for(&self, reference: ModelRef, name: ModelName, version: ModelVersion) -> Outcome {
        let (sender, receiver) = sync_channel(1);
        self.request(reference, move |outcome| drop(sender.send(outcome)));
        let limit = self.shared.cache.limits().load_timeout;
        match receiver.recv_timeout(limit) {
            Ok(outcome) => outcome,
            Err(std::sync::mpsc::RecvTimeoutError::Disconnected) => Err(DeploymentError::Closed),
            Err(std::sync::mpsc::RecvTimeoutError::Timeout) => {
                Err(DeploymentError::TimedOut { name, version, seconds: limit.as_secs_f64() })
            }
        }
    }

    /// [`deployment`](Self::deployment) for callers that must not block: `done` is called once, at once where the version
    /// is loaded, else on a thread of the registry, where it must not block either. It is dropped without a call where
    /// the registry is closed meanwhile.
    pub fn request(&self, reference: ModelRef, done: impl FnOnce(Outcome) + Send + 'static) {
        Arc::clone(&self.shared).request(reference, Box::new(done));
    }

    /// What reads one alias of one model again and again without looking either up.
    ///
    /// # Errors
    /// When the reference is none, or there is no such model.
    pub fn handle(&self, reference: impl ToReference) -> Result<Handle, DeploymentError> {
        let ModelRef { name, selector } = reference.to_reference()?;
        let slot = self.shared.slot(&name);
        let slot = slot.ok_or_else(|| DeploymentError::UnknownModel { name: name.clone() })?;
        Ok(Handle::new(Arc::clone(&self.shared), slot, ModelRef { name, selector }))
    }

    /// What explains the predictions of a deployment, made at the first call: it reads the bundle's files again and
    /// explains the golden rows, so it belongs on a thread that may block. Many first calls make it once.
    ///
    /// # Errors
    /// When the files cannot be read, or have changed.
    pub fn explanations<'a>(&self, deployment: &'a Deployment) -> Result<&'a Explanations, ReadAgainError> {
        match deployment.explanations() {
            Some(made) => Ok(made),
            None => deployment.make_explanations(&*self.shared.storage, &*self.shared.loader),
        }
    }

    /// Every model at this moment, in order of name.
    #[must_use]
    pub fn models(&self) -> Vec<Arc<ModelSnapshot>> {
        let catalog = self.shared.catalog.load();
        let mut models: Vec<_> = catalog.models.values().map(|slot| slot.load()).collect();
        models.sort_by(|a, b| a.name.cmp(&b.name));
        models
    }

    /// One model at this moment.
    #[must_use]
    pub fn model(&self, name: &str) -> Option<Arc<ModelSnapshot>> {
        self.shared.catalog.with(|catalog| catalog.models.get(name).map(|slot| slot.load()))
    }

    /// The description of a version, from memory where it is loaded, else from the storage.
    ///
    /// # Errors
    /// When it is not there or does not read.
    pub fn manifest(&self, name: &ModelName, version: &ModelVersion) -> Result<Manifest, StorageError> {
        let loaded = self.model(name.as_str()).and_then(|model| model.deployments.get(version).cloned());
        match loaded {
            Some(deployment) => Ok(deployment.manifest().clone()),
            None => Ok(self.shared.storage.manifest(name, version)?.0),
        }
    }

    /// What a version went through since this registry was opened.
    #[must_use]
    pub fn lifecycle(&self, name: &ModelName, version: &ModelVersion) -> Option<Lifecycle> {
        self.shared.lifecycles.get(&(name.clone(), version.clone()))
    }

    /// Why the storage could not be read when it was last looked at; what is loaded serves on.
    #[must_use]
    pub fn trouble(&self) -> Option<Arc<str>> {
        self.shared.trouble.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What is loaded, and what happened to the cache so far.
    #[must_use]
    pub fn cache_stats(&self) -> CacheStats {
        self.shared.cache.stats(self.shared.now(), self.shared.loads.in_flight())
    }

    /// The names of the models of a feature set and a model type, either of which may be left open.
    #[must_use]
    pub fn find(&self, feature_set: Option<&str>, model_type: Option<&str>) -> Vec<ModelName> {
        self.shared.catalog.with(|catalog| {
            let sets =
                catalog.index.iter().filter(|(set, _)| feature_set.is_none_or(|wanted| wanted == *set));
            let types = sets.flat_map(|(_, types)| types);
            let found = types.filter(|(kind, _)| model_type.is_none_or(|wanted| wanted == *kind));
            let mut names: Vec<_> = found.flat_map(|(_, names)| names).cloned().collect();
            names.sort();
            names
        })
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        self.shared.loads.close();
        self.threads.stop();
    }
}

impl Shared {
    pub(crate) fn resolve(&self, reference: &ModelRef) -> Outcome {
        let resolution = self.catalog.with(|catalog| {
            let slot = catalog.models.get(&reference.name)?;
            Some(slot.with(|snapshot| snapshot.resolve(&reference.selector)))
        });
        let unknown = || DeploymentError::UnknownModel { name: reference.name.clone() };
        self.outcome(reference, resolution.ok_or_else(unknown)?)
    }

    /// What a resolution means for whoever asked.
    pub(crate) fn outcome(&self, reference: &ModelRef, resolution: Resolution) -> Outcome {
        let name = || reference.name.clone();
        match resolution {
            Resolution::Ready(deployment) => {
                deployment.touch(self.now());
                self.cache.hit();
                if !matches!(reference.selector, Selector::Alias(_)) {
                    deployment.ask();
                    self.cache.touch(&(name(), deployment.manifest().version.clone()));
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

    /// The registry's clock: milliseconds since it was opened, as of the keeper's last step.
    pub(crate) fn now(&self) -> u64 {
        self.clock.load(Ordering::Relaxed)
    }

    fn tick(&self) -> u64 {
        let now = u64::try_from(self.opened.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.clock.store(now, Ordering::Relaxed);
        now
    }

    fn writer(&self) -> MutexGuard<'_, Writer> {
        // Writers publish whole snapshots; a panic before that leaves the old ones.
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn slot(&self, name: &ModelName) -> Option<Arc<Slot<ModelSnapshot>>> {
        self.catalog.with(|catalog| catalog.models.get(name).cloned())
    }

    fn snapshot(&self, name: &ModelName) -> Option<Arc<ModelSnapshot>> {
        self.catalog.with(|catalog| catalog.models.get(name).map(|slot| slot.load()))
    }
}
