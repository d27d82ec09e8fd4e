//! The walk by blocks: a tree is cut into blocks of four levels, so that a row goes from the root to a leaf in a few steps
//! instead of many. In a block all 15 splits can be compared at once, which gives a word of bits; four shifts on it tell
//! where the row leaves. The levels that make no whole block stand at the top, up to three: one split of sixteen trees at
//! a time is compared there, with a choice on the way down of which.
//!
//! A block is a heap: place 0 is its first split, place `i` goes on to `2i + 1` (left) or `2i + 2`, and places from 15 on
//! are its exits. What exits lead to stands side by side, in their order: blocks, or below the last block of a way leaves.
//! Exits that a shallow way shares lead to the same: `starts` has bit `13 + e` where exit `e` leads to the next. Splits
//! that are not there have what they like: all that is below them leads to the same. All ways of a tree take as many
//! blocks: the trees are cut from their lowest level upwards, and a way that ends before goes in circles, in a block whose
//! `next` is itself.
//!
//! Invariants, by construction: what the exits of a top, what `next` and its `starts` lead to are blocks; what `leaf` and the `starts` of a last
//! block lead to are leaves of its tree; columns are below the number of columns.
#![allow(
    clippy::inline_always,
    reason = "what is compiled for several instruction sets must be inlined into each"
)]

use super::columns::{Columns, Threshold};
use super::leaves::{Leaves, Number};
use super::lower::{Flat, FlatTree, Lowered};
use super::rows::Rows;

/// Levels of a block.
pub(super) const LEVELS: usize = 4;
/// Most columns.
pub(super) const MOST_COLUMNS: usize = 128;
/// Rows prepared together.
const TILE: usize = 64;
/// Trees that a row walks together.
pub(super) const LANES: usize = 16;
/// Most levels of a top.
pub(super) const MOST_TOP: usize = LEVELS - 1;
/// Steps between two questions whether all go in circles.
pub(super) const STEPS: u32 = 4;

/// A block: one line of the cache and a half.
#[derive(Debug, Clone, Copy)]
#[repr(C, align(32))]
pub(super) struct Block {
    /// By place.
    pub(super) thresholds: [f32; 16],
    /// By place.
    pub(super) columns: [u8; 16],
    /// The block that the first exit leads to.
    pub(super) next: u32,
    /// The leaf that the first exit leads to, in the last step.
    pub(super) leaf: u32,
    pub(super) starts: u32,
}

impl Block {
    /// What a row leads to, counted from what the first exit leads to.
    #[inline(always)]
    fn turn(&self, row: &[f32]) -> u32 {
        let mut place = 0;
        for _ in 0..LEVELS {
            let goes_left = row[usize::from(self.columns[place % 16])] <= self.thresholds[place % 16];
            place = 2 * place + 1 + usize::from(!goes_left);
        }
        (self.starts & ((1 << ((place - 1) & 31)) - 1)).count_ones()
    }
}

/// A split of each of the trees of a group, by tree.
#[derive(Debug, Clone, Copy, Default)]
#[repr(C, align(64))]
pub(super) struct Splits {
    pub(super) thresholds: [f32; LANES],
    pub(super) columns: [u32; LANES],
}

/// The first levels of trees that are walked together.
#[derive(Debug, Clone)]
pub(super) struct Top {
    pub(super) levels: usize,
    /// A heap: the first split at 0, place `i` goes on to `2i + 1` (left) or `2i + 2`.
    pub(super) splits: [Splits; (1 << MOST_TOP) - 1],
    /// By the way that a row takes, the blocks that it leads to, by tree.
    pub(super) exits: [[u32; LANES]; 1 << MOST_TOP],
    /// Blocks on a way from here to a leaf.
    pub(super) steps: u32,
    pub(super) trees: usize,
}

impl Top {
    fn new(trees: &[FlatTree]) -> Self {
        let depth = trees.iter().map(|tree| tree.depth).max().unwrap_or(0);
        let steps = (depth / LEVELS).max(1);
        Self {
            levels: depth.saturating_sub(steps * LEVELS),
            splits: Default::default(),
            exits: Default::default(),
            steps: steps as u32,
            trees: trees.len(),
        }
    }

    /// The block of each tree that a row comes to.
    #[inline(always)]
    fn walk(&self, row: &[f32]) -> [u32; LANES] {
        std::array::from_fn(|lane| {
            let mut place = 0;
            for _ in 0..self.levels {
                let splits = &self.splits[place];
                let goes_left = row[splits.columns[lane] as usize] <= splits.thresholds[lane];
                place = 2 * place + 1 + usize::from(!goes_left);
            }
            self.exits[place + 1 - (1 << self.levels)][lane]
        })
    }
}

/// Trees in blocks, and how rows are prepared for them.
#[derive(Debug, Clone)]
pub(super) struct BlockWalk {
    columns: Columns,
    /// [`LANES`] trees each, but for the last.
    pub(super) tops: Vec<Top>,
    pub(super) blocks: Vec<Block>,
}

/// Whether trees can be laid out in blocks, and why not.
pub(super) fn can_run(lowered: &Lowered) -> Result<(), String> {
    if !lowered.single {
        return Err("it compares inputs in f64, expected f32".to_owned());
    }
    match Columns::new(lowered).len() {
        columns if columns > MOST_COLUMNS => {
            Err(format!("it has {columns} columns, expected at most {MOST_COLUMNS}"))
        }
        _ => Ok(()),
    }
}

/// How many blocks trees are cut into, but for what evens out the ways of a group.
pub(super) fn count(lowered: &Lowered) -> usize {
    let of_tree = |tree: &FlatTree| {
        let nodes = lowered.nodes_of(tree);
        let mut levels = vec![0; nodes.len()];
        let mut blocks = 0;
        for (node, flat) in nodes.iter().enumerate() {
            let level = levels[node];
            let begins = if tree.depth < LEVELS { level == 0 } else { level % LEVELS == tree.depth % LEVELS };
            match *flat {
                Flat::Split { right, .. } => {
                    (levels[node + 1], levels[right as usize]) = (level + 1, level + 1);
                    blocks += usize::from(begins);
                }
                Flat::Leaf(_) => blocks += usize::from(level + LEVELS <= tree.depth || level == 0),
            }
        }
        blocks
    };
    lowered.trees.iter().map(of_tree).sum()
}

impl BlockWalk {
    pub(super) fn new(lowered: &Lowered) -> Self {
        let columns = Columns::new(lowered);
        let mut built = Self { columns, tops: Vec::new(), blocks: Vec::new() };
        let mut leaf = 0;
        for trees in lowered.trees.chunks(LANES) {
            let mut top = Top::new(trees);
            for (lane, tree) in trees.iter().enumerate() {
                built.lay_out(lowered, tree, (&mut top, lane), leaf);
                leaf += tree.leaves as u32;
            }
            built.tops.push(top);
        }
        built
    }

    /// Bytes held.
    pub(super) fn bytes(&self) -> usize {
        self.blocks.len() * size_of::<Block>() + self.tops.len() * size_of::<Top>()
    }

    /// Breadth first, what a block leads to side by side.
    fn lay_out(
        &mut self,
        lowered: &Lowered,
        tree: &FlatTree,
        (top, lane): (&mut Top, usize),
        first_leaf: u32,
    ) {
        let (nodes, first, steps) = (lowered.nodes_of(tree), self.blocks.len(), top.steps as usize);
        let depth = tree.depth.min(steps * LEVELS);
        let ways = self.lay_top(lowered, nodes, (top, lane), tree.depth - depth);
        let mut order: Vec<(usize, usize)> = ways.into_iter().map(|node| (node, 0)).collect();
        let mut place = 0;
        while let Some(&(node, step)) = order.get(place) {
            let itself = (first + place) as u32;
            // What is left over is left out first.
            let levels = (depth + LEVELS).saturating_sub(LEVELS * (steps - step)).min(LEVELS);
            let (mut block, exits) = self.block(lowered, nodes, node, levels);
            (block.next, block.leaf) = match nodes[exits[0]] {
                Flat::Leaf(number) if step + 1 == steps || exits.len() == 1 => (itself, first_leaf + number),
                _ => ((first + order.len()) as u32, 0),
            };
            if block.next != itself {
                order.extend(exits.into_iter().map(|node| (node, step + 1)));
            }
            self.blocks.push(block);
            place += 1;
        }
    }

    /// Lays a tree's first levels into the top, whose ways lead to the blocks to come, and gives the nodes that those start
    /// at.
    fn lay_top(
        &self,
        lowered: &Lowered,
        nodes: &[Flat],
        (top, lane): (&mut Top, usize),
        levels: usize,
    ) -> Vec<usize> {
        let mut ways = Vec::new();
        let mut stack = vec![(0, 0, 0)];
        while let Some((node, place, level)) = stack.pop() {
            match nodes[node] {
                Flat::Split { question, right } if level < levels => {
                    let (column, threshold) = self.columns.place(&lowered.groups, question);
                    let splits = &mut top.splits[place];
                    splits.columns[lane] = column;
                    splits.thresholds[lane] = <f32 as Threshold>::of(threshold);
                    stack.push((right as usize, 2 * place + 2, level + 1));
                    stack.push((node + 1, 2 * place + 1, level + 1));
                }
                _ => {
                    let below = top.levels - level;
                    let start = ((place + 1) << below) - (1 << top.levels);
                    for exits in &mut top.exits[start..start + (1 << below)] {
                        exits[lane] = (self.blocks.len() + ways.len()) as u32;
                    }
                    ways.push(node);
                }
            }
        }
        ways
    }

    /// The block that starts at a node, and the nodes that it leads to.
    fn block(&self, lowered: &Lowered, nodes: &[Flat], first: usize, levels: usize) -> (Block, Vec<usize>) {
        let mut block = Block { thresholds: [0.0; 16], columns: [0; 16], next: 0, leaf: 0, starts: 0 };
        let mut exits = Vec::new();
        let mut stack = vec![(first, 0, 0)];
        while let Some((node, place, level)) = stack.pop() {
            match nodes[node] {
                Flat::Split { question, right } if level < levels => {
                    let (column, threshold) = self.columns.place(&lowered.groups, question);
                    block.columns[place] = column as u8;
                    block.thresholds[place] = <f32 as Threshold>::of(threshold);
                    stack.push((right as usize, 2 * place + 2, level + 1));
                    stack.push((node + 1, 2 * place + 1, level + 1));
                }
                _ => {
                    let exit = ((place + 1) << (LEVELS - level)) - 16;
                    if exit > 0 {
                        block.starts |= 1 << (13 + exit);
                    }
                    exits.push(node);
                }
            }
        }
        (block, exits)
    }

    /// Columns of a prepared row.
    pub(super) fn width(&self) -> usize {
        self.columns.len()
    }

    /// Scores of `rows` into `out`, row-major. `run` adds the leaves of all trees to the sums of rows of `width` columns.
    #[inline(always)]
    pub(super) fn tiles<N: Number>(
        &self,
        leaves: &Leaves<N>,
        rows: &Rows<'_>,
        out: &mut [f64],
        (prepared, sums): (&mut Vec<f32>, &mut Vec<N>),
        (width, run): (usize, impl Fn(&[f32], &mut [N])),
    ) {
        let outputs = leaves.outputs;
        for (start, out) in (0..rows.len()).step_by(TILE).zip(out.chunks_mut(TILE * outputs)) {
            let tile = rows.slice(start, rows.len().min(start + TILE));
            self.columns.prepare(&tile, (1, width), prepared);
            sums.clear();
            (0..tile.len()).for_each(|_| sums.extend_from_slice(&leaves.base));
            run(prepared, sums);
            for (sums, out) in sums.chunks_exact(outputs).zip(out.chunks_exact_mut(outputs)) {
                leaves.scores(sums, out);
            }
        }
    }

    /// Scores of `rows` into `out`, row-major: split by split, without comparing those that a row does not come to.
    #[inline(always)]
    pub(super) fn scores<N: Number>(
        &self,
        leaves: &Leaves<N>,
        rows: &Rows<'_>,
        out: &mut [f64],
        scratch: (&mut Vec<f32>, &mut Vec<N>),
    ) {
        let width = self.width().max(1);
        let run = |rows: &[f32], sums: &mut [N]| {
            for (number, top) in self.tops.iter().enumerate() {
                for (row, sums) in rows.chunks_exact(width).zip(sums.chunks_exact_mut(leaves.outputs)) {
                    let mut at = top.walk(row);
                    self.descend(row, &mut at[..top.trees], top.steps);
                    leaves.add_each(number * LANES, &at[..top.trees], sums);
                }
            }
        };
        self.tiles(leaves, rows, out, scratch, (width, run));
    }

    /// From the first blocks of trees to their leaves.
    #[inline(always)]
    fn descend(&self, row: &[f32], at: &mut [u32], steps: u32) {
        let mut before = [u32::MAX; LANES];
        for step in 1..steps {
            if step % STEPS == 0 {
                if at == &before[..at.len()] {
                    break;
                }
                before[..at.len()].copy_from_slice(at);
            }
            for at in &mut *at {
                let block = &self.blocks[*at as usize];
                *at = block.next + block.turn(row);
            }
        }
        for at in at {
            let block = &self.blocks[*at as usize];
            *at = block.leaf + block.turn(row);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::{Leaf, Missing, Node, Shape, Test, Tree, TreeEnsemble};

    /// A full tree with a comb of further splits below its last leaf.
    fn ensemble(full: u32, more: u32) -> TreeEnsemble {
        let split = |left| {
            let missing = Missing::default();
            Node::Split { feature: 0, test: Test::AtMost(f64::from(left)), missing, left, right: left + 1 }
        };
        let leaf = || Node::Leaf(Leaf::Scalar(1.0));
        let inner = (1 << full) - 1;
        let mut nodes: Vec<Node> = (0..inner).map(|node| split(2 * node + 1)).collect();
        nodes.extend((0..=inner).map(|_| leaf()));
        for _ in 0..more {
            let last = nodes.len();
            nodes[last - 1] = split(last as u32);
            nodes.extend([leaf(), leaf()]);
        }
        let shape = Shape { inputs: 1, outputs: 1, ..Shape::default() };
        TreeEnsemble::new(shape, &[Tree { nodes, ..Tree::default() }]).expect("a tree")
    }

    #[test]
    fn blocks_are_counted_as_they_are_cut() {
        for (full, more, blocks) in [(0, 0, 1), (4, 0, 1), (5, 0, 2), (8, 0, 17), (10, 0, 68), (0, 9, 7)] {
            let lowered = Lowered::new(&ensemble(full, more), |_, _| {});
            let built = BlockWalk::new(&lowered);
            assert_eq!((built.blocks.len(), count(&lowered)), (blocks, blocks), "{full} and {more} levels");
        }
        for (full, more) in [(3, 4), (4, 3), (5, 5), (2, 100)] {
            let lowered = Lowered::new(&ensemble(full, more), |_, _| {});
            assert_eq!(BlockWalk::new(&lowered).blocks.len(), count(&lowered), "{full} and {more} levels");
        }
    }
}
