//! Bundles for measuring: from any estimator, and one so small that whatever takes time is not the model, one tree of two
//! leaves over twenty numbers.

use std::collections::BTreeMap;
use std::error::Error;

use serve_core::golden::Golden;
use serve_core::tree::{Leaf, Missing, Node, Shape, Statistics, Test, Tree, TreeEnsemble};
use serve_core::{
    Bundle, BundleBuilder, DecisionPolicy, Estimator, GoldenSource, Link, Metrics, Model, ModelName,
    ModelVersion, Signature, SourceInfo, Target, Task, Tolerance, naive,
};

const INPUTS: u32 = 20;

/// The bundle under this name and version.
///
/// # Errors
/// None that is expected; the builder's.
pub fn small(name: &ModelName, version: &ModelVersion) -> Result<Bundle, Box<dyn Error>> {
    let split =
        Node::Split { feature: 0, test: Test::AtMost(0.0), missing: Missing::default(), left: 1, right: 2 };
    let nodes = vec![split, Node::Leaf(Leaf::Scalar(1.0)), Node::Leaf(Leaf::Scalar(2.0))];
    let tree = Tree { output: 0, nodes, statistics: Statistics::default() };
    let shape = Shape { inputs: INPUTS, outputs: 1, base: vec![0.0], ..Shape::default() };
    let estimator = Estimator::of(Model::Trees(TreeEnsemble::new(shape, &[tree])?), Link::IDENTITY);
    let names: Vec<String> = (0..INPUTS).map(|i| format!("feature_{i}")).collect();
    let rows: Vec<_> = [-1.0, 0.0, 1.0].map(|x| vec![x; INPUTS as usize]).into();
    let builder = proven(name, version, estimator, names, rows)?;
    let (feature_set, model_type) = (Some("bench".to_owned()), Some("trees".to_owned()));
    Ok(BundleBuilder { feature_set, model_type, ..builder }.build()?)
}

/// A regression of numbers under this name and version, with rows that our naive evaluator answers.
///
/// # Errors
/// When the estimator does not fit the names.
pub fn proven(
    name: &ModelName,
    version: &ModelVersion,
    estimator: Estimator,
    names: Vec<String>,
    rows: Vec<Vec<f64>>,
) -> Result<BundleBuilder, Box<dyn Error>> {
    let scores = rows.iter().map(|row| naive::scores(&estimator, &names, row)).collect::<Result<_, _>>()?;
    let golden = Golden {
        source: GoldenSource::Naive,
        by: "serve-core naive evaluator".to_owned(),
        tolerance: Tolerance::F64,
        rows,
        scores,
    };
    Ok(BundleBuilder {
        name: name.clone(),
        version: version.clone(),
        feature_set: None,
        max_age: None,
        model_type: None,
        target: Target { name: "value".to_owned(), task: Task::Regression },
        signature: Signature::of_numbers(names)?,
        estimator,
        decision: DecisionPolicy::default(),
        metrics: Metrics::default(),
        hyperparameters: BTreeMap::new(),
        training_date: None,
        created: "2026-01-01T00:00:00Z".to_owned(),
        source: SourceInfo { library: "by hand".to_owned(), version: None, file: None },
        golden,
        reference: None,
        source_bytes: None,
    })
}
