//! AVX-512: ranks and choices in registers of 64 bytes.
//!
//! Ranks of 64 rows are found by a binary search whose tree stands in registers: a level is one permutation of up to
//! 16 or 32 numbers, or a choice among several. Leaf numbers become values by permuting bytes: byte `k` of a tree's
//! values is a table of 64 bytes, and eight tables give the bytes of 64 `f64`, which are then woven together.

use std::arch::x86_64::*;

use crate::engine::bit_walk::BitWalk;
use crate::engine::bottom_up::{BLOCK, BottomUp, Choice, PLAIN, TEMPORARY};
use crate::engine::codes::{Codes, GROUP, Inexact, Run, STRIP, STRIPS, Staging, Table, Tiles};
use crate::engine::leaves::{Leaves, Number, Sums};
use crate::engine::lines::{Line, Lines, OPERANDS};
use crate::engine::quick_scorer::{Groups, QuickScorer};
use crate::engine::rows::Rows;

/// Groups of 64 rows that an operation is done for at once, at most.
const ABREAST: usize = 4;

#[inline]
#[target_feature(enable = "avx512f")]
fn load(line: &[u8; 64]) -> __m512i {
    // SAFETY: the reference is to 64 bytes, and the load needs no alignment.
    unsafe { _mm512_loadu_si512(line.as_ptr().cast()) }
}

#[inline]
#[target_feature(enable = "avx512f")]
fn store(line: &mut [u8; 64], x: __m512i) {
    // SAFETY: the reference is to 64 bytes, and the store needs no alignment.
    unsafe { _mm512_storeu_si512(line.as_mut_ptr().cast(), x) }
}

#[inline]
#[target_feature(enable = "avx512f")]
fn load_words(words: &[u32; 16]) -> __m512i {
    // SAFETY: the reference is to 64 bytes, and the load needs no alignment.
    unsafe { _mm512_loadu_si512(words.as_ptr().cast()) }
}

#[inline]
#[target_feature(enable = "avx512f")]
fn load_long_words(words: &[u64; 8]) -> __m512i {
    // SAFETY: the reference is to 64 bytes, and the load needs no alignment.
    unsafe { _mm512_loadu_si512(words.as_ptr().cast()) }
}

#[inline]
#[target_feature(enable = "avx512f")]
fn store_words(into: &mut [u32; 16], x: __m512i) {
    // SAFETY: the reference is to 64 bytes, and the store needs no alignment.
    unsafe { _mm512_storeu_si512(into.as_mut_ptr().cast(), x) }
}

/// Up to 16 words, zeros after them.
#[inline]
#[target_feature(enable = "avx512f")]
fn load_some_words(words: &[u32]) -> __m512i {
    let lanes = words.len().min(16) as u32;
    // SAFETY: only the lanes of the mask are read, and the slice has as many words.
    unsafe { _mm512_maskz_loadu_epi32(((1_u32 << lanes) - 1) as u16, words.as_ptr().cast()) }
}

#[inline]
#[target_feature(enable = "avx512f")]
fn load_f32(x: &[f32; 16]) -> __m512 {
    // SAFETY: the reference is to 16 numbers, and the load needs no alignment.
    unsafe { _mm512_loadu_ps(x.as_ptr()) }
}

#[inline]
#[target_feature(enable = "avx512f")]
fn store_f32(into: &mut [f32; 16], x: __m512) {
    // SAFETY: the reference is to 16 numbers, and the store needs no alignment.
    unsafe { _mm512_storeu_ps(into.as_mut_ptr(), x) }
}

#[inline]
#[target_feature(enable = "avx512f")]
fn load_f64(x: &[f64; 8]) -> __m512d {
    // SAFETY: the reference is to 8 numbers, and the load needs no alignment.
    unsafe { _mm512_loadu_pd(x.as_ptr()) }
}

#[inline]
#[target_feature(enable = "avx512f")]
fn store_f64(into: &mut [f64; 8], x: __m512d) {
    // SAFETY: the reference is to 8 numbers, and the store needs no alignment.
    unsafe { _mm512_storeu_pd(into.as_mut_ptr(), x) }
}

/// Up to 8 numbers, zeros after them.
#[inline]
#[target_feature(enable = "avx512f")]
fn load_some_f64(x: &[f64]) -> __m512d {
    let lanes = x.len().min(8) as u32;
    // SAFETY: only the lanes of the mask are read, and the slice has as many numbers.
    unsafe { _mm512_maskz_loadu_pd(((1_u32 << lanes) - 1) as u8, x.as_ptr()) }
}

/// Up to 16 numbers, zeros after them.
#[inline]
#[target_feature(enable = "avx512f")]
fn load_some_f32(x: &[f32]) -> __m512 {
    let lanes = x.len().min(16) as u32;
    // SAFETY: only the lanes of the mask are read, and the slice has as many numbers.
    unsafe { _mm512_maskz_loadu_ps(((1_u32 << lanes) - 1) as u16, x.as_ptr()) }
}

/// Rows between what is read and what is asked of the memory.
const AHEAD: usize = 64;

/// Asks the memory for what will be read soon.
#[inline]
fn prefetch<T>(at: *const T) {
    // SAFETY: a prefetch reads nothing that a program could notice, and no address makes it fail.
    unsafe { _mm_prefetch::<_MM_HINT_T0>(at.cast()) }
}

/// Eight `f64` as the `f32` that stand for them, and which are other numbers.
#[inline]
#[target_feature(enable = "avx512f")]
fn stand_in(x: __m512d, single: bool) -> (__m256, u8) {
    const QUIET: i32 = _MM_FROUND_NO_EXC;
    if single {
        return (_mm512_cvt_roundpd_ps::<{ _MM_FROUND_TO_NEAREST_INT | QUIET }>(x), 0);
    }
    let up = _mm512_cvt_roundpd_ps::<{ _MM_FROUND_TO_POS_INF | QUIET }>(x);
    (up, _mm512_cmp_pd_mask::<_CMP_NEQ_OQ>(_mm512_cvtps_pd(up), x))
}

#[inline]
#[target_feature(enable = "avx512f,avx512dq")]
fn stand_in_16(x: &[f64], single: bool) -> (__m512, u16) {
    let (low, high) = x.split_at(x.len().min(8));
    let (low, inexact_low) = stand_in(load_some_f64(low), single);
    let (high, inexact_high) = stand_in(load_some_f64(high), single);
    let both = _mm512_insertf32x8::<1>(_mm512_castps256_ps512(low), high);
    (both, u16::from(inexact_low) | u16::from(inexact_high) << 8)
}

/// Rows of 16 numbers become columns.
#[inline]
#[target_feature(enable = "avx512f")]
fn transpose(rows: [__m512; 16]) -> [__m512; 16] {
    let mut pairs = rows;
    for i in 0..8 {
        pairs[2 * i] = _mm512_unpacklo_ps(rows[2 * i], rows[2 * i + 1]);
        pairs[2 * i + 1] = _mm512_unpackhi_ps(rows[2 * i], rows[2 * i + 1]);
    }
    let mut fours = pairs;
    for i in 0..4 {
        let [a, b, c, d] = [0, 1, 2, 3].map(|k| _mm512_castps_pd(pairs[4 * i + k]));
        fours[4 * i] = _mm512_castpd_ps(_mm512_unpacklo_pd(a, c));
        fours[4 * i + 1] = _mm512_castpd_ps(_mm512_unpackhi_pd(a, c));
        fours[4 * i + 2] = _mm512_castpd_ps(_mm512_unpacklo_pd(b, d));
        fours[4 * i + 3] = _mm512_castpd_ps(_mm512_unpackhi_pd(b, d));
    }
    let mut columns = fours;
    for j in 0..4 {
        let even_low = _mm512_shuffle_f32x4::<0x88>(fours[j], fours[4 + j]);
        let odd_low = _mm512_shuffle_f32x4::<0xdd>(fours[j], fours[4 + j]);
        let even_high = _mm512_shuffle_f32x4::<0x88>(fours[8 + j], fours[12 + j]);
        let odd_high = _mm512_shuffle_f32x4::<0xdd>(fours[8 + j], fours[12 + j]);
        columns[j] = _mm512_shuffle_f32x4::<0x88>(even_low, even_high);
        columns[4 + j] = _mm512_shuffle_f32x4::<0x88>(odd_low, odd_high);
        columns[8 + j] = _mm512_shuffle_f32x4::<0xdd>(even_low, even_high);
        columns[12 + j] = _mm512_shuffle_f32x4::<0xdd>(odd_low, odd_high);
    }
    columns
}

/// [`Codes::fill`], by transposing 16 rows at a time where rows are contiguous.
#[target_feature(enable = "avx512f,avx512dq")]
fn fill(codes: &Codes, rows: &Rows<'_>, run: &Run, tiles: &mut Tiles) -> Inexact {
    let contiguous = match rows {
        Rows::F64(view) => view.row(0).to_slice().is_some(),
        Rows::F32(view) => view.row(0).to_slice().is_some(),
    };
    if !contiguous {
        return fill_columns(codes, rows, run, tiles);
    }
    let mut inexact = [0; STRIPS];
    // Whole rows one after the other, so that the memory's prefetcher sees a stream.
    for first in (0..rows.len()).step_by(16) {
        for (place, &strip) in run.strips.iter().enumerate() {
            let features = codes.features(strip);
            let mut block = [_mm512_setzero_ps(); 16];
            for (row, into) in block.iter_mut().enumerate().take(rows.len() - first) {
                match rows {
                    Rows::F64(view) => {
                        let row = view.row(first + row).to_slice().unwrap_or_default();
                        prefetch(row[features.start..].as_ptr().wrapping_add(AHEAD * row.len()));
                        prefetch(row[features.start..].as_ptr().wrapping_add(AHEAD * row.len() + 8));
                        let (x, other) = stand_in_16(&row[features.clone()], codes.single);
                        inexact[place] |= other;
                        *into = x;
                    }
                    Rows::F32(view) => {
                        let row = view.row(first + row).to_slice().unwrap_or_default();
                        *into = load_some_f32(&row[features.clone()]);
                    }
                }
            }
            for (column, x) in tiles[place].iter_mut().zip(transpose(block)) {
                store_f32(&mut column.as_chunks_mut().0[first / 16], x);
            }
        }
    }
    inexact
}

/// [`fill`] where columns are contiguous; the portable way otherwise.
#[target_feature(enable = "avx512f,avx512dq")]
fn fill_columns(codes: &Codes, rows: &Rows<'_>, run: &Run, tiles: &mut Tiles) -> Inexact {
    let Rows::F64(view) = rows else { return codes.fill(rows, run, tiles) };
    let mut inexact = [0; STRIPS];
    for (place, &strip) in run.strips.iter().enumerate() {
        for (within, feature) in codes.features(strip).enumerate() {
            let Some(column) = view.column(feature).to_slice() else { return codes.fill(rows, run, tiles) };
            for (sixteen, into) in column.chunks(16).zip(tiles[place][within].as_chunks_mut().0) {
                let (x, other) = stand_in_16(sixteen, codes.single);
                store_f32(into, x);
                inexact[place] |= u16::from(other != 0) << within;
            }
        }
    }
    inexact
}

/// Codes up to 64 rows into columns `stride` bytes apart.
#[target_feature(enable = "avx512f,avx512bw,avx512cd,avx512dq,avx512vl,avx512vbmi,avx2,bmi1,bmi2,lzcnt,popcnt")]
pub(super) fn code_group(
    codes: &Codes,
    rows: &Rows<'_>,
    into: &mut [u8],
    stride: usize,
    staging: &mut Staging,
) {
    for run in &codes.runs {
        let inexact = fill(codes, rows, run, &mut staging.tiles);
        for table in &codes.tables[run.tables.clone()] {
            let (strip, feature) = (table.strip, table.feature as usize % STRIP);
            let x = &staging.tiles[strip][feature];
            let check = inexact[strip] >> feature & 1 == 1;
            let (mut ranks, suspects) = rank(&codes.search[table.search..], table.levels, x, check);
            if suspects != 0 {
                ranks = settle(codes, table, rows, ranks, suspects);
            }
            write(codes, table, x, ranks, into, stride);
        }
    }
    codes.group_sets(rows, into, stride);
}

/// Decides in `f64` what `f32` cannot.
#[cold]
#[target_feature(enable = "avx512f")]
fn settle(codes: &Codes, table: &Table, rows: &Rows<'_>, ranks: __m512i, mut suspects: u64) -> __m512i {
    let mut bytes = [0; 64];
    store(&mut bytes, ranks);
    while suspects != 0 {
        let row = suspects.trailing_zeros() as usize;
        suspects &= suspects - 1;
        if row < rows.len() {
            bytes[row] = codes.settle(table, bytes[row], rows.at(row, table.feature as usize));
        }
    }
    load(&bytes)
}

/// Ranks as the codes of the columns that want them.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn write(codes: &Codes, table: &Table, x: &[f32; GROUP], ranks: __m512i, into: &mut [u8], stride: usize) {
    let mut missing = 0;
    for (part, x) in x.as_chunks().0.iter().enumerate() {
        let x = load_f32(x);
        missing |= u64::from(_mm512_cmp_ps_mask::<_CMP_UNORD_Q>(x, x)) << (16 * part);
    }
    if let Some((low, high)) = table.zero {
        missing |= _mm512_cmpge_epu8_mask(ranks, _mm512_set1_epi8(low.cast_signed()))
            & _mm512_cmple_epu8_mask(ranks, _mm512_set1_epi8(high.cast_signed()));
    }
    for target in &codes.targets[table.targets.clone()] {
        let codes = _mm512_mask_mov_epi8(ranks, missing, _mm512_set1_epi8(target.missing.cast_signed()));
        if let Some(line) = into[usize::from(target.column) * stride..].first_chunk_mut() {
            store(line, codes);
        }
    }
}

/// The ranks of 64 numbers in a search tree of `levels` levels; where `check`, also which of them lie so close above a
/// threshold that the `f64` must decide.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn rank(search: &[f32], levels: u32, x: &[f32; GROUP], check: bool) -> (__m512i, u64) {
    match (levels, check) {
        (..=4, false) => descend::<4, false>(search, x),
        (5, false) => descend::<5, false>(search, x),
        (6, false) => descend::<6, false>(search, x),
        (7, false) => descend::<7, false>(search, x),
        (_, false) => descend::<8, false>(search, x),
        (..=4, true) => descend::<4, true>(search, x),
        (5, true) => descend::<5, true>(search, x),
        (6, true) => descend::<6, true>(search, x),
        (7, true) => descend::<7, true>(search, x),
        (_, true) => descend::<8, true>(search, x),
    }
}

/// One level of the search in all parts. A macro, because the compiler would not inline so large a function so often.
macro_rules! level {
    ($check:expr, $x:ident, $node:ident, $below:ident, |$at:ident| $pivot:expr) => {
        for part in 0..4 {
            let $at = $node[part];
            let pivot = $pivot;
            let greater = _mm512_cmp_ps_mask::<_CMP_LT_OQ>(pivot, $x[part]);
            let twice = _mm512_add_epi32($at, $at);
            $node[part] = _mm512_mask_or_epi32(twice, greater, twice, _mm512_set1_epi32(1));
            if $check {
                $below[part] = _mm512_mask_mov_ps($below[part], greater, pivot);
            }
        }
    };
}

/// Node 1 is the root, node `i` goes on to `2i` or `2i + 1`; a level of up to 32 nodes is one permutation.
#[target_feature(enable = "avx512f,avx512bw")]
fn descend<const LEVELS: u32, const CHECK: bool>(search: &[f32], x: &[f32; GROUP]) -> (__m512i, u64) {
    let (tables, _) = search.split_at(1 << LEVELS).0.as_chunks::<16>();
    let (parts, _) = x.as_chunks::<16>();
    let x = [load_f32(&parts[0]), load_f32(&parts[1]), load_f32(&parts[2]), load_f32(&parts[3])];
    let mut node = [_mm512_set1_epi32(1); 4];
    let mut below = [_mm512_set1_ps(f32::NAN); 4];
    let first = load_f32(&tables[0]);
    level!(CHECK, x, node, below, |at| _mm512_permutexvar_ps(at, first));
    level!(CHECK, x, node, below, |at| _mm512_permutexvar_ps(at, first));
    level!(CHECK, x, node, below, |at| _mm512_permutexvar_ps(at, first));
    level!(CHECK, x, node, below, |at| _mm512_permutexvar_ps(at, first));
    if LEVELS > 4 {
        let table = load_f32(&tables[1]);
        level!(CHECK, x, node, below, |at| _mm512_permutexvar_ps(at, table));
    }
    if LEVELS > 5 {
        let [a, b] = [load_f32(&tables[2]), load_f32(&tables[3])];
        level!(CHECK, x, node, below, |at| _mm512_permutex2var_ps(a, at, b));
    }
    if LEVELS > 6 {
        let [a, b] = [load_f32(&tables[4]), load_f32(&tables[5])];
        let [c, d] = [load_f32(&tables[6]), load_f32(&tables[7])];
        level!(CHECK, x, node, below, |at| {
            let upper = _mm512_test_epi32_mask(at, _mm512_set1_epi32(32));
            let low = _mm512_permutex2var_ps(a, at, b);
            _mm512_mask_mov_ps(low, upper, _mm512_permutex2var_ps(c, at, d))
        });
    }
    if LEVELS > 7 {
        let [a, b] = [load_f32(&tables[8]), load_f32(&tables[9])];
        let [c, d] = [load_f32(&tables[10]), load_f32(&tables[11])];
        let [e, f] = [load_f32(&tables[12]), load_f32(&tables[13])];
        let [g, h] = [load_f32(&tables[14]), load_f32(&tables[15])];
        level!(CHECK, x, node, below, |at| {
            let odd = _mm512_test_epi32_mask(at, _mm512_set1_epi32(32));
            let upper = _mm512_test_epi32_mask(at, _mm512_set1_epi32(64));
            let low = _mm512_permutex2var_ps(a, at, b);
            let low = _mm512_mask_mov_ps(low, odd, _mm512_permutex2var_ps(c, at, d));
            let high = _mm512_permutex2var_ps(e, at, f);
            let high = _mm512_mask_mov_ps(high, odd, _mm512_permutex2var_ps(g, at, h));
            _mm512_mask_mov_ps(low, upper, high)
        });
    }
    let places = _mm512_set1_epi32(1 << LEVELS);
    let ranks = pack([
        _mm512_sub_epi32(node[0], places),
        _mm512_sub_epi32(node[1], places),
        _mm512_sub_epi32(node[2], places),
        _mm512_sub_epi32(node[3], places),
    ]);
    let mut suspects = 0;
    if CHECK {
        for part in 0..4 {
            suspects |= u64::from(neighbours(x[part], below[part])) << (16 * part);
        }
    }
    (ranks, suspects)
}

/// Whether two `f32` are the same or next to each other: their bits, read as whole numbers, differ by at most one.
#[inline]
#[target_feature(enable = "avx512f")]
fn neighbours(a: __m512, b: __m512) -> u16 {
    let apart = _mm512_sub_epi32(_mm512_castps_si512(a), _mm512_castps_si512(b));
    let shifted = _mm512_add_epi32(apart, _mm512_set1_epi32(1));
    _mm512_cmple_epu32_mask(shifted, _mm512_set1_epi32(2))
}

/// 64 numbers below 256 as bytes.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn pack(parts: [__m512i; 4]) -> __m512i {
    let low = _mm512_packus_epi32(parts[0], parts[1]);
    let high = _mm512_packus_epi32(parts[2], parts[3]);
    let order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
    _mm512_permutexvar_epi32(order, _mm512_packus_epi16(low, high))
}

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
#[target_feature(enable = "avx512f,avx512bw,avx512cd,avx512dq,avx512vl,avx512vbmi,avx2,bmi1,bmi2,lzcnt,popcnt")]
pub(super) fn bottom_up<N: Number>(
    trees: &BottomUp,
    leaves: &Leaves<N>,
    codes: &[u8],
    groups: usize,
    (sums, lines): (&mut [N], &mut Lines),
) -> &'static [u8; GROUP] {
    for tree in 0..trees.programs.len() {
        for first in (0..groups).step_by(ABREAST) {
            match groups - first {
                1 => abreast::<N, 1>(trees, leaves, tree, codes, first, sums, lines),
                2 => abreast::<N, 2>(trees, leaves, tree, codes, first, sums, lines),
                3 => abreast::<N, 3>(trees, leaves, tree, codes, first, sums, lines),
                _ => abreast::<N, 4>(trees, leaves, tree, codes, first, sums, lines),
            }
        }
    }
    match () {
        () if trees.planes.is_empty() => &PLAIN,
        () if size_of::<N>() == 8 => &WOVEN_F64,
        () => &WOVEN_F32,
    }
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vbmi")]
fn abreast<N: Number, const G: usize>(
    trees: &BottomUp,
    leaves: &Leaves<N>,
    tree: usize,
    codes: &[u8],
    first: usize,
    sums: &mut [N],
    lines: &mut Lines,
) {
    let program = trees.programs[tree];
    let codes = &codes[first * GROUP..];
    for &Choice { column, left, right, destination, at_most } in
        &trees.choices[program.start as usize..program.end as usize]
    {
        let at_most = _mm512_set1_epi8(at_most.cast_signed());
        let codes = &codes[usize::from(column) * BLOCK..][..G * GROUP].as_chunks::<GROUP>().0[..G];
        let into = usize::from(TEMPORARY) + usize::from(destination);
        let (left, right) = (lines.of(left), lines.of(right));
        let mut chosen = [at_most; G];
        for group in 0..G {
            let goes_left = _mm512_cmple_epu8_mask(load(&codes[group]), at_most);
            chosen[group] = _mm512_mask_mov_epi8(load(&right[group].0), goes_left, load(&left[group].0));
        }
        let into = &mut lines.0[into % OPERANDS];
        for group in 0..G {
            store(&mut into[group].0, chosen[group]);
        }
    }
    for group in 0..G {
        let place = (first + group) * GROUP;
        let found = lines.of(program.result)[group].0;
        if trees.planes.is_empty() {
            for (row, leaf) in found.iter().enumerate() {
                leaves.add(tree, leaves.first[tree] + u32::from(*leaf), sums, place + row, BLOCK);
            }
        } else {
            add(trees, leaves, tree, load(&found), sums, place);
        }
    }
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

/// Codes one row, a byte per column; `codes` has whole registers of bytes.
#[inline]
#[target_feature(enable = "avx512f,avx512dq,popcnt")]
fn code_row(codes: &Codes, row: &[f64], narrow: &mut Vec<f32>, into: &mut [u8]) {
    narrow.resize(row.len().next_multiple_of(16), 0.0);
    let mut inexact = 0;
    for (x, into) in row.chunks(16).zip(narrow.as_chunks_mut().0) {
        let (x, other) = stand_in_16(x, codes.single);
        inexact |= other;
        store_f32(into, x);
    }
    if inexact == 0 {
        code_entries::<false>(codes, row, narrow, into);
    } else {
        code_entries::<true>(codes, row, narrow, into);
    }
    codes.row_sets(row, into);
}

/// Pivots find the block, the block finds the rank.
#[inline]
#[target_feature(enable = "avx512f,avx512dq,popcnt")]
fn code_entries<const SETTLE: bool>(codes: &Codes, row: &[f64], narrow: &[f32], into: &mut [u8]) {
    for (entry, code) in codes.entries.iter().zip(into) {
        let x = narrow[entry.feature as usize];
        let (pivots, lanes) = (entry.pivots as usize, _mm512_set1_ps(x));
        let below = |block: &[f32; 16]| _mm512_cmp_ps_mask::<_CMP_LT_OQ>(load_f32(block), lanes).count_ones();
        let block = below(&codes.blocks[pivots]);
        let mut rank = (16 * block + below(&codes.blocks[pivots + 1 + block as usize])) as u8;
        if SETTLE {
            rank = codes.settle(&codes.tables[entry.table as usize], rank, row[entry.feature as usize]);
        }
        let missing = x.is_nan() | ((entry.low <= rank) & (rank <= entry.high));
        *code = if missing { entry.missing } else { rank };
    }
}

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

    /// Which of 64 conditions the row fails.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vbmi")]
    fn fails(&self, (columns, at_most): &(Line, Line)) -> u64 {
        let columns = load(&columns.0);
        let codes = match REGISTERS {
            1 => _mm512_permutexvar_epi8(columns, self.0[0]),
            2 => _mm512_permutex2var_epi8(self.0[0], columns, self.0[1]),
            _ => {
                let low = _mm512_permutex2var_epi8(self.0[0], columns, self.0[1]);
                let high = _mm512_permutex2var_epi8(self.0[2], columns, self.0[3]);
                _mm512_mask_mov_epi8(low, _mm512_movepi8_mask(columns), high)
            }
        };
        _mm512_cmpgt_epu8_mask(codes, load(&at_most.0))
    }
}

/// Adds the leaves of trees from `first` on to the sums of one row.
#[inline]
fn add_found<N: Number>(leaves: &Leaves<N>, first: usize, found: &[u32], sums: &mut [N]) {
    match leaves.plain() {
        Some(values) => {
            let mut sum = sums[0];
            found.iter().for_each(|&leaf| sum += values[leaf as usize]);
            sums[0] = sum;
        }
        None => {
            found.iter().enumerate().for_each(|(lane, &leaf)| leaves.add(first + lane, leaf, sums, 0, 1));
        }
    }
}

/// One row by QuickScorer.
#[target_feature(enable = "avx512f,avx512bw,avx512cd,avx512dq,avx512vl,avx512vbmi,avx2,bmi1,bmi2,lzcnt,popcnt")]
pub(super) fn quick_scorer<N: Number>(
    (codes, trees, leaves): (&Codes, &QuickScorer, &Leaves<N>),
    row: &[f64],
    (narrow, coded): (&mut Vec<f32>, &mut Vec<u8>),
    sums: &mut [N],
) {
    coded.resize(codes.width.next_multiple_of(64).max(64), 0);
    code_row(codes, row, narrow, coded);
    match (trees, coded.len() / 64) {
        (QuickScorer::Narrow(groups), 1) => quick_narrow(groups, Row::<1>::new(coded), leaves, sums),
        (QuickScorer::Narrow(groups), 2) => quick_narrow(groups, Row::<2>::new(coded), leaves, sums),
        (QuickScorer::Narrow(groups), _) => quick_narrow(groups, Row::<4>::new(coded), leaves, sums),
        (QuickScorer::Wide(groups), 1) => quick_wide(groups, Row::<1>::new(coded), leaves, sums),
        (QuickScorer::Wide(groups), 2) => quick_wide(groups, Row::<2>::new(coded), leaves, sums),
        (QuickScorer::Wide(groups), _) => quick_wide(groups, Row::<4>::new(coded), leaves, sums),
    }
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512cd,avx512vbmi")]
fn quick_narrow<const R: usize, N: Number>(groups: &Groups<u32>, row: Row<R>, leaves: &Leaves<N>, sums: &mut [N]) {
    let (masks, _) = groups.masks.as_chunks::<16>();
    for group in 0..groups.ends.len() {
        let lines = groups.lines(group);
        let mut words = _mm512_set1_epi32(-1);
        for (conditions, masks) in groups.conditions[lines.clone()].iter().zip(masks[4 * lines.start..].as_chunks::<4>().0) {
            let fails = row.fails(conditions);
            for position in 0..4 {
                let fails = (fails >> (16 * position)) as u16;
                words = _mm512_mask_and_epi32(words, fails, words, load_words(&masks[position]));
            }
        }
        let first = group * 16;
        let firsts = &leaves.first[first..leaves.first.len().min(first + 16)];
        let mut found = [0; 16];
        store_words(&mut found, _mm512_add_epi32(_mm512_lzcnt_epi32(words), load_some_words(firsts)));
        add_found(leaves, first, &found[..firsts.len()], sums);
    }
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512cd,avx512vl,avx512vbmi,avx2")]
fn quick_wide<const R: usize, N: Number>(groups: &Groups<u64>, row: Row<R>, leaves: &Leaves<N>, sums: &mut [N]) {
    let (masks, _) = groups.masks.as_chunks::<8>();
    for group in 0..groups.ends.len() {
        let lines = groups.lines(group);
        let mut words = _mm512_set1_epi32(-1);
        for (conditions, masks) in groups.conditions[lines.clone()].iter().zip(masks[8 * lines.start..].as_chunks::<8>().0) {
            let fails = row.fails(conditions);
            for position in 0..8 {
                let fails = (fails >> (8 * position)) as u8;
                words = _mm512_mask_and_epi64(words, fails, words, load_long_words(&masks[position]));
            }
        }
        let first = group * 8;
        let firsts = &leaves.first[first..leaves.first.len().min(first + 8)];
        let exits = _mm512_castsi256_si512(_mm512_cvtepi64_epi32(_mm512_lzcnt_epi64(words)));
        let mut found = [0; 16];
        store_words(&mut found, _mm512_add_epi32(exits, load_some_words(firsts)));
        add_found(leaves, first, &found[..firsts.len()], sums);
    }
}

/// Trees whose conditions are compared before the leaves of those before them are looked up.
const AHEAD_TREES: usize = 32;

/// One row by the walk on bits.
#[target_feature(enable = "avx512f,avx512bw,avx512cd,avx512dq,avx512vl,avx512vbmi,avx2,bmi1,bmi2,lzcnt,popcnt")]
pub(super) fn bit_walk<N: Number>(
    (codes, trees, leaves): (&Codes, &BitWalk, &Leaves<N>),
    row: &[f64],
    (narrow, coded): (&mut Vec<f32>, &mut Vec<u8>),
    sums: &mut [N],
) {
    coded.resize(codes.width.next_multiple_of(64).max(64), 0);
    code_row(codes, row, narrow, coded);
    match coded.len() / 64 {
        1 => walk_bits(trees, Row::<1>::new(coded), leaves, sums),
        2 => walk_bits(trees, Row::<2>::new(coded), leaves, sums),
        _ => walk_bits(trees, Row::<4>::new(coded), leaves, sums),
    }
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vbmi")]
fn walk_bits<const R: usize, N: Number>(trees: &BitWalk, row: Row<R>, leaves: &Leaves<N>, sums: &mut [N]) {
    let mut ahead = [0; AHEAD_TREES];
    let mut chunks = trees.conditions.chunks(AHEAD_TREES);
    let mut compare = |words: &mut [u64; AHEAD_TREES]| {
        let conditions = chunks.next().unwrap_or_default();
        words.iter_mut().zip(conditions).for_each(|(word, conditions)| *word = row.fails(conditions));
    };
    compare(&mut ahead);
    for (chunk, numbers) in trees.leaves.chunks(AHEAD_TREES).enumerate() {
        let words = ahead;
        compare(&mut ahead);
        for (eight, (words, numbers)) in words.as_chunks::<8>().0.iter().zip(numbers.chunks(8)).enumerate() {
            let places = six_steps(load_long_words(words));
            let mut found = [0; 8];
            for (found, (numbers, place)) in found.iter_mut().zip(numbers.iter().zip(places)) {
                *found = numbers[place as usize % 64];
            }
            add_found(leaves, chunk * AHEAD_TREES + eight * 8, &found[..numbers.len()], sums);
        }
    }
}

/// The places, from 64 on, that eight words lead to.
#[inline]
#[target_feature(enable = "avx512f")]
fn six_steps(words: __m512i) -> [u64; 8] {
    let one = _mm512_set1_epi64(1);
    let mut place = one;
    for _ in 0..6 {
        let right = _mm512_and_si512(_mm512_srlv_epi64(words, place), one);
        place = _mm512_or_si512(_mm512_add_epi64(place, place), right);
    }
    let mut places = [0; 8];
    // SAFETY: the reference is to 64 bytes, and the store needs no alignment.
    unsafe { _mm512_storeu_si512(places.as_mut_ptr().cast(), place) };
    places
}
