//! Bottom-up, up to 512 rows at once. Leaf numbers become values by permuting bytes: byte `k` of a tree's values is a
//! table of 64 bytes, and eight tables give the bytes of 64 `f64`, which are then woven together.

#![allow(clippy::wildcard_imports, reason = "intrinsics have long names of their own")]

use std::arch::x86_64::*;

use super::registers::{load, load_f32, load_f64, store, store_f32, store_f64};
use crate::engine::bottom_up::{BLOCK, BottomUp, Choice, PLAIN, TEMPORARY};
use crate::engine::codes::GROUP;
use crate::engine::leaves::{Leaves, Number, Sums};
use crate::engine::lines::{GROUPS, Line, Lines, abreast};

/// Where row `i` of a group stands after eight tables of bytes were woven into `f64`.
const WOVEN_F64: [u8; GROUP] = {
    let mut order = [0; GROUP];
    let mut row = 0;
    while row < GROUP {
        order[row] = ((row % 16 / 2) * 8 + row / 16 * 2 + row % 2) as u8;
        row += 1;
    }
    order
};

/// Where row `i` of a group stands after four tables of bytes were woven into `f32`.
const WOVEN_F32: [u8; GROUP] = {
    let mut order = [0; GROUP];
    let mut row = 0;
    while row < GROUP {
        order[row] = ((row % 16 / 4) * 16 + row / 16 * 4 + row % 4) as u8;
        row += 1;
    }
    order
};

/// Runs all programs; row `i` of a group then stands at place `order[i]` of its group in `sums`.
#[target_feature(
    enable = "avx512f,avx512bw,avx512cd,avx512dq,avx512vl,avx512vbmi,avx2,bmi1,bmi2,lzcnt,popcnt"
)]
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
        for (group, found) in found[..groups].iter().enumerate() {
            let place = group * GROUP;
            if trees.planes.is_empty() {
                for (row, leaf) in found.0.iter().enumerate() {
                    leaves.add(tree, leaves.first[tree] + u32::from(*leaf), sums, place + row, BLOCK);
                }
            } else {
                add(trees, leaves, tree, load(&found.0), sums, place);
            }
        }
    }
    match () {
        () if trees.planes.is_empty() => &PLAIN,
        () if size_of::<N>() == 8 => &WOVEN_F64,
        () => &WOVEN_F32,
    }
}

/// The number of a leaf.
#[inline]
#[target_feature(enable = "avx512f")]
fn constant(operand: u16) -> __m512i {
    _mm512_set1_epi8((operand as u8).cast_signed())
}

/// The leaves of a tree that `G` groups of rows reach.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
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
        let at_most = _mm512_set1_epi8(at_most.cast_signed());
        let codes = &codes[usize::from(column) * G * GROUP..][..G * GROUP].as_chunks::<GROUP>().0[..G];
        let into = Lines::place::<G>(TEMPORARY + u16::from(destination));
        let (left_place, right_place) = (Lines::place::<G>(left), Lines::place::<G>(right));
        // The loads are what a choice waits for, so leaves' numbers come from registers. A macro, because a closure would
        // not be inlined.
        macro_rules! choose {
            (|$group:ident| $left:expr, $right:expr) => {
                for $group in 0..G {
                    let goes_left = _mm512_cmple_epu8_mask(load(&codes[$group]), at_most);
                    let chosen = _mm512_mask_mov_epi8($right, goes_left, $left);
                    store(&mut lines.0[into + $group].0, chosen);
                }
            };
        }
        let (left_leaf, right_leaf) = (constant(left), constant(right));
        match (left < TEMPORARY, right < TEMPORARY) {
            // For so few rows, a branch that goes wrong costs more than loads.
            _ if G == 1 => {
                choose!(|group| load(&lines.0[left_place + group].0), load(&lines.0[right_place + group].0));
            }
            (true, true) => choose!(|_group| left_leaf, right_leaf),
            (true, false) => choose!(|group| left_leaf, load(&lines.0[right_place + group].0)),
            (false, true) => choose!(|group| load(&lines.0[left_place + group].0), right_leaf),
            (false, false) => {
                choose!(|group| load(&lines.0[left_place + group].0), load(&lines.0[right_place + group].0));
            }
        }
    }
    lines.result::<G>(program.result)
}

/// Adds the leaves `found` of 64 rows to the sums from `place` on.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vbmi")]
fn add<N: Number>(
    trees: &BottomUp,
    leaves: &Leaves<N>,
    tree: usize,
    found: __m512i,
    sums: &mut [N],
    place: usize,
) {
    let mut planes = trees.planes_of(tree);
    let output = leaves.output[tree] as usize;
    let outputs = if leaves.stride == 1 { output..output + 1 } else { 0..leaves.outputs };
    let each = planes.len() / outputs.len();
    for output in outputs {
        let (these, others) = planes.split_at(each);
        planes = others;
        let sums = &mut sums[output * BLOCK + place..][..GROUP];
        match N::sums(sums) {
            Sums::F64(sums) => add_f64(these, found, sums),
            Sums::F32(sums) => add_f32(these, found, sums),
        }
    }
}

/// Byte `k` of the values, by leaf number.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vbmi")]
fn byte(planes: &[Line], found: __m512i) -> __m512i {
    match planes {
        [all] => _mm512_permutexvar_epi8(found, load(&all.0)),
        [low, high] => _mm512_permutex2var_epi8(load(&low.0), found, load(&high.0)),
        [a, b, c, d] => {
            let low = _mm512_permutex2var_epi8(load(&a.0), found, load(&b.0));
            let high = _mm512_permutex2var_epi8(load(&c.0), found, load(&d.0));
            _mm512_mask_mov_epi8(low, _mm512_movepi8_mask(found), high)
        }
        _ => _mm512_setzero_si512(),
    }
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vbmi")]
fn add_f64(planes: &[Line], found: __m512i, sums: &mut [f64]) {
    let each = planes.len() / 8;
    let bytes: [__m512i; 8] = std::array::from_fn(|k| byte(&planes[k * each..(k + 1) * each], found));
    let twos: [[__m512i; 2]; 4] = std::array::from_fn(|k| {
        let (a, b) = (bytes[2 * k], bytes[2 * k + 1]);
        [_mm512_unpacklo_epi8(a, b), _mm512_unpackhi_epi8(a, b)]
    });
    let fours = |k: usize, half: usize| {
        let (a, b) = (twos[2 * k][half], twos[2 * k + 1][half]);
        [_mm512_unpacklo_epi16(a, b), _mm512_unpackhi_epi16(a, b)]
    };
    let (sums, _) = sums.as_chunks_mut::<8>();
    for half in 0..2 {
        let (low, high) = (fours(0, half), fours(1, half));
        for quarter in 0..2 {
            let (a, b) = (low[quarter], high[quarter]);
            let eights = [_mm512_unpacklo_epi32(a, b), _mm512_unpackhi_epi32(a, b)];
            for (eighth, values) in eights.into_iter().enumerate() {
                let sums = &mut sums[half * 4 + quarter * 2 + eighth];
                store_f64(sums, _mm512_add_pd(load_f64(sums), _mm512_castsi512_pd(values)));
            }
        }
    }
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vbmi")]
fn add_f32(planes: &[Line], found: __m512i, sums: &mut [f32]) {
    let each = planes.len() / 4;
    let bytes: [__m512i; 4] = std::array::from_fn(|k| byte(&planes[k * each..(k + 1) * each], found));
    let (sums, _) = sums.as_chunks_mut::<16>();
    let twos = |k: usize| {
        let (a, b) = (bytes[2 * k], bytes[2 * k + 1]);
        [_mm512_unpacklo_epi8(a, b), _mm512_unpackhi_epi8(a, b)]
    };
    let (low, high) = (twos(0), twos(1));
    for half in 0..2 {
        let (a, b) = (low[half], high[half]);
        let fours = [_mm512_unpacklo_epi16(a, b), _mm512_unpackhi_epi16(a, b)];
        for (quarter, values) in fours.into_iter().enumerate() {
            let sums = &mut sums[half * 2 + quarter];
            store_f32(sums, _mm512_add_ps(load_f32(sums), _mm512_castsi512_ps(values)));
        }
    }
}
