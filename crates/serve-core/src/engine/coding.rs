//! The portable way to code rows: a search of two counts of 16 comparisons per number, one number after the other.
#![allow(
    clippy::inline_always,
    reason = "what is compiled for several instruction sets must be inlined into each"
)]

use ndarray::ArrayView2;

use super::codes::{Codes, GROUP, Inexact, Run, STRIP, STRIPS, SetColumn, Staging, Table, Target, Tiles};
use super::lower::round_up;
use super::rows::Rows;
use crate::tree::CategoryRounding;

impl Codes {
    /// The `f32` that stands for `x`, and whether it is another number.
    #[inline(always)]
    pub(super) fn stand_in(&self, x: f64) -> (f32, bool) {
        if self.single {
            (x as f32, false)
        } else {
            let up = round_up(x);
            (up, f64::from(up) != x && !x.is_nan())
        }
    }

    /// The rank of `x` where `rank`, that of its stand-in, may be too great.
    #[inline(always)]
    pub(super) fn settle(&self, table: &Table, mut rank: u8, x: f64) -> u8 {
        let thresholds = &self.thresholds[table.thresholds.clone()];
        while rank > 0 && thresholds[usize::from(rank) - 1] >= x {
            rank -= 1;
        }
        rank
    }

    /// The ranks of the rows in `suspects`, whose stand-ins' ranks may be too great. Where no two thresholds are the same
    /// `f32`, one threshold alone can stand between a value and its stand-in, and no branch depends on values.
    pub(super) fn settle_all(
        &self,
        table: &Table,
        rows: &Rows<'_>,
        mut suspects: u64,
        ranks: &mut [u8; GROUP],
    ) {
        let Rows::F64(view) = rows else { return };
        let column = view.column(table.feature as usize);
        let thresholds = &self.thresholds[table.thresholds.clone()];
        while suspects != 0 {
            let row = suspects.trailing_zeros() as usize;
            suspects &= suspects - 1;
            let Some(&x) = column.get(row) else { return };
            let rank = &mut ranks[row];
            if table.crowded {
                *rank = self.settle(table, *rank, x);
            } else {
                let below = thresholds.get(usize::from(*rank).wrapping_sub(1));
                *rank -= u8::from(below.is_some_and(|&threshold| threshold >= x));
            }
        }
    }

    /// The rank of `x` by two counts of 16 comparisons.
    #[inline(always)]
    pub(super) fn count(&self, table: &Table, x: f32) -> u8 {
        let below = |block: &[f32; 16]| block.iter().map(|&t| u8::from(t < x)).sum::<u8>();
        let block = below(&self.blocks[table.pivots]);
        16 * block + below(&self.blocks[table.pivots + 1 + usize::from(block)])
    }

    /// The rank as a column's code.
    #[inline(always)]
    pub(super) fn code(table: &Table, target: Target, rank: u8, nan: bool) -> u8 {
        let zero = table.zero.is_some_and(|(low, high)| (low..=high).contains(&rank));
        if nan || zero { target.missing } else { rank }
    }

    /// Codes one row into `codes`, a byte per column.
    #[inline(always)]
    pub(super) fn row(&self, row: &[f64], codes: &mut [u8]) {
        for (entry, code) in self.entries.iter().zip(&mut *codes) {
            let x = row[entry.feature as usize];
            let (narrow, inexact) = self.stand_in(x);
            let table = &self.tables[entry.table as usize];
            let mut rank = self.count(table, narrow);
            if inexact {
                rank = self.settle(table, rank, x);
            }
            let missing = x.is_nan() || (entry.low..=entry.high).contains(&rank);
            *code = if missing { entry.missing } else { rank };
        }
        self.row_sets(row, codes);
    }

    /// Codes the categories of one row.
    pub(super) fn row_sets(&self, row: &[f64], codes: &mut [u8]) {
        for set in &self.sets {
            codes[usize::from(set.column)] = self.set_code(set, row[set.feature as usize]);
        }
    }

    /// Codes up to 64 rows into columns that stand `stride` bytes apart.
    #[inline(always)]
    pub(super) fn group(&self, rows: &Rows<'_>, codes: &mut [u8], stride: usize, staging: &mut Staging) {
        for run in &self.runs {
            let inexact = self.fill(rows, run, &mut staging.tiles.0);
            for table in &self.tables[run.tables.clone()] {
                let (strip, feature) = (table.strip, table.feature as usize % STRIP);
                let check = inexact[strip] >> feature & 1 == 1;
                self.column_codes(table, rows, &staging.tiles.0[strip][feature], check, codes, stride);
            }
        }
        self.group_sets(rows, codes, stride);
    }

    #[inline(always)]
    fn column_codes(
        &self,
        table: &Table,
        rows: &Rows<'_>,
        x: &[f32; GROUP],
        check: bool,
        codes: &mut [u8],
        stride: usize,
    ) {
        for (row, x) in x.iter().enumerate().take(rows.len()) {
            let mut rank = self.count(table, *x);
            if check {
                rank = self.settle(table, rank, rows.at(row, table.feature as usize));
            }
            for &target in &self.targets[table.targets.clone()] {
                codes[usize::from(target.column) * stride + row] =
                    Self::code(table, target, rank, x.is_nan());
            }
        }
    }

    /// Codes the categories of up to 64 rows.
    pub(super) fn group_sets(&self, rows: &Rows<'_>, codes: &mut [u8], stride: usize) {
        for set in &self.sets {
            let column = &mut codes[usize::from(set.column) * stride..][..rows.len()];
            for (row, code) in column.iter_mut().enumerate() {
                *code = self.set_code(set, rows.at(row, set.feature as usize));
            }
        }
    }

    /// Fills tiles with the features of a run.
    #[inline(always)]
    pub(super) fn fill(&self, rows: &Rows<'_>, run: &Run, tiles: &mut Tiles) -> Inexact {
        match rows {
            Rows::F64(view) => self.fill_from(view, run, tiles, |x| self.stand_in(x)),
            Rows::F32(view) => self.fill_from(view, run, tiles, |x| (x, false)),
        }
    }

    #[inline(always)]
    fn fill_from<T: Copy>(
        &self,
        view: &ArrayView2<'_, T>,
        run: &Run,
        tiles: &mut Tiles,
        stand_in: impl Fn(T) -> (f32, bool),
    ) -> Inexact {
        let mut inexact = [0; STRIPS];
        for ((&strip, tile), inexact) in run.strips.iter().zip(tiles).zip(&mut inexact) {
            let features = self.features(strip);
            let mut put = |place: usize, row: usize, x: T| {
                let (x, other) = stand_in(x);
                tile[place][row] = x;
                *inexact |= u16::from(other) << place;
            };
            if view.row(0).to_slice().is_some() {
                for (row, values) in view.rows().into_iter().enumerate() {
                    let values = values.to_slice().map_or(&[][..], |values| &values[features.clone()]);
                    values.iter().enumerate().for_each(|(place, &x)| put(place, row, x));
                }
            } else {
                for (place, feature) in features.enumerate() {
                    view.column(feature).iter().enumerate().for_each(|(row, &x)| put(place, row, x));
                }
            }
        }
        inexact
    }

    fn set_code(&self, set: &SetColumn, x: f64) -> u8 {
        let x = if self.single { f64::from(x as f32) } else { x };
        if x.is_nan() {
            return set.missing;
        }
        u8::from(!contains(&set.words, self.rounding, x))
    }
}

/// Whether a set has the category that `x` rounds to.
pub(super) fn contains(words: &[u32], rounding: CategoryRounding, x: f64) -> bool {
    // The cast truncates, and saturates negative values to 0, so these are told apart first.
    let possible = match rounding {
        CategoryRounding::Truncate => x > -1.0,
        CategoryRounding::Floor => x >= 0.0,
    };
    let category = x as usize;
    possible && words.get(category / 32).is_some_and(|word| word >> (category % 32) & 1 == 1)
}
