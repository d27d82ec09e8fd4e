//! What can be trained, and with which settings. Settings that are left out have defaults made for small tables with
//! a weak signal: shallow trees, leaves of several rows, slow steps.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde_json::{Value, json};
use thiserror::Error;

use crate::fault::Fault;

/// A learning algorithm.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Algorithm {
    /// A linear model behind a logistic or softmax link, on scaled features.
    LogisticRegression,
    /// Trees on bootstrap samples that vote.
    RandomForest,
    /// Trees that each correct the sum of those before.
    GradientBoosting,
}

impl Algorithm {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::LogisticRegression, Self::RandomForest, Self::GradientBoosting];

    /// Its name, which is also the model type in the manifest.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::LogisticRegression => "logistic_regression",
            Self::RandomForest => "random_forest",
            Self::GradientBoosting => "gradient_boosting",
        }
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Algorithm {
    type Err = InvalidSetting;

    /// ```
    /// use serve_train::Algorithm;
    /// assert_eq!("random_forest".parse(), Ok(Algorithm::RandomForest));
    /// ```
    fn from_str(text: &str) -> Result<Self, InvalidSetting> {
        let found = Self::ALL.into_iter().find(|algorithm| algorithm.as_str() == text);
        found.ok_or_else(|| InvalidSetting::Value {
            setting: "algorithm",
            expected: "logistic_regression, random_forest or gradient_boosting",
            got: text.to_owned(),
        })
    }
}

/// A held-out measurement that versions can be compared by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Metric {
    /// Share of rows answered right; more is better.
    #[default]
    Accuracy,
    /// See [`log_loss`](crate::metrics::log_loss); less is better.
    LogLoss,
    /// See [`brier_score`](crate::metrics::brier_score); less is better.
    Brier,
    /// See [`roc_auc`](crate::metrics::roc_auc), for two classes; more is better.
    RocAuc,
}

impl Metric {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Accuracy, Self::LogLoss, Self::Brier, Self::RocAuc];

    /// Its name in the manifest.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Accuracy => "accuracy",
            Self::LogLoss => "log_loss",
            Self::Brier => "brier",
            Self::RocAuc => "roc_auc",
        }
    }
}

impl FromStr for Metric {
    type Err = InvalidSetting;

    fn from_str(text: &str) -> Result<Self, InvalidSetting> {
        let found = Self::ALL.into_iter().find(|metric| metric.as_str() == text);
        found.ok_or_else(|| InvalidSetting::Value {
            setting: "metric",
            expected: "accuracy, log_loss, brier or roc_auc",
            got: text.to_owned(),
        })
    }
}

/// A setting that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum InvalidSetting {
    /// Its value is not one.
    #[error("{setting}: expected {expected}, got {got}")]
    Value {
        /// The setting.
        setting: &'static str,
        /// What it can be.
        expected: &'static str,
        /// What it is.
        got: String,
    },
    /// The algorithm has no such setting.
    #[error("{algorithm} has no setting {setting}")]
    Foreign {
        /// The algorithm.
        algorithm: Algorithm,
        /// The setting.
        setting: &'static str,
    },
}

impl InvalidSetting {
    /// Whose fault it is.
    #[must_use]
    pub fn fault(&self) -> Fault {
        Fault::Options
    }
}

/// Settings by choice; `None` is the algorithm's default.
///
/// | | logistic regression | random forest | gradient boosting |
/// |---|---|---|---|
/// | `l2` | 1 | | |
/// | `trees` | | 100 | 100 |
/// | `depth` | | 8 | 3 |
/// | `min_samples_leaf` | | 5 | 20 |
/// | `features_per_split` | | √features, rounded down | |
/// | `learning_rate` | | | 0.05 |
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Hyperparameters {
    /// Strength of the penalty `½ · l2 · Σ weight²` on the summed log loss, intercepts aside; scikit-learn's `1 / C`.
    pub l2: Option<f64>,
    /// Number of trees, for boosting of rounds (with more than two classes a round has one tree for each class).
    pub trees: Option<u16>,
    /// Most splits from root to leaf, as scikit-learn, LightGBM and XGBoost count them.
    pub depth: Option<u16>,
    /// Fewest training rows in a leaf.
    pub min_samples_leaf: Option<usize>,
    /// How many features each split of a forest may choose from, drawn anew for each.
    pub features_per_split: Option<usize>,
    /// What part of each step boosting takes, above 0 and at most 1.
    pub learning_rate: Option<f64>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Learner {
    Logistic(LogisticSettings),
    Forest(ForestSettings),
    Boosting(BoostingSettings),
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct LogisticSettings {
    pub(crate) l2: f64,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct ForestSettings {
    pub(crate) trees: u16,
    pub(crate) depth: u16,
    pub(crate) min_samples_leaf: usize,
    pub(crate) features_per_split: usize,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct BoostingSettings {
    pub(crate) trees: u16,
    pub(crate) depth: u16,
    pub(crate) min_samples_leaf: usize,
    pub(crate) learning_rate: f64,
}

impl Hyperparameters {
    /// Fills in the algorithm's defaults for rows of `features` numbers.
    pub(crate) fn resolve(&self, algorithm: Algorithm, features: usize) -> Result<Learner, InvalidSetting> {
        self.refuse_foreign(algorithm)?;
        self.check(features)?;
        Ok(match algorithm {
            Algorithm::LogisticRegression => {
                Learner::Logistic(LogisticSettings { l2: self.l2.unwrap_or(1.0) })
            }
            Algorithm::RandomForest => Learner::Forest(ForestSettings {
                trees: self.trees.unwrap_or(100),
                depth: self.depth.unwrap_or(8),
                min_samples_leaf: self.min_samples_leaf.unwrap_or(5),
                features_per_split: self.features_per_split.unwrap_or(features.isqrt()),
            }),
            Algorithm::GradientBoosting => Learner::Boosting(BoostingSettings {
                trees: self.trees.unwrap_or(100),
                depth: self.depth.unwrap_or(3),
                min_samples_leaf: self.min_samples_leaf.unwrap_or(20),
                learning_rate: self.learning_rate.unwrap_or(0.05),
            }),
        })
    }

    fn refuse_foreign(&self, algorithm: Algorithm) -> Result<(), InvalidSetting> {
        use Algorithm::{GradientBoosting, LogisticRegression, RandomForest};
        let trees = &[RandomForest, GradientBoosting][..];
        let given = [
            ("l2", self.l2.is_some(), &[LogisticRegression][..]),
            ("trees", self.trees.is_some(), trees),
            ("depth", self.depth.is_some(), trees),
            ("min_samples_leaf", self.min_samples_leaf.is_some(), trees),
            ("features_per_split", self.features_per_split.is_some(), &[RandomForest]),
            ("learning_rate", self.learning_rate.is_some(), &[GradientBoosting]),
        ];
        match given.into_iter().find(|(_, given, of)| *given && !of.contains(&algorithm)) {
            Some((setting, ..)) => Err(InvalidSetting::Foreign { algorithm, setting }),
            None => Ok(()),
        }
    }

    fn check(&self, features: usize) -> Result<(), InvalidSetting> {
        fn within<T: Copy + fmt::Display>(
            setting: &'static str,
            value: Option<T>,
            expected: &'static str,
            legal: impl Fn(T) -> bool,
        ) -> Result<(), InvalidSetting> {
            match value {
                Some(x) if !legal(x) => Err(InvalidSetting::Value { setting, expected, got: x.to_string() }),
                _ => Ok(()),
            }
        }
        within("l2", self.l2, "a finite number of 0 or more", |x| x >= 0.0 && x.is_finite())?;
        within("trees", self.trees, "1 to 10000", |x| (1..=10_000).contains(&x))?;
        within("depth", self.depth, "1 to 64", |x| (1..=64).contains(&x))?;
        within("min_samples_leaf", self.min_samples_leaf, "1 or more", |x| x >= 1)?;
        let split = "1 to the number of features";
        within("features_per_split", self.features_per_split, split, |x| (1..=features).contains(&x))?;
        within("learning_rate", self.learning_rate, "above 0 and at most 1", |x| x > 0.0 && x <= 1.0)
    }
}

impl Learner {
    /// The settings for the manifest.
    pub(crate) fn record(&self) -> BTreeMap<String, Value> {
        let record = match *self {
            Self::Logistic(LogisticSettings { l2 }) => vec![("l2", json!(l2))],
            Self::Forest(ForestSettings { trees, depth, min_samples_leaf, features_per_split }) => vec![
                ("trees", json!(trees)),
                ("depth", json!(depth)),
                ("min_samples_leaf", json!(min_samples_leaf)),
                ("features_per_split", json!(features_per_split)),
            ],
            Self::Boosting(BoostingSettings { trees, depth, min_samples_leaf, learning_rate }) => vec![
                ("trees", json!(trees)),
                ("depth", json!(depth)),
                ("min_samples_leaf", json!(min_samples_leaf)),
                ("learning_rate", json!(learning_rate)),
            ],
        };
        record.into_iter().map(|(setting, value)| (setting.to_owned(), value)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(hyperparameters: Hyperparameters, algorithm: Algorithm) -> String {
        hyperparameters.resolve(algorithm, 9).expect_err("refused").to_string()
    }

    #[test]
    fn names_are_read_and_others_are_told_what_there_is() {
        for algorithm in Algorithm::ALL {
            assert_eq!(algorithm.to_string().parse(), Ok(algorithm));
        }
        for metric in Metric::ALL {
            assert_eq!(metric.as_str().parse(), Ok(metric));
        }
        let error = "xgboost".parse::<Algorithm>().expect_err("refused").to_string();
        assert_eq!(
            error,
            "algorithm: expected logistic_regression, random_forest or gradient_boosting, got xgboost"
        );
    }

    #[test]
    fn a_setting_of_another_algorithm_is_refused() {
        let given = Hyperparameters { learning_rate: Some(0.1), ..Hyperparameters::default() };
        assert_eq!(told(given, Algorithm::RandomForest), "random_forest has no setting learning_rate");
        assert!(given.resolve(Algorithm::GradientBoosting, 9).is_ok());
        let given = Hyperparameters { trees: Some(1), ..Hyperparameters::default() };
        assert_eq!(told(given, Algorithm::LogisticRegression), "logistic_regression has no setting trees");
    }

    #[test]
    fn values_out_of_range_are_refused() {
        let none = Hyperparameters::default();
        let trees = |given| told(given, Algorithm::RandomForest);
        assert_eq!(trees(Hyperparameters { trees: Some(0), ..none }), "trees: expected 1 to 10000, got 0");
        assert_eq!(trees(Hyperparameters { depth: Some(65), ..none }), "depth: expected 1 to 64, got 65");
        assert_eq!(
            trees(Hyperparameters { min_samples_leaf: Some(0), ..none }),
            "min_samples_leaf: expected 1 or more, got 0"
        );
        assert_eq!(
            trees(Hyperparameters { features_per_split: Some(10), ..none }),
            "features_per_split: expected 1 to the number of features, got 10"
        );
        let rate = Hyperparameters { learning_rate: Some(f64::NAN), ..none };
        assert_eq!(
            told(rate, Algorithm::GradientBoosting),
            "learning_rate: expected above 0 and at most 1, got NaN"
        );
        let l2 = Hyperparameters { l2: Some(-1.0), ..none };
        assert_eq!(
            told(l2, Algorithm::LogisticRegression),
            "l2: expected a finite number of 0 or more, got -1"
        );
    }
}
