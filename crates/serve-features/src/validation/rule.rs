//! What one feature's values may be.

use std::fmt;
use std::sync::Arc;

use serve_core::Value;

use crate::declaration::{Feature, FeatureKind, FeatureRange, FeatureSet, MissingPolicy};

/// A value that its declaration does not allow.
#[derive(Debug, Clone, PartialEq)]
pub struct Violation {
    /// The feature.
    pub feature: Arc<str>,
    /// What is wrong with its value.
    pub kind: ViolationKind,
}

/// What is wrong with a value.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum ViolationKind {
    /// Of another type than declared.
    Type {
        /// The declared type, with its article.
        expected: &'static str,
        /// What came.
        got: &'static str,
    },
    /// A number, sent as text.
    NumberAsText {
        /// The text, cut off when long.
        got: String,
    },
    /// Below the least or above the greatest value.
    Range {
        /// The least that is allowed.
        min: Option<f64>,
        /// The greatest that is allowed.
        max: Option<f64>,
        /// The value.
        got: f64,
    },
    /// Missing, and declared with `missing: reject`.
    Missing,
    /// The set declares no such feature.
    Unknown {
        /// The features that it declares.
        known: Arc<str>,
    },
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}`: ", self.feature)?;
        match &self.kind {
            ViolationKind::Type { expected, got } => write!(f, "expected {expected}, got {got}"),
            ViolationKind::NumberAsText { got } => {
                write!(f, "expected a number, got the text {got:?}: send it without quotes")
            }
            ViolationKind::Range { min, max, got } => write!(f, "expected {}, got {got}", range(*min, *max)),
            ViolationKind::Missing => f.write_str("expected a value, got nothing"),
            ViolationKind::Unknown { known } => write!(f, "the set has no such feature, it has {known}"),
        }
    }
}

fn range(min: Option<f64>, max: Option<f64>) -> String {
    match (min, max) {
        (Some(min), Some(max)) => format!("{min} to {max}"),
        (Some(min), None) => format!("at least {min}"),
        (None, Some(max)) => format!("at most {max}"),
        (None, None) => "any number".to_owned(),
    }
}

/// What one feature's values may be.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Rule {
    pub(crate) name: Arc<str>,
    pub(crate) kind: FeatureKind,
    pub(crate) range: FeatureRange,
    pub(crate) missing: MissingPolicy,
    pub(crate) max_null_rate: Option<f64>,
}

/// The rules of a declared set, in its order.
pub(crate) fn rules(set: &FeatureSet) -> Vec<Rule> {
    set.features().iter().map(rule).collect()
}

fn rule(feature: &Feature) -> Rule {
    Rule {
        name: Arc::clone(&feature.name),
        kind: feature.kind(),
        range: feature.range(),
        missing: feature.missing(),
        max_null_rate: feature.max_null_rate(),
    }
}

impl Rule {
    /// What is wrong with a value; one that is missing is not wrong.
    pub(crate) fn check(&self, value: &Value<'_>) -> Option<Violation> {
        let wrong = |kind| Some(self.violation(kind));
        match (self.kind, value) {
            (_, Value::Missing) => None,
            (FeatureKind::Number, Value::Number(x)) if x.is_nan() => None,
            (FeatureKind::Number, Value::Number(x)) => self.outside(*x).and_then(wrong),
            (FeatureKind::Bool, Value::Bool(_)) | (FeatureKind::Text, Value::Text(_)) => None,
            (FeatureKind::Number, Value::Text(text)) if text.trim().parse::<f64>().is_ok() => {
                wrong(ViolationKind::NumberAsText { got: text.chars().take(60).collect() })
            }
            (kind, other) => wrong(ViolationKind::Type { expected: called(kind), got: other.kind() }),
        }
    }

    pub(crate) fn violation(&self, kind: ViolationKind) -> Violation {
        Violation { feature: Arc::clone(&self.name), kind }
    }

    fn outside(&self, x: f64) -> Option<ViolationKind> {
        let FeatureRange { min, max, .. } = self.range;
        let outside = min.is_some_and(|min| x < min) || max.is_some_and(|max| x > max);
        outside.then_some(ViolationKind::Range { min, max, got: x })
    }
}

fn called(kind: FeatureKind) -> &'static str {
    match kind {
        FeatureKind::Number => "a number",
        FeatureKind::Bool => "a boolean",
        FeatureKind::Text => "text",
    }
}
