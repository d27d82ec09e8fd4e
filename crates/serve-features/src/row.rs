//! One reading of a feature set for one entity. Rows are shared between caches, requests and logs, so a clone costs two
//! reference counts whatever the number of features.

use std::sync::Arc;

use jiff::Timestamp;
use serve_core::Value;

use crate::name::Entity;
use crate::timestamp;

/// The features of one entity at one moment, in the order in which the set names them.
#[derive(Debug, Clone, PartialEq)]
pub struct FeatureRow {
    entity: Entity,
    timestamp: Timestamp,
    features: Arc<[(Arc<str>, Value<'static>)]>,
}

impl FeatureRow {
    /// A row; its timestamp is cut down to microseconds, which every store keeps.
    #[must_use]
    pub fn new(
        entity: Entity,
        timestamp: Timestamp,
        features: impl Into<Arc<[(Arc<str>, Value<'static>)]>>,
    ) -> Self {
        Self { entity, timestamp: timestamp::to_micros(timestamp), features: features.into() }
    }

    /// Whom the features describe.
    pub fn entity(&self) -> &Entity {
        &self.entity
    }

    /// When they became known, in whole microseconds.
    pub fn timestamp(&self) -> Timestamp {
        self.timestamp
    }

    /// Names and values, in order.
    pub fn features(&self) -> &[(Arc<str>, Value<'static>)] {
        &self.features
    }

    /// The named value. A scan: a caller that wants them all goes over [`features`](Self::features) once.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Value<'static>> {
        self.features.iter().find(|(known, _)| &**known == name).map(|(_, value)| value)
    }
}
