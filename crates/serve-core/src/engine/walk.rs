//! The interleaved walk: from the root to a leaf, eight rows of one tree or sixteen trees of one row at a time, so that
//! the loads of one hide behind those of the others. It serves every tree and every CPU.
//!
//! Siblings stand side by side and a split goes on at `left + !(x <= threshold)`; there is no branch on the rows. A leaf
//! loops on itself: its `left` is itself, and it asks a column that is always negative infinity. Its threshold holds its
//! number. Before the walk a row is copied to [columns](super::columns).
//!
//! Invariants, by construction: `left`, and for splits `left + 1`, are nodes of the tree; columns are below the width of
//! a prepared row.
#![allow(
    clippy::inline_always,
    reason = "what is compiled for several instruction sets must be inlined into each"
)]

use std::ops::Range;

use super::columns::{Columns, Threshold};
use super::leaves::{Leaves, Number};
use super::lower::{Flat, FlatTree, Lowered};
use super::rows::Rows;

/// Bytes of rows that are prepared together: with a tree they stay in the first-level cache.
const TILE: usize = 32 << 10;
/// Least and most rows of them.
const TILE_ROWS: (usize, usize) = (64, 256);
/// Rows that walk a tree together.
const ROWS: usize = 8;
/// Trees that a row walks together.
const TREES: usize = 16;
/// Steps between two questions whether all have arrived.
const STEPS: usize = 8;

/// 8 bytes with `f32` and `u16`, 16 with `f64` and `u32`. `left` is counted from the tree's root.
#[derive(Debug, Clone, Copy)]
struct Step<T, I> {
    threshold: T,
    column: I,
    left: I,
}

/// An index that nodes hold.
pub(super) trait Index: Copy + TryFrom<usize> + Into<u32> + Send + Sync + 'static {}

impl Index for u16 {}
impl Index for u32 {}

/// Trees laid out for walking.
#[derive(Debug, Clone)]
pub(super) struct Steps<T, I> {
    roots: Vec<u32>,
    depths: Vec<u32>,
    nodes: Vec<Step<T, I>>,
}

/// The smaller layout where it is exact and large enough.
#[derive(Debug, Clone)]
enum Layout {
    Narrow(Steps<f32, u16>),
    Wide(Steps<f64, u32>),
}

/// Trees to walk, and how rows are prepared for it.
#[derive(Debug, Clone)]
pub(super) struct Walk {
    columns: Columns,
    layout: Layout,
}

/// Scratch memory.
#[derive(Debug, Default)]
pub(super) struct Space {
    narrow: Vec<f32>,
    wide: Vec<f64>,
}

impl Space {
    /// Rows in `f32`.
    pub(super) fn narrow(&mut self) -> &mut Vec<f32> {
        &mut self.narrow
    }
}

impl Walk {
    pub(super) fn new(lowered: &Lowered) -> Self {
        let columns = Columns::new(lowered);
        let most = lowered.trees.iter().map(|tree| tree.nodes.len()).max().unwrap_or(0).max(columns.len());
        let layout = if lowered.single && most < usize::from(u16::MAX) {
            Layout::Narrow(Steps::new(lowered, &columns))
        } else {
            Layout::Wide(Steps::new(lowered, &columns))
        };
        Self { columns, layout }
    }

    /// Bytes held.
    pub(super) fn bytes(&self) -> usize {
        match &self.layout {
            Layout::Narrow(steps) => steps.nodes.len() * size_of::<Step<f32, u16>>(),
            Layout::Wide(steps) => steps.nodes.len() * size_of::<Step<f64, u32>>(),
        }
    }

    /// Scores of `rows` into `out`, row-major.
    #[inline(always)]
    pub(super) fn scores<N: Number>(
        &self,
        leaves: &Leaves<N>,
        rows: &Rows<'_>,
        out: &mut [f64],
        (space, sums): (&mut Space, &mut Vec<N>),
    ) {
        match &self.layout {
            Layout::Narrow(steps) => self.run(steps, leaves, rows, out, (&mut space.narrow, sums)),
            Layout::Wide(steps) => self.run(steps, leaves, rows, out, (&mut space.wide, sums)),
        }
    }

    #[inline(always)]
    fn run<T: Threshold, I: Index, N: Number>(
        &self,
        steps: &Steps<T, I>,
        leaves: &Leaves<N>,
        rows: &Rows<'_>,
        out: &mut [f64],
        (prepared, sums): (&mut Vec<T>, &mut Vec<N>),
    ) {
        let (width, outputs) = (self.columns.len() + 1, leaves.outputs);
        let most = (TILE / (width * size_of::<T>())).clamp(TILE_ROWS.0, TILE_ROWS.1) / ROWS * ROWS;
        for (start, out) in (0..rows.len()).step_by(most).zip(out.chunks_mut(most * outputs)) {
            let tile = rows.slice(start, rows.len().min(start + most));
            // A few row-major, more in groups; negative infinity stands after the last column.
            let lanes = if tile.len() < ROWS { 1 } else { ROWS };
            self.columns.prepare(&tile, (lanes, width), prepared);
            sums.clear();
            (0..tile.len()).for_each(|_| sums.extend_from_slice(&leaves.base));
            if tile.len() < ROWS {
                for (row, sums) in prepared.chunks_exact(width).zip(sums.chunks_exact_mut(outputs)) {
                    steps.many_trees(row, leaves, sums);
                }
            } else {
                steps.many_rows(prepared, width, leaves, sums);
            }
            for (sums, out) in sums.chunks_exact(outputs).zip(out.chunks_exact_mut(outputs)) {
                leaves.scores(sums, out);
            }
        }
    }
}

impl<T: Threshold, I: Index> Steps<T, I> {
    fn new(lowered: &Lowered, columns: &Columns) -> Self {
        let mut steps =
            Self { roots: Vec::new(), depths: Vec::new(), nodes: Vec::with_capacity(lowered.nodes.len()) };
        let mut leaves = 0;
        for tree in &lowered.trees {
            steps.lay_out(lowered, columns, tree, leaves);
            leaves += tree.leaves as u32;
        }
        steps
    }

    /// Breadth first, siblings together.
    fn lay_out(&mut self, lowered: &Lowered, columns: &Columns, tree: &FlatTree, first_leaf: u32) {
        let flats = lowered.nodes_of(tree);
        let index = |at: usize| I::try_from(at).ok().expect("the layout was chosen for the largest tree");
        self.roots.push(self.nodes.len() as u32);
        self.depths.push(tree.depth as u32);
        let mut order = vec![0_usize];
        let mut place = 0;
        while place < order.len() {
            let step = match flats[order[place]] {
                Flat::Leaf(number) => Step {
                    threshold: T::number(first_leaf + number),
                    column: index(columns.len()),
                    left: index(place),
                },
                Flat::Split { question, right } => {
                    let (column, threshold) = columns.place(&lowered.groups, question);
                    let left = index(order.len());
                    order.extend([order[place] + 1, right as usize]);
                    Step { threshold: T::of(threshold), column: index(column as usize), left }
                }
            };
            self.nodes.push(step);
            place += 1;
        }
    }

    fn nodes_of(&self, tree: usize) -> &[Step<T, I>] {
        &self.nodes[self.range(tree)]
    }

    fn range(&self, tree: usize) -> Range<usize> {
        let end = self.roots.get(tree + 1).map_or(self.nodes.len(), |&end| end as usize);
        self.roots[tree] as usize..end
    }

    /// Trees outside, rows inside, so that a tree stays in the cache.
    #[inline(always)]
    fn many_rows<N: Number>(&self, prepared: &[T], width: usize, leaves: &Leaves<N>, sums: &mut [N]) {
        let outputs = leaves.outputs;
        for tree in 0..self.roots.len() {
            let (nodes, depth) = (self.nodes_of(tree), self.depths[tree]);
            for (rows, sums) in prepared.chunks_exact(width * ROWS).zip(sums.chunks_mut(outputs * ROWS)) {
                let (columns, _) = rows.as_chunks::<ROWS>();
                let mut at = [0_u32; ROWS];
                descend(&mut at, depth, |lane, at| go(nodes, at, |column| columns[column][lane]));
                for (sums, at) in sums.chunks_exact_mut(outputs).zip(at) {
                    leaves.add(tree, nodes[at as usize].threshold.as_number(), sums, 0, 1);
                }
            }
        }
    }

    #[inline(always)]
    fn many_trees<N: Number>(&self, row: &[T], leaves: &Leaves<N>, sums: &mut [N]) {
        let last = self.roots.len().saturating_sub(1);
        for first in (0..self.roots.len()).step_by(TREES) {
            let nodes: [&[Step<T, I>]; TREES] =
                std::array::from_fn(|lane| self.nodes_of(last.min(first + lane)));
            let depth = self.depths[first..=last.min(first + TREES - 1)].iter().copied().max().unwrap_or(0);
            let mut at = [0_u32; TREES];
            descend(&mut at, depth, |lane, at| go(nodes[lane], at, |column| row[column]));
            for (lane, at) in at.into_iter().enumerate().take(last + 1 - first) {
                leaves.add(first + lane, nodes[lane][at as usize].threshold.as_number(), sums, 0, 1);
            }
        }
    }
}

/// One step: leaves stay where they are.
#[inline(always)]
fn go<T: Threshold, I: Index>(nodes: &[Step<T, I>], at: u32, value: impl Fn(usize) -> T) -> u32 {
    let node = nodes[at as usize];
    let column: u32 = node.column.into();
    let goes_left = value(column as usize) <= node.threshold;
    node.left.into() + u32::from(!goes_left)
}

/// All lanes down to their leaves: as many steps as the deepest tree needs, fewer where all arrive before.
#[inline(always)]
fn descend<const LANES: usize>(at: &mut [u32; LANES], depth: u32, go: impl Fn(usize, u32) -> u32) {
    let mut left = depth as usize;
    while left > 0 {
        let steps = left.min(STEPS);
        let before = *at;
        for _ in 0..steps {
            for (lane, at) in at.iter_mut().enumerate() {
                *at = go(lane, *at);
            }
        }
        left -= steps;
        if left > 0 && *at == before {
            return;
        }
    }
}
