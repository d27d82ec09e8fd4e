//! Rows as the walks ask for them: a column per feature and way to treat missing values, and one per set of categories.
//! A missing value becomes the number that its splits send the right way, a category a 0 or 1.
#![allow(
    clippy::inline_always,
    reason = "what is compiled for several instruction sets must be inlined into each"
)]

use super::coding::contains;
use super::lower::{CategorySet, Group, Lowered, Question, round_down};
use super::rows::Rows;
use crate::tree::{CategoryRounding, ZERO_THRESHOLD};

/// A number that values and thresholds are held in.
pub(super) trait Threshold: Copy + Default + PartialOrd + Send + Sync + 'static {
    const MINUS_INFINITY: Self;
    /// A threshold.
    fn of(x: f64) -> Self;
    /// A value, which is rounded to `f32` where the model says so.
    fn value(x: f64, single: bool) -> Self;
    fn is_nan(self) -> bool;
    fn wide(self) -> f64;
    fn number(number: u32) -> Self;
    fn as_number(self) -> u32;
}

impl Threshold for f32 {
    const MINUS_INFINITY: Self = f32::NEG_INFINITY;

    /// For numbers that are `f32`, being at most `x` is being at most this.
    fn of(x: f64) -> Self {
        round_down(x)
    }

    #[inline(always)]
    fn value(x: f64, _: bool) -> Self {
        x as f32
    }

    #[inline(always)]
    fn is_nan(self) -> bool {
        self.is_nan()
    }

    fn wide(self) -> f64 {
        self.into()
    }

    fn number(number: u32) -> Self {
        f32::from_bits(number)
    }

    fn as_number(self) -> u32 {
        self.to_bits()
    }
}

impl Threshold for f64 {
    const MINUS_INFINITY: Self = f64::NEG_INFINITY;

    fn of(x: f64) -> Self {
        x
    }

    #[inline(always)]
    fn value(x: f64, single: bool) -> Self {
        if single { f64::from(x as f32) } else { x }
    }

    #[inline(always)]
    fn is_nan(self) -> bool {
        self.is_nan()
    }

    fn wide(self) -> f64 {
        self
    }

    fn number(number: u32) -> Self {
        f64::from(number)
    }

    fn as_number(self) -> u32 {
        self as u32
    }
}

/// A column that is 0 for members of a set, else 1.
#[derive(Debug, Clone)]
struct SetColumn {
    feature: u32,
    missing: f64,
    words: Box<[u32]>,
}

/// The columns of an ensemble: first those of numbers, by feature, then those of sets.
#[derive(Debug, Clone)]
pub(super) struct Columns {
    single: bool,
    rounding: CategoryRounding,
    /// Per column of numbers, its feature and what stands for NaN.
    features: Vec<u32>,
    missing: Vec<f64>,
    /// Whether column `i` is of feature `i`.
    whole: bool,
    /// Columns in which zeros count as missing.
    zeros: Vec<u32>,
    sets: Vec<SetColumn>,
    /// Per group, its columns: missing values go right in the first, left in the second.
    groups: Vec<[u32; 2]>,
}

impl Columns {
    pub(super) fn new(lowered: &Lowered) -> Self {
        let set = |CategorySet { feature, missing_left, words }: &CategorySet| SetColumn {
            feature: *feature,
            missing: f64::from(u8::from(!missing_left)),
            words: words.clone(),
        };
        let mut columns = Self {
            single: lowered.single,
            rounding: lowered.rounding,
            features: Vec::new(),
            missing: Vec::new(),
            whole: false,
            zeros: Vec::new(),
            sets: lowered.sets.iter().map(set).collect(),
            groups: Vec::new(),
        };
        for group in &lowered.groups {
            let sides = columns.of_group(group);
            columns.groups.push(sides);
        }
        columns.whole = (0..).zip(&columns.features).all(|(column, &feature)| column == feature);
        columns
    }

    fn of_group(&mut self, group: &Group) -> [u32; 2] {
        let mut push = |missing| {
            let column = self.features.len() as u32;
            self.features.push(group.feature);
            self.missing.push(missing);
            self.zeros.extend(group.zero.then_some(column));
            column
        };
        match Group::turn(&group.sides) {
            // NaN is at most nothing, and the first threshold that it goes left at is at most itself and what follows.
            Some(turn) => [push(group.thresholds.get(turn).copied().unwrap_or(f64::NAN)); 2],
            None => [push(f64::NAN), push(f64::NEG_INFINITY)],
        }
    }

    /// Number of columns.
    pub(super) fn len(&self) -> usize {
        self.features.len() + self.sets.len()
    }

    /// The column and the threshold of a question.
    pub(super) fn place(&self, groups: &[Group], question: Question) -> (u32, f64) {
        match question {
            Question::InSet(set) => (self.features.len() as u32 + set, 0.5),
            Question::AtMost { group, rank, missing_left } => {
                let columns = &self.groups[group as usize];
                let threshold = groups[group as usize].thresholds[rank as usize];
                (columns[usize::from(missing_left)], threshold)
            }
        }
    }

    /// Rows as `width` columns, at least as many as there are, in groups of `lanes` rows, column by column, so that a
    /// step's address is one index for all rows of a group. There are as many rows as whole groups take. What is left
    /// over is negative infinity.
    #[inline(always)]
    pub(super) fn prepare<T: Threshold>(
        &self,
        rows: &Rows<'_>,
        (lanes, width): (usize, usize),
        prepared: &mut Vec<T>,
    ) {
        let padded = rows.len().next_multiple_of(lanes);
        prepared.clear();
        prepared.resize(padded * width, T::MINUS_INFINITY);
        for row in 0..rows.len() {
            let into = (&mut prepared[row / lanes * lanes * width + row % lanes..], lanes);
            match rows {
                Rows::F64(view) => match view.row(row).to_slice() {
                    Some(row) => self.prepare_row(|feature| row[feature], into),
                    None => self.prepare_row(|feature| view[(row, feature)], into),
                },
                Rows::F32(view) => match view.row(row).to_slice() {
                    Some(row) => self.prepare_row(|feature| f64::from(row[feature]), into),
                    None => self.prepare_row(|feature| f64::from(view[(row, feature)]), into),
                },
            }
        }
    }

    #[inline(always)]
    fn prepare_row<T: Threshold>(&self, at: impl Fn(usize) -> f64, (into, lanes): (&mut [T], usize)) {
        let values = self.features.iter().map(|&feature| at(feature as usize));
        if lanes > 1 {
            self.put_numbers(values, into.iter_mut().step_by(lanes));
        } else if self.whole {
            self.put_numbers((0..self.features.len()).map(&at), into.iter_mut());
        } else {
            self.put_numbers(values, into.iter_mut());
        }
        for (set, column) in self.sets.iter().zip(self.features.len()..) {
            let x = T::value(at(set.feature as usize), self.single).wide();
            let outside = || f64::from(u8::from(!contains(&set.words, self.rounding, x)));
            into[column * lanes] = T::of(if x.is_nan() { set.missing } else { outside() });
        }
        for &column in &self.zeros {
            let into = &mut into[column as usize * lanes];
            if into.wide().abs() <= ZERO_THRESHOLD {
                *into = T::value(self.missing[column as usize], self.single);
            }
        }
    }

    #[inline(always)]
    fn put_numbers<'a, T: Threshold>(
        &self,
        values: impl Iterator<Item = f64>,
        into: impl Iterator<Item = &'a mut T>,
    ) {
        for ((x, missing), into) in values.zip(&self.missing).zip(into) {
            let (x, missing) = (T::value(x, self.single), T::value(*missing, self.single));
            *into = if x.is_nan() { missing } else { x };
        }
    }
}
