//! Rank codes, 64 rows at a time. Rows become columns by transposing blocks of eight rows and four features; ranks come
//! from a binary search whose tree is read by permuting registers of eight numbers: the last three decisions choose
//! within a register, those before them between registers.

#![allow(clippy::wildcard_imports, reason = "intrinsics have long names of their own")]

use std::arch::x86_64::*;

use ndarray::ArrayView2;

use super::registers::{load, load_f32, load_f64, load_four, prefetch, store, store_f32};
use crate::engine::codes::{Codes, GROUP, Inexact, Run, STRIP, STRIPS, Staging, Table, Tiles};
use crate::engine::rows::Rows;

/// Rows between what is read and what is asked of the memory.
const AHEAD: usize = 64;

/// Rows that are transposed together, and features.
const EIGHT: usize = 8;
const FOUR: usize = 4;

/// Codes up to 64 rows into columns `stride` bytes apart.
#[target_feature(enable = "avx2,popcnt,lzcnt")]
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

/// [`Codes::fill`], by transposing where rows are contiguous; the portable way otherwise.
#[target_feature(enable = "avx2")]
fn fill(codes: &Codes, rows: &Rows<'_>, run: &Run, tiles: &mut Tiles) -> Inexact {
    let mut inexact = [0; STRIPS];
    for first in (0..rows.len()).step_by(EIGHT) {
        match rows {
            Rows::F64(view) => {
                let Some(eight) = eight_rows(view, first) else { return codes.fill(rows, run, tiles) };
                for (place, &strip) in run.strips.iter().enumerate() {
                    let features = codes.features(strip);
                    for row in eight {
                        let next = row.as_ptr().wrapping_add(AHEAD * row.len() + features.start);
                        prefetch(next);
                        prefetch(next.wrapping_add(EIGHT));
                    }
                    for within in (0..features.len()).step_by(FOUR) {
                        let (block, other) = block_f64(&eight, features.start + within, codes.single);
                        inexact[place] |= other << within;
                        put(block, &mut tiles[place][within..], first);
                    }
                }
            }
            Rows::F32(view) => {
                let Some(eight) = eight_rows(view, first) else { return codes.fill(rows, run, tiles) };
                for (place, &strip) in run.strips.iter().enumerate() {
                    let features = codes.features(strip);
                    for within in (0..features.len()).step_by(FOUR) {
                        put(block_f32(&eight, features.start + within), &mut tiles[place][within..], first);
                    }
                }
            }
        }
    }
    inexact
}

/// Eight rows from `first` on, empty after the last; `None` where rows are not contiguous.
#[inline]
fn eight_rows<'a, T>(view: &'a ArrayView2<'_, T>, first: usize) -> Option<[&'a [T]; EIGHT]> {
    let mut eight: [&[T]; EIGHT] = [&[]; EIGHT];
    for (row, into) in (first..view.nrows()).zip(&mut eight) {
        *into = view.row(row).to_slice()?;
    }
    Some(eight)
}

/// Four numbers of a row, zeros after its end.
#[inline]
fn four<T: Copy + Default>(row: &[T], start: usize) -> [T; FOUR] {
    let rest = row.get(start..).unwrap_or_default();
    rest.first_chunk().copied().unwrap_or_else(|| {
        let mut four = [T::default(); FOUR];
        four.iter_mut().zip(rest).for_each(|(into, x)| *into = *x);
        four
    })
}

/// Four features of eight rows in `f32`, row `i` beside row `i + 4`, and which features have a value that is no `f32`.
#[inline]
#[target_feature(enable = "avx2")]
fn block_f64(rows: &[&[f64]; EIGHT], start: usize, single: bool) -> ([__m256; FOUR], u16) {
    let mut block = [_mm256_setzero_ps(); FOUR];
    let mut inexact = _mm256_setzero_pd();
    for (i, into) in block.iter_mut().enumerate() {
        let (low, high) = (load_f64(&four(rows[i], start)), load_f64(&four(rows[i + FOUR], start)));
        let near = _mm256_set_m128(_mm256_cvtpd_ps(high), _mm256_cvtpd_ps(low));
        if single {
            *into = near;
            continue;
        }
        let back =
            [_mm256_castps256_ps128(near), _mm256_extractf128_ps::<1>(near)].map(|x| _mm256_cvtps_pd(x));
        let other = _mm256_or_pd(
            _mm256_cmp_pd::<_CMP_NEQ_OQ>(back[0], low),
            _mm256_cmp_pd::<_CMP_NEQ_OQ>(back[1], high),
        );
        inexact = _mm256_or_pd(inexact, other);
        *into = if _mm256_movemask_pd(other) == 0 {
            near
        } else {
            let below =
                [_mm256_cmp_pd::<_CMP_LT_OQ>(back[0], low), _mm256_cmp_pd::<_CMP_LT_OQ>(back[1], high)];
            next_up(near, below)
        };
    }
    (block, _mm256_movemask_pd(inexact) as u16)
}

/// The next greater `f32` where told: in the low half by the first mask, in the high half by the second. No number
/// there is NaN, infinity or `-0.0`, since each lies below another number.
#[inline]
#[target_feature(enable = "avx2")]
fn next_up(x: __m256, told: [__m256d; 2]) -> __m256 {
    let [low, high] = told.map(|mask| _mm256_castpd_ps(mask));
    let told = _mm256_castps_si256(_mm256_shuffle_ps::<0x88>(low, high));
    let told = _mm256_permute4x64_epi64::<0b11_01_10_00>(told);
    let bits = _mm256_castps_si256(x);
    let step = _mm256_or_si256(_mm256_srai_epi32::<31>(bits), _mm256_set1_epi32(1));
    _mm256_castsi256_ps(_mm256_add_epi32(bits, _mm256_and_si256(step, told)))
}

#[inline]
#[target_feature(enable = "avx2")]
fn block_f32(rows: &[&[f32]; EIGHT], start: usize) -> [__m256; FOUR] {
    let load = |row: usize| load_four(&four(rows[row], start));
    [0, 1, 2, 3].map(|i| _mm256_set_m128(load(i + FOUR), load(i)))
}

/// Transposes a block into columns, at the rows from `first` on.
#[inline]
#[target_feature(enable = "avx2")]
fn put(block: [__m256; FOUR], columns: &mut [[f32; GROUP]], first: usize) {
    let [a, b, c, d] = block;
    let pairs = [
        _mm256_unpacklo_ps(a, b),
        _mm256_unpacklo_ps(c, d),
        _mm256_unpackhi_ps(a, b),
        _mm256_unpackhi_ps(c, d),
    ];
    let [a, b, c, d] = pairs.map(|x| _mm256_castps_pd(x));
    let fours = [
        _mm256_unpacklo_pd(a, b),
        _mm256_unpackhi_pd(a, b),
        _mm256_unpacklo_pd(c, d),
        _mm256_unpackhi_pd(c, d),
    ];
    for (column, x) in columns.iter_mut().zip(fours) {
        store_f32(&mut column.as_chunks_mut().0[first / EIGHT], _mm256_castpd_ps(x));
    }
}

/// Decides in `f64` what `f32` cannot.
#[cold]
#[target_feature(enable = "avx2")]
fn settle(codes: &Codes, table: &Table, rows: &Rows<'_>, ranks: [__m256i; 2], suspects: u64) -> [__m256i; 2] {
    let mut bytes = [0; GROUP];
    let (halves, _) = bytes.as_chunks_mut();
    store(&mut halves[0], ranks[0]);
    store(&mut halves[1], ranks[1]);
    codes.settle_all(table, rows, suspects, &mut bytes);
    let (halves, _) = bytes.as_chunks();
    [load(&halves[0]), load(&halves[1])]
}

/// Ranks as the codes of the columns that want them.
#[inline]
#[target_feature(enable = "avx2")]
fn write(
    codes: &Codes,
    table: &Table,
    x: &[f32; GROUP],
    ranks: [__m256i; 2],
    into: &mut [u8],
    stride: usize,
) {
    for (half, (x, ranks)) in x.as_chunks::<32>().0.iter().zip(ranks).enumerate() {
        let (x, _) = x.as_chunks();
        let x = [load_f32(&x[0]), load_f32(&x[1]), load_f32(&x[2]), load_f32(&x[3])];
        let nan = x.map(|x| _mm256_castps_si256(_mm256_cmp_ps::<_CMP_UNORD_Q>(x, x)));
        let mut missing = in_order(_mm256_packs_epi16(
            _mm256_packs_epi32(nan[0], nan[1]),
            _mm256_packs_epi32(nan[2], nan[3]),
        ));
        if let Some((low, high)) = table.zero {
            let (low, high) = (_mm256_set1_epi8(low.cast_signed()), _mm256_set1_epi8(high.cast_signed()));
            let within = _mm256_max_epu8(_mm256_min_epu8(ranks, high), low);
            missing = _mm256_or_si256(missing, _mm256_cmpeq_epi8(within, ranks));
        }
        for target in &codes.targets[table.targets.clone()] {
            let codes = _mm256_blendv_epi8(ranks, _mm256_set1_epi8(target.missing.cast_signed()), missing);
            if let Some(line) = into[usize::from(target.column) * stride + 32 * half..].first_chunk_mut() {
                store(line, codes);
            }
        }
    }
}

/// Undoes the order in which four registers of eight numbers are packed into bytes.
#[inline]
#[target_feature(enable = "avx2")]
fn in_order(packed: __m256i) -> __m256i {
    _mm256_permutevar8x32_epi32(packed, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7))
}

/// The ranks of 64 numbers in a search tree of `levels` levels; where `check`, also which of them lie so close above a
/// threshold that the `f64` must decide.
#[inline]
#[target_feature(enable = "avx2")]
fn rank(search: &[f32], levels: u32, x: &[f32; GROUP], check: bool) -> ([__m256i; 2], u64) {
    match (levels, check) {
        (..=4, false) => ranks::<4, false>(search, x),
        (5, false) => ranks::<5, false>(search, x),
        (6, false) => ranks::<6, false>(search, x),
        (7, false) => ranks::<7, false>(search, x),
        (_, false) => ranks::<8, false>(search, x),
        (..=4, true) => ranks::<4, true>(search, x),
        (5, true) => ranks::<5, true>(search, x),
        (6, true) => ranks::<6, true>(search, x),
        (7, true) => ranks::<7, true>(search, x),
        (_, true) => ranks::<8, true>(search, x),
    }
}

#[target_feature(enable = "avx2")]
fn ranks<const LEVELS: u32, const CHECK: bool>(search: &[f32], x: &[f32; GROUP]) -> ([__m256i; 2], u64) {
    let (tables, _) = search.split_at(1 << LEVELS).0.as_chunks::<EIGHT>();
    let mut ranks = [_mm256_setzero_si256(); 2];
    let mut suspects = 0;
    for (half, x) in x.as_chunks::<32>().0.iter().enumerate() {
        let mut found = [_mm256_setzero_si256(); 4];
        for (part, x) in x.as_chunks().0.iter().enumerate() {
            let x = load_f32(x);
            let (rank, below) = descend::<LEVELS, CHECK>(tables, x);
            found[part] = rank;
            if CHECK {
                suspects |= u64::from(neighbours(x, below)) << (32 * half + EIGHT * part);
            }
        }
        let low = _mm256_packus_epi32(found[0], found[1]);
        let high = _mm256_packus_epi32(found[2], found[3]);
        ranks[half] = in_order(_mm256_packus_epi16(low, high));
    }
    (ranks, suspects)
}

/// Where a tree's tables are read: the last three decisions, and the masks of those before them, the first in front.
#[derive(Clone, Copy)]
struct Way<'a> {
    tables: &'a [[f32; EIGHT]],
    node: __m256i,
}

impl Way<'_> {
    #[inline]
    #[target_feature(enable = "avx2")]
    fn one(self, at: usize) -> __m256 {
        _mm256_permutevar8x32_ps(load_f32(&self.tables[at]), self.node)
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    fn two(self, at: usize, [a]: [__m256; 1]) -> __m256 {
        _mm256_blendv_ps(self.one(at), self.one(at + 1), a)
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    fn four(self, at: usize, [a, b]: [__m256; 2]) -> __m256 {
        _mm256_blendv_ps(self.two(at, [b]), self.two(at + 2, [b]), a)
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    fn eight(self, at: usize, [a, b, c]: [__m256; 3]) -> __m256 {
        _mm256_blendv_ps(self.four(at, [b, c]), self.four(at + 4, [b, c]), a)
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    fn sixteen(self, at: usize, [a, b, c, d]: [__m256; 4]) -> __m256 {
        _mm256_blendv_ps(self.eight(at, [b, c, d]), self.eight(at + 8, [b, c, d]), a)
    }
}

/// The ranks of eight numbers and the thresholds right below them. Node 1 is the root, node `i` goes on to `2i` or
/// `2i + 1`, and eight nodes in a row are a table.
#[allow(clippy::many_single_char_names, reason = "the masks of the first decisions, in order")]
#[inline]
#[target_feature(enable = "avx2")]
fn descend<const LEVELS: u32, const CHECK: bool>(tables: &[[f32; EIGHT]], x: __m256) -> (__m256i, __m256) {
    let mut way = Way { tables, node: _mm256_set1_epi32(1) };
    let mut below = _mm256_set1_ps(f32::NEG_INFINITY);
    let mut go = |way: &mut Way<'_>, pivot: __m256| {
        let greater = _mm256_cmp_ps::<_CMP_LT_OQ>(pivot, x);
        let twice = _mm256_add_epi32(way.node, way.node);
        way.node = _mm256_sub_epi32(twice, _mm256_castps_si256(greater));
        if CHECK {
            below = _mm256_blendv_ps(below, pivot, greater);
        }
        greater
    };
    let a = go(&mut way, _mm256_set1_ps(tables[0][1]));
    let pivot = way.one(0);
    let b = go(&mut way, pivot);
    let pivot = way.one(0);
    let c = go(&mut way, pivot);
    let pivot = way.one(1);
    let d = go(&mut way, pivot);
    if LEVELS > 4 {
        let pivot = way.two(2, [a]);
        go(&mut way, pivot);
    }
    if LEVELS > 5 {
        let pivot = way.four(4, [a, b]);
        go(&mut way, pivot);
    }
    if LEVELS > 6 {
        let pivot = way.eight(8, [a, b, c]);
        go(&mut way, pivot);
    }
    if LEVELS > 7 {
        let pivot = way.sixteen(16, [a, b, c, d]);
        go(&mut way, pivot);
    }
    (_mm256_sub_epi32(way.node, _mm256_set1_epi32(1 << LEVELS)), below)
}

/// Whether two `f32` are the same or next to each other: their bits, read as whole numbers, differ by at most one.
#[inline]
#[target_feature(enable = "avx2")]
fn neighbours(a: __m256, b: __m256) -> u8 {
    let apart = _mm256_abs_epi32(_mm256_sub_epi32(_mm256_castps_si256(a), _mm256_castps_si256(b)));
    let far = _mm256_cmpgt_epi32(apart, _mm256_set1_epi32(1));
    !_mm256_movemask_ps(_mm256_castsi256_ps(far)) as u8
}
