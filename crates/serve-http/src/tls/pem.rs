//! Certificates and keys as PEM files.

use std::fmt;
use std::path::{Path, PathBuf};

use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use thiserror::Error;

use super::TlsConfig;

/// The longest file that is read: a thousand authorities fit.
const LONGEST: u64 = 4 << 20;

/// What is wrong with a file.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum PemError {
    /// It cannot be read.
    #[error("http.tls.{setting} {} cannot be read: {source}", path.display())]
    File {
        /// Which setting.
        setting: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It holds something else.
    #[error("http.tls.{setting} {}: {problem}", path.display())]
    Content {
        /// Which setting.
        setting: &'static str,
        /// The file.
        path: PathBuf,
        /// What was expected.
        problem: String,
    },
}

/// The files' bytes, to be told from those of other files.
#[derive(Clone, Default, PartialEq, Eq)]
pub(super) struct Material {
    cert: Vec<u8>,
    key: Vec<u8>,
    client_ca: Vec<u8>,
}

impl fmt::Debug for Material {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Material")
    }
}

impl Material {
    pub(super) fn read(config: &TlsConfig) -> Result<Self, PemError> {
        let client_ca = match &config.client_ca {
            Some(path) => read("client_ca", path)?,
            None => Vec::new(),
        };
        Ok(Self { cert: read("cert", &config.cert)?, key: read("key", &config.key)?, client_ca })
    }

    /// The certificate, then those that lead to its authority; at least one.
    pub(super) fn certificates(&self, config: &TlsConfig) -> Result<Vec<CertificateDer<'static>>, PemError> {
        certificates("cert", &config.cert, &self.cert)
    }

    pub(super) fn authorities(&self, config: &TlsConfig) -> Result<Vec<CertificateDer<'static>>, PemError> {
        certificates("client_ca", config.client_ca.as_deref().unwrap_or(Path::new("")), &self.client_ca)
    }

    pub(super) fn key(&self, config: &TlsConfig) -> Result<PrivateKeyDer<'static>, PemError> {
        PrivateKeyDer::from_pem_slice(&self.key).map_err(|error| {
            let encrypted = self.key.windows(9).any(|window| window == b"ENCRYPTED");
            let problem = match error {
                rustls_pki_types::pem::Error::NoItemsFound if encrypted => {
                    "the private key is encrypted; expected one that is not".to_owned()
                }
                rustls_pki_types::pem::Error::NoItemsFound => {
                    "there is no private key; expected PEM with -----BEGIN PRIVATE KEY-----".to_owned()
                }
                other => format!("is not valid PEM: {other}"),
            };
            PemError::Content { setting: "key", path: config.key.clone(), problem }
        })
    }
}

fn read(setting: &'static str, path: &Path) -> Result<Vec<u8>, PemError> {
    let file = |source| PemError::File { setting, path: path.to_owned(), source };
    if std::fs::metadata(path).map_err(file)?.len() > LONGEST {
        let problem = format!("is longer than {LONGEST} bytes");
        return Err(PemError::Content { setting, path: path.to_owned(), problem });
    }
    std::fs::read(path).map_err(file)
}

fn certificates(
    setting: &'static str,
    path: &Path,
    pem: &[u8],
) -> Result<Vec<CertificateDer<'static>>, PemError> {
    let content = |problem: String| PemError::Content { setting, path: path.to_owned(), problem };
    let found: Vec<_> = CertificateDer::pem_slice_iter(pem)
        .collect::<Result<_, _>>()
        .map_err(|error| content(format!("is not valid PEM: {error}")))?;
    if found.is_empty() {
        return Err(content(
            "there is no certificate; expected PEM with -----BEGIN CERTIFICATE-----".to_owned(),
        ));
    }
    Ok(found)
}
