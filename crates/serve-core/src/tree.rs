//! Tree ensembles as data: one form for every trainer. What differs between trainers (`<` or `<=`, what a missing value
//! does, which side a category set sends a row to, the precision of sums) is lowered to this form at import, so the
//! engine has one rule: **a row goes left where `x <= threshold`**.
//!
//! - `x < t` is `x <= t.next_down()`, in the trainer's own precision.
//! - A set that sends its members right is lowered by exchanging the children.
//! - "Missing becomes zero" is lowered to the side where zero goes.
//!
//! [`TreeEnsemble`] is what a bundle stores, as one array per field. The engine builds its own layout from it.
//! Invariant: every tree is a tree (each node reached once, children after their parents' tree begins, no cycle), every
//! feature and output is in range, no threshold is NaN.

mod packed;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::link::Precision;
pub(crate) use packed::PackedOne;
use packed::{Leaves, Packed};

/// Magnitudes up to this count as zero where [`Missing::zero`] is set: LightGBM's `kZeroThreshold`, an `f32` constant.
pub const ZERO_THRESHOLD: f64 = 1e-35_f32 as f64;

/// How the trees' leaves become one score per output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Aggregation {
    /// `base + Σ leaf`, added in the order of the trees, base first.
    #[default]
    Sum,
    /// `(Σ leaf) / trees`, over the trees that add to the output.
    Average,
    /// The share of trees whose leaf names the class. A leaf's value is the class's number.
    Vote,
    /// The least leaf of the trees that add to the output.
    Min,
    /// The greatest leaf of the trees that add to the output.
    Max,
}

/// How a number becomes a category.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CategoryRounding {
    /// Towards zero: -0.5 is category 0, as LightGBM has it.
    #[default]
    Truncate,
    /// Downwards: -0.5 is no category, as XGBoost has it.
    Floor,
}

/// Where a missing value goes at a split.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Missing {
    /// Whether it goes left.
    pub left: bool,
    /// Whether values within [`ZERO_THRESHOLD`] of zero count as missing too.
    pub zero: bool,
}

/// The question a split asks.
#[derive(Debug, Clone, PartialEq)]
pub enum Test {
    /// Left where `x <= threshold`.
    AtMost(f64),
    /// Left where `x`, rounded as the ensemble says, is in the set, a bit set in 32-bit words. Negative, infinite and
    /// larger values are in no set.
    InSet(Vec<u32>),
}

/// What a leaf holds.
#[derive(Debug, Clone, PartialEq)]
pub enum Leaf {
    /// One value for the tree's output (for [`Aggregation::Vote`], the number of a class).
    Scalar(f64),
    /// One value per output.
    Vector(Vec<f64>),
    /// A linear model of the row, as LightGBM's `linear_tree` has it: `constant + Σ coefficient · x`, added in the order
    /// of the terms, where magnitudes up to [`ZERO_THRESHOLD`] count as 0.
    Linear {
        /// What the sum starts from.
        constant: f64,
        /// Inputs and their coefficients.
        terms: Vec<(u32, f64)>,
        /// The leaf's value where one of these inputs is missing.
        otherwise: f64,
    },
}

/// A node of a tree. Children are positions in the tree's list of nodes; the root is node 0.
#[derive(Debug, Clone, PartialEq)]
pub enum Node {
    /// An inner node.
    Split {
        /// Which input is asked.
        feature: u32,
        /// The question.
        test: Test,
        /// Where a missing value goes.
        missing: Missing,
        /// Next node where the answer is yes.
        left: u32,
        /// Next node otherwise.
        right: u32,
    },
    /// A leaf.
    Leaf(Leaf),
}

/// One tree.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Tree {
    /// Which output its scalar leaves add to.
    pub output: u32,
    /// Its nodes, the root first.
    pub nodes: Vec<Node>,
    /// What training left at its nodes.
    pub statistics: Statistics,
}

/// What training left at the nodes of a tree. Predictions do not use it; explanations and importances do. Both lists are
/// empty where the trainer's file has none, in all trees of an ensemble alike.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Statistics {
    /// Per node, how much of the training data reached it: rows for LightGBM and scikit-learn, sum of hessians for
    /// XGBoost. Never negative.
    pub cover: Vec<f64>,
    /// Per node, how much its split lowered the loss; 0 for leaves.
    pub gain: Vec<f64>,
}

/// Everything about an ensemble but its trees.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Shape {
    /// Number of inputs.
    pub inputs: u32,
    /// Number of raw scores.
    pub outputs: u32,
    /// How leaves become scores.
    pub aggregation: Aggregation,
    /// What sums start from, per output; empty is zero.
    pub base: Vec<f64>,
    /// Inputs are rounded to this precision before they are compared.
    pub input_precision: Precision,
    /// Sums are rounded to this precision after every addition.
    pub sum_precision: Precision,
    /// How inputs become categories.
    pub category_rounding: CategoryRounding,
}

/// A tree ensemble; see the module for its invariant.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Packed", into = "Packed")]
pub struct TreeEnsemble(Packed);

/// Why trees make no ensemble. `tree` and `node` count from 0.
#[derive(Debug, Clone, PartialEq, Error)]
#[non_exhaustive]
pub enum InvalidTrees {
    /// Inputs, outputs or base values do not fit together.
    #[error("ensemble: {problem}")]
    Shape {
        /// What is wrong.
        problem: String,
    },
    /// A node is wrong.
    #[error("tree {tree}, node {node}: {problem}")]
    Node {
        /// The tree.
        tree: usize,
        /// The node in the tree.
        node: usize,
        /// What is wrong.
        problem: String,
    },
    /// A tree is wrong as a whole.
    #[error("tree {tree}: {problem}")]
    Tree {
        /// The tree.
        tree: usize,
        /// What is wrong.
        problem: String,
    },
}

impl TreeEnsemble {
    /// An ensemble of `trees`. `O(nodes)`.
    ///
    /// # Errors
    /// When the trees break the invariant of the module.
    ///
    /// ```
    /// use serve_core::tree::{Leaf, Missing, Node, Shape, Test, Tree, TreeEnsemble};
    /// let split = Node::Split { feature: 0, test: Test::AtMost(0.5), missing: Missing::default(), left: 1, right: 2 };
    /// let leaf = |value| Node::Leaf(Leaf::Scalar(value));
    /// let tree = Tree { nodes: vec![split, leaf(-1.0), leaf(1.0)], ..Tree::default() };
    /// let ensemble = TreeEnsemble::new(Shape { inputs: 1, outputs: 1, ..Shape::default() }, &[tree])?;
    /// assert_eq!(ensemble.node_count(), 3);
    /// # Ok::<(), serve_core::tree::InvalidTrees>(())
    /// ```
    pub fn new(shape: Shape, trees: &[Tree]) -> Result<Self, InvalidTrees> {
        Packed::pack(shape, trees)?.try_into()
    }

    /// Everything but the trees.
    #[must_use]
    pub fn shape(&self) -> &Shape {
        &self.0.shape
    }

    /// Number of trees.
    #[must_use]
    pub fn tree_count(&self) -> usize {
        self.0.output.len()
    }

    /// Number of nodes of all trees, leaves included.
    #[must_use]
    pub fn node_count(&self) -> usize {
        self.0.feature.len()
    }

    /// Number of inputs.
    #[must_use]
    pub fn inputs(&self) -> usize {
        self.0.shape.inputs as usize
    }

    /// Number of raw scores.
    #[must_use]
    pub fn outputs(&self) -> usize {
        self.0.shape.outputs as usize
    }

    /// Whether its leaves have one value per output.
    #[must_use]
    pub fn has_vector_leaves(&self) -> bool {
        self.0.leaves == Leaves::Vector
    }

    /// Whether its leaves are linear models.
    #[must_use]
    pub fn has_linear_leaves(&self) -> bool {
        self.0.leaves == Leaves::Linear
    }

    /// Whether its nodes know how much training data reached them, which explanations need; so do those of no tree.
    #[must_use]
    pub fn has_cover(&self) -> bool {
        self.0.cover.len() == self.node_count()
    }

    /// Whether its nodes know how much their splits lowered the loss; so do those of no tree.
    #[must_use]
    pub fn has_gain(&self) -> bool {
        self.0.gain.len() == self.node_count()
    }

    /// Per tree, the output that its scalar leaves add to.
    pub(crate) fn outputs_of_trees(&self) -> Vec<u32> {
        self.0.output.clone()
    }

    /// The trees, read back one at a time.
    pub fn trees(&self) -> impl ExactSizeIterator<Item = Tree> {
        (0..self.tree_count()).map(|tree| self.0.unpack(tree))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(feature: u32, left: u32, right: u32) -> Node {
        Node::Split { feature, test: Test::AtMost(0.0), missing: Missing::default(), left, right }
    }

    fn leaf() -> Node {
        Node::Leaf(Leaf::Scalar(1.0))
    }

    fn error(nodes: Vec<Node>) -> String {
        let shape = Shape { inputs: 2, outputs: 1, ..Shape::default() };
        TreeEnsemble::new(shape, &[Tree { nodes, ..Tree::default() }]).expect_err("refused").to_string()
    }

    #[test]
    fn what_is_no_tree_is_refused_with_its_place() {
        assert_eq!(error(vec![split(0, 1, 5), leaf()]), "tree 0, node 0: child 5 is out of range (2 nodes)");
        assert_eq!(error(vec![split(0, 1, 2), split(0, 0, 2), leaf()]), "tree 0, node 0: reached twice");
        assert_eq!(error(vec![split(0, 1, 1), leaf()]), "tree 0, node 1: reached twice");
        assert_eq!(error(vec![leaf(), leaf()]), "tree 0, node 1: never reached");
        assert_eq!(
            error(vec![split(7, 1, 2), leaf(), leaf()]),
            "tree 0, node 0: feature 7 is out of range (2 inputs)"
        );
        assert_eq!(error(vec![]), "tree 0: it has no nodes");
    }

    #[test]
    fn trees_come_back_as_they_went_in() {
        let set = Node::Split {
            feature: 1,
            test: Test::InSet(vec![5, 0, 1]),
            missing: Missing { left: false, zero: false },
            left: 1,
            right: 2,
        };
        let zero = Node::Split {
            feature: 0,
            test: Test::AtMost(f64::INFINITY),
            missing: Missing { left: true, zero: true },
            left: 4,
            right: 3,
        };
        let nodes = vec![set, leaf(), zero, leaf(), Node::Leaf(Leaf::Scalar(-0.0))];
        let statistics = Statistics { cover: vec![9.0, 4.0, 5.0, 2.0, 3.0], gain: vec![] };
        let tree = Tree { output: 0, nodes, statistics };
        let statistics = Statistics { cover: vec![9.0], gain: vec![] };
        let single = Tree { output: 0, nodes: vec![leaf()], statistics };
        let shape = Shape { inputs: 2, outputs: 1, ..Shape::default() };
        let ensemble = TreeEnsemble::new(shape, &[tree.clone(), single.clone()]).expect("valid");
        assert_eq!(ensemble.trees().collect::<Vec<_>>(), [tree, single]);
    }

    #[test]
    fn linear_leaves_come_back_as_they_went_in() {
        let linear = |terms| Node::Leaf(Leaf::Linear { constant: 0.5, terms, otherwise: 1.0 });
        let nodes = vec![split(0, 1, 2), linear(vec![(1, 2.0), (0, -1.0)]), linear(vec![])];
        let tree = Tree { nodes, ..Tree::default() };
        let shape = Shape { inputs: 2, outputs: 1, ..Shape::default() };
        let ensemble = TreeEnsemble::new(shape, &[tree.clone(), tree.clone()]).expect("valid");
        assert!(ensemble.has_linear_leaves());
        assert_eq!(ensemble.trees().collect::<Vec<_>>(), [tree.clone(), tree]);
        assert!(error(vec![linear(vec![(2, 1.0)])]).contains("feature 2 is out of range"));
    }

    #[test]
    fn statistics_stand_for_every_node_or_for_none() {
        let shape = || Shape { inputs: 2, outputs: 1, ..Shape::default() };
        let tree = |cover| Tree {
            nodes: vec![leaf()],
            statistics: Statistics { cover, gain: vec![] },
            ..Tree::default()
        };
        let error = |trees: &[Tree]| TreeEnsemble::new(shape(), trees).expect_err("refused").to_string();
        assert!(error(&[tree(vec![1.0]), tree(vec![])]).contains("statistics"));
        assert!(error(&[tree(vec![-1.0])]).contains("cover"));
    }

    #[test]
    fn leaves_are_all_of_one_kind() {
        let vector = |n| Node::Leaf(Leaf::Vector(vec![0.0; n]));
        assert!(error(vec![split(0, 1, 2), leaf(), vector(1)]).contains("mix"));
        assert!(error(vec![vector(3)]).contains("expected 1"));
    }
}
