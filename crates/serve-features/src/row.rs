//! One reading of a feature set for one entity. Rows are shared between caches, requests and logs, so a clone costs three
//! reference counts whatever the number of features; rows of one set share their names as well, so that reading one from a
//! store counts them once and not name by name.

use std::sync::Arc;

use jiff::Timestamp;
use serve_core::Value;

use crate::declaration::DeclarationDigest;
use crate::name::Entity;
use crate::timestamp;

/// The names of a row's features, in order.
pub(crate) type Names = Arc<[Arc<str>]>;
/// Their values, in the same order.
pub(crate) type Values = Arc<[Value<'static>]>;

/// The features of one entity at one moment, in the order in which the set names them.
#[derive(Debug, Clone, PartialEq)]
pub struct FeatureRow {
    entity: Entity,
    timestamp: Timestamp,
    names: Names,
    /// As many as there are names.
    values: Values,
    declaration: Option<DeclarationDigest>,
}

impl FeatureRow {
    /// A row; its timestamp is cut down to microseconds, which every store keeps.
    #[must_use]
    pub fn new(
        entity: Entity,
        timestamp: Timestamp,
        features: impl IntoIterator<Item = (Arc<str>, Value<'static>)>,
    ) -> Self {
        let (names, values): (Vec<_>, Vec<_>) = features.into_iter().unzip();
        Self::of(entity, timestamp, names.into(), values.into())
    }

    /// A row whose names, and maybe values, are shared with others. As many values as names.
    pub(crate) fn of(entity: Entity, timestamp: Timestamp, names: Names, values: Values) -> Self {
        debug_assert_eq!(names.len(), values.len(), "a value a name");
        let timestamp = timestamp::to_micros(timestamp);
        Self { entity, timestamp, names, values, declaration: None }
    }

    /// The row as computed by this declaration.
    #[must_use]
    pub fn computed_by(self, declaration: Option<DeclarationDigest>) -> Self {
        Self { declaration, ..self }
    }

    /// The row without the values at some places.
    pub(crate) fn without(&self, places: impl Fn(usize) -> bool) -> Self {
        let value =
            |(i, value): (usize, &Value<'static>)| if places(i) { Value::Missing } else { value.clone() };
        let values = self.values.iter().enumerate().map(value).collect();
        let (entity, names) = (self.entity.clone(), Arc::clone(&self.names));
        Self::of(entity, self.timestamp, names, values).computed_by(self.declaration)
    }

    /// Whom the features describe.
    pub fn entity(&self) -> &Entity {
        &self.entity
    }

    /// When they became known, in whole microseconds.
    pub fn timestamp(&self) -> Timestamp {
        self.timestamp
    }

    /// The declaration that the values were computed by; `None` where they came ready, or were stored before this was kept.
    pub fn declaration(&self) -> Option<DeclarationDigest> {
        self.declaration
    }

    /// Names and values, in order.
    pub fn features(&self) -> impl ExactSizeIterator<Item = (&Arc<str>, &Value<'static>)> + Clone {
        self.names.iter().zip(self.values.iter())
    }

    /// The names, in order.
    pub fn names(&self) -> &[Arc<str>] {
        &self.names
    }

    /// The values, in the names' order.
    pub fn values(&self) -> &[Value<'static>] {
        &self.values
    }

    /// The named value. A scan: a caller that wants them all goes over [`features`](Self::features) once.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Value<'static>> {
        self.features().find(|(known, _)| ***known == *name).map(|(_, value)| value)
    }

    /// The named value, looked for first at this place.
    pub(crate) fn get_near(&self, place: usize, name: &str) -> Option<&Value<'static>> {
        match self.names.get(place) {
            Some(known) if **known == *name => self.values.get(place),
            _ => self.get(name),
        }
    }
}
