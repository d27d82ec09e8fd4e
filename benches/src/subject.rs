//! The thing that is measured: an imported model behind the entries that a user of the library calls. One row goes
//! through [`Pipeline::predict`], several through [`Pipeline::score_batch`], on a standing [`Pool`] where there are
//! threads to use.

use std::error::Error;
use std::path::Path as FilePath;

use ndarray::ArrayView2;
use serve_core::engine::{Path, Pool};
use serve_core::{DecisionPolicy, Pipeline, Target, Task};
use serve_formats::{Format, import};

/// An imported model, and what predicting with it uses again from call to call.
#[derive(Debug)]
pub struct Subject {
    pipeline: Pipeline,
    /// The score that is compared: P(class 1) of a classification, the value of a regression.
    score: usize,
    /// Scores of a row.
    width: usize,
    pool: Option<Pool>,
    scores: Vec<f64>,
}

impl Subject {
    /// Imports a file by its [ending](format_of); `path` is what the engine is forced to, if to anything.
    ///
    /// # Errors
    /// When it cannot be read or does not import, or the path cannot run it.
    pub fn load(file: &FilePath, path: Path) -> Result<Self, Box<dyn Error>> {
        let model = import(&std::fs::read(file)?, format_of(file))?;
        let target = Target { name: "label".to_owned(), task: model.task.clone() };
        let (score, width) = (usize::from(target.task != Task::Regression), target.task.scores());
        let (signature, decision) = (model.signature()?, DecisionPolicy::default());
        let pipeline = Pipeline::with_path(signature, &model.estimator, target, decision, path)?;
        Ok(Self { pipeline, score, width, pool: None, scores: Vec::new() })
    }

    /// How many numbers a row has.
    #[must_use]
    pub fn features(&self) -> usize {
        self.pipeline.signature().len()
    }

    /// Batches are predicted on this many threads from now on.
    ///
    /// # Errors
    /// When the system starts no more threads.
    pub fn set_threads(&mut self, threads: usize) -> Result<(), Box<dyn Error>> {
        self.pool = (threads > 1).then(|| Pool::new(threads)).transpose()?;
        Ok(())
    }

    /// The compared score of one row; NaN where it fails.
    #[must_use]
    pub fn predict_row(&self, row: &[f64]) -> f64 {
        self.pipeline.predict(row).map_or(f64::NAN, |prediction| prediction.scores()[self.score])
    }

    /// The compared score of each row, `[rows, features]`, into `out`; NaN for a row that fails.
    ///
    /// # Errors
    /// When a row has another length than the model takes.
    pub fn predict(&mut self, rows: ArrayView2<'_, f64>, out: &mut [f64]) -> Result<(), Box<dyn Error>> {
        if let ([out], Some(row)) = (&mut *out, rows.to_slice()) {
            *out = self.predict_row(row);
            return Ok(());
        }
        self.scores.resize(rows.nrows() * self.width, 0.0);
        match &self.pool {
            None => self.pipeline.score_batch(rows, &mut self.scores)?,
            Some(pool) => self.pipeline.score_batch_on(pool, rows, &mut self.scores)?,
        }
        let scores = self.scores.chunks_exact(self.width.max(1));
        out.iter_mut().zip(scores).for_each(|(out, scores)| *out = scores[self.score]);
        Ok(())
    }
}

/// The format that a file's ending stands for: `.txt` is LightGBM, `.ubj` is XGBoost, `.onnx` is ONNX;
/// what a `.json` is, its content says.
#[must_use]
pub fn format_of(path: &FilePath) -> Format {
    match path.extension().and_then(|extension| extension.to_str()) {
        Some("txt") => Format::LightGbm,
        Some("ubj") => Format::XgBoost,
        Some("onnx") => Format::Onnx,
        _ => Format::Auto,
    }
}
