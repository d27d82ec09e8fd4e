//! One row: its codes in up to four registers, the conditions of trees 64 at a time.

#![allow(clippy::wildcard_imports, reason = "intrinsics have long names of their own")]

use std::arch::x86_64::*;

use super::coding::code_row;
use super::registers::{load, load_long_words, load_some_words, load_words, store_long_words, store_words};
use crate::engine::bit_walk::BitWalk;
use crate::engine::codes::Codes;
use crate::engine::leaves::{Leaves, Number};
use crate::engine::lines::Line;
use crate::engine::quick_scorer::{Groups, QuickScorer};

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
#[target_feature(
    enable = "avx512f,avx512bw,avx512cd,avx512dq,avx512vl,avx512vbmi,avx2,bmi1,bmi2,lzcnt,popcnt"
)]
pub(in crate::engine) fn quick_scorer<N: Number>(
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
fn quick_narrow<const R: usize, N: Number>(
    groups: &Groups<u32>,
    row: Row<R>,
    leaves: &Leaves<N>,
    sums: &mut [N],
) {
    let (masks, _) = groups.masks.as_chunks::<16>();
    for group in 0..groups.ends.len() {
        let lines = groups.lines(group);
        let mut words = _mm512_set1_epi32(-1);
        for (conditions, masks) in
            groups.conditions[lines.clone()].iter().zip(masks[4 * lines.start..].as_chunks::<4>().0)
        {
            let fails = row.fails(conditions);
            for (position, masks) in masks.iter().enumerate() {
                let fails = (fails >> (16 * position)) as u16;
                words = _mm512_mask_and_epi32(words, fails, words, load_words(masks));
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
fn quick_wide<const R: usize, N: Number>(
    groups: &Groups<u64>,
    row: Row<R>,
    leaves: &Leaves<N>,
    sums: &mut [N],
) {
    let (masks, _) = groups.masks.as_chunks::<8>();
    for group in 0..groups.ends.len() {
        let lines = groups.lines(group);
        let mut words = _mm512_set1_epi32(-1);
        for (conditions, masks) in
            groups.conditions[lines.clone()].iter().zip(masks[8 * lines.start..].as_chunks::<8>().0)
        {
            let fails = row.fails(conditions);
            for (position, masks) in masks.iter().enumerate() {
                let fails = (fails >> (8 * position)) as u8;
                words = _mm512_mask_and_epi64(words, fails, words, load_long_words(masks));
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
#[target_feature(
    enable = "avx512f,avx512bw,avx512cd,avx512dq,avx512vl,avx512vbmi,avx2,bmi1,bmi2,lzcnt,popcnt"
)]
pub(in crate::engine) fn bit_walk<N: Number>(
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
    store_long_words(&mut places, place);
    places
}
