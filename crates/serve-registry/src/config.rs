//! The `registry` section of the configuration.

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serve_core::{EngineLoader, ModelLoader, ModelName};

use crate::signature::{KeyError, TrustedKeys, TrustedLoader};

/// Where the registry lies and what is kept loaded.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RegistryConfig {
    /// The folder.
    pub url: PathBuf,
    /// How often the folder is read again; `0s` is never.
    #[serde(with = "serve_core::duration")]
    pub poll: Duration,
    /// The model that answers where a request names none.
    pub default_model: Option<ModelName>,
    /// What is kept of versions that were asked for explicitly.
    pub cache: CacheConfig,
    /// Public keys, each a file or base64; versions that none of them signed are refused. None: any version serves.
    pub trusted_keys: Vec<String>,
}

/// Limits on versions that no alias points to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CacheConfig {
    /// How many of them stay loaded; the least recently used goes first.
    pub max_models: NonZeroUsize,
}

impl Default for RegistryConfig {
    fn default() -> Self {
        Self {
            url: PathBuf::from("registry"),
            poll: Duration::from_secs(5),
            default_model: None,
            cache: CacheConfig::default(),
            trusted_keys: Vec::new(),
        }
    }
}

impl RegistryConfig {
    /// The native engine, for versions that a trusted key signed where keys are trusted.
    ///
    /// # Errors
    /// When a key cannot be read.
    pub fn loader(&self) -> Result<Box<dyn ModelLoader>, KeyError> {
        Ok(TrustedLoader::over(Box::new(EngineLoader), TrustedKeys::read(&self.trusted_keys)?))
    }
}

impl Default for CacheConfig {
    fn default() -> Self {
        Self { max_models: NonZeroUsize::new(100).expect("100 is not zero") }
    }
}
