//! The `features` section of the configuration.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::freshness::MaxAge;
use crate::location::StoreUrl;

/// Where features come from, and how long to wait and how far back to look for them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct FeaturesConfig {
    /// The store; without one, features come with every request.
    pub url: Option<StoreUrl>,
    /// The file that declares the feature sets (`features.yaml`).
    pub declarations: Option<PathBuf>,
    /// The age limit of sets that declare none; `none` switches it off.
    pub max_age: MaxAge,
    /// How long a prediction waits for its features.
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
        }
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
        assert_eq!(shown, r#"{"url":null,"declarations":null,"max_age":"15m","timeout":"50ms"}"#);
    }

    #[test]
    fn a_full_section_reads() {
        let config = read("{url: sqlite://f.db, declarations: features.yaml, max_age: none, timeout: 1s}");
        let expected = FeaturesConfig {
            url: Some(StoreUrl::sqlite("f.db")),
            declarations: Some("features.yaml".into()),
            max_age: MaxAge::Unlimited,
            timeout: Duration::from_secs(1),
        };
        assert_eq!(config, Ok(expected));
    }

    #[test]
    fn mistakes_are_refused_with_the_reason() {
        let message = |yaml: &str| read(yaml).expect_err("is refused");
        assert!(message("{urls: x}").contains("unknown field"), "{}", message("{urls: x}"));
        assert!(message("{timeout: 50}").contains("has no unit"), "{}", message("{timeout: 50}"));
        assert!(message("{max_age: soon}").contains("expected a whole number"));
        let refused = message("{url: 'redis://ann:hunter2@db'}");
        assert!(refused.contains("later release") && !refused.contains("hunter2"), "{refused}");
    }
}
