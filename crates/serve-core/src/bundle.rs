//! A bundle: one version of one model as a set of files, bytes in and bytes out. Whoever stores it (a registry, a test,
//! an embedding service) brings the reading and writing.
//!
//! Invariant of [`Bundle`]: every file that the manifest lists is there, has the listed length and digest, and no other
//! file is.

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use thiserror::Error;

use crate::decision::DecisionPolicy;
use crate::digest::Digest;
use crate::envelope::{self, EnvelopeError};
use crate::golden::{Golden, ProofError};
use crate::loader::{EngineLoader, LoadError, ModelLoader};
use crate::manifest::{FORMAT, FileEntry, GoldenSummary, Manifest, Metrics, SourceInfo, Target};
use crate::name::{ModelName, ModelVersion};
use crate::pipeline::{Estimator, InvalidPipeline, Pipeline};
use crate::reference::Reference;
use crate::signature::Signature;

/// The manifest's file name.
pub const MANIFEST_FILE: &str = "manifest.json";
/// The engine's own representation of the model, in an [envelope].
pub const MODEL_FILE: &str = "model.bin";
/// The golden rows.
pub const GOLDEN_FILE: &str = "golden.json";
/// The training window's histograms.
pub const REFERENCE_FILE: &str = "reference.json";
/// Folder of the imported file.
pub const SOURCE_FOLDER: &str = "source";

/// Longest manifest that is read.
pub const MAX_MANIFEST_BYTES: usize = 64 << 20;

/// Why files make no bundle.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum BundleError {
    /// The manifest is not one.
    #[error("{MANIFEST_FILE} cannot be read")]
    Manifest(#[source] serde_json::Error),
    /// The manifest is too long to be one.
    #[error("{MANIFEST_FILE} has {bytes} bytes, expected at most {MAX_MANIFEST_BYTES}")]
    ManifestSize {
        /// Its length.
        bytes: usize,
    },
    /// Written by a newer release.
    #[error("{MANIFEST_FILE} has format {got}, newer than this release reads ({FORMAT}); use a newer serve")]
    Format {
        /// Its format.
        got: u64,
    },
    /// A file's name is not one that a bundle can have.
    #[error("{name:?} is no name for a bundle's file")]
    FileName {
        /// The name.
        name: String,
    },
    /// A listed file is not there.
    #[error("{name} is missing")]
    Missing {
        /// The file.
        name: String,
    },
    /// A file is shorter or longer than listed.
    #[error("{name} has {got} bytes, the manifest says {expected}")]
    Length {
        /// The file.
        name: String,
        /// What the manifest says.
        expected: u64,
        /// What there is.
        got: u64,
    },
    /// A file is not what was published.
    #[error("{name} is damaged: its SHA-256 is {got}, the manifest says {expected}")]
    Digest {
        /// The file.
        name: String,
        /// What the manifest says.
        expected: Digest,
        /// What there is.
        got: Digest,
    },
    /// A JSON file does not read.
    #[error("{name} cannot be read")]
    Json {
        /// The file.
        name: &'static str,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
    /// The model does not encode, or does not come back as it was.
    #[error("{MODEL_FILE} cannot be written and read back")]
    Envelope(#[from] EnvelopeError),
    /// The parts do not fit together.
    #[error("the bundle's parts do not fit together")]
    Pipeline(#[from] InvalidPipeline),
    /// The model does not give the answers of its golden rows.
    #[error("the golden rows are not answered as they must be")]
    Proof(#[from] ProofError),
}

impl From<LoadError> for BundleError {
    fn from(error: LoadError) -> Self {
        match error {
            LoadError::Bundle(error) => error,
            LoadError::Envelope(error) => error.into(),
            LoadError::Pipeline(error) => error.into(),
        }
    }
}

/// One version of one model; see the module for its invariant.
#[derive(Debug, Clone)]
pub struct Bundle {
    manifest: Manifest,
    manifest_bytes: Vec<u8>,
    digest: Digest,
    files: BTreeMap<String, Vec<u8>>,
}

impl Bundle {
    /// Reads a bundle: `read` is asked for each file that the manifest lists.
    ///
    /// # Errors
    /// When the manifest does not read, or a file is missing, damaged or of another length; `read`'s own errors pass.
    pub fn open<E: From<BundleError>>(
        manifest_bytes: Vec<u8>,
        mut read: impl FnMut(&str, &FileEntry) -> Result<Vec<u8>, E>,
    ) -> Result<Self, E> {
        let manifest = read_manifest(&manifest_bytes)?;
        let mut files = BTreeMap::new();
        for (name, entry) in &manifest.files {
            let bytes = read(name, entry)?;
            check_file(name, entry, &bytes)?;
            files.insert(name.clone(), bytes);
        }
        Ok(Self { digest: Digest::of(&manifest_bytes), manifest, manifest_bytes, files })
    }

    /// The description of the version.
    #[must_use]
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// The identity of the version's content: the SHA-256 of its manifest, which holds those of all other files.
    #[must_use]
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// A file's bytes.
    ///
    /// # Errors
    /// [`BundleError::Missing`] when the bundle has no such file.
    pub fn file(&self, name: &str) -> Result<&[u8], BundleError> {
        match self.files.get(name) {
            Some(bytes) => Ok(bytes),
            None => Err(BundleError::Missing { name: name.to_owned() }),
        }
    }

    /// Every file but the manifest.
    pub fn files(&self) -> impl ExactSizeIterator<Item = (&str, &[u8])> {
        self.files.iter().map(|(name, bytes)| (name.as_str(), bytes.as_slice()))
    }

    /// The manifest's bytes, to be written last.
    #[must_use]
    pub fn manifest_bytes(&self) -> &[u8] {
        &self.manifest_bytes
    }

    /// Bytes of all files together.
    #[must_use]
    pub fn len_bytes(&self) -> u64 {
        self.files.values().map(|bytes| bytes.len() as u64).sum::<u64>() + self.manifest_bytes.len() as u64
    }

    /// The golden rows.
    ///
    /// # Errors
    /// When they are missing or do not read.
    pub fn golden(&self) -> Result<Golden, BundleError> {
        self.json(GOLDEN_FILE)
    }

    fn json<T: DeserializeOwned>(&self, name: &'static str) -> Result<T, BundleError> {
        serde_json::from_slice(self.file(name)?).map_err(|source| BundleError::Json { name, source })
    }
}

/// Reads a manifest; what is newer than this release is told apart from what is broken.
///
/// # Errors
/// When it does not read, or its format is newer, or it lists a file that no bundle can have.
pub fn read_manifest(bytes: &[u8]) -> Result<Manifest, BundleError> {
    #[derive(serde::Deserialize)]
    struct Format {
        format: u64,
    }
    if bytes.len() > MAX_MANIFEST_BYTES {
        return Err(BundleError::ManifestSize { bytes: bytes.len() });
    }
    let Format { format } = serde_json::from_slice(bytes).map_err(BundleError::Manifest)?;
    if format > u64::from(FORMAT) {
        return Err(BundleError::Format { got: format });
    }
    let manifest: Manifest = serde_json::from_slice(bytes).map_err(BundleError::Manifest)?;
    match manifest.files.keys().find(|name| !is_file_name(name)) {
        Some(name) => Err(BundleError::FileName { name: name.clone() }),
        None => Ok(manifest),
    }
}

fn is_file_name(name: &str) -> bool {
    let segment = |text: &str| {
        !text.is_empty()
            && text.len() <= 200
            && !text.starts_with('.')
            && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | ' ' | '+'))
    };
    match name.split_once('/') {
        None => segment(name) && name != MANIFEST_FILE,
        Some((folder, file)) => folder == SOURCE_FOLDER && segment(file),
    }
}

fn check_file(name: &str, entry: &FileEntry, bytes: &[u8]) -> Result<(), BundleError> {
    let (length, digest) = (bytes.len() as u64, Digest::of(bytes));
    if entry.bytes != length {
        return Err(BundleError::Length { name: name.to_owned(), expected: entry.bytes, got: length });
    }
    if entry.sha256 != digest {
        return Err(BundleError::Digest { name: name.to_owned(), expected: entry.sha256, got: digest });
    }
    Ok(())
}

/// Everything that a bundle is made of. [`build`](Self::build) proves it before it is one.
#[derive(Debug, Clone)]
pub struct BundleBuilder {
    /// The model's name.
    pub name: ModelName,
    /// The version.
    pub version: ModelVersion,
    /// The feature set it is served from, if any.
    pub feature_set: Option<String>,
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
        let bundle = Bundle { digest: Digest::of(&manifest_bytes), manifest, manifest_bytes, files };
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctest::logistic_bundle;

    fn reopen(bundle: &Bundle, change: impl Fn(&str, &mut Vec<u8>)) -> Result<Bundle, BundleError> {
        Bundle::open(bundle.manifest_bytes().to_vec(), |name, _| {
            let mut bytes = bundle.file(name)?.to_vec();
            change(name, &mut bytes);
            Ok(bytes)
        })
    }

    #[test]
    fn a_bundle_comes_back_as_it_was() {
        let bundle = logistic_bundle();
        let back = reopen(&bundle, |_, _| ()).expect("opens");
        assert_eq!((back.manifest(), back.digest()), (bundle.manifest(), bundle.digest()));
    }

    #[test]
    fn a_flipped_bit_and_a_lost_byte_are_told_apart() {
        let bundle = logistic_bundle();
        let flip = |name: &str, bytes: &mut Vec<u8>| {
            if name == MODEL_FILE {
                bytes[70] ^= 4;
            }
        };
        assert!(matches!(reopen(&bundle, flip), Err(BundleError::Digest { name, .. }) if name == MODEL_FILE));
        let cut = |name: &str, bytes: &mut Vec<u8>| {
            if name == GOLDEN_FILE {
                bytes.pop();
            }
        };
        assert!(matches!(reopen(&bundle, cut), Err(BundleError::Length { name, .. }) if name == GOLDEN_FILE));
    }

    #[test]
    fn file_names_cannot_leave_the_bundle() {
        for name in
            ["../x", "/etc/passwd", "source/../../x", "a/b", "", ".hidden", "manifest.json", "source/"]
        {
            assert!(!is_file_name(name), "{name}");
        }
        assert!(is_file_name("source/model v2.txt"));
    }

    #[test]
    fn a_newer_format_is_told_apart_from_a_broken_manifest() {
        let error = read_manifest(br#"{"format": 3, "unheard": "of"}"#).expect_err("refused");
        assert!(matches!(error, BundleError::Format { got: 3 }));
        assert!(matches!(read_manifest(b"{"), Err(BundleError::Manifest(_))));
    }
}
