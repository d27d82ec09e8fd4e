//! Leaf values and how they become scores. Sums run in the order of the trees, per row and output, base first, in the
//! precision of the model: they are never reordered and never fused, which is what gives every kernel the same bits.

use crate::link::Precision;
use crate::tree::{Aggregation, Leaf, Shape};

/// A number that scores are summed in.
pub(super) trait Number: Copy + Default + Send + Sync + std::ops::AddAssign + 'static {
    fn of(x: f64) -> Self;
    fn wide(self) -> f64;
    /// Byte `place` of the number, the least significant first.
    fn byte(self, place: usize) -> u8;
    /// The numbers with their type known.
    fn sums(numbers: &mut [Self]) -> Sums<'_>;
}

/// Numbers of either type.
#[derive(Debug)]
pub(super) enum Sums<'a> {
    F64(&'a mut [f64]),
    F32(&'a mut [f32]),
}

impl Number for f64 {
    fn of(x: f64) -> Self {
        x
    }

    fn wide(self) -> f64 {
        self
    }

    fn byte(self, place: usize) -> u8 {
        self.to_le_bytes()[place]
    }

    fn sums(numbers: &mut [Self]) -> Sums<'_> {
        Sums::F64(numbers)
    }
}

impl Number for f32 {
    fn of(x: f64) -> Self {
        x as f32
    }

    fn wide(self) -> f64 {
        f64::from(self)
    }

    fn byte(self, place: usize) -> u8 {
        self.to_le_bytes()[place]
    }

    fn sums(numbers: &mut [Self]) -> Sums<'_> {
        Sums::F32(numbers)
    }
}

/// Leaves that are looked up in one array.
const LINE: usize = 64;

/// The leaf values of an ensemble in one precision.
#[derive(Debug, Clone)]
pub(super) struct Leaves<N> {
    /// By leaf; `stride` numbers each. [`LINE`] leaves that no tree has follow them.
    pub(super) values: Vec<N>,
    /// Numbers per leaf: 1, or the number of outputs.
    pub(super) stride: usize,
    /// Per tree, the number of its first leaf, and then the number of all leaves.
    pub(super) first: Vec<u32>,
    /// Per tree, the output that its leaves add to, where they hold one number.
    pub(super) output: Vec<u32>,
    pub(super) outputs: usize,
    /// What sums start from.
    pub(super) base: Vec<N>,
    exact_base: Vec<f64>,
    vote: bool,
    /// Per output, what its sum is divided by; empty for sums.
    divisors: Vec<f64>,
    /// Per output, whether any tree adds to it.
    reached: Vec<bool>,
}

/// The leaf values in the model's own precision.
#[derive(Debug, Clone)]
pub(super) enum AnyLeaves {
    F64(Leaves<f64>),
    F32(Leaves<f32>),
}

/// Leaf values while they come.
#[derive(Debug, Default)]
pub(super) struct Gathered {
    values: Vec<f64>,
    first: Vec<u32>,
    vector: bool,
    leaves: u32,
}

impl Gathered {
    /// The next leaf of tree `tree`.
    pub(super) fn push(&mut self, tree: usize, leaf: &Leaf) {
        if self.first.len() <= tree {
            self.first.push(self.leaves);
        }
        self.leaves += 1;
        match leaf {
            // Ensembles with linear leaves have a walk of their own.
            Leaf::Scalar(value) | Leaf::Linear { otherwise: value, .. } => self.values.push(*value),
            Leaf::Vector(values) => {
                self.vector = true;
                self.values.extend_from_slice(values);
            }
        }
    }

    /// All leaves, of trees that add to `output`.
    pub(super) fn finish(self, shape: &Shape, output: Vec<u32>) -> AnyLeaves {
        match shape.sum_precision {
            Precision::F64 => AnyLeaves::F64(self.narrow(shape, output)),
            Precision::F32 => AnyLeaves::F32(self.narrow(shape, output)),
        }
    }

    fn narrow<N: Number>(self, shape: &Shape, output: Vec<u32>) -> Leaves<N> {
        let outputs = shape.outputs as usize;
        let exact_base = if shape.base.is_empty() { vec![0.0; outputs] } else { shape.base.clone() };
        let vote = shape.aggregation == Aggregation::Vote;
        let shared = self.vector || vote;
        let mut trees = vec![if shared { output.len() as f64 } else { 0.0 }; outputs];
        if !shared {
            output.iter().for_each(|&output| trees[output as usize] += 1.0);
        }
        let stride = if self.vector { outputs } else { 1 };
        let padding = std::iter::repeat_n(N::default(), LINE * stride);
        Leaves {
            values: self.values.iter().map(|&value| N::of(value)).chain(padding).collect(),
            stride,
            first: self.first.into_iter().chain([self.leaves]).collect(),
            output,
            outputs,
            base: exact_base.iter().map(|&base| N::of(base)).collect(),
            exact_base,
            vote,
            divisors: match shape.aggregation {
                Aggregation::Sum => Vec::new(),
                _ => trees.iter().map(|&count| f64::max(count, 1.0)).collect(),
            },
            reached: trees.iter().map(|&count| count > 0.0).collect(),
        }
    }
}

impl<N: Number> Leaves<N> {
    /// Whether leaves hold numbers that are added, not votes.
    pub(super) fn adds(&self) -> bool {
        !self.vote
    }

    /// How many trees and leaves there are.
    pub(super) fn count(&self) -> (usize, usize) {
        (self.first.len() - 1, self.first[self.first.len() - 1] as usize)
    }

    /// The values of the leaves of a tree, `stride` numbers each.
    pub(super) fn of_tree(&self, tree: usize) -> &[N] {
        let [start, end] = [tree, tree + 1].map(|tree| self.first[tree] as usize * self.stride);
        &self.values[start..end]
    }

    /// Whether a score is one plain sum of one number per tree.
    #[inline]
    pub(super) fn plain(&self) -> bool {
        self.stride == 1 && self.outputs == 1 && !self.vote
    }

    /// The values of leaf `first` and those after it, where each holds one number.
    #[inline]
    pub(super) fn line(&self, first: u32) -> &[N; LINE] {
        self.values[first as usize..].first_chunk().expect("as many leaves follow the last")
    }

    /// Adds one leaf of `tree` to the sums of a row, which stand `step` apart from `sums[at]` on.
    #[inline]
    pub(super) fn add(&self, tree: usize, leaf: u32, sums: &mut [N], at: usize, step: usize) {
        let leaf = leaf as usize;
        if self.stride != 1 {
            let values = &self.values[leaf * self.stride..(leaf + 1) * self.stride];
            values.iter().enumerate().for_each(|(output, value)| sums[at + output * step] += *value);
        } else if self.vote {
            sums[at + self.values[leaf].wide() as usize * step] += N::of(1.0);
        } else {
            sums[at + self.output[tree] as usize * step] += self.values[leaf];
        }
    }

    /// Adds leaves of trees from `first` on, one each, to the sums of a row.
    #[inline]
    pub(super) fn add_each(&self, first: usize, leaves: &[u32], sums: &mut [N]) {
        if self.plain() {
            let mut sum = sums[0];
            leaves.iter().for_each(|&leaf| sum += self.values[leaf as usize]);
            sums[0] = sum;
        } else {
            leaves.iter().zip(first..).for_each(|(&leaf, tree)| self.add(tree, leaf, sums, 0, 1));
        }
    }

    /// The scores of a row, one per output, whose sums are `sums`.
    #[inline]
    pub(super) fn scores(&self, sums: &[N], out: &mut [f64]) {
        for (output, (sum, score)) in sums.iter().zip(out).enumerate() {
            *score = self.score(output, *sum);
        }
    }

    /// The score of an output whose sum is `sum`.
    #[inline]
    pub(super) fn score(&self, output: usize, sum: N) -> f64 {
        // A base that nothing was added to was never rounded.
        let sum = if self.reached[output] { sum.wide() } else { self.exact_base[output] };
        if self.divisors.is_empty() { sum } else { sum / self.divisors[output] }
    }
}
