//! One tree's arrays, lowered. XGBoost's rules, as they are in its source:
//!
//! - A node without a left child is a leaf; its value stands where a split has its threshold.
//! - `x < t` goes left, a missing value where `default_left` says.
//! - A categorical split sends the members of its set **right**, so its children are exchanged.
//! - Nodes that pruning deleted keep their places. They are never reached, and left out here; that there are as many of
//!   them as `num_deleted` says is checked, so a tree that lost a branch is refused.

use serve_core::tree::{Leaf, Missing, Node, Statistics, Test, Tree};

use super::MODEL;
use super::file::{BoosterModel, FileTree, count};
use crate::error::{ImportError, Place, shown};
use crate::imported::Feature;

/// XGBoost takes nothing from here on for a category.
const MAX_CATEGORY: i64 = 1 << 24;
/// All category sets of a model together, in words of 32 categories: 128 MiB. A few digits in a file could else claim
/// two megabytes each.
const MAX_SET_WORDS: usize = 1 << 25;

/// Lowers the trees, and marks the features that they ask for by category.
pub(super) fn lower_all(model: &BoosterModel, features: &mut [Feature]) -> Result<Vec<Tree>, ImportError> {
    let mut set_words = 0;
    let trees = model.trees.iter().zip(&model.tree_info).enumerate();
    let lower = |(number, (tree, &class)): (usize, (&FileTree, &i64))| {
        let mut lowering = Lowering { tree, number, features, sets: Vec::new(), set_words };
        let (nodes, statistics) = lowering.nodes()?;
        set_words = lowering.set_words;
        Ok(Tree { output: class as u32, nodes, statistics })
    };
    let mut trees: Vec<Tree> = trees.map(lower).collect::<Result<_, _>>()?;
    // One tree without them, and they can explain nothing.
    let lists: [fn(&mut Tree) -> &mut Vec<f64>; 2] =
        [|tree| &mut tree.statistics.cover, |tree| &mut tree.statistics.gain];
    for list in lists {
        if trees.iter_mut().any(|tree| list(tree).is_empty()) {
            trees.iter_mut().for_each(|tree| list(tree).clear());
        }
    }
    Ok(trees)
}

struct Lowering<'a> {
    tree: &'a FileTree,
    number: usize,
    features: &'a mut [Feature],
    /// Per node its place in `categories`, where it has one.
    sets: Vec<Option<(usize, usize)>>,
    set_words: usize,
}

impl Lowering<'_> {
    fn nodes(&mut self) -> Result<(Vec<Node>, Statistics), ImportError> {
        let count = self.check_lengths()?;
        self.find_sets(count)?;
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
                            return Err(self.graph(node, format!("its child {child} is reached twice")));
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
        let ordered = |list: &[f32], usable: fn(f32) -> bool| {
            let known: Option<Vec<f64>> = order
                .iter()
                .map(|&node| list.get(node).filter(|x| usable(**x)).map(|x| f64::from(*x)))
                .collect();
            known.unwrap_or_default()
        };
        Statistics {
            cover: ordered(&self.tree.sum_hessian, |cover| cover >= 0.0 && cover.is_finite()),
            gain: ordered(&self.tree.loss_changes, f32::is_finite),
        }
    }

    fn place(&self, key: &str) -> Place {
        Place::Path(format!("{MODEL}.trees[{}].{key}", self.number))
    }

    fn invalid(&self, key: &str, expected: impl Into<String>, got: impl Into<String>) -> ImportError {
        ImportError::invalid(self.place(key), expected, got)
    }

    fn graph(&self, node: usize, problem: String) -> ImportError {
        let place = Place::Path(format!("{MODEL}.trees[{}]", self.number));
        ImportError::Graph { place, problem: format!("node {node}: {problem}") }
    }

    fn parameter(&self, text: Option<&str>, key: &str) -> Result<usize, ImportError> {
        count(text.unwrap_or("0"), || self.place(&format!("tree_param.{key}")).to_string())
    }

    fn check_lengths(&self) -> Result<usize, ImportError> {
        let FileTree { tree_param: param, .. } = self.tree;
        if self.parameter(param.size_leaf_vector.as_deref(), "size_leaf_vector")? > 1 {
            return Err(ImportError::Unsupported {
                place: self.place("tree_param.size_leaf_vector"),
                what: "a tree with several values in a leaf (multi_output_tree)".to_owned(),
                supported: "one tree per output",
            });
        }
        let nodes = self.tree.left_children.len();
        if nodes == 0 {
            return Err(self.invalid("left_children", "at least one node", "none"));
        }
        if self.parameter(Some(&param.num_nodes), "num_nodes")? != nodes {
            let expected = format!("{nodes}, as many as left_children");
            return Err(self.invalid("tree_param.num_nodes", expected, shown(&param.num_nodes)));
        }
        let absent_or = |length: usize| if length == 0 { nodes } else { length };
        for (key, length) in [
            ("right_children", self.tree.right_children.len()),
            ("split_indices", self.tree.split_indices.len()),
            ("split_conditions", self.tree.split_conditions.len()),
            ("default_left", self.tree.default_left.len()),
            ("split_type", absent_or(self.tree.split_type.len())),
            ("sum_hessian", absent_or(self.tree.sum_hessian.len())),
            ("loss_changes", absent_or(self.tree.loss_changes.len())),
        ] {
            if length != nodes {
                return Err(self.invalid(key, format!("{nodes} values"), length.to_string()));
            }
        }
        Ok(nodes)
    }

    fn find_sets(&mut self, nodes: usize) -> Result<(), ImportError> {
        let FileTree {
            categories,
            categories_nodes: at,
            categories_segments: starts,
            categories_sizes: sizes,
            ..
        } = self.tree;
        if starts.len() != at.len() || sizes.len() != at.len() {
            let got = format!("{} and {}", starts.len(), sizes.len());
            let expected = format!("{} values in it and in categories_sizes", at.len());
            return Err(self.invalid("categories_segments", expected, got));
        }
        let total: usize = sizes.iter().fold(0, |sum, &size| sum.saturating_add(size));
        if total > categories.len() {
            let expected = format!("at most {} altogether, the categories", categories.len());
            return Err(self.invalid("categories_sizes", expected, total.to_string()));
        }
        self.sets = if at.is_empty() { Vec::new() } else { vec![None; nodes] };
        for (number, &node) in at.iter().enumerate() {
            let (start, size) = (starts[number], sizes[number]);
            let end = start.checked_add(size).filter(|&end| end <= categories.len());
            let slot = usize::try_from(node).ok().and_then(|node| self.sets.get_mut(node));
            match (slot, end) {
                (Some(slot @ None), Some(end)) => *slot = Some((start, end)),
                (Some(_), None) => {
                    let key = format!("categories_segments[{number}]");
                    let expected = format!("a place in the {} categories", categories.len());
                    return Err(self.invalid(&key, expected, format!("{start}, and {size} from there")));
                }
                _ => {
                    let key = format!("categories_nodes[{number}]");
                    return Err(self.invalid(&key, "a node that has no set yet", node.to_string()));
                }
            }
        }
        Ok(())
    }

    fn children(&self, node: usize) -> Result<Option<[usize; 2]>, ImportError> {
        let (left, right) = (self.tree.left_children[node], self.tree.right_children[node]);
        if (left, right) == (-1, -1) {
            return Ok(None);
        }
        let nodes = self.tree.left_children.len();
        let child = |key: &str, child: i64| match usize::try_from(child) {
            Ok(child) if child < nodes => Ok(child),
            _ => {
                let expected = format!("0 to {}, or -1 for both children of a leaf", nodes - 1);
                Err(self.invalid(&format!("{key}[{node}]"), expected, child.to_string()))
            }
        };
        Ok(Some([child("left_children", left)?, child("right_children", right)?]))
    }

    fn condition(&self, node: usize) -> Result<f32, ImportError> {
        let condition = self.tree.split_conditions[node];
        if condition.is_finite() {
            return Ok(condition);
        }
        Err(self.invalid(&format!("split_conditions[{node}]"), "a finite number", condition.to_string()))
    }

    fn leaf(&self, node: usize) -> Result<Node, ImportError> {
        Ok(Node::Leaf(Leaf::Scalar(f64::from(self.condition(node)?))))
    }

    /// A split whose children have the places `first` and `first + 1`.
    fn split(&mut self, node: usize, first: u32) -> Result<Node, ImportError> {
        let index = self.tree.split_indices[node];
        let count = self.features.len();
        let Some(feature) = usize::try_from(index).ok().filter(|&feature| feature < count) else {
            let key = format!("split_indices[{node}]");
            return Err(self.invalid(&key, format!("0 to {}", count - 1), index.to_string()));
        };
        let default_left = self.tree.default_left[node].0;
        let (test, left, right, missing) = match self.tree.split_type.get(node) {
            None | Some(0) => {
                let below = self.condition(node)?.next_down();
                (Test::AtMost(f64::from(below)), first, first + 1, default_left)
            }
            Some(1) => {
                self.features[feature].categorical = true;
                (Test::InSet(self.set(node)?), first + 1, first, !default_left)
            }
            Some(other) => {
                return Err(self.invalid(&format!("split_type[{node}]"), "0 or 1", other.to_string()));
            }
        };
        let missing = Missing { left: missing, zero: false };
        Ok(Node::Split { feature: feature as u32, test, missing, left, right })
    }

    fn set(&mut self, node: usize) -> Result<Vec<u32>, ImportError> {
        let Some((start, end)) = self.sets.get(node).copied().flatten() else {
            let problem = "it is a categorical split without a set of categories".to_owned();
            return Err(self.graph(node, problem));
        };
        let members = &self.tree.categories[start..end];
        if let Some(place) = members.iter().position(|member| !(0..MAX_CATEGORY).contains(member)) {
            let key = format!("categories[{}]", start + place);
            let expected = format!("0 to {}", MAX_CATEGORY - 1);
            return Err(self.invalid(&key, expected, members[place].to_string()));
        }
        let words = members.iter().max().map_or(0, |&last| last as usize / 32 + 1);
        self.set_words += words;
        if self.set_words > MAX_SET_WORDS {
            let expected =
                format!("sets of at most {MAX_SET_WORDS} words of 32 categories in the whole model");
            return Err(self.invalid("categories", expected, "more"));
        }
        let mut set = vec![0_u32; words];
        for &member in members {
            set[member as usize / 32] |= 1 << (member % 32);
        }
        Ok(set)
    }

    fn check_deleted(&self, unreached: usize) -> Result<(), ImportError> {
        let told = self.parameter(self.tree.tree_param.num_deleted.as_deref(), "num_deleted")?;
        if told == unreached {
            return Ok(());
        }
        let expected = format!("{unreached}, as many as nodes that are never reached");
        Err(self.invalid("tree_param.num_deleted", expected, told.to_string()))
    }
}
