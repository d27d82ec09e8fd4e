//! Linear models, through their public coefficients.

use serde::Serialize;
use serve_core::{Estimator, LinearModel, Link, Model, Task};
use smartcore::linalg::basic::arrays::{Array1, Array2};
use smartcore::linalg::traits::cholesky::CholeskyDecomposable;
use smartcore::linalg::traits::qr::QRDecomposable;
use smartcore::linalg::traits::svd::SVDDecomposable;
use smartcore::linear::elastic_net::ElasticNet;
use smartcore::linear::lasso::Lasso;
use smartcore::linear::linear_regression::LinearRegression;
use smartcore::linear::logistic_regression::LogisticRegression;
use smartcore::linear::ridge_regression::RidgeRegression;
use smartcore::numbers::basenum::Number;

use super::{Lower, Lowered, regression, require_columns};
use crate::error::TrainError;
use crate::fitted::link;

/// smartcore's getters panic on a model that was never fitted.
fn require_fitted(model: &impl Serialize) -> Result<(), TrainError> {
    let stored = serde_json::to_value(model)?;
    if stored["coefficients"].is_null() { Err(TrainError::NotFitted) } else { Ok(()) }
}

/// `weights` are `[features, outputs]`.
fn values<X: Array2<f64>>(weights: &X, intercept: Vec<f64>, features: usize) -> Result<Lowered, TrainError> {
    let (inputs, outputs) = weights.shape();
    require_columns(inputs, features)?;
    let flat = (0..outputs).flat_map(|k| (0..inputs).map(move |i| *weights.get((i, k)))).collect();
    let model = Model::Linear(LinearModel::new(inputs, flat, intercept)?);
    Ok(Lowered { estimator: Estimator::of(model, Link::IDENTITY), task: regression(outputs) })
}

/// `weights` are `[scores, features]`, `intercept` `[scores, 1]`.
pub(crate) fn logistic<X: Array2<f64>>(
    weights: &X,
    intercept: &X,
    classes: usize,
) -> Result<Estimator, TrainError> {
    let (outputs, inputs) = weights.shape();
    let flat = (0..outputs).flat_map(|k| (0..inputs).map(move |i| *weights.get((k, i)))).collect();
    let intercept = (0..outputs).map(|k| *intercept.get((k, 0))).collect();
    Ok(Estimator::of(Model::Linear(LinearModel::new(inputs, flat, intercept)?), link(classes)))
}

impl<X, Y> Lower for LinearRegression<f64, f64, X, Y>
where
    X: Array2<f64> + QRDecomposable<f64> + SVDDecomposable<f64>,
    Y: Array1<f64>,
    Self: Serialize,
{
    fn lower(&self, features: usize) -> Result<Lowered, TrainError> {
        require_fitted(self)?;
        let intercept = self.intercept_matrix();
        values(self.coefficients(), intercept.iterator(0).copied().collect(), features)
    }
}

impl<X, Y> Lower for RidgeRegression<f64, f64, X, Y>
where
    X: Array2<f64> + CholeskyDecomposable<f64> + SVDDecomposable<f64>,
    Y: Array1<f64>,
    Self: Serialize,
{
    fn lower(&self, features: usize) -> Result<Lowered, TrainError> {
        require_fitted(self)?;
        values(self.coefficients(), vec![*self.intercept()], features)
    }
}

impl<X, Y> Lower for Lasso<f64, f64, X, Y>
where
    X: Array2<f64>,
    Y: Array1<f64>,
    Self: Serialize,
{
    fn lower(&self, features: usize) -> Result<Lowered, TrainError> {
        require_fitted(self)?;
        values(self.coefficients(), vec![*self.intercept()], features)
    }
}

impl<X, Y> Lower for ElasticNet<f64, f64, X, Y>
where
    X: Array2<f64>,
    Y: Array1<f64>,
    Self: Serialize,
{
    fn lower(&self, features: usize) -> Result<Lowered, TrainError> {
        require_fitted(self)?;
        values(self.coefficients(), vec![*self.intercept()], features)
    }
}

impl<TY, X, Y> Lower for LogisticRegression<f64, TY, X, Y>
where
    TY: Number + Ord,
    X: Array2<f64>,
    Y: Array1<TY>,
    Self: Serialize,
{
    fn lower(&self, features: usize) -> Result<Lowered, TrainError> {
        require_fitted(self)?;
        require_columns(self.coefficients().shape().1, features)?;
        let classes: Vec<String> = self.classes().iter().map(ToString::to_string).collect();
        let estimator = logistic(self.coefficients(), self.intercept(), classes.len())?;
        Ok(Lowered { estimator, task: Task::Classification { classes } })
    }
}
