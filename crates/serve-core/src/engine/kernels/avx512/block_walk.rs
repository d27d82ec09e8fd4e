//! The walk by blocks: the columns of a row in up to eight registers, the 15 splits of a block in one comparison.

#![allow(clippy::wildcard_imports, reason = "intrinsics have long names of their own")]

use std::arch::x86_64::*;

use super::registers::{load_bytes, load_f32};
use crate::engine::block_walk::{Block, BlockWalk, LANES, STEPS};
use crate::engine::leaves::{Leaves, Number};
use crate::engine::rows::Rows;

/// By the conditions of a block's first three levels, place 1 first, the place on the fourth level.
const FOURTH: [u8; 128] = {
    let mut places = [0; 128];
    let mut word = 0;
    while word < 128 {
        let mut place = 1;
        while place < 8 {
            place = 2 * place + (word >> (place - 1) & 1);
        }
        places[word] = place as u8;
        word += 1;
    }
    places
};

/// Scores of `rows` into `out`, row-major.
#[target_feature(
    enable = "avx512f,avx512bw,avx512cd,avx512dq,avx512vl,avx512vbmi,avx2,bmi1,bmi2,lzcnt,popcnt"
)]
pub(in crate::engine) fn block_walk<N: Number>(
    (trees, leaves): (&BlockWalk, &Leaves<N>),
    rows: &Rows<'_>,
    out: &mut [f64],
    scratch: (&mut Vec<f32>, &mut Vec<N>),
) {
    match trees.width().div_ceil(16) {
        0 | 1 => walk::<1, N>((trees, leaves), rows, out, scratch),
        2 => walk::<2, N>((trees, leaves), rows, out, scratch),
        3 | 4 => walk::<4, N>((trees, leaves), rows, out, scratch),
        _ => walk::<8, N>((trees, leaves), rows, out, scratch),
    }
}

#[inline]
#[target_feature(
    enable = "avx512f,avx512bw,avx512cd,avx512dq,avx512vl,avx512vbmi,avx2,bmi1,bmi2,lzcnt,popcnt"
)]
fn walk<const R: usize, N: Number>(
    (trees, leaves): (&BlockWalk, &Leaves<N>),
    rows: &Rows<'_>,
    out: &mut [f64],
    scratch: (&mut Vec<f32>, &mut Vec<N>),
) {
    let run = |rows: &[f32], sums: &mut [N]| {
        let (rows, _) = rows.as_chunks::<16>().0.as_chunks::<R>();
        for (number, (roots, steps, count)) in trees.groups().enumerate() {
            for (row, sums) in rows.iter().zip(sums.chunks_exact_mut(leaves.outputs)) {
                let mut at = roots;
                Row::new(row).descend(trees, &mut at, steps);
                leaves.add_each(number * LANES, &at[..count], sums);
            }
        }
    };
    trees.tiles(leaves, rows, out, scratch, (R * 16, run));
}

/// The columns of one row: 16 in a register.
#[derive(Clone, Copy)]
struct Row<const R: usize>([__m512; R]);

impl<const R: usize> Row<R> {
    #[inline]
    #[target_feature(enable = "avx512f")]
    fn new(columns: &[[f32; 16]; R]) -> Self {
        let mut registers = [_mm512_setzero_ps(); R];
        for (register, columns) in registers.iter_mut().zip(columns) {
            *register = load_f32(columns);
        }
        Self(registers)
    }

    /// The values of 16 columns.
    #[inline]
    #[target_feature(enable = "avx512f")]
    fn values(self, columns: __m512i) -> __m512 {
        let two = |at: usize| _mm512_permutex2var_ps(self.0[at], columns, self.0[at + 1]);
        let bit = |bit: i32| _mm512_test_epi32_mask(columns, _mm512_set1_epi32(bit));
        match R {
            1 => _mm512_permutexvar_ps(columns, self.0[0]),
            2 => two(0),
            4 => _mm512_mask_mov_ps(two(0), bit(32), two(2)),
            _ => {
                let low = _mm512_mask_mov_ps(two(0), bit(32), two(2));
                let high = _mm512_mask_mov_ps(two(4), bit(32), two(6));
                _mm512_mask_mov_ps(low, bit(64), high)
            }
        }
    }

    /// From the roots of trees to their leaves. In place: the lanes are stored one by one, and a copy of all of them at
    /// once would wait until the last is in the cache.
    #[inline]
    #[target_feature(enable = "avx512f,bmi1,bmi2,popcnt")]
    fn descend(self, trees: &BlockWalk, at: &mut [u32; LANES], steps: u32) {
        let mut left = steps - 1;
        while left > STEPS {
            let before = *at;
            for _ in 0..STEPS {
                self.step(&trees.blocks, at);
            }
            left = if *at == before { 0 } else { left - STEPS };
        }
        for _ in 0..left {
            self.step(&trees.blocks, at);
        }
        for at in at {
            let block = &trees.blocks[*at as usize];
            *at = block.leaf(self.place(block));
        }
    }

    #[inline]
    #[target_feature(enable = "avx512f,bmi1,bmi2,popcnt")]
    fn step(self, blocks: &[Block], at: &mut [u32; LANES]) {
        for at in at {
            let block = &blocks[*at as usize];
            *at = block.next(self.place(block));
        }
    }

    /// Where the row leaves a block.
    #[inline]
    #[target_feature(enable = "avx512f,bmi1,bmi2")]
    fn place(self, block: &Block) -> u32 {
        let columns = _mm512_cvtepu8_epi32(load_bytes(&block.columns));
        let thresholds = load_f32(&block.thresholds);
        // A value that is no number is at most nothing.
        let right = u32::from(_mm512_cmp_ps_mask::<_CMP_NLE_UQ>(self.values(columns), thresholds));
        let place = u32::from(FOURTH[(right >> 1) as usize % 128]);
        2 * place + (right >> place & 1)
    }
}
