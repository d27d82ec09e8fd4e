//! A walk on bits for one row: all conditions of a tree of depth up to six are compared at once, which gives a word of
//! 63 bits, heap-ordered; eight such words then walk from their roots to their leaves in six steps of shifts.
//!
//! Node 1 is the root, node `i` goes on to `2i` (left) or `2i + 1`; a leaf above the sixth level has conditions below it
//! that every code passes. Invariants, by construction: columns are below the number of columns, and every tree has 64
//! leaf numbers, one for each place below the sixth level that can be reached; the others hold its first leaf.
#![allow(
    clippy::inline_always,
    reason = "what is compiled for several instruction sets must be inlined into each"
)]

use super::codes::Codes;
use super::leaves::{Leaves, Number};
use super::lines::Line;
use super::lower::{Flat, FlatTree, Lowered};

/// Most splits on a way from root to leaf.
pub(super) const MOST_DEPTH: usize = 6;

/// Trees for the walk on bits.
#[derive(Debug, Clone)]
pub(super) struct BitWalk {
    /// Per tree, the column of each condition, and the greatest code that passes it.
    pub(super) conditions: Vec<(Line, Line)>,
    /// Per tree, the number of the leaf at each place, among the leaves of all trees.
    pub(super) leaves: Vec<[u32; 64]>,
}

impl BitWalk {
    pub(super) fn new(lowered: &Lowered, codes: &Codes) -> Self {
        let mut built = Self { conditions: Vec::new(), leaves: Vec::new() };
        let mut first = 0;
        for tree in &lowered.trees {
            built.lay_out(lowered, codes, tree, first);
            first += tree.leaves as u32;
        }
        built
    }

    fn lay_out(&mut self, lowered: &Lowered, codes: &Codes, tree: &FlatTree, first: u32) {
        let nodes = lowered.nodes_of(tree);
        let (mut columns, mut at_most, mut leaves) = (Line([0; 64]), Line([u8::MAX; 64]), [first; 64]);
        let mut stack = vec![(0_usize, 1_usize, 0_usize)];
        while let Some((node, place, depth)) = stack.pop() {
            match nodes[node] {
                Flat::Leaf(number) => leaves[(place << (MOST_DEPTH - depth)) - 64] = first + number,
                Flat::Split { question, right } => {
                    let (column, code) = codes.place(&lowered.groups, question);
                    (columns.0[place], at_most.0[place]) = (column as u8, code);
                    stack.extend([
                        (right as usize, 2 * place + 1, depth + 1),
                        (node + 1, 2 * place, depth + 1),
                    ]);
                }
            }
        }
        self.conditions.push((columns, at_most));
        self.leaves.push(leaves);
    }

    /// Bytes held.
    pub(super) fn bytes(&self) -> usize {
        self.conditions.len() * (size_of::<(Line, Line)>() + size_of::<[u32; 64]>())
    }

    /// Adds the leaves of all trees for a row of codes.
    #[inline(always)]
    pub(super) fn run<N: Number>(&self, codes: &[u8], leaves: &Leaves<N>, sums: &mut [N]) {
        for (tree, ((columns, at_most), numbers)) in self.conditions.iter().zip(&self.leaves).enumerate() {
            let mut place = 1;
            for _ in 0..MOST_DEPTH {
                let right = codes[usize::from(columns.0[place])] > at_most.0[place];
                place = 2 * place + usize::from(right);
            }
            leaves.add(tree, numbers[place - 64], sums, 0, 1);
        }
    }
}
