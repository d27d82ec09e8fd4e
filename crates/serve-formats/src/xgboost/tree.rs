//! One tree's arrays, lowered. XGBoost's rules, as they are in its source:
//!
//! - A node without a left child is a leaf; its value stands where a split has its threshold. A leaf of several values
//!   has them in `leaf_weights`, at the place that its right child names, or before version 3.1 in `base_weights`.
//! - `x < t` goes left, a missing value where `default_left` says.
//! - A categorical split sends the members of its set **right**, so its children are exchanged.
//! - Nodes that pruning deleted keep their places. They are never reached, and left out here; that there are as many of
//!   them as `num_deleted` says is checked, so a tree that lost a branch is refused.

use serve_core::tree::{Leaf, Missing, Node, Statistics, Test};

use super::category_sets::CategorySets;
use super::file::{FileTree, Float, count};
use crate::error::{ImportError, Place, shown};
use crate::imported::Feature;

/// Where a tree stands in the file, and how an error says so.
pub(super) struct Site<'a> {
    pub(super) path: &'a str,
}

impl Site<'_> {
    fn place(&self, key: &str) -> Place {
        Place::Path(format!("{}.{key}", self.path))
    }

    pub(super) fn invalid(
        &self,
        key: &str,
        expected: impl Into<String>,
        got: impl Into<String>,
    ) -> ImportError {
        ImportError::invalid(self.place(key), expected, got)
    }

    pub(super) fn graph(&self, node: usize, problem: &str) -> ImportError {
        ImportError::Graph {
            place: Place::Path(self.path.to_owned()),
            problem: format!("node {node}: {problem}"),
        }
    }

    fn parameter(&self, text: Option<&str>, key: &str) -> Result<usize, ImportError> {
        count(text.unwrap_or("0"), || self.place(&format!("tree_param.{key}")).to_string())
    }
}

/// Where leaves have their values.
#[derive(Debug, Clone, Copy)]
enum Leaves {
    One,
    PerLeaf,
    PerNode,
}

pub(super) struct Lowering<'a> {
    tree: &'a FileTree,
    site: Site<'a>,
    /// What leaves are multiplied by.
    weight: f32,
    leaves: Leaves,
    outputs: usize,
    features: &'a mut [Feature],
    sets: CategorySets<'a>,
}

impl<'a> Lowering<'a> {
    /// `set_words` is what the category sets of the trees before this one take.
    pub(super) fn new(
        tree: &'a FileTree,
        path: &'a str,
        weight: f32,
        outputs: usize,
        features: &'a mut [Feature],
        set_words: usize,
    ) -> Result<Self, ImportError> {
        let site = Site { path };
        let leaves = check_lengths(tree, &site, outputs)?;
        let sets = CategorySets::find(tree, &site, set_words)?;
        Ok(Self { tree, site, weight, leaves, outputs, features, sets })
    }

    pub(super) fn set_words(&self) -> usize {
        self.sets.words
    }

    pub(super) fn lower(&mut self) -> Result<(Vec<Node>, Statistics), ImportError> {
        let count = self.tree.left_children.len();
        // Breadth first: a child's place in the result is known when its parent is lowered.
        let mut order = vec![0];
        let mut reached = vec![false; count];
        reached[0] = true;
        let mut nodes = Vec::with_capacity(count);
        while let Some(&node) = order.get(nodes.len()) {
            let lowered = match self.children(node)? {
                None => self.leaf(node)?,
                Some(children) => {
                    let first = order.len() as u32;
                    for child in children {
                        if std::mem::replace(&mut reached[child], true) {
                            return Err(self
                                .site
                                .graph(node, &format!("its child {child} is reached twice")));
                        }
                        order.push(child);
                    }
                    self.split(node, first)?
                }
            };
            nodes.push(lowered);
        }
        self.check_deleted(count - nodes.len())?;
        Ok((nodes, self.statistics(&order)))
    }

    /// What training left at the nodes in this order. Hessians of an objective of the user's own can be negative, and then
    /// weigh nothing.
    fn statistics(&self, order: &[usize]) -> Statistics {
        let ordered = |list: &[Float], usable: fn(f32) -> bool| {
            let number = |&node: &usize| list.get(node).filter(|x| usable(x.0)).map(|x| f64::from(x.0));
            order.iter().map(number).collect::<Option<Vec<f64>>>().unwrap_or_default()
        };
        Statistics {
            cover: ordered(&self.tree.sum_hessian, |cover| cover >= 0.0 && cover.is_finite()),
            gain: ordered(&self.tree.loss_changes, f32::is_finite),
        }
    }

    fn children(&self, node: usize) -> Result<Option<[usize; 2]>, ImportError> {
        let (left, right) = (self.tree.left_children[node], self.tree.right_children[node]);
        if left == -1 && (right == -1 || matches!(self.leaves, Leaves::PerLeaf)) {
            return Ok(None);
        }
        let nodes = self.tree.left_children.len();
        let child = |key: &str, child: i64| match usize::try_from(child) {
            Ok(child) if child < nodes => Ok(child),
            _ => {
                let expected = format!("0 to {}, or -1 for both children of a leaf", nodes - 1);
                Err(self.site.invalid(&format!("{key}[{node}]"), expected, child.to_string()))
            }
        };
        Ok(Some([child("left_children", left)?, child("right_children", right)?]))
    }

    fn finite(&self, key: &str, list: &[Float], place: usize) -> Result<f32, ImportError> {
        let number = list[place].0;
        if number.is_finite() {
            return Ok(number);
        }
        Err(self.site.invalid(&format!("{key}[{place}]"), "a finite number", number.to_string()))
    }

    fn condition(&self, node: usize) -> Result<f32, ImportError> {
        self.finite("split_conditions", &self.tree.split_conditions, node)
    }

    fn leaf(&self, node: usize) -> Result<Node, ImportError> {
        let (key, list, place) = match self.leaves {
            Leaves::One => return Ok(Node::Leaf(Leaf::Scalar(self.weighted(self.condition(node)?)))),
            Leaves::PerNode => ("base_weights", &self.tree.base_weights, node),
            Leaves::PerLeaf => {
                let leaves = self.tree.leaf_weights.len() / self.outputs;
                let leaf = self.tree.right_children[node];
                let Some(leaf) = usize::try_from(leaf).ok().filter(|&leaf| leaf < leaves) else {
                    let expected = format!("0 to {}, the place of a leaf in leaf_weights", leaves - 1);
                    let key = format!("right_children[{node}]");
                    return Err(self.site.invalid(&key, expected, leaf.to_string()));
                };
                ("leaf_weights", &self.tree.leaf_weights, leaf)
            }
        };
        let first = place * self.outputs;
        let value = |place| self.finite(key, list, place).map(|value| self.weighted(value));
        let values = (first..first + self.outputs).map(value).collect::<Result<Vec<f64>, _>>()?;
        Ok(Node::Leaf(Leaf::Vector(values)))
    }

    fn weighted(&self, value: f32) -> f64 {
        f64::from(value * self.weight)
    }

    /// A split whose children have the places `first` and `first + 1`.
    fn split(&mut self, node: usize, first: u32) -> Result<Node, ImportError> {
        let index = self.tree.split_indices[node];
        let count = self.features.len();
        let Some(feature) = usize::try_from(index).ok().filter(|&feature| feature < count) else {
            let key = format!("split_indices[{node}]");
            return Err(self.site.invalid(&key, format!("0 to {}", count - 1), index.to_string()));
        };
        let default_left = self.tree.default_left[node].0;
        let (test, left, right, missing) = match self.tree.split_type.get(node) {
            None | Some(0) => {
                let below = self.condition(node)?.next_down();
                (Test::AtMost(f64::from(below)), first, first + 1, default_left)
            }
            Some(1) => {
                self.features[feature].categorical = true;
                (Test::InSet(self.sets.bits(node, &self.site)?), first + 1, first, !default_left)
            }
            Some(other) => {
                return Err(self.site.invalid(&format!("split_type[{node}]"), "0 or 1", other.to_string()));
            }
        };
        let missing = Missing { left: missing, zero: false };
        Ok(Node::Split { feature: feature as u32, test, missing, left, right })
    }

    fn check_deleted(&self, unreached: usize) -> Result<(), ImportError> {
        let told = self.site.parameter(self.tree.tree_param.num_deleted.as_deref(), "num_deleted")?;
        if told == unreached {
            return Ok(());
        }
        let expected = format!("{unreached}, as many as nodes that are never reached");
        Err(self.site.invalid("tree_param.num_deleted", expected, told.to_string()))
    }
}

/// Holds the arrays against each other, and tells where leaves have their values.
fn check_lengths(tree: &FileTree, site: &Site, outputs: usize) -> Result<Leaves, ImportError> {
    let param = &tree.tree_param;
    let nodes = tree.left_children.len();
    if nodes == 0 {
        return Err(site.invalid("left_children", "at least one node", "none"));
    }
    if site.parameter(Some(&param.num_nodes), "num_nodes")? != nodes {
        let expected = format!("{nodes}, as many as left_children");
        return Err(site.invalid("tree_param.num_nodes", expected, shown(&param.num_nodes)));
    }
    let absent_or = |length: usize| if length == 0 { nodes } else { length };
    for (key, length) in [
        ("right_children", tree.right_children.len()),
        ("split_indices", tree.split_indices.len()),
        ("split_conditions", tree.split_conditions.len()),
        ("default_left", tree.default_left.len()),
        ("split_type", absent_or(tree.split_type.len())),
        ("sum_hessian", absent_or(tree.sum_hessian.len())),
        ("loss_changes", absent_or(tree.loss_changes.len())),
    ] {
        if length != nodes {
            return Err(site.invalid(key, format!("{nodes} values"), length.to_string()));
        }
    }
    let width = site.parameter(param.size_leaf_vector.as_deref(), "size_leaf_vector")?;
    if width <= 1 {
        return Ok(Leaves::One);
    }
    if width != outputs {
        let expected = format!("{outputs}, one value per output");
        return Err(site.invalid("tree_param.size_leaf_vector", expected, width.to_string()));
    }
    let (key, list, count, leaves) = if tree.leaf_weights.is_empty() {
        ("base_weights", &tree.base_weights, nodes, Leaves::PerNode)
    } else {
        let leaves = tree.left_children.iter().filter(|&&left| left == -1).count();
        ("leaf_weights", &tree.leaf_weights, leaves, Leaves::PerLeaf)
    };
    if count.checked_mul(width) == Some(list.len()) {
        return Ok(leaves);
    }
    Err(site.invalid(key, format!("{count} times {width} values"), list.len().to_string()))
}
