//! Tests that the engine answers what smartcore answers, bit for bit, on rows that the model has not seen.

use ndarray::{Array2, ArrayView2, Axis, concatenate};
use serve_core::tree::{Node, Test};
use serve_core::{DecisionPolicy, Estimator, Link, Pipeline, Signature, Target, Task};

use crate::boosting::Boosting;
use crate::dataset::{Dataset, DatasetOptions};
use crate::fitted::{Fitted, Lesson};
use crate::forest::Forest;
use crate::logistic::Logistic;
use crate::settings::{Algorithm, Hyperparameters, Learner};
use crate::synthetic::csv;

const TWO: [&str; 2] = ["down", "up"];
const THREE: [&str; 3] = ["down", "flat", "up"];
const SEED: u64 = 7;

fn dataset(rows: usize, classes: &[&str], seed: u64) -> Dataset {
    Dataset::from_csv(csv(rows, classes, 1.0, seed).as_bytes(), &DatasetOptions::new("y")).expect("reads")
}

fn lesson(dataset: &Dataset) -> Lesson<'_> {
    let (rows, labels) = dataset.part(0, dataset.labels().len());
    Lesson { rows, features: dataset.features(), labels, classes: dataset.classes().len() }
}

fn defaults(algorithm: Algorithm) -> Learner {
    Hyperparameters::default().resolve(algorithm, 4).expect("valid")
}

/// The engine's scores with the link taken off.
fn raw_scores(estimator: Estimator, dataset: &Dataset, rows: ArrayView2<'_, f64>) -> Vec<Vec<f64>> {
    let outputs = match &estimator.model {
        serve_core::Model::Linear(model) => model.outputs(),
        serve_core::Model::Trees(trees) => trees.outputs(),
        _ => 0,
    };
    let task = match outputs {
        1 => Task::Regression,
        _ => Task::Classification { classes: dataset.classes().to_vec() },
    };
    let target = Target { name: "y".to_owned(), task };
    let estimator = Estimator { link: Link::IDENTITY, ..estimator };
    let signature = Signature::of_numbers(dataset.features()).expect("valid");
    let pipeline = Pipeline::new(signature, &estimator, target, DecisionPolicy::Argmax).expect("fits");
    let score = |row: ndarray::ArrayView1<'_, f64>| {
        pipeline.predict(&row.to_vec()).expect("answers").scores().to_vec()
    };
    rows.rows().into_iter().map(score).collect()
}

/// 1,500 unseen rows, then 500 whose every value is a threshold of some split or the next number above it.
fn rows(estimator: &Estimator, unseen: &Dataset) -> Array2<f64> {
    let mut thresholds = vec![Vec::new(); unseen.features().len()];
    let serve_core::Model::Trees(trees) = &estimator.model else { return unseen.rows().to_owned() };
    for node in trees.trees().flat_map(|tree| tree.nodes) {
        if let Node::Split { feature, test: Test::AtMost(threshold), .. } = node {
            thresholds[feature as usize].extend([threshold, threshold.next_up()]);
        }
    }
    let edges = Array2::from_shape_fn((500, thresholds.len()), |(row, feature)| {
        thresholds[feature].get(row % thresholds[feature].len().max(1)).copied().unwrap_or(0.0)
    });
    concatenate![Axis(0), unseen.rows(), edges]
}

#[test]
fn a_forest_votes_as_smartcore_does() {
    for classes in [&TWO[..], &THREE[..]] {
        let (training, unseen) = (dataset(600, classes, 1), dataset(1500, classes, 2));
        let Learner::Forest(mut settings) = defaults(Algorithm::RandomForest) else { unreachable!() };
        // Few trees make ties, which have to go to the same side.
        for trees in [10, 100] {
            settings.trees = trees;
            let forest = Forest::fit(&settings, lesson(&training), SEED).expect("fits");
            let estimator = forest.estimator().expect("lowers");
            let rows = rows(&estimator, &unseen);
            // `answers` fails where smartcore's `predict()` and the votes disagree.
            let expected = forest.answers(rows.view()).expect("agrees");
            let ties = expected.iter().filter(|scores| scores[0] == scores[1]).count();
            assert!(trees == 100 || ties > 10, "{ties} ties");
            assert_eq!(raw_scores(estimator, &unseen, rows.view()), expected);
        }
    }
}

#[test]
fn boosting_adds_up_as_smartcores_regressors_do() {
    for classes in [&TWO[..], &THREE[..]] {
        let (training, unseen) = (dataset(600, classes, 3), dataset(1500, classes, 4));
        let Learner::Boosting(settings) = defaults(Algorithm::GradientBoosting) else { unreachable!() };
        let boosting = Boosting::fit(&settings, lesson(&training), SEED).expect("fits");
        let estimator = boosting.estimator().expect("lowers");
        let rows = rows(&estimator, &unseen);
        let expected = boosting.raw(rows.view()).expect("answers");
        assert_eq!(raw_scores(estimator, &unseen, rows.view()), expected);
    }
}

#[test]
fn a_logistic_regression_scores_as_smartcores_product_does() {
    for classes in [&TWO[..], &THREE[..]] {
        let (training, unseen) = (dataset(600, classes, 5), dataset(1500, classes, 6));
        let Learner::Logistic(settings) = defaults(Algorithm::LogisticRegression) else { unreachable!() };
        let logistic = Logistic::fit(settings, lesson(&training)).expect("fits");
        let expected = logistic.raw(unseen.rows()).expect("answers");
        assert_eq!(raw_scores(logistic.estimator().expect("lowers"), &unseen, unseen.rows()), expected);
        // Fails where smartcore's `predict()` and the scores disagree.
        assert_eq!(logistic.answers(unseen.rows()).expect("agrees").len(), 1500);
    }
}

/// Most splits from the root to a leaf of any tree.
fn depth(estimator: &Estimator) -> usize {
    fn below(nodes: &[Node], node: usize) -> usize {
        match &nodes[node] {
            Node::Leaf(_) => 0,
            Node::Split { left, right, .. } => {
                1 + below(nodes, *left as usize).max(below(nodes, *right as usize))
            }
        }
    }
    let serve_core::Model::Trees(trees) = &estimator.model else { return 0 };
    trees.trees().map(|tree| below(&tree.nodes, 0)).max().unwrap_or(0)
}

#[test]
fn depth_counts_splits() {
    let training = dataset(400, &TWO, 8);
    for deep in [1, 3] {
        let given = Hyperparameters { depth: Some(deep), trees: Some(20), ..Hyperparameters::default() };
        for algorithm in [Algorithm::RandomForest, Algorithm::GradientBoosting] {
            let learner = given.resolve(algorithm, 4).expect("valid");
            let fitted = crate::fitted::fit(&learner, lesson(&training), SEED).expect("fits");
            assert_eq!(depth(&fitted.estimator().expect("lowers")), usize::from(deep), "{algorithm}");
        }
    }
}

/// One feature, 0 for the first `zeros` rows and 1 for the rest.
fn steps(zeros: usize, labels: &[u32]) -> (Vec<f64>, Vec<String>) {
    ((0..labels.len()).map(|row| f64::from(row >= zeros)).collect(), vec!["x".to_owned()])
}

fn stump(zeros: usize, labels: &[u32], classes: usize) -> Vec<Vec<f64>> {
    let (values, features) = steps(zeros, labels);
    let rows = ArrayView2::from_shape((labels.len(), 1), &values).expect("one column");
    let settings =
        crate::settings::BoostingSettings { trees: 1, depth: 1, min_samples_leaf: 1, learning_rate: 0.5 };
    let lesson = Lesson { rows, features: &features, labels, classes };
    Boosting::fit(&settings, lesson, SEED).and_then(|boosting| boosting.raw(rows)).expect("fits")
}

#[test]
fn a_leaf_is_a_newton_step_from_the_log_odds() {
    // One of three and four of five rows are of class 1, so p = 5/8 everywhere before the first step.
    let raw = stump(3, &[0, 0, 1, 1, 1, 1, 1, 0], 2);
    let (p, base) = (0.625, (5.0_f64 / 3.0).ln());
    let step = |ones: f64, rows: f64| (ones - rows * p) / (rows * p * (1.0 - p));
    for (row, expected) in [(0, base + 0.5 * step(1.0, 3.0)), (7, base + 0.5 * step(4.0, 5.0))] {
        assert!((raw[row][0] - expected).abs() < 1e-12, "{} {expected}", raw[row][0]);
    }
}

#[test]
fn with_more_classes_the_step_is_shortened_by_their_number() {
    let raw = stump(3, &[0, 0, 1, 1, 2, 2, 2, 2], 3);
    for (class, ones, total) in [(0, 2.0, 2.0), (1, 1.0, 2.0), (2, 0.0, 4.0)] {
        let p: f64 = total / 8.0;
        let expected = p.ln() + 0.5 * (2.0 / 3.0) * (ones - 3.0 * p) / (3.0 * p * (1.0 - p));
        assert!((raw[0][class] - expected).abs() < 1e-12, "{} {expected}", raw[0][class]);
    }
}
