//! Rank codes. The ranks of 64 rows are found by a binary search whose tree stands in registers: a level is one
//! permutation of up to 32 numbers, or a choice among several. One row is searched column by column instead, with two
//! comparisons of 16 thresholds each.

#![allow(clippy::wildcard_imports, reason = "intrinsics have long names of their own")]

use std::arch::x86_64::*;

use super::registers::{load, load_f32, load_some_f32, load_some_f64, prefetch, store, store_f32};
use crate::engine::codes::{Codes, Entry, GROUP, Inexact, Run, STRIP, STRIPS, Staging, Table, Tiles};
use crate::engine::rows::Rows;

/// Rows between what is read and what is asked of the memory.
const AHEAD: usize = 64;

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
fn transpose(rows: &[__m512; 16]) -> [__m512; 16] {
    let mut pairs = *rows;
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
            for (column, x) in tiles[place].iter_mut().zip(transpose(&block)) {
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
#[target_feature(
    enable = "avx512f,avx512bw,avx512cd,avx512dq,avx512vl,avx512vbmi,avx2,bmi1,bmi2,lzcnt,popcnt"
)]
pub(in crate::engine) fn code_group(
    codes: &Codes,
    rows: &Rows<'_>,
    into: &mut [u8],
    stride: usize,
    staging: &mut Staging,
) {
    for run in &codes.runs {
        let inexact = fill(codes, rows, run, &mut staging.tiles.0);
        for table in &codes.tables[run.tables.clone()] {
            let (strip, feature) = (table.strip, table.feature as usize % STRIP);
            let x = &staging.tiles.0[strip][feature];
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
fn settle(codes: &Codes, table: &Table, rows: &Rows<'_>, ranks: __m512i, suspects: u64) -> __m512i {
    let mut bytes = [0; 64];
    store(&mut bytes, ranks);
    codes.settle_all(table, rows, suspects, &mut bytes);
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
#[allow(clippy::many_single_char_names, reason = "registers of one table, in order")]
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

/// Codes one row, a byte per column; `codes` has whole registers of bytes.
#[target_feature(
    enable = "avx512f,avx512bw,avx512cd,avx512dq,avx512vl,avx512vbmi,avx2,bmi1,bmi2,lzcnt,popcnt"
)]
pub(in crate::engine) fn code_row(codes: &Codes, row: &[f64], narrow: &mut Vec<f32>, into: &mut [u8]) {
    let whole = row.len().next_multiple_of(16);
    narrow.resize(2 * whole, 0.0);
    let (up, down) = narrow.split_at_mut(whole);
    let (mut inexact, mut nan) = (0, 0);
    let lines = up.as_chunks_mut().0.iter_mut().zip(down.as_chunks_mut().0);
    for (sixteen, (up, down)) in row.chunks(16).zip(lines) {
        let (x, other) = stand_in_16(sixteen, codes.single);
        inexact |= other;
        nan |= _mm512_cmp_ps_mask::<_CMP_UNORD_Q>(x, x);
        store_f32(up, x);
        store_f32(down, if other == 0 { x } else { below_16(sixteen) });
    }
    let entries = codes.entries.iter().zip(&mut *into);
    if nan != 0 || codes.zeros {
        for (entry, code) in entries {
            let x = row[entry.feature as usize];
            let rank = rank_of_one(codes, entry, up[entry.feature as usize]);
            let rank = codes.settle(&codes.tables[entry.table as usize], rank, x);
            let missing = x.is_nan() || (entry.low..=entry.high).contains(&rank);
            *code = if missing { entry.missing } else { rank };
        }
    } else if inexact != 0 {
        for (entry, code) in entries {
            let at = entry.feature as usize;
            *code = settled_rank_of_one(codes, entry, (up[at], down[at]), row[at]);
        }
    } else {
        for (entry, code) in entries {
            *code = rank_of_one(codes, entry, up[entry.feature as usize]);
        }
    }
    codes.row_sets(row, into);
}

/// The greatest `f32` that are at most 16 numbers.
#[inline]
#[target_feature(enable = "avx512f,avx512dq")]
fn below_16(x: &[f64]) -> __m512 {
    const DOWN: i32 = _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC;
    let (low, high) = x.split_at(x.len().min(8));
    let low = _mm512_cvt_roundpd_ps::<DOWN>(load_some_f64(low));
    let high = _mm512_cvt_roundpd_ps::<DOWN>(load_some_f64(high));
    _mm512_insertf32x8::<1>(_mm512_castps256_ps512(low), high)
}

/// Pivots find the block, the block finds the rank.
#[inline]
#[target_feature(enable = "avx512f,avx512dq,popcnt")]
fn rank_of_one(codes: &Codes, entry: &Entry, x: f32) -> u8 {
    let (pivots, lanes) = (entry.pivots as usize, _mm512_set1_ps(x));
    let below = |block: &[f32; 16]| _mm512_cmp_ps_mask::<_CMP_LT_OQ>(load_f32(block), lanes).count_ones();
    let block = below(&codes.blocks[pivots]);
    (16 * block + below(&codes.blocks[pivots + 1 + block as usize])) as u8
}

/// As [`rank_of_one`], of a number between `down` and `up`. The rank may be too great only where a threshold, rounded down,
/// is below `up` but not below `down`; the last one below `up` is in the block, or is the pivot before it.
#[inline]
#[target_feature(enable = "avx512f,avx512dq,popcnt")]
fn settled_rank_of_one(codes: &Codes, entry: &Entry, (up, down): (f32, f32), x: f64) -> u8 {
    let (pivots, up, down) = (entry.pivots as usize, _mm512_set1_ps(up), _mm512_set1_ps(down));
    let below = |block: &[f32; 16]| {
        let block = load_f32(block);
        let below = _mm512_cmp_ps_mask::<_CMP_LT_OQ>(block, up);
        (below.count_ones(), _mm512_mask_cmp_ps_mask::<_CMP_NLT_UQ>(below, block, down))
    };
    let (block, close) = below(&codes.blocks[pivots]);
    let (within, closer) = below(&codes.blocks[pivots + 1 + block as usize]);
    let rank = (16 * block + within) as u8;
    if close | closer == 0 { rank } else { codes.settle(&codes.tables[entry.table as usize], rank, x) }
}
