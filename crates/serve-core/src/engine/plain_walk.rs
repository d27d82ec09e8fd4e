//! The plain walk: one row and one node after the other from root to leaf, on a layout where siblings stand side by side.
//!
//! It serves what the [kernels](super::Kernel) do not: leaves that are linear models, and scores that are the least or the
//! greatest leaf.

use crate::link::Precision;
use crate::tree::{Aggregation, CategoryRounding, Leaf, Missing, Node, Test, TreeEnsemble, ZERO_THRESHOLD};

const LEAF: u32 = 1 << 31;
const MISSING_LEFT: u32 = 1 << 30;
/// Zero counts as missing, or the split is categorical: the slow question.
const SPECIAL: u32 = 1 << 29;
const CATEGORICAL: u32 = 1 << 28;
const FEATURE: u32 = (1 << 24) - 1;

/// 16 bytes. The left child stands at `next`, the right one at `next + 1`; a leaf's `next` is its value's number. The
/// threshold of a categorical split is the number of its set, exact in `f64`.
#[derive(Debug, Clone, Copy)]
struct WalkNode {
    threshold: f64,
    feature: u32,
    next: u32,
}

/// A constant, and inputs with their coefficients.
type LinearLeaf = (f64, Box<[(u32, f64)]>);

/// A tree ensemble laid out for walking.
#[derive(Debug)]
pub(super) struct PlainWalk {
    inputs: usize,
    outputs: usize,
    aggregation: Aggregation,
    round_inputs: bool,
    round_sums: bool,
    /// Values up to this one are in no category.
    below_categories: f64,
    base: Vec<f64>,
    /// Per output, what its sum is divided by.
    divisors: Vec<f64>,
    /// Root and output of each tree.
    trees: Vec<(u32, u32)>,
    nodes: Vec<WalkNode>,
    values: Vec<f64>,
    vector_leaves: bool,
    /// Per leaf value, the linear model of a leaf that has one; empty where none has.
    linear: Vec<LinearLeaf>,
    sets: Vec<Box<[u32]>>,
}

/// What the score of each output starts from.
fn base(ensemble: &TreeEnsemble) -> Vec<f64> {
    let shape = ensemble.shape();
    let mut base = if shape.base.is_empty() { vec![0.0; ensemble.outputs()] } else { shape.base.clone() };
    let bound = match shape.aggregation {
        Aggregation::Min => f64::INFINITY,
        Aggregation::Max => f64::NEG_INFINITY,
        _ => return base,
    };
    // An output without trees has neither a least nor a greatest leaf.
    for tree in ensemble.trees() {
        if ensemble.has_vector_leaves() {
            base.fill(bound);
        } else {
            base[tree.output as usize] = bound;
        }
    }
    base
}

fn linear_leaf(constant: f64, terms: &[(u32, f64)], otherwise: f64, row: &[f64]) -> f64 {
    if terms.iter().any(|&(feature, _)| row[feature as usize].is_nan()) {
        return otherwise;
    }
    let value = |feature: u32| row[feature as usize];
    let add = |sum, &(feature, coefficient): &(u32, f64)| match value(feature) {
        x if x.abs() <= ZERO_THRESHOLD => sum,
        x => sum + coefficient * x,
    };
    terms.iter().fold(constant, add)
}

impl PlainWalk {
    /// Whether an ensemble is of the kind that only this walk runs.
    pub(super) fn is_needed(ensemble: &TreeEnsemble) -> bool {
        ensemble.has_linear_leaves()
            || matches!(ensemble.shape().aggregation, Aggregation::Min | Aggregation::Max)
    }

    pub(super) fn new(ensemble: &TreeEnsemble) -> Self {
        let shape = ensemble.shape();
        let outputs = ensemble.outputs();
        let mut walk = Self {
            inputs: ensemble.inputs(),
            outputs,
            aggregation: shape.aggregation,
            round_inputs: shape.input_precision == Precision::F32,
            round_sums: shape.sum_precision == Precision::F32,
            below_categories: match shape.category_rounding {
                CategoryRounding::Truncate => -1.0,
                CategoryRounding::Floor => (0.0_f64).next_down(),
            },
            base: base(ensemble),
            divisors: Vec::new(),
            trees: Vec::with_capacity(ensemble.tree_count()),
            nodes: Vec::with_capacity(ensemble.node_count()),
            values: Vec::new(),
            vector_leaves: false,
            linear: Vec::new(),
            sets: Vec::new(),
        };
        for tree in ensemble.trees() {
            walk.trees.push((walk.nodes.len() as u32, tree.output));
            walk.lay_out(&tree.nodes);
        }
        walk.divisors = walk.divisors();
        walk
    }

    /// Bytes held.
    pub(super) fn bytes(&self) -> usize {
        let terms: usize = self.linear.iter().map(|(_, terms)| size_of_val(&terms[..])).sum();
        let sets: usize = self.sets.iter().map(|set| size_of_val(&set[..])).sum();
        terms
            + sets
            + size_of_val(&self.trees[..])
            + size_of_val(&self.nodes[..])
            + size_of_val(&self.values[..])
            + size_of_val(&self.linear[..])
    }

    /// A mean is over the trees that add to its output; a vote's shares are of all trees.
    fn divisors(&self) -> Vec<f64> {
        if self.vector_leaves || self.aggregation == Aggregation::Vote {
            return vec![self.trees.len().max(1) as f64; self.outputs];
        }
        let mut divisors = vec![0.0; self.outputs];
        self.trees.iter().for_each(|&(_, output)| divisors[output as usize] += 1.0);
        divisors.iter().map(|trees| f64::max(*trees, 1.0)).collect()
    }

    /// Breadth first, siblings together.
    fn lay_out(&mut self, nodes: &[Node]) {
        let root = self.nodes.len();
        let mut order = vec![0_u32];
        let mut place = 0;
        while place < order.len() {
            let next = (root + order.len()) as u32;
            let node = match &nodes[order[place] as usize] {
                Node::Leaf(leaf) => self.leaf(leaf),
                Node::Split { feature, test, missing, left, right } => {
                    order.extend([*left, *right]);
                    self.split(*feature, test, *missing, next)
                }
            };
            self.nodes.push(node);
            place += 1;
        }
    }

    fn leaf(&mut self, leaf: &Leaf) -> WalkNode {
        let next = self.values.len() as u32;
        match leaf {
            Leaf::Scalar(value) => self.values.push(*value),
            Leaf::Vector(values) => {
                self.vector_leaves = true;
                self.values.extend_from_slice(values);
            }
            Leaf::Linear { constant, terms, otherwise } => {
                self.values.push(*otherwise);
                self.linear.push((*constant, terms.as_slice().into()));
            }
        }
        WalkNode { threshold: 0.0, feature: LEAF, next }
    }

    fn split(&mut self, feature: u32, test: &Test, missing: Missing, next: u32) -> WalkNode {
        let mut flags = if missing.left { MISSING_LEFT } else { 0 };
        if missing.zero {
            flags |= SPECIAL;
        }
        let threshold = match test {
            Test::AtMost(threshold) => *threshold,
            Test::InSet(words) => {
                flags |= SPECIAL | CATEGORICAL;
                self.sets.push(words.as_slice().into());
                (self.sets.len() - 1) as f64
            }
        };
        WalkNode { threshold, feature: feature | flags, next }
    }

    /// Raw scores of `rows`, row-major; trees outside, rows inside, so that a tree stays in the cache.
    pub(super) fn scores(&self, rows: &[f64], out: &mut [f64], rounded: &mut Vec<f64>) {
        let rows = if self.round_inputs {
            rounded.clear();
            rounded.extend(rows.iter().map(|&x| f64::from(x as f32)));
            &rounded[..]
        } else {
            rows
        };
        out.chunks_exact_mut(self.outputs).for_each(|out| out.copy_from_slice(&self.base));
        for &(root, output) in &self.trees {
            for (row, out) in rows.chunks_exact(self.inputs).zip(out.chunks_exact_mut(self.outputs)) {
                self.add(self.find(root, row), row, output as usize, out);
            }
        }
        if matches!(self.aggregation, Aggregation::Average | Aggregation::Vote) {
            for out in out.chunks_exact_mut(self.outputs) {
                out.iter_mut().zip(&self.divisors).for_each(|(score, trees)| *score /= trees);
            }
        }
    }

    fn add(&self, value: usize, row: &[f64], output: usize, out: &mut [f64]) {
        if self.vector_leaves {
            let values = &self.values[value..value + self.outputs];
            out.iter_mut().zip(values).for_each(|(sum, value)| *sum = self.sum(*sum, *value));
        } else if self.aggregation == Aggregation::Vote {
            out[self.values[value] as usize] += 1.0;
        } else {
            let value = self.linear.get(value).map_or(self.values[value], |(constant, terms)| {
                linear_leaf(*constant, terms, self.values[value], row)
            });
            out[output] = self.sum(out[output], value);
        }
    }

    fn sum(&self, a: f64, b: f64) -> f64 {
        match self.aggregation {
            Aggregation::Min => a.min(b),
            Aggregation::Max => a.max(b),
            _ if self.round_sums => f64::from(a as f32 + b as f32),
            _ => a + b,
        }
    }

    /// The number of the leaf value that a row reaches.
    fn find(&self, root: u32, row: &[f64]) -> usize {
        let mut node = self.nodes[root as usize];
        while node.feature & LEAF == 0 {
            let x = row[(node.feature & FEATURE) as usize];
            let left = if node.feature & SPECIAL == 0 {
                x <= node.threshold || (x.is_nan() && node.feature & MISSING_LEFT != 0)
            } else {
                self.special(node, x)
            };
            node = self.nodes[node.next as usize + usize::from(!left)];
        }
        node.next as usize
    }

    #[cold]
    fn special(&self, node: WalkNode, x: f64) -> bool {
        let missing_left = node.feature & MISSING_LEFT != 0;
        if node.feature & CATEGORICAL == 0 {
            if x.is_nan() || x.abs() <= ZERO_THRESHOLD { missing_left } else { x <= node.threshold }
        } else if x.is_nan() {
            missing_left
        } else {
            // The cast truncates, and saturates negative values to 0, so these are told apart first.
            let words = &self.sets[node.threshold as usize];
            let category = x as usize;
            x > self.below_categories
                && words.get(category / 32).is_some_and(|word| word >> (category % 32) & 1 == 1)
        }
    }
}
