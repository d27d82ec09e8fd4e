//! Trees laid out for explaining them: for every split, the shares of the training data that go either way, and where on
//! the path its feature was asked before. What a path asks of one feature counts once, however often it asks.
//!
//! Invariant: a split stands after its parent. Children are slots of their tree: its splits first, then its leaves.

use std::ops::Range;

use super::Unexplainable;
use super::paths::Paths;
use crate::tree::{Aggregation, Leaf, Tree, TreeEnsemble};

/// Most features that one path may ask. The time for a row grows with the splits times the features of a path.
const MAX_FEATURES_OF_A_PATH: usize = 4096;

/// Most quadrature points that are computed side by side.
const MAX_LANES: usize = 8;

pub(super) const MISSING_LEFT: u8 = 1;
pub(super) const ZERO_IS_MISSING: u8 = 2;
pub(super) const CATEGORICAL: u8 = 4;

/// A split.
#[derive(Debug, Clone)]
pub(super) struct Split {
    /// The number of the set for a categorical split.
    pub(super) threshold: f64,
    /// Share of the data that passes what the path asked of this feature before; 1 where it asked nothing.
    pub(super) share: f64,
    /// Of the data at this split, the share that goes left.
    pub(super) left_share: f64,
    /// The share that goes right.
    pub(super) right_share: f64,
    pub(super) feature: u32,
    /// Where its contribution is added.
    pub(super) label: u32,
    /// The edge by which the path last left a split of this feature: 1 + 2 · split to the left, 2 + 2 · split to the right;
    /// 0 for none.
    pub(super) before: u32,
    /// Which of the tree's shares is that edge's; 0 for none.
    pub(super) earlier: u32,
    /// Slot of the left child.
    pub(super) left: u32,
    /// Slot of the right child.
    pub(super) right: u32,
    pub(super) flags: u8,
}

/// One tree.
#[derive(Debug)]
pub(super) struct ShapTree {
    /// The output of its leaves; vector leaves have several.
    pub(super) output: usize,
    pub(super) splits: Range<usize>,
    /// Its leaves' values: all of the first output, then all of the next.
    pub(super) values: Range<usize>,
    pub(super) leaves: usize,
    /// Shares of the edges that later splits of the same feature refer to; the first is 1, for none.
    pub(super) shares: Range<usize>,
    /// Quadrature points computed side by side.
    pub(super) lanes: usize,
    /// How often that is done.
    pub(super) passes: usize,
}

/// All trees of an ensemble that have a say in the explained outputs.
#[derive(Debug, Default)]
pub(super) struct Layout {
    pub(super) trees: Vec<ShapTree>,
    pub(super) splits: Vec<Split>,
    pub(super) values: Vec<f64>,
    pub(super) shares: Vec<f64>,
    pub(super) sets: Vec<Box<[u32]>>,
    /// Whether each tree's leaves have a value for each explained output.
    pub(super) vector: bool,
}

/// What of an ensemble is laid out.
pub(super) struct Chosen<'a> {
    /// The explained outputs.
    pub(super) outputs: &'a [usize],
    /// What leaves are multiplied by, per explained output.
    pub(super) scales: &'a [f64],
    /// For each input, where its contributions are added.
    pub(super) labels: &'a [u32],
}

impl Layout {
    /// Lays out the trees that add to the chosen outputs, and adds to `expected` what they give on average over the
    /// training data. `O(nodes)`.
    pub(super) fn new(
        ensemble: &TreeEnsemble,
        chosen: &Chosen<'_>,
        expected: &mut [f64],
    ) -> Result<Self, Unexplainable> {
        let vector = ensemble.has_vector_leaves() || ensemble.shape().aggregation == Aggregation::Vote;
        let mut layout = Self { vector, ..Self::default() };
        for tree in ensemble.trees() {
            let output = chosen.outputs.iter().position(|&output| output == tree.output as usize);
            if let Some(output) = if vector { Some(0) } else { output } {
                layout.add(&tree, output, chosen, expected)?;
            }
        }
        Ok(layout)
    }

    fn add(
        &mut self,
        tree: &Tree,
        output: usize,
        chosen: &Chosen<'_>,
        expected: &mut [f64],
    ) -> Result<(), Unexplainable> {
        let paths = Paths::of(tree, chosen.labels, &mut self.sets);
        if paths.most_features > MAX_FEATURES_OF_A_PATH {
            return Err(Unexplainable::Features { got: paths.most_features, most: MAX_FEATURES_OF_A_PATH });
        }
        let (splits, values, shares) = (self.splits.len(), self.values.len(), self.shares.len());
        let outputs = if self.vector { 0..chosen.outputs.len() } else { output..output + 1 };
        for output in outputs {
            for (leaf, weight) in &paths.leaves {
                let value = value(leaf, chosen.outputs[output], self.vector) * chosen.scales[output];
                expected[output] += weight * value;
                self.values.push(value);
            }
        }
        let (lanes, passes) = lanes(paths.most_features);
        self.splits.extend(paths.splits);
        self.shares.extend(paths.shares);
        self.trees.push(ShapTree {
            output,
            splits: splits..self.splits.len(),
            values: values..self.values.len(),
            leaves: paths.leaves.len(),
            shares: shares..self.shares.len(),
            lanes,
            passes,
        });
        Ok(())
    }

    /// The numbers of quadrature points that the trees need.
    pub(super) fn point_counts(&self) -> impl Iterator<Item = usize> {
        self.trees.iter().map(|tree| tree.lanes * tree.passes)
    }
}

fn value(leaf: &Leaf, output: usize, vector: bool) -> f64 {
    match leaf {
        // A vote names a class.
        Leaf::Scalar(class) if vector => f64::from(u8::from(*class == output as f64)),
        Leaf::Scalar(value) => *value,
        Leaf::Vector(values) => values[output],
        Leaf::Linear { otherwise, .. } => *otherwise,
    }
}

/// Points side by side, and passes: at least `features / 2` points in all, which integrate a path's product exactly.
fn lanes(features: usize) -> (usize, usize) {
    let points = features.div_ceil(2).max(1);
    let passes = points.div_ceil(MAX_LANES);
    (points.div_ceil(passes).next_multiple_of(2), passes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_enough_points_for_every_path() {
        assert_eq!(
            [0, 1, 4, 5, 16, 17, 100].map(lanes),
            [(2, 1), (2, 1), (2, 1), (4, 1), (8, 1), (6, 2), (8, 7)]
        );
        assert!((0..500).all(|d| lanes(d).0 * lanes(d).1 * 2 >= d && lanes(d).0 <= MAX_LANES));
    }
}
