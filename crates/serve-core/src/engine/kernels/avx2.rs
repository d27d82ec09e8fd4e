//! AVX2: ranks, choices and leaf values in registers of 32 bytes; the kernels for few rows are the portable ones, compiled
//! for it.

mod bottom_up;
mod coding;
mod registers;

pub(super) use bottom_up::bottom_up;
pub(super) use coding::code_group;

use crate::engine::block_walk::BlockWalk;
use crate::engine::codes::Codes;
use crate::engine::leaves::{Leaves, Number};
use crate::engine::pointer_jumping::PointerJumping;
use crate::engine::rows::Rows;
use crate::engine::walk::{self, Walk};

#[target_feature(enable = "avx2,popcnt,lzcnt")]
pub(super) fn code_row(codes: &Codes, row: &[f64], into: &mut [u8]) {
    codes.row(row, into);
}

#[target_feature(enable = "avx2,popcnt,lzcnt")]
pub(super) fn pointer_jumping<N: Number>(
    trees: &PointerJumping,
    leaves: &Leaves<N>,
    codes: (&[u8], usize),
    sums: &mut [N],
) {
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

#[target_feature(enable = "avx2,popcnt,lzcnt")]
pub(super) fn block_walk<N: Number>(
    (trees, leaves): (&BlockWalk, &Leaves<N>),
    rows: &Rows<'_>,
    out: &mut [f64],
    scratch: (&mut Vec<f32>, &mut Vec<N>),
) {
    trees.scores(leaves, rows, out, scratch);
}
