//! AVX2: ranks, choices and leaf values in registers of 32 bytes; the kernels for few rows are the portable ones, compiled
//! for it.

mod bottom_up;
mod coding;
mod registers;

pub(super) use bottom_up::bottom_up;
pub(super) use coding::code_group;

use crate::engine::bit_walk::BitWalk;
use crate::engine::codes::Codes;
use crate::engine::leaves::{Leaves, Number};
use crate::engine::quick_scorer::QuickScorer;
use crate::engine::rows::Rows;
use crate::engine::walk::{self, Walk};

#[target_feature(enable = "avx2,popcnt,lzcnt")]
pub(super) fn code_row(codes: &Codes, row: &[f64], into: &mut [u8]) {
    codes.row(row, into);
}

#[target_feature(enable = "avx2,popcnt,lzcnt")]
pub(super) fn quick_scorer<N: Number>(trees: &QuickScorer, leaves: &Leaves<N>, codes: &[u8], sums: &mut [N]) {
    match trees {
        QuickScorer::Narrow(groups) => groups.run(codes, leaves, sums),
        QuickScorer::Wide(groups) => groups.run(codes, leaves, sums),
    }
}

#[target_feature(enable = "avx2,popcnt,lzcnt")]
pub(super) fn bit_walk<N: Number>(trees: &BitWalk, leaves: &Leaves<N>, codes: &[u8], sums: &mut [N]) {
    trees.run(codes, leaves, sums);
}

#[target_feature(enable = "avx2,popcnt,lzcnt")]
pub(super) fn walk<N: Number>(
    (trees, leaves): (&Walk, &Leaves<N>),
    rows: &Rows<'_>,
    out: &mut [f64],
    scratch: (&mut walk::Space, &mut Vec<N>),
) {
    trees.scores(leaves, rows, out, scratch);
}
