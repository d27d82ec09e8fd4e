//! A bundle: one version of one model as a set of files, bytes in and bytes out. Whoever stores it (a registry, a test,
//! an embedding service) brings the reading and writing.
//!
//! Invariant of [`Bundle`]: every file that the manifest lists is there, has the listed length and digest, and no other
//! file is.

mod build;

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use thiserror::Error;

use crate::digest::Digest;
use crate::envelope::EnvelopeError;
use crate::golden::{Golden, ProofError};
use crate::loader::LoadError;
use crate::manifest::{FORMAT, FileEntry, Manifest};
use crate::pipeline::InvalidPipeline;
use crate::reference::Reference;

pub use build::BundleBuilder;

/// The manifest's file name.
pub const MANIFEST_FILE: &str = "manifest.json";
/// The engine's own representation of the model, in an [envelope](crate::envelope).
pub const MODEL_FILE: &str = "model.bin";
/// The signature of the manifest, beside it. No file of the bundle: it may come later.
pub const SIGNATURE_FILE: &str = "manifest.sig";
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
    /// Whoever was to prove it does not trust it.
    #[error("it is not trusted")]
    Untrusted(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl From<LoadError> for BundleError {
    fn from(error: LoadError) -> Self {
        match error {
            LoadError::Bundle(error) => error,
            LoadError::Envelope(error) => error.into(),
            LoadError::Pipeline(error) => error.into(),
            LoadError::Untrusted(error) => Self::Untrusted(error),
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
    signature: Option<Vec<u8>>,
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
        Ok(Self { digest: Digest::of(&manifest_bytes), manifest, manifest_bytes, files, signature: None })
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

    /// The content of its signature file, as it was found; what it is worth, whoever loads the bundle decides.
    #[must_use]
    pub fn signature(&self) -> Option<&[u8]> {
        self.signature.as_deref()
    }

    /// The same bundle with another signature file, or without one.
    #[must_use]
    pub fn with_signature(self, signature: Option<Vec<u8>>) -> Self {
        Self { signature, ..self }
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

    /// The training window, where it was recorded.
    ///
    /// # Errors
    /// When it does not read.
    pub fn reference(&self) -> Result<Option<Reference>, BundleError> {
        if self.files.contains_key(REFERENCE_FILE) { self.json(REFERENCE_FILE).map(Some) } else { Ok(None) }
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
        None => segment(name) && name != MANIFEST_FILE && name != SIGNATURE_FILE,
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
        for name in [
            "../x",
            "/etc/passwd",
            "source/../../x",
            "a/b",
            "",
            ".hidden",
            "manifest.json",
            "manifest.sig",
            "source/",
        ] {
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
