//! The walk by blocks: the columns of a row in up to eight registers, the 15 splits of a block, or one split of each of 16
//! trees, in one comparison.

#![allow(clippy::wildcard_imports, reason = "intrinsics have long names of their own")]

use std::arch::x86_64::*;

use super::registers::{load_bytes, load_f32, load_u32, store_u32};
use crate::engine::block_walk::{Block, BlockWalk, LANES, MOST_TOP, STEPS, Top};
use crate::engine::leaves::{Leaves, Number};
use crate::engine::rows::Rows;

/// By the conditions of a block's first three levels, the first split's first, the place on the fourth level.
const FOURTH: [u8; 128] = {
    let mut places = [0; 128];
    let mut word = 0;
    while word < 128 {
        let mut place = 0;
        while place < 7 {
            place = 2 * place + 1 + (word >> place & 1);
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
        for (number, top) in trees.tops.iter().enumerate() {
            for (row, sums) in rows.iter().zip(sums.chunks_exact_mut(leaves.outputs)) {
                let row = Row::new(row);
                let mut at = row.start(top);
                row.descend(trees, &mut at, top);
                leaves.add_each(number * LANES, &at[..top.trees], sums);
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

    /// The block of each tree that the row comes to first.
    #[inline]
    #[target_feature(enable = "avx512f")]
    fn start(self, top: &Top) -> [u32; LANES] {
        match top.levels {
            0 => top.exits[0],
            1 => self.top::<1>(top),
            2 => self.top::<2>(top),
            _ => self.top::<MOST_TOP>(top),
        }
    }

    /// Through the top: a lane is a tree.
    #[inline]
    #[target_feature(enable = "avx512f")]
    fn top<const L: usize>(self, top: &Top) -> [u32; LANES] {
        let mut rights = [0; L];
        for level in 0..L {
            let splits = top.splits[(1 << level) - 1..].iter();
            let (mut columns, mut thresholds) =
                ([_mm512_setzero_si512(); 1 << MOST_TOP], [_mm512_setzero_si512(); 1 << MOST_TOP]);
            for ((splits, columns), thresholds) in
                splits.zip(&mut columns).zip(&mut thresholds).take(1 << level)
            {
                *columns = load_u32(&splits.columns);
                *thresholds = _mm512_castps_si512(load_f32(&splits.thresholds));
            }
            let values = self.values(choose(columns, &rights[..level]));
            let thresholds = _mm512_castsi512_ps(choose(thresholds, &rights[..level]));
            rights[level] = _mm512_cmp_ps_mask::<_CMP_NLE_UQ>(values, thresholds);
        }
        let mut exits = [_mm512_setzero_si512(); 1 << MOST_TOP];
        for (exits, of_top) in exits.iter_mut().zip(&top.exits).take(1 << L) {
            *exits = load_u32(of_top);
        }
        let mut at = [0; LANES];
        store_u32(&mut at, choose(exits, &rights));
        at
    }

    /// From the first blocks of trees to their leaves. In place: the lanes are stored one by one, and a copy of all of them
    /// at once would wait until the last is in the cache.
    #[inline]
    #[target_feature(enable = "avx512f,bmi1,bmi2,popcnt")]
    fn descend(self, trees: &BlockWalk, at: &mut [u32; LANES], top: &Top) {
        // Four trees are walked together without a branch between; lanes without a tree lead to the first block.
        let (fours, _) = at.as_chunks_mut::<4>();
        let count = top.trees.div_ceil(4).min(fours.len());
        let fours = &mut fours[..count];
        let mut before = [[u32::MAX; 4]; LANES / 4];
        for step in 1..top.steps {
            if step % STEPS == 0 {
                if *fours == before[..count] {
                    break;
                }
                before[..count].copy_from_slice(fours);
            }
            for at in fours.iter_mut() {
                for at in at {
                    let block = &trees.blocks[*at as usize];
                    *at = block.next + self.turn(block);
                }
            }
        }
        for at in fours {
            for at in at {
                let block = &trees.blocks[*at as usize];
                *at = block.leaf + self.turn(block);
            }
        }
    }

    /// The exit by which the row leaves a block, and 14.
    #[inline]
    #[target_feature(enable = "avx512f,bmi1,bmi2")]
    fn place(self, block: &Block) -> u32 {
        let columns = _mm512_cvtepu8_epi32(load_bytes(&block.columns));
        let thresholds = load_f32(&block.thresholds);
        // A value that is no number is at most nothing.
        let right = u32::from(_mm512_cmp_ps_mask::<_CMP_NLE_UQ>(self.values(columns), thresholds));
        let place = u32::from(FOURTH[right as usize % 128]);
        2 * place + (right >> place & 1)
    }

    /// How many exits lead elsewhere than the one before, up to the one that the row takes.
    #[inline]
    #[target_feature(enable = "avx512f,bmi1,bmi2,popcnt")]
    fn turn(self, block: &Block) -> u32 {
        _bzhi_u32(block.starts, self.place(block)).count_ones()
    }
}

/// By the ways that lanes took, first level first, what stands at their places of a level, which are side by side.
#[inline]
#[target_feature(enable = "avx512f")]
fn choose(mut of: [__m512i; 1 << MOST_TOP], rights: &[__mmask16]) -> __m512i {
    for (level, &rights) in rights.iter().enumerate().rev() {
        for place in 0..1 << level {
            of[place] = _mm512_mask_mov_epi32(of[2 * place], rights, of[2 * place + 1]);
        }
    }
    of[0]
}
