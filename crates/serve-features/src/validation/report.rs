//! What is known of a set's rows: how old they are, what they lack, and what was wrong with them.

use std::sync::Arc;

use super::Tallied;
use super::rule::Rule;
use crate::declaration::FeatureSet;
use crate::name::FeatureSetName;

/// So many values there must be before a null rate is held against its limit.
const MINIMUM_VALUES: u64 = 20;

/// A feature set as it is now.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct SetReport {
    /// The set.
    pub set: FeatureSetName,
    /// Its declaration, where it is declared.
    pub declaration: Option<FeatureSet>,
    /// How many entities' newest rows were looked at: the first by name.
    pub sampled: usize,
    /// Whether the store could be asked; what is below is empty where it could not.
    pub looked: bool,
    /// How many of them are older than the set's limit.
    pub stale: usize,
    /// How many of them lie further in the future than clocks may differ.
    pub in_future: usize,
    /// How many of them an older declaration computed.
    pub outdated: usize,
    /// The age of the newest of them.
    pub newest_age_seconds: Option<f64>,
    /// The age of the oldest of them.
    pub oldest_age_seconds: Option<f64>,
    /// By feature, as declared; of a set that declares none, by name as sampled.
    pub features: Vec<FeatureReport>,
    /// What somebody should look at.
    pub warnings: Vec<String>,
}

/// One feature of a set.
#[derive(Debug, Clone, PartialEq, Default)]
#[non_exhaustive]
pub struct FeatureReport {
    /// Its name.
    pub name: Arc<str>,
    /// Values read and ingested since the start, missing ones included.
    pub values: u64,
    /// Missing ones.
    pub nulls: u64,
    /// Values outside the declared range.
    pub out_of_range: u64,
    /// Values of another type than declared.
    pub wrong_type: u64,
    /// The share of missing values in the last five minutes.
    pub null_rate: Option<f64>,
    /// The share that may be missing.
    pub max_null_rate: Option<f64>,
    /// The share of missing values among the sampled rows.
    pub sampled_null_rate: Option<f64>,
}

impl SetReport {
    pub(crate) fn new(set: FeatureSetName, declaration: Option<FeatureSet>) -> Self {
        Self {
            set,
            declaration,
            sampled: 0,
            looked: false,
            stale: 0,
            in_future: 0,
            outdated: 0,
            newest_age_seconds: None,
            oldest_age_seconds: None,
            features: Vec::new(),
            warnings: Vec::new(),
        }
    }

    /// Adds a declared feature.
    pub(crate) fn add(&mut self, rule: &Rule, tallied: Tallied) {
        let (values, nulls) = tallied.recent;
        let null_rate = (values > 0).then(|| nulls as f64 / values as f64);
        let over = null_rate.zip(rule.max_null_rate).filter(|(rate, limit)| rate > limit);
        if let (Some((rate, limit)), true) = (over, values >= MINIMUM_VALUES) {
            self.warnings.push(format!(
                "`{}` is missing in {:.1} % of the rows of the last 5 min, more than {:.1} %",
                rule.name,
                100.0 * rate,
                100.0 * limit
            ));
        }
        self.features.push(FeatureReport {
            name: Arc::clone(&rule.name),
            values: tallied.values,
            nulls: tallied.nulls,
            out_of_range: tallied.out_of_range,
            wrong_type: tallied.wrong_type,
            null_rate,
            max_null_rate: rule.max_null_rate,
            sampled_null_rate: None,
        });
    }
}
