//! Pipelines of the parts that a test brings, and everything else as plain as it can be.

use serve_core::link::LinkFunction;
use serve_core::tree::{Leaf, Missing, Shape, Test};
use serve_core::{
    DecisionPolicy, Estimator, Input, LinearModel, Link, MissingPolicy, Model, Node, Pipeline, Signature,
    Target, Task, Tree, TreeEnsemble,
};

/// `x0`, `x1`, ….
pub(crate) fn names(count: usize) -> Vec<String> {
    (0..count).map(|i| format!("x{i}")).collect()
}

/// Numbers, any of them legal, NaN included.
pub(crate) fn lenient(count: usize) -> Signature {
    let inputs = names(count).into_iter().map(|name| Input::number(name).missing(MissingPolicy::Nan));
    Signature::new(inputs.collect()).expect("distinct names")
}

pub(crate) fn classification(classes: &[String]) -> Target {
    Target { name: "label".to_owned(), task: Task::Classification { classes: classes.to_vec() } }
}

pub(crate) fn regression() -> Target {
    Target { name: "value".to_owned(), task: Task::Regression }
}

pub(crate) fn pipeline(inputs: usize, estimator: &Estimator, target: Target) -> Pipeline {
    Pipeline::new(lenient(inputs), estimator, target, DecisionPolicy::Argmax).expect("the parts fit")
}

/// A linear model of `weights[output][input]`.
pub(crate) fn linear(weights: &[Vec<f64>], intercept: Vec<f64>) -> Model {
    Model::Linear(LinearModel::new(weights[0].len(), weights.concat(), intercept).expect("the counts fit"))
}

pub(crate) fn logistic(scale: f64) -> Link {
    Link::new(LinkFunction::Logistic { scale })
}

pub(crate) fn leaf(value: f64) -> Node {
    Node::Leaf(Leaf::Scalar(value))
}

/// `x <= threshold` goes to `left`, and missing values with it where told.
pub(crate) fn split(feature: u32, threshold: f64, missing_left: bool, left: u32, right: u32) -> Node {
    let missing = Missing { left: missing_left, zero: false };
    Node::Split { feature, test: Test::AtMost(threshold), missing, left, right }
}

pub(crate) fn trees(shape: Shape, trees: &[Tree]) -> Model {
    Model::Trees(TreeEnsemble::new(shape, trees).expect("the trees are trees"))
}
