//! smartcore's trees, which have no public access but their serialised form.
//!
//! Through `serde_json::to_value` no number passes as text, so every threshold keeps its last bit. A tree is
//! `{nodes: […]}`, its root node 0. A node without `true_child` is a leaf, even where it has a split that was found and
//! not used; else a row goes to `true_child` where `x <= split_value`, which is the engine's own rule. NaN goes to
//! `false_child`. Source: `tree/base_tree.rs` and `tree/decision_tree_classifier.rs` of smartcore 0.7.0.

use serde::Deserialize;
use serde::de::Error as _;
use serde_json::Value;
use serve_core::tree::{Leaf, Missing, Node, Test, Tree};

use crate::error::TrainError;

#[derive(Debug, Deserialize)]
pub(crate) struct ForestFile {
    pub(crate) trees: Vec<TreeFile>,
    /// Labels; none for a regression.
    #[serde(default)]
    pub(crate) classes: Vec<Value>,
    pub(crate) num_features: Option<usize>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct RegressorFile {
    pub(crate) tree_regressor: TreeFile,
    pub(crate) num_features: Option<usize>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct TreeFile {
    nodes: Vec<NodeFile>,
    /// Labels, in a classifier.
    #[serde(default)]
    pub(crate) classes: Vec<Value>,
    pub(crate) num_features: Option<usize>,
}

/// `output` is the number of a class, or a regression's value.
#[derive(Debug, Deserialize)]
struct NodeFile {
    output: f64,
    split_feature: usize,
    split_value: Option<f64>,
    true_child: Option<usize>,
    false_child: Option<usize>,
}

impl TreeFile {
    /// The tree for the engine; a leaf's value is `leaf(output)`.
    pub(crate) fn lower(&self, output: u32, leaf: impl Fn(f64) -> f64) -> Result<Tree, TrainError> {
        let nodes = self.nodes.iter().map(|node| node.lower(&leaf));
        Ok(Tree { output, nodes: nodes.collect::<Result<_, _>>()?, ..Tree::default() })
    }

    /// The leaf that a row reaches, found on smartcore's nodes as they are: the forest's golden answers come from here
    /// and not from the engine.
    pub(crate) fn walk(&self, row: &[f64]) -> f64 {
        let mut node = &self.nodes[0];
        while let (Some(yes), Some(no), Some(value)) = (node.true_child, node.false_child, node.split_value) {
            node = &self.nodes[if row[node.split_feature] <= value { yes } else { no }];
        }
        node.output
    }
}

impl NodeFile {
    fn lower(&self, leaf: &impl Fn(f64) -> f64) -> Result<Node, TrainError> {
        let Some(left) = self.true_child else {
            return Ok(Node::Leaf(Leaf::Scalar(leaf(self.output))));
        };
        let (Some(right), Some(threshold)) = (self.false_child, self.split_value) else {
            return Err(serde_json::Error::custom("a split lacks its value or its second child").into());
        };
        Ok(Node::Split {
            feature: self.split_feature as u32,
            test: Test::AtMost(threshold),
            missing: Missing::default(),
            left: left as u32,
            right: right as u32,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(nodes: serde_json::Value) -> TreeFile {
        serde_json::from_value(serde_json::json!({ "nodes": nodes })).expect("reads")
    }

    #[test]
    fn a_split_that_was_found_and_not_used_is_a_leaf() {
        let file = tree(serde_json::json!([
            {"output": 7, "split_feature": 3, "split_value": 0.5, "true_child": null, "false_child": null, "split_score": 1.0}
        ]));
        assert_eq!(
            file.lower(2, |x| x * 2.0).expect("lowers"),
            Tree { output: 2, nodes: vec![Node::Leaf(Leaf::Scalar(14.0))], ..Tree::default() }
        );
        assert_eq!(file.walk(&[]), 7.0);
    }

    #[test]
    fn a_value_on_the_threshold_goes_to_the_true_child() {
        let leaf = |output| serde_json::json!({"output": output, "split_feature": 0, "split_value": null, "true_child": null, "false_child": null});
        let root = serde_json::json!({"output": 0, "split_feature": 1, "split_value": 0.5, "true_child": 1, "false_child": 2});
        let file = tree(serde_json::json!([root, leaf(1), leaf(2)]));
        assert_eq!([0.5, 0.5_f64.next_up(), f64::NAN].map(|x| file.walk(&[9.0, x])), [1.0, 2.0, 2.0]);
        let broken = serde_json::json!({"output": 0, "split_feature": 1, "split_value": null, "true_child": 1, "false_child": 2});
        let error = tree(serde_json::json!([broken, leaf(1), leaf(2)])).lower(0, |x| x).expect_err("refused");
        assert!(matches!(error, TrainError::Export(_)), "{error:?}");
    }
}
