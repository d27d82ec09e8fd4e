//! What a pipeline answers: probabilities or a value, the decision made of them, and how sure it is.

use smallvec::SmallVec;

use crate::pipeline::PredictError;

/// The scores of one row; up to four stand in place, so most answers allocate nothing.
pub(crate) type Scores = SmallVec<[f64; 4]>;

/// The decision for one row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Answer {
    /// The value of a regression: the first score, or all of them where there are several.
    Value,
    /// A class, by its position in class order.
    Class(usize),
    /// A band of the decision policy, by its position.
    Band {
        /// The band.
        band: usize,
        /// Whether this band means "no answer".
        abstains: bool,
    },
}

/// The prediction for one row.
#[derive(Debug, Clone, PartialEq)]
pub struct Prediction {
    pub(crate) scores: Scores,
    pub(crate) answer: Answer,
    pub(crate) confidence: Option<f64>,
    pub(crate) classification: bool,
}

impl Prediction {
    /// Probabilities in class order, or the values of a regression.
    #[must_use]
    pub fn scores(&self) -> &[f64] {
        &self.scores
    }

    /// Probabilities in class order; `None` for a regression.
    #[must_use]
    pub fn probabilities(&self) -> Option<&[f64]> {
        self.classification.then_some(&self.scores[..])
    }

    /// The value of a regression; the first where there are several.
    #[must_use]
    pub fn value(&self) -> Option<f64> {
        (!self.classification).then(|| self.scores[0])
    }

    /// The decision.
    #[must_use]
    pub fn answer(&self) -> Answer {
        self.answer
    }

    /// The position of the answered class or band.
    #[must_use]
    pub fn class(&self) -> Option<usize> {
        match self.answer {
            Answer::Value => None,
            Answer::Class(class) => Some(class),
            Answer::Band { band, .. } => Some(band),
        }
    }

    /// The probability of the answered class; for bands over a class, that of its more probable side.
    #[must_use]
    pub fn confidence(&self) -> Option<f64> {
        self.confidence
    }
}

/// The predictions for many rows. The buffer is made to be used again: predicting as many rows into it once more
/// allocates nothing.
#[derive(Debug, Default)]
pub struct BatchPrediction {
    pub(crate) width: usize,
    pub(crate) classification: bool,
    pub(crate) scores: Vec<f64>,
    pub(crate) rows: Vec<Result<(Answer, Option<f64>), PredictError>>,
}

impl BatchPrediction {
    /// An empty buffer.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds the rows of another batch of the same model after its own.
    pub fn append(&mut self, mut other: Self) {
        (self.width, self.classification) = (other.width, other.classification);
        self.scores.append(&mut other.scores);
        self.rows.append(&mut other.rows);
    }

    /// Number of rows.
    #[must_use]
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there are no rows.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// All scores, row-major `[rows, classes]` (one column for a regression). Those of failed rows are NaN.
    #[must_use]
    pub fn scores(&self) -> &[f64] {
        &self.scores
    }

    /// The prediction of one row, or why it failed.
    ///
    /// # Errors
    /// When this row failed; the others are not touched by it.
    ///
    /// # Panics
    /// When `row` is not below [`len`](Self::len).
    pub fn get(&self, row: usize) -> Result<Prediction, &PredictError> {
        let (answer, confidence) = *self.rows[row].as_ref()?;
        let scores = Scores::from_slice(&self.scores[row * self.width..(row + 1) * self.width]);
        Ok(Prediction { scores, answer, confidence, classification: self.classification })
    }

    /// What was decided for one row, or why it failed: [`get`](Self::get) without the scores.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    ///
    /// # Panics
    /// As [`get`](Self::get).
    pub fn answer(&self, row: usize) -> Result<Answer, &PredictError> {
        self.rows[row].as_ref().map(|(answer, _)| *answer)
    }

    /// The rows in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = Result<Prediction, &PredictError>> {
        (0..self.len()).map(|row| self.get(row))
    }
}
