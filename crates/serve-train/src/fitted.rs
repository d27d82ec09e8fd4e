//! What every trained model can do: be lowered to the engine's form, and answer rows by smartcore's own code, so that
//! the one can be held against the other.

use ndarray::ArrayView2;
use serve_core::Estimator;
use serve_core::link::{Link, LinkFunction};
use smartcore::linalg::basic::arrays::MutArrayView1;
use smartcore::numbers::realnum::RealNumber;

use crate::boosting::Boosting;
use crate::error::TrainError;
use crate::forest::Forest;
use crate::logistic::Logistic;
use crate::settings::Learner;

/// A model as smartcore holds it.
pub(crate) trait Fitted {
    /// The same model for the engine.
    fn estimator(&self) -> Result<Estimator, TrainError>;

    /// The probabilities that smartcore answers to unscaled rows, in class order.
    ///
    /// # Errors
    /// [`TrainError::Unfaithful`] when its `predict()`, where it has one for this model, names another class than the
    /// numbers that the probabilities are made of.
    fn answers(&self, rows: ArrayView2<'_, f64>) -> Result<Vec<Vec<f64>>, TrainError>;
}

/// What a model learns from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Lesson<'a> {
    /// `[rows, features]`.
    pub(crate) rows: ArrayView2<'a, f64>,
    /// The features' names.
    pub(crate) features: &'a [String],
    /// A class for each row; every one of `0..classes` is there.
    pub(crate) labels: &'a [u32],
    pub(crate) classes: usize,
}

pub(crate) fn fit(learner: &Learner, lesson: Lesson<'_>, seed: u64) -> Result<Box<dyn Fitted>, TrainError> {
    Ok(match learner {
        Learner::Logistic(settings) => Box::new(Logistic::fit(*settings, lesson)?),
        Learner::Forest(settings) => Box::new(Forest::fit(settings, lesson, seed)?),
        Learner::Boosting(settings) => Box::new(Boosting::fit(settings, lesson, seed)?),
    })
}

/// Holds smartcore's `predict()` against what the exported model decides.
pub(crate) fn agree(library: &[u32], export: impl Iterator<Item = usize>) -> Result<(), TrainError> {
    for (row, (&expected, got)) in library.iter().zip(export).enumerate() {
        if expected as usize != got {
            return Err(TrainError::Unfaithful { row, expected, got: got as u32 });
        }
    }
    Ok(())
}

/// The first of the greatest, as smartcore and the pipeline both choose.
pub(crate) fn first_greatest(scores: &[f64]) -> usize {
    (0..scores.len()).fold(0, |best, class| if scores[class] > scores[best] { class } else { best })
}

/// The link behind raw scores: logistic for two classes and one score, softmax for more.
pub(crate) fn link(classes: usize) -> Link {
    Link::new(if classes == 2 { LinkFunction::Logistic { scale: 1.0 } } else { LinkFunction::Softmax })
}

/// Probabilities of raw scores by smartcore's own sigmoid and softmax.
pub(crate) fn probabilities(mut raw: Vec<f64>) -> Vec<f64> {
    if let [score] = raw[..] {
        let p = RealNumber::sigmoid(score);
        return vec![1.0 - p, p];
    }
    raw.softmax_mut();
    raw
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_export_that_contradicts_the_library_is_refused() {
        assert!(agree(&[0, 1], [0, 1].into_iter()).is_ok());
        let error = agree(&[0, 0], [0, 1].into_iter()).expect_err("refused").to_string();
        assert_eq!(error, "row 1: smartcore answers class 0, the export of its model class 1");
    }

    #[test]
    fn equals_go_to_the_first() {
        assert_eq!(first_greatest(&[0.25, 0.375, 0.375]), 1);
    }
}
