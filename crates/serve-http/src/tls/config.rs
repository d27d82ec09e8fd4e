//! The `http.tls` section.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use serde::de::{self, Deserializer, Visitor};
use serde::{Deserialize, Serialize};

use super::TlsError;

/// TLS: which certificate is shown, and which are asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TlsConfig {
    /// The certificate and those that lead from it to its authority, PEM.
    pub cert: PathBuf,
    /// Its private key, PEM: PKCS#8, PKCS#1 or SEC1, not encrypted.
    pub key: PathBuf,
    /// The authorities of clients' certificates, PEM.
    pub client_ca: Option<PathBuf>,
    /// Whether clients show a certificate.
    pub client_auth: ClientAuth,
    /// The oldest version that is spoken.
    pub min_version: MinVersion,
    /// How long a client may take to agree.
    #[serde(with = "serve_core::duration")]
    pub handshake_timeout: Duration,
    /// How often the files are looked at; `0s` never does.
    #[serde(with = "serve_core::duration")]
    pub poll: Duration,
    /// How long browsers shall use TLS only (`Strict-Transport-Security`); `0s` does not say so.
    #[serde(with = "serve_core::duration")]
    pub hsts: Duration,
}

impl TlsConfig {
    /// How long browsers shall use TLS only, in seconds; 0 does not say so, and is what holds without TLS.
    pub(crate) fn hsts_seconds(tls: Option<&Self>) -> u64 {
        tls.map_or(0, |tls| tls.hsts.as_secs())
    }
}

/// Whether clients show a certificate.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ClientAuth {
    /// They are not asked.
    #[default]
    None,
    /// They may; one that does not verify ends the handshake.
    Optional,
    /// They must.
    Required,
}

/// The oldest version that is spoken.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub enum MinVersion {
    /// TLS 1.2.
    #[default]
    #[serde(rename = "1.2")]
    Tls12,
    /// TLS 1.3.
    #[serde(rename = "1.3")]
    Tls13,
}

impl Default for TlsConfig {
    fn default() -> Self {
        Self {
            cert: PathBuf::new(),
            key: PathBuf::new(),
            client_ca: None,
            client_auth: ClientAuth::None,
            min_version: MinVersion::Tls12,
            handshake_timeout: Duration::from_secs(10),
            poll: Duration::from_secs(5),
            hsts: Duration::from_secs(365 * 24 * 3600),
        }
    }
}

impl TlsConfig {
    pub(super) fn check(&self) -> Result<(), TlsError> {
        let nothing = |path: &PathBuf| path.as_os_str().is_empty();
        let problem = match (&self.client_ca, self.client_auth) {
            _ if nothing(&self.cert) || nothing(&self.key) => "expected both cert and key",
            _ if self.handshake_timeout.is_zero() => {
                "handshake_timeout is 0s, in which nobody agrees; expected more"
            }
            (Some(_), ClientAuth::None) => {
                "client_ca is given and client_auth is none; expected optional or required"
            }
            (None, ClientAuth::Optional | ClientAuth::Required) => {
                "client_auth asks for certificates; expected client_ca"
            }
            _ => return Ok(()),
        };
        Err(TlsError::Setting { problem })
    }
}

/// A version is written as a text or, as YAML reads it, as a number.
impl<'de> Deserialize<'de> for MinVersion {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Version;
        impl Visitor<'_> for Version {
            type Value = MinVersion;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("1.2 or 1.3")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<MinVersion, E> {
                match text {
                    "1.2" => Ok(MinVersion::Tls12),
                    "1.3" => Ok(MinVersion::Tls13),
                    _ => Err(E::invalid_value(de::Unexpected::Str(text), &self)),
                }
            }

            fn visit_f64<E: de::Error>(self, number: f64) -> Result<MinVersion, E> {
                self.visit_str(&number.to_string())
            }
        }
        deserializer.deserialize_any(Version)
    }
}
