//! Whose certificates are taken: those of the system's authorities, or of one that is named.

use std::path::Path;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use serve_app::{Exit, ExitReason};

pub(super) fn config(ca: Option<&Path>, http2: bool) -> Result<ClientConfig, Exit> {
    let mut roots = RootCertStore::empty();
    match ca {
        Some(path) => {
            for certificate in certificates(path)? {
                roots.add(certificate).map_err(|error| {
                    Exit::told(ExitReason::Data, format!("{} has a bad certificate: {error}", path.display()))
                })?;
            }
        }
        None => {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
    }
    let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| Exit::because(ExitReason::Software, error))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![if http2 { b"h2".to_vec() } else { b"http/1.1".to_vec() }];
    Ok(config)
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, Exit> {
    let read = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    match read {
        Ok(certificates) if certificates.is_empty() => {
            Err(Exit::told(ExitReason::Data, format!("{} has no certificate in it", path.display())))
        }
        Ok(certificates) => Ok(certificates),
        Err(error) => {
            Err(Exit::told(ExitReason::NoInput, format!("{} does not read: {error}", path.display())))
        }
    }
}
