//! The held-out part's figures, measured through the pipeline that will serve, and beside them what guessing gets on
//! the same rows: 0.55 is good where guessing gets 0.50, and nothing where it gets 0.55.

use std::collections::BTreeMap;

use ndarray::{Array2, ArrayView2};
use serve_core::{BatchPrediction, Pipeline};

use crate::error::TrainError;
use crate::fitted::first_greatest;
use crate::metrics::{accuracy, brier_score, log_loss, roc_auc};
use crate::settings::Metric;

/// What a pipeline says to a part of the data.
#[derive(Debug)]
pub(crate) struct Answered {
    /// `[rows, classes]`.
    pub(crate) probabilities: Array2<f64>,
    /// The class answered, per row.
    pub(crate) answers: Vec<u32>,
}

/// Runs rows through the pipeline; every one must be answered.
pub(crate) fn answer(
    pipeline: &Pipeline,
    rows: ArrayView2<'_, f64>,
    part: &'static str,
) -> Result<Answered, TrainError> {
    let mut batch = BatchPrediction::new();
    pipeline.predict_batch(rows, &mut batch)?;
    let mut answers = Vec::with_capacity(batch.len());
    for (row, prediction) in batch.iter().enumerate() {
        let failed = |source: &_| TrainError::Predict { part, row, source: Clone::clone(source) };
        answers.push(prediction.map_err(failed)?.class().unwrap_or_default() as u32);
    }
    let classes = pipeline.target().task.classes().len();
    let probabilities =
        Array2::from_shape_fn((batch.len(), classes), |(row, class)| batch.scores()[row * classes + class]);
    Ok(Answered { probabilities, answers })
}

/// The figures by name. `shares` are the classes' shares in the training part: guessing answers the most frequent of
/// them always, and gives the shares as probabilities.
pub(crate) fn measure(answered: &Answered, labels: &[u32], shares: &[f64]) -> BTreeMap<String, f64> {
    let probabilities = answered.probabilities.view();
    let guess = vec![first_greatest(shares) as u32; labels.len()];
    let guessed = Array2::from_shape_fn(probabilities.dim(), |(_, class)| shares[class]);
    let mut figures = BTreeMap::from([
        (Metric::Accuracy.as_str().to_owned(), accuracy(labels, &answered.answers)),
        (Metric::LogLoss.as_str().to_owned(), log_loss(labels, probabilities)),
        (Metric::Brier.as_str().to_owned(), brier_score(labels, probabilities)),
        ("baseline_accuracy".to_owned(), accuracy(labels, &guess)),
        ("baseline_log_loss".to_owned(), log_loss(labels, guessed.view())),
    ]);
    if shares.len() == 2 {
        let positive: Vec<bool> = labels.iter().map(|label| *label == 1).collect();
        let area = roc_auc(&positive, &probabilities.column(1).to_vec());
        figures.extend(area.map(|area| (Metric::RocAuc.as_str().to_owned(), area)));
    }
    figures
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;

    #[test]
    fn guessing_uses_what_the_training_part_knew() {
        let answered =
            Answered { probabilities: array![[0.9, 0.1], [0.2, 0.8], [0.4, 0.6]], answers: vec![0, 1, 1] };
        let figures = measure(&answered, &[0, 1, 0], &[0.25, 0.75]);
        assert_eq!(figures["accuracy"], 2.0 / 3.0);
        assert_eq!(figures["baseline_accuracy"], 1.0 / 3.0);
        let expected = -(0.25_f64.ln() + 0.75_f64.ln() + 0.25_f64.ln()) / 3.0;
        assert_eq!(figures["baseline_log_loss"], expected);
        assert_eq!(figures["roc_auc"], 1.0);
    }

    #[test]
    fn three_classes_have_no_roc_auc() {
        let answered = Answered { probabilities: array![[0.5, 0.25, 0.25]], answers: vec![0] };
        let figures = measure(&answered, &[0], &[0.2, 0.4, 0.4]);
        assert!(!figures.contains_key("roc_auc"));
        assert_eq!((figures["brier"], figures["baseline_accuracy"]), (0.375, 0.0));
    }
}
