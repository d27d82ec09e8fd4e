//! Linear and logistic regression against scikit-learn 1.9.1, to 1e-12.

use serde_json::Value;
use serve_core::link::LinkFunction;
use serve_core::{Estimator, LinearModel, Link, Model, Pipeline};

use crate::models::{classification, linear, pipeline, regression};
use crate::reference::{assert_close, cases, matrix, sklearn, text, texts, vector};

fn case<'a>(file: &'a Value, name: &str) -> &'a Value {
    cases(file).iter().find(|case| case["name"] == name).expect("the case is there")
}

fn coefficients(case: &Value) -> Vec<Vec<f64>> {
    if case["coef"][0].is_array() { matrix(&case["coef"]) } else { vec![vector(&case["coef"])] }
}

fn intercepts(case: &Value, outputs: usize) -> Vec<f64> {
    match &case["intercept"] {
        Value::Array(_) => vector(&case["intercept"]),
        one => vec![one.as_f64().expect("a number"); outputs],
    }
}

fn model(case: &Value) -> Model {
    let weights = coefficients(case);
    let intercept = intercepts(case, weights.len());
    linear(&weights, intercept)
}

#[test]
fn regressions_are_those_of_scikit_learn() {
    let file = sklearn("linear.json");
    for name in ["linear", "linear-no-intercept", "ridge"] {
        let case = case(&file, name);
        let pipeline = pipeline(10, &Estimator::of(model(case), Link::default()), regression());
        let predict = |row: &Vec<f64>| pipeline.predict(row).expect("answered").value().expect("a value");
        let got: Vec<f64> = matrix(&case["rows"]).iter().map(predict).collect();
        assert_close(name, &got, &vector(&case["predict"]), 1e-12);
    }
}

#[test]
fn two_targets_are_two_scores() {
    let file = sklearn("linear.json");
    let case = case(&file, "linear-two-targets");
    let weights = coefficients(case);
    let model = LinearModel::new(10, weights.concat(), intercepts(case, 2)).expect("the counts fit");
    for (row, expected) in matrix(&case["rows"]).iter().zip(matrix(&case["predict"])) {
        let mut got = [0.0; 2];
        model.score(row, &mut got);
        assert_close("two targets", &got, &expected, 1e-12);
    }
}

/// Probabilities of every row, and the label of every row but `unlabelled` at the end.
fn assert_classifier(case: &Value, pipeline: &Pipeline, unlabelled: usize) {
    let (rows, labels) = (matrix(&case["rows"]), texts(&case["predict"]));
    for (i, (row, expected)) in rows.iter().zip(matrix(&case["predict_proba"])).enumerate() {
        let got = pipeline.predict(row).expect("answered");
        assert_close(text(case, "name"), got.scores(), &expected, 1e-12);
        if i < rows.len() - unlabelled {
            assert_eq!(pipeline.label(&got), Some(labels[i].as_str()), "{} row {i}", case["name"]);
        }
    }
}

#[test]
fn logistic_regressions_are_those_of_scikit_learn() {
    let file = sklearn("linear.json");
    for (name, inputs, link) in [
        ("logistic-binary", 30, LinkFunction::Logistic { scale: 1.0 }),
        ("logistic-multinomial", 4, LinkFunction::Softmax),
        ("logistic-text-labels", 4, LinkFunction::Softmax),
    ] {
        let case = case(&file, name);
        let estimator = Estimator::of(model(case), Link::new(link));
        assert_classifier(case, &pipeline(inputs, &estimator, classification(&texts(&case["classes"]))), 0);
    }
}

#[test]
fn one_against_the_rest_is_normalised_and_stays_zero_where_no_class_wants_the_row() {
    let file = sklearn("linear.json");
    let case = case(&file, "one-vs-rest");
    let link = Link::new(LinkFunction::OneVsRest { scale: 1.0, normalize: true });
    let pipeline = pipeline(13, &Estimator::of(model(case), link), classification(&texts(&case["classes"])));
    // Of the last row, which no class wants, scikit-learn picks a label by the raw scores.
    assert_classifier(case, &pipeline, 1);
    let rows = matrix(&case["rows"]);
    let nobody = pipeline.predict(rows.last().expect("rows")).expect("answered");
    assert_eq!((nobody.scores(), nobody.class(), nobody.confidence()), (&[0.0; 3][..], Some(0), Some(0.0)));
}

#[test]
fn a_logistic_link_behind_two_scores_is_refused() {
    let estimator = Estimator::of(
        linear(&[vec![1.0], vec![2.0]], vec![0.0, 0.0]),
        Link::new(LinkFunction::Logistic { scale: 1.0 }),
    );
    let classes = ["a".to_owned(), "b".to_owned()];
    let built = Pipeline::new(
        crate::models::lenient(1),
        &estimator,
        classification(&classes),
        serve_core::DecisionPolicy::Argmax,
    );
    let error = built.expect_err("refused");
    assert_eq!(error.to_string(), "the link function takes one raw score, the model gives 2");
}
