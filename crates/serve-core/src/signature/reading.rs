//! From a value at the edge to the number that its input makes of it, before policies and ranges are asked.

use super::check::Problem;
use super::{Datatype, Input, text_hash};
use crate::cell;
use crate::value::Value;

impl Input {
    /// The number that a value stands for, NaN where it is missing, before policies and ranges are asked. For
    /// whoever has columns: rows are read by [`Signature::read_named`](crate::Signature::read_named) and its like.
    ///
    /// # Errors
    /// When the value is of another type, or a text that is not in the vocabulary.
    pub fn read(&self, value: &Value<'_>) -> Result<f64, Problem> {
        number(self, value)
    }

    /// [`read`](Self::read) for the cell of a CSV.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn read_cell(&self, text: &str) -> Result<f64, Problem> {
        let known = |text: &str| self.vocabulary.iter().flatten().any(|word| word == text);
        match self.datatype {
            Datatype::Bytes => number(self, &cell::text(text, known)),
            datatype => match cell::number(text) {
                Some(value) => number(self, &value),
                None => {
                    let got = shown(&Value::Text(text.into()));
                    Err(Problem::WrongType { expected: datatype.described(), got })
                }
            },
        }
    }
}

/// The number that an input's value stands for; NaN where it is missing.
pub(super) fn number(input: &Input, value: &Value<'_>) -> Result<f64, Problem> {
    match (value, input.datatype) {
        (Value::Missing, _) => Ok(f64::NAN),
        // Whether the number is one of this type is asked of every row alike, in `admit`.
        (Value::Number(x), Datatype::Fp64 | Datatype::Fp32 | Datatype::Int64 | Datatype::Bool) => Ok(*x),
        // As everywhere in numerical Python, true is 1.
        (Value::Bool(x), datatype) if datatype != Datatype::Bytes => Ok(f64::from(u8::from(*x))),
        (Value::Text(text), Datatype::Bytes) => category(input, text),
        (Value::Number(x), Datatype::Bytes)
            if input.text_hashes.is_some()
                && let Some(whole) = exact_integer(*x) =>
        {
            category(input, &whole.to_string())
        }
        (other, datatype) => Err(Problem::WrongType { expected: datatype.described(), got: shown(other) }),
    }
}

/// A whole number that an `f64` holds exactly, and its neighbours too: below 2⁵³. An input with hashes of texts takes it for the text of
/// its digits.
#[must_use]
pub fn exact_integer(x: f64) -> Option<i64> {
    (x.fract() == 0.0 && x.abs() < 9_007_199_254_740_992.0).then_some(x as i64)
}

fn category(input: &Input, text: &str) -> Result<f64, Problem> {
    if let Some(hashes) = &input.text_hashes {
        let hash = text_hash(text);
        return Ok(hashes.iter().position(|known| *known == hash).unwrap_or(hashes.len()) as f64);
    }
    let words = input.vocabulary.as_deref().unwrap_or_default();
    match words.iter().position(|word| word == text).map(|code| code as f64).or(input.unknown) {
        Some(code) => Ok(code),
        None => {
            Err(Problem::UnknownCategory { expected: listed(words), got: text.chars().take(80).collect() })
        }
    }
}

fn listed(words: &[String]) -> String {
    let shown = words.iter().take(10).map(|word| format!("{word:?}")).collect::<Vec<_>>().join(", ");
    match words.len().saturating_sub(10) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

fn shown(value: &Value<'_>) -> String {
    match value {
        Value::Number(x) => x.to_string(),
        Value::Text(text) => format!("text {:?}", text.chars().take(80).collect::<String>()),
        other => other.kind().to_owned(),
    }
}
