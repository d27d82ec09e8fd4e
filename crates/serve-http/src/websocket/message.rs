//! Messages on a socket: JSON objects with a `type`. A prediction is asked for in the words of `POST /predict`, which stand
//! beside the message's own.

use std::borrow::Cow;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serve_core::response::PredictResponse;

use crate::failure::Failure;
use crate::predict_body::PredictBody;

/// A message's own keys, which no prediction has.
const OWN: [&str; 4] = ["type", "id", "interval", "entities"];
/// The longest id.
const LONGEST_ID: usize = 128;

/// What a client calls a subscription or a question.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged, expecting = "id: expected a text, or a whole number that is not negative")]
pub(super) enum Id {
    Text(String),
    Number(u64),
}

/// What a client wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Kind {
    Subscribe,
    Unsubscribe,
    Predict,
    Ping,
}

/// What stands beside the words of a prediction.
#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(rename = "type")]
    kind: Kind,
    id: Option<Id>,
    interval: Option<Cow<'a, str>>,
    entities: Option<Vec<String>>,
}

/// A message of a client.
#[derive(Debug, PartialEq)]
pub(super) enum Incoming<'a> {
    Subscribe {
        id: Option<Id>,
        /// Nothing: when features change.
        interval: Option<Duration>,
        /// Nothing: whom `body` says.
        entities: Option<Vec<String>>,
        body: Box<PredictBody<'a>>,
    },
    Unsubscribe {
        id: Id,
    },
    Predict {
        id: Option<Id>,
        body: Box<PredictBody<'a>>,
    },
    Ping {
        id: Option<Id>,
    },
}

/// A message that is refused, with the id that it has, if that can be told.
pub(super) type Refused = Box<(Option<Id>, Failure)>;

impl<'a> Incoming<'a> {
    pub(super) fn read(text: &'a str) -> Result<Self, Refused> {
        let Envelope { kind, id, interval, entities } =
            serde_json::from_str(text).map_err(|error| Refused::new((None, Failure::from(error))))?;
        if matches!(&id, Some(Id::Text(id)) if id.len() > LONGEST_ID) {
            let message = format!("id is longer than {LONGEST_ID} bytes");
            return Err(Refused::new((None, Failure::invalid("invalid_request", message))));
        }
        let told = id.clone();
        let refused = move |failure| Refused::new((told.clone(), failure));
        let invalid = |message: &str| refused(Failure::invalid("invalid_request", message));
        if kind != Kind::Subscribe && (interval.is_some() || entities.is_some()) {
            return Err(invalid("interval and entities are a subscription's"));
        }
        let body = || {
            let body: Result<PredictBody<'a>, _> = serde_json::from_str(text);
            body.map(|body| Box::new(body.without(&OWN))).map_err(|error| refused(error.into()))
        };
        match kind {
            Kind::Ping => Ok(Self::Ping { id }),
            Kind::Predict => Ok(Self::Predict { id, body: body()? }),
            Kind::Unsubscribe => match id {
                Some(id) => Ok(Self::Unsubscribe { id }),
                None => Err(invalid("unsubscribe needs the subscription's id")),
            },
            Kind::Subscribe => {
                let interval = interval.map(|text| serve_core::duration::parse(&text)).transpose();
                let interval = interval.map_err(|error| invalid(&format!("interval: {error}")))?;
                Ok(Self::Subscribe { id, interval, entities, body: body()? })
            }
        }
    }
}

/// A message to a client.
#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum Outgoing<'a> {
    Subscribed {
        id: &'a Id,
        /// How many entities it is about.
        entities: usize,
        #[serde(skip_serializing_if = "Option::is_none")]
        interval: Option<String>,
    },
    Unsubscribed {
        id: &'a Id,
    },
    Prediction {
        #[serde(skip_serializing_if = "Option::is_none")]
        id: Option<&'a Id>,
        #[serde(flatten, skip_serializing_if = "Option::is_none")]
        push: Option<Push<'a>>,
        answer: &'a PredictResponse<'a>,
    },
    Error {
        #[serde(skip_serializing_if = "Option::is_none")]
        id: Option<&'a Id>,
        #[serde(flatten, skip_serializing_if = "Option::is_none")]
        push: Option<Push<'a>>,
        #[serde(flatten)]
        error: serde_json::Value,
        request_id: &'a str,
    },
    Pong {
        #[serde(skip_serializing_if = "Option::is_none")]
        id: Option<&'a Id>,
    },
    Closing {
        reason: &'a str,
    },
}

/// What a push tells besides its answer.
#[derive(Clone, Copy, Serialize)]
pub(super) struct Push<'a> {
    /// Whom it is about, where the subscription says so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) entity: Option<&'a str>,
    /// Counts the subscription's pushes.
    pub(super) sequence: u64,
    /// Changes since the last push that were not pushed, since another came before they could be sent.
    pub(super) left_out: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str) -> (Option<Id>, String) {
        let (id, failure) = *Incoming::read(text).expect_err("is refused");
        (id, failure.entry().to_string())
    }

    #[test]
    fn a_message_is_a_prediction_with_words_of_its_own() {
        let body = |json| serde_json::from_str::<PredictBody<'_>>(json).expect("reads");
        let read = |text| Incoming::read(text).expect("reads");
        assert_eq!(
            read(r#"{"type":"subscribe","id":"a","interval":"5s","model":"m","entities":["x","y"]}"#),
            Incoming::Subscribe {
                id: Some(Id::Text("a".into())),
                interval: Some(Duration::from_secs(5)),
                entities: Some(vec!["x".into(), "y".into()]),
                body: Box::new(body(r#"{"model":"m"}"#)),
            }
        );
        assert_eq!(
            read(r#"{"type":"predict","id":7,"f":0.5}"#),
            Incoming::Predict { id: Some(Id::Number(7)), body: Box::new(body(r#"{"f":0.5}"#)) }
        );
        assert_eq!(read(r#"{"type":"ping"}"#), Incoming::Ping { id: None });
    }

    #[test]
    fn what_is_no_message_is_refused_with_its_id() {
        assert!(refused("[").1.contains("malformed_json"));
        assert!(refused(r#"{"type":"shout"}"#).1.contains("unknown value"));
        for id in ["1.5", "-1", "true", "[1]", "18446744073709551616"] {
            let (_, told) = refused(&format!(r#"{{"type":"ping","id":{id}}}"#));
            assert!(told.contains("id: expected a text, or a whole number"), "{told}");
        }
        let (id, told) = refused(r#"{"type":"subscribe","id":"a","interval":"5"}"#);
        assert!(id == Some(Id::Text("a".into())) && told.contains("has no unit"), "{told}");
        assert!(refused(r#"{"type":"unsubscribe"}"#).1.contains("needs the subscription's id"));
        assert!(refused(r#"{"type":"ping","interval":"5s"}"#).1.contains("are a subscription's"));
    }
}
