//! Tensors in JSON: a name, a datatype, a shape, and data that is nested or flat, row-major.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error, SeqAccess, Visitor};
use serde_json::Value as Json;
use serve_core::Value;

use crate::failure::Failure;

/// Elements that are kept of a tensor whose rows cannot be told apart from its columns.
const MOST_KEPT: usize = 65_536;

/// An input tensor as it comes.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Tensor<'a> {
    #[serde(borrow)]
    pub(super) name: Cow<'a, str>,
    pub(super) shape: Vec<i64>,
    pub(super) datatype: Datatype,
    #[serde(borrow, default)]
    data: Option<Flat<'a>>,
    #[serde(default)]
    parameters: Option<serde_json::Map<String, Json>>,
}

/// The protocol's datatypes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub(super) enum Datatype {
    Bool,
    Uint8,
    Uint16,
    Uint32,
    Uint64,
    Int8,
    Int16,
    Int32,
    Int64,
    Fp16,
    Fp32,
    Fp64,
    Bytes,
}

impl Tensor<'_> {
    /// Number of rows and columns. A tensor of one dimension is one column.
    pub(super) fn dimensions(&self) -> Result<(usize, usize), Failure> {
        let wrong = || {
            let message = format!(
                "input {:?}: expected a shape of one or two dimensions that are not negative, got {:?}",
                self.name, self.shape
            );
            Failure::invalid("invalid_shape", message)
        };
        let size = |n: &i64| usize::try_from(*n).map_err(|_| wrong());
        match &self.shape[..] {
            [rows] => Ok((size(rows)?, 1)),
            [rows, columns] => Ok((size(rows)?, size(columns)?)),
            _ => Err(wrong()),
        }
    }

    /// The tensor cut down to its first row. A tensor that stands alone and has one dimension may be a row itself.
    pub(super) fn first_row(&self, alone: bool) -> Tensor<'static> {
        let (shape, most) = match self.shape[..] {
            [_] if alone => (self.shape.clone(), MOST_KEPT),
            [rows] => (vec![rows.min(1)], 1),
            [rows, columns] => (vec![rows.min(1), columns], usize::try_from(columns).unwrap_or(0)),
            _ => (self.shape.clone(), 0),
        };
        let data = self
            .data
            .as_ref()
            .map(|Flat(data)| Flat(data.iter().take(most).map(|value| value.clone().into_owned()).collect()));
        Tensor {
            name: Cow::Owned(self.name.clone().into_owned()),
            shape,
            datatype: self.datatype,
            data,
            parameters: self.parameters.clone(),
        }
    }

    /// The elements, row-major, as many as the shape says and of the datatype's kind.
    pub(super) fn elements(&mut self) -> Result<Vec<Value<'_>>, Failure> {
        let (rows, columns) = self.dimensions()?;
        let told =
            |problem: String| Failure::invalid("invalid_tensor", format!("input {:?}: {problem}", self.name));
        if self.parameters.as_ref().is_some_and(|parameters| parameters.contains_key("binary_data_size")) {
            return Err(told("binary data comes with a later release; send JSON data".to_owned()));
        }
        let Some(Flat(data)) = self.data.take() else {
            return Err(told("it has no data".to_owned()));
        };
        if rows.checked_mul(columns) != Some(data.len()) {
            return Err(told(format!(
                "its shape {:?} does not hold the {} elements given",
                self.shape,
                data.len()
            )));
        }
        let odd = data.iter().position(|value| !self.datatype.takes(value));
        match odd {
            None => Ok(data),
            Some(at) => {
                let expected = format!("{:?}", self.datatype).to_uppercase();
                Err(told(format!("element {at}: expected {expected}, got {}", data[at].kind())))
            }
        }
    }
}

impl Datatype {
    fn takes(self, value: &Value<'_>) -> bool {
        match value {
            Value::Missing => true,
            Value::Bool(_) => self == Self::Bool,
            Value::Text(_) => self == Self::Bytes,
            Value::Number(x) => match self {
                Self::Bytes => false,
                Self::Bool => *x == 0.0 || *x == 1.0,
                Self::Fp16 | Self::Fp32 | Self::Fp64 => true,
                _ => x.fract() == 0.0,
            },
            Value::Other(_) => false,
        }
    }
}

/// Elements in row-major order, however deep they were nested.
#[derive(Debug, Clone)]
struct Flat<'a>(Vec<Value<'a>>);

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
