//! A deployment: one version loaded, proven on this machine and warmed. Immutable; whoever holds it sees one version,
//! whatever is promoted meanwhile.

use std::any::Any;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use serde_json::value::RawValue;
use serve_core::bundle::MODEL_FILE;
use serve_core::response::ModelInfo;
use serve_core::words::with_causes;
use serve_core::{
    Bundle, BundleError, Digest, LoadError, Manifest, ModelLoader, ModelName, ModelVersion, Pipeline,
    PredictError, Prediction, ProofError,
};
use thiserror::Error;

use crate::explanations::{Explanations, Lazy, ReadAgainError};
use crate::guard::{Guard, Reply};
use crate::lifecycle::VersionState;
use crate::slot::Slot;
use crate::storage::{Lease, Storage, StorageError};

/// How often the golden rows are run before a version answers anyone.
const WARM_UP_ROUNDS: usize = 3;

/// A version that may not serve. The old one goes on.
#[derive(Debug, Clone, Error)]
#[error("{name}@{version} is refused: {reason}")]
#[non_exhaustive]
pub struct RefusedError {
    /// The model.
    pub name: ModelName,
    /// The version.
    pub version: ModelVersion,
    /// Why, with every cause.
    pub reason: Arc<str>,
}

#[derive(Debug, Error)]
enum Refusal {
    #[error(transparent)]
    Storage(#[from] StorageError),
    #[error(transparent)]
    Bundle(#[from] BundleError),
    #[error(transparent)]
    Load(#[from] LoadError),
    #[error("its proof fails")]
    Proof(#[from] ProofError),
    #[error("the folder says {folder}, the manifest says {manifest}")]
    Elsewhere { folder: String, manifest: String },
    #[error("its loader panicked: {0}")]
    Panicked(String),
}

/// One version, ready to answer.
#[derive(Debug)]
pub struct Deployment {
    manifest: Manifest,
    digest: Digest,
    pipeline: Pipeline,
    loaded_at: jiff::Timestamp,
    load_time: Duration,
    row_cost: Duration,
    bytes: u64,
    memory: u64,
    explanations: Lazy,
    /// When it was last asked for, by the registry's clock.
    used: AtomicU64,
    /// Whether it was asked for otherwise than by an alias, so that it stays when no alias leads to it any more.
    asked: AtomicBool,
    guard: Slot<Option<Arc<Guard>>>,
    tied: OnceLock<Box<dyn Any + Send + Sync>>,
    written: OnceLock<Option<Box<RawValue>>>,
    _lease: Lease,
}

impl Deployment {
    /// Reads, verifies, loads, proves and warms a version. Takes as long as it takes; never call it on a request.
    ///
    /// # Errors
    /// [`RefusedError`] with the reason.
    pub fn load(
        storage: &dyn Storage,
        loader: &dyn ModelLoader,
        name: &ModelName,
        version: &ModelVersion,
    ) -> Result<Self, RefusedError> {
        Self::load_watched(storage, loader, name, version, &mut |_| {})
    }

    /// [`load`](Self::load), telling what it is at.
    ///
    /// # Errors
    /// As [`load`](Self::load).
    pub fn load_watched(
        storage: &dyn Storage,
        loader: &dyn ModelLoader,
        name: &ModelName,
        version: &ModelVersion,
        begin: &mut dyn FnMut(VersionState),
    ) -> Result<Self, RefusedError> {
        let attempt = std::panic::AssertUnwindSafe(|| Self::try_load(storage, loader, name, version, begin));
        let result = std::panic::catch_unwind(attempt).unwrap_or_else(|panic| {
            let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
            let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
            Err(Refusal::Panicked(text.unwrap_or_else(|| "no message".to_owned())))
        });
        result.map_err(|refusal| RefusedError {
            name: name.clone(),
            version: version.clone(),
            reason: with_causes(&refusal).into(),
        })
    }

    fn try_load(
        storage: &dyn Storage,
        loader: &dyn ModelLoader,
        name: &ModelName,
        version: &ModelVersion,
        begin: &mut dyn FnMut(VersionState),
    ) -> Result<Self, Refusal> {
        let start = Instant::now();
        begin(VersionState::Loading);
        let lease = storage.lease(name, version);
        let bundle = storage.bundle(name, version)?;
        let manifest = bundle.manifest();
        if (&manifest.name, &manifest.version) != (name, version) {
            let manifest = format!("{}@{}", manifest.name, manifest.version);
            return Err(Refusal::Elsewhere { folder: format!("{name}@{version}"), manifest });
        }
        let pipeline = loader.load(&bundle)?;
        let row_cost = prove(&bundle, &pipeline, begin)?;
        Ok(Self {
            manifest: manifest.clone(),
            digest: bundle.digest(),
            loaded_at: jiff::Timestamp::now(),
            load_time: start.elapsed(),
            row_cost,
            bytes: bundle.len_bytes(),
            memory: memory(&bundle, &pipeline),
            pipeline,
            explanations: Lazy::default(),
            used: AtomicU64::new(0),
            asked: AtomicBool::new(false),
            guard: Slot::new(None),
            tied: OnceLock::new(),
            written: OnceLock::new(),
            _lease: lease,
        })
    }

    /// The version's description.
    #[must_use]
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// The identity of its content.
    #[must_use]
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// What answers say of it, where they say nothing of their rows: JSON that is written once.
    pub fn written(&self) -> Option<&RawValue> {
        let write = || {
            let about = ModelInfo::new(&self.manifest, &self.digest, &[], 0);
            serde_json::value::to_raw_value(&about).ok()
        };
        self.written.get_or_init(write).as_deref()
    }

    /// What predicts.
    #[must_use]
    pub fn pipeline(&self) -> &Pipeline {
        &self.pipeline
    }

    /// When it became ready.
    #[must_use]
    pub fn loaded_at(&self) -> jiff::Timestamp {
        self.loaded_at
    }

    /// How long loading, proving and warming took.
    #[must_use]
    pub fn load_time(&self) -> Duration {
        self.load_time
    }

    /// What one row cost when the version was warmed, by which a caller tells work for its own thread from work for a
    /// pool.
    #[must_use]
    pub fn row_cost(&self) -> Duration {
        self.row_cost
    }

    /// What explains its predictions, if that was asked for before; see [`Registry::explanations`](crate::Registry).
    #[must_use]
    pub fn explanations(&self) -> Option<&Explanations> {
        self.explanations.get()
    }

    pub(crate) fn make_explanations(
        &self,
        storage: &dyn Storage,
        loader: &dyn ModelLoader,
    ) -> Result<&Explanations, ReadAgainError> {
        self.explanations.get_or_make(self, storage, loader)
    }

    /// Predicts one row of numbers in the signature's order; NaN means missing. While it is watched, a sample of the rows
    /// goes to its [guard](Self::guard).
    ///
    /// # Errors
    /// When the signature refuses the row, or its score is not finite.
    pub fn predict(&self, row: &[f64]) -> Result<Prediction, PredictError> {
        if let Some(guard) = self.guard() {
            guard.offer(|| {
                let row = row.to_vec();
                Box::new(move |either| either.pipeline.predict(&row).map_or(Reply::Error, Reply::Answer))
            });
        }
        self.pipeline.predict(row)
    }

    /// Runs the golden rows once more, so that caches are warm.
    ///
    /// # Errors
    /// [`RefusedError`] when an answer is not the one that was proven at loading, or the files cannot be read again.
    pub fn warm(&self, storage: &dyn Storage) -> Result<(), RefusedError> {
        let (name, version) = (&self.manifest.name, &self.manifest.version);
        let again =
            || -> Result<(), Refusal> { Ok(storage.bundle(name, version)?.golden()?.prove(&self.pipeline)?) };
        again().map_err(|refusal| RefusedError {
            name: name.clone(),
            version: version.clone(),
            reason: with_causes(&refusal).into(),
        })
    }

    /// Estimated bytes of memory.
    #[must_use]
    pub fn memory_bytes(&self) -> u64 {
        self.memory
    }

    /// Ties something to its life, at the first call: it is dropped with the deployment, off the request path. Who keeps
    /// something of a version elsewhere learns so that the version is gone.
    pub fn tie(&self, make: impl FnOnce() -> Box<dyn Any + Send + Sync>) {
        self.tied.get_or_init(make);
    }

    /// The guard window that it is watched in, if one is open.
    #[must_use]
    pub fn guard(&self) -> Option<Arc<Guard>> {
        self.guard.with(|guard| guard.as_ref().filter(|guard| guard.is_open()).cloned())
    }

    pub(crate) fn watch(&self, guard: Option<Arc<Guard>>) {
        drop(self.guard.store(guard));
    }

    /// Notes that it was asked for at `now`. A store to memory that others read happens once a tick of the clock.
    pub(crate) fn touch(&self, now: u64) {
        if self.used.load(Ordering::Relaxed) != now {
            self.used.store(now, Ordering::Relaxed);
        }
    }

    pub(crate) fn last_used(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }

    /// Notes that it was asked for by its version.
    pub(crate) fn ask(&self) {
        if !self.asked.load(Ordering::Relaxed) {
            self.asked.store(true, Ordering::Relaxed);
        }
    }

    pub(crate) fn was_asked_for(&self) -> bool {
        self.asked.load(Ordering::Relaxed)
    }

    /// Bytes of its bundle.
    #[must_use]
    pub fn bundle_bytes(&self) -> u64 {
        self.bytes
    }
}

/// What a loaded version takes: its trees as they are laid out for running, or the stored model where that is more, and its
/// description.
fn memory(bundle: &Bundle, pipeline: &Pipeline) -> u64 {
    let trees: usize = pipeline.tree_engines().iter().map(|engine| engine.memory_bytes()).sum();
    let stored = bundle.file(MODEL_FILE).map_or(0, <[u8]>::len);
    (trees.max(stored) + bundle.manifest_bytes().len()) as u64
}

/// The golden rows, more than once: the first round proves, the others warm caches and scratch memory. Answers with the
/// cost of a row in the last one, in which each is predicted alone and in a batch.
fn prove(
    bundle: &Bundle,
    pipeline: &Pipeline,
    begin: &mut dyn FnMut(VersionState),
) -> Result<Duration, Refusal> {
    let golden = bundle.golden()?;
    let mut round = Duration::ZERO;
    for at in 0..WARM_UP_ROUNDS {
        begin(if at == 0 { VersionState::Verifying } else { VersionState::Warming });
        let start = Instant::now();
        golden.prove(pipeline)?;
        round = start.elapsed();
    }
    let rows = u32::try_from(golden.rows.len()).unwrap_or(u32::MAX);
    Ok(round / rows.saturating_mul(2).max(1))
}
