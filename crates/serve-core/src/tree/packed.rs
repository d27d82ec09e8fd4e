//! A tree ensemble as one array per field: what is stored, and checked as hostile when it is read back.

mod check;

use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::{Aggregation, InvalidTrees, Leaf, Missing, Node, Shape, Statistics, Test, Tree, TreeEnsemble};

const LEAF: u8 = 1;
const CATEGORICAL: u8 = 2;
const MISSING_LEFT: u8 = 4;
const ZERO_IS_MISSING: u8 = 8;

/// Arrays of equal length per tree (`start`, `output`) and per node (the next five). Children are counted within the
/// tree. A leaf's `left` is the number of its value(s) in `values`; a categorical split's place in `sets` is found by
/// its number in `set_nodes`, which is ascending.
///
/// A linear leaf's `values` is its value where an input is missing; its constant stands in `constants`, and its terms
/// begin in `terms` and `coefficients` at `term_starts`. `cover` and `gain` are empty, or have a number per node.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Packed {
    pub(super) shape: Shape,
    pub(super) leaves: Leaves,
    start: Vec<u32>,
    pub(super) output: Vec<u32>,
    flags: Vec<u8>,
    pub(super) feature: Vec<u32>,
    threshold: Vec<f64>,
    left: Vec<u32>,
    right: Vec<u32>,
    values: Vec<f64>,
    set_nodes: Vec<u32>,
    set_starts: Vec<u32>,
    set_words: Vec<u32>,
    constants: Vec<f64>,
    term_starts: Vec<u32>,
    terms: Vec<u32>,
    coefficients: Vec<f64>,
    pub(super) cover: Vec<f64>,
    pub(super) gain: Vec<f64>,
}

/// What all leaves of an ensemble hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(super) enum Leaves {
    #[default]
    Scalar,
    Vector,
    Linear,
}

/// The same in the first format of `model.bin`.
#[derive(Debug, Deserialize)]
pub(crate) struct PackedOne {
    shape: Shape,
    vector_leaves: bool,
    start: Vec<u32>,
    output: Vec<u32>,
    flags: Vec<u8>,
    feature: Vec<u32>,
    threshold: Vec<f64>,
    left: Vec<u32>,
    right: Vec<u32>,
    values: Vec<f64>,
    set_nodes: Vec<u32>,
    set_starts: Vec<u32>,
    set_words: Vec<u32>,
}

impl TryFrom<PackedOne> for TreeEnsemble {
    type Error = InvalidTrees;

    fn try_from(one: PackedOne) -> Result<Self, InvalidTrees> {
        let leaves = if one.vector_leaves { Leaves::Vector } else { Leaves::Scalar };
        let packed = Packed {
            start: one.start,
            output: one.output,
            flags: one.flags,
            feature: one.feature,
            threshold: one.threshold,
            left: one.left,
            right: one.right,
            values: one.values,
            set_nodes: one.set_nodes,
            set_starts: one.set_starts,
            set_words: one.set_words,
            ..Packed::empty(one.shape, leaves)
        };
        packed.try_into()
    }
}

fn shape_error(problem: impl Into<String>) -> InvalidTrees {
    InvalidTrees::Shape { problem: problem.into() }
}

fn node_error(tree: usize, node: usize, problem: impl Into<String>) -> InvalidTrees {
    InvalidTrees::Node { tree, node, problem: problem.into() }
}

impl Packed {
    fn empty(shape: Shape, leaves: Leaves) -> Self {
        Self {
            shape,
            leaves,
            start: Vec::new(),
            output: Vec::new(),
            flags: Vec::new(),
            feature: Vec::new(),
            threshold: Vec::new(),
            left: Vec::new(),
            right: Vec::new(),
            values: Vec::new(),
            set_nodes: Vec::new(),
            set_starts: Vec::new(),
            set_words: Vec::new(),
            constants: Vec::new(),
            term_starts: Vec::new(),
            terms: Vec::new(),
            coefficients: Vec::new(),
            cover: Vec::new(),
            gain: Vec::new(),
        }
    }

    pub(super) fn pack(shape: Shape, trees: &[Tree]) -> Result<Self, InvalidTrees> {
        let mut leaves = trees.iter().flat_map(|tree| &tree.nodes).filter_map(|node| match node {
            Node::Leaf(Leaf::Scalar(_)) => Some(Leaves::Scalar),
            Node::Leaf(Leaf::Vector(_)) => Some(Leaves::Vector),
            Node::Leaf(Leaf::Linear { .. }) => Some(Leaves::Linear),
            Node::Split { .. } => None,
        });
        let mut packed = Self::empty(shape, leaves.next().unwrap_or_default());
        for (number, tree) in trees.iter().enumerate() {
            packed.start.push(packed.flags.len() as u32);
            packed.output.push(tree.output);
            for (place, node) in tree.nodes.iter().enumerate() {
                packed.push(node).map_err(|problem| node_error(number, place, problem))?;
            }
            packed.push_statistics(number, tree)?;
            if u32::try_from(packed.flags.len()).is_err() || u32::try_from(packed.values.len()).is_err() {
                return Err(shape_error("more than 2^32 nodes or leaf values"));
            }
        }
        Ok(packed)
    }

    fn push(&mut self, node: &Node) -> Result<(), String> {
        let (flags, feature, threshold, left, right) = match node {
            Node::Leaf(leaf) => (LEAF, 0, 0.0, self.push_leaf(leaf)?, 0),
            Node::Split { feature, test, missing, left, right } => {
                let mut flags = 0;
                flags |= if missing.left { MISSING_LEFT } else { 0 };
                flags |= if missing.zero { ZERO_IS_MISSING } else { 0 };
                let threshold = match test {
                    Test::AtMost(threshold) => *threshold,
                    Test::InSet(words) => {
                        flags |= CATEGORICAL;
                        self.set_nodes.push(self.flags.len() as u32);
                        self.set_starts.push(self.set_words.len() as u32);
                        self.set_words.extend_from_slice(words);
                        0.0
                    }
                };
                (flags, *feature, threshold, *left, *right)
            }
        };
        self.flags.push(flags);
        self.feature.push(feature);
        self.threshold.push(threshold);
        self.left.push(left);
        self.right.push(right);
        Ok(())
    }

    fn push_statistics(&mut self, number: usize, tree: &Tree) -> Result<(), InvalidTrees> {
        let nodes = tree.nodes.len();
        let before = self.flags.len() - nodes;
        let lists = [(&mut self.cover, &tree.statistics.cover), (&mut self.gain, &tree.statistics.gain)];
        for (all, own) in lists {
            let whole = all.len() == before && own.len() == nodes;
            let unknown = all.is_empty() && own.is_empty();
            if !(whole || unknown) {
                let problem = "statistics must stand for every node of every tree, or for none".to_owned();
                return Err(InvalidTrees::Tree { tree: number, problem });
            }
            all.extend_from_slice(own);
        }
        Ok(())
    }

    fn push_leaf(&mut self, leaf: &Leaf) -> Result<u32, String> {
        let stride = self.stride();
        let number = (self.values.len() / stride) as u32;
        match (leaf, self.leaves) {
            (Leaf::Scalar(value), Leaves::Scalar) => self.values.push(*value),
            (Leaf::Vector(values), Leaves::Vector) if values.len() == stride => {
                self.values.extend_from_slice(values);
            }
            (Leaf::Vector(values), Leaves::Vector) => {
                return Err(format!("the leaf has {} values, expected {stride}", values.len()));
            }
            (Leaf::Linear { constant, terms, otherwise }, Leaves::Linear) => {
                self.values.push(*otherwise);
                self.constants.push(*constant);
                self.term_starts.push(self.terms.len() as u32);
                self.terms.extend(terms.iter().map(|(feature, _)| feature));
                self.coefficients.extend(terms.iter().map(|(_, coefficient)| coefficient));
            }
            _ => {
                return Err(
                    "an ensemble cannot mix leaves with one value, several, and linear ones".to_owned()
                );
            }
        }
        Ok(number)
    }

    fn stride(&self) -> usize {
        if self.leaves == Leaves::Vector { (self.shape.outputs as usize).max(1) } else { 1 }
    }

    pub(super) fn nodes_of(&self, tree: usize) -> Range<usize> {
        let end = self.start.get(tree + 1).map_or(self.flags.len(), |&end| end as usize);
        self.start[tree] as usize..end
    }

    pub(super) fn unpack(&self, tree: usize) -> Tree {
        let range = self.nodes_of(tree);
        let own = |list: &[f64]| list.get(range.clone()).map(<[f64]>::to_vec).unwrap_or_default();
        let statistics = Statistics { cover: own(&self.cover), gain: own(&self.gain) };
        let nodes = range.clone().map(|node| self.node(node)).collect();
        Tree { output: self.output[tree], nodes, statistics }
    }

    fn leaf(&self, number: usize) -> Leaf {
        let first = number * self.stride();
        match self.leaves {
            Leaves::Scalar => Leaf::Scalar(self.values[first]),
            Leaves::Vector => Leaf::Vector(self.values[first..first + self.stride()].to_vec()),
            Leaves::Linear => {
                let terms = self.terms_of(number);
                let coefficients = self.coefficients[terms.clone()].iter().copied();
                let terms = self.terms[terms].iter().copied().zip(coefficients).collect();
                Leaf::Linear { constant: self.constants[number], terms, otherwise: self.values[number] }
            }
        }
    }

    fn terms_of(&self, leaf: usize) -> Range<usize> {
        let end = self.term_starts.get(leaf + 1).map_or(self.terms.len(), |&end| end as usize);
        self.term_starts[leaf] as usize..end
    }

    fn node(&self, node: usize) -> Node {
        let flags = self.flags[node];
        if flags & LEAF != 0 {
            return Node::Leaf(self.leaf(self.left[node] as usize));
        }
        let test = if flags & CATEGORICAL != 0 {
            Test::InSet(self.set(node).to_vec())
        } else {
            Test::AtMost(self.threshold[node])
        };
        Node::Split {
            feature: self.feature[node],
            test,
            missing: Missing { left: flags & MISSING_LEFT != 0, zero: flags & ZERO_IS_MISSING != 0 },
            left: self.left[node],
            right: self.right[node],
        }
    }

    fn set(&self, node: usize) -> &[u32] {
        match self.set_nodes.binary_search(&(node as u32)) {
            Ok(number) => {
                let end = self.set_starts.get(number + 1).map_or(self.set_words.len(), |&end| end as usize);
                &self.set_words[self.set_starts[number] as usize..end]
            }
            Err(_) => &[],
        }
    }
}

impl TryFrom<Packed> for TreeEnsemble {
    type Error = InvalidTrees;

    fn try_from(packed: Packed) -> Result<Self, InvalidTrees> {
        packed.check()?;
        Ok(Self(packed))
    }
}

impl From<TreeEnsemble> for Packed {
    fn from(ensemble: TreeEnsemble) -> Self {
        ensemble.0
    }
}
