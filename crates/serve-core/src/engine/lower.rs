//! Lowering: an ensemble's splits become questions to *columns*, so that no kernel knows of missing values, of zeros that
//! count as missing, or of categories.
//!
//! The thresholds of one feature are sorted and deduplicated by value, so `-0.0` is `0.0`; a threshold's place there is
//! its *rank*. Nodes say for each threshold where a missing value goes. Where that is right below some rank and left
//! from it on, one substitute says it all (this covers "always left", "always right" and "as zero"); otherwise the
//! feature has two columns, one for either side.
//!
//! Nodes stand in preorder: the left child of node `i` is `i + 1`, and the leaves of a tree are numbered from left to
//! right. Invariants, from those of [`TreeEnsemble`] and this construction: `right` is a later node of the same tree, a
//! question's group, rank and set exist, features are below `inputs`.

use std::collections::HashMap;
use std::ops::Range;

use crate::link::Precision;
use crate::tree::{CategoryRounding, Leaf, Missing, Node, Test, Tree, TreeEnsemble};

/// What a split asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Question {
    /// Whether the value is at most the threshold of this rank of a group; missing values go left where told.
    AtMost { group: u32, rank: u32, missing_left: bool },
    /// Whether the value is in this set.
    InSet(u32),
}

/// A node in preorder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Flat {
    /// Goes on at the next node, or at `right`, counted within the tree.
    Split { question: Question, right: u32 },
    /// The leaf of this number within the tree, from left to right.
    Leaf(u32),
}

/// The thresholds of one feature.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Group {
    pub(super) feature: u32,
    /// Whether values close to zero count as missing.
    pub(super) zero: bool,
    /// Ascending and distinct.
    pub(super) thresholds: Vec<f64>,
    /// Per threshold, which sides missing values go to: [`RIGHT`], [`LEFT`] or both.
    pub(super) sides: Vec<u8>,
}

pub(super) const RIGHT: u8 = 1;
pub(super) const LEFT: u8 = 2;

/// A set of categories of one feature.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct CategorySet {
    pub(super) feature: u32,
    pub(super) missing_left: bool,
    /// Without zero words at its end.
    pub(super) words: Box<[u32]>,
}

/// A tree in preorder.
#[derive(Debug, Clone)]
pub(super) struct FlatTree {
    /// Its nodes in the list of all.
    pub(super) nodes: Range<usize>,
    pub(super) leaves: usize,
    /// Splits on the longest way from the root to a leaf.
    pub(super) depth: usize,
}

/// An ensemble whose splits ask columns.
#[derive(Debug, Clone)]
pub(super) struct Lowered {
    pub(super) inputs: usize,
    /// Whether inputs are rounded to `f32` before they are compared.
    pub(super) single: bool,
    pub(super) rounding: CategoryRounding,
    /// By feature.
    pub(super) groups: Vec<Group>,
    pub(super) sets: Vec<CategorySet>,
    pub(super) trees: Vec<FlatTree>,
    pub(super) nodes: Vec<Flat>,
}

/// The greatest `f32` that is at most `x`: for `f32` values, `v <= x` where `v <= round_down(x)`.
pub(super) fn round_down(x: f64) -> f32 {
    let near = x as f32;
    if f64::from(near) > x { near.next_down() } else { near }
}

/// The least `f32` that is at least `x`; NaN stays NaN.
pub(super) fn round_up(x: f64) -> f32 {
    let near = x as f32;
    if f64::from(near) < x { near.next_up() } else { near }
}

impl Group {
    /// The rank from which missing values go left, where one rank tells; they go right below it.
    pub(super) fn turn(sides: &[u8]) -> Option<usize> {
        let turn = sides.iter().position(|&side| side != RIGHT).unwrap_or(sides.len());
        sides[turn..].iter().all(|&side| side == LEFT).then_some(turn)
    }
}

/// A threshold whose node waits for its rank.
#[derive(Clone, Copy)]
struct Asked {
    feature: u32,
    node: u32,
    threshold: f64,
    zero: bool,
    missing_left: bool,
}

struct Lowering {
    lowered: Lowered,
    asked: Vec<Asked>,
    set_numbers: HashMap<CategorySet, u32>,
    stack: Vec<(u32, u32, usize)>,
}

impl Lowered {
    /// Lowers `ensemble`, and hands every leaf to `leaf` with its tree's number, in order. `O(nodes · log nodes)`.
    pub(super) fn new(ensemble: &TreeEnsemble, mut leaf: impl FnMut(usize, Leaf)) -> Self {
        let shape = ensemble.shape();
        let lowered = Self {
            inputs: ensemble.inputs(),
            single: shape.input_precision == Precision::F32,
            rounding: shape.category_rounding,
            groups: Vec::new(),
            sets: Vec::new(),
            trees: Vec::with_capacity(ensemble.tree_count()),
            nodes: Vec::with_capacity(ensemble.node_count()),
        };
        let mut lowering =
            Lowering { lowered, asked: Vec::new(), set_numbers: HashMap::new(), stack: Vec::new() };
        for (number, tree) in ensemble.trees().enumerate() {
            lowering.flatten(tree, |value| leaf(number, value));
        }
        lowering.rank();
        lowering.lowered
    }

    /// The nodes of a tree.
    pub(super) fn nodes_of(&self, tree: &FlatTree) -> &[Flat] {
        &self.nodes[tree.nodes.clone()]
    }

    /// Leaves of the largest tree.
    pub(super) fn most_leaves(&self) -> usize {
        self.trees.iter().map(|tree| tree.leaves).max().unwrap_or(0)
    }
}

/// Marks a node without a parent that waits for its place.
const ROOT: u32 = u32::MAX;

impl Lowering {
    fn flatten(&mut self, mut tree: Tree, mut leaf: impl FnMut(Leaf)) {
        let start = self.lowered.nodes.len();
        let (mut leaves, mut depth) = (0, 0);
        self.stack.clear();
        self.stack.push((0, ROOT, 0));
        while let Some((node, parent, level)) = self.stack.pop() {
            let place = self.lowered.nodes.len();
            if parent != ROOT
                && let Flat::Split { right, .. } = &mut self.lowered.nodes[start + parent as usize]
            {
                *right = (place - start) as u32;
            }
            let taken = std::mem::replace(&mut tree.nodes[node as usize], Node::Leaf(Leaf::Scalar(0.0)));
            match taken {
                Node::Leaf(value) => {
                    self.lowered.nodes.push(Flat::Leaf(leaves));
                    leaf(value);
                    leaves += 1;
                    depth = depth.max(level);
                }
                Node::Split { feature, test, missing, left, right } => {
                    let question = self.question(feature, test, missing, place as u32);
                    self.lowered.nodes.push(Flat::Split { question, right: 0 });
                    self.stack.push((right, (place - start) as u32, level + 1));
                    self.stack.push((left, ROOT, level + 1));
                }
            }
        }
        let nodes = start..self.lowered.nodes.len();
        self.lowered.trees.push(FlatTree { nodes, leaves: leaves as usize, depth });
    }

    fn question(&mut self, feature: u32, test: Test, missing: Missing, node: u32) -> Question {
        match test {
            Test::AtMost(threshold) => {
                let rounded = if self.lowered.single { f64::from(round_down(threshold)) } else { threshold };
                // Adding zero makes -0.0 into 0.0.
                let threshold = rounded + 0.0;
                let (zero, missing_left) = (missing.zero, missing.left);
                self.asked.push(Asked { feature, node, threshold, zero, missing_left });
                // The group and the rank follow when all thresholds are known.
                Question::AtMost { group: 0, rank: 0, missing_left: missing.left }
            }
            Test::InSet(mut words) => {
                words.truncate(words.iter().rposition(|&word| word != 0).map_or(0, |last| last + 1));
                let set = CategorySet { feature, missing_left: missing.left, words: words.into() };
                let sets = &mut self.lowered.sets;
                let number = self.set_numbers.entry(set).or_insert_with_key(|set| {
                    sets.push(set.clone());
                    (sets.len() - 1) as u32
                });
                Question::InSet(*number)
            }
        }
    }

    /// One sort of all thresholds, by feature and size, makes the groups and gives every node its rank.
    fn rank(&mut self) {
        self.asked.sort_unstable_by(|a, b| {
            (a.feature, a.zero).cmp(&(b.feature, b.zero)).then(a.threshold.total_cmp(&b.threshold))
        });
        let Lowered { groups, nodes, .. } = &mut self.lowered;
        for &Asked { feature, node, threshold, zero, missing_left } in &self.asked {
            if groups.last().is_none_or(|group| (group.feature, group.zero) != (feature, zero)) {
                groups.push(Group { feature, zero, thresholds: Vec::new(), sides: Vec::new() });
            }
            let number = groups.len() - 1;
            let Group { thresholds, sides, .. } = &mut groups[number];
            if thresholds.last() != Some(&threshold) {
                thresholds.push(threshold);
                sides.push(0);
            }
            let rank = thresholds.len() - 1;
            sides[rank] |= if missing_left { LEFT } else { RIGHT };
            if let Flat::Split { question, .. } = &mut nodes[node as usize] {
                *question = Question::AtMost { group: number as u32, rank: rank as u32, missing_left };
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounding_brackets_a_number() {
        for x in [0.1, -0.1, 1e300, -1e300, 1e-60, -1e-60, 0.5, 0.0, f64::INFINITY, f64::NEG_INFINITY] {
            let (down, up) = (round_down(x), round_up(x));
            assert!(f64::from(down) <= x && x <= f64::from(up), "{x}");
            assert!(down == up || down.next_up() == up || (down == -0.0 && up == f32::from_bits(1)), "{x}");
        }
        assert!(round_up(f64::NAN).is_nan());
    }

    #[test]
    fn one_substitute_tells_where_the_sides_turn_once() {
        assert_eq!(Group::turn(&[RIGHT, RIGHT, LEFT]), Some(2));
        assert_eq!(Group::turn(&[LEFT, LEFT]), Some(0));
        assert_eq!(Group::turn(&[RIGHT]), Some(1));
        assert_eq!(Group::turn(&[LEFT, RIGHT]), None);
        assert_eq!(Group::turn(&[RIGHT, LEFT | RIGHT]), None);
    }
}
