//! What a certificate says of who has it.

use std::sync::Arc;

use jiff::Timestamp;
use rustls_pki_types::CertificateDer;
use x509_cert::Certificate;
use x509_cert::der::Decode as _;
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::GeneralName;
use x509_cert::time::Time;

/// The longest subject that is told.
const LONGEST: usize = 256;

/// A client's certificate, which one of the configured authorities has signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientCertificate {
    /// The subject, as RFC 4514 writes it: `CN=ci,O=Example`.
    pub subject: Arc<str>,
    /// Other names: DNS names, addresses of mail, and URIs such as `spiffe://example.org/ci`.
    pub names: Vec<String>,
}

impl ClientCertificate {
    /// Of a certificate whose signature holds. What cannot be read of it stays empty, and a subject is one line.
    pub(super) fn read(certificate: &CertificateDer<'_>) -> Self {
        let Ok(read) = Certificate::from_der(certificate) else {
            return Self { subject: Arc::from(""), names: Vec::new() };
        };
        let subject = read.tbs_certificate.subject.to_string();
        let subject = subject.chars().take(LONGEST).map(|c| if c.is_control() { ' ' } else { c });
        let subject: Arc<str> = subject.collect::<String>().into();
        let names = match read.tbs_certificate.get::<SubjectAltName>() {
            Ok(Some((_, names))) => names.0.iter().filter_map(name).collect(),
            _ => Vec::new(),
        };
        Self { subject, names }
    }
}

fn name(name: &GeneralName) -> Option<String> {
    match name {
        GeneralName::DnsName(name) => Some(name.to_string()),
        GeneralName::Rfc822Name(name) => Some(name.to_string()),
        GeneralName::UniformResourceIdentifier(name) => Some(name.to_string()),
        _ => None,
    }
}

/// Whose certificate is shown to clients, and when it holds.
#[derive(Debug, Clone)]
pub(super) struct Validity {
    pub(super) subject: String,
    pub(super) not_before: Timestamp,
    pub(super) not_after: Timestamp,
}

impl Validity {
    pub(super) fn read(certificate: &CertificateDer<'_>) -> Result<Self, String> {
        let read = Certificate::from_der(certificate)
            .map_err(|error| format!("is no X.509 certificate: {error}"))?;
        let validity = &read.tbs_certificate.validity;
        let at = |time: &Time| {
            let seconds = i64::try_from(time.to_unix_duration().as_secs()).unwrap_or(i64::MAX);
            Timestamp::from_second(seconds).unwrap_or(Timestamp::MAX)
        };
        Ok(Self {
            subject: read.tbs_certificate.subject.to_string(),
            not_before: at(&validity.not_before),
            not_after: at(&validity.not_after),
        })
    }
}
