//! The JSON body of a prediction in all the shapes that are taken: by name, by position, for an entity, or bare features
//! for the default model. Parsed in one pass over the bytes, borrowing text where it can.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, Visitor};
use serve_app::{Features, PredictRequest};
use serve_core::Value;
use serve_features::Mode;

use crate::failure::Failure;

use fields::UseCached;
pub(crate) use fields::{Cell, FeatureList, Instance, Text};
use words::parse_max_age;
pub(crate) use words::{mode, model_query, parse_time};

mod fields;
mod plain;
mod words;

/// A body as it stands, before it is made sense of.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct PredictBody<'a> {
    texts: [Option<Cow<'a, str>>; TEXTS.len()],
    switches: [Option<bool>; SWITCHES.len()],
    mode: Option<Mode>,
    features: Option<Features<'a>>,
    data: Option<Features<'a>>,
    others: Vec<(Cow<'a, str>, Value<'a>)>,
    known: usize,
}

/// Keys whose value is text, and where it stands in [`PredictBody::texts`].
pub(crate) const TEXTS: [&str; 9] = [
    "model",
    "feature_set",
    "model_type",
    "model_version",
    "entity",
    "symbol",
    "timestamp",
    "horizon",
    MAX_AGE,
];
const SWITCHES: [&str; 3] = ["explain", "return_uncertainty", "use_ensemble"];
/// Whether features are read, computed, or computed where what is stored is stale.
pub(crate) const USE_CACHED: &str = "use_cached_features";
/// How old features may be.
const MAX_AGE: &str = "max_age";

impl<'de: 'a, 'a> Deserialize<'de> for PredictBody<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(BodyVisitor)
    }
}

struct BodyVisitor;

impl<'de> Visitor<'de> for BodyVisitor {
    type Value = PredictBody<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object that asks for a prediction")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<PredictBody<'de>, A::Error> {
        let mut body = PredictBody::default();
        while let Some(Text(key)) = map.next_key()? {
            let twice = |taken: bool| {
                if taken { Err(A::Error::custom(format!("key {key:?} stands twice"))) } else { Ok(()) }
            };
            if let Some(at) = TEXTS.iter().position(|known| *known == key) {
                let text: Option<Text<'de>> = map.next_value()?;
                twice(body.texts[at].is_some())?;
                body.texts[at] = text.map(|Text(text)| text);
            } else if let Some(at) = SWITCHES.iter().position(|known| *known == key) {
                let switch = map.next_value()?;
                twice(body.switches[at].is_some())?;
                body.switches[at] = switch;
            } else if key == USE_CACHED {
                let mode: Option<UseCached> = map.next_value()?;
                twice(body.mode.is_some())?;
                body.mode = mode.map(|UseCached(mode)| mode);
            } else if key == "features" || key == "data" {
                let features: Option<FeatureList<'de>> = map.next_value()?;
                let place = if key == "features" { &mut body.features } else { &mut body.data };
                twice(place.is_some())?;
                *place = features.map(|FeatureList(features)| features);
            } else {
                body.others.push((key, map.next_value()?));
                continue;
            }
            body.known += 1;
        }
        Ok(body)
    }
}

impl<'a> PredictBody<'a> {
    /// A body of JSON.
    ///
    /// # Errors
    /// When it is none, or says what no prediction takes.
    pub(crate) fn of_json(body: &'a [u8]) -> Result<Self, serde_json::Error> {
        match str::from_utf8(body) {
            Ok(text) => plain::read(text).map_or_else(|| serde_json::from_str(text), Ok),
            // It is for serde to say where.
            Err(_) => serde_json::from_slice(body),
        }
    }

    /// The model, entity and time that a query names, in the same words as a body.
    ///
    /// # Errors
    /// 422 when a switch is neither `true` nor `false`, or `use_cached_features` nor `auto`.
    pub(crate) fn of_query(pairs: Vec<(Cow<'a, str>, Cow<'a, str>)>) -> Result<Self, Failure> {
        let mut body = Self::default();
        for (key, value) in pairs {
            if let Some(at) = TEXTS.iter().position(|known| *known == key) {
                body.texts[at] = Some(value);
            } else if key == USE_CACHED {
                body.mode = Some(mode(&value)?);
            } else if let Some(at) = SWITCHES.iter().position(|known| *known == key) {
                body.switches[at] = match &*value {
                    "true" | "1" | "True" => Some(true),
                    "false" | "0" | "False" => Some(false),
                    other => {
                        let message =
                            format!("query parameter {key:?}: expected true or false, got {other:?}");
                        return Err(Failure::invalid("invalid_parameter", message));
                    }
                };
            }
        }
        Ok(body)
    }

    /// `self` with what `query` says; where both say something, they must say the same.
    ///
    /// # Errors
    /// 409 where they do not.
    pub(crate) fn with_query(mut self, query: Self) -> Result<Self, Failure> {
        for ((key, ours), theirs) in TEXTS.iter().zip(&mut self.texts).zip(query.texts) {
            match (&*ours, theirs) {
                (Some(ours), Some(theirs)) if *ours != theirs => {
                    return Err(differ(&format!(
                        "{key} is {ours:?} in the body and {theirs:?} in the query"
                    )));
                }
                (None, Some(theirs)) => *ours = Some(theirs),
                _ => {}
            }
        }
        for ((key, ours), theirs) in SWITCHES.iter().zip(&mut self.switches).zip(query.switches) {
            if let (Some(ours), Some(theirs)) = (&*ours, theirs)
                && *ours != theirs
            {
                return Err(differ(&format!("{key} is {ours} in the body and {theirs} in the query")));
            }
            *ours = ours.or(theirs);
        }
        if self.mode.zip(query.mode).is_some_and(|(ours, theirs)| ours != theirs) {
            return Err(differ(&format!("{USE_CACHED} is one thing in the body and another in the query")));
        }
        self.mode = self.mode.or(query.mode);
        Ok(self)
    }

    /// The same body without keys that are not a prediction's, as messages have them beside it.
    pub(crate) fn without(mut self, keys: &[&str]) -> Self {
        self.others.retain(|(key, _)| !keys.contains(&&**key));
        self
    }

    /// The same question about somebody else.
    pub(crate) fn about(mut self, entity: Cow<'a, str>) -> Self {
        self.texts[4] = Some(entity);
        self
    }

    /// A body of nothing but features.
    fn of_features(features: Features<'a>) -> Self {
        Self { features: Some(features), known: 1, ..Self::default() }
    }

    /// One row of a batch's `symbols`.
    pub(crate) fn of_symbol(symbol: Cow<'a, str>, horizon: Option<Cow<'a, str>>) -> Self {
        let mut body = Self::default();
        for (at, key) in TEXTS.iter().enumerate() {
            match *key {
                "symbol" => body.texts[at] = Some(symbol.clone()),
                "horizon" => body.texts[at].clone_from(&horizon),
                _ => {}
            }
        }
        body
    }

    /// Whether explanations are asked for; where the body does not say, what holds for its whole batch.
    pub(crate) fn explain_by_default(&mut self, explain: bool) {
        self.switches[0].get_or_insert(explain);
    }

    /// What the body asks for.
    ///
    /// # Errors
    /// 422 when it contradicts itself, or asks for what this release does not have.
    pub(crate) fn request(mut self) -> Result<PredictRequest<'a>, Failure> {
        let asked_for = |at: usize| self.switches[at] == Some(true);
        for (at, what) in [
            (1, "a model answers probabilities, and has no second figure for how sure they are"),
            (2, "an ensemble is a model of its own, which `model` names"),
        ] {
            if asked_for(at) {
                let message = format!("{}: {what}; leave it out", SWITCHES[at]);
                return Err(Failure::invalid("not_supported", message));
            }
        }
        let features = self.take_features()?;
        let mode = self.mode.unwrap_or_default();
        let explain = self.switches[0].unwrap_or(false);
        let [model, feature_set, model_type, version, entity, symbol, timestamp, horizon, max_age] =
            self.texts;
        let name = match (&model, &symbol, &horizon) {
            (Some(_), _, Some(_)) => return Err(conflict("model and horizon both name the model")),
            (None, Some(symbol), Some(horizon)) => Some(format!("{symbol}-{horizon}").to_lowercase().into()),
            (None, None, Some(_)) => {
                return Err(Failure::invalid(
                    "invalid_request",
                    "horizon needs a symbol: together they name the model",
                ));
            }
            _ => model,
        };
        let symbol = symbol.filter(|_| horizon.is_none());
        let entity = match (entity, symbol) {
            (Some(entity), Some(symbol)) if entity != symbol => {
                return Err(conflict(&format!("entity is {entity:?} and symbol is {symbol:?}")));
            }
            (entity, symbol) => entity.or(symbol),
        };
        let model = model_query(name.as_deref(), feature_set, model_type, version.as_deref())?;
        let as_of = timestamp.map(|text| parse_time(&text)).transpose()?;
        let max_age = max_age.map(|text| parse_max_age(&text)).transpose()?.flatten();
        Ok(PredictRequest { model, entity, as_of, features, mode, max_age, explain })
    }

    fn take_features(&mut self) -> Result<Features<'a>, Failure> {
        let others = std::mem::take(&mut self.others);
        match (self.features.take(), self.data.take()) {
            (Some(_), Some(_)) => Err(conflict("features and data both give the row")),
            (Some(features), None) | (None, Some(features)) => no_others(&others).map(|()| features),
            (None, None) if self.known == 0 && !others.is_empty() => Ok(Features::Named(others)),
            (None, None) => no_others(&others).map(|()| Features::None),
        }
    }
}

/// Keys that mean nothing are mistakes, unless the whole body is bare features.
fn no_others(others: &[(Cow<'_, str>, Value<'_>)]) -> Result<(), Failure> {
    match others.first() {
        None => Ok(()),
        Some((key, _)) => {
            let message = format!(
                "unknown key {key:?}; expected {}, {}, {USE_CACHED}, features or data, or an object of nothing but features",
                TEXTS.join(", "),
                SWITCHES.join(", ")
            );
            Err(Failure::invalid("unknown_key", message))
        }
    }
}

fn differ(what: &str) -> Failure {
    let message = format!("the query contradicts the body: {what}");
    Failure::invalid("conflicting_query", message)
}

fn conflict(what: &str) -> Failure {
    Failure::invalid("conflicting_request", format!("the request contradicts itself: {what}"))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn request(json: &str) -> Result<PredictRequest<'_>, Failure> {
        serde_json::from_str::<PredictBody<'_>>(json)?.request()
    }

    fn error(json: &str) -> String {
        request(json).expect_err("must be refused").entry().to_string()
    }

    #[test]
    fn five_shapes_one_request() {
        let named = request(r#"{"model":"m","features":{"a":1,"b":null}}"#).expect("valid");
        assert_eq!(
            named.features,
            Features::Named(vec![("a".into(), Value::Number(1.0)), ("b".into(), Value::Missing)])
        );
        let flat = request(r#"{"model_type":"t","data":[1,2]}"#).expect("valid");
        let row = request(r#"{"model_type":"t","data":[[1,2]]}"#).expect("valid");
        assert_eq!(flat, row);
        let bare = request(r#"{"feature_1":0.5}"#).expect("valid");
        assert_eq!(
            (bare.model.is_open(), bare.features),
            (true, Features::Named(vec![("feature_1".into(), Value::Number(0.5))]))
        );
        let stored = request(r#"{"symbol":"BTC/USDT","timestamp":"2024-01-15T10:30:00Z"}"#).expect("valid");
        assert_eq!((stored.entity.as_deref(), stored.features), (Some("BTC/USDT"), Features::None));
        let horizon = request(r#"{"symbol":"BTC","horizon":"24h"}"#).expect("valid");
        assert_eq!(horizon.model.name.map(String::from).as_deref(), Some("btc-24h"));
    }

    #[test]
    fn features_are_read_computed_or_either_within_an_age() {
        let asked = |json: &str| request(json).map(|request| (request.mode, request.max_age)).expect("valid");
        assert_eq!(asked("{}"), (Mode::Cached, None));
        assert_eq!(asked(r#"{"use_cached_features":null}"#), (Mode::Cached, None));
        assert_eq!(asked(r#"{"use_cached_features":false,"max_age":"none"}"#), (Mode::Compute, None));
        let quarter = Some(Duration::from_mins(15));
        assert_eq!(asked(r#"{"use_cached_features":"auto","max_age":"15m"}"#), (Mode::Auto, quarter));
        assert!(error(r#"{"use_cached_features":"yes"}"#).contains("expected true, false or \\\"auto\\\""));
        assert!(error(r#"{"max_age":15}"#).contains("expected text"));
        assert!(error(r#"{"max_age":"15"}"#).contains("has no unit"));
        let query = |value: &str| PredictBody::of_query(vec![(USE_CACHED.into(), value.to_owned().into())]);
        let body =
            || serde_json::from_str::<PredictBody<'_>>(r#"{"use_cached_features":"auto"}"#).expect("reads");
        assert_eq!(body().with_query(query("auto").expect("reads")).expect("agrees").mode, Some(Mode::Auto));
        assert!(body().with_query(query("false").expect("reads")).is_err());
        assert!(query("perhaps").is_err());
    }

    #[test]
    fn contradictions_and_typos_are_refused() {
        assert!(error(r#"{"model":"m","featuers":{}}"#).contains("unknown key"));
        assert!(error(r#"{"entity":"a","symbol":"b"}"#).contains("contradicts itself"));
        assert!(error(r#"{"features":{},"data":[]}"#).contains("both give the row"));
        assert!(error(r#"{"data":[[1],[2]]}"#).contains("/predict/batch"));
        assert!(error(r#"{"model":"m","return_uncertainty":true}"#).contains("no second figure"));
        assert!(error(r#"{"model":"m","explain":1}"#).contains("expected true or false"));
        assert!(error(r#"{"model":"../../etc/passwd"}"#).contains("is no model name"));
        assert!(error(r#"{"model":"m","model":"n"}"#).contains("stands twice"));
        assert!(error(r#"{"timestamp":"2024-01-15 10:30:00"}"#).contains("RFC 3339"));
        assert!(error(r#"{"model":7}"#).contains("expected text"));
    }
}
