//! Pointer jumping for few rows: all splits of a line of trees at once, then every split's way at once.
//!
//! A line holds up to 64 splits of up to eight trees. One comparison tells of every split which of its two children the
//! row goes to; children are bytes, so this choice is a table of 64 bytes, and a table looked up in itself leads two
//! steps on, in itself again four (Wyllie's pointer jumping, 1979). Leaves lead to themselves. After `n` such jumps every
//! way of up to `2^n` steps has ended, and what stands at a tree's root is its leaf. The work depends on no row.
//!
//! Invariants, by construction: columns are below the number of columns; the roots of a line's trees are its first
//! slots; a child is a slot that comes after its parent, or [`LEAF`] and the number of a leaf among those of the line,
//! which follow each other among the leaves of all trees. No line is empty.
#![allow(
    clippy::inline_always,
    reason = "what is compiled for several instruction sets must be inlined into each"
)]

use super::codes::Codes;
use super::kernels::Instructions;
use super::leaves::{Leaves, Number};
use super::lines::Line;
use super::lower::{Flat, FlatTree, Lowered};
use super::rows::Rows;

/// Most leaves of a line, and so of a tree.
pub(super) const MOST_LEAVES: usize = 64;
/// Most columns: a split names its column in a byte.
pub(super) const MOST_COLUMNS: usize = 256;
/// Children from here on are leaves.
pub(super) const LEAF: u8 = 64;
/// Most trees of a line: the leaves that a row reaches are one word.
const MOST_TREES: usize = 8;

/// Splits, by slot: column, greatest code that goes left, and where to.
#[derive(Debug, Clone)]
pub(super) struct Splits {
    pub(super) columns: Line,
    pub(super) at_most: Line,
    pub(super) left: Line,
    pub(super) right: Line,
}

/// What a line of splits leads to.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ends {
    pub(super) first_tree: u32,
    pub(super) trees: u32,
    pub(super) first_leaf: u32,
    /// Jumps after which all ways have ended.
    pub(super) jumps: u32,
}

/// Trees for pointer jumping.
#[derive(Debug, Clone)]
pub(super) struct PointerJumping {
    pub(super) splits: Vec<Splits>,
    pub(super) ends: Vec<Ends>,
}

/// Rows that are coded before the trees see them.
const BLOCK: usize = 16;

/// Rows between the one that is coded and the one that is asked of the memory.
const AHEAD: usize = 2;

/// What one call works with.
#[derive(Debug, Default)]
pub(super) struct Space<N> {
    /// A row whose numbers do not lie side by side.
    loose: Vec<f64>,
    /// A row in `f32`.
    narrow: Vec<f32>,
    /// By row, whole lines of bytes.
    codes: Vec<u8>,
    /// By row and output.
    sums: Vec<N>,
}

/// A line that trees are put into.
struct Filling {
    splits: Splits,
    ends: Ends,
    /// Slots that are taken behind the roots.
    slots: usize,
    leaves: usize,
}

impl PointerJumping {
    pub(super) fn new(lowered: &Lowered, codes: &Codes) -> Self {
        let mut built = Self { splits: Vec::new(), ends: Vec::new() };
        let (mut tree, mut leaf) = (0, 0);
        while let Some(trees) = lowered.trees.get(tree..).filter(|trees| !trees.is_empty()) {
            let trees = &trees[..fitting(trees)];
            let mut line = Filling::new(tree, leaf, trees.len());
            trees.iter().enumerate().for_each(|(root, tree)| line.put(lowered, codes, tree, root));
            tree += trees.len();
            leaf += line.leaves;
            built.splits.push(line.splits);
            built.ends.push(line.ends);
        }
        built
    }

    /// Bytes held.
    pub(super) fn bytes(&self) -> usize {
        size_of_val(&self.splits[..]) + size_of_val(&self.ends[..])
    }

    /// The scores of one row into `out`.
    pub(super) fn score_row<N: Number>(
        &self,
        (codes, leaves): (&Codes, &Leaves<N>),
        instructions: Instructions,
        row: &[f64],
        out: &mut [f64],
        Space { narrow, codes: coded, sums, .. }: &mut Space<N>,
    ) {
        let stride = stride(codes);
        coded.resize(stride, 0);
        instructions.code_row(codes, row, narrow, coded);
        sums.clear();
        sums.extend_from_slice(&leaves.base);
        instructions.pointer_jumping(self, leaves, (coded, stride), sums);
        leaves.scores(sums, out);
    }

    /// The scores of `rows` into `out`, row-major.
    pub(super) fn scores<N: Number>(
        &self,
        (codes, leaves): (&Codes, &Leaves<N>),
        instructions: Instructions,
        rows: &Rows<'_>,
        out: &mut [f64],
        Space { loose, narrow, codes: coded, sums }: &mut Space<N>,
    ) {
        let (stride, width) = (stride(codes), leaves.outputs);
        for (start, out) in (0..rows.len()).step_by(BLOCK).zip(out.chunks_mut(BLOCK * width)) {
            let count = BLOCK.min(rows.len() - start);
            coded.resize(count * stride, 0);
            sums.clear();
            for (row, coded) in (start..start + count).zip(coded.chunks_exact_mut(stride)) {
                sums.extend_from_slice(&leaves.base);
                match rows {
                    Rows::F64(view) if let Some(numbers) = view.row(row).to_slice() => {
                        let later = (row + AHEAD).min(rows.len() - 1);
                        instructions.prefetch(view.row(later).to_slice().unwrap_or_default());
                        instructions.code_row(codes, numbers, narrow, coded);
                    }
                    _ => {
                        rows.copy_row(row, loose);
                        instructions.code_row(codes, loose, narrow, coded);
                    }
                }
            }
            instructions.pointer_jumping(self, leaves, (coded, stride), sums);
            for (sums, out) in sums.chunks_exact(width).zip(out.chunks_exact_mut(width)) {
                leaves.scores(sums, out);
            }
        }
    }

    /// Adds the leaves of all trees for rows of codes, `stride` bytes each, to their sums, row-major.
    #[inline(always)]
    pub(super) fn run<N: Number>(&self, (codes, stride): (&[u8], usize), leaves: &Leaves<N>, sums: &mut [N]) {
        for (codes, sums) in codes.chunks_exact(stride).zip(sums.chunks_exact_mut(leaves.outputs)) {
            self.row(codes, leaves, sums);
        }
    }

    #[inline(always)]
    fn row<N: Number>(&self, codes: &[u8], leaves: &Leaves<N>, sums: &mut [N]) {
        for (splits, ends) in self.splits.iter().zip(&self.ends) {
            for root in 0..ends.trees {
                let mut at = root as u8;
                while at < LEAF {
                    let slot = usize::from(at);
                    let goes_left = codes[usize::from(splits.columns.0[slot])] <= splits.at_most.0[slot];
                    at = if goes_left { splits.left.0[slot] } else { splits.right.0[slot] };
                }
                let leaf = ends.first_leaf + u32::from(at - LEAF);
                leaves.add((ends.first_tree + root) as usize, leaf, sums, 0, 1);
            }
        }
    }
}

/// Bytes of a row of codes.
fn stride(codes: &Codes) -> usize {
    codes.width.next_multiple_of(64).max(64)
}

/// Slots that a tree takes: one per split, and one for a root that is a leaf.
fn slots(tree: &FlatTree) -> usize {
    (tree.leaves - 1).max(1)
}

/// How many of these trees fit into a line; the first does.
fn fitting(trees: &[FlatTree]) -> usize {
    let mut taken = (0, 0);
    let fit = trees.iter().take(MOST_TREES).take_while(|tree| {
        taken = (taken.0 + slots(tree), taken.1 + tree.leaves);
        taken.0 <= MOST_LEAVES && taken.1 <= MOST_LEAVES
    });
    fit.count().max(1)
}

impl Filling {
    fn new(first_tree: usize, first_leaf: usize, trees: usize) -> Self {
        let ends = Ends {
            first_tree: first_tree as u32,
            trees: trees as u32,
            first_leaf: first_leaf as u32,
            jumps: 0,
        };
        let none = Line([LEAF; 64]);
        let splits = Splits { columns: Line([0; 64]), at_most: Line([u8::MAX; 64]), left: none, right: none };
        Self { splits, ends, slots: trees, leaves: 0 }
    }

    fn put(&mut self, lowered: &Lowered, codes: &Codes, tree: &FlatTree, root: usize) {
        let nodes = lowered.nodes_of(tree);
        let first = self.leaves as u8;
        // Where each node stands: splits in preorder behind the roots, leaves by their numbers.
        let places: Vec<u8> = nodes
            .iter()
            .enumerate()
            .map(|(node, flat)| match *flat {
                Flat::Leaf(number) => LEAF + first + number as u8,
                Flat::Split { .. } if node == 0 => root as u8,
                Flat::Split { .. } => {
                    self.slots += 1;
                    (self.slots - 1) as u8
                }
            })
            .collect();
        let Splits { columns, at_most, left, right } = &mut self.splits;
        if let [alone] = places[..] {
            (left.0[root], right.0[root]) = (alone, alone);
        }
        for (node, flat) in nodes.iter().enumerate() {
            if let Flat::Split { question, right: other } = *flat {
                let slot = usize::from(places[node]);
                let (column, code) = codes.place(&lowered.groups, question);
                (columns.0[slot], at_most.0[slot]) = (column as u8, code);
                (left.0[slot], right.0[slot]) = (places[node + 1], places[other as usize]);
            }
        }
        self.leaves += tree.leaves;
        self.ends.jumps = self.ends.jumps.max(tree.depth.next_power_of_two().ilog2());
    }
}
