//! Bottom-up: all nodes of a tree for many rows at once. A node's value is the number of the leaf that a row reaches
//! below it, so a split is one comparison of bytes and one choice between two bytes, and leaves are constants. There are
//! no branches and no gathers, and nothing depends on the rows.
//!
//! A tree is a program of such choices, children first, the child that needs more temporaries before the other, so that
//! at most nine are alive at a time. Invariants, by construction: an operand is a leaf's constant or a temporary that an
//! earlier operation of the same tree wrote; columns are below the width of the codes.
#![allow(
    clippy::inline_always,
    reason = "what is compiled for several instruction sets must be inlined into each"
)]

use super::codes::{Codes, GROUP, Staging};
use super::kernels::Instructions;
use super::leaves::{Leaves, Number};
use super::lines::{GROUPS, Line, Lines, abreast, on_lines};
use super::lower::{Flat, FlatTree, Lowered};
use super::path::Simd;
use super::rows::Rows;

/// Most leaves of a tree: their numbers are bytes.
pub(super) const MOST_LEAVES: usize = 256;

/// Rows of a block: their codes stay in the first-level cache.
pub(super) const BLOCK: usize = GROUPS * GROUP;

/// Operands from here on are temporaries; those below are the constants of leaves.
pub(super) const TEMPORARY: u16 = 256;

/// Leaves of a subtree whose splits come by height.
const WIDE: u32 = 64;

/// Temporaries that are alive at once, at most: 32 within a subtree of [`WIDE`] leaves, and one for each of the at most
/// eight finished ones beside it.
pub(super) const TEMPORARIES: usize = 40;

/// `destination = code[column] <= at_most ? left : right`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Choice {
    pub(super) column: u16,
    pub(super) left: u16,
    pub(super) right: u16,
    pub(super) destination: u8,
    pub(super) at_most: u8,
}

/// The program of one tree.
#[derive(Debug, Clone, Copy)]
pub(super) struct Program {
    pub(super) start: u32,
    pub(super) end: u32,
    /// Where the number of the leaf is found at the end.
    pub(super) result: u16,
}

/// Trees as programs.
#[derive(Debug, Clone)]
pub(super) struct BottomUp {
    pub(super) choices: Vec<Choice>,
    pub(super) programs: Vec<Program>,
    /// The leaves' values as tables of bytes: by tree, output, byte and 64 leaves. Empty where the instructions cannot use
    /// them ([`most_for_planes`]), and where leaves vote or hold too many numbers.
    pub(super) planes: Vec<Line>,
    first_plane: Vec<u32>,
}

/// Leaves of more outputs than this are added one by one.
const MOST_PLANES: usize = 8;

/// Most leaves of a tree that values are looked up for by permuting bytes: with AVX2, beyond four tables of 16 bytes, a
/// load per row is faster.
pub(super) fn most_for_planes(simd: Simd) -> usize {
    match simd {
        Simd::Avx512 => MOST_LEAVES,
        Simd::Avx2 => GROUP,
        Simd::Portable => 0,
    }
}

/// What one call works with.
#[derive(Debug, Default)]
pub(super) struct Space<N> {
    /// By column, up to [`BLOCK`] rows each.
    pub(super) codes: Vec<u8>,
    /// By output, [`BLOCK`] rows each.
    pub(super) sums: Vec<N>,
    pub(super) lines: Lines,
}

impl BottomUp {
    pub(super) fn new(lowered: &Lowered, codes: &Codes) -> Self {
        let mut built = Self {
            choices: Vec::new(),
            programs: Vec::with_capacity(lowered.trees.len()),
            planes: Vec::new(),
            first_plane: Vec::new(),
        };
        for tree in &lowered.trees {
            built.compile(lowered, codes, tree);
        }
        built.choices.shrink_to_fit();
        built
    }

    fn compile(&mut self, lowered: &Lowered, codes: &Codes, tree: &FlatTree) {
        let nodes = lowered.nodes_of(tree);
        let start = self.choices.len() as u32;
        let mut place = vec![0_u16; nodes.len()];
        let mut free: Vec<u8> = (0..TEMPORARIES as u8).rev().collect();
        for node in order(nodes) {
            let Flat::Split { question, right } = nodes[node] else {
                continue;
            };
            let operand = |node: usize| match nodes[node] {
                Flat::Leaf(number) => number as u16,
                Flat::Split { .. } => place[node],
            };
            let (left, right) = (operand(node + 1), operand(right as usize));
            let (column, at_most) = codes.place(&lowered.groups, question);
            free.extend([left, right].iter().filter(|&&at| at >= TEMPORARY).map(|at| (at - TEMPORARY) as u8));
            let destination = free.pop().expect("fewer temporaries are alive than there are");
            place[node] = TEMPORARY + u16::from(destination);
            self.choices.push(Choice { column, left, right, destination, at_most });
        }
        if nodes.len() == 1 {
            place[0] = 0;
        }
        self.programs.push(Program { start, end: self.choices.len() as u32, result: place[0] });
    }

    /// Makes the tables of bytes that leaves are looked up in.
    pub(super) fn with_planes<N: Number>(mut self, leaves: &Leaves<N>) -> Self {
        if !leaves.adds() || leaves.stride > MOST_PLANES {
            return self;
        }
        for tree in 0..self.programs.len() {
            let values = leaves.of_tree(tree);
            let lines = (values.len() / leaves.stride).div_ceil(64).next_power_of_two();
            self.first_plane.push(self.planes.len() as u32);
            for output in 0..leaves.stride {
                for byte in 0..size_of::<N>() {
                    for line in 0..lines {
                        let value = |lane: usize| values.get((line * 64 + lane) * leaves.stride + output);
                        let lanes = |lane| value(lane).map_or(0, |value| value.byte(byte));
                        self.planes.push(Line(std::array::from_fn(lanes)));
                    }
                }
            }
        }
        self
    }

    /// The tables of a tree.
    pub(super) fn planes_of(&self, tree: usize) -> &[Line] {
        let end = self.first_plane.get(tree + 1).map_or(self.planes.len(), |&end| end as usize);
        &self.planes[self.first_plane[tree] as usize..end]
    }

    /// Bytes held.
    pub(super) fn bytes(&self) -> usize {
        self.choices.len() * size_of::<Choice>()
            + self.programs.len() * size_of::<Program>()
            + self.planes.len() * size_of::<Line>()
    }
}

/// The splits of a tree, children first. Within subtrees of up to [`WIDE`] leaves they come by height, so that the work
/// of one does not wait for the one before it; such subtrees come one after the other, to keep temporaries few.
fn order(nodes: &[Flat]) -> Vec<usize> {
    let mut leaves = vec![1_u32; nodes.len()];
    let mut height = vec![0_u32; nodes.len()];
    let mut needs = vec![0_u8; nodes.len()];
    for (node, flat) in nodes.iter().enumerate().rev() {
        if let Flat::Split { right, .. } = *flat {
            let (left, right) = (node + 1, right as usize);
            leaves[node] = leaves[left] + leaves[right];
            height[node] = 1 + height[left].max(height[right]);
            needs[node] =
                if needs[left] == needs[right] { needs[left] + 1 } else { needs[left].max(needs[right]) };
        }
    }

    let mut order = Vec::with_capacity(nodes.len() / 2);
    let mut stack = vec![(0, false)];
    while let Some((node, ready)) = stack.pop() {
        let Flat::Split { right, .. } = nodes[node] else { continue };
        if ready {
            order.push(node);
        } else if leaves[node] <= WIDE {
            let from = order.len();
            // In preorder a subtree of `n` leaves is `2n - 1` nodes in a row.
            order.extend(
                (node..node + 2 * leaves[node] as usize - 1)
                    .filter(|&at| matches!(nodes[at], Flat::Split { .. })),
            );
            order[from..].sort_by_key(|&at| height[at]);
        } else {
            let (left, right) = (node + 1, right as usize);
            let (first, second) = if needs[left] >= needs[right] { (left, right) } else { (right, left) };
            stack.extend([(node, true), (second, false), (first, false)]);
        }
    }
    order
}

/// Scores of `rows` into `out`, row-major.
pub(super) fn scores<N: Number>(
    (codes, trees, leaves): (&Codes, &BottomUp, &Leaves<N>),
    instructions: Instructions,
    rows: &Rows<'_>,
    out: &mut [f64],
    (space, staging): (&mut Space<N>, &mut Staging),
) {
    let outputs = leaves.outputs;
    let coded = on_lines(&mut space.codes, codes.width.max(1) * BLOCK);
    let all_sums = on_lines(&mut space.sums, outputs * BLOCK);
    for (start, out) in (0..rows.len()).step_by(BLOCK).zip(out.chunks_mut(BLOCK * outputs)) {
        let block = rows.slice(start, rows.len().min(start + BLOCK));
        let groups = block.len().div_ceil(GROUP);
        let stride = abreast(groups) * GROUP;
        for first in (0..block.len()).step_by(GROUP) {
            let group = block.slice(first, block.len().min(first + GROUP));
            instructions.code_group(codes, &group, &mut coded[first..], stride, staging);
        }
        for (sums, base) in all_sums.chunks_exact_mut(BLOCK).zip(&leaves.base) {
            sums.fill(*base);
        }
        let scratch = (&mut *all_sums, &mut space.lines);
        let order = instructions.bottom_up(trees, leaves, coded, groups, scratch);
        for (row, out) in out.chunks_exact_mut(outputs).enumerate() {
            let at = row / GROUP * GROUP + usize::from(order[row % GROUP]);
            for (output, score) in out.iter_mut().enumerate() {
                *score = leaves.score(output, all_sums[output * BLOCK + at]);
            }
        }
    }
}

/// Rows in their own order.
pub(super) const PLAIN: [u8; GROUP] = {
    let mut order = [0; GROUP];
    let mut row = 0;
    while row < GROUP {
        order[row] = row as u8;
        row += 1;
    }
    order
};

/// Adds the leaves of all trees for `groups` groups of 64 rows to `sums`: `LANES` rows at a time, a loop over bytes that
/// compilers turn into whatever the CPU has.
#[inline(always)]
pub(super) fn run<N: Number, const LANES: usize>(
    trees: &BottomUp,
    leaves: &Leaves<N>,
    codes: &[u8],
    groups: usize,
    sums: &mut [N],
) {
    let mut values = [[0_u8; LANES]; TEMPORARIES];
    let stride = abreast(groups) * GROUP;
    for (tree, program) in trees.programs.iter().enumerate() {
        let choices = &trees.choices[program.start as usize..program.end as usize];
        for at in (0..groups * GROUP).step_by(LANES) {
            for choice in choices {
                choose(choice, &codes[usize::from(choice.column) * stride + at..], &mut values);
            }
            let found = operand(program.result, &values);
            let first = leaves.first[tree];
            for (row, leaf) in found.iter().enumerate() {
                leaves.add(tree, first + u32::from(*leaf), sums, at + row, BLOCK);
            }
        }
    }
}

#[inline(always)]
fn operand<const LANES: usize>(operand: u16, values: &[[u8; LANES]; TEMPORARIES]) -> [u8; LANES] {
    if operand < TEMPORARY { [operand as u8; LANES] } else { values[usize::from(operand - TEMPORARY)] }
}

#[inline(always)]
fn choose<const LANES: usize>(choice: &Choice, codes: &[u8], values: &mut [[u8; LANES]; TEMPORARIES]) {
    let Some((codes, _)) = codes.split_first_chunk::<LANES>() else { return };
    let (left, right) = (operand(choice.left, values), operand(choice.right, values));
    let into = &mut values[usize::from(choice.destination)];
    for lane in 0..LANES {
        // A mask instead of a choice, which compilers would turn into a branch.
        let goes_left = u8::from(codes[lane] <= choice.at_most).wrapping_neg();
        into[lane] = (left[lane] & goes_left) | (right[lane] & !goes_left);
    }
}
