//! Tensor data in JSON: elements in row-major order, however deep they were nested.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error, SeqAccess, Visitor};
use serve_core::Value;

/// Elements in row-major order, however deep they were nested.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Flat<'a>(pub(super) Vec<Value<'a>>);

impl<'de: 'a, 'a> Deserialize<'de> for Flat<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut elements = Vec::with_capacity(64);
        deserializer.deserialize_seq(Into(&mut elements))?;
        Ok(Self(elements))
    }
}

/// Collects what it is given, and what is nested in it; JSON's own limit on nesting bounds the recursion.
struct Into<'v, 'a>(&'v mut Vec<Value<'a>>);

impl<'de: 'a, 'a> DeserializeSeed<'de> for Into<'_, 'a> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de: 'a, 'a> Visitor<'de> for Into<'_, 'a> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number, a boolean, text, null, or a list of these")
    }

    fn visit_f64<E: Error>(self, x: f64) -> Result<(), E> {
        self.0.push(Value::Number(x));
        Ok(())
    }

    fn visit_i64<E: Error>(self, x: i64) -> Result<(), E> {
        self.visit_f64(x as f64)
    }

    fn visit_u64<E: Error>(self, x: u64) -> Result<(), E> {
        self.visit_f64(x as f64)
    }

    fn visit_bool<E: Error>(self, x: bool) -> Result<(), E> {
        self.0.push(Value::Bool(x));
        Ok(())
    }

    fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<(), E> {
        self.0.push(Value::Text(Cow::Borrowed(text)));
        Ok(())
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<(), E> {
        self.0.push(Value::Text(Cow::Owned(text.to_owned())));
        Ok(())
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        self.0.push(Value::Missing);
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        while seq.next_element_seed(Into(self.0))?.is_some() {}
        Ok(())
    }
}
