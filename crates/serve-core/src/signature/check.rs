//! The check of numbers against a signature, and how its findings are told: every offending input at once.

use std::fmt;

use serde::Serialize;
use thiserror::Error;

use super::{Datatype, Input, MissingPolicy, Signature};

/// What is wrong with one input.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "problem", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Problem {
    /// Absent, null or NaN, and the policy is `reject`.
    Missing,
    /// An infinity where only finite numbers are allowed.
    NotFinite {
        /// What came.
        got: String,
    },
    /// Outside the declared range.
    OutOfRange {
        /// The range, e.g. `0 to 100`.
        expected: String,
        /// What came.
        got: f64,
    },
    /// Of another type than declared.
    WrongType {
        /// The declared type.
        expected: &'static str,
        /// What came.
        got: String,
    },
    /// Text that is not in the vocabulary.
    UnknownCategory {
        /// Some of the vocabulary.
        expected: String,
        /// What came.
        got: String,
    },
    /// The same name given twice in one request.
    Duplicate,
    /// A name that the signature lacks. Told only beside other offences, where a typo is the likely cause; by itself it is
    /// ignored and counted.
    Unknown,
}

/// One offending input.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Violation {
    /// The input's name.
    pub feature: String,
    /// What is wrong with it.
    #[serde(flatten)]
    pub problem: Problem,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { feature, problem } = self;
        match problem {
            Problem::Missing => write!(f, "{feature}: missing, and the model has no value to stand in"),
            Problem::NotFinite { got } => write!(f, "{feature}: expected a finite number, got {got}"),
            Problem::OutOfRange { expected, got } => write!(f, "{feature}: expected {expected}, got {got}"),
            Problem::WrongType { expected, got } => write!(f, "{feature}: expected {expected}, got {got}"),
            Problem::UnknownCategory { expected, got } => {
                write!(f, "{feature}: expected one of {expected}, got {got:?}")
            }
            Problem::Duplicate => write!(f, "{feature}: given twice"),
            Problem::Unknown => write!(f, "{feature}: not an input of the model"),
        }
    }
}

/// A row that the signature refuses. The client's fault; a retry with the same row cannot help.
#[derive(Debug, Clone, PartialEq, Error)]
#[non_exhaustive]
pub enum InvalidInput {
    /// One or more inputs break their declaration.
    #[error("{}", summary(violations))]
    Violations {
        /// Every offence, in the signature's order.
        violations: Vec<Violation>,
    },
    /// A row given by position has the wrong length.
    #[error("expected {expected} values in the signature's order, got {got}")]
    Length {
        /// The signature's length.
        expected: usize,
        /// The row's length.
        got: usize,
    },
}

fn summary(violations: &[Violation]) -> String {
    let first = violations.first().map_or_else(String::new, ToString::to_string);
    match violations.len() {
        0 | 1 => format!("invalid input: {first}"),
        n => format!("{n} invalid inputs, first {first}"),
    }
}

impl Signature {
    /// Applies each input's missing-value policy, datatype and declared range to a row of numbers, in place. Positions of
    /// missing values that were not refused are pushed to `imputed`, offences to `violations`. NaN means missing.
    /// `O(inputs)`.
    pub(super) fn admit(&self, row: &mut [f64], imputed: &mut Vec<u32>, violations: &mut Vec<Violation>) {
        if !self.needs_admission {
            let missing = row.iter().zip(0..).filter(|(x, _)| x.is_nan());
            imputed.extend(missing.map(|(_, position)| position));
            return;
        }
        for (position, (input, x)) in self.inputs.iter().zip(row).enumerate() {
            if x.is_nan() {
                match input.missing {
                    MissingPolicy::Nan => imputed.push(position as u32),
                    MissingPolicy::Constant(value) | MissingPolicy::TrainingMean(value) => {
                        *x = value;
                        imputed.push(position as u32);
                    }
                    MissingPolicy::Reject => push(violations, input, Problem::Missing),
                }
            } else if x.is_infinite() && input.missing != MissingPolicy::Nan {
                push(violations, input, Problem::NotFinite { got: x.to_string() });
            } else if !input.datatype.holds(*x) {
                let problem = Problem::WrongType { expected: input.datatype.described(), got: x.to_string() };
                push(violations, input, problem);
            } else if let Some(range) = input.range.filter(|range| !range.contains(*x)) {
                push(violations, input, Problem::OutOfRange { expected: describe(range), got: *x });
            }
        }
    }
}

pub(super) fn push(violations: &mut Vec<Violation>, input: &Input, problem: Problem) {
    violations.push(Violation { feature: input.name.clone(), problem });
}

impl Datatype {
    /// Whether a number that is not NaN can be of this type. Codes of texts are not asked: the model has its own rule
    /// for those it does not know.
    pub(super) fn holds(self, x: f64) -> bool {
        match self {
            Self::Bool => x == 0.0 || x == 1.0,
            Self::Int64 => x.fract() == 0.0,
            Self::Fp32 | Self::Fp64 | Self::Bytes => true,
        }
    }

    pub(super) fn described(self) -> &'static str {
        match self {
            Self::Bool => "true or false",
            Self::Int64 => "a whole number",
            Self::Fp32 | Self::Fp64 => "a number",
            Self::Bytes => "text",
        }
    }
}

fn describe(range: super::Range) -> String {
    match (range.min, range.max) {
        (Some(min), Some(max)) => format!("{min} to {max}"),
        (Some(min), None) => format!("at least {min}"),
        (None, Some(max)) => format!("at most {max}"),
        (None, None) => "a number".to_owned(),
    }
}
