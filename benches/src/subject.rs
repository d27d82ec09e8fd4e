//! The thing that is measured: an imported model behind the entries that a user of the library calls. One row goes
//! through [`Pipeline::predict`], several through [`Pipeline::predict_batch`].

use std::error::Error;
use std::path::Path;

use ndarray::{ArrayView2, Axis};
use serve_core::{BatchPrediction, DecisionPolicy, Pipeline, Target, Task};
use serve_formats::{Format, import};

/// An imported model, and what predicting with it uses again from call to call.
#[derive(Debug)]
pub struct Subject {
    pipeline: Pipeline,
    /// The score that is compared: P(class 1) of a classification, the value of a regression.
    score: usize,
    threads: usize,
    parts: Vec<BatchPrediction>,
}

impl Subject {
    /// Imports a file by its [ending](format_of).
    ///
    /// # Errors
    /// When it cannot be read or does not import.
    pub fn load(path: &Path) -> Result<Self, Box<dyn Error>> {
        let model = import(&std::fs::read(path)?, format_of(path))?;
        let target = Target { name: "label".to_owned(), task: model.task.clone() };
        let score = usize::from(target.task != Task::Regression);
        let pipeline =
            Pipeline::new(model.signature()?, &model.estimator, target, DecisionPolicy::default())?;
        Ok(Self { pipeline, score, threads: 1, parts: vec![BatchPrediction::new()] })
    }

    /// How many numbers a row has.
    #[must_use]
    pub fn features(&self) -> usize {
        self.pipeline.signature().len()
    }

    /// Batches are predicted on this many threads from now on.
    pub fn set_threads(&mut self, threads: usize) {
        self.threads = threads.max(1);
        self.parts.resize_with(self.threads, BatchPrediction::new);
    }

    /// The compared score of each row, `[rows, features]`, into `out`; NaN for a row that fails.
    ///
    /// # Errors
    /// When a row has another length than the model takes.
    pub fn predict(&mut self, rows: ArrayView2<'_, f64>, out: &mut [f64]) -> Result<(), Box<dyn Error>> {
        if let ([out], Some(row)) = (&mut *out, rows.to_slice()) {
            *out = self.pipeline.predict(row).map_or(f64::NAN, |prediction| prediction.scores()[self.score]);
            return Ok(());
        }
        let share = rows.nrows().div_ceil(self.threads).max(1);
        let (pipeline, score) = (&self.pipeline, self.score);
        let work = rows.axis_chunks_iter(Axis(0), share).zip(out.chunks_mut(share)).zip(&mut self.parts);
        std::thread::scope(|scope| {
            let mut work = work.peekable();
            let mut others = Vec::new();
            while let Some(((rows, out), part)) = work.next() {
                if work.peek().is_none() {
                    predict_part(pipeline, score, rows, part, out)?;
                } else {
                    others.push(scope.spawn(move || {
                        predict_part(pipeline, score, rows, part, out).map_err(|e| e.to_string())
                    }));
                }
            }
            for other in others {
                other.join().map_err(|_| "a thread panicked")??;
            }
            Ok(())
        })
    }
}

/// The format that a file's ending stands for: `.txt` is LightGBM, `.json` and `.ubj` are XGBoost, `.onnx` is ONNX.
#[must_use]
pub fn format_of(path: &Path) -> Format {
    match path.extension().and_then(|extension| extension.to_str()) {
        Some("txt") => Format::LightGbm,
        Some("json" | "ubj") => Format::XgBoost,
        Some("onnx") => Format::Onnx,
        _ => Format::Auto,
    }
}

fn predict_part(
    pipeline: &Pipeline,
    score: usize,
    rows: ArrayView2<'_, f64>,
    part: &mut BatchPrediction,
    out: &mut [f64],
) -> Result<(), Box<dyn Error>> {
    pipeline.predict_batch(rows, part)?;
    let width = part.scores().len() / part.len().max(1);
    let scores = part.scores().chunks_exact(width.max(1));
    out.iter_mut().zip(scores).for_each(|(out, scores)| *out = scores[score]);
    Ok(())
}
