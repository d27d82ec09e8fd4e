//! The `registry.guard` section of the configuration.

use std::num::NonZeroU64;
use std::time::Duration;

use serde::de::{Deserialize, Deserializer, Error};
use serde::{Serialize, Serializer};

/// How long a new champion is held against the version it replaced, and what takes it back.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct GuardConfig {
    /// How long; `0s` is never.
    #[serde(with = "serve_core::duration")]
    pub window: Duration,
    /// With fewer rows than this the new version stays unjudged.
    pub min_rows: NonZeroU64,
    /// How sure it must be that the new version errs more often, in (0.5, 1); `none` does not compare errors.
    #[serde(serialize_with = "write", deserialize_with = "confidence")]
    pub error_confidence: Option<f64>,
    /// How many times the old version's 99th percentile of the latency may be, above 1; `none` does not compare it.
    #[serde(serialize_with = "write", deserialize_with = "ratio")]
    pub latency_ratio: Option<f64>,
    /// How large the population stability index of the scores may be, above 0; `none` does not compare them.
    #[serde(serialize_with = "write", deserialize_with = "index")]
    pub psi: Option<f64>,
}

impl Default for GuardConfig {
    fn default() -> Self {
        Self {
            window: Duration::ZERO,
            min_rows: NonZeroU64::new(1000).expect("1000 is not zero"),
            error_confidence: Some(0.999),
            latency_ratio: Some(2.0),
            psi: Some(0.25),
        }
    }
}

impl GuardConfig {
    /// Whether a promotion opens a window.
    #[must_use]
    pub fn is_on(&self) -> bool {
        !self.window.is_zero()
    }
}

#[expect(clippy::ref_option, reason = "serde hands over a reference to the field")]
fn write<S: Serializer>(limit: &Option<f64>, serializer: S) -> Result<S::Ok, S::Error> {
    match limit {
        Some(limit) => serializer.serialize_f64(*limit),
        None => serializer.serialize_str("none"),
    }
}

fn confidence<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<f64>, D::Error> {
    limit(deserializer, |x| x > 0.5 && x < 1.0, "a number above 0.5 and below 1")
}

fn ratio<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<f64>, D::Error> {
    limit(deserializer, |x| x > 1.0 && x.is_finite(), "a number above 1")
}

fn index<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<f64>, D::Error> {
    limit(deserializer, |x| x > 0.0 && x.is_finite(), "a number above 0")
}

/// A number that `fits`, or `none`.
fn limit<'de, D: Deserializer<'de>>(
    deserializer: D,
    fits: impl Fn(f64) -> bool,
    expected: &str,
) -> Result<Option<f64>, D::Error> {
    #[derive(serde::Deserialize)]
    #[serde(untagged)]
    enum Given {
        Number(f64),
        Word(String),
        Other(serde::de::IgnoredAny),
    }
    match Given::deserialize(deserializer)? {
        Given::Number(x) if fits(x) => Ok(Some(x)),
        Given::Number(x) => Err(D::Error::custom(format!("expected {expected}, or \"none\", got {x}"))),
        Given::Word(word) if word.trim() == "none" => Ok(None),
        Given::Word(word) => {
            let word: String = word.chars().take(40).collect();
            Err(D::Error::custom(format!("expected {expected}, or \"none\", got {word:?}")))
        }
        Given::Other(_) => Err(D::Error::custom(format!("expected {expected}, or \"none\""))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_out_has_its_default_and_each_test_can_be_switched_off() {
        let read = |text| serde_json::from_str::<GuardConfig>(text);
        let default = read("{}").expect("reads");
        assert_eq!(default, GuardConfig::default());
        assert!(!default.is_on());
        let text =
            r#"{"window":"10m","min_rows":500,"error_confidence":0.99,"latency_ratio":"none","psi":"none"}"#;
        let config = read(text).expect("reads");
        assert!(config.is_on());
        assert_eq!((config.error_confidence, config.latency_ratio, config.psi), (Some(0.99), None, None));
        assert_eq!(serde_json::to_string(&config).expect("writes"), text);
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        let told = |text| serde_json::from_str::<GuardConfig>(text).expect_err("refused").to_string();
        for (text, expected) in [
            (r#"{"error_confidence":1.0}"#, "expected a number above 0.5 and below 1, or \"none\", got 1"),
            (r#"{"latency_ratio":1}"#, "expected a number above 1, or \"none\", got 1"),
            (r#"{"psi":-0.1}"#, "expected a number above 0, or \"none\", got -0.1"),
            (r#"{"psi":"off"}"#, "expected a number above 0, or \"none\", got \"off\""),
            (r#"{"psi":[]}"#, "expected a number above 0, or \"none\""),
            (r#"{"window":"10"}"#, "duration \"10\" has no unit"),
            (r#"{"min_rows":0}"#, "invalid value: integer `0`, expected a nonzero u64"),
            (r#"{"windows":"1m"}"#, "unknown field `windows`"),
        ] {
            assert!(told(text).starts_with(expected), "{}", told(text));
        }
    }
}
