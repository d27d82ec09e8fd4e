//! Decision trees and random forests against scikit-learn 1.9.1, bit for bit. Rows lie on thresholds, next to them, and
//! are missing values.

use serde_json::Value;
use serve_core::link::Precision;
use serve_core::tree::{Aggregation, Leaf, Shape};
use serve_core::{Estimator, Link, Model, Node, Tree, naive};

use crate::models::{classification, names, pipeline, regression, split, trees};
use crate::reference::{assert_bits, cases, matrix, sklearn, text, texts, vector};

fn whole(list: &Value) -> Vec<i64> {
    list.as_array().expect("a list").iter().map(|x| x.as_i64().expect("a whole number")).collect()
}

fn tree(arrays: &Value) -> Tree {
    let [left, right, feature, missing_left] =
        ["children_left", "children_right", "feature", "missing_go_to_left"].map(|key| whole(&arrays[key]));
    let (threshold, value) = (vector(&arrays["threshold"]), matrix(&arrays["value"]));
    let node = |i: usize| match left[i] {
        -1 => Node::Leaf(Leaf::Vector(value[i].clone())),
        below => split(feature[i] as u32, threshold[i], missing_left[i] == 1, below as u32, right[i] as u32),
    };
    Tree { output: 0, nodes: (0..left.len()).map(node).collect(), ..Tree::default() }
}

fn forest(case: &Value) -> Model {
    let list: Vec<Tree> = case["trees"].as_array().expect("trees").iter().map(tree).collect();
    let shape = Shape {
        inputs: case["n_features"].as_u64().expect("a count") as u32,
        outputs: case["trees"][0]["value"][0].as_array().expect("a leaf").len() as u32,
        aggregation: Aggregation::Average,
        input_precision: Precision::F32,
        ..Shape::default()
    };
    trees(shape, &list)
}

#[test]
fn classifiers_have_the_bits_of_scikit_learn() {
    let file = sklearn("forest.json");
    let classifiers: Vec<_> = cases(&file).iter().filter(|case| !case["classes"].is_null()).collect();
    assert_eq!(classifiers.len(), 5);
    for case in classifiers {
        let estimator = Estimator::of(forest(case), Link::default());
        let (rows, inputs) = (matrix(&case["rows"]), case["n_features"].as_u64().expect("a count") as usize);
        let pipeline = pipeline(inputs, &estimator, classification(&texts(&case["classes"])));
        let labels = texts(&case["predict"]);
        for (i, (row, expected)) in rows.iter().zip(matrix(&case["predict_proba"])).enumerate() {
            let got = pipeline.predict(row).expect("answered");
            assert_bits(&format!("{} row {i}", case["name"]), got.scores(), &expected);
            assert_eq!(pipeline.label(&got), Some(labels[i].as_str()), "{} row {i}", case["name"]);
        }
    }
}

#[test]
fn regressors_have_the_bits_of_scikit_learn() {
    let file = sklearn("forest.json");
    for name in ["tree-regressor", "forest-regressor"] {
        let case = cases(&file).iter().find(|case| case["name"] == name).expect("the case is there");
        let pipeline = pipeline(10, &Estimator::of(forest(case), Link::default()), regression());
        let predict = |row: &Vec<f64>| pipeline.predict(row).expect("answered").value().expect("a value");
        let got: Vec<f64> = matrix(&case["rows"]).iter().map(predict).collect();
        assert_bits(name, &got, &vector(&case["predict"]));
    }
}

#[test]
fn the_naive_evaluator_has_the_bits_of_scikit_learn() {
    let file = sklearn("forest.json");
    for case in cases(&file) {
        let estimator = Estimator::of(forest(case), Link::default());
        let inputs = names(case["n_features"].as_u64().expect("a count") as usize);
        let expected = if case["classes"].is_null() {
            vector(&case["predict"]).into_iter().map(|value| vec![value]).collect()
        } else {
            matrix(&case["predict_proba"])
        };
        for (row, expected) in matrix(&case["rows"]).iter().zip(expected) {
            let got = naive::scores(&estimator, &inputs, row).expect("no transforms");
            assert_bits(text(case, "name"), &got, &expected);
        }
    }
}

#[test]
fn inputs_are_rounded_to_f32_before_they_are_compared() {
    let threshold = f64::from(0.1_f32);
    let nodes = vec![split(0, threshold, false, 1, 2), crate::models::leaf(-1.0), crate::models::leaf(1.0)];
    let value = |precision, x: f64| {
        let shape = Shape { inputs: 1, outputs: 1, input_precision: precision, ..Shape::default() };
        let model = trees(shape, &[Tree { output: 0, nodes: nodes.clone(), ..Tree::default() }]);
        let pipeline = pipeline(1, &Estimator::of(model, Link::default()), regression());
        pipeline.predict(&[x]).expect("answered").value()
    };
    let above = threshold.next_up();
    assert_eq!((value(Precision::F32, above), value(Precision::F64, above)), (Some(-1.0), Some(1.0)));
}
