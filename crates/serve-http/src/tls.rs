//! TLS by rustls with ring: certificates from PEM files, taken anew when the files change, and clients' certificates.
//!
//! A handshake takes the configuration that is current when it begins, so a new certificate serves the next connection.
//! Files that do not fit together, as between two writes of who renews them, leave the old configuration in place.

mod certificate;
mod config;
mod pem;

use std::sync::{Arc, PoisonError, RwLock};

use rustls::ServerConfig;
use rustls::crypto::{CryptoProvider, ring};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls::sign::CertifiedKey;
use rustls_pki_types::CertificateDer;
use thiserror::Error;
use tokio_rustls::TlsAcceptor;
use tracing::{info, warn};

pub use certificate::ClientCertificate;
pub use config::{ClientAuth, MinVersion, TlsConfig};
pub use pem::PemError;

use certificate::Validity;
use pem::Material;

/// Why there is no TLS.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum TlsError {
    /// A file is not what it should be.
    #[error(transparent)]
    Pem(#[from] PemError),
    /// A setting of TLS is missing or too much.
    #[error("http.tls: {problem}")]
    Setting {
        /// What is wrong.
        problem: &'static str,
    },
    /// The library refuses what the files say.
    #[error("http.tls.{setting} {}: {problem}", path.display())]
    Refused {
        /// Which setting.
        setting: &'static str,
        /// The file.
        path: std::path::PathBuf,
        /// Why.
        problem: String,
    },
}

/// What to tell of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsStatus {
    /// The certificate's subject.
    pub subject: String,
    /// Until when it is valid.
    pub not_after: jiff::Timestamp,
    /// What is the matter, if something is: it has expired, or new files could not be taken.
    pub trouble: Option<String>,
}

/// TLS as it is served now.
#[derive(Debug)]
pub struct Tls {
    config: TlsConfig,
    /// Replaced whole, and only by [`reload`](Self::reload).
    current: RwLock<Current>,
}

#[derive(Debug)]
struct Current {
    server: Arc<ServerConfig>,
    material: Material,
    validity: Validity,
    /// Why the newest files are not served, and which they were.
    refused: Option<(Material, String)>,
}

impl Tls {
    /// Reads the files and holds them against each other.
    ///
    /// # Errors
    /// When a file cannot be read or does not fit. An expired certificate is served, with a warning.
    pub fn load(config: &TlsConfig) -> Result<Self, TlsError> {
        config.check()?;
        let material = Material::read(config)?;
        let current = Current::new(config, material)?;
        Ok(Self { config: config.clone(), current: RwLock::new(current) })
    }

    /// Its settings.
    #[must_use]
    pub fn config(&self) -> &TlsConfig {
        &self.config
    }

    /// What the next handshake is answered with.
    pub(crate) fn acceptor(&self) -> TlsAcceptor {
        let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
        TlsAcceptor::from(Arc::clone(&current.server))
    }

    /// Takes the files if they are others than those that are served; says whether they are.
    ///
    /// # Errors
    /// When they do not fit. What was served goes on.
    pub fn reload(&self) -> Result<bool, TlsError> {
        let mut tried = None;
        let renewed = Material::read(&self.config).map_err(TlsError::from).and_then(|material| {
            if material == self.current.read().unwrap_or_else(PoisonError::into_inner).material {
                return Ok(None);
            }
            tried = Some(material.clone());
            Current::new(&self.config, material).map(Some)
        });
        let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        match renewed {
            Ok(None) => {
                current.refused = None;
                Ok(false)
            }
            Ok(Some(renewed)) => {
                *current = renewed;
                Ok(true)
            }
            Err(error) => {
                current.refused = Some((tried.unwrap_or_default(), error.to_string()));
                Err(error)
            }
        }
    }

    /// Reloads, and tells the log what came of it; the same trouble is told once.
    pub fn refresh(&self) {
        let before = self.status().trouble;
        match self.reload() {
            Ok(true) => {
                let TlsStatus { subject, not_after, trouble } = self.status();
                info!(subject, %not_after, "a new certificate is served");
                if let Some(trouble) = trouble {
                    warn!("{trouble}");
                }
            }
            Ok(false) => {}
            Err(error) if before.as_deref() == self.status().trouble.as_deref() => drop(error),
            Err(error) => warn!(%error, "new TLS files are not taken; the old certificate is served on"),
        }
    }

    /// What to tell of it.
    #[must_use]
    pub fn status(&self) -> TlsStatus {
        let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
        let Validity { subject, not_before, not_after } = current.validity.clone();
        let now = jiff::Timestamp::now();
        let expired = match (now > not_after, now < not_before) {
            (true, _) => Some(format!("the certificate of {subject:?} has expired at {not_after}")),
            (_, true) => Some(format!("the certificate of {subject:?} is not valid before {not_before}")),
            _ => None,
        };
        let trouble = current.refused.as_ref().map(|(_, problem)| problem.clone()).or(expired);
        TlsStatus { subject, not_after, trouble }
    }
}

impl Current {
    fn new(config: &TlsConfig, material: Material) -> Result<Self, TlsError> {
        let provider = Arc::new(ring::default_provider());
        let chain = material.certificates(config)?;
        let validity = Validity::read(&chain[0]).map_err(|problem| refused("cert", &config.cert, problem))?;
        let key = material.key(config)?;
        let certified = CertifiedKey::from_der(chain, key, &provider)
            .map_err(|error| refused("key", &config.key, key_problem(config, &error)))?;
        let verifier = verifier(config, &material, &provider)?;
        let versions: &[_] = match config.min_version {
            MinVersion::Tls12 => &[&rustls::version::TLS13, &rustls::version::TLS12],
            MinVersion::Tls13 => &[&rustls::version::TLS13],
        };
        let builder = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(versions)
            .map_err(|error| refused("cert", &config.cert, error.to_string()))?;
        let builder = match verifier {
            Some(verifier) => builder.with_client_cert_verifier(verifier),
            None => builder.with_no_client_auth(),
        };
        let resolver = rustls::sign::SingleCertAndKey::from(certified);
        let mut server = builder.with_cert_resolver(Arc::new(resolver));
        server.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Self { server: Arc::new(server), material, validity, refused: None })
    }
}

fn refused(setting: &'static str, path: &std::path::Path, problem: impl Into<String>) -> TlsError {
    TlsError::Refused { setting, path: path.to_owned(), problem: problem.into() }
}

fn key_problem(config: &TlsConfig, error: &rustls::Error) -> String {
    match error {
        rustls::Error::InconsistentKeys(_) => {
            format!("the key is not that of the certificate in {}", config.cert.display())
        }
        other => format!("the key cannot be used: {other}"),
    }
}

/// Who holds clients' certificates against the authorities, where they are asked for any.
fn verifier(
    config: &TlsConfig,
    material: &Material,
    provider: &Arc<CryptoProvider>,
) -> Result<Option<Arc<dyn ClientCertVerifier>>, TlsError> {
    let Some(path) = config.client_ca.as_ref().filter(|_| config.client_auth != ClientAuth::None) else {
        return Ok(None);
    };
    let mut roots = rustls::RootCertStore::empty();
    for authority in material.authorities(config)? {
        roots.add(authority).map_err(|error| refused("client_ca", path, error.to_string()))?;
    }
    let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider));
    let builder = match config.client_auth {
        ClientAuth::Optional => builder.allow_unauthenticated(),
        ClientAuth::None | ClientAuth::Required => builder,
    };
    builder.build().map(Some).map_err(|error| refused("client_ca", path, error.to_string()))
}

/// The certificate that a client showed and that was verified.
pub(crate) fn client(certificates: Option<&[CertificateDer<'_>]>) -> Option<Arc<ClientCertificate>> {
    certificates.and_then(<[_]>::first).map(|certificate| Arc::new(ClientCertificate::read(certificate)))
}
