//! The `features` section of the configuration. Each part belongs to one piece of retrieval and is handed to it as it is.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serve_core::ByteSize;

use crate::freshness::MaxAge;
use crate::location::{RedisUrl, StoreUrl};

pub use share::{Share, ShareError};

mod open;
mod share;

/// Where features come from, how long to wait and how far back to look for them, and what happens when the store fails.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct FeaturesConfig {
    /// The store; without one, features come with every request.
    pub url: Option<StoreUrl>,
    /// The file that declares the feature sets (`features.yaml`).
    pub declarations: Option<PathBuf>,
    /// The age limit of sets that declare none; `none` switches it off.
    pub max_age: MaxAge,
    /// How long a prediction waits for its features, retries included.
    #[serde(with = "crate::duration")]
    pub timeout: Duration,
    /// Calls of the store that may be under way at once.
    pub connections: usize,
    /// Calls that may wait for one of them to end; the next is refused.
    pub queue: usize,
    /// How far a row may lie in the future and be taken for a clock that runs ahead.
    #[serde(with = "crate::duration")]
    pub clock_skew: Duration,
    /// Computing from raw rows when asked.
    pub on_demand: OnDemandConfig,
    /// Rows kept in this process.
    pub cache: CacheConfig,
    /// Asking again.
    pub retry: RetryConfig,
    /// Leaving a failing store alone.
    pub breaker: BreakerConfig,
    /// Writing rows.
    pub ingest: IngestConfig,
}

/// Computing features from raw rows when a request asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct OnDemandConfig {
    /// Whether requests may have features computed.
    pub enabled: bool,
    /// The most raw rows of one source and entity that are read for it.
    pub max_rows: usize,
    /// What `auto` does with a row that is too old and cannot be computed anew.
    pub when_stale: WhenStale,
    /// How long a prediction waits for it, reading included.
    #[serde(with = "crate::duration")]
    pub timeout: Duration,
}

/// What `auto` does with a row that is too old and cannot be computed anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WhenStale {
    /// Says so instead of an answer.
    #[default]
    Refuse,
    /// Answers from it, marked `degraded`.
    Degrade,
}

/// Rows kept in this process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CacheConfig {
    /// How long a row answers without asking the store; 0 asks every time.
    #[serde(with = "crate::duration")]
    pub ttl: Duration,
    /// The most memory that rows may take.
    pub max_bytes: ByteSize,
    /// The most rows.
    pub max_rows: usize,
    /// How long after its time to live a row may stand in for a store that fails; 0 is never.
    #[serde(with = "crate::duration")]
    pub last_known_good: Duration,
    /// A cache shared between processes, in front of the store: `redis://…`. Rows stay in it for `ttl`, or for a minute where
    /// that is 0.
    pub url: Option<RedisUrl>,
}

/// Asking a store again that failed for a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RetryConfig {
    /// Attempts at most, the first included.
    pub attempts: u32,
    /// The pause before the second attempt, doubled for each further one; its length is drawn between nothing and this.
    #[serde(with = "crate::duration")]
    pub backoff: Duration,
}

/// When a store that fails is left alone, and for how long.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct BreakerConfig {
    /// The time over which calls and failures are counted.
    #[serde(with = "crate::duration")]
    pub window: Duration,
    /// So many calls there must be before their share of failures means anything.
    pub minimum_calls: u32,
    /// The share of failures that opens it.
    pub failure_rate: Share,
    /// So many failures in a row open it too.
    pub consecutive_failures: u32,
    /// How long it stays open at first; doubled for each probe that fails.
    #[serde(with = "crate::duration")]
    pub cooldown: Duration,
    /// The longest that it stays open.
    #[serde(with = "crate::duration")]
    pub max_cooldown: Duration,
    /// Calls that are let through at once to see whether the store is back; as many must succeed.
    pub probes: u32,
}

/// Writing rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct IngestConfig {
    /// How long a write may take.
    #[serde(with = "crate::duration")]
    pub timeout: Duration,
}

impl Default for FeaturesConfig {
    fn default() -> Self {
        Self {
            url: None,
            declarations: None,
            max_age: MaxAge::Limit(Duration::from_mins(15)),
            timeout: Duration::from_millis(50),
            connections: 8,
            queue: 1024,
            clock_skew: Duration::from_mins(1),
            on_demand: OnDemandConfig::default(),
            cache: CacheConfig::default(),
            retry: RetryConfig::default(),
            breaker: BreakerConfig::default(),
            ingest: IngestConfig::default(),
        }
    }
}

impl Default for OnDemandConfig {
    fn default() -> Self {
        Self {
            enabled: true,
            max_rows: 10_000,
            when_stale: WhenStale::Refuse,
            timeout: Duration::from_millis(500),
        }
    }
}

impl Default for CacheConfig {
    fn default() -> Self {
        Self {
            ttl: Duration::ZERO,
            max_bytes: ByteSize(64 << 20),
            max_rows: 100_000,
            last_known_good: Duration::ZERO,
            url: None,
        }
    }
}

impl Default for RetryConfig {
    fn default() -> Self {
        Self { attempts: 2, backoff: Duration::from_millis(5) }
    }
}

impl Default for BreakerConfig {
    fn default() -> Self {
        Self {
            window: Duration::from_secs(10),
            minimum_calls: 10,
            failure_rate: Share::HALF,
            consecutive_failures: 5,
            cooldown: Duration::from_secs(1),
            max_cooldown: Duration::from_secs(5),
            probes: 1,
        }
    }
}

impl Default for IngestConfig {
    fn default() -> Self {
        Self { timeout: Duration::from_secs(10) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(yaml: &str) -> Result<FeaturesConfig, String> {
        serde_saphyr::from_str(yaml).map_err(|error| error.without_snippet().to_string())
    }

    #[test]
    fn an_empty_section_is_the_defaults() {
        assert_eq!(read("{}"), Ok(FeaturesConfig::default()));
        let shown = serde_json::to_string(&FeaturesConfig::default()).expect("serialises");
        let expected = concat!(
            r#"{"url":null,"declarations":null,"max_age":"15m","timeout":"50ms","connections":8,"queue":1024,"#,
            r#""clock_skew":"1m","on_demand":{"enabled":true,"max_rows":10000,"when_stale":"refuse","timeout":"500ms"},"#,
            r#""cache":{"ttl":"0s","max_bytes":"64MiB","max_rows":100000,"last_known_good":"0s","url":null},"#,
            r#""retry":{"attempts":2,"backoff":"5ms"},"breaker":{"window":"10s","minimum_calls":10,"failure_rate":0.5,"#,
            r#""consecutive_failures":5,"cooldown":"1s","max_cooldown":"5s","probes":1},"ingest":{"timeout":"10s"}}"#,
        );
        assert_eq!(shown, expected);
        assert_eq!(serde_json::from_str::<FeaturesConfig>(&shown).ok(), Some(FeaturesConfig::default()));
    }

    #[test]
    fn a_full_section_reads() {
        let config = read(
            "{url: sqlite://f.db, declarations: features.yaml, max_age: none, timeout: 1s, connections: 2, clock_skew: 5s, \
              on_demand: {enabled: false, max_rows: 7, when_stale: degrade, timeout: 2s}, \
              cache: {ttl: 1s, max_bytes: 1MiB, max_rows: 9, last_known_good: 1h}, \
              retry: {attempts: 3, backoff: 1ms}, breaker: {failure_rate: 0.25, probes: 2}}",
        );
        let expected = FeaturesConfig {
            url: Some(StoreUrl::sqlite("f.db")),
            declarations: Some("features.yaml".into()),
            max_age: MaxAge::Unlimited,
            timeout: Duration::from_secs(1),
            connections: 2,
            clock_skew: Duration::from_secs(5),
            on_demand: OnDemandConfig {
                enabled: false,
                max_rows: 7,
                when_stale: WhenStale::Degrade,
                timeout: Duration::from_secs(2),
            },
            cache: CacheConfig {
                ttl: Duration::from_secs(1),
                max_bytes: ByteSize(1 << 20),
                max_rows: 9,
                last_known_good: Duration::from_hours(1),
                url: None,
            },
            retry: RetryConfig { attempts: 3, backoff: Duration::from_millis(1) },
            breaker: BreakerConfig {
                failure_rate: Share::new(0.25).expect("is a share"),
                probes: 2,
                ..BreakerConfig::default()
            },
            ..FeaturesConfig::default()
        };
        assert_eq!(config, Ok(expected));
    }

    #[test]
    fn mistakes_are_refused_with_the_reason() {
        let message = |yaml: &str| read(yaml).expect_err("is refused");
        assert!(message("{urls: x}").contains("unknown field"), "{}", message("{urls: x}"));
        assert!(message("{cache: {tll: 1s}}").contains("unknown field"));
        assert!(message("{timeout: 50}").contains("has no unit"), "{}", message("{timeout: 50}"));
        assert!(message("{cache: {url: sqlite://f.db}}").contains("expected a Redis"));
        assert!(message("{max_age: soon}").contains("expected a whole number"));
        assert!(message("{breaker: {failure_rate: 50}}").contains("expected more than 0, and 1 at most"));
        assert!(message("{on_demand: {when_stale: shrug}}").contains("unknown variant"));
        let refused = message("{url: 'mysql://ann:hunter2@db'}");
        assert!(refused.contains("no feature store") && !refused.contains("hunter2"), "{refused}");
    }
}
