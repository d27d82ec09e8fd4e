//! One input value as it arrives at the edge: from JSON, CSV, a feature store or a caller. The signature turns it
//! into a number once ([`crate::signature`]); behind that border there are only numbers.

use std::borrow::Cow;

use serde::de::{Deserialize, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::ser::{Serialize, Serializer};

/// A named input's value before the signature has looked at it.
#[derive(Debug, Clone, PartialEq)]
pub enum Value<'a> {
    /// Absent, JSON `null`, or an empty CSV cell. A number that is NaN means the same.
    Missing,
    /// Any number. Integers beyond 2^53 are rounded to the nearest `f64`.
    Number(f64),
    /// JSON `true` or `false`.
    Bool(bool),
    /// Text, for inputs with a vocabulary.
    Text(Cow<'a, str>),
    /// Something no input can take; named so that the error can say what came.
    Other(&'static str),
}

impl Value<'_> {
    /// What the value is called in an error: `a number`, `text`, ….
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Missing => "nothing",
            Self::Number(_) => "a number",
            Self::Bool(_) => "a boolean",
            Self::Text(_) => "text",
            Self::Other(kind) => kind,
        }
    }

    /// The same value without a borrow.
    #[must_use]
    pub fn into_owned(self) -> Value<'static> {
        match self {
            Self::Missing => Value::Missing,
            Self::Number(x) => Value::Number(x),
            Self::Bool(x) => Value::Bool(x),
            Self::Text(text) => Value::Text(Cow::Owned(text.into_owned())),
            Self::Other(kind) => Value::Other(kind),
        }
    }
}

impl From<f64> for Value<'_> {
    fn from(x: f64) -> Self {
        if x.is_nan() { Self::Missing } else { Self::Number(x) }
    }
}

/// NaN and [`Value::Missing`] become JSON `null`; infinities, which JSON lacks, become the strings `inf` and `-inf`.
impl Serialize for Value<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Missing | Self::Other(_) => serializer.serialize_unit(),
            Self::Number(x) if x.is_nan() => serializer.serialize_unit(),
            Self::Number(x) if x.is_infinite() => {
                serializer.serialize_str(if *x > 0.0 { "inf" } else { "-inf" })
            }
            Self::Number(x) => serializer.serialize_f64(*x),
            Self::Bool(x) => serializer.serialize_bool(*x),
            Self::Text(text) => serializer.serialize_str(text),
        }
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Value<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ValueVisitor)
    }
}

struct ValueVisitor;

impl<'de> Visitor<'de> for ValueVisitor {
    type Value = Value<'de>;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a number, a boolean, text or null")
    }

    fn visit_f64<E: Error>(self, x: f64) -> Result<Value<'de>, E> {
        Ok(Value::Number(x))
    }

    fn visit_i64<E: Error>(self, x: i64) -> Result<Value<'de>, E> {
        Ok(Value::Number(x as f64))
    }

    fn visit_u64<E: Error>(self, x: u64) -> Result<Value<'de>, E> {
        Ok(Value::Number(x as f64))
    }

    fn visit_bool<E: Error>(self, x: bool) -> Result<Value<'de>, E> {
        Ok(Value::Bool(x))
    }

    fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Value<'de>, E> {
        Ok(Value::Text(Cow::Borrowed(text)))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Value<'de>, E> {
        Ok(Value::Text(Cow::Owned(text.to_owned())))
    }

    fn visit_unit<E: Error>(self) -> Result<Value<'de>, E> {
        Ok(Value::Missing)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value<'de>, A::Error> {
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Value::Other("a list"))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value<'de>, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Value::Other("an object"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_scalars_keep_their_kind() {
        let values: Vec<Value<'_>> =
            serde_json::from_str(r#"[1, -2.5, true, "x", null, [1,[2]], {"a":{}}]"#).expect("valid JSON");
        let expected = vec![
            Value::Number(1.0),
            Value::Number(-2.5),
            Value::Bool(true),
            Value::Text("x".into()),
            Value::Missing,
            Value::Other("a list"),
            Value::Other("an object"),
        ];
        assert_eq!(values, expected);
    }

    #[test]
    fn what_json_lacks_is_written_as_null_or_text() {
        let values = [Value::Number(f64::NAN), Value::Number(f64::INFINITY), Value::Missing];
        assert_eq!(serde_json::to_string(&values).expect("serialises"), r#"[null,"inf",null]"#);
    }
}
