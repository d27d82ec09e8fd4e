//! AVX2: bottom-up in registers of 32 bytes; the other kernels are the portable ones, compiled for it.

#![allow(clippy::wildcard_imports, reason = "intrinsics have long names of their own")]

use std::arch::x86_64::*;

use crate::engine::bottom_up::{BLOCK, BottomUp, Choice, PLAIN, TEMPORARY};
use crate::engine::codes::{Codes, GROUP, Staging};
use crate::engine::leaves::{Leaves, Number};
use crate::engine::lines::{GROUPS, Line, Lines, OPERANDS};
use crate::engine::pointer_jumping::PointerJumping;
use crate::engine::rows::Rows;
use crate::engine::walk::{self, Walk};

#[target_feature(enable = "avx2,popcnt,lzcnt")]
pub(super) fn code_group(
    codes: &Codes,
    rows: &Rows<'_>,
    into: &mut [u8],
    stride: usize,
    staging: &mut Staging,
) {
    codes.group(rows, into, stride, staging);
}

#[inline]
#[target_feature(enable = "avx2")]
fn load(bytes: &[u8; 32]) -> __m256i {
    // SAFETY: the reference is to 32 bytes, and the load needs no alignment.
    unsafe { _mm256_loadu_si256(bytes.as_ptr().cast()) }
}

#[inline]
#[target_feature(enable = "avx2")]
fn store(bytes: &mut [u8; 32], x: __m256i) {
    // SAFETY: the reference is to 32 bytes, and the store needs no alignment.
    unsafe { _mm256_storeu_si256(bytes.as_mut_ptr().cast(), x) }
}

/// Runs all programs for `groups` groups of 64 rows, in their own order.
#[target_feature(enable = "avx2,popcnt,lzcnt")]
pub(super) fn bottom_up<N: Number>(
    trees: &BottomUp,
    leaves: &Leaves<N>,
    codes: &[u8],
    groups: usize,
    (sums, lines): (&mut [N], &mut Lines),
) -> &'static [u8; GROUP] {
    for tree in 0..trees.programs.len() {
        for first in (0..groups).step_by(GROUPS) {
            let codes = &codes[first * GROUP..];
            let found = match groups - first {
                1 => abreast::<1>(trees, tree, codes, lines),
                2 => abreast::<2>(trees, tree, codes, lines),
                3 => abreast::<3>(trees, tree, codes, lines),
                _ => abreast::<4>(trees, tree, codes, lines),
            };
            for (group, found) in found.iter().enumerate().take(groups - first) {
                let place = (first + group) * GROUP;
                if leaves.adds() && leaves.stride == 1 {
                    let values = leaves.of_tree(tree);
                    let sums = &mut sums[leaves.output[tree] as usize * BLOCK + place..][..GROUP];
                    for (sum, leaf) in sums.iter_mut().zip(&found.0) {
                        *sum += values[usize::from(*leaf)];
                    }
                } else {
                    for (row, leaf) in found.0.iter().enumerate() {
                        leaves.add(tree, leaves.first[tree] + u32::from(*leaf), sums, place + row, BLOCK);
                    }
                }
            }
        }
    }
    &PLAIN
}

/// The leaves of a tree that `G` groups of rows reach.
#[inline]
#[target_feature(enable = "avx2")]
fn abreast<'a, const G: usize>(
    trees: &BottomUp,
    tree: usize,
    codes: &[u8],
    lines: &'a mut Lines,
) -> &'a [Line; GROUPS] {
    let program = trees.programs[tree];
    for &Choice { column, left, right, destination, at_most } in
        &trees.choices[program.start as usize..program.end as usize]
    {
        let at_most = _mm256_set1_epi8(at_most.cast_signed());
        let codes = &codes[usize::from(column) * BLOCK..][..G * GROUP].as_chunks::<GROUP>().0[..G];
        let into = usize::from(TEMPORARY) + usize::from(destination);
        for group in 0..G {
            let (left, right) = (lines.of(left)[group], lines.of(right)[group]);
            for half in 0..2 {
                let codes = load(&codes[group].as_chunks().0[half]);
                let goes_left = _mm256_cmpeq_epi8(_mm256_min_epu8(codes, at_most), codes);
                let (left, right) = (load(&left.0.as_chunks().0[half]), load(&right.0.as_chunks().0[half]));
                let chosen = _mm256_blendv_epi8(right, left, goes_left);
                store(&mut lines.0[into % OPERANDS][group].0.as_chunks_mut().0[half], chosen);
            }
        }
    }
    lines.of(program.result)
}

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
