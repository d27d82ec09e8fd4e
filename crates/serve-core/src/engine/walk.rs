//! The interleaved walk: from the root to a leaf, eight rows of one tree or sixteen trees of one row at a time, so that
//! the loads of one hide behind those of the others. It serves every tree and every CPU.
//!
//! Siblings stand side by side and a split goes on at `left + !(x <= threshold)`; there is no branch on the rows. A leaf
//! loops on itself: its `left` is itself, and it asks a column that is always negative infinity. Its threshold holds its
//! number. Before the walk a row is copied to columns: a missing value becomes the number that its splits send the right
//! way, a category a 0 or 1.
//!
//! Invariants, by construction: `left`, and for splits `left + 1`, are nodes of the tree; columns are below the width of
//! a prepared row.
#![allow(
    clippy::inline_always,
    reason = "what is compiled for several instruction sets must be inlined into each"
)]

use std::ops::Range;

use super::coding::contains;
use super::leaves::{Leaves, Number};
use super::lower::{CategorySet, Flat, FlatTree, Group, Lowered, Question, round_down};
use super::rows::Rows;
use crate::tree::{CategoryRounding, ZERO_THRESHOLD};

/// Rows prepared together.
const TILE: usize = 64;
/// Rows that walk a tree together.
const ROWS: usize = 8;
/// Trees that a row walks together.
const TREES: usize = 16;
/// Steps between two questions whether all have arrived.
const STEPS: usize = 8;

/// A number that thresholds are held in.
pub(super) trait Threshold: Copy + Default + PartialOrd + Send + Sync + 'static {
    const MINUS_INFINITY: Self;
    fn of(x: f64) -> Self;
    fn number(number: u32) -> Self;
    fn as_number(self) -> u32;
}

impl Threshold for f32 {
    const MINUS_INFINITY: Self = f32::NEG_INFINITY;

    /// For numbers that are `f32`, being at most `x` is being at most this.
    fn of(x: f64) -> Self {
        round_down(x)
    }

    fn number(number: u32) -> Self {
        f32::from_bits(number)
    }

    fn as_number(self) -> u32 {
        self.to_bits()
    }
}

impl Threshold for f64 {
    const MINUS_INFINITY: Self = f64::NEG_INFINITY;

    fn of(x: f64) -> Self {
        x
    }

    fn number(number: u32) -> Self {
        f64::from(number)
    }

    fn as_number(self) -> u32 {
        self as u32
    }
}

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

/// A column of a prepared row.
#[derive(Debug, Clone)]
enum Column {
    /// The value itself, or `missing` in place of NaN, and of zeros where they count as missing.
    Number { feature: u32, zero: bool, missing: f64 },
    /// 0 for members of a set, else 1.
    Set { feature: u32, missing: f64, words: Box<[u32]> },
}

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
    columns: Vec<Column>,
    single: bool,
    rounding: CategoryRounding,
    layout: Layout,
}

/// Scratch memory.
#[derive(Debug, Default)]
pub(super) struct Space {
    narrow: Vec<f32>,
    wide: Vec<f64>,
}

/// Which columns stand for a question's group or set.
struct Columns {
    list: Vec<Column>,
    groups: Vec<[u32; 2]>,
    sets: u32,
}

impl Columns {
    fn new(lowered: &Lowered) -> Self {
        let mut columns = Self { list: Vec::new(), groups: Vec::new(), sets: 0 };
        for group in &lowered.groups {
            let sides = columns.of_group(group);
            columns.groups.push(sides);
        }
        columns.sets = columns.list.len() as u32;
        columns.list.extend(lowered.sets.iter().map(|CategorySet { feature, missing_left, words }| {
            let missing = f64::from(u8::from(!missing_left));
            Column::Set { feature: *feature, missing, words: words.clone() }
        }));
        columns
    }

    fn of_group(&mut self, group: &Group) -> [u32; 2] {
        let (feature, zero) = (group.feature, group.zero);
        let mut push = |missing| {
            self.list.push(Column::Number { feature, zero, missing });
            (self.list.len() - 1) as u32
        };
        match Group::turn(&group.sides) {
            // NaN is at most nothing, and the first threshold that it goes left at is at most itself and what follows.
            Some(turn) => [push(group.thresholds.get(turn).copied().unwrap_or(f64::NAN)); 2],
            None => [push(f64::NAN), push(f64::NEG_INFINITY)],
        }
    }

    fn place(&self, groups: &[Group], question: Question) -> (u32, f64) {
        match question {
            Question::InSet(set) => (self.sets + set, 0.5),
            Question::AtMost { group, rank, missing_left } => {
                let columns = &self.groups[group as usize];
                let threshold = groups[group as usize].thresholds[rank as usize];
                (columns[usize::from(missing_left)], threshold)
            }
        }
    }
}

impl Walk {
    pub(super) fn new(lowered: &Lowered) -> Self {
        let columns = Columns::new(lowered);
        let most =
            lowered.trees.iter().map(|tree| tree.nodes.len()).max().unwrap_or(0).max(columns.list.len());
        let layout = if lowered.single && most < usize::from(u16::MAX) {
            Layout::Narrow(Steps::new(lowered, &columns))
        } else {
            Layout::Wide(Steps::new(lowered, &columns))
        };
        Self { columns: columns.list, single: lowered.single, rounding: lowered.rounding, layout }
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
        for (start, out) in (0..rows.len()).step_by(TILE).zip(out.chunks_mut(TILE * outputs)) {
            let tile = rows.slice(start, rows.len().min(start + TILE));
            self.prepare(&tile, width, prepared);
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

    /// Rows as columns, with negative infinity after the last: a few row-major, more in groups of [`ROWS`], column by
    /// column, so that a step's address is one index for all rows of a group. There are as many rows as whole groups take.
    #[inline(always)]
    fn prepare<T: Threshold>(&self, rows: &Rows<'_>, width: usize, prepared: &mut Vec<T>) {
        let lanes = if rows.len() < ROWS { 1 } else { ROWS };
        let padded = rows.len().next_multiple_of(lanes);
        prepared.clear();
        prepared.resize(padded * width, T::MINUS_INFINITY);
        for row in 0..rows.len() {
            let into = (&mut prepared[row / lanes * lanes * width + row % lanes..], lanes);
            match rows {
                Rows::F64(view) => match view.row(row).to_slice() {
                    Some(row) => self.prepare_row(|feature| row[feature], into),
                    None => self.prepare_row(|feature| view[(row, feature)], into),
                },
                Rows::F32(view) => match view.row(row).to_slice() {
                    Some(row) => self.prepare_row(|feature| f64::from(row[feature]), into),
                    None => self.prepare_row(|feature| f64::from(view[(row, feature)]), into),
                },
            }
        }
    }

    #[inline(always)]
    fn prepare_row<T: Threshold>(&self, at: impl Fn(usize) -> f64, (into, lanes): (&mut [T], usize)) {
        let round = |x: f64| if self.single { f64::from(x as f32) } else { x };
        for (column, into) in self.columns.iter().zip(into.iter_mut().step_by(lanes)) {
            *into = T::of(match column {
                Column::Number { feature, zero, missing } => {
                    let x = round(at(*feature as usize));
                    let gone = x.is_nan() || (*zero && x.abs() <= ZERO_THRESHOLD);
                    if gone { *missing } else { x }
                }
                Column::Set { feature, missing, words } => {
                    let x = round(at(*feature as usize));
                    if x.is_nan() {
                        *missing
                    } else {
                        f64::from(u8::from(!contains(words, self.rounding, x)))
                    }
                }
            });
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
                    column: index(columns.list.len()),
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
