//! Making a bundle of its parts: it is read back and proven before it is one.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{
    Bundle, BundleError, GOLDEN_FILE, MANIFEST_FILE, MODEL_FILE, REFERENCE_FILE, SOURCE_FOLDER, read_manifest,
};
use crate::decision::DecisionPolicy;
use crate::digest::Digest;
use crate::envelope;
use crate::golden::Golden;
use crate::loader::{EngineLoader, ModelLoader};
use crate::manifest::{FORMAT, FileEntry, GoldenSummary, Manifest, Metrics, SourceInfo, Target};
use crate::name::{ModelName, ModelVersion};
use crate::pipeline::{Estimator, Pipeline};
use crate::reference::Reference;
use crate::signature::Signature;

/// Everything that a bundle is made of. [`build`](Self::build) proves it before it is one.
#[derive(Debug, Clone)]
pub struct BundleBuilder {
    /// The model's name.
    pub name: ModelName,
    /// The version.
    pub version: ModelVersion,
    /// The feature set it is served from, if any.
    pub feature_set: Option<String>,
    /// How old its stored features may be, where it says so.
    pub max_age: Option<Duration>,
    /// The kind of model.
    pub model_type: Option<String>,
    /// What it predicts.
    pub target: Target,
    /// What it takes.
    pub signature: Signature,
    /// What makes scores of a row.
    pub estimator: Estimator,
    /// How scores become an answer.
    pub decision: DecisionPolicy,
    /// What was measured.
    pub metrics: Metrics,
    /// The trainer's settings.
    pub hyperparameters: BTreeMap<String, serde_json::Value>,
    /// When it was trained, RFC 3339 UTC.
    pub training_date: Option<String>,
    /// When this bundle is made, RFC 3339 UTC.
    pub created: String,
    /// Where it came from.
    pub source: SourceInfo,
    /// Its proof.
    pub golden: Golden,
    /// The training window, where known.
    pub reference: Option<Reference>,
    /// The imported file, stored under [`SourceInfo::file`].
    pub source_bytes: Option<Vec<u8>>,
}

impl BundleBuilder {
    /// Makes the bundle, reads it back as a server will, and proves that against its golden rows.
    ///
    /// # Errors
    /// When the parts do not fit, or the golden rows are not answered as they must be.
    pub fn build(self) -> Result<Bundle, BundleError> {
        let (signature, target) = (self.signature.clone(), self.target.clone());
        // The parts as they were given say best what is wrong with them.
        Pipeline::new(signature, &self.estimator, target, self.decision.clone())?;
        let files = self.files()?;
        let manifest = self.manifest(&files);
        let json = |source| BundleError::Json { name: MANIFEST_FILE, source };
        let mut manifest_bytes = serde_json::to_vec_pretty(&manifest).map_err(json)?;
        manifest_bytes.push(b'\n');
        let manifest = read_manifest(&manifest_bytes)?;
        let digest = Digest::of(&manifest_bytes);
        let bundle = Bundle { digest, manifest, manifest_bytes, files, signature: None };
        bundle.golden()?.prove(&EngineLoader.load(&bundle)?)?;
        Ok(bundle)
    }

    fn files(&self) -> Result<BTreeMap<String, Vec<u8>>, BundleError> {
        let json = |name| move |source| BundleError::Json { name, source };
        let mut files = BTreeMap::new();
        files.insert(MODEL_FILE.to_owned(), envelope::seal(&(&self.estimator.model, &self.estimator.link))?);
        files.insert(GOLDEN_FILE.to_owned(), serde_json::to_vec(&self.golden).map_err(json(GOLDEN_FILE))?);
        if let Some(reference) = &self.reference {
            let bytes = serde_json::to_vec(reference).map_err(json(REFERENCE_FILE))?;
            files.insert(REFERENCE_FILE.to_owned(), bytes);
        }
        if let (Some(file), Some(bytes)) = (&self.source.file, &self.source_bytes) {
            files.insert(format!("{SOURCE_FOLDER}/{file}"), bytes.clone());
        }
        Ok(files)
    }

    fn manifest(self, files: &BTreeMap<String, Vec<u8>>) -> Manifest {
        let entry = |bytes: &Vec<u8>| FileEntry { sha256: Digest::of(bytes), bytes: bytes.len() as u64 };
        Manifest {
            format: FORMAT,
            name: self.name,
            version: self.version,
            feature_set: self.feature_set,
            max_age: self.max_age,
            model_type: self.model_type,
            target: self.target,
            signature: self.signature,
            transforms: self.estimator.transforms,
            scaler: self.estimator.scaler,
            decision: self.decision,
            metrics: self.metrics,
            hyperparameters: self.hyperparameters,
            training_date: self.training_date,
            created: self.created,
            source: self.source,
            golden: GoldenSummary {
                source: self.golden.source,
                by: self.golden.by.clone(),
                rows: self.golden.rows.len() as u64,
            },
            files: files.iter().map(|(name, bytes)| (name.clone(), entry(bytes))).collect(),
        }
    }
}
