//! TLS to the server, by rustls with ring. `prefer` and `require` take any certificate, as libpq does: they keep out who
//! only listens. `verify-ca` asks that a known authority signed it, `verify-full` also that it is of the host's name.

use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::url::{PostgresUrl, Trust};
use crate::store::Cause;

/// What makes the encrypted connections to a database. Reads the file of authorities, where one is asked for.
pub(super) fn connector(url: &PostgresUrl) -> Result<MakeRustlsConnect, Cause> {
    let provider = Arc::new(ring::default_provider());
    let builder =
        ClientConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions()?;
    let config = match url.trust {
        Trust::AuthorityAndName => builder.with_root_certificates(authorities(url)?),
        trust => {
            let chain = match trust {
                Trust::Authority => {
                    let roots = Arc::new(authorities(url)?);
                    Some(WebPkiServerVerifier::builder_with_provider(roots, Arc::clone(&provider)).build()?)
                }
                _ => None,
            };
            let verifier = Arc::new(AnyName { chain, provider });
            builder.dangerous().with_custom_certificate_verifier(verifier)
        }
    };
    Ok(MakeRustlsConnect::new(config.with_no_client_auth()))
}

fn authorities(url: &PostgresUrl) -> Result<RootCertStore, Cause> {
    let mut roots = RootCertStore::empty();
    match &url.authorities {
        Some(path) => {
            for certificate in CertificateDer::pem_file_iter(path).map_err(|e| unreadable(path, &e))? {
                roots.add(certificate.map_err(|e| unreadable(path, &e))?)?;
            }
        }
        // A certificate of the system's that does not parse is one that nobody can use.
        None => drop(roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs)),
    }
    if roots.is_empty() {
        return Err(match &url.authorities {
            Some(path) => format!("{}: no certificate in it", path.display()).into(),
            None => "the system has no certificates of authorities: name a file with `sslrootcert`".into(),
        });
    }
    Ok(roots)
}

fn unreadable(path: &std::path::Path, error: &rustls::pki_types::pem::Error) -> Cause {
    format!("{}: {error}", path.display()).into()
}

/// Takes a certificate of any name: of a known authority where there is a `chain`, else of anybody. That the server holds
/// the certificate's key is proven in either case.
#[derive(Debug)]
struct AnyName {
    chain: Option<Arc<WebPkiServerVerifier>>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for AnyName {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let Some(chain) = &self.chain else { return Ok(ServerCertVerified::assertion()) };
        // The chain is verified before the name.
        match chain.verify_server_cert(certificate, intermediates, name, ocsp, now) {
            Err(Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) => Ok(ServerCertVerified::assertion()),
            verified => verified,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
