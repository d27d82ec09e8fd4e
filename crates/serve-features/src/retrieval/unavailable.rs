//! Why there are no features, in words that name the set, the entity and the ages.

use std::error::Error;
use std::sync::Arc;

use jiff::Timestamp;

use crate::freshness::{Outdated, Stale};
use crate::name::{Entity, FeatureSetName};
use crate::store::{Fault, RetrieveError, Unreadable};

/// Why there is no row. Cheap to clone: rows of a batch share it.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum Unavailable {
    /// No store is configured.
    #[error("no feature store is configured, and the request needs features of \"{set}\"")]
    NoStore {
        /// The set.
        set: FeatureSetName,
    },
    /// The store has no row of that entity.
    #[error("no features for entity \"{entity}\" in feature set \"{set}\"")]
    NoRow {
        /// The set.
        set: FeatureSetName,
        /// Whose features.
        entity: Entity,
    },
    /// The store has only rows from the future.
    #[error(
        "the features of entity \"{entity}\" in feature set \"{set}\" are all from the future, the newest of {newest}"
    )]
    FromFuture {
        /// The set.
        set: FeatureSetName,
        /// Whose features.
        entity: Entity,
        /// The moment of the newest row.
        newest: Timestamp,
    },
    /// The row is older than its limit.
    #[error("{stale}{}", also(.not_computed.as_deref()))]
    Stale {
        /// The set.
        set: FeatureSetName,
        /// Whose row, its age and its limit.
        stale: Stale,
        /// Why it was not computed anew, where that was to be tried.
        not_computed: Option<String>,
    },
    /// The row was computed by an older declaration of the set.
    #[error("{outdated}{}", also(.not_computed.as_deref()))]
    Outdated {
        /// The set.
        set: FeatureSetName,
        /// Whose row, and by which declaration.
        outdated: Outdated,
        /// Why it was not computed anew, where that was to be tried.
        not_computed: Option<String>,
    },
    /// A feature that the row must not lack is missing or not allowed.
    #[error("the features of entity \"{entity}\" in feature set \"{set}\" cannot be used: {reason}")]
    Rejected {
        /// The set.
        set: FeatureSetName,
        /// Whose features.
        entity: Entity,
        /// The feature.
        feature: Arc<str>,
        /// What is wrong with it.
        reason: Arc<str>,
    },
    /// The set cannot be computed on demand, by anyone.
    #[error("features of \"{set}\" cannot be computed on demand: {reason}")]
    OnDemand {
        /// The set.
        set: FeatureSetName,
        /// Why not.
        reason: &'static str,
    },
    /// There is nothing to compute this entity's features from.
    #[error("no raw rows of entity \"{entity}\" to compute feature set \"{set}\" from")]
    NoRawRows {
        /// The set.
        set: FeatureSetName,
        /// Whose features.
        entity: Entity,
    },
    /// Computing failed.
    #[error("the features of \"{set}\" cannot be computed: {source}")]
    Computing {
        /// The set.
        set: FeatureSetName,
        /// Why not.
        source: Arc<dyn Error + Send + Sync>,
    },
    /// A row that the store has of the entity, ready or raw, is not what a store writes. Somebody has to mend it.
    #[error("{source}")]
    Unreadable {
        /// The set.
        set: FeatureSetName,
        /// Which row, and what is wrong with it.
        source: Unreadable,
    },
    /// The store cannot answer.
    #[error("the feature store cannot answer: {source}")]
    Store {
        /// The set.
        set: FeatureSetName,
        /// Why not.
        source: Arc<RetrieveError>,
    },
}

fn also(not_computed: Option<&str>) -> String {
    not_computed.map(|reason| format!(", and not computed anew: {reason}")).unwrap_or_default()
}

impl PartialEq for Unavailable {
    /// By what is said: sources have no equality of their own.
    fn eq(&self, other: &Self) -> bool {
        std::mem::discriminant(self) == std::mem::discriminant(other) && self.to_string() == other.to_string()
    }
}

impl Unavailable {
    /// The store failed, or has a row that cannot be read: the last row that was good may be answered.
    pub(super) fn may_be_stood_in_for(&self) -> bool {
        matches!(self, Self::Store { .. } | Self::Unreadable { .. })
    }

    /// The set.
    #[must_use]
    pub fn set(&self) -> &FeatureSetName {
        match self {
            Self::NoStore { set }
            | Self::NoRow { set, .. }
            | Self::FromFuture { set, .. }
            | Self::Stale { set, .. }
            | Self::Outdated { set, .. }
            | Self::Rejected { set, .. }
            | Self::OnDemand { set, .. }
            | Self::NoRawRows { set, .. }
            | Self::Computing { set, .. }
            | Self::Unreadable { set, .. }
            | Self::Store { set, .. } => set,
        }
    }

    /// The same beside words that name the set and the entity already.
    pub(super) fn briefly(&self) -> String {
        match self {
            Self::NoRawRows { .. } => "it has no raw rows".to_owned(),
            Self::Stale { stale, .. } => format!("a computed row is {} old", stale.age()),
            Self::Rejected { reason, .. } => format!("a computed row cannot be used: {reason}"),
            Self::OnDemand { reason, .. } => (*reason).to_owned(),
            Self::Computing { source, .. } => source.to_string(),
            other => other.to_string(),
        }
    }

    /// Whose fault it is.
    #[must_use]
    pub fn fault(&self) -> Fault {
        match self {
            Self::NoStore { .. }
            | Self::NoRow { .. }
            | Self::FromFuture { .. }
            | Self::Stale { .. }
            | Self::Outdated { .. }
            | Self::Rejected { .. }
            | Self::OnDemand { .. }
            | Self::NoRawRows { .. } => Fault::Client,
            Self::Computing { .. } | Self::Unreadable { .. } => Fault::Ours,
            Self::Store { source, .. } => source.fault(),
        }
    }

    /// Whether the same request may succeed later, without anyone doing anything.
    #[must_use]
    pub fn retry_helps(&self) -> bool {
        match self {
            Self::Store { source, .. } => source.retry_helps(),
            Self::NoStore { .. }
            | Self::NoRow { .. }
            | Self::FromFuture { .. }
            | Self::Stale { .. }
            | Self::Outdated { .. }
            | Self::Rejected { .. }
            | Self::OnDemand { .. }
            | Self::NoRawRows { .. }
            | Self::Computing { .. }
            | Self::Unreadable { .. } => false,
        }
    }
}
