//! What is kept of a version that is not loaded: enough to list it, to find it and to choose the best, and no more. Ten
//! thousand models cost an index.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use serve_core::bundle::MODEL_FILE;
use serve_core::manifest::{GoldenSummary, Metrics};
use serve_core::{Digest, Manifest};

/// A version's manifest in short.
#[derive(Debug, Clone)]
pub struct VersionSummary {
    /// The identity of its content.
    pub digest: Digest,
    /// Its feature set.
    pub feature_set: Option<String>,
    /// Its kind of model.
    pub model_type: Option<String>,
    /// What its held-out rows said.
    pub metrics: Metrics,
    /// When it was trained.
    pub training_date: Option<String>,
    /// When it was made.
    pub created: String,
    /// The names of its inputs, in order. Versions with equal names share them.
    pub features: Arc<[String]>,
    /// Bytes of its stored model.
    pub model_bytes: u64,
    /// Its golden rows.
    pub golden: GoldenSummary,
}

/// Lists of names, each once.
#[derive(Debug, Default)]
pub(crate) struct Names(Mutex<HashSet<Arc<[String]>>>);

impl Names {
    fn shared(&self, names: Vec<String>) -> Arc<[String]> {
        let mut lists = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(list) = lists.get(names.as_slice()) {
            return Arc::clone(list);
        }
        let list: Arc<[String]> = names.into();
        lists.insert(Arc::clone(&list));
        list
    }

    /// Forgets lists that no version has any more.
    pub(crate) fn prune(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).retain(|list| Arc::strong_count(list) > 1);
    }

    pub(crate) fn summary(&self, manifest: &Manifest, digest: Digest) -> VersionSummary {
        VersionSummary {
            digest,
            feature_set: manifest.feature_set.clone(),
            model_type: manifest.model_type.clone(),
            metrics: manifest.metrics.clone(),
            training_date: manifest.training_date.clone(),
            created: manifest.created.clone(),
            features: self.shared(manifest.signature.names().map(str::to_owned).collect()),
            model_bytes: manifest.files.get(MODEL_FILE).map_or(0, |entry| entry.bytes),
            golden: manifest.golden.clone(),
        }
    }
}
