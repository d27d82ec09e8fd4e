//! Logistic regression, two classes or more, on scaled features.
//!
//! smartcore minimises `Σ −ln p(class) + ½·l2·Σ weight²` by L-BFGS (intercepts are not penalised), with
//! `p = 1/(1 + exp(−r))`, `r = Σ wᵢxᵢ + b`, for two classes, and `softmax(r)`, `rₖ = Σ wₖᵢxᵢ + bₖ`, for more. It answers
//! the second class where `p > ½`, or the first of the greatest `rₖ`; the pipeline decides by the probabilities, which
//! differs only where softmax makes equals of scores that differ in the last bit. Source: `linear/logistic_regression.rs` of
//! smartcore 0.7.0; the objective is scikit-learn's with `C = 1/l2`.

use ::smartcore::linalg::basic::arrays::{Array, Array2 as _};
use ::smartcore::linalg::basic::matrix::DenseMatrix;
use ::smartcore::linear::logistic_regression::{LogisticRegression, LogisticRegressionParameters};
use ndarray::{Array2, ArrayView2};
use serve_core::{Estimator, Scaler};

use crate::error::TrainError;
use crate::fitted::{Fitted, Lesson, agree, first_greatest, probabilities};
use crate::matrix;
use crate::settings::LogisticSettings;
use crate::smartcore;

pub(crate) struct Logistic {
    scaler: Scaler,
    model: LogisticRegression<f64, u32, DenseMatrix<f64>, Vec<u32>>,
}

impl Logistic {
    pub(crate) fn fit(settings: LogisticSettings, lesson: Lesson<'_>) -> Result<Self, TrainError> {
        let scaler = Scaler::fit_standard(lesson.rows);
        let rows = scaled(&scaler, lesson.rows);
        require_scaled(rows.view(), lesson.features)?;
        let parameters = LogisticRegressionParameters::default().with_alpha(settings.l2);
        let model =
            LogisticRegression::fit(&matrix::dense(rows.view())?, &lesson.labels.to_vec(), parameters)
                .map_err(|source| TrainError::Smartcore { step: "fit the logistic regression", source })?;
        Ok(Self { scaler, model })
    }

    /// Raw scores of unscaled rows by smartcore's own matrix product, as its `predict()` makes them.
    pub(crate) fn raw(&self, rows: ArrayView2<'_, f64>) -> Result<Vec<Vec<f64>>, TrainError> {
        let rows = matrix::dense(scaled(&self.scaler, rows).view())?;
        let (products, intercept) = (rows.ab(false, self.model.coefficients(), true), self.model.intercept());
        let (rows, outputs) = products.shape();
        let score = |row| (0..outputs).map(|k| products.get((row, k)) + intercept.get((k, 0))).collect();
        Ok((0..rows).map(score).collect())
    }
}

/// A value lies at most `√(n − 1)` standard deviations from the mean of `n`. Beyond that the deviation was infinite.
fn require_scaled(rows: ArrayView2<'_, f64>, features: &[String]) -> Result<(), TrainError> {
    let bound = rows.nrows() as f64;
    let column = rows.columns().into_iter().position(|column| !column.iter().all(|z| z.abs() <= bound));
    match column {
        Some(column) => Err(TrainError::TooLarge { feature: features[column].clone() }),
        None => Ok(()),
    }
}

fn scaled(scaler: &Scaler, rows: ArrayView2<'_, f64>) -> Array2<f64> {
    let mut scaled: Array2<f64> = rows.as_standard_layout().into_owned();
    for mut row in scaled.rows_mut() {
        if let Some(row) = row.as_slice_mut() {
            scaler.transform(row);
        }
    }
    scaled
}

impl Fitted for Logistic {
    fn estimator(&self) -> Result<Estimator, TrainError> {
        let classes = self.model.classes().len();
        let estimator = smartcore::logistic(self.model.coefficients(), self.model.intercept(), classes)?;
        Ok(Estimator { scaler: Some(self.scaler.clone()), ..estimator })
    }

    fn answers(&self, rows: ArrayView2<'_, f64>) -> Result<Vec<Vec<f64>>, TrainError> {
        let raw = self.raw(rows)?;
        let labels = self.model.predict(&matrix::dense(scaled(&self.scaler, rows).view())?);
        let labels = labels.map_err(|source| TrainError::Smartcore { step: "predict", source })?;
        let scores: Vec<Vec<f64>> = raw.iter().map(|raw| probabilities(raw.clone())).collect();
        let decide = |(raw, scores): (&Vec<f64>, &Vec<f64>)| match raw.len() {
            1 => usize::from(scores[1] > 0.5),
            _ => first_greatest(raw),
        };
        agree(&labels, raw.iter().zip(&scores).map(decide))?;
        Ok(scores)
    }
}
