//! The `cache` section of the configuration.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serve_core::ByteSize;
use serve_features::RedisUrl;

/// What is kept so that it need not be computed again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CacheConfig {
    /// Answers, by their row.
    pub predictions: PredictionsConfig,
    /// Where servers share answers: `redis://…`. Without it each has its own.
    pub redis: Option<RedisUrl>,
    /// How long a request waits for Redis at most.
    #[serde(with = "serve_core::duration")]
    pub redis_timeout: Duration,
}

/// Answers that are kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PredictionsConfig {
    /// Whether any are.
    pub enabled: bool,
    /// How long.
    #[serde(with = "serve_core::duration")]
    pub ttl: Duration,
    /// The most memory that they may take.
    pub max_bytes: ByteSize,
    /// Rows of models that take less, as measured when they were loaded, are computed each time.
    #[serde(with = "serve_core::duration")]
    pub min_cost: Duration,
}

impl Default for CacheConfig {
    fn default() -> Self {
        Self {
            predictions: PredictionsConfig::default(),
            redis: None,
            redis_timeout: Duration::from_millis(10),
        }
    }
}

impl Default for PredictionsConfig {
    fn default() -> Self {
        Self {
            enabled: false,
            ttl: Duration::from_mins(5),
            max_bytes: ByteSize(64 << 20),
            min_cost: Duration::ZERO,
        }
    }
}
