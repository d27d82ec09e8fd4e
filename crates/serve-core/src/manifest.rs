//! The manifest: our versioned description of one version of one model. It is written last when a version is published,
//! and its own digest is the identity of what serves.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::decision::DecisionPolicy;
use crate::digest::Digest;
use crate::golden::GoldenSource;
use crate::name::{ModelName, ModelVersion};
use crate::scaler::Scaler;
use crate::signature::Signature;
use crate::transform::Transform;

/// The format that this release writes, and the newest it reads.
pub const FORMAT: u32 = 2;

/// What a model predicts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Target {
    /// The key under which the answer stands, e.g. `direction`.
    pub name: String,
    /// Regression, or classification with its classes.
    pub task: Task,
}

/// The kind of question.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Task {
    /// One number.
    Regression,
    /// One of some classes, with a probability each.
    Classification {
        /// The classes' labels, in the order of the probabilities.
        classes: Vec<String>,
    },
    /// Several numbers at once. Since manifest format 2.
    MultiRegression {
        /// Their names, in the order of the scores.
        outputs: Vec<String>,
    },
}

impl Task {
    /// The classes; none for a regression.
    #[must_use]
    pub fn classes(&self) -> &[String] {
        match self {
            Self::Regression | Self::MultiRegression { .. } => &[],
            Self::Classification { classes } => classes,
        }
    }

    /// Whether it has classes.
    #[must_use]
    pub fn is_classification(&self) -> bool {
        matches!(self, Self::Classification { .. })
    }

    /// How many scores a model for it gives.
    #[must_use]
    pub fn scores(&self) -> usize {
        match self {
            Self::Regression => 1,
            Self::Classification { classes } => classes.len(),
            Self::MultiRegression { outputs } => outputs.len(),
        }
    }

    /// `regression` or `classification`.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Regression | Self::MultiRegression { .. } => "regression",
            Self::Classification { .. } => "classification",
        }
    }
}

/// Which values of a metric are better.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    /// Greater ones, as of an accuracy.
    Maximize,
    /// Smaller ones, as of an error.
    Minimize,
}

impl Direction {
    /// The direction of a metric that is known by its name: errors and losses are minimised, everything else is
    /// maximised.
    ///
    /// ```
    /// use serve_core::manifest::Direction;
    /// assert_eq!(Direction::of_metric("rmse"), Direction::Minimize);
    /// assert_eq!(Direction::of_metric("roc_auc"), Direction::Maximize);
    /// ```
    #[must_use]
    pub fn of_metric(name: &str) -> Self {
        const MINIMIZED: [&str; 6] = ["log_loss", "brier", "rmse", "mse", "mae", "mape"];
        if MINIMIZED.contains(&name) { Self::Minimize } else { Self::Maximize }
    }

    /// As it is written.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Maximize => "maximize",
            Self::Minimize => "minimize",
        }
    }

    /// Whether the first of two values is better than the second.
    #[must_use]
    pub fn is_better(self, value: f64, than: f64) -> bool {
        match self {
            Self::Maximize => value > than,
            Self::Minimize => value < than,
        }
    }
}

/// What was measured, and on what.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Metrics {
    /// The metric that versions are compared by, e.g. `accuracy`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub primary: Option<String>,
    /// Which values of the primary metric are better; see [`Metrics::direction`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub direction: Option<Direction>,
    /// How many held-out rows a version needs so that `best` may mean it; see [`Metrics::min_rows`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_rows: Option<u64>,
    /// Held-out measurements by name, e.g. `accuracy`, `log_loss`, `baseline_accuracy`.
    #[serde(default)]
    pub holdout: BTreeMap<String, f64>,
    /// Number of held-out rows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub holdout_rows: Option<u64>,
    /// Where the held-out rows came from, e.g. `2023-12-30 to 2025-03-29, the last 20 % of btc.csv`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<String>,
}

impl Metrics {
    /// Fewer held-out rows than this say nothing about which version is best, where the manifest does not say otherwise.
    pub const MIN_ROWS: u64 = 30;

    /// Which values of the primary metric are better: as stated, else as its name says.
    #[must_use]
    pub fn direction(&self) -> Direction {
        let of_name = || self.primary.as_deref().map_or(Direction::Maximize, Direction::of_metric);
        self.direction.unwrap_or_else(of_name)
    }

    /// How many held-out rows a version needs so that `best` may mean it.
    #[must_use]
    pub fn min_rows(&self) -> u64 {
        self.min_rows.unwrap_or(Self::MIN_ROWS)
    }
}

/// Where a model came from.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SourceInfo {
    /// The library that trained it, e.g. `lightgbm`.
    pub library: String,
    /// The library's version, where the file tells it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// The imported file under `source/`, if any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
}

/// A file of the bundle, with what proves that it is whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileEntry {
    /// Its SHA-256.
    pub sha256: Digest,
    /// Its length.
    pub bytes: u64,
}

/// How many golden rows there are, and whose answers they hold.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GoldenSummary {
    /// `reference` or `self`.
    pub source: GoldenSource,
    /// Who answered, e.g. `lightgbm 4.7.0`.
    pub by: String,
    /// Number of rows.
    pub rows: u64,
}

/// The description of one version. Unknown keys are refused: a manifest that says more than this release understands
/// could mean other answers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// The format, [`FORMAT`] or older.
    pub format: u32,
    /// The model.
    pub name: ModelName,
    /// The version.
    pub version: ModelVersion,
    /// The feature set that the model was trained on, if it is served from a store.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub feature_set: Option<String>,
    /// How old its stored features may be, where that is stricter than what holds for them anyway. Since format 2.
    #[serde(default, with = "crate::duration::optional", skip_serializing_if = "Option::is_none")]
    pub max_age: Option<Duration>,
    /// The kind of model, e.g. `random_forest`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model_type: Option<String>,
    /// What it predicts.
    pub target: Target,
    /// What it takes.
    pub signature: Signature,
    /// Applied to admitted rows, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub transforms: Vec<Transform>,
    /// Applied to transformed columns.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scaler: Option<Scaler>,
    /// How scores become an answer.
    #[serde(default)]
    pub decision: DecisionPolicy,
    /// What was measured.
    #[serde(default)]
    pub metrics: Metrics,
    /// The trainer's settings, for people.
    #[serde(default)]
    pub hyperparameters: BTreeMap<String, serde_json::Value>,
    /// When it was trained, RFC 3339 UTC, where known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub training_date: Option<String>,
    /// When the bundle was made, RFC 3339 UTC.
    pub created: String,
    /// Where it came from.
    pub source: SourceInfo,
    /// Its proof.
    pub golden: GoldenSummary,
    /// Every file of the bundle but the manifest.
    pub files: BTreeMap<String, FileEntry>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_manifest_says_of_its_metric_goes_before_the_name() {
        let metrics = |json: &str| serde_json::from_str::<Metrics>(json).expect("reads");
        let named = metrics(r#"{"primary": "log_loss"}"#);
        assert_eq!((named.direction(), named.min_rows()), (Direction::Minimize, 30));
        let stated = metrics(r#"{"primary": "log_loss", "direction": "maximize", "min_rows": 5}"#);
        assert_eq!((stated.direction(), stated.min_rows()), (Direction::Maximize, 5));
        assert!(stated.direction().is_better(2.0, 1.0) && !named.direction().is_better(2.0, 1.0));
        assert_eq!(metrics("{}").direction(), Direction::Maximize);
    }
}
