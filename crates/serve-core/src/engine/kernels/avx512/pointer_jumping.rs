//! Pointer jumping: the codes of a row in up to four registers, a line of splits in four loads for up to four rows.

#![allow(clippy::wildcard_imports, reason = "intrinsics have long names of their own")]

use std::arch::x86_64::*;

use super::registers::load;
use crate::engine::leaves::{Leaves, Number};
use crate::engine::pointer_jumping::{LEAF, PointerJumping, Splits};

/// Where leaves lead: to themselves.
const STAY: [u8; 64] = {
    let mut stay = [0; 64];
    let mut leaf = 0;
    while leaf < 64 {
        stay[leaf] = LEAF + leaf as u8;
        leaf += 1;
    }
    stay
};

/// The codes of one row in registers: up to 64 columns each.
#[derive(Clone, Copy)]
struct Row<const REGISTERS: usize>([__m512i; REGISTERS]);

impl<const REGISTERS: usize> Row<REGISTERS> {
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw")]
    fn new(codes: &[u8]) -> Self {
        let mut registers = [_mm512_setzero_si512(); REGISTERS];
        for (register, line) in registers.iter_mut().zip(codes.as_chunks().0) {
            *register = load(line);
        }
        Self(registers)
    }

    /// Where the row goes from each of 64 splits.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vbmi")]
    fn steps(&self, splits: &Splits) -> __m512i {
        let columns = load(&splits.columns.0);
        let codes = match REGISTERS {
            1 => _mm512_permutexvar_epi8(columns, self.0[0]),
            2 => _mm512_permutex2var_epi8(self.0[0], columns, self.0[1]),
            _ => {
                let low = _mm512_permutex2var_epi8(self.0[0], columns, self.0[1]);
                let high = _mm512_permutex2var_epi8(self.0[2], columns, self.0[3]);
                _mm512_mask_mov_epi8(low, _mm512_movepi8_mask(columns), high)
            }
        };
        let fails = _mm512_cmpgt_epu8_mask(codes, load(&splits.at_most.0));
        _mm512_mask_mov_epi8(load(&splits.left.0), fails, load(&splits.right.0))
    }
}

/// Adds the leaves of all trees to the sums of rows, row-major; `codes` has whole registers of bytes for each row.
#[target_feature(
    enable = "avx512f,avx512bw,avx512cd,avx512dq,avx512vl,avx512vbmi,avx2,bmi1,bmi2,lzcnt,popcnt"
)]
pub(in crate::engine) fn pointer_jumping<N: Number>(
    trees: &PointerJumping,
    leaves: &Leaves<N>,
    (codes, stride): (&[u8], usize),
    sums: &mut [N],
) {
    match stride / 64 {
        1 => rows::<1, N>(trees, leaves, (codes, stride), sums),
        2 => rows::<2, N>(trees, leaves, (codes, stride), sums),
        _ => rows::<4, N>(trees, leaves, (codes, stride), sums),
    }
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vbmi")]
fn rows<const REGISTERS: usize, N: Number>(
    trees: &PointerJumping,
    leaves: &Leaves<N>,
    (mut codes, stride): (&[u8], usize),
    mut sums: &mut [N],
) {
    while let Some((these, rest)) = codes.split_at_checked(4 * stride) {
        let (into, others) = sums.split_at_mut(4 * leaves.outputs);
        abreast::<REGISTERS, 4, N>(trees, leaves, (these, stride), into);
        (codes, sums) = (rest, others);
    }
    if let Some((these, rest)) = codes.split_at_checked(2 * stride) {
        let (into, others) = sums.split_at_mut(2 * leaves.outputs);
        abreast::<REGISTERS, 2, N>(trees, leaves, (these, stride), into);
        (codes, sums) = (rest, others);
    }
    if !codes.is_empty() {
        abreast::<REGISTERS, 1, N>(trees, leaves, (codes, stride), sums);
    }
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vbmi")]
fn abreast<const REGISTERS: usize, const ROWS: usize, N: Number>(
    trees: &PointerJumping,
    leaves: &Leaves<N>,
    (codes, stride): (&[u8], usize),
    sums: &mut [N],
) {
    let mut rows = [Row([_mm512_setzero_si512(); REGISTERS]); ROWS];
    for (number, row) in rows.iter_mut().enumerate() {
        *row = Row::new(&codes[number * stride..][..stride]);
    }
    match sums.first_chunk_mut() {
        Some(sums) if leaves.plain() => add_plain(trees, leaves, &rows, sums),
        _ => add(trees, leaves, &rows, sums),
    }
}

/// The leaves that rows reach in the trees of a line, a byte per tree, of which the lower six bits count.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vbmi")]
fn found<const REGISTERS: usize, const ROWS: usize>(
    rows: &[Row<REGISTERS>; ROWS],
    splits: &Splits,
    jumps: u32,
) -> [u64; ROWS] {
    let stay = load(&STAY);
    let mut to = [stay; ROWS];
    for (to, row) in to.iter_mut().zip(rows) {
        *to = row.steps(splits);
        // Jumps from leaves go nowhere, so a few too many cost less than a loop.
        *to = _mm512_permutex2var_epi8(*to, *to, stay);
        *to = _mm512_permutex2var_epi8(*to, *to, stay);
        *to = _mm512_permutex2var_epi8(*to, *to, stay);
    }
    for done in 3..6 {
        if jumps > done {
            to.iter_mut().for_each(|to| *to = _mm512_permutex2var_epi8(*to, *to, stay));
        }
    }
    to.map(|to| _mm_cvtsi128_si64(_mm512_castsi512_si128(to)).cast_unsigned())
}

/// Adds the leaves of all trees where a score is one sum of one number per tree.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vbmi")]
fn add_plain<const REGISTERS: usize, const ROWS: usize, N: Number>(
    trees: &PointerJumping,
    leaves: &Leaves<N>,
    rows: &[Row<REGISTERS>; ROWS],
    into: &mut [N; ROWS],
) {
    let mut sums = *into;
    for (splits, ends) in trees.splits.iter().zip(&trees.ends) {
        let mut found = found(rows, splits, ends.jumps);
        let values = leaves.line(ends.first_leaf);
        for _ in 1..ends.trees {
            for (sum, found) in sums.iter_mut().zip(&mut found) {
                *sum += values[*found as usize % 64];
                *found >>= 8;
            }
        }
        for (sum, found) in sums.iter_mut().zip(found) {
            *sum += values[found as usize % 64];
        }
    }
    *into = sums;
}

/// Adds the leaves of all trees, whatever they hold.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vbmi")]
fn add<const REGISTERS: usize, const ROWS: usize, N: Number>(
    trees: &PointerJumping,
    leaves: &Leaves<N>,
    rows: &[Row<REGISTERS>; ROWS],
    sums: &mut [N],
) {
    for (splits, ends) in trees.splits.iter().zip(&trees.ends) {
        for (row, found) in found(rows, splits, ends.jumps).into_iter().enumerate() {
            for (tree, place) in found.to_le_bytes().into_iter().enumerate().take(ends.trees as usize) {
                let leaf = ends.first_leaf + u32::from(place % 64);
                leaves.add(ends.first_tree as usize + tree, leaf, sums, row * leaves.outputs, 1);
            }
        }
    }
}
