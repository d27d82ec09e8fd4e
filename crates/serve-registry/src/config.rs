//! The `registry` section of the configuration.

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serve_core::ModelName;
use serve_core::size::ByteSize;

use crate::url::RegistryUrl;

/// Where the registry lies and what is kept loaded.
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
    /// What is kept of versions that were asked for explicitly.
    pub cache: CacheConfig,
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
            url: RegistryUrl::default(),
            poll: Duration::from_secs(5),
            watch: true,
            default_model: None,
            cache: CacheConfig::default(),
            object_cache: ObjectCacheConfig::default(),
        }
    }
}

impl Default for CacheConfig {
    fn default() -> Self {
        Self { max_models: NonZeroUsize::new(100).expect("100 is not zero") }
    }
}
