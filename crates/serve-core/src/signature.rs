//! What a model takes: its inputs in order, each with a datatype, an optional vocabulary, a declared range and a
//! policy for missing values. Every way into a model (HTTP, embedding, files) passes through here, so every way gives
//! the same answer and the same error.
//!
//! Invariant of [`Signature`]: at least one input, names distinct and not empty, ranges not empty, constants finite,
//! a vocabulary, of texts or of their hashes, exactly where the datatype is [`Datatype::Bytes`].

mod check;
mod order;
mod reading;
mod row;
mod text_hash;

use std::collections::HashMap;

use serde::{Deserialize, Serialize};
use thiserror::Error;

pub use check::{InvalidInput, Problem, Violation};
pub use reading::exact_integer;
pub use row::CheckedRow;
pub use text_hash::text_hash;

use order::Order;

/// An input's datatype, named as in the Open Inference Protocol. The engine computes with `f64` throughout.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
#[non_exhaustive]
pub enum Datatype {
    /// `true` or `false`, 1 or 0.
    Bool,
    /// A whole number.
    Int64,
    /// A number; given as any number.
    Fp32,
    /// A number.
    #[default]
    Fp64,
    /// Text from the input's vocabulary; the engine sees its position there.
    Bytes,
}

/// A declared range, both ends included. Only a person declares one; observed minima and maxima are never enforced.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Range {
    /// The least value allowed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min: Option<f64>,
    /// The greatest value allowed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max: Option<f64>,
}

impl Range {
    /// Whether `x` lies inside; NaN never does.
    #[must_use]
    pub fn contains(&self, x: f64) -> bool {
        self.min.is_none_or(|min| x >= min) && self.max.is_none_or(|max| x <= max) && !x.is_nan()
    }
}

/// What happens when an input is absent, null or NaN.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum MissingPolicy {
    /// The row is refused.
    #[default]
    Reject,
    /// This value stands in, and the answer says so.
    Constant(f64),
    /// The mean of the training data stands in, and the answer says so.
    TrainingMean(f64),
    /// The model has a rule of its own for missing values, and the answer says that the value was missing. Every number is
    /// legal then, infinities included.
    Nan,
}

/// One input.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// The feature's name, distinct within the signature.
    pub name: String,
    /// Its datatype.
    #[serde(default)]
    pub datatype: Datatype,
    /// For [`Datatype::Bytes`]: the texts allowed; a text's position is its code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vocabulary: Option<Vec<String>>,
    /// The code of a text that is not in the vocabulary; where left out, such a text is refused. Since manifest format 2.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unknown: Option<f64>,
    /// For [`Datatype::Bytes`] in place of a vocabulary: CatBoost's hashes of texts, see [`text_hash`]. A text's code is
    /// its hash's position, and for every other text their number. A whole number stands for its digits. Since manifest
    /// format 2.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text_hashes: Option<Vec<u32>>,
    /// The declared range, if a person declared one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub range: Option<Range>,
    /// What a missing value does.
    #[serde(default)]
    pub missing: MissingPolicy,
    /// The feature set that has it, where that is another than the model's own. Since manifest format 2.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub feature_set: Option<String>,
}

impl Input {
    /// A numeric input that refuses missing values.
    #[must_use]
    pub fn number(name: impl Into<String>) -> Self {
        Self { name: name.into(), ..Self::default() }
    }

    /// The same input with another policy for missing values.
    #[must_use]
    pub fn missing(self, missing: MissingPolicy) -> Self {
        Self { missing, ..self }
    }
}

/// Why a list of inputs is no signature.
#[derive(Debug, Clone, PartialEq, Error)]
#[non_exhaustive]
pub enum InvalidSignature {
    /// No input at all.
    #[error("a signature needs at least one input")]
    Empty,
    /// A name is empty.
    #[error("input {index} has no name")]
    NoName {
        /// Position of the input.
        index: usize,
    },
    /// A name stands twice.
    #[error("input {name:?} is declared twice")]
    Duplicate {
        /// The name.
        name: String,
    },
    /// A vocabulary where none belongs, or none where one does.
    #[error("input {name:?} of datatype {datatype:?} {problem}")]
    Vocabulary {
        /// The input.
        name: String,
        /// Its datatype.
        datatype: Datatype,
        /// What is wrong.
        problem: &'static str,
    },
    /// A range without a value in it, or a substitute that is not finite or outside the range.
    #[error("input {name:?}: {problem}")]
    Bounds {
        /// The input.
        name: String,
        /// What is wrong.
        problem: &'static str,
    },
}

/// The ordered inputs of a model. See the module for its invariant.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(try_from = "SignatureFile", into = "SignatureFile")]
pub struct Signature {
    inputs: Vec<Input>,
    positions: HashMap<String, u32>,
    /// In which order names came last.
    order: Order,
    /// Whether some input may be refused or filled in once it is a number; false for most imported models.
    needs_admission: bool,
    /// The feature sets that inputs name, each once, in the order of the inputs; none for most models.
    joined: Vec<String>,
}

#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SignatureFile {
    inputs: Vec<Input>,
}

impl Signature {
    /// A signature of these inputs.
    ///
    /// # Errors
    /// When the inputs break the invariant of the module.
    ///
    /// ```
    /// use serve_core::{Input, Signature};
    /// let signature = Signature::new(vec![Input::number("age"), Input::number("income")])?;
    /// assert_eq!(signature.position("income"), Some(1));
    /// # Ok::<(), serve_core::signature::InvalidSignature>(())
    /// ```
    pub fn new(inputs: Vec<Input>) -> Result<Self, InvalidSignature> {
        if inputs.is_empty() {
            return Err(InvalidSignature::Empty);
        }
        let mut positions = HashMap::with_capacity(inputs.len());
        for (index, input) in inputs.iter().enumerate() {
            validate(input, index)?;
            if positions.insert(input.name.clone(), index as u32).is_some() {
                return Err(InvalidSignature::Duplicate { name: input.name.clone() });
            }
        }
        let any_number = |i: &Input| {
            i.missing == MissingPolicy::Nan
                && i.range.is_none()
                && !matches!(i.datatype, Datatype::Bool | Datatype::Int64)
        };
        let needs_admission = !inputs.iter().all(any_number);
        let mut joined: Vec<String> = Vec::new();
        for set in inputs.iter().filter_map(|input| input.feature_set.as_ref()) {
            if !joined.contains(set) {
                joined.push(set.clone());
            }
        }
        let order = Order::declared(inputs.len());
        Ok(Self { inputs, positions, order, needs_admission, joined })
    }

    /// A signature of numbers that all refuse missing values.
    pub fn of_numbers<S: Into<String>>(names: impl IntoIterator<Item = S>) -> Result<Self, InvalidSignature> {
        Self::new(names.into_iter().map(Input::number).collect())
    }

    /// The inputs in order.
    #[must_use]
    pub fn inputs(&self) -> &[Input] {
        &self.inputs
    }

    /// How many inputs there are; never 0.
    #[must_use]
    #[allow(clippy::len_without_is_empty, reason = "a signature is never empty")]
    pub fn len(&self) -> usize {
        self.inputs.len()
    }

    /// Where the input of this name stands.
    #[must_use]
    pub fn position(&self, name: &str) -> Option<usize> {
        self.positions.get(name).map(|&position| position as usize)
    }

    /// The feature sets that inputs name for themselves, each once, in the order of the inputs.
    #[must_use]
    pub fn joined_sets(&self) -> &[String] {
        &self.joined
    }

    /// The names in order.
    pub fn names(&self) -> impl ExactSizeIterator<Item = &str> {
        self.inputs.iter().map(|input| input.name.as_str())
    }
}

impl PartialEq for Signature {
    fn eq(&self, other: &Self) -> bool {
        self.inputs == other.inputs
    }
}

impl TryFrom<SignatureFile> for Signature {
    type Error = InvalidSignature;

    fn try_from(file: SignatureFile) -> Result<Self, InvalidSignature> {
        Self::new(file.inputs)
    }
}

impl From<Signature> for SignatureFile {
    fn from(signature: Signature) -> Self {
        Self { inputs: signature.inputs }
    }
}

fn validate(input: &Input, index: usize) -> Result<(), InvalidSignature> {
    if input.name.is_empty() {
        return Err(InvalidSignature::NoName { index });
    }
    let name = || input.name.clone();
    let vocabulary =
        |problem| InvalidSignature::Vocabulary { name: name(), datatype: input.datatype, problem };
    match (&input.vocabulary, input.datatype) {
        _ if input.text_hashes.is_some() && input.datatype != Datatype::Bytes => {
            return Err(vocabulary("can have no hashes of texts"));
        }
        _ if input.text_hashes.is_some() && (input.vocabulary.is_some() || input.unknown.is_some()) => {
            return Err(vocabulary("has hashes of texts beside a vocabulary or a code for unknown texts"));
        }
        (None, Datatype::Bytes) if input.text_hashes.is_some() => {}
        (None, Datatype::Bytes) => return Err(vocabulary("needs a vocabulary")),
        (Some(_), other) if other != Datatype::Bytes => return Err(vocabulary("can have no vocabulary")),
        (Some(words), _) if words.is_empty() => return Err(vocabulary("has an empty vocabulary")),
        (None, _) if input.unknown.is_some() => return Err(vocabulary("has a code for unknown texts")),
        _ if input.unknown.is_some_and(|code| !code.is_finite()) => {
            return Err(vocabulary("has a code for unknown texts that is not finite"));
        }
        _ => {}
    }
    let bounds = |problem| InvalidSignature::Bounds { name: name(), problem };
    if let Some(Range { min, max }) = input.range {
        if min.is_some_and(f64::is_nan) || max.is_some_and(f64::is_nan) {
            return Err(bounds("an end of the range is not a number"));
        }
        if min.zip(max).is_some_and(|(min, max)| min > max) {
            return Err(bounds("the range's minimum is above its maximum"));
        }
    }
    if let MissingPolicy::Constant(x) | MissingPolicy::TrainingMean(x) = input.missing {
        if !x.is_finite() {
            return Err(bounds("the value that stands in for a missing one is not finite"));
        }
        if input.range.is_some_and(|range| !range.contains(x)) {
            return Err(bounds("the value that stands in for a missing one lies outside the range"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_refuses_what_breaks_its_invariant() {
        let error = |inputs| Signature::new(inputs).expect_err("must be refused").to_string();
        assert_eq!(error(vec![]), "a signature needs at least one input");
        assert_eq!(error(vec![Input::number("a"), Input::number("a")]), "input \"a\" is declared twice");
        let text = Input { datatype: Datatype::Bytes, ..Input::number("t") };
        assert_eq!(error(vec![text]), "input \"t\" of datatype Bytes needs a vocabulary");
        let range = Some(Range { min: Some(0.0), max: Some(1.0) });
        let outside = Input { range, missing: MissingPolicy::Constant(2.0), ..Input::number("x") };
        assert!(error(vec![outside]).contains("outside the range"));
    }

    #[test]
    fn policies_are_short_in_json() {
        let json = |policy| serde_json::to_string(&policy).expect("serialises");
        assert_eq!(json(MissingPolicy::Reject), r#""reject""#);
        assert_eq!(json(MissingPolicy::TrainingMean(1.5)), r#"{"training_mean":1.5}"#);
        let signature: Signature =
            serde_json::from_str(r#"{"inputs":[{"name":"a","missing":"nan"}]}"#).expect("reads");
        assert_eq!(signature.inputs()[0].missing, MissingPolicy::Nan);
        assert!(serde_json::from_str::<Signature>(r#"{"inputs":[{"name":"a","typo":1}]}"#).is_err());
    }
}
