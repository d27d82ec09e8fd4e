//! Gradient boosting for classification: Newton steps over smartcore's weighted regression trees, since smartcore
//! itself boosts regressions only.
//!
//! With raw scores `F`, probabilities `p` (the logistic function for two classes, softmax for more) and `y` 1 for the
//! row's class and 0 otherwise, each round fits a tree for each score to
//!
//! ```text
//! target z = (y − p) / h      weight h = max(c · p(1 − p), 1e-16)
//! leaf     = Σ h·z / Σ h = Σ (y − p) / Σ h
//! F        = F + learning_rate · leaf
//! ```
//!
//! A tree that minimises the weighted squared error of `z` maximises the gain `G²/H` of its splits, `G = Σ (y − p)` and
//! `H = Σ h`: the second-order step of Friedman, Greedy Function Approximation, Annals of Statistics 29, 2001
//! (algorithms 5 and 6) and of Chen and Guestrin, XGBoost, KDD 2016 (equations 5 and 7), there without their penalties
//! (λ = γ = 0), for which smartcore's trees have no place. `c` is 1 for two classes, where one score says all, and
//! `K/(K − 1)` for `K > 2` (Friedman's algorithm 6 and LightGBM). The floor of `h` is XGBoost's. `F` begins with the
//! log-odds of the second class, or the logarithm of each class's share, in the training rows. All trees of a round see
//! the probabilities of the round before.

use ndarray::ArrayView2;
use serve_core::tree::Shape;
use serve_core::{Estimator, Model, TreeEnsemble};
use smartcore::linalg::basic::matrix::DenseMatrix;
use smartcore::tree::decision_tree_regressor::{DecisionTreeRegressor, DecisionTreeRegressorParameters};

use crate::error::TrainError;
use crate::export::RegressorFile;
use crate::fitted::{Fitted, Lesson, link, probabilities};
use crate::matrix;
use crate::settings::BoostingSettings;

type Regressor = DecisionTreeRegressor<f64, f64, DenseMatrix<f64>, Vec<f64>>;

const MIN_HESSIAN: f64 = 1e-16;

pub(crate) struct Boosting {
    /// Round by round; within a round one for each score.
    trees: Vec<Regressor>,
    base: Vec<f64>,
    learning_rate: f64,
    features: usize,
    classes: usize,
}

/// The training rows and where their scores stand.
struct State<'a> {
    rows: DenseMatrix<f64>,
    labels: &'a [u32],
    classes: usize,
    outputs: usize,
    /// Row-major `[rows, outputs]`.
    raw: Vec<f64>,
    /// Row-major `[rows, classes]`.
    probabilities: Vec<f64>,
}

impl Boosting {
    /// Without randomness but for one thing: where two features split equally well, the seed says which is tried first.
    pub(crate) fn fit(
        settings: &BoostingSettings,
        lesson: Lesson<'_>,
        seed: u64,
    ) -> Result<Self, TrainError> {
        let Lesson { rows, labels, classes, .. } = lesson;
        let base = base(labels, classes);
        let outputs = base.len();
        let mut state = State {
            rows: matrix::dense(rows)?,
            labels,
            classes,
            outputs,
            raw: base.repeat(labels.len()),
            probabilities: vec![0.0; labels.len() * classes],
        };
        let mut trees = Vec::with_capacity(usize::from(settings.trees) * outputs);
        for _ in 0..settings.trees {
            state.update_probabilities();
            for output in 0..outputs {
                let tree = state.step(settings, output, seed.wrapping_add(trees.len() as u64))?;
                state.add(&predict(&tree, &state.rows)?, output, settings.learning_rate);
                trees.push(tree);
            }
        }
        let (learning_rate, features) = (settings.learning_rate, rows.ncols());
        Ok(Self { trees, base, learning_rate, features, classes })
    }
}

impl State<'_> {
    fn update_probabilities(&mut self) {
        let link = link(self.classes);
        let rows = self.raw.chunks_exact(self.outputs).zip(self.probabilities.chunks_exact_mut(self.classes));
        rows.for_each(|(raw, probabilities)| link.apply(raw, probabilities));
    }

    /// The tree that corrects one score.
    fn step(&self, settings: &BoostingSettings, output: usize, seed: u64) -> Result<Regressor, TrainError> {
        let (class, factor) = match self.outputs {
            1 => (1, 1.0),
            outputs => (output, outputs as f64 / (outputs as f64 - 1.0)),
        };
        let (mut targets, mut weights) = (Vec::new(), Vec::new());
        for (label, p) in self.labels.iter().zip(self.probabilities.chunks_exact(self.classes)) {
            let (y, p) = (f64::from(*label as usize == class), p[class]);
            let hessian = (factor * p * (1.0 - p)).max(MIN_HESSIAN);
            targets.push((y - p) / hessian);
            weights.push(hessian);
        }
        // smartcore counts levels of nodes, so a tree of one split has depth 2.
        let parameters = DecisionTreeRegressorParameters {
            max_depth: Some(settings.depth + 1),
            min_samples_leaf: settings.min_samples_leaf,
            seed: Some(seed),
            ..DecisionTreeRegressorParameters::default()
        };
        Regressor::fit_with_weights(&self.rows, &targets, &weights, parameters)
            .map_err(|source| TrainError::Smartcore { step: "fit a tree", source })
    }

    fn add(&mut self, values: &[f64], output: usize, learning_rate: f64) {
        for (raw, value) in self.raw.chunks_exact_mut(self.outputs).zip(values) {
            raw[output] += learning_rate * value;
        }
    }
}

/// What raw scores begin with. Every class has a training row, so no logarithm is of zero.
fn base(labels: &[u32], classes: usize) -> Vec<f64> {
    let rows = labels.len() as f64;
    let share = |class| labels.iter().filter(|label| **label as usize == class).count() as f64 / rows;
    match classes {
        2 => vec![(share(1) / share(0)).ln()],
        _ => (0..classes).map(|class| share(class).ln()).collect(),
    }
}

fn predict(tree: &Regressor, rows: &DenseMatrix<f64>) -> Result<Vec<f64>, TrainError> {
    tree.predict(rows).map_err(|source| TrainError::Smartcore { step: "predict", source })
}

impl Fitted for Boosting {
    fn estimator(&self) -> Result<Estimator, TrainError> {
        let mut trees = Vec::with_capacity(self.trees.len());
        for (number, tree) in self.trees.iter().enumerate() {
            let file: RegressorFile = serde_json::from_value(serde_json::to_value(tree)?)?;
            let output = (number % self.base.len()) as u32;
            trees.push(file.tree_regressor.lower(output, |leaf| self.learning_rate * leaf)?);
        }
        let shape = Shape {
            inputs: self.features as u32,
            outputs: self.base.len() as u32,
            base: self.base.clone(),
            ..Shape::default()
        };
        Ok(Estimator::of(Model::Trees(TreeEnsemble::new(shape, &trees)?), link(self.classes)))
    }

    fn answers(&self, rows: ArrayView2<'_, f64>) -> Result<Vec<Vec<f64>>, TrainError> {
        Ok(self.raw(rows)?.into_iter().map(probabilities).collect())
    }
}

impl Boosting {
    /// Raw scores per row by the regressors' own `predict()`.
    pub(crate) fn raw(&self, rows: ArrayView2<'_, f64>) -> Result<Vec<Vec<f64>>, TrainError> {
        let dense = matrix::dense(rows)?;
        let mut raw = vec![self.base.clone(); rows.nrows()];
        for (number, tree) in self.trees.iter().enumerate() {
            let output = number % self.base.len();
            for (raw, value) in raw.iter_mut().zip(predict(tree, &dense)?) {
                raw[output] += self.learning_rate * value;
            }
        }
        Ok(raw)
    }
}
