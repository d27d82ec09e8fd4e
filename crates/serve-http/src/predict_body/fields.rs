//! What stands under the keys of a prediction's body: texts, features by name or by position, and whether stored ones do.

use std::borrow::Cow;
use std::fmt;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serve_app::Features;
use serve_core::Value;
use serve_features::Mode;

use super::PredictBody;

/// Text that is borrowed from the body unless it has escapes.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Text<'a>(pub(crate) Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TextVisitor;
        impl<'de> Visitor<'de> for TextVisitor {
            type Value = Text<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("text")
            }
            fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Borrowed(text)))
            }
            fn visit_str<E: Error>(self, text: &str) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Owned(text.to_owned())))
            }
        }
        deserializer.deserialize_str(TextVisitor)
    }
}

/// `true`, `false` or `"auto"`, in a body.
pub(super) struct UseCached(pub(super) Mode);

impl<'de> Deserialize<'de> for UseCached {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ModeVisitor;
        impl Visitor<'_> for ModeVisitor {
            type Value = UseCached;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("true, false or \"auto\"")
            }
            fn visit_bool<E: Error>(self, cached: bool) -> Result<UseCached, E> {
                Ok(UseCached(if cached { Mode::Cached } else { Mode::Compute }))
            }
            fn visit_str<E: Error>(self, text: &str) -> Result<UseCached, E> {
                match text {
                    "auto" => Ok(UseCached(Mode::Auto)),
                    other => Err(E::invalid_value(serde::de::Unexpected::Str(other), &self)),
                }
            }
        }
        deserializer.deserialize_any(ModeVisitor)
    }
}

/// Features as they come: an object by name, or a list by position (flat, or holding one row).
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct FeatureList<'a>(pub(crate) Features<'a>);

impl<'de: 'a, 'a> Deserialize<'de> for FeatureList<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(FeatureVisitor).map(Self)
    }
}

/// One of a batch's `instances`: what a body is, or a list of values by position.
pub(crate) struct Instance<'a>(pub(crate) PredictBody<'a>);

impl<'de: 'a, 'a> Deserialize<'de> for Instance<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct InstanceVisitor;
        impl<'de> Visitor<'de> for InstanceVisitor {
            type Value = Instance<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of features by name, or a list of values by position")
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Instance<'de>, A::Error> {
                PredictBody::deserialize(MapAccessDeserializer::new(map)).map(Instance)
            }
            fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<Instance<'de>, A::Error> {
                FeatureVisitor.visit_seq(seq).map(|features| Instance(PredictBody::of_features(features)))
            }
        }
        deserializer.deserialize_any(InstanceVisitor)
    }
}

struct FeatureVisitor;

impl<'de> Visitor<'de> for FeatureVisitor {
    type Value = Features<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of features by name, or a list of values by position")
    }

    fn visit_unit<E: Error>(self) -> Result<Features<'de>, E> {
        Ok(Features::None)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Features<'de>, A::Error> {
        let mut named = Vec::with_capacity(64);
        while let Some((Text(name), value)) = map.next_entry::<Text<'de>, Value<'de>>()? {
            named.push((name, value));
        }
        Ok(Features::Named(named))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Features<'de>, A::Error> {
        let mut values = Vec::with_capacity(64);
        let (mut rows, mut scalars) = (0, false);
        while let Some(cell) = seq.next_element::<Cell<'de>>()? {
            let scalar = matches!(cell, Cell::Value(_));
            match cell {
                Cell::Value(value) => values.push(value),
                Cell::Row(row) => {
                    rows += 1;
                    values.extend(row);
                }
            }
            if rows > 1 {
                return Err(A::Error::custom(
                    "expected one row, got several; POST /predict/batch takes many",
                ));
            }
            scalars |= scalar;
            if scalars && rows > 0 {
                return Err(A::Error::custom("expected values or one row of them, got both"));
            }
        }
        Ok(Features::Positional(values))
    }
}

/// One value, or a row of them.
pub(crate) enum Cell<'a> {
    Value(Value<'a>),
    Row(Vec<Value<'a>>),
}

impl<'de: 'a, 'a> Deserialize<'de> for Cell<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct CellVisitor;
        impl<'de> Visitor<'de> for CellVisitor {
            type Value = Cell<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a value, or one row of values")
            }
            fn visit_f64<E: Error>(self, x: f64) -> Result<Cell<'de>, E> {
                Ok(Cell::Value(Value::Number(x)))
            }
            fn visit_i64<E: Error>(self, x: i64) -> Result<Cell<'de>, E> {
                Ok(Cell::Value(Value::Number(x as f64)))
            }
            fn visit_u64<E: Error>(self, x: u64) -> Result<Cell<'de>, E> {
                Ok(Cell::Value(Value::Number(x as f64)))
            }
            fn visit_bool<E: Error>(self, x: bool) -> Result<Cell<'de>, E> {
                Ok(Cell::Value(Value::Bool(x)))
            }
            fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Cell<'de>, E> {
                Ok(Cell::Value(Value::Text(Cow::Borrowed(text))))
            }
            fn visit_str<E: Error>(self, text: &str) -> Result<Cell<'de>, E> {
                Ok(Cell::Value(Value::Text(Cow::Owned(text.to_owned()))))
            }
            fn visit_unit<E: Error>(self) -> Result<Cell<'de>, E> {
                Ok(Cell::Value(Value::Missing))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Cell<'de>, A::Error> {
                let mut row = Vec::with_capacity(64);
                while let Some(value) = seq.next_element()? {
                    row.push(value);
                }
                Ok(Cell::Row(row))
            }
        }
        deserializer.deserialize_any(CellVisitor)
    }
}
