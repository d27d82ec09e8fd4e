//! Many rows at once: with decisions, or scores alone; on one thread, or on those of a pool.

use std::cell::RefCell;

use super::{Admits, Pipeline, PredictError, SCRATCH, Scratch, finite};
use crate::Answer;
use crate::engine::{InvalidRows, Pool, Rows, Workspace};
use crate::prediction::BatchPrediction;
use crate::signature::InvalidInput;

thread_local! {
    /// Apart from the scratch rows, which are borrowed while a batch is computed.
    static WORKSPACE: RefCell<Workspace> = RefCell::default();
}

/// The decision for a row, or why there is none.
type RowAnswer = Result<(Answer, Option<f64>), PredictError>;

impl Pipeline {
    /// Predicts many rows, `[rows, inputs]`, into `out`, which is cleared first. A row that fails, fails alone. Views of
    /// any strides, of `f64` or `f32`, are read in place, unless the signature has to change or refuse a row.
    ///
    /// # Errors
    /// [`InvalidInput::Length`] when the view has another number of columns than the signature has inputs.
    pub fn predict_batch<'a>(
        &self,
        rows: impl Into<Rows<'a>>,
        out: &mut BatchPrediction,
    ) -> Result<(), InvalidInput> {
        self.predict_rows(None, &rows.into(), out)
    }

    /// As [`predict_batch`](Self::predict_batch), on all threads of a pool; the answers have the same bits.
    ///
    /// # Errors
    /// As [`predict_batch`](Self::predict_batch).
    pub fn predict_batch_on<'a>(
        &self,
        pool: &Pool,
        rows: impl Into<Rows<'a>>,
        out: &mut BatchPrediction,
    ) -> Result<(), InvalidInput> {
        self.predict_rows(Some(pool), &rows.into(), out)
    }

    /// The scores alone, row-major `[rows, classes]` (one column for a regression), into `out`; those of rows that fail
    /// are NaN. For offline scoring: nothing is kept per row, and no decision is made.
    ///
    /// # Errors
    /// When the rows or the place for scores do not fit the model.
    ///
    /// ```
    /// use ndarray::array;
    /// # use serve_core::{EngineLoader, ModelLoader};
    /// # let pipeline = EngineLoader.load(&serve_core::doctest::logistic_bundle())?;
    /// let mut scores = [0.0; 4];
    /// pipeline.score_batch(array![[0.5, 1.0], [f64::NAN, 0.0]].view(), &mut scores)?;
    /// assert!(scores[1] > 0.5 && scores[2].is_nan());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn score_batch<'a>(&self, rows: impl Into<Rows<'a>>, out: &mut [f64]) -> Result<(), InvalidRows> {
        self.score_rows(None, &rows.into(), out)
    }

    /// As [`score_batch`](Self::score_batch), on all threads of a pool; the scores have the same bits.
    ///
    /// # Errors
    /// As [`score_batch`](Self::score_batch).
    pub fn score_batch_on<'a>(
        &self,
        pool: &Pool,
        rows: impl Into<Rows<'a>>,
        out: &mut [f64],
    ) -> Result<(), InvalidRows> {
        self.score_rows(Some(pool), &rows.into(), out)
    }

    fn predict_rows(
        &self,
        pool: Option<&Pool>,
        rows: &Rows<'_>,
        out: &mut BatchPrediction,
    ) -> Result<(), InvalidInput> {
        let (expected, got) = (self.signature.len(), rows.inputs());
        if expected != got {
            return Err(InvalidInput::Length { expected, got });
        }
        out.width = self.compiled.outputs();
        out.classification = self.target.task.is_classification();
        out.rows.clear();
        // Every place is written below; what is left from other batches is not read.
        out.scores.resize(rows.len() * out.width, 0.0);
        if self.admits_rows(rows) {
            out.rows.extend((0..rows.len()).map(|_| Ok((Answer::Value, None))));
            self.compute(pool, rows, &mut out.scores);
        } else {
            self.with_admitted(
                rows,
                |row| out.rows.push(row),
                |rows| {
                    self.compute(pool, rows, &mut out.scores);
                },
            );
        }
        self.decide_rows(out);
        Ok(())
    }

    fn score_rows(&self, pool: Option<&Pool>, rows: &Rows<'_>, out: &mut [f64]) -> Result<(), InvalidRows> {
        let (width, inputs) = (self.compiled.outputs(), self.signature.len());
        if rows.inputs() != inputs {
            return Err(InvalidRows::Inputs { expected: inputs, got: rows.inputs() });
        }
        if out.len() != rows.len() * width {
            return Err(InvalidRows::Scores { expected: rows.len() * width, got: out.len() });
        }
        let mut refused = Vec::new();
        if self.admits_rows(rows) {
            self.compute(pool, rows, out);
        } else {
            let mut number = 0;
            let mut note = |row: RowAnswer| {
                refused.extend(row.is_err().then_some(number));
                number += 1;
            };
            self.with_admitted(rows, &mut note, |rows| self.compute(pool, rows, out));
        }
        refused.iter().for_each(|&row| out[row * width..(row + 1) * width].fill(f64::NAN));
        for scores in out.chunks_exact_mut(width) {
            if !scores.iter().fold(true, |all, score| all & score.is_finite()) {
                scores.fill(f64::NAN);
            }
        }
        Ok(())
    }

    fn admits_rows(&self, rows: &Rows<'_>) -> bool {
        match self.admits {
            Admits::All => true,
            Admits::Finite => rows.all_finite(),
            Admits::Asked => false,
        }
    }

    fn compute(&self, pool: Option<&Pool>, rows: &Rows<'_>, out: &mut [f64]) {
        let width = self.compiled.outputs();
        let work = |rows: &Rows<'_>, out: &mut [f64]| {
            WORKSPACE.with_borrow_mut(|space| self.compiled.scores(rows, out, space));
        };
        match pool {
            Some(pool) => pool.share(rows, (out, width), self.compiled.ns_per_row(), work),
            None => work(rows, out),
        }
    }

    /// Reads rows through the signature into a copy; refused ones are told and stand as zeros.
    fn with_admitted(
        &self,
        rows: &Rows<'_>,
        mut tell: impl FnMut(RowAnswer),
        use_them: impl FnOnce(&Rows<'_>),
    ) {
        let width = self.signature.len();
        SCRATCH.with_borrow_mut(|scratch| {
            let Scratch { row, rows: copy, loose, .. } = scratch;
            copy.clear();
            for number in 0..rows.len() {
                rows.copy_row(number, loose);
                match self.signature.read_numbers(loose, row) {
                    Ok(()) => {
                        copy.extend_from_slice(row.values());
                        tell(Ok((Answer::Value, None)));
                    }
                    Err(error) => {
                        copy.extend(std::iter::repeat_n(0.0, width));
                        tell(Err(error.into()));
                    }
                }
            }
            use_them(&Rows::of(copy, width));
        });
    }

    fn decide_rows(&self, out: &mut BatchPrediction) {
        for (row, scores) in out.rows.iter_mut().zip(out.scores.chunks_exact_mut(out.width)) {
            if row.is_ok() {
                *row = finite(scores).map(|()| self.decide.answer(scores));
            }
            if row.is_err() {
                scores.fill(f64::NAN);
            }
        }
    }
}
