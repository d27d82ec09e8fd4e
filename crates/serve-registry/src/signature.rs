//! Signatures of versions: who vouches for one, and whether that is somebody whom a server trusts.
//!
//! A signature lies beside the manifest in a file of its own and is over the manifest's bytes, which hold the digests of
//! all other files; so it covers the version as a whole. It does not cover aliases: whoever may write to a registry may
//! choose among trusted versions, and cannot add one. Ed25519 (RFC 8032) by `ed25519-dalek`, with its strict
//! verification, which accepts one signature for one message and key and no others.

mod key;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serve_core::bundle::SIGNATURE_FILE;
use serve_core::{Bundle, Digest, Insight, LoadError, ModelLoader, Pipeline};
use thiserror::Error;

pub use key::{KeyError, PrivateKey, PublicKey};

/// The format that this release writes, and the newest it reads.
const FORMAT: u32 = 1;

/// Longest signature file that is read.
pub(crate) const MAX_SIGNATURE_BYTES: u64 = 16 << 10;

/// The content of `manifest.sig`.
#[derive(Debug, Deserialize)]
#[cfg_attr(test, derive(serde::Serialize))]
#[serde(deny_unknown_fields)]
struct Detached {
    #[serde(rename = "format")]
    _format: u32,
    /// The SHA-256 of the public key.
    key: Digest,
    /// The SHA-256 of the manifest, which tells a signature of another version from a damaged one. Nothing rests on it.
    manifest: Digest,
    /// Base64.
    signature: String,
}

/// Why a version is not trusted.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum UntrustedError {
    /// Nobody signed it.
    #[error("it is not signed, and only versions that a key of registry.trusted_keys signed are served")]
    Unsigned,
    /// The signature's file does not read.
    #[error("{SIGNATURE_FILE} is damaged: {problem}")]
    Unreadable {
        /// Why.
        problem: String,
    },
    /// Written by a newer release.
    #[error("{SIGNATURE_FILE} has format {got}, newer than this release reads ({FORMAT}); use a newer serve")]
    Format {
        /// Its format.
        got: u32,
    },
    /// Somebody else signed it.
    #[error("it is signed by the key {key}, which is none of registry.trusted_keys")]
    Key {
        /// The identity of that key.
        key: Digest,
    },
    /// It is the signature of another version.
    #[error("{SIGNATURE_FILE} is the signature of another manifest ({signed}), this version's is {manifest}")]
    OtherManifest {
        /// The manifest signed.
        signed: Digest,
        /// The version's.
        manifest: Digest,
    },
    /// The signature does not fit the manifest.
    #[error("its signature is wrong: it is damaged, or the key {key} did not make it")]
    Wrong {
        /// The identity of the key.
        key: Digest,
    },
}

impl Detached {
    fn read(bytes: &[u8]) -> Result<Self, UntrustedError> {
        #[derive(Deserialize)]
        struct Format {
            format: u32,
        }
        let damaged = |error: serde_json::Error| UntrustedError::Unreadable { problem: error.to_string() };
        let Format { format } = serde_json::from_slice(bytes).map_err(damaged)?;
        if format > FORMAT {
            return Err(UntrustedError::Format { got: format });
        }
        serde_json::from_slice(bytes).map_err(damaged)
    }
}

/// The key that a signature file says it is by. Whether that is so, only [`TrustedKeys::check`] tells.
///
/// # Errors
/// When the file does not read.
pub fn claimed_key(signature: &[u8]) -> Result<Digest, UntrustedError> {
    Ok(Detached::read(signature)?.key)
}

impl PrivateKey {
    /// Signs a manifest; the content of its signature file.
    #[must_use]
    pub fn sign(&self, manifest: &[u8]) -> Vec<u8> {
        let (key, manifest_digest) = (self.public().id(), Digest::of(manifest));
        let signature = STANDARD.encode(self.sign_bytes(manifest));
        // Neither digests nor base64 hold anything that JSON escapes.
        format!(
            "{{\n  \"format\": {FORMAT},\n  \"key\": \"{key}\",\n  \"manifest\": \"{manifest_digest}\",\n  \"signature\": \"{signature}\"\n}}\n"
        )
        .into_bytes()
    }

    /// The bundle with this key's signature.
    #[must_use]
    pub fn sign_bundle(&self, bundle: Bundle) -> Bundle {
        let signature = self.sign(bundle.manifest_bytes());
        bundle.with_signature(Some(signature))
    }
}

/// The keys whose signatures a server accepts; none accepts any version, signed or not.
#[derive(Debug, Clone, Default)]
pub struct TrustedKeys(Vec<PublicKey>);

impl TrustedKeys {
    /// Reads keys, each the path of a public key's file or the key itself in base64.
    ///
    /// # Errors
    /// When one is neither, or its file does not read.
    pub fn read(keys: &[String]) -> Result<Self, KeyError> {
        keys.iter().map(|key| PublicKey::read(key)).collect::<Result<_, _>>().map(Self)
    }

    /// Whether every version is accepted.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Holds a version's signature against the keys. Answers with the key that signed it, or nothing where no keys are
    /// trusted and so none is asked for.
    ///
    /// # Errors
    /// When keys are trusted and none of them signed this manifest.
    pub fn check(&self, bundle: &Bundle) -> Result<Option<Digest>, UntrustedError> {
        if self.is_empty() {
            return Ok(None);
        }
        let signed = Detached::read(bundle.signature().ok_or(UntrustedError::Unsigned)?)?;
        let (id, manifest) = (signed.key, bundle.digest());
        let key = self.0.iter().find(|key| key.id() == id).ok_or(UntrustedError::Key { key: id })?;
        if signed.manifest != manifest {
            return Err(UntrustedError::OtherManifest { signed: signed.manifest, manifest });
        }
        let bytes = STANDARD.decode(&signed.signature).unwrap_or_default();
        if key.verifies(bundle.manifest_bytes(), &bytes) {
            Ok(Some(id))
        } else {
            Err(UntrustedError::Wrong { key: id })
        }
    }
}

/// Loads what a trusted key signed and nothing else, by another loader.
pub struct TrustedLoader {
    keys: TrustedKeys,
    loader: Box<dyn ModelLoader>,
}

impl TrustedLoader {
    /// A loader that holds every bundle against `keys` before `loader` sees it; just `loader` where there are none.
    #[must_use]
    pub fn over(loader: Box<dyn ModelLoader>, keys: TrustedKeys) -> Box<dyn ModelLoader> {
        if keys.is_empty() { loader } else { Box::new(Self { keys, loader }) }
    }

    fn admit(&self, bundle: &Bundle) -> Result<(), LoadError> {
        self.keys.check(bundle).map(drop).map_err(|error| LoadError::Untrusted(Box::new(error)))
    }
}

impl ModelLoader for TrustedLoader {
    fn load(&self, bundle: &Bundle) -> Result<Pipeline, LoadError> {
        self.admit(bundle)?;
        self.loader.load(bundle)
    }

    fn insight(&self, bundle: &Bundle) -> Result<Insight, LoadError> {
        self.admit(bundle)?;
        self.loader.insight(bundle)
    }
}

impl From<Vec<PublicKey>> for TrustedKeys {
    fn from(keys: Vec<PublicKey>) -> Self {
        Self(keys)
    }
}

#[cfg(test)]
mod tests {
    use serve_core::doctest::logistic;

    use super::*;

    fn bundle(version: &str) -> Bundle {
        logistic("m", version, 1.0).build().expect("proves")
    }

    fn key() -> PrivateKey {
        PrivateKey::generate().expect("random bytes")
    }

    fn check(
        trusted: &PrivateKey,
        bundle: Bundle,
        signature: Vec<u8>,
    ) -> Result<Option<Digest>, UntrustedError> {
        TrustedKeys::from(vec![trusted.public()]).check(&bundle.with_signature(Some(signature)))
    }

    fn changed(signature: &[u8], change: impl FnOnce(&mut Detached)) -> Vec<u8> {
        let mut signed = Detached::read(signature).expect("reads");
        change(&mut signed);
        serde_json::to_vec(&signed).expect("serialises")
    }

    #[test]
    fn a_trusted_key_is_named_and_no_keys_ask_for_nothing() {
        let (key, bundle) = (key(), bundle("v1"));
        let signature = key.sign(bundle.manifest_bytes());
        assert_eq!(check(&key, bundle.clone(), signature), Ok(Some(key.public().id())));
        assert_eq!(TrustedKeys::default().check(&bundle), Ok(None));
        let unsigned = TrustedKeys::from(vec![key.public()]).check(&bundle);
        assert_eq!(unsigned, Err(UntrustedError::Unsigned));
    }

    #[test]
    fn a_key_that_is_not_trusted_is_named() {
        let (mine, theirs, bundle) = (key(), key(), bundle("v1"));
        let signature = theirs.sign(bundle.manifest_bytes());
        let other = UntrustedError::Key { key: theirs.public().id() };
        assert_eq!(check(&mine, bundle.clone(), signature.clone()), Err(other));
        // Its signature under a trusted name.
        let id = mine.public().id();
        let forged = changed(&signature, |signed| signed.key = id);
        assert_eq!(check(&mine, bundle, forged), Err(UntrustedError::Wrong { key: id }));
    }

    #[test]
    fn another_version_s_signature_is_told_from_a_damaged_one() {
        let (key, first, second) = (key(), bundle("v1"), bundle("v2"));
        let signature = key.sign(first.manifest_bytes());
        let (signed, manifest) = (first.digest(), second.digest());
        let other = UntrustedError::OtherManifest { signed, manifest };
        assert_eq!(check(&key, second.clone(), signature.clone()), Err(other));
        let wrong = Err(UntrustedError::Wrong { key: key.public().id() });
        let renamed = changed(&signature, |signed| signed.manifest = manifest);
        assert_eq!(check(&key, second, renamed), wrong);
        let flipped = changed(&signature, |signed| {
            let first = if signed.signature.starts_with('A') { "B" } else { "A" };
            signed.signature.replace_range(..1, first);
        });
        assert_eq!(check(&key, first.clone(), flipped), wrong);
        let cut = changed(&signature, |signed| signed.signature.truncate(40));
        assert_eq!(check(&key, first, cut), wrong);
    }

    #[test]
    fn a_signature_file_that_does_not_read_is_refused_by_name() {
        let (key, bundle) = (key(), bundle("v1"));
        let told =
            |bytes: &[u8]| check(&key, bundle.clone(), bytes.to_vec()).expect_err("refused").to_string();
        assert!(told(b"{").starts_with("manifest.sig is damaged: "), "{}", told(b"{"));
        let newer = br#"{"format": 2, "keys": []}"#;
        assert_eq!(
            told(newer),
            "manifest.sig has format 2, newer than this release reads (1); use a newer serve"
        );
    }
}
