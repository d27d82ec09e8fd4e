//! The `auth` section of the configuration: how callers are told apart, and how often each may ask.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serve_core::{Digest, ModelName};

use crate::caller::Permission;
use crate::config::Mistake;
use crate::rate::{self, Rate};

/// Who may ask, and how often.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AuthConfig {
    /// How callers are told apart. Nothing said is `none`, which is refused where others can reach the port.
    pub mode: Option<AuthMode>,
    /// The keys.
    pub keys: Vec<KeyConfig>,
    /// A file with further keys, of the same form. It is read again when it changes.
    pub keys_file: Option<PathBuf>,
    /// Tokens.
    pub jwt: JwtConfig,
    /// How often one address may ask, whoever asks from there.
    #[serde(with = "rate::optional")]
    pub rate_per_address: Option<Rate>,
    /// How often an address may fail to say who it is. Beyond that its tokens are not even looked at.
    #[serde(with = "rate::optional")]
    pub failures_per_address: Option<Rate>,
    /// Which pages need no key.
    pub public: Vec<PublicPage>,
}

/// The ways to tell who asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AuthMode {
    /// Nobody is asked who they are.
    None,
    /// By keys.
    Keys,
    /// By signed tokens.
    Jwt,
    /// By either.
    Both,
}

impl AuthMode {
    pub(crate) fn keys(self) -> bool {
        matches!(self, Self::Keys | Self::Both)
    }

    pub(crate) fn jwt(self) -> bool {
        matches!(self, Self::Jwt | Self::Both)
    }
}

/// A page that may be open to everyone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "each is the path it is written as")]
pub enum PublicPage {
    #[serde(rename = "/metrics")]
    Metrics,
    #[serde(rename = "/docs")]
    Docs,
    #[serde(rename = "/redoc")]
    Redoc,
    #[serde(rename = "/openapi.json")]
    OpenApi,
}

impl PublicPage {
    /// The page's path.
    #[must_use]
    pub fn path(self) -> &'static str {
        match self {
            Self::Metrics => "/metrics",
            Self::Docs => "/docs",
            Self::Redoc => "/redoc",
            Self::OpenApi => "/openapi.json",
        }
    }
}

/// One client's key, or several that mean the same.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyConfig {
    /// The client's name, as logs, metrics and histories have it. Several keys may have one name.
    pub id: String,
    /// The SHA-256 of the key, or of several.
    #[serde(with = "digests")]
    pub sha256: Vec<KeyDigest>,
    /// What the client may do.
    pub permissions: Vec<Permission>,
    /// How often it may ask.
    #[serde(default, with = "rate::optional")]
    pub rate: Option<Rate>,
    /// The models that it may use and see; all, where nothing is said.
    #[serde(default)]
    pub models: Option<Vec<ModelName>>,
    /// Until when the key holds.
    #[serde(default)]
    pub expires: Option<Timestamp>,
}

/// The SHA-256 of a key. Only its beginning is ever shown: enough to find the line, too little to search for the key of a
/// person who chose a weak one.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct KeyDigest(pub Digest);

impl fmt::Display for KeyDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = self.0.as_bytes().iter().take(4);
        shown.into_iter().try_for_each(|byte| write!(f, "{byte:02x}"))?;
        f.write_str("…")
    }
}

impl fmt::Debug for KeyDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// One digest, or a list of them.
mod digests {
    use super::{Deserialize, Deserializer, KeyDigest, Serializer};
    use serde::de::Error as _;

    pub(super) fn serialize<S: Serializer>(digests: &[KeyDigest], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(digests.iter().map(ToString::to_string))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Vec<KeyDigest>, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Given {
            One(String),
            Many(Vec<String>),
        }
        let given = Given::deserialize(deserializer).map_err(|_| {
            D::Error::custom("expected a SHA-256 in 64 hexadecimal digits, or a list of them")
        })?;
        let texts = match given {
            Given::One(text) => vec![text],
            Given::Many(texts) => texts,
        };
        // The text is not told: somebody may have put the key itself there.
        let read = |text: &String| {
            text.parse().map(KeyDigest).map_err(|_: String| {
                D::Error::custom(
                    "not a SHA-256: expected 64 hexadecimal digits, as `serve-ctl key new` prints them",
                )
            })
        };
        texts.iter().map(read).collect()
    }
}

/// Which tokens are taken, and what is read from them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct JwtConfig {
    /// Who must have issued a token (`iss`).
    pub issuer: Option<String>,
    /// For whom it must be (`aud`).
    pub audience: Option<String>,
    /// A file with public keys as a JSON Web Key Set. It is read again when it changes.
    pub jwks_file: Option<PathBuf>,
    /// A file with a shared secret of 32 bytes or more, for HS256. It is read again when it changes.
    pub hmac_file: Option<PathBuf>,
    /// How far clocks may differ.
    #[serde(with = "serve_core::duration")]
    pub leeway: Duration,
    /// The claim with the caller's name.
    pub name_claim: String,
    /// The claims with permissions, each a list or words between spaces. One that begins with `/` is a JSON pointer.
    pub permissions_claims: Vec<String>,
    /// The claim with the models that the caller may use; all, where a token has none.
    pub models_claim: String,
    /// How often each name may ask.
    #[serde(with = "rate::optional")]
    pub rate: Option<Rate>,
}

impl Default for JwtConfig {
    fn default() -> Self {
        Self {
            issuer: None,
            audience: None,
            jwks_file: None,
            hmac_file: None,
            leeway: Duration::from_secs(30),
            name_claim: "sub".to_owned(),
            permissions_claims: vec!["permissions".to_owned(), "scope".to_owned()],
            models_claim: "models".to_owned(),
            rate: None,
        }
    }
}

impl Default for AuthConfig {
    fn default() -> Self {
        Self {
            mode: None,
            keys: Vec::new(),
            keys_file: None,
            jwt: JwtConfig::default(),
            rate_per_address: None,
            failures_per_address: "60/m".parse().ok(),
            public: Vec::new(),
        }
    }
}

/// The most that clocks may differ.
const MOST_LEEWAY: Duration = Duration::from_mins(10);

impl AuthConfig {
    /// How callers are told apart.
    #[must_use]
    pub fn mode(&self) -> AuthMode {
        self.mode.unwrap_or(AuthMode::None)
    }

    /// Every mistake in the section and in the files that it names.
    #[must_use]
    pub fn mistakes(&self) -> Vec<Mistake> {
        super::state::State::open(self, None, &super::usage::Usages::default()).err().unwrap_or_default()
    }

    /// The mistakes that the section shows by itself.
    pub(crate) fn own_mistakes(&self) -> Vec<Mistake> {
        let mut mistakes = Vec::new();
        let mut wrong = |setting: &str, problem: &str| {
            mistakes.push(Mistake::new(format!("auth.{setting}"), problem.to_owned()));
        };
        let given = !self.keys.is_empty()
            || self.keys_file.is_some()
            || self.jwt.jwks_file.is_some()
            || self.jwt.hmac_file.is_some();
        if self.mode.is_none() && given {
            wrong(
                "mode",
                "there are keys, and nothing says that they are asked for; expected keys, jwt, both or none",
            );
        }
        if self.mode().keys() && self.keys.is_empty() && self.keys_file.is_none() {
            wrong("keys", "mode asks for keys, and there are none; expected auth.keys or auth.keys_file");
        }
        if self.mode().jwt() {
            for (setting, value) in [("jwt.issuer", &self.jwt.issuer), ("jwt.audience", &self.jwt.audience)] {
                if value.as_ref().is_none_or(String::is_empty) {
                    wrong(setting, "expected one: without it a token for anybody else would be taken");
                }
            }
            if self.jwt.jwks_file.is_none() && self.jwt.hmac_file.is_none() {
                wrong(
                    "jwt",
                    "mode asks for tokens, and there is nothing to check them with; expected jwks_file or hmac_file",
                );
            }
            if self.jwt.leeway > MOST_LEEWAY {
                wrong("jwt.leeway", "longer than 10m; clocks that differ so much are wrong");
            }
        }
        mistakes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Layers;

    fn read(settings: &[(&str, &str)]) -> Result<AuthConfig, String> {
        let mut layers = Layers::new();
        let variables = settings.iter().map(|(name, text)| (format!("SERVE__{name}"), (*text).to_owned()));
        layers.environment(variables);
        layers.read().map_err(|error| error.to_string())
    }

    #[test]
    fn keys_are_read_and_never_shown_whole() {
        let digest = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        let keys = format!(
            "[{{ id: ci, sha256: {digest}, permissions: [predict, read], rate: 100/s, models: [a], expires: 2027-01-01T00:00:00Z }}]"
        );
        let config = read(&[("KEYS", &keys), ("MODE", "keys")]).expect("reads");
        let key = &config.keys[0];
        assert_eq!(key.sha256, [KeyDigest(Digest::of(b"abc"))]);
        assert_eq!(key.rate, "100/s".parse().ok());
        let shown = format!("{config:?} {}", serde_json::to_string(&config).expect("writes"));
        assert!(shown.contains("ba7816bf…") && !shown.contains("ba7816bf8"), "{shown}");
    }

    #[test]
    fn a_key_in_the_place_of_its_digest_is_not_told() {
        let error = read(&[("KEYS", "[{ id: ci, sha256: serve_secret, permissions: [read] }]")])
            .expect_err("refused");
        assert!(error.contains("64 hexadecimal digits") && !error.contains("serve_secret"), "{error}");
    }

    #[test]
    fn no_limit_can_be_said() {
        assert_eq!(AuthConfig::default().failures_per_address, "60/m".parse().ok());
        let config = read(&[("FAILURES_PER_ADDRESS", "none")]).expect("reads");
        assert_eq!(config.failures_per_address, None);
    }

    #[test]
    fn all_mistakes_are_found_at_once() {
        let told = |settings: &[(&str, &str)]| {
            let config = read(settings).expect("reads");
            config.own_mistakes().into_iter().map(|mistake| mistake.setting).collect::<Vec<_>>()
        };
        assert_eq!(told(&[]), Vec::<String>::new());
        assert_eq!(told(&[("MODE", "keys")]), ["auth.keys"]);
        assert_eq!(told(&[("KEYS_FILE", "keys.yaml")]), ["auth.mode"]);
        let both = told(&[("MODE", "both"), ("JWT__LEEWAY", "1h")]);
        assert_eq!(
            both,
            ["auth.keys", "auth.jwt.issuer", "auth.jwt.audience", "auth.jwt", "auth.jwt.leeway"]
        );
    }
}
