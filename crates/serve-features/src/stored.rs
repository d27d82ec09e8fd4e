//! The JSON object in which the `features` column keeps a row's values, in the row's order. Numbers keep every bit; a
//! missing value is `null`. JSON has no infinity, so a row that has one is refused rather than changed.

use std::fmt;
use std::sync::Arc;

use serde::de::{DeserializeSeed, Deserializer, MapAccess, Visitor};
use serde::ser::{SerializeMap, Serializer};
use serve_core::Value;

use crate::row::FeatureRow;
use crate::store::WriteError;

pub(crate) use decoder::{Decoder, Decoders};

mod decoder;
mod layout;
mod recent;

/// Names and values, as raw rows hold them.
pub(crate) type Features = Vec<(Arc<str>, Value<'static>)>;

/// Refuses a row with a value that no store can keep.
pub(crate) fn check(row: &FeatureRow) -> Result<(), WriteError> {
    let unstorable = |value: &Value<'_>| match value {
        Value::Number(x) if x.is_infinite() => Some(x.to_string()),
        Value::Other(kind) => Some((*kind).to_owned()),
        Value::Number(_) | Value::Missing | Value::Bool(_) | Value::Text(_) => None,
    };
    let found = row.features().find_map(|(name, value)| Some((name, unstorable(value)?)));
    found.map_or(Ok(()), |(name, got)| {
        Err(WriteError::NotStorable {
            entity: row.entity().clone(),
            timestamp: row.timestamp(),
            column: name.to_string(),
            got,
        })
    })
}

/// Names and values of a raw row, as [`encode`] takes them.
pub(crate) fn pairs<'a>(
    values: &'a [(Arc<str>, Value<'static>)],
) -> impl ExactSizeIterator<Item = (&'a Arc<str>, &'a Value<'static>)> {
    values.iter().map(|(name, value)| (name, value))
}

/// A row's values as a JSON object.
pub(crate) fn encode<'a>(
    features: impl ExactSizeIterator<Item = (&'a Arc<str>, &'a Value<'static>)>,
) -> serde_json::Result<String> {
    let mut json = Vec::with_capacity(features.len() * 32);
    let mut serializer = serde_json::Serializer::new(&mut json);
    let mut map = serializer.serialize_map(Some(features.len()))?;
    for (name, value) in features {
        map.serialize_entry(&**name, value)?;
    }
    map.end()?;
    Ok(String::from_utf8_lossy(&json).into_owned())
}

/// The names and values of a JSON object, in its order. Where a name is that of `like` at the same place, its text is shared:
/// the rows of a set have the same names in the same order, nearly always.
pub(crate) fn decode(json: &[u8], like: &[(Arc<str>, Value<'static>)]) -> serde_json::Result<Features> {
    let mut deserializer = serde_json::Deserializer::from_slice(json);
    let features = InOrder(like).deserialize(&mut deserializer)?;
    deserializer.end()?;
    Ok(features)
}

/// A row's values, with names shared with a row before it.
struct InOrder<'a>(&'a [(Arc<str>, Value<'static>)]);

impl<'de> DeserializeSeed<'de> for InOrder<'_> {
    type Value = Features;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Features, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for InOrder<'_> {
    type Value = Features;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of features")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Features, A::Error> {
        let mut features = Features::with_capacity(self.0.len());
        while let Some(name) = map.next_key_seed(Name(self.0.get(features.len()).map(|(name, _)| name)))? {
            features.push((name, map.next_value::<Value<'de>>()?.into_owned()));
        }
        Ok(features)
    }
}

/// A name, which may be this one.
struct Name<'a>(Option<&'a Arc<str>>);

impl<'de> DeserializeSeed<'de> for Name<'_> {
    type Value = Arc<str>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Arc<str>, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Name<'_> {
    type Value = Arc<str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a feature's name")
    }

    fn visit_str<E>(self, name: &str) -> Result<Arc<str>, E> {
        Ok(match self.0 {
            Some(known) if **known == *name => Arc::clone(known),
            _ => name.into(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(features: &[(&str, Value<'static>)]) -> FeatureRow {
        let features: Features =
            features.iter().map(|(name, value)| ((*name).into(), value.clone())).collect();
        FeatureRow::new("e".parse().expect("is an entity"), jiff::Timestamp::UNIX_EPOCH, features)
    }

    #[test]
    fn values_keep_order_kind_and_every_bit() {
        let row = row(&[
            ("z", Value::Number(0.1 + 0.2)),
            ("a", Value::Number(f64::MIN_POSITIVE)),
            ("m", Value::Missing),
            ("nan", Value::Missing),
            ("b", Value::Bool(true)),
            ("t", Value::Text("\"quoted\" é".into())),
        ]);
        let json = encode(row.features()).expect("encodes");
        let decoded = decode(json.as_bytes(), &[]).expect("decodes");
        assert!(decoded.iter().map(|(name, value)| (name, value)).eq(row.features()), "{decoded:?}");
    }

    #[test]
    fn infinities_are_named_before_they_are_lost() {
        let refused = check(&row(&[("a", Value::Number(1.0)), ("b", Value::Number(f64::NEG_INFINITY))]));
        let Err(WriteError::NotStorable { column, got, .. }) = refused else { panic!("{refused:?}") };
        assert_eq!((column.as_str(), got.as_str()), ("b", "-inf"));
    }

    #[test]
    fn names_are_shared_where_they_are_the_same() {
        let like: Features = ["a", "b"].into_iter().map(|name| (name.into(), Value::Missing)).collect();
        let decoded = decode(br#"{"a":1,"c":2,"b":3}"#, &like).expect("decodes");
        let names: Vec<&str> = decoded.iter().map(|(name, _)| &**name).collect();
        assert_eq!(names, ["a", "c", "b"]);
        assert!(Arc::ptr_eq(&decoded[0].0, &like[0].0));
    }

    #[test]
    fn only_an_object_is_a_row() {
        for bad in ["[1]", "1", "", "{\"a\":1} x", "{\"a\":"] {
            assert!(decode(bad.as_bytes(), &[]).is_err(), "{bad}");
        }
    }
}
