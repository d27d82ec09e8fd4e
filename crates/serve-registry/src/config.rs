//! The `registry` section of the configuration.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use serve_core::ModelName;

/// Where the registry lies and what is kept loaded.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RegistryConfig {
    /// The folder.
    pub url: PathBuf,
    /// How often the folder is read again, in seconds; 0 is never.
    #[serde(rename = "poll")]
    pub poll_seconds: Seconds,
    /// The model that answers where a request names none.
    pub default_model: Option<ModelName>,
    /// What is kept of versions that were asked for explicitly.
    pub cache: CacheConfig,
}

/// Limits on versions that no alias points to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CacheConfig {
    /// How many of them stay loaded; the least recently used goes first.
    pub max_models: NonZeroUsize,
}

/// A number of seconds, written as `5s`, `2m` or `0s`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Seconds(pub u64);

impl Default for RegistryConfig {
    fn default() -> Self {
        Self {
            url: PathBuf::from("registry"),
            poll_seconds: Seconds(5),
            default_model: None,
            cache: CacheConfig::default(),
        }
    }
}

impl Default for CacheConfig {
    fn default() -> Self {
        Self { max_models: NonZeroUsize::new(100).expect("100 is not zero") }
    }
}

impl TryFrom<String> for Seconds {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let split = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let factor = match &text[split..] {
            "s" => 1,
            "m" => 60,
            "h" => 3600,
            _ => return Err(format!("expected a duration such as 5s, 2m or 1h, got {text:?}")),
        };
        let number: u64 =
            text[..split].parse().map_err(|_| format!("expected a number before the unit, got {text:?}"))?;
        number.checked_mul(factor).map(Self).ok_or_else(|| format!("{text:?} is too long"))
    }
}

impl From<Seconds> for String {
    fn from(seconds: Seconds) -> Self {
        format!("{}s", seconds.0)
    }
}
