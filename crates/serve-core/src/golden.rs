//! Golden rows: a version's own proof. Rows, the answers expected for them and how exact they must be travel in the
//! bundle; the machine that will serve runs them before the version may answer anyone.

use ndarray::ArrayView2;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::manifest::{Target, Task};
use crate::pipeline::{Pipeline, PredictError};
use crate::prediction::BatchPrediction;
use crate::signature::InvalidInput;
use crate::value::Value;

/// Whose answers golden rows hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum GoldenSource {
    /// The library that trained the model.
    Reference,
    /// Our naive evaluator ([`crate::naive`]).
    #[serde(rename = "self")]
    Naive,
}

/// How far an answer may lie from the expected one: `|got - expected| <= absolute + relative · |expected|`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tolerance {
    /// The absolute part.
    pub absolute: f64,
    /// The part of the expected value's magnitude.
    #[serde(default)]
    pub relative: f64,
}

impl Tolerance {
    /// For answers computed in `f64`.
    pub const F64: Self = Self { absolute: 1e-12, relative: 1e-12 };
    /// For answers computed in `f32`.
    pub const F32: Self = Self { absolute: 2e-6, relative: 2e-6 };

    /// Whether `got` is close enough.
    #[must_use]
    pub fn allows(&self, expected: f64, got: f64) -> bool {
        (got - expected).abs() <= self.around(expected)
    }

    /// How far an answer may lie from the expected one.
    #[must_use]
    pub fn around(&self, expected: f64) -> f64 {
        self.absolute + self.relative * expected.abs()
    }
}

/// The content of `golden.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Golden {
    /// Whose answers these are.
    pub source: GoldenSource,
    /// Who that is, e.g. `lightgbm 4.7.0`.
    pub by: String,
    /// How exact an answer must be.
    pub tolerance: Tolerance,
    /// Rows in the signature's order; `null` is missing.
    #[serde(with = "rows_as_values")]
    pub rows: Vec<Vec<f64>>,
    /// Per row: probabilities in class order, or the one value of a regression.
    #[serde(with = "rows_as_values")]
    pub scores: Vec<Vec<f64>>,
}

/// A version that does not answer as it must.
#[derive(Debug, Clone, PartialEq, Error)]
#[non_exhaustive]
pub enum ProofError {
    /// There is nothing to prove with.
    #[error("there are no golden rows")]
    Empty,
    /// Rows and answers do not match up.
    #[error("{rows} golden rows have {scores} answers")]
    Counts {
        /// Number of rows.
        rows: usize,
        /// Number of answers.
        scores: usize,
    },
    /// The rows do not fit the signature.
    #[error("golden rows do not fit the signature")]
    Shape(#[source] InvalidInput),
    /// A row got no answer.
    #[error("golden row {row} got no answer")]
    Failed {
        /// The row, from 0.
        row: usize,
        /// Why.
        #[source]
        source: PredictError,
    },
    /// A row got another number of scores.
    #[error("golden row {row}: expected {expected} scores, got {got}")]
    Width {
        /// The row, from 0.
        row: usize,
        /// How many the file has.
        expected: usize,
        /// How many the pipeline gives.
        got: usize,
    },
    /// A row got another answer.
    #[error("golden row {row}, {label}: expected {expected}, got {got}; they may differ by {allowed:e}")]
    Differs {
        /// The row, from 0.
        row: usize,
        /// Which score, from 0.
        output: usize,
        /// What that score is: the class or output whose it is.
        label: String,
        /// How far an answer may lie from the expected one.
        allowed: f64,
        /// What the reference answered.
        expected: f64,
        /// What the pipeline answered.
        got: f64,
    },
    /// A row got another answer alone than in a batch.
    #[error("golden row {row}: its answer alone differs from its answer in a batch")]
    Batch {
        /// The row, from 0.
        row: usize,
    },
}

impl Golden {
    /// Runs every row, alone and in one batch, and compares.
    ///
    /// # Errors
    /// At the first row whose answer is not the expected one.
    pub fn prove(&self, pipeline: &Pipeline) -> Result<(), ProofError> {
        let (rows, scores) = (self.rows.len(), self.scores.len());
        if rows == 0 {
            return Err(ProofError::Empty);
        }
        if rows != scores {
            return Err(ProofError::Counts { rows, scores });
        }
        let batch = self.predict(pipeline)?;
        for (row, expected) in self.scores.iter().enumerate() {
            let failed = |source| ProofError::Failed { row, source };
            let together = batch.get(row).map_err(|error| failed(error.clone()))?;
            let alone = pipeline.predict(&self.rows[row]).map_err(failed)?;
            if alone != together {
                return Err(ProofError::Batch { row });
            }
            self.compare(pipeline.target(), row, expected, alone.scores())?;
        }
        Ok(())
    }

    fn predict(&self, pipeline: &Pipeline) -> Result<BatchPrediction, ProofError> {
        let width = pipeline.signature().len();
        if let Some(row) = self.rows.iter().find(|row| row.len() != width) {
            return Err(ProofError::Shape(InvalidInput::Length { expected: width, got: row.len() }));
        }
        let flat = self.rows.concat();
        let view = ArrayView2::from_shape((self.rows.len(), width), &flat)
            .map_err(|_| ProofError::Shape(InvalidInput::Length { expected: width, got: flat.len() }))?;
        let mut batch = BatchPrediction::new();
        pipeline.predict_batch(view, &mut batch).map_err(ProofError::Shape)?;
        Ok(batch)
    }

    fn compare(&self, target: &Target, row: usize, expected: &[f64], got: &[f64]) -> Result<(), ProofError> {
        if expected.len() != got.len() {
            return Err(ProofError::Width { row, expected: expected.len(), got: got.len() });
        }
        let differs = expected.iter().zip(got).position(|(e, g)| !self.tolerance.allows(*e, *g));
        match differs {
            None => Ok(()),
            Some(output) => {
                let (expected, got) = (expected[output], got[output]);
                let (label, allowed) = (score_name(target, output), self.tolerance.around(expected));
                Err(ProofError::Differs { row, output, label, allowed, expected, got })
            }
        }
    }
}

/// What a score is called when its class or output is to be named.
fn score_name(target: &Target, output: usize) -> String {
    match &target.task {
        Task::Regression => target.name.clone(),
        Task::Classification { classes } => {
            let class = classes.get(output).map_or("?", String::as_str);
            format!("probability of {class:?}")
        }
        Task::MultiRegression { outputs } => {
            let name = outputs.get(output).map_or("?", String::as_str);
            format!("output {name:?}")
        }
    }
}

/// JSON has no NaN and no infinity; rows have.
mod rows_as_values {
    use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

    use super::Value;

    pub(super) fn serialize<S: Serializer>(rows: &[Vec<f64>], serializer: S) -> Result<S::Ok, S::Error> {
        let values = |row: &Vec<f64>| row.iter().map(|x| Value::from(*x)).collect::<Vec<_>>();
        rows.iter().map(values).collect::<Vec<_>>().serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Vec<f64>>, D::Error> {
        let rows = Vec::<Vec<Value<'de>>>::deserialize(deserializer)?;
        let number = |value: &Value<'_>| match value {
            Value::Missing => Ok(f64::NAN),
            Value::Number(x) => Ok(*x),
            Value::Text(text) if text == "inf" => Ok(f64::INFINITY),
            Value::Text(text) if text == "-inf" => Ok(f64::NEG_INFINITY),
            other => Err(D::Error::custom(format!("expected a number or null, got {}", other.kind()))),
        };
        rows.iter().map(|row| row.iter().map(number).collect()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_json_lacks_survives_a_round_trip() {
        let golden = Golden {
            source: GoldenSource::Naive,
            by: "test".to_owned(),
            tolerance: Tolerance::F64,
            rows: vec![vec![f64::NAN, f64::INFINITY, -0.0]],
            scores: vec![vec![0.1]],
        };
        let json = serde_json::to_string(&golden).expect("serialises");
        assert!(json.contains(r#""source":"self""#) && json.contains(r#"[[null,"inf",-0.0]]"#), "{json}");
        let back: Golden = serde_json::from_str(&json).expect("reads");
        assert!(back.rows[0][0].is_nan() && back.rows[0][1] == f64::INFINITY);
        assert!(back.rows[0][2].is_sign_negative());
    }
}
