//! Weighted ensembles against scikit-learn's soft `VotingClassifier`, and what may be nested in what.

use serde_json::Value;
use serve_core::link::LinkFunction;
use serve_core::pipeline::{InvalidEstimator, InvalidPipeline};
use serve_core::scaler::Affine;
use serve_core::{
    DecisionPolicy, Estimator, Link, Member, Model, Pipeline, Scaler, Transform, WeightedEnsemble, envelope,
};

use crate::models::{classification, lenient, linear, logistic, pipeline, regression};
use crate::reference::{assert_close, cases, matrix, sklearn, texts, vector};

fn member(case: &Value, weight: f64) -> Member {
    let model = linear(&matrix(&case["coef"]), vector(&case["intercept"]));
    let binary = case["intercept"].as_array().is_some_and(|list| list.len() == 1);
    let link = if binary { logistic(1.0) } else { Link::new(LinkFunction::Softmax) };
    Member { weight, estimator: Estimator::of(model, link) }
}

pub(crate) fn ensemble(members: Vec<Member>) -> Estimator {
    let ensemble = WeightedEnsemble::new(members).expect("the weights are positive");
    Estimator::of(Model::Ensemble(ensemble), Link::default())
}

#[test]
fn soft_voting_is_that_of_scikit_learn() {
    let file = sklearn("ensemble.json");
    assert_eq!(cases(&file).len(), 6);
    for case in cases(&file) {
        let members = case["members"].as_array().expect("members");
        let weights =
            if case["weights"].is_null() { vec![1.0; members.len()] } else { vector(&case["weights"]) };
        let members = members.iter().zip(weights).map(|(case, weight)| member(case, weight)).collect();
        let inputs = matrix(&case["rows"])[0].len();
        let pipeline = pipeline(inputs, &ensemble(members), classification(&texts(&case["classes"])));
        let (rows, labels) = (matrix(&case["rows"]), texts(&case["predict"]));
        for (i, (row, expected)) in rows.iter().zip(matrix(&case["predict_proba"])).enumerate() {
            let got = pipeline.predict(row).expect("answered");
            assert_close(&format!("{} {}", case["name"], case["weights"]), got.scores(), &expected, 1e-15);
            assert_eq!(pipeline.label(&got), Some(labels[i].as_str()), "{} row {i}", case["name"]);
        }
    }
}

/// `x0 / 2`, clipped at 3 first.
fn prepared() -> Estimator {
    Estimator {
        transforms: vec![Transform::Clip { columns: vec!["x0".into()], min: None, max: Some(3.0) }],
        scaler: Some(Scaler::Standard(Affine { scale: Some(vec![2.0]), ..Affine::default() })),
        ..Estimator::of(linear(&[vec![1.0]], vec![0.0]), Link::default())
    }
}

#[test]
fn members_bring_their_own_transforms_and_scaler() {
    let plain = Estimator::of(linear(&[vec![1.0]], vec![10.0]), Link::default());
    let members =
        vec![Member { weight: 3.0, estimator: prepared() }, Member { weight: 1.0, estimator: plain }];
    let value = pipeline(1, &ensemble(members), regression()).predict(&[5.0]).expect("answered").value();
    assert_eq!(value, Some((3.0 * 1.5 + 15.0) / 4.0));
}

#[test]
fn members_with_transforms_come_back_from_the_envelope() {
    let estimator = ensemble(vec![Member { weight: 1.0, estimator: prepared() }]);
    let bytes = envelope::seal(&estimator).expect("encodes");
    assert_eq!(envelope::open::<Estimator>(&bytes), Ok(estimator));
}

/// A linear model inside this many ensembles.
fn nested(depth: usize) -> Estimator {
    let inner = Estimator::of(linear(&[vec![1.0]], vec![0.0]), Link::default());
    (0..depth).fold(inner, |estimator, _| ensemble(vec![Member { weight: 1.0, estimator }]))
}

#[test]
fn ensembles_nest_as_deep_in_a_file_as_in_memory() {
    for (depth, fits) in [(4, true), (5, false)] {
        let built = Pipeline::new(lenient(1), &nested(depth), regression(), DecisionPolicy::Argmax);
        let read = envelope::open::<Estimator>(&envelope::seal(&nested(depth)).expect("encodes"));
        assert_eq!((built.is_ok(), read.is_ok()), (fits, fits), "{depth}");
        if !fits {
            let error = InvalidPipeline::Estimator(InvalidEstimator::Depth);
            assert_eq!(built.expect_err("refused"), error);
            let told = read.expect_err("refused").to_string();
            assert!(told.contains("ensembles are nested more than 4 deep"), "{told}");
        }
    }
}

#[test]
fn members_that_do_not_fit_are_named() {
    let two = Estimator::of(linear(&[vec![1.0]], vec![0.0]), logistic(1.0));
    let one = Estimator::of(linear(&[vec![1.0]], vec![0.0]), Link::default());
    let members = [one, two].map(|estimator| Member { weight: 1.0, estimator }).to_vec();
    let built = Pipeline::new(lenient(1), &ensemble(members), regression(), DecisionPolicy::Argmax);
    let error = InvalidPipeline::Estimator(InvalidEstimator::Member { member: 1, expected: 1, got: 2 });
    assert_eq!(built.expect_err("refused"), error);
}
