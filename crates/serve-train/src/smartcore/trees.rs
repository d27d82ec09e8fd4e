//! Trees and what is made of them, by way of their serialised form: smartcore gives no other access.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serve_core::tree::{Aggregation, Leaf, Missing, Node, Shape, Test, Tree};
use serve_core::{Estimator, Link, Model, Task, TreeEnsemble};
use smartcore::ensemble::extra_trees_regressor::ExtraTreesRegressor;
use smartcore::ensemble::random_forest_classifier::RandomForestClassifier;
use smartcore::ensemble::random_forest_regressor::RandomForestRegressor;
use smartcore::linalg::basic::arrays::{Array1, Array2};
use smartcore::numbers::basenum::Number;
use smartcore::numbers::floatnum::FloatNumber;
use smartcore::tree::decision_tree_classifier::DecisionTreeClassifier;
use smartcore::tree::decision_tree_regressor::DecisionTreeRegressor;
use smartcore::xgboost::XGRegressor;

use super::{Lower, Lowered, require_columns};
use crate::error::TrainError;
use crate::export::{ForestFile, RegressorFile, TreeFile};

#[derive(Deserialize)]
struct ForestRegressorFile {
    forest_regressor: ForestFile,
}

#[derive(Deserialize)]
struct BoostedFile {
    parameters: BoostedParameters,
    regressors: Vec<Value>,
}

#[derive(Deserialize)]
struct BoostedParameters {
    learning_rate: f64,
    base_score: f64,
}

/// No number passes as text, so every threshold keeps its last bit. `key` is what a fitted model has.
fn stored<F: DeserializeOwned>(model: &impl Serialize, key: &str) -> Result<F, TrainError> {
    let value = serde_json::to_value(model)?;
    match value.get(key) {
        None | Some(Value::Null) => Err(TrainError::NotFitted),
        Some(Value::Array(list)) if list.is_empty() => Err(TrainError::NotFitted),
        Some(_) => Ok(serde_json::from_value(value)?),
    }
}

/// Classifiers of trees whose leaves name a class: the share of trees that name each.
pub(crate) fn votes(trees: &[TreeFile], features: usize, classes: usize) -> Result<Estimator, TrainError> {
    let trees = trees.iter().map(|tree| tree.lower(0, |class| class)).collect::<Result<Vec<_>, _>>()?;
    let shape = Shape {
        inputs: features as u32,
        outputs: classes as u32,
        aggregation: Aggregation::Vote,
        ..Shape::default()
    };
    Ok(Estimator::of(Model::Trees(TreeEnsemble::new(shape, &trees)?), Link::IDENTITY))
}

fn voting(trees: &[TreeFile], labels: &[Value], features: usize) -> Result<Lowered, TrainError> {
    check_columns(trees, features)?;
    let classes = labels.iter().map(Value::to_string).collect();
    let estimator = votes(trees, features, labels.len())?;
    Ok(Lowered { estimator, task: Task::Classification { classes } })
}

fn check_columns(trees: &[TreeFile], features: usize) -> Result<(), TrainError> {
    trees.iter().filter_map(|tree| tree.num_features).try_for_each(|known| require_columns(known, features))
}

fn value(shape: Shape, trees: &[Tree]) -> Result<Lowered, TrainError> {
    let model = Model::Trees(TreeEnsemble::new(shape, trees)?);
    Ok(Lowered { estimator: Estimator::of(model, Link::IDENTITY), task: Task::Regression })
}

fn mean(forest: &ForestFile, features: usize) -> Result<Lowered, TrainError> {
    if let Some(known) = forest.num_features {
        require_columns(known, features)?;
    }
    let trees = forest.trees.iter().map(|tree| tree.lower(0, |leaf| leaf));
    let aggregation = Aggregation::Average;
    let shape = Shape { inputs: features as u32, outputs: 1, aggregation, ..Shape::default() };
    value(shape, &trees.collect::<Result<Vec<_>, _>>()?)
}

impl<TX, TY, X, Y> Lower for DecisionTreeClassifier<TX, TY, X, Y>
where
    TX: Number + PartialOrd,
    TY: Number + Ord,
    X: Array2<TX>,
    Y: Array1<TY>,
    Self: Serialize,
{
    fn lower(&self, features: usize) -> Result<Lowered, TrainError> {
        let tree: TreeFile = stored(self, "nodes")?;
        let labels = tree.classes.clone();
        voting(&[tree], &labels, features)
    }
}

impl<TX, TY, X, Y> Lower for RandomForestClassifier<TX, TY, X, Y>
where
    TX: Number + FloatNumber + PartialOrd,
    TY: Number + Ord,
    X: Array2<TX>,
    Y: Array1<TY>,
    Self: Serialize,
{
    fn lower(&self, features: usize) -> Result<Lowered, TrainError> {
        let forest: ForestFile = stored(self, "trees")?;
        voting(&forest.trees, &forest.classes, features)
    }
}

impl<TX, X, Y> Lower for DecisionTreeRegressor<TX, f64, X, Y>
where
    TX: Number + PartialOrd,
    X: Array2<TX>,
    Y: Array1<f64>,
    Self: Serialize,
{
    fn lower(&self, features: usize) -> Result<Lowered, TrainError> {
        let RegressorFile { tree_regressor, num_features } = stored(self, "tree_regressor")?;
        mean(&ForestFile { trees: vec![tree_regressor], classes: Vec::new(), num_features }, features)
    }
}

impl<TX, X, Y> Lower for RandomForestRegressor<TX, f64, X, Y>
where
    TX: Number + FloatNumber + PartialOrd,
    X: Array2<TX>,
    Y: Array1<f64>,
    Self: Serialize,
{
    fn lower(&self, features: usize) -> Result<Lowered, TrainError> {
        mean(&stored::<ForestRegressorFile>(self, "forest_regressor")?.forest_regressor, features)
    }
}

impl<TX, X, Y> Lower for ExtraTreesRegressor<TX, f64, X, Y>
where
    TX: Number + FloatNumber + PartialOrd,
    X: Array2<TX>,
    Y: Array1<f64>,
    Self: Serialize,
{
    fn lower(&self, features: usize) -> Result<Lowered, TrainError> {
        mean(&stored::<ForestRegressorFile>(self, "forest_regressor")?.forest_regressor, features)
    }
}

impl<X, Y> Lower for XGRegressor<f64, f64, X, Y>
where
    X: Array2<f64>,
    Y: Array1<f64>,
    Self: Serialize,
{
    fn lower(&self, features: usize) -> Result<Lowered, TrainError> {
        let file: BoostedFile = stored(self, "regressors")?;
        let trees = file.regressors.iter().map(|root| boosted(root, file.parameters.learning_rate));
        let base = vec![file.parameters.base_score];
        let shape = Shape { inputs: features as u32, outputs: 1, base, ..Shape::default() };
        value(shape, &trees.collect::<Result<Vec<_>, _>>()?)
    }
}

/// A tree of nested nodes; one without a left child is a leaf. `x <= threshold` goes left.
fn boosted(root: &Value, learning_rate: f64) -> Result<Tree, TrainError> {
    let mut order = vec![root];
    let mut nodes = Vec::new();
    while let Some(&node) = order.get(nodes.len()) {
        let number = |key: &str| f64::deserialize(&node[key]);
        if node["left"].is_null() {
            nodes.push(Node::Leaf(Leaf::Scalar(learning_rate * number("value")?)));
            continue;
        }
        let left = order.len() as u32;
        order.extend([&node["left"], &node["right"]]);
        nodes.push(Node::Split {
            feature: u32::deserialize(&node["split_feature_idx"])?,
            test: Test::AtMost(number("threshold")?),
            missing: Missing::default(),
            left,
            right: left + 1,
        });
    }
    Ok(Tree { nodes, ..Tree::default() })
}
