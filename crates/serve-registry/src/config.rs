//! The `registry` section of the configuration.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serve_core::{Alias, ByteSize, EngineLoader, ModelLoader, ModelName, ModelRef};

use crate::guard::GuardConfig;
use crate::signature::{KeyError, TrustedKeys, TrustedLoader};

use crate::url::RegistryUrl;

/// Where the registry lies, what follows it and what is kept loaded.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RegistryConfig {
    /// A folder, or `s3://bucket/prefix`.
    pub url: RegistryUrl,
    /// How often it is read again, give or take a fifth; `0s` is never.
    #[serde(with = "serve_core::duration")]
    pub poll: Duration,
    /// Whether the file system is asked to tell of changes in a folder, so that they are noticed before the next poll.
    pub watch: bool,
    /// The model that answers where a request names none.
    pub default_model: Option<ModelName>,
    /// The aliases whose versions are loaded at start, as far as 80 % of the cache's limits go, most recently promoted
    /// first. The others are loaded at their first request.
    pub preload: Vec<Alias>,
    /// Limits on what is loaded.
    pub cache: CacheConfig,
    /// Public keys, each a file or base64; versions that none of them signed are refused. None: any version serves.
    pub trusted_keys: Vec<String>,
    /// What a new champion has to stand after a promotion.
    pub guard: GuardConfig,
    /// What holds for single models.
    pub models: BTreeMap<ModelName, ModelConfig>,
    /// What is kept on disk of an object store's objects.
    pub object_cache: ObjectCacheConfig,
}

/// The copies on disk of what was read from an object store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ObjectCacheConfig {
    /// The folder; the user's cache folder where it is not said. Whoever can write there decides what is served.
    pub dir: Option<PathBuf>,
    /// How much is kept; the least recently used goes first. `0B` keeps nothing.
    pub max_bytes: ByteSize,
}

impl Default for ObjectCacheConfig {
    fn default() -> Self {
        Self { dir: None, max_bytes: ByteSize(10 << 30) }
    }
}

/// How a registry holds its models, wherever they lie. The fields are those of [`RegistryConfig`].
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Options {
    /// What is loaded at start.
    pub preload: Vec<Alias>,
    /// Limits on what is loaded.
    pub cache: CacheConfig,
    /// What a new champion has to stand after a promotion.
    pub guard: GuardConfig,
    /// What holds for single models.
    pub models: BTreeMap<ModelName, ModelConfig>,
}

/// What holds for one model.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ModelConfig {
    /// Whether what its aliases lead to is never evicted.
    pub pin: bool,
    /// The model that answers where this one does not load or infer, or its features cannot be had.
    pub fallback: Option<ModelRef>,
    /// What a new champion of it has to stand, where that is other than for all models.
    pub guard: Option<GuardConfig>,
}

/// Limits on loaded versions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CacheConfig {
    /// Bytes of all of them together.
    pub max_bytes: ByteSize,
    /// How many there may be. The least recently used goes first.
    pub max_models: NonZeroUsize,
    /// A version that nobody asked for this long is unloaded; `0s` is never.
    #[serde(with = "serve_core::duration")]
    pub idle_ttl: Duration,
    /// How long a request waits for a version to load.
    #[serde(with = "serve_core::duration")]
    pub load_timeout: Duration,
    /// How many requests may wait for the same version.
    pub max_waiting: usize,
}

impl Default for RegistryConfig {
    fn default() -> Self {
        Self {
            url: RegistryUrl::default(),
            poll: Duration::from_secs(5),
            watch: true,
            default_model: None,
            preload: vec![Alias::champion()],
            cache: CacheConfig::default(),
            trusted_keys: Vec::new(),
            guard: GuardConfig::default(),
            models: BTreeMap::new(),
            object_cache: ObjectCacheConfig::default(),
        }
    }
}

impl Default for Options {
    fn default() -> Self {
        RegistryConfig::default().options()
    }
}

impl RegistryConfig {
    /// The native engine; where keys are trusted, for versions that one of them signed.
    ///
    /// # Errors
    /// When a key cannot be read.
    pub fn loader(&self) -> Result<Box<dyn ModelLoader>, KeyError> {
        Ok(TrustedLoader::over(Box::new(EngineLoader), TrustedKeys::read(&self.trusted_keys)?))
    }

    /// What of the configuration holds wherever the models lie.
    #[must_use]
    pub fn options(&self) -> Options {
        Options {
            preload: self.preload.clone(),
            cache: self.cache,
            guard: self.guard,
            models: self.models.clone(),
        }
    }
}

impl Options {
    /// The guard window of a model.
    pub(crate) fn guard_of(&self, name: &ModelName) -> GuardConfig {
        self.models.get(name).and_then(|model| model.guard).unwrap_or(self.guard)
    }

    /// What holds for a model; defaults where nothing is said.
    pub(crate) fn of(&self, name: &ModelName) -> ModelConfig {
        self.models.get(name).cloned().unwrap_or_default()
    }
}

impl Default for CacheConfig {
    fn default() -> Self {
        Self {
            max_bytes: ByteSize(2 << 30),
            max_models: NonZeroUsize::new(100).expect("100 is not zero"),
            idle_ttl: Duration::from_hours(24),
            load_timeout: Duration::from_secs(30),
            max_waiting: 1000,
        }
    }
}
