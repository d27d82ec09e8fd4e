//! What of an imported model is worth telling a person.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;
use serve_core::ensemble::Model;
use serve_core::graph::{Graph, Op};
use serve_core::tree::{Node, Tree};
use serve_core::{Estimator, Task, Transform, TreeEnsemble};

use crate::imported::{Feature, ImportedModel};

/// A model at a glance.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
#[non_exhaustive]
pub struct Summary {
    /// The library that wrote the file.
    pub library: String,
    /// Its version, where the file tells it.
    pub version: Option<String>,
    /// The version of the file's format, where the file tells that in its place.
    pub file_version: Option<String>,
    /// The objective as the file names it.
    pub objective: String,
    /// `regression` or `classification`.
    pub task: &'static str,
    /// Class labels in order; none for a regression.
    pub classes: Vec<String>,
    /// Names of the numbers that are answered at once; none where it is one.
    pub outputs: Vec<String>,
    /// What the model is made of, with counts: tree ensembles, linear models and others.
    pub models: BTreeMap<&'static str, usize>,
    /// Number of trees.
    pub trees: usize,
    /// Splits and leaves of all trees.
    pub nodes: usize,
    /// Leaves of all trees.
    pub leaves: usize,
    /// Splits on the longest way from a root to a leaf.
    pub depth: usize,
    /// The mean of the trees' depths; 0 without trees.
    pub mean_depth: f64,
    /// With counts, the operators of the file's own graph; of a file without one the transforms in front of the model.
    pub operators: BTreeMap<String, usize>,
    /// Number of features.
    pub features: usize,
    /// How many of them the model asks for.
    pub features_used: usize,
    /// Names of the categorical ones.
    pub categorical_features: Vec<String>,
    /// Each feature, in the model's order.
    pub feature_list: Vec<FeatureSummary>,
    /// What a person should know about how the file was read.
    pub notes: Vec<String>,
}

/// A feature at a glance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct FeatureSummary {
    /// Its name.
    pub name: String,
    /// How it is given: `number`, `code` of a category, `text`, or `hashed text`.
    pub kind: &'static str,
    /// How many categories the model tells apart, where the file lists them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub categories: Option<usize>,
    /// What a missing value does: `model` has a rule of its own, or it is `refused`.
    pub missing: &'static str,
    /// Whether the model asks for it.
    pub used: bool,
}

impl ImportedModel {
    /// The model at a glance. `O(nodes)`.
    #[must_use]
    pub fn summary(&self) -> Summary {
        let categorical = self.features.iter().filter(|feature| feature.categorical);
        let mut summary = Summary {
            library: self.source.library.clone(),
            version: self.source.version.clone(),
            file_version: self.hyperparameters.get("file_format").and_then(Value::as_str).map(str::to_owned),
            objective: self.objective.clone(),
            task: self.task.as_str(),
            classes: self.task.classes().to_vec(),
            features: self.features.len(),
            categorical_features: categorical.map(|feature| feature.name.clone()).collect(),
            notes: self.notes.clone(),
            ..Summary::default()
        };
        if let Task::MultiRegression { outputs } = &self.task {
            summary.outputs.clone_from(outputs);
        }
        let mut used = Used { columns: vec![false; self.features.len()], transformed: false };
        let mut depths = 0;
        summary.measure(&self.estimator, &mut used, &mut depths);
        if !self.operators.is_empty() {
            summary.operators.clone_from(&self.operators);
        }
        if summary.trees > 0 {
            summary.mean_depth = depths as f64 / summary.trees as f64;
        }
        let listed = self.features.iter().zip(&used.columns);
        summary.feature_list = listed.map(|(feature, used)| describe(feature, *used)).collect();
        summary.features_used = used.columns.into_iter().filter(|&used| used).count();
        summary
    }
}

fn describe(feature: &Feature, used: bool) -> FeatureSummary {
    let (kind, categories) = match (&feature.vocabulary, &feature.text_hashes) {
        (Some(words), _) => ("text", Some(words.len())),
        (None, Some(hashes)) => ("hashed text", Some(hashes.len())),
        (None, None) if feature.categorical => ("code", None),
        (None, None) => ("number", None),
    };
    let missing = if feature.required { "refused" } else { "model" };
    FeatureSummary { name: feature.name.clone(), kind, categories, missing, used }
}

/// Which features some part asks for. Behind a transform columns are no features any more: all of them count.
struct Used {
    columns: Vec<bool>,
    transformed: bool,
}

impl Used {
    fn mark(&mut self, column: usize) {
        match self.columns.get_mut(column) {
            Some(used) if !self.transformed => *used = true,
            _ => self.mark_all(),
        }
    }

    fn mark_all(&mut self) {
        self.columns.fill(true);
    }
}

impl Summary {
    /// Ensembles hold ensembles at most four deep, so this may call itself.
    fn measure(&mut self, estimator: &Estimator, used: &mut Used, depths: &mut usize) {
        for transform in &estimator.transforms {
            *self.operators.entry(transform_name(transform).to_owned()).or_default() += 1;
            used.transformed = true;
        }
        if estimator.scaler.is_some() {
            *self.operators.entry("scaler".to_owned()).or_default() += 1;
        }
        let kind = match &estimator.model {
            Model::Trees(ensemble) => {
                self.measure_trees(ensemble, used, depths);
                "tree ensemble"
            }
            Model::Graph(graph) => {
                self.measure_graph(graph, used, depths);
                "graph"
            }
            Model::Linear(model) => {
                let weights = model.weights().iter().enumerate().filter(|(_, weight)| **weight != 0.0);
                weights.for_each(|(place, _)| used.mark(place % model.inputs()));
                "linear model"
            }
            Model::Ensemble(members) => {
                for member in members.members() {
                    self.measure(&member.estimator, used, depths);
                }
                "weighted ensemble"
            }
            _ => {
                used.mark_all();
                "other model"
            }
        };
        *self.models.entry(kind).or_default() += 1;
    }

    /// Columns of a graph's own tensors are no features: only those that it takes from the row count.
    fn measure_graph(&mut self, graph: &Graph, used: &mut Used, depths: &mut usize) {
        let mut own = Used { columns: Vec::new(), transformed: true };
        for node in graph.nodes() {
            *self.operators.entry(node.op.name().to_owned()).or_default() += 1;
            match &node.op {
                Op::Columns { columns, .. } => columns.iter().for_each(|column| used.mark(*column as usize)),
                Op::Trees(ensemble) => self.measure_trees(ensemble, &mut own, depths),
                _ => {}
            }
        }
    }

    fn measure_trees(&mut self, ensemble: &TreeEnsemble, used: &mut Used, depths: &mut usize) {
        for tree in ensemble.trees() {
            for node in &tree.nodes {
                match node {
                    Node::Split { feature, .. } => used.mark(*feature as usize),
                    Node::Leaf(_) => self.leaves += 1,
                }
            }
            let depth = depth(&tree);
            *depths += depth;
            self.depth = self.depth.max(depth);
        }
        self.trees += ensemble.tree_count();
        self.nodes += ensemble.node_count();
    }
}

fn transform_name(transform: &Transform) -> &'static str {
    match transform {
        Transform::Polynomial { .. } => "polynomial",
        Transform::Interaction { .. } => "interaction",
        Transform::Ratio { .. } => "ratio",
        Transform::OneHot { .. } => "one_hot",
        Transform::Log1p { .. } => "log1p",
        Transform::Clip { .. } => "clip",
        Transform::Recode { .. } => "recode",
        Transform::Select { .. } => "select",
        _ => "transform",
    }
}

/// Level by level, since a tree may be thousands deep.
fn depth(tree: &Tree) -> usize {
    let mut level = vec![0_u32];
    let mut depth = 0;
    loop {
        let mut below = Vec::new();
        for &place in &level {
            if let Node::Split { left, right, .. } = tree.nodes[place as usize] {
                below.extend([left, right]);
            }
        }
        if below.is_empty() {
            return depth;
        }
        level = below;
        depth += 1;
    }
}
