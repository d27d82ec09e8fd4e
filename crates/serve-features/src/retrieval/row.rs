//! Which rows are asked for, and a row with all that has to be told about it.

use std::sync::Arc;

use jiff::Timestamp;

use crate::freshness::MaxAge;
use crate::name::{Entity, FeatureSetName};
use crate::row::FeatureRow;
use crate::validation::Violation;

/// What `use_cached_features` says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub enum Mode {
    /// `true`: the stored row, if it is fresh.
    #[default]
    Cached,
    /// `false`: computed from raw rows now.
    Compute,
    /// `auto`: the stored row if it is fresh, else computed, else what `on_demand.when_stale` says.
    Auto,
}

/// Which rows are wanted.
#[derive(Debug, Clone, PartialEq)]
pub struct RetrieveRequest {
    /// Of which set.
    pub set: FeatureSetName,
    /// Of whom, one answer each, in this order.
    pub entities: Vec<Entity>,
    /// Read or computed.
    pub mode: Mode,
    /// As of then: ages are measured against it too; `None`: now.
    pub as_of: Option<Timestamp>,
    /// The strictest limit of the request and the model, if they set any.
    pub max_age: Option<MaxAge>,
    /// When nobody waits any more.
    pub deadline: Option<std::time::Instant>,
}

impl RetrieveRequest {
    /// The newest stored rows, within the limits of the set and the configuration.
    #[must_use]
    pub fn cached(set: FeatureSetName, entities: impl IntoIterator<Item = Entity>) -> Self {
        let entities = entities.into_iter().collect();
        Self { set, entities, mode: Mode::Cached, as_of: None, max_age: None, deadline: None }
    }
}

/// Where a row came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Origin {
    /// The store, or the memory of what it said a moment ago.
    Cached,
    /// Raw rows, just now.
    Computed,
    /// Memory, in the place of a store that failed.
    LastKnownGood,
}

impl Origin {
    /// `cached`, `computed` or `last_known_good`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Cached => "cached",
            Self::Computed => "computed",
            Self::LastKnownGood => "last_known_good",
        }
    }
}

/// A row with all that has to be told about it.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Retrieved {
    /// The row; values that offended are missing, or what their policy says.
    pub row: FeatureRow,
    /// Where it came from.
    pub origin: Origin,
    /// Its age; 0 where it lies a little in the future.
    pub age_seconds: f64,
    /// It lies in the future, by no more than clocks may differ.
    pub from_future: bool,
    /// The moment of a newer row that was left out, because it lies further in the future than that.
    pub skipped_future: Option<Timestamp>,
    /// An older declaration of the set computed it.
    pub outdated: bool,
    /// For computed rows, whether functions of endless memory had their past.
    pub warm: Option<bool>,
    /// Features for which the set's constant stands.
    pub filled: Arc<[Arc<str>]>,
    /// Stored or computed values that their declaration does not allow; they count as missing.
    pub invalid: Arc<[Violation]>,
    /// Why the row is not what it should be, where it was answered all the same.
    pub degraded: Option<String>,
}
