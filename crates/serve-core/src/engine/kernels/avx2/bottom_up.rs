//! Bottom-up in registers of 32 bytes, up to 512 rows at once. Leaf numbers become values by shuffling bytes: byte `k` of
//! a tree's values is up to four tables of 16 bytes, and the bytes of 32 numbers are then woven together.

#![allow(clippy::wildcard_imports, reason = "intrinsics have long names of their own")]

use std::arch::x86_64::*;

use super::registers::{load, load_f32, load_f64, load_twice, store, store_f32, store_f64};
use crate::engine::bottom_up::{BLOCK, BottomUp, Choice, PLAIN, TEMPORARY};
use crate::engine::codes::GROUP;
use crate::engine::leaves::{Leaves, Number, Sums};
use crate::engine::lines::{GROUPS, Line, Lines, abreast};

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
        let found = match abreast(groups) {
            1 => found::<1>(trees, tree, codes, lines),
            2 => found::<2>(trees, tree, codes, lines),
            3 => found::<3>(trees, tree, codes, lines),
            4 => found::<4>(trees, tree, codes, lines),
            _ => found::<GROUPS>(trees, tree, codes, lines),
        };
        let found = &found[..groups];
        if trees.planes.is_empty() {
            add_each(leaves, tree, found, sums);
        } else {
            add(trees, leaves, tree, found, sums);
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
fn found<'a, const G: usize>(
    trees: &BottomUp,
    tree: usize,
    codes: &[u8],
    lines: &'a mut Lines,
) -> &'a [Line] {
    let program = trees.programs[tree];
    for &Choice { column, left, right, destination, at_most } in
        &trees.choices[program.start as usize..program.end as usize]
    {
        let at_most = _mm256_set1_epi8(at_most.cast_signed());
        let codes = &codes[usize::from(column) * G * GROUP..][..G * GROUP].as_chunks::<GROUP>().0[..G];
        let into = Lines::place::<G>(TEMPORARY + u16::from(destination));
        let (left_place, right_place) = (Lines::place::<G>(left), Lines::place::<G>(right));
        // The three loads are what a choice waits for, so leaves' numbers come from registers. A macro, because a
        // closure would not be inlined.
        macro_rules! choose {
            (|$at:ident| $left:expr, $right:expr) => {
                for group in 0..G {
                    for half in 0..2 {
                        let $at = (group, half);
                        let codes = load(&codes[group].as_chunks().0[half]);
                        let goes_left = _mm256_cmpeq_epi8(_mm256_min_epu8(codes, at_most), codes);
                        let chosen = _mm256_blendv_epi8($right, $left, goes_left);
                        store(&mut lines.0[into + group].0.as_chunks_mut().0[half], chosen);
                    }
                }
            };
        }
        let (left_leaf, right_leaf) = (constant(left), constant(right));
        match (left < TEMPORARY, right < TEMPORARY) {
            // For so few rows, a branch that goes wrong costs more than loads.
            _ if G == 1 => choose!(|at| value(lines, left_place, at), value(lines, right_place, at)),
            (true, true) => choose!(|_at| left_leaf, right_leaf),
            (true, false) => choose!(|at| left_leaf, value(lines, right_place, at)),
            (false, true) => choose!(|at| value(lines, left_place, at), right_leaf),
            (false, false) => choose!(|at| value(lines, left_place, at), value(lines, right_place, at)),
        }
    }
    lines.result::<G>(program.result)
}

/// The number of a leaf.
#[inline]
#[target_feature(enable = "avx2")]
fn constant(operand: u16) -> __m256i {
    _mm256_set1_epi8((operand as u8).cast_signed())
}

/// Half of a group's line of an operand.
#[inline]
#[target_feature(enable = "avx2")]
fn value(lines: &Lines, place: usize, (group, half): (usize, usize)) -> __m256i {
    load(&lines.0[place + group].0.as_chunks().0[half])
}

/// Adds the leaves `found` of groups of 64 rows one by one.
#[inline]
fn add_each<N: Number>(leaves: &Leaves<N>, tree: usize, found: &[Line], sums: &mut [N]) {
    let found = found.iter().flat_map(|line| &line.0);
    if leaves.adds() && leaves.stride == 1 {
        let values = leaves.of_tree(tree);
        let sums = &mut sums[leaves.output[tree] as usize * BLOCK..];
        for (sum, leaf) in sums.iter_mut().zip(found) {
            *sum += values[usize::from(*leaf)];
        }
    } else {
        for (row, leaf) in found.enumerate() {
            leaves.add(tree, leaves.first[tree] + u32::from(*leaf), sums, row, BLOCK);
        }
    }
}

/// Adds the leaves `found` of groups of 64 rows to their sums.
#[inline]
#[target_feature(enable = "avx2")]
fn add<N: Number>(trees: &BottomUp, leaves: &Leaves<N>, tree: usize, found: &[Line], sums: &mut [N]) {
    let output = leaves.output[tree] as usize;
    let outputs = if leaves.stride == 1 { output..output + 1 } else { 0..leaves.outputs };
    let planes = trees.planes_of(tree).chunks_exact(size_of::<N>());
    let count = leaves.of_tree(tree).len();
    for (output, planes) in outputs.zip(planes) {
        let sums = &mut sums[output * BLOCK..][..found.len() * GROUP];
        match () {
            () if count <= 16 * leaves.stride => add_output::<N, 1>(planes, found, sums),
            () if count <= 32 * leaves.stride => add_output::<N, 2>(planes, found, sums),
            () => add_output::<N, 4>(planes, found, sums),
        }
    }
}

/// Adds one output's values, which stand in `TABLES` tables per byte.
#[inline]
#[target_feature(enable = "avx2")]
fn add_output<N: Number, const TABLES: usize>(planes: &[Line], found: &[Line], sums: &mut [N]) {
    let halves = found.iter().flat_map(|line| line.0.as_chunks().0);
    match N::sums(sums) {
        Sums::F64(sums) => {
            let Some(planes) = planes.first_chunk() else { return };
            for (found, sums) in halves.zip(sums.as_chunks_mut().0) {
                add_f64::<TABLES>(planes, load(found), sums);
            }
        }
        Sums::F32(sums) => {
            let Some(planes) = planes.first_chunk() else { return };
            for (found, sums) in halves.zip(sums.as_chunks_mut().0) {
                add_f32::<TABLES>(planes, load(found), sums);
            }
        }
    }
}

/// A byte of the values of 32 leaves.
#[inline]
#[target_feature(enable = "avx2")]
fn byte<const TABLES: usize>(plane: &Line, found: __m256i) -> __m256i {
    let (tables, _) = plane.0.as_chunks();
    let [a, b, c, d] = [0, 1, 2, 3].map(|table| &tables[table]);
    let low = _mm256_shuffle_epi8(load_twice(a), found);
    if TABLES == 1 {
        return low;
    }
    // A blend takes the highest bit of a byte, so bit 4 or 5 is moved there.
    let odd = _mm256_slli_epi16::<3>(found);
    let low = _mm256_blendv_epi8(low, _mm256_shuffle_epi8(load_twice(b), found), odd);
    if TABLES == 2 {
        return low;
    }
    let (c, d) = (_mm256_shuffle_epi8(load_twice(c), found), _mm256_shuffle_epi8(load_twice(d), found));
    _mm256_blendv_epi8(low, _mm256_blendv_epi8(c, d, odd), _mm256_slli_epi16::<2>(found))
}

/// Bytes `k` and `k + 1` of 32 values, beside each other.
#[inline]
#[target_feature(enable = "avx2")]
fn two_bytes<const TABLES: usize>(planes: &[Line], k: usize, found: __m256i) -> [__m256i; 2] {
    let (a, b) = (byte::<TABLES>(&planes[k], found), byte::<TABLES>(&planes[k + 1], found));
    [_mm256_unpacklo_epi8(a, b), _mm256_unpackhi_epi8(a, b)]
}

#[inline]
#[target_feature(enable = "avx2")]
fn four_bytes(a: __m256i, b: __m256i) -> [__m256i; 2] {
    [_mm256_unpacklo_epi16(a, b), _mm256_unpackhi_epi16(a, b)]
}

#[inline]
#[target_feature(enable = "avx2")]
fn add_f64<const TABLES: usize>(planes: &[Line; 8], found: __m256i, sums: &mut [f64; 32]) {
    let [a, b] = [two_bytes::<TABLES>(planes, 0, found), two_bytes::<TABLES>(planes, 2, found)];
    let [c, d] = [two_bytes::<TABLES>(planes, 4, found), two_bytes::<TABLES>(planes, 6, found)];
    let (sums, _) = sums.as_chunks_mut::<4>();
    for half in 0..2 {
        let (low, high) = (four_bytes(a[half], b[half]), four_bytes(c[half], d[half]));
        for quarter in 0..2 {
            let (low, high) = (low[quarter], high[quarter]);
            let values = [_mm256_unpacklo_epi32(low, high), _mm256_unpackhi_epi32(low, high)];
            for (eighth, values) in values.into_iter().enumerate() {
                let sums = &mut sums[half * 4 + quarter * 2 + eighth];
                store_f64(sums, _mm256_add_pd(load_f64(sums), _mm256_castsi256_pd(values)));
            }
        }
    }
}

#[inline]
#[target_feature(enable = "avx2")]
fn add_f32<const TABLES: usize>(planes: &[Line; 4], found: __m256i, sums: &mut [f32; 32]) {
    let [low, high] = [two_bytes::<TABLES>(planes, 0, found), two_bytes::<TABLES>(planes, 2, found)];
    let (sums, _) = sums.as_chunks_mut::<8>();
    for half in 0..2 {
        for (quarter, values) in four_bytes(low[half], high[half]).into_iter().enumerate() {
            let sums = &mut sums[half * 2 + quarter];
            store_f32(sums, _mm256_add_ps(load_f32(sums), _mm256_castsi256_ps(values)));
        }
    }
}
