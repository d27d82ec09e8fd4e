//! smartcore's own models lowered to the engine, for a Rust program that trains with smartcore itself: what is served
//! then answers as smartcore's `predict()` does.
//!
//! | smartcore 0.7 | becomes | answers |
//! |---|---|---|
//! | `DecisionTreeClassifier` | one tree | 1 for the class that `predict()` names, 0 for the others, as its `predict_proba` |
//! | `RandomForestClassifier` | its trees | the share of trees that vote for each class; a tie goes to the earlier class |
//! | `DecisionTreeRegressor` | one tree | the value |
//! | `RandomForestRegressor`, `ExtraTreesRegressor` | their trees | the mean, added in the order of the trees |
//! | `XGRegressor` | its trees | `base_score + Σ learning_rate · leaf`, added in order |
//! | `LinearRegression` (one target or more), `RidgeRegression`, `Lasso`, `ElasticNet` | a linear model | the value |
//! | `LogisticRegression` | a linear model and its link | probabilities by sigmoid or softmax |
//!
//! Rows may be of any number type for trees, which compare in `f64`; linear models and all regressions have to be of
//! `f64`, since others round what they answer. Not supported: `SVC` and `SVR`, whose kernel a fitted model does not give
//! away; naive Bayes, nearest neighbours and clusterings.
//!
//! smartcore has no rule for missing values: let the signature refuse them, as [`Input::number`](serve_core::Input::number)
//! does.
//!
//! ```
//! use serve_core::{DecisionPolicy, Pipeline, Signature, Target};
//! use serve_train::smartcore::Lower;
//! use smartcore::ensemble::random_forest_classifier::RandomForestClassifier;
//! use smartcore::linalg::basic::matrix::DenseMatrix;
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let rows = DenseMatrix::from_2d_vec(&vec![vec![0.1, 1.0], vec![0.9, 3.0], vec![0.2, 1.5], vec![0.8, 0.5]])?;
//! let forest = RandomForestClassifier::fit(&rows, &vec![0_u32, 1, 0, 1], Default::default())?;
//! let lowered = forest.lower(2)?;
//! let target = Target { name: "label".to_owned(), task: lowered.task };
//! let signature = Signature::of_numbers(["share", "count"])?;
//! let pipeline = Pipeline::new(signature, &lowered.estimator, target, DecisionPolicy::default())?;
//! let prediction = pipeline.predict(&[0.15, 1.2])?;
//! assert_eq!(pipeline.label(&prediction), Some("0"));
//! # Ok(())
//! # }
//! ```

mod linear;
mod trees;

use serve_core::{Estimator, Task};

use crate::error::TrainError;
pub(crate) use linear::logistic;
pub(crate) use trees::votes;

/// A model for the engine, and what its answers are.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Lowered {
    /// The model and its link function.
    pub estimator: Estimator,
    /// Regression, or classification with smartcore's labels in its order.
    pub task: Task,
}

/// What can be lowered; the module lists it.
pub trait Lower {
    /// The same model for the engine. `features` is the number of columns that it was fitted on, which not every model
    /// remembers. `O(size of the model)`.
    ///
    /// # Errors
    /// [`TrainError::Columns`] when the model was fitted on another number of columns, [`TrainError::NotFitted`] when it
    /// was not fitted, and the errors of trees and linear models that are none.
    fn lower(&self, features: usize) -> Result<Lowered, TrainError>;
}

/// Refuses a number of columns that the model does not have.
fn require_columns(expected: usize, got: usize) -> Result<(), TrainError> {
    if expected == got { Ok(()) } else { Err(TrainError::Columns { expected, got }) }
}

/// Names of several outputs, or one value.
fn regression(outputs: usize) -> Task {
    match outputs {
        1 => Task::Regression,
        _ => Task::MultiRegression { outputs: (0..outputs).map(|output| output.to_string()).collect() },
    }
}
