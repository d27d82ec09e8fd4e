//! Models fitted with smartcore by a program, lowered, and held against smartcore's own `predict()`: no answer differs.

#![allow(clippy::unwrap_used, reason = "helpers of tests do what tests may")]
#![allow(
    clippy::default_trait_access,
    reason = "the type of a model's parameters says nothing that its own does not"
)]

use serve_core::ensemble::Model;
use serve_core::tree::{Node, Test};
use serve_core::{DecisionPolicy, Pipeline, Signature, Target, Task};
use serve_train::TrainError;
use serve_train::smartcore::{Lower, Lowered};
use smartcore::api::SupervisedEstimator;
use smartcore::ensemble::extra_trees_regressor::ExtraTreesRegressor;
use smartcore::ensemble::random_forest_classifier::RandomForestClassifier;
use smartcore::ensemble::random_forest_regressor::RandomForestRegressor;
use smartcore::linalg::basic::matrix::DenseMatrix;
use smartcore::linear::elastic_net::ElasticNet;
use smartcore::linear::lasso::Lasso;
use smartcore::linear::linear_regression::LinearRegression;
use smartcore::linear::logistic_regression::LogisticRegression;
use smartcore::linear::ridge_regression::RidgeRegression;
use smartcore::tree::decision_tree_classifier::DecisionTreeClassifier;
use smartcore::tree::decision_tree_regressor::DecisionTreeRegressor;
use smartcore::xgboost::{XGRegressor, XGRegressorParameters};

const FEATURES: usize = 5;

/// Numbers in 0 to 1 by a linear congruence: the same on every machine.
fn numbers(count: usize, seed: u64) -> Vec<f64> {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as f64 / (1_u64 << 31) as f64
    };
    (0..count).map(|_| next()).collect()
}

fn rows(count: usize, seed: u64) -> Vec<Vec<f64>> {
    numbers(count * FEATURES, seed).chunks_exact(FEATURES).map(<[f64]>::to_vec).collect()
}

fn matrix(rows: &[Vec<f64>]) -> DenseMatrix<f64> {
    DenseMatrix::from_2d_vec(&rows.to_vec()).unwrap()
}

fn value(row: &[f64]) -> f64 {
    3.0 * row[0] - row[1] * row[2] * 4.0 + (row[3] * 9.0).sin()
}

/// Unseen rows, and of trees rows with every threshold and the next number above it.
fn unseen(lowered: &Lowered) -> Vec<Vec<f64>> {
    let mut all = rows(700, 99);
    if let Model::Trees(trees) = &lowered.estimator.model {
        let mut place = 0;
        for node in trees.trees().flat_map(|tree| tree.nodes) {
            if let Node::Split { feature, test: Test::AtMost(threshold), .. } = node {
                for x in [threshold, threshold.next_up()] {
                    place = (place + 1) % 700;
                    all[place][feature as usize] = x;
                }
            }
        }
    }
    all
}

fn answers(lowered: &Lowered, rows: &[Vec<f64>]) -> Vec<Vec<f64>> {
    let signature = Signature::of_numbers((0..FEATURES).map(|k| format!("x{k}"))).unwrap();
    let target = Target { name: "y".to_owned(), task: lowered.task.clone() };
    let pipeline = Pipeline::new(signature, &lowered.estimator, target, DecisionPolicy::default()).unwrap();
    rows.iter().map(|row| pipeline.predict(row).unwrap().scores().to_vec()).collect()
}

fn same_values(lowered: &Lowered, predict: impl Fn(&DenseMatrix<f64>) -> Vec<f64>) {
    assert_eq!(lowered.task, Task::Regression);
    let rows = unseen(lowered);
    let got: Vec<f64> = answers(lowered, &rows).concat();
    let expected = predict(&matrix(&rows));
    assert_eq!(got, expected);
    assert!(expected.iter().any(|x| *x != expected[0]), "the model tells rows apart");
}

fn same_classes(lowered: &Lowered, labels: &[&str], predict: impl Fn(&DenseMatrix<f64>) -> Vec<i32>) {
    assert_eq!(lowered.task.classes(), labels);
    let rows = unseen(lowered);
    let answers = answers(lowered, &rows);
    let first_greatest = |scores: &Vec<f64>| {
        (0..scores.len()).fold(0, |best, class| if scores[class] > scores[best] { class } else { best })
    };
    let got: Vec<&str> = answers.iter().map(|scores| labels[first_greatest(scores)]).collect();
    let expected: Vec<String> = predict(&matrix(&rows)).iter().map(ToString::to_string).collect();
    assert_eq!(got, expected);
    assert!(labels.iter().all(|label| got.contains(label)), "every class is answered");
}

struct Data {
    x: DenseMatrix<f64>,
    y: Vec<f64>,
    two: Vec<i32>,
    three: Vec<i32>,
}

fn data() -> Data {
    let rows = rows(400, 7);
    let y: Vec<f64> = rows.iter().map(|row| value(row)).collect();
    let two = y.iter().map(|y| if *y > 0.6 { 4 } else { -1 }).collect();
    let three = y.iter().map(|y| if *y > 1.2 { 9 } else { i32::from(*y > 0.2) }).collect();
    Data { x: matrix(&rows), y, two, three }
}

#[test]
fn classifiers_of_trees_answer_as_smartcore() {
    let Data { x, two, three, .. } = data();
    let tree = DecisionTreeClassifier::fit(&x, &three, Default::default()).unwrap();
    same_classes(&tree.lower(FEATURES).unwrap(), &["0", "1", "9"], |x| tree.predict(x).unwrap());
    for (labels, names) in [(&two, &["-1", "4"][..]), (&three, &["0", "1", "9"])] {
        let forest = RandomForestClassifier::fit(&x, labels, Default::default()).unwrap();
        same_classes(&forest.lower(FEATURES).unwrap(), names, |x| forest.predict(x).unwrap());
    }
}

#[test]
fn regressors_of_trees_answer_as_smartcore_bit_for_bit() {
    let Data { x, y, .. } = data();
    let tree = DecisionTreeRegressor::fit(&x, &y, Default::default()).unwrap();
    same_values(&tree.lower(FEATURES).unwrap(), |x| tree.predict(x).unwrap());
    let forest = RandomForestRegressor::fit(&x, &y, Default::default()).unwrap();
    same_values(&forest.lower(FEATURES).unwrap(), |x| forest.predict(x).unwrap());
    let extra = ExtraTreesRegressor::fit(&x, &y, Default::default()).unwrap();
    same_values(&extra.lower(FEATURES).unwrap(), |x| extra.predict(x).unwrap());
    let parameters = XGRegressorParameters::default().with_n_estimators(20).with_max_depth(4);
    let boosted = XGRegressor::fit(&x, &y, parameters).unwrap();
    same_values(&boosted.lower(FEATURES).unwrap(), |x| boosted.predict(x).unwrap());
}

#[test]
fn linear_models_answer_as_smartcore_bit_for_bit() {
    let Data { x, y, .. } = data();
    let linear = LinearRegression::fit(&x, &y, Default::default()).unwrap();
    same_values(&linear.lower(FEATURES).unwrap(), |x| linear.predict(x).unwrap());
    let ridge = RidgeRegression::fit(&x, &y, Default::default()).unwrap();
    same_values(&ridge.lower(FEATURES).unwrap(), |x| ridge.predict(x).unwrap());
    let lasso =
        Lasso::fit(&x, &y, smartcore::linear::lasso::LassoParameters::default().with_alpha(0.1)).unwrap();
    same_values(&lasso.lower(FEATURES).unwrap(), |x| lasso.predict(x).unwrap());
    let parameters = smartcore::linear::elastic_net::ElasticNetParameters::default().with_alpha(0.1);
    let net = ElasticNet::fit(&x, &y, parameters).unwrap();
    same_values(&net.lower(FEATURES).unwrap(), |x| net.predict(x).unwrap());
}

#[test]
fn several_targets_of_one_regression_are_answered_together() {
    let Data { x, y, .. } = data();
    let both: Vec<Vec<f64>> = y.iter().map(|y| vec![*y, 1.0 - 2.0 * y]).collect();
    let linear = LinearRegression::<f64, f64, DenseMatrix<f64>, Vec<f64>>::fit_matrix(
        &x,
        &matrix(&both),
        Default::default(),
    );
    let linear = linear.unwrap();
    let lowered = linear.lower(FEATURES).unwrap();
    assert_eq!(lowered.task, Task::MultiRegression { outputs: vec!["0".to_owned(), "1".to_owned()] });
    let rows = unseen(&lowered);
    let expected = linear.predict_matrix(&matrix(&rows)).unwrap();
    for (row, got) in answers(&lowered, &rows).iter().enumerate() {
        use smartcore::linalg::basic::arrays::Array;
        assert_eq!(*got, [*expected.get((row, 0)), *expected.get((row, 1))]);
    }
}

#[test]
fn logistic_regressions_answer_as_smartcore() {
    let Data { x, two, three, .. } = data();
    let binary = LogisticRegression::fit(&x, &two, Default::default()).unwrap();
    same_classes(&binary.lower(FEATURES).unwrap(), &["-1", "4"], |x| binary.predict(x).unwrap());
    let multinomial = LogisticRegression::fit(&x, &three, Default::default()).unwrap();
    same_classes(&multinomial.lower(FEATURES).unwrap(), &["0", "1", "9"], |x| {
        multinomial.predict(x).unwrap()
    });
}

#[test]
fn models_without_a_fit_and_other_widths_are_refused() {
    type Matrix = DenseMatrix<f64>;
    assert!(matches!(
        RandomForestClassifier::<f64, i32, Matrix, Vec<i32>>::new().lower(FEATURES),
        Err(TrainError::NotFitted)
    ));
    assert!(matches!(Lasso::<f64, f64, Matrix, Vec<f64>>::new().lower(FEATURES), Err(TrainError::NotFitted)));
    let Data { x, y, three, .. } = data();
    let refused = |result: Result<Lowered, TrainError>| result.expect_err("refused").to_string();
    let expected = "expected 5 columns, as many as the model was fitted on, got 4";
    assert_eq!(refused(DecisionTreeRegressor::fit(&x, &y, Default::default()).unwrap().lower(4)), expected);
    assert_eq!(
        refused(DecisionTreeClassifier::fit(&x, &three, Default::default()).unwrap().lower(4)),
        expected
    );
    assert_eq!(refused(LinearRegression::fit(&x, &y, Default::default()).unwrap().lower(4)), expected);
}
