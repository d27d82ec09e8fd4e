//! What is asked of the service, in no protocol's words.

use std::borrow::Cow;
use std::time::Duration;

use jiff::Timestamp;
use serve_core::{ModelName, Selector, Value};
use serve_features::Mode;

/// Which model is meant, by any of the ways to say so.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ModelQuery {
    /// By name.
    pub name: Option<ModelName>,
    /// By what it was trained on.
    pub feature_set: Option<String>,
    /// By its kind.
    pub model_type: Option<String>,
    /// Which version; without it the champion.
    pub selector: Option<Selector>,
}

impl ModelQuery {
    /// Whether nothing is said about the model.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.name.is_none() && self.feature_set.is_none() && self.model_type.is_none()
    }

    /// A model by name.
    #[must_use]
    pub fn named(name: ModelName, selector: Option<Selector>) -> Self {
        Self { name: Some(name), selector, ..Self::default() }
    }

    /// What `self` leaves open, as `other` has it.
    #[must_use]
    pub fn or(self, other: &Self) -> Self {
        if self.is_open() {
            return Self { selector: self.selector.or_else(|| other.selector.clone()), ..other.clone() };
        }
        let fill = self.name.is_none();
        Self {
            feature_set: self.feature_set.or_else(|| other.feature_set.clone().filter(|_| fill)),
            model_type: self.model_type.or_else(|| other.model_type.clone().filter(|_| fill)),
            selector: self.selector.or_else(|| other.selector.clone()),
            ..self
        }
    }
}

/// The features that come with a request.
#[derive(Debug, Clone, Default, PartialEq)]
pub enum Features<'a> {
    /// None: they come from the store.
    #[default]
    None,
    /// By name, in any order.
    Named(Vec<(Cow<'a, str>, Value<'a>)>),
    /// By position, all of them.
    Positional(Vec<Value<'a>>),
}

impl Features<'_> {
    /// The same features without a borrow.
    #[must_use]
    pub fn to_static(&self) -> Features<'static> {
        let owned = |value: &Value<'_>| value.clone().into_owned();
        match self {
            Self::None => Features::None,
            Self::Named(named) => {
                let pair = |(name, value): &(Cow<'_, str>, Value<'_>)| {
                    (Cow::Owned(name.clone().into_owned()), owned(value))
                };
                Features::Named(named.iter().map(pair).collect())
            }
            Self::Positional(values) => Features::Positional(values.iter().map(owned).collect()),
        }
    }
}

/// One prediction that is asked for.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct PredictRequest<'a> {
    /// The model.
    pub model: ModelQuery,
    /// Whom or what the stored features describe.
    pub entity: Option<Cow<'a, str>>,
    /// Features as they were known at this time; now, if none.
    pub as_of: Option<Timestamp>,
    /// Features that come with the request; they override stored ones.
    pub features: Features<'a>,
    /// Whether features that do not come with the request are read, computed, or computed where what is stored is stale.
    pub mode: Mode,
    /// How old they may be, where that is stricter than what holds anyway.
    pub max_age: Option<Duration>,
    /// Whether the answer comes with each feature's contribution.
    pub explain: bool,
}

impl PredictRequest<'_> {
    /// The same request without a borrow.
    #[must_use]
    pub fn into_static(self) -> PredictRequest<'static> {
        let Self { model, entity, as_of, features, mode, max_age, explain } = self;
        let entity = entity.map(|entity| Cow::Owned(entity.into_owned()));
        PredictRequest { model, entity, as_of, features: features.to_static(), mode, max_age, explain }
    }
}
