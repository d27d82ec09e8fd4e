//! What of an imported model is worth telling a person.

use std::collections::HashSet;

use serde::Serialize;
use serve_core::TreeEnsemble;
use serve_core::ensemble::Model;
use serve_core::graph::Op;
use serve_core::tree::{Node, Tree};

use crate::imported::ImportedModel;

/// A model at a glance.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Summary {
    /// The library that wrote the file.
    pub library: String,
    /// Its version, where the file tells it.
    pub version: Option<String>,
    /// The objective as the file names it.
    pub objective: String,
    /// `regression` or `classification`.
    pub task: &'static str,
    /// Class labels in order; none for a regression.
    pub classes: Vec<String>,
    /// Number of trees.
    pub trees: usize,
    /// Leaves of all trees.
    pub leaves: usize,
    /// Splits on the longest way from a root to a leaf.
    pub depth: usize,
    /// Number of features.
    pub features: usize,
    /// How many of them some tree asks for; of a graph, how many it reads.
    pub features_used: usize,
    /// Names of the categorical ones.
    pub categorical_features: Vec<String>,
    /// What a person should know about how the file was read.
    pub notes: Vec<String>,
}

impl ImportedModel {
    /// The model at a glance. `O(nodes)`.
    #[must_use]
    pub fn summary(&self) -> Summary {
        let mut summary = Summary {
            library: self.source.library.clone(),
            version: self.source.version.clone(),
            objective: self.objective.clone(),
            task: self.task.as_str(),
            classes: self.task.classes().to_vec(),
            trees: 0,
            leaves: 0,
            depth: 0,
            features: self.features.len(),
            features_used: 0,
            categorical_features: (self.features.iter().filter(|feature| feature.categorical))
                .map(|feature| feature.name.clone())
                .collect(),
            notes: self.notes.clone(),
        };
        match &self.estimator.model {
            Model::Trees(ensemble) => summary.measure(ensemble),
            Model::Graph(graph) => {
                let mut read: HashSet<u32> = HashSet::new();
                for node in graph.nodes() {
                    match &node.op {
                        Op::Trees(ensemble) => summary.measure(ensemble),
                        Op::Columns { columns, .. } => read.extend(columns),
                        _ => {}
                    }
                }
                summary.features_used = read.len();
            }
            _ => {}
        }
        summary
    }
}

impl Summary {
    fn measure(&mut self, ensemble: &TreeEnsemble) {
        let mut used = vec![false; ensemble.inputs()];
        for tree in ensemble.trees() {
            for node in &tree.nodes {
                match node {
                    Node::Split { feature, .. } => used[*feature as usize] = true,
                    Node::Leaf(_) => self.leaves += 1,
                }
            }
            self.depth = self.depth.max(depth(&tree));
        }
        self.trees += ensemble.tree_count();
        self.features_used += used.into_iter().filter(|&used| used).count();
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
