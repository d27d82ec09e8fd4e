//! Bottom-up in registers of 32 bytes, up to 256 rows at once. Leaf numbers become values by shuffling bytes: byte `k` of
//! a tree's values is up to four tables of 16 bytes, and the bytes of 32 numbers are then woven together.

#![allow(clippy::wildcard_imports, reason = "intrinsics have long names of their own")]

use std::arch::x86_64::*;

use super::registers::{load, load_f32, load_f64, load_twice, store, store_f32, store_f64};
use crate::engine::bottom_up::{BLOCK, BottomUp, Choice, PLAIN, TEMPORARY};
use crate::engine::codes::GROUP;
use crate::engine::leaves::{Leaves, Number, Sums};
use crate::engine::lines::{GROUPS, Line, Lines, OPERANDS};

/// Where row `i` of a group stands after eight tables of bytes were woven into `f64`.
const WOVEN_F64: [u8; GROUP] = {
    let mut order = [0; GROUP];
    let mut row = 0;
    while row < GROUP {
        order[row] = (row / 32 * 32 + row % 16 / 2 * 4 + row % 32 / 16 * 2 + row % 2) as u8;
        row += 1;
    }
    order
};

/// Where row `i` of a group stands after four tables of bytes were woven into `f32`.
const WOVEN_F32: [u8; GROUP] = {
    let mut order = [0; GROUP];
    let mut row = 0;
    while row < GROUP {
        order[row] = (row / 32 * 32 + row % 16 / 4 * 8 + row % 32 / 16 * 4 + row % 4) as u8;
        row += 1;
    }
    order
};

/// Runs all programs; row `i` of a group then stands at place `order[i]` of its group in `sums`.
#[target_feature(enable = "avx2,popcnt,lzcnt")]
pub(in crate::engine) fn bottom_up<N: Number>(
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
                if trees.planes.is_empty() {
                    add_each(leaves, tree, found, sums, place);
                } else {
                    add(trees, leaves, tree, found, sums, place);
                }
            }
        }
    }
    match () {
        () if trees.planes.is_empty() => &PLAIN,
        () if size_of::<N>() == 8 => &WOVEN_F64,
        () => &WOVEN_F32,
    }
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

/// Adds the leaves `found` of 64 rows one by one.
#[inline]
fn add_each<N: Number>(leaves: &Leaves<N>, tree: usize, found: &Line, sums: &mut [N], place: usize) {
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

/// Adds the leaves `found` of 64 rows to the sums from `place` on.
#[inline]
#[target_feature(enable = "avx2")]
fn add<N: Number>(
    trees: &BottomUp,
    leaves: &Leaves<N>,
    tree: usize,
    found: &Line,
    sums: &mut [N],
    place: usize,
) {
    let output = leaves.output[tree] as usize;
    let outputs = if leaves.stride == 1 { output..output + 1 } else { 0..leaves.outputs };
    let planes = trees.planes_of(tree);
    let each = planes.len() / outputs.len();
    let count = leaves.of_tree(tree).len() / leaves.stride;
    for (output, planes) in outputs.zip(planes.chunks_exact(each)) {
        let sums = &mut sums[output * BLOCK + place..][..GROUP];
        for (half, found) in found.0.as_chunks().0.iter().enumerate() {
            let found = load(found);
            match N::sums(&mut sums[32 * half..][..32]) {
                Sums::F64(sums) => add_f64(planes, count, found, sums),
                Sums::F32(sums) => add_f32(planes, count, found, sums),
            }
        }
    }
}

/// Byte `k` of the values, by leaf number, of `count` leaves at most.
#[inline]
#[target_feature(enable = "avx2")]
fn byte(plane: &Line, count: usize, found: __m256i) -> __m256i {
    let (tables, _) = plane.0.as_chunks();
    let one = |table: usize| _mm256_shuffle_epi8(load_twice(&tables[table]), found);
    // A blend takes the highest bit of a byte, so bit 4 or 5 is moved there.
    let two = |table: usize| _mm256_blendv_epi8(one(table), one(table + 1), _mm256_slli_epi16::<3>(found));
    match count {
        ..=16 => one(0),
        ..=32 => two(0),
        _ => _mm256_blendv_epi8(two(0), two(2), _mm256_slli_epi16::<2>(found)),
    }
}

#[inline]
#[target_feature(enable = "avx2")]
fn unpack_bytes(a: __m256i, b: __m256i) -> [__m256i; 2] {
    [_mm256_unpacklo_epi8(a, b), _mm256_unpackhi_epi8(a, b)]
}

#[inline]
#[target_feature(enable = "avx2")]
fn unpack_twos(a: __m256i, b: __m256i) -> [__m256i; 2] {
    [_mm256_unpacklo_epi16(a, b), _mm256_unpackhi_epi16(a, b)]
}

#[inline]
#[target_feature(enable = "avx2")]
fn add_f64(planes: &[Line], count: usize, found: __m256i, sums: &mut [f64]) {
    let Some(planes) = planes.first_chunk::<8>() else { return };
    let byte = |k: usize| byte(&planes[k], count, found);
    let twos = [0, 2, 4, 6].map(|k| unpack_bytes(byte(k), byte(k + 1)));
    let (sums, _) = sums.as_chunks_mut::<4>();
    for half in 0..2 {
        let low = unpack_twos(twos[0][half], twos[1][half]);
        let high = unpack_twos(twos[2][half], twos[3][half]);
        for quarter in 0..2 {
            let (a, b) = (low[quarter], high[quarter]);
            let eights = [_mm256_unpacklo_epi32(a, b), _mm256_unpackhi_epi32(a, b)];
            for (eighth, values) in eights.into_iter().enumerate() {
                let sums = &mut sums[half * 4 + quarter * 2 + eighth];
                store_f64(sums, _mm256_add_pd(load_f64(sums), _mm256_castsi256_pd(values)));
            }
        }
    }
}

#[inline]
#[target_feature(enable = "avx2")]
fn add_f32(planes: &[Line], count: usize, found: __m256i, sums: &mut [f32]) {
    let Some(planes) = planes.first_chunk::<4>() else { return };
    let byte = |k: usize| byte(&planes[k], count, found);
    let [low, high] = [0, 2].map(|k| unpack_bytes(byte(k), byte(k + 1)));
    let (sums, _) = sums.as_chunks_mut::<8>();
    for half in 0..2 {
        for (quarter, values) in unpack_twos(low[half], high[half]).into_iter().enumerate() {
            let sums = &mut sums[half * 2 + quarter];
            store_f32(sums, _mm256_add_ps(load_f32(sums), _mm256_castsi256_ps(values)));
        }
    }
}
