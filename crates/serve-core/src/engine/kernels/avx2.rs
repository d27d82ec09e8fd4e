//! The portable kernels, compiled for AVX2.

use crate::engine::bit_walk::BitWalk;
use crate::engine::bottom_up::{self, BottomUp, PLAIN};
use crate::engine::codes::{Codes, GROUP, Staging};
use crate::engine::leaves::{Leaves, Number};
use crate::engine::quick_scorer::QuickScorer;
use crate::engine::rows::Rows;
use crate::engine::walk::{self, Walk};

#[target_feature(enable = "avx2,popcnt,lzcnt")]
pub(super) fn code_group(codes: &Codes, rows: &Rows<'_>, into: &mut [u8], stride: usize, staging: &mut Staging) {
    codes.group(rows, into, stride, staging);
}

#[target_feature(enable = "avx2,popcnt,lzcnt")]
pub(super) fn bottom_up<N: Number>(
    trees: &BottomUp,
    leaves: &Leaves<N>,
    codes: &[u8],
    groups: usize,
    sums: &mut [N],
) -> &'static [u8; GROUP] {
    bottom_up::run::<N, 64>(trees, leaves, codes, groups, sums);
    &PLAIN
}

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
