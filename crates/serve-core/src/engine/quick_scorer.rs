//! QuickScorer for one row: all splits of 16 or 8 trees at once, then the leaves that remain.
//!
//! Every split that a row does not pass rules out the leaves of its left subtree; the leaf that the row reaches is the
//! leftmost one that remains (Lucchese et al., "QuickScorer", SIGIR 2015). Leaf `i` is bit `i` from the top of a tree's
//! word, so that leading zeros count to it. Trees are lanes, and the splits of a group of trees come position by
//! position: conditions are compared 64 at a time, and each position's masks are applied under its lanes' conditions.
//!
//! Invariants, by construction: columns are below the number of columns; a group has a line of conditions for each
//! `64 / lanes` positions, and as many masks as its lines have positions.
#![allow(
    clippy::inline_always,
    reason = "what is compiled for several instruction sets must be inlined into each"
)]

use super::codes::Codes;
use super::leaves::{Leaves, Number};
use super::lines::Line;
use super::lower::{Flat, FlatTree, Lowered};

/// Most leaves of a tree.
pub(super) const MOST_LEAVES: usize = 64;
/// Most columns: a split names its column in a byte.
pub(super) const MOST_COLUMNS: usize = 256;

/// A word of leaves that remain.
pub(super) trait Word: Copy + Default + Send + Sync + 'static {
    /// Trees of a group.
    const LANES: usize;
    const ALL: Self;
    /// All leaves but those from `from` up to `to`.
    fn without(from: u32, to: u32) -> Self;
    fn and(self, other: Self) -> Self;
    /// The leftmost leaf that remains.
    fn leftmost(self) -> u32;
}

impl Word for u32 {
    const LANES: usize = 16;
    const ALL: Self = u32::MAX;

    fn without(from: u32, to: u32) -> Self {
        !((u64::from(u32::MAX) >> from) as u32 & !((u64::from(u32::MAX) >> to) as u32))
    }

    fn and(self, other: Self) -> Self {
        self & other
    }

    fn leftmost(self) -> u32 {
        self.leading_zeros()
    }
}

impl Word for u64 {
    const LANES: usize = 8;
    const ALL: Self = u64::MAX;

    fn without(from: u32, to: u32) -> Self {
        !((u128::from(u64::MAX) >> from) as u64 & !((u128::from(u64::MAX) >> to) as u64))
    }

    fn and(self, other: Self) -> Self {
        self & other
    }

    fn leftmost(self) -> u32 {
        self.leading_zeros()
    }
}

/// Groups of trees with words of one width.
#[derive(Debug, Clone)]
pub(super) struct Groups<W> {
    /// Where the lines of each group end.
    pub(super) ends: Vec<u32>,
    /// The column of each condition, and the greatest code that passes it.
    pub(super) conditions: Vec<(Line, Line)>,
    /// By position, one word per lane.
    pub(super) masks: Vec<W>,
}

/// Trees for QuickScorer.
#[derive(Debug, Clone)]
pub(super) enum QuickScorer {
    /// All trees have up to 32 leaves.
    Narrow(Groups<u32>),
    /// All trees have up to 64 leaves.
    Wide(Groups<u64>),
}

impl QuickScorer {
    pub(super) fn new(lowered: &Lowered, codes: &Codes) -> Self {
        if lowered.most_leaves() <= 32 {
            Self::Narrow(Groups::new(lowered, codes))
        } else {
            Self::Wide(Groups::new(lowered, codes))
        }
    }

    /// Bytes held.
    pub(super) fn bytes(&self) -> usize {
        let (conditions, masks) = match self {
            Self::Narrow(groups) => (groups.conditions.len(), groups.masks.len() * 4),
            Self::Wide(groups) => (groups.conditions.len(), groups.masks.len() * 8),
        };
        conditions * size_of::<(Line, Line)>() + masks
    }
}

/// A split: column, greatest code that passes, and the leaves that failing it rules out.
struct Split {
    column: u8,
    at_most: u8,
    from: u32,
    to: u32,
}

fn splits(lowered: &Lowered, codes: &Codes, tree: &FlatTree) -> Vec<Split> {
    let nodes = lowered.nodes_of(tree);
    let mut first = vec![0; nodes.len()];
    let mut splits = Vec::with_capacity(nodes.len() / 2);
    for (node, flat) in nodes.iter().enumerate().rev() {
        match *flat {
            Flat::Leaf(number) => first[node] = number,
            Flat::Split { question, right } => {
                first[node] = first[node + 1];
                let (column, at_most) = codes.place(&lowered.groups, question);
                splits.push(Split {
                    column: column as u8,
                    at_most,
                    from: first[node],
                    to: first[right as usize],
                });
            }
        }
    }
    splits
}

impl<W: Word> Groups<W> {
    fn new(lowered: &Lowered, codes: &Codes) -> Self {
        let mut groups = Self { ends: Vec::new(), conditions: Vec::new(), masks: Vec::new() };
        for trees in lowered.trees.chunks(W::LANES) {
            let splits: Vec<_> = trees.iter().map(|tree| splits(lowered, codes, tree)).collect();
            let positions = splits.iter().map(Vec::len).max().unwrap_or(0);
            for line in 0..positions.div_ceil(64 / W::LANES) {
                let at = |byte: usize| {
                    let position = line * (64 / W::LANES) + byte / W::LANES;
                    splits.get(byte % W::LANES).and_then(|splits| splits.get(position))
                };
                groups.conditions.push((
                    Line(std::array::from_fn(|byte| at(byte).map_or(0, |split| split.column))),
                    // Every code passes a condition that is not there.
                    Line(std::array::from_fn(|byte| at(byte).map_or(u8::MAX, |split| split.at_most))),
                ));
                let words =
                    (0..64).map(|byte| at(byte).map_or(W::ALL, |split| W::without(split.from, split.to)));
                groups.masks.extend(words);
            }
            groups.ends.push(groups.conditions.len() as u32);
        }
        groups
    }

    /// The lines of conditions of a group.
    pub(super) fn lines(&self, group: usize) -> std::ops::Range<usize> {
        let start = if group == 0 { 0 } else { self.ends[group - 1] };
        start as usize..self.ends[group] as usize
    }

    /// Adds the leaves of all trees for a row of codes.
    #[inline(always)]
    pub(super) fn run<N: Number>(&self, codes: &[u8], leaves: &Leaves<N>, sums: &mut [N]) {
        for group in 0..self.ends.len() {
            let mut words = [W::ALL; 16];
            for line in self.lines(group) {
                let (columns, at_most) = &self.conditions[line];
                for byte in 0..64 {
                    if codes[usize::from(columns.0[byte])] > at_most.0[byte] {
                        let word = &mut words[byte % W::LANES];
                        *word = word.and(self.masks[line * 64 + byte]);
                    }
                }
            }
            let first = group * W::LANES;
            for (lane, word) in words.iter().enumerate().take(W::LANES.min(leaves.first.len() - first)) {
                leaves.add(first + lane, leaves.first[first + lane] + word.leftmost(), sums, 0, 1);
            }
        }
    }
}
