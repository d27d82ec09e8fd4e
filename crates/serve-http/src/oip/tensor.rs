//! Input tensors: a name, a datatype, a shape, and data, which is JSON (nested or flat, row-major) or a piece of what
//! follows the JSON.

use std::borrow::Cow;

use serde::Deserialize;
use serde::de::IgnoredAny;
use serve_core::Value;

use super::datatype::Datatype;
use super::flat::Flat;
use crate::call::maybe_object;
use crate::failure::Failure;

/// Elements that are kept of a tensor whose rows cannot be told apart from its columns.
const MOST_KEPT: usize = 65_536;

/// An input tensor as it comes.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub(super) struct Tensor<'a> {
    #[serde(borrow)]
    pub(super) name: Cow<'a, str>,
    pub(super) shape: Vec<i64>,
    pub(super) datatype: Datatype,
    #[serde(borrow, default)]
    pub(super) data: Option<Flat<'a>>,
    #[serde(default, deserialize_with = "maybe_object")]
    pub(super) parameters: Option<TensorParameters>,
    /// The tensor's piece of the binary data.
    #[serde(skip)]
    pub(super) binary: Option<Cow<'a, [u8]>>,
}

/// The parameters of a tensor that mean something here.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub(super) struct TensorParameters {
    pub(super) binary_data_size: Option<u64>,
    pub(super) shared_memory_region: Option<IgnoredAny>,
}

impl<'a> Tensor<'a> {
    /// A tensor that is binary data as a whole.
    pub(super) fn raw(name: &'a str, shape: Vec<i64>, datatype: Datatype, binary: Cow<'a, [u8]>) -> Self {
        Self { name: name.into(), shape, datatype, data: None, parameters: None, binary: Some(binary) }
    }

    /// Takes its piece of the binary data, if its parameters say that it has one, and answers with what is left.
    pub(super) fn take_binary(&mut self, rest: &'a [u8]) -> Result<&'a [u8], Failure> {
        let Some(parameters) = &self.parameters else { return Ok(rest) };
        if parameters.shared_memory_region.is_some() {
            return Err(self.wrong("shared memory is not supported; send the data with the request"));
        }
        let Some(size) = parameters.binary_data_size else { return Ok(rest) };
        if self.data.is_some() {
            return Err(self.wrong("it has both data and binary_data_size; send one of them"));
        }
        let piece = usize::try_from(size).ok().and_then(|size| rest.split_at_checked(size));
        let Some((piece, rest)) = piece else {
            let left = rest.len();
            return Err(
                self.wrong(&format!("binary_data_size is {size}, of the binary data {left} bytes are left"))
            );
        };
        self.binary = Some(Cow::Borrowed(piece));
        Ok(rest)
    }

    fn wrong(&self, problem: &str) -> Failure {
        Failure::invalid("invalid_tensor", format!("input {:?}: {problem}", self.name))
    }

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
        let data = self.data.as_ref().map(|Flat(data)| first(data, most));
        let (data, binary) = match (&self.binary, self.datatype.size()) {
            (None, _) => (data, None),
            (Some(bytes), Some(size)) => {
                let kept = bytes.len().min(most.saturating_mul(size));
                (None, Some(Cow::Owned(bytes[..kept].to_vec())))
            }
            (Some(bytes), None) => (Some(first(&texts(bytes, most).unwrap_or_default(), most)), None),
        };
        let name = Cow::Owned(self.name.clone().into_owned());
        Tensor { name, shape, datatype: self.datatype, data, parameters: None, binary }
    }

    /// The elements as numbers, row-major, where they are all numbers; NaN is missing.
    pub(super) fn numbers(&mut self) -> Result<Vec<f64>, Failure> {
        if let (Some(bytes), Some(size)) = (&self.binary, self.datatype.size()) {
            self.check_binary(bytes.len(), size)?;
            if self.datatype == Datatype::Bool && bytes.iter().any(|byte| *byte > 1) {
                return Err(self.wrong("expected BOOL as bytes of 0 and 1"));
            }
            return Ok(self.datatype.numbers(bytes).unwrap_or_default());
        }
        Ok(self.elements()?.iter().map(number).collect())
    }

    /// The elements, row-major, as many as the shape says and of the datatype's kind.
    pub(super) fn elements(&mut self) -> Result<Vec<Value<'_>>, Failure> {
        if self.binary.is_some() && self.datatype != Datatype::Bytes {
            return Ok(self.numbers()?.into_iter().map(Value::from).collect());
        }
        let (rows, columns) = self.dimensions()?;
        let expected = rows.checked_mul(columns);
        let too_few =
            |shape: &[i64], got: usize| format!("its shape {shape:?} does not hold the {got} elements given");
        if let Some(bytes) = &self.binary {
            let elements = texts(bytes, usize::MAX).map_err(|problem| self.wrong(&problem))?;
            if expected != Some(elements.len()) {
                return Err(self.wrong(&too_few(&self.shape, elements.len())));
            }
            return Ok(elements);
        }
        let Some(Flat(data)) = self.data.take() else {
            return Err(self.wrong("it has no data"));
        };
        if expected != Some(data.len()) {
            return Err(self.wrong(&too_few(&self.shape, data.len())));
        }
        match data.iter().position(|value| !self.datatype.takes(value)) {
            None => Ok(data),
            Some(at) => {
                let (expected, got) = (self.datatype.as_str(), data[at].kind());
                Err(self.wrong(&format!("element {at}: expected {expected}, got {got}")))
            }
        }
    }

    fn check_binary(&self, got: usize, size: usize) -> Result<(), Failure> {
        let (rows, columns) = self.dimensions()?;
        let expected = rows.checked_mul(columns).and_then(|elements| elements.checked_mul(size));
        if expected == Some(got) {
            return Ok(());
        }
        let (datatype, shape) = (self.datatype.as_str(), &self.shape);
        Err(self.wrong(&match expected {
            Some(expected) => format!("{datatype} of shape {shape:?} takes {expected} bytes, got {got}"),
            None => format!("{datatype} of shape {shape:?} takes more bytes than there can be, got {got}"),
        }))
    }
}

/// The first `most` elements without a borrow.
fn first(elements: &[Value<'_>], most: usize) -> Flat<'static> {
    Flat(elements.iter().take(most).map(|value| value.clone().into_owned()).collect())
}

/// The first `most` texts of binary data: each a length of four bytes, then as many bytes of UTF-8.
fn texts(mut bytes: &[u8], most: usize) -> Result<Vec<Value<'_>>, String> {
    let mut texts = Vec::new();
    while !bytes.is_empty() && texts.len() < most {
        let at = texts.len();
        let Some((length, rest)) = bytes.split_first_chunk::<4>() else {
            return Err(format!(
                "element {at}: expected a length of 4 bytes, {} bytes are left",
                bytes.len()
            ));
        };
        let length = u32::from_le_bytes(*length);
        let text = usize::try_from(length).ok().and_then(|length| rest.split_at_checked(length));
        let Some((text, rest)) = text else {
            return Err(format!("element {at}: expected {length} bytes, {} bytes are left", rest.len()));
        };
        let text = std::str::from_utf8(text).map_err(|error| format!("element {at}: {error}"))?;
        texts.push(Value::Text(Cow::Borrowed(text)));
        bytes = rest;
    }
    Ok(texts)
}

/// The number that a value stands for; NaN where it is none.
pub(super) fn number(value: &Value<'_>) -> f64 {
    match value {
        Value::Number(x) => *x,
        Value::Bool(x) => f64::from(u8::from(*x)),
        Value::Missing | Value::Text(_) | Value::Other(_) => f64::NAN,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_lengths_and_bytes() {
        let bytes = [3, 0, 0, 0, b'r', b'e', b'd', 0, 0, 0, 0];
        let text = |text: &'static str| Value::Text(text.into());
        assert_eq!(texts(&bytes, 9), Ok(vec![text("red"), text("")]));
        assert_eq!(texts(&bytes, 1), Ok(vec![text("red")]));
        let cut = Err("element 1: expected a length of 4 bytes, 3 bytes are left".to_owned());
        assert_eq!(texts(&bytes[..10], 9), cut);
        let short = Err("element 0: expected 4294967295 bytes, 1 bytes are left".to_owned());
        assert_eq!(texts(&[255, 255, 255, 255, 1], 9), short);
        assert!(texts(&[1, 0, 0, 0, 0xff], 9).is_err_and(|problem| problem.contains("utf-8")));
    }

    #[test]
    fn binary_data_has_the_size_of_the_shape() {
        let bytes = [0; 16];
        let check = |shape: &[i64], expected: &str| {
            let mut tensor = Tensor::raw("x", shape.to_vec(), Datatype::Fp64, Cow::Borrowed(&bytes));
            let told = tensor.numbers().map_or_else(|e| e.entry()["error"].clone(), |n| n.len().into());
            assert_eq!(told.to_string(), expected);
        };
        check(&[2, 1], "2");
        check(&[2], "2");
        check(&[3], "\"input \\\"x\\\": FP64 of shape [3] takes 24 bytes, got 16\"");
        let huge = "\"input \\\"x\\\": FP64 of shape [9223372036854775807, 8] takes more bytes than there can be, got 16\"";
        check(&[i64::MAX, 8], huge);
        let negative = "\"input \\\"x\\\": expected a shape of one or two dimensions that are not negative, got [-1, -2]\"";
        check(&[-1, -2], negative);
    }
}
