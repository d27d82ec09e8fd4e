//! What a thread counts of a batch.

use std::sync::Arc;

use ndarray::ArrayView1;
use serve_core::engine::Rows;
use serve_core::signature::Problem;
use serve_core::{Answer, BatchPrediction};

use super::column::{Edges, column, counts};
use super::gauge::{Gauge, Meter};
use super::sample::Sample;
use super::{ColumnTally, Tally, kind};
use crate::convert::{Matrix, Wrong};
use crate::reject::Reject;

/// What of a batch is counted.
pub(crate) struct Counted<'a> {
    /// The number of the first row.
    pub(crate) first_row: u64,
    /// Rows that were read.
    pub(crate) read: u64,
    /// The inputs of the rows that were rows.
    pub(crate) matrix: &'a Matrix,
    /// Those that could not be read.
    pub(crate) wrong: &'a [Wrong],
    /// What was predicted of them.
    pub(crate) predictions: &'a BatchPrediction,
    /// Which have no answer, ascending.
    pub(crate) failed: &'a [usize],
    /// All rejects.
    pub(crate) rejects: &'a [Reject],
}

/// Counts batches by a gauge.
#[derive(Debug)]
pub(crate) struct Counter {
    gauge: Arc<Gauge>,
    features: Vec<Option<Edges>>,
    scores: Vec<Option<Edges>>,
    /// One score of the answered rows.
    score: Vec<f64>,
}

impl Counter {
    pub(crate) fn new(gauge: Arc<Gauge>) -> Self {
        let features = gauge.features.iter().map(Edges::of).collect();
        let scores = gauge.scores.iter().map(Edges::of).collect();
        Self { features, scores, gauge, score: Vec::new() }
    }

    /// The counts of a batch.
    pub(crate) fn count(&mut self, batch: &Counted<'_>) -> Tally {
        let mut tally = Tally { rows: batch.read, rejected: batch.rejects.len() as u64, ..Tally::default() };
        for reject in batch.rejects {
            tally.reject(&reject.column, kind(&reject.column, &reject.reason), 1);
        }
        tally.features = self.features(batch.first_row, batch.matrix);
        for Wrong { input, problem, .. } in batch.wrong {
            // It was read as missing.
            let feature = &mut tally.features[*input];
            feature.missing = feature.missing.saturating_sub(1);
            feature.unreadable += 1;
            feature.unknown += u64::from(matches!(problem, Problem::UnknownCategory { .. }));
        }
        self.scores(batch, &mut tally);
        tally
    }

    fn features(&self, first_row: u64, matrix: &Matrix) -> Vec<ColumnTally> {
        let rows = matrix.rows();
        let sample = Sample::draw(first_row, matrix.len());
        let meters = self.gauge.features.iter().zip(&self.features).enumerate();
        let count = |(at, (meter, edges)): (usize, (&Meter, &Option<Edges>))| {
            let (edges, sample) = (edges.as_ref(), sample.as_ref());
            match &rows {
                Rows::F32(view) => with_slice(view.column(at), |values| column(meter, edges, sample, values)),
                Rows::F64(view) => with_slice(view.column(at), |values| column(meter, edges, sample, values)),
            }
        };
        if matrix.is_empty() { Vec::new() } else { meters.map(count).collect() }
    }

    fn scores(&mut self, batch: &Counted<'_>, tally: &mut Tally) {
        let width = self.gauge.scores.len();
        let mut failed = batch.failed.iter().peekable();
        let answered: Vec<usize> =
            (0..batch.matrix.len()).filter(|row| failed.next_if(|next| *next == row).is_none()).collect();
        tally.labels = vec![0; self.gauge.labels.len()];
        if !tally.labels.is_empty() {
            for &row in &answered {
                if let Ok(Answer::Class(label) | Answer::Band { band: label, .. }) =
                    batch.predictions.answer(row)
                    && let Some(count) = tally.labels.get_mut(label)
                {
                    *count += 1;
                }
            }
        }
        let scores = batch.predictions.scores();
        for (at, (meter, edges)) in self.gauge.scores.iter().zip(&self.scores).enumerate() {
            self.score.clear();
            self.score.extend(answered.iter().map(|row| scores[row * width + at]));
            let score = column(meter, edges.as_ref(), None, &self.score[..]);
            tally.histograms.push(counts(&self.gauge.histogram, None, None, &self.score[..], score.range));
            tally.scores.push(score);
        }
    }
}

fn with_slice<T: Copy, R>(column: ArrayView1<'_, T>, count: impl FnOnce(&[T]) -> R) -> R {
    match column.to_slice() {
        Some(values) => count(values),
        None => count(&column.to_vec()),
    }
}
