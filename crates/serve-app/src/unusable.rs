//! A row that a signature refuses for what was fetched and not for what was sent: told as features that cannot be had, with
//! the reason of each, so that a fallback may answer.

use serde_json::{Value as Json, json};
use serve_core::InvalidInput;
use serve_core::signature::{Problem, Violation};
use serve_features::{Origin, ViolationKind};

use crate::error::{Code, ServiceError};
use crate::gather::Fetched;
use crate::request::Features;

/// The signature's refusal in the service's words. It is the client's where any of the offending values came with the
/// request.
pub(crate) fn refused(error: InvalidInput, features: &Features<'_>, fetched: &[Fetched]) -> ServiceError {
    let reasons = match &error {
        InvalidInput::Violations { violations } => reasons(violations, features, fetched),
        _ => None,
    };
    let (Some(reasons), Some(Fetched { set, retrieved, .. })) = (reasons, fetched.first()) else {
        return error.into();
    };
    let told: Vec<String> = reasons.iter().map(|(feature, reason)| format!("{feature}: {reason}")).collect();
    let message = format!(
        "the features of entity \"{}\" in feature set \"{set}\" cannot be used: {}",
        retrieved.row.entity(),
        told.join("; ")
    );
    let detail = |(feature, reason): &(String, String)| json!({ "feature": feature, "reason": reason });
    let details: Vec<Json> = reasons.iter().map(detail).collect();
    ServiceError::new(Code::FeaturesUnavailable, message).with_details(details.into())
}

/// Why each offending feature has no value that can be used; `None` where one of them came with the request.
fn reasons(
    violations: &[Violation],
    features: &Features<'_>,
    fetched: &[Fetched],
) -> Option<Vec<(String, String)>> {
    let sent = |name: &str| match features {
        Features::Named(named) => named.iter().any(|(sent, _)| *sent == name),
        Features::Positional(_) => true,
        Features::None => false,
    };
    // Names that the signature lacks are told beside other offences and are none of their own.
    let offending = violations.iter().filter(|violation| violation.problem != Problem::Unknown);
    offending
        .map(|violation| {
            let name = violation.feature.as_str();
            let from = fetched.iter().find(|fetched| fetched.retrieved.row.get(name).is_some());
            let from = from.or(fetched.first()).filter(|_| !sent(name))?;
            Some((name.to_owned(), reason(violation, from)?))
        })
        .collect()
}

fn reason(Violation { feature, problem }: &Violation, from: &Fetched) -> Option<String> {
    let computed = from.retrieved.origin == Origin::Computed;
    let which = if computed { "computed" } else { "stored" };
    if let Some(invalid) = from.retrieved.invalid.iter().find(|invalid| *invalid.feature == **feature) {
        return Some(match &invalid.kind {
            ViolationKind::Range { min, max, got } => {
                format!("the {which} value {got} is out of range {}", range(*min, *max))
            }
            ViolationKind::Type { expected, got } => {
                format!("the {which} value is {got}, expected {expected}")
            }
            ViolationKind::NumberAsText { got } => {
                format!("the {which} value is the text {got:?}, expected a number")
            }
            _ => format!("the {which} value is not allowed"),
        });
    }
    let told = match problem {
        Problem::Missing if from.retrieved.row.get(feature).is_none() => {
            format!("the {which} row has no such feature")
        }
        Problem::Missing if computed => "too little history, or raw values are missing".to_owned(),
        Problem::Missing => "no value is stored".to_owned(),
        Problem::NotFinite { got } => format!("the {which} value {got} is not finite"),
        Problem::OutOfRange { expected, got } => {
            format!("the {which} value {got} is out of range {expected}")
        }
        Problem::WrongType { expected, got } => {
            format!("the {which} value is {got}, expected {expected}")
        }
        Problem::UnknownCategory { expected, got } => {
            format!("the {which} value {got:?} is none of {expected}")
        }
        _ => return None,
    };
    Some(told)
}

fn range(min: Option<f64>, max: Option<f64>) -> String {
    match (min, max) {
        (Some(min), Some(max)) => format!("{min} to {max}"),
        (Some(min), None) => format!("{min} and more"),
        (None, Some(max)) => format!("up to {max}"),
        (None, None) => "of any number".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;
    use std::sync::Arc;

    use serve_core::{CheckedRow, Signature, Value};
    use serve_features::{
        Declarations, FeatureRow, FeatureStore as _, FeaturesConfig, MaxAge, MemoryStore, RawRow, RawTable,
        RetrieveRequest, Retriever, RetrieverParts,
    };

    use super::*;

    const DECLARED: &str = "
feature_sets:
  s:
    entity: symbol
    features:
      seq: { type: number, range: { min: 0, max: 100 } }
      m3: { type: number }
  c:
    entity: symbol
    sources: { price: { table: price_data } }
    features: { m3: 'return(close, 3)', seq: close }
";

    async fn fetched(set: &str) -> Fetched {
        let (entity, at) = ("A".parse().expect("an entity"), jiff::Timestamp::UNIX_EPOCH);
        let entity: serve_features::Entity = entity;
        let store = Arc::new(MemoryStore::new());
        let row = FeatureRow::new(
            entity.clone(),
            at,
            [("seq".into(), (-5.0).into()), ("m3".into(), Value::Missing)],
        );
        store.write("s".parse().expect("a set"), vec![row]).await.expect("writes");
        let raw = store.raw().expect("keeps raw rows");
        let candle = RawRow::new(entity.clone(), at, vec![("close".into(), 7.0.into())]);
        raw.write_raw(RawTable::Price, vec![candle]).await.expect("writes");
        let retriever = Retriever::new(RetrieverParts {
            store: Some(store),
            declarations: Declarations::parse(DECLARED).expect("is sound"),
            config: FeaturesConfig { max_age: MaxAge::Unlimited, ..FeaturesConfig::default() },
            clock: Arc::new(move || at),
        });
        let set: serve_features::FeatureSetName = set.parse().expect("a set");
        let mode =
            if set.as_str() == "c" { serve_features::Mode::Compute } else { serve_features::Mode::Cached };
        let request = RetrieveRequest { mode, ..RetrieveRequest::cached(set.clone(), [entity]) };
        let retrieved = retriever.retrieve(request).await.expect("answers").remove(0).expect("is there");
        Fetched { set, retrieved, limit: MaxAge::Unlimited }
    }

    fn told(fetched: Fetched, sent: &[(&'static str, Value<'static>)]) -> (Code, String) {
        let signature = Signature::of_numbers(["seq", "m3"]).expect("a signature");
        let read = signature.read_mixed(sent, fetched.retrieved.row.features(), &mut CheckedRow::new());
        let named = sent.iter().map(|(name, value)| (Cow::Borrowed(*name), value.clone())).collect();
        let error = refused(read.expect_err("is refused"), &Features::Named(named), &[fetched]);
        assert!(error.details.is_some());
        (error.code, error.message)
    }

    #[tokio::test]
    async fn what_is_stored_or_computed_is_told_with_its_reason() {
        let (code, message) = told(fetched("s").await, &[]);
        let of = "the features of entity \"A\" in feature set";
        let stored = "seq: the stored value -5 is out of range 0 to 100; m3: no value is stored";
        assert_eq!(message, format!("{of} \"s\" cannot be used: {stored}"));
        assert!(code.may_fall_back());
        let (code, message) = told(fetched("c").await, &[]);
        assert_eq!(code, Code::FeaturesUnavailable);
        let computed = "m3: too little history, or raw values are missing";
        assert_eq!(message, format!("{of} \"c\" cannot be used: {computed}"));
    }

    #[tokio::test]
    async fn what_came_with_the_request_is_the_clients() {
        let (code, _) = told(fetched("s").await, &[("seq", Value::Text("x".into()))]);
        assert_eq!(code, Code::InvalidFeatures);
        let (code, message) = told(fetched("s").await, &[("seq", 1.0.into())]);
        assert_eq!(code, Code::FeaturesUnavailable, "{message}");
    }
}
