//! Keys and their files: a private key as PKCS#8 in PEM that only its owner may read, a public key as PEM or as the 32
//! bytes in base64. OpenSSL reads and writes both (`openssl genpkey -algorithm ed25519`).

use std::fmt;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::pkcs8::spki::der::pem::LineEnding;
use ed25519_dalek::pkcs8::{
    DecodePrivateKey, DecodePublicKey, EncodePrivateKey, EncodePublicKey, KeypairBytes,
};
use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};
use serve_core::Digest;
use thiserror::Error;

/// Longest key file that is read.
const MAX_KEY_BYTES: u64 = 16 << 10;

/// Why a key cannot be used. No message holds any of a key.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum KeyError {
    /// The operating system gives no random bytes.
    #[error("no random bytes to make a key of: {0}")]
    Random(getrandom::Error),
    /// The file cannot be read or written.
    #[error("the key {} cannot be {action}", path.display())]
    Io {
        /// `read` or `written`.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It is no key of the kind expected.
    #[error("{} is no {expected}", path.display())]
    NoKey {
        /// The file.
        path: PathBuf,
        /// What was expected.
        expected: &'static str,
    },
    /// Neither a file nor a key.
    #[error("{given:?} is neither a public key in base64 (44 characters) nor the path of its file")]
    Neither {
        /// What was given.
        given: String,
    },
}

fn io_at<'a>(action: &'static str, path: &'a Path) -> impl FnOnce(io::Error) -> KeyError + 'a {
    move |source| KeyError::Io { action, path: path.to_owned(), source }
}

fn text(path: &Path, expected: &'static str) -> Result<String, KeyError> {
    let data = fs::metadata(path).map_err(io_at("read", path))?;
    if !data.is_file() || data.len() > MAX_KEY_BYTES {
        return Err(KeyError::NoKey { path: path.to_owned(), expected });
    }
    fs::read_to_string(path).map_err(io_at("read", path))
}

/// Makes a file that is not there yet; one that is there is never replaced.
fn write_new(path: &Path, text: &str, mode: u32) -> Result<(), KeyError> {
    use std::os::unix::fs::OpenOptionsExt;
    let written = || {
        let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(mode).open(path)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()
    };
    written().map_err(io_at("written", path))
}

/// Never in practice: 32 bytes have a PEM form.
fn no_form<E: fmt::Display>(path: &Path) -> impl FnOnce(E) -> KeyError + '_ {
    move |error| io_at("written", path)(io::Error::other(error.to_string()))
}

/// What signs. Its `Debug` shows the public key only.
#[derive(Debug)]
pub struct PrivateKey(SigningKey);

impl PrivateKey {
    /// A new one, of the operating system's random bytes.
    ///
    /// # Errors
    /// When there are none.
    pub fn generate() -> Result<Self, KeyError> {
        let mut secret = [0; 32];
        getrandom::fill(&mut secret).map_err(KeyError::Random)?;
        Ok(Self(SigningKey::from_bytes(&secret)))
    }

    /// Reads a file that [`write`](Self::write) or OpenSSL wrote.
    ///
    /// # Errors
    /// When it does not read or holds no ed25519 key.
    pub fn read(path: &Path) -> Result<Self, KeyError> {
        let expected = "private ed25519 key (PKCS#8 PEM)";
        let key = SigningKey::from_pkcs8_pem(&text(path, expected)?);
        key.map(Self).map_err(|_| KeyError::NoKey { path: path.to_owned(), expected })
    }

    /// Writes the key to a new file that only its owner may read.
    ///
    /// # Errors
    /// When there is such a file already, or it cannot be written.
    pub fn write(&self, path: &Path) -> Result<(), KeyError> {
        // Without the public key, which older releases of OpenSSL do not expect there.
        let bytes = KeypairBytes { secret_key: self.0.to_bytes(), public_key: None };
        let pem = bytes.to_pkcs8_pem(LineEnding::LF).map_err(no_form(path))?;
        write_new(path, &pem, 0o600)
    }

    /// The key that verifies what this one signs.
    #[must_use]
    pub fn public(&self) -> PublicKey {
        PublicKey(self.0.verifying_key())
    }

    pub(super) fn sign_bytes(&self, message: &[u8]) -> [u8; 64] {
        self.0.sign(message).to_bytes()
    }
}

/// What verifies. Displays as base64.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicKey(VerifyingKey);

impl PublicKey {
    /// Reads a key: itself in base64, or the path of a file with that or with PEM.
    ///
    /// # Errors
    /// When it is neither, or the file does not read.
    pub fn read(given: &str) -> Result<Self, KeyError> {
        if let Some(key) = Self::of_base64(given) {
            return Ok(key);
        }
        let path = Path::new(given);
        if !path.exists() {
            return Err(KeyError::Neither { given: given.to_owned() });
        }
        let expected = "public ed25519 key (PEM or base64)";
        let text = text(path, expected)?;
        let pem = VerifyingKey::from_public_key_pem(&text).ok().filter(|key| !key.is_weak()).map(Self);
        let key = pem.or_else(|| Self::of_base64(&text));
        key.ok_or_else(|| KeyError::NoKey { path: path.to_owned(), expected })
    }

    /// Writes the key as PEM to a new file.
    ///
    /// # Errors
    /// When there is such a file already, or it cannot be written.
    pub fn write(&self, path: &Path) -> Result<(), KeyError> {
        let pem = self.0.to_public_key_pem(LineEnding::LF).map_err(no_form(path))?;
        write_new(path, &pem, 0o644)
    }

    /// The key's identity: the SHA-256 of its 32 bytes.
    #[must_use]
    pub fn id(&self) -> Digest {
        Digest::of(self.0.as_bytes())
    }

    pub(super) fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        let signature = Signature::from_slice(signature);
        signature.is_ok_and(|signature| self.0.verify_strict(message, &signature).is_ok())
    }

    fn of_base64(text: &str) -> Option<Self> {
        let bytes: [u8; 32] = STANDARD.decode(text.trim()).ok()?.try_into().ok()?;
        VerifyingKey::from_bytes(&bytes).ok().filter(|key| !key.is_weak()).map(Self)
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&STANDARD.encode(self.0.as_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    /// Test 1 of RFC 8032, section 7.1, as OpenSSL writes it.
    const RFC_8032: &str = "-----BEGIN PRIVATE KEY-----\n\
        MC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g\n\
        -----END PRIVATE KEY-----\n";

    #[test]
    fn a_key_and_its_signature_are_those_of_rfc_8032() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("key.pem");
        fs::write(&path, RFC_8032).expect("written");
        let key = PrivateKey::read(&path).expect("reads");
        assert_eq!(key.public().to_string(), "11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=");
        let signature = key.sign_bytes(b"");
        assert_eq!(signature[..8], [0xe5, 0x56, 0x43, 0x00, 0xc3, 0x60, 0xac, 0x72]);
        assert_eq!(signature[56..], [0x65, 0x51, 0x41, 0x43, 0x8e, 0x7a, 0x10, 0x0b]);
    }

    #[test]
    fn keys_come_back_from_their_files_and_none_is_replaced() {
        let folder = tempfile::tempdir().expect("a folder");
        let (secret, public) = (folder.path().join("k"), folder.path().join("k.pub"));
        let key = PrivateKey::generate().expect("random bytes");
        key.write(&secret).expect("written");
        key.public().write(&public).expect("written");
        let mode = fs::metadata(&secret).expect("there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let back = PrivateKey::read(&secret).expect("reads");
        assert_eq!(back.public(), key.public());
        assert!(!format!("{back:?}").contains("secret"), "{back:?}");
        let read =
            |given: &str| PublicKey::read(given).map(|key| key.id()).map_err(|error| error.to_string());
        let id = Ok(key.public().id());
        assert_eq!(read(&public.to_string_lossy()), id);
        assert_eq!(read(&key.public().to_string()), id);
        fs::write(folder.path().join("b64"), format!("{}\n", key.public())).expect("written");
        assert_eq!(read(&folder.path().join("b64").to_string_lossy()), id);
        let again = key.write(&secret).expect_err("refused");
        assert!(
            matches!(&again, KeyError::Io { source, .. } if source.kind() == io::ErrorKind::AlreadyExists)
        );
        let wrong = read(&secret.to_string_lossy()).expect_err("a private key");
        assert_eq!(wrong, format!("{} is no public ed25519 key (PEM or base64)", secret.display()));
        let nothing =
            "\"nowhere\" is neither a public key in base64 (44 characters) nor the path of its file";
        assert_eq!(read("nowhere"), Err(nothing.to_owned()));
        // The identity element: everything verifies under it.
        assert!(read("AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=").is_err());
    }
}
