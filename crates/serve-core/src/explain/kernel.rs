//! Shapley values of trees, path-dependent as Lundberg's TreeSHAP defines them, for a row in `O(splits · features of a
//! path / 2)` instead of its `O(leaves · features of a path²)`.
//!
//! A leaf of value `v` whose path asks the features `j`, each of which the row passes (`o = 1`) or not (`o = 0`) and a
//! share `z` of the training data passes, gives feature `i`
//!
//! ```text
//! v · (oᵢ - zᵢ) · Σ_S |S|! (d - |S| - 1)! / d! · Π_{j∈S} oⱼ · Π_{j∉S} zⱼ
//!     = v · (oᵢ - zᵢ) · ∫₀¹ Π_{j≠i} (zⱼ + t (oⱼ - zⱼ)) dt
//! ```
//!
//! since `∫ tˢ (1 - t)^(d-1-s) dt` is the Shapley weight. The integrand is a polynomial of degree `d - 1`, so `d / 2` points
//! of Gauss-Legendre quadrature integrate it exactly, and at one point `t` the leaves of a tree share their products: one
//! pass from the root multiplies them down, one pass back adds them up. Points stand side by side in lanes, so that the
//! compiler makes vector instructions of them. Everything is added and multiplied with positive weights and factors:
//! there is no cancellation in the integral, at any depth.
//!
//! Where the path asked `i` before, at an edge with `oₐ` and `zₐ`, the new factor replaces the old one, and the
//! contribution of the old one below this edge is taken back: `(o - z) / f - (oₐ - zₐ) / fₐ` is
//! `(o · zₐ - z) / (f · fₐ)` where `oₐ = 1`, and 0 where `oₐ = 0`. Sources: Lundberg et al. 2018 (arXiv 1802.03888) for the
//! definition, Yu et al. 2022, "Linear TreeShap" (arXiv 2209.08192), for the passes.

use super::layout::{CATEGORICAL, Layout, MISSING_LEFT, ShapTree, Split, ZERO_IS_MISSING};
use super::quadrature::Quadrature;
use crate::tree::ZERO_THRESHOLD;

/// Scratch memory, used again from tree to tree.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    /// Per edge, whether the row passes all that the path asked of its feature so far; edge 0 is "nothing asked".
    passed: Vec<bool>,
    /// Per split and child, what its contribution is multiplied by.
    gains: Vec<[f64; 2]>,
    lanes: [Vec<f64>; 6],
}

/// A block of rows, and where their contributions go: `[rows, outputs, width]`.
pub(super) struct Block<'a> {
    pub(super) rows: &'a [f64],
    pub(super) inputs: usize,
    pub(super) out: &'a mut [f64],
    pub(super) outputs: usize,
    pub(super) width: usize,
    /// Values up to this one are in no category.
    pub(super) below_categories: f64,
}

impl Layout {
    /// Adds the contributions of one tree to each row of a block. `quadrature` is the rule of its number of points.
    pub(super) fn explain(
        &self,
        tree: &ShapTree,
        quadrature: &Quadrature,
        block: &mut Block<'_>,
        scratch: &mut Scratch,
    ) {
        let tree = TreeView {
            splits: &self.splits[tree.splits.clone()],
            values: &self.values[tree.values.clone()],
            shares: &self.shares[tree.shares.clone()],
            sets: &self.sets,
            leaves: tree.leaves,
            output: tree.output,
            lanes: tree.lanes,
        };
        for (t, w) in quadrature.points.chunks(tree.lanes).zip(quadrature.weights.chunks(tree.lanes)) {
            match tree.lanes {
                2 => tree.pass::<2>(t, w, block, scratch),
                4 => tree.pass::<4>(t, w, block, scratch),
                6 => tree.pass::<6>(t, w, block, scratch),
                _ => tree.pass::<8>(t, w, block, scratch),
            }
        }
    }
}

struct TreeView<'a> {
    splits: &'a [Split],
    values: &'a [f64],
    shares: &'a [f64],
    sets: &'a [Box<[u32]>],
    leaves: usize,
    output: usize,
    lanes: usize,
}

/// The lanes of one tree. `down` and `up` are by slot, `left`, `right` and `point` by split.
struct Lanes<'a, const L: usize> {
    t: [f64; L],
    /// `1 / (z + t (1 - z))` for each of the tree's shares `z`.
    inverse: &'a [[f64; L]],
    /// Product of the factors above a slot, times the weights of the points.
    down: &'a mut [[f64; L]],
    /// Sum over the leaves below a slot, of their values times the factors below it.
    up: &'a mut [[f64; L]],
    /// Factor of the left edge, and of the right one.
    left: &'a mut [[f64; L]],
    right: &'a mut [[f64; L]],
    /// What a split's contribution is integrated against.
    point: &'a mut [[f64; L]],
}

fn lanes_of<const L: usize>(list: &mut Vec<f64>, count: usize) -> &mut [[f64; L]] {
    if list.len() < count * L {
        list.resize(count * L, 0.0);
    }
    list[..count * L].as_chunks_mut::<L>().0
}

impl TreeView<'_> {
    fn pass<const L: usize>(&self, t: &[f64], w: &[f64], block: &mut Block<'_>, scratch: &mut Scratch) {
        let (splits, slots) = (self.splits.len(), self.splits.len() + self.leaves);
        let (Some(t), Some(w)) = (t.first_chunk::<L>(), w.first_chunk::<L>()) else { return };
        let [inverse, down, up, left, right, point] = &mut scratch.lanes;
        let inverse = lanes_of::<L>(inverse, self.shares.len());
        for (inverse, z) in inverse.iter_mut().zip(self.shares) {
            *inverse = t.map(|t| 1.0 / (z + t * (1.0 - z)));
        }
        let mut lanes = Lanes {
            t: *t,
            inverse,
            down: lanes_of(down, slots),
            up: lanes_of(up, slots),
            left: lanes_of(left, splits),
            right: lanes_of(right, splits),
            point: lanes_of(point, splits),
        };
        lanes.down[0] = *w;
        scratch.passed.clear();
        scratch.passed.resize(1 + 2 * splits, true);
        scratch.gains.resize(splits, [0.0; 2]);
        for (number, values) in self.values.chunks_exact(self.leaves).enumerate() {
            lanes.up[splits..].iter_mut().zip(values).for_each(|(up, value)| *up = [*value; L]);
            let Block { rows, inputs, out, outputs, width, below_categories } = block;
            let output = (self.output + number) * *width;
            for (row, out) in rows.chunks_exact(*inputs).zip(out.chunks_exact_mut(*outputs * *width)) {
                let Scratch { passed, gains, .. } = scratch;
                self.descend(row, *below_categories, &mut lanes, passed, gains);
                self.ascend(&mut lanes, gains, &mut out[output..output + *width]);
            }
        }
    }

    fn descend<const L: usize>(
        &self,
        row: &[f64],
        below_categories: f64,
        lanes: &mut Lanes<'_, L>,
        passed: &mut [bool],
        gains: &mut [[f64; 2]],
    ) {
        for (at, split) in self.splits.iter().enumerate() {
            let before = passed[split.before as usize];
            let goes_left = split.goes_left(row[split.feature as usize], below_categories, self.sets);
            let left_on = before && goes_left;
            let right_on = before && !goes_left;
            passed[1 + 2 * at] = left_on;
            passed[2 + 2 * at] = right_on;
            let left = Edge::new(split.share, split.left_share, before, left_on);
            let right = Edge::new(split.share, split.right_share, before, right_on);
            gains[at] = [left.gain, right.gain];
            let inverse = &lanes.inverse[if before { split.earlier as usize } else { 0 }];
            let down = lanes.down[at];
            let (mut to_left, mut to_right) = ([0.0; L], [0.0; L]);
            for k in 0..L {
                to_left[k] = (left.constant + lanes.t[k] * left.slope) * inverse[k];
                to_right[k] = (right.constant + lanes.t[k] * right.slope) * inverse[k];
            }
            lanes.left[at] = to_left;
            lanes.right[at] = to_right;
            let (mut down_left, mut down_right, mut point) = ([0.0; L], [0.0; L], [0.0; L]);
            for k in 0..L {
                down_left[k] = down[k] * to_left[k];
                down_right[k] = down[k] * to_right[k];
                point[k] = down[k] * inverse[k] * inverse[k];
            }
            lanes.down[split.left as usize] = down_left;
            lanes.down[split.right as usize] = down_right;
            lanes.point[at] = point;
        }
    }

    fn ascend<const L: usize>(&self, lanes: &mut Lanes<'_, L>, gains: &[[f64; 2]], out: &mut [f64]) {
        for (at, split) in self.splits.iter().enumerate().rev() {
            let (left, right) = (lanes.up[split.left as usize], lanes.up[split.right as usize]);
            let (to_left, to_right, point) = (&lanes.left[at], &lanes.right[at], &lanes.point[at]);
            let [gain_left, gain_right] = gains[at];
            let (mut up, mut part) = ([0.0; L], [0.0; L]);
            for k in 0..L {
                up[k] = to_left[k] * left[k] + to_right[k] * right[k];
                part[k] = point[k] * (gain_left * left[k] + gain_right * right[k]);
            }
            lanes.up[at] = up;
            out[split.label as usize] += sum(&part);
        }
    }
}

/// Pairwise, so that the additions do not wait for one another.
fn sum<const L: usize>(lanes: &[f64; L]) -> f64 {
    let (pairs, _) = lanes.as_chunks::<2>();
    let both = pairs.iter().fold([0.0; 2], |sum, pair| [sum[0] + pair[0], sum[1] + pair[1]]);
    both[0] + both[1]
}

/// The factor `constant + t · slope` of an edge, before it is divided by the one that it replaces, and what the
/// contributions of its feature below it are multiplied by.
struct Edge {
    constant: f64,
    slope: f64,
    gain: f64,
}

impl Edge {
    /// `earlier`: the share that passed what was asked of the feature before. `share`: of these, the share that takes this
    /// edge. `before` and `on`: whether the row passes without and with this edge.
    fn new(earlier: f64, share: f64, before: bool, on: bool) -> Self {
        let (z, on) = (earlier * share, f64::from(u8::from(on)));
        if before {
            Self { constant: z, slope: on - z, gain: on * earlier - z }
        } else {
            Self { constant: share, slope: 0.0, gain: 0.0 }
        }
    }
}

impl Split {
    fn goes_left(&self, x: f64, below_categories: f64, sets: &[Box<[u32]>]) -> bool {
        let missing_left = self.flags & MISSING_LEFT != 0;
        if self.flags & CATEGORICAL != 0 {
            if x.is_nan() {
                return missing_left;
            }
            let (set, category) = (&sets[self.threshold as usize], x as usize);
            // The conversion truncates, and makes 0 of what is negative, which is told apart first.
            return x > below_categories
                && set.get(category / 32).is_some_and(|word| word >> (category % 32) & 1 == 1);
        }
        let zero = self.flags & ZERO_IS_MISSING != 0 && x.abs() <= ZERO_THRESHOLD;
        let missing = x.is_nan() | zero;
        if missing { missing_left } else { x <= self.threshold }
    }
}
