//! What is counted of rows while they are scored: the numbers that a report is made of. A thread counts a batch by a [`Gauge`],
//! which the plan has; a [`Tally`] knows nothing but counts, so tallies of batches, parts and machines are merged, kept in
//! journals and read back.
//!
//! Merged in the order of the input, sums of floating-point numbers do not depend on threads. They are kept with what rounding left over
//! (Knuth's two-sum), at twice the precision, so neither do their last bits on where batches and parts are cut.

mod cells;
mod column;
mod counter;
mod gauge;
mod sample;
mod sum;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub(crate) use counter::{Counted, Counter};
pub(crate) use gauge::score_names;
pub use gauge::{Gauge, Kind, Meter, log_cell_bounds};
pub use sum::Sum;

/// Kinds of reason that are told apart; later ones are counted together.
const REASONS: usize = 200;

/// What further kinds of reason are counted as.
const OTHER: &str = "other reasons";

/// The counts of some rows.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tally {
    /// Rows that were read.
    pub rows: u64,
    /// Rows that were rejected, those included that were no rows.
    pub rejected: u64,
    /// Rejected rows by column and kind of reason.
    pub reasons: Vec<Reason>,
    /// The inputs of the signature, in order: all rows that could be read as rows, before missing values were replaced.
    pub features: Vec<ColumnTally>,
    /// The scores, in order: rows that were answered.
    pub scores: Vec<ColumnTally>,
    /// The scores once more, by cells of one width for classes and of one relative width for values.
    pub histograms: Vec<Counts>,
    /// Answered rows by label, in the order of the decision's labels.
    pub labels: Vec<u64>,
}

/// Rejected rows of one column and kind of reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reason {
    /// The column; empty where it is the row as a whole.
    pub column: String,
    /// What was expected, without what came instead.
    pub reason: String,
    /// How many rows.
    pub rows: u64,
}

/// The counts of one column.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ColumnTally {
    /// Nothing was there.
    pub missing: u64,
    /// Something was there that is no value of the input; unknown texts that reject their row included.
    pub unreadable: u64,
    /// Texts that the model does not know, whether they reject their row or have a code.
    pub unknown: u64,
    /// Below the training range, or the declared one where there is no other.
    pub below: u64,
    /// Above it.
    pub above: u64,
    /// Something was there that could be read.
    pub present: u64,
    /// Finite values.
    pub finite: u64,
    /// Their sum.
    pub sum: Sum,
    /// The least and the greatest of them.
    pub range: Option<(f64, f64)>,
    /// Values present, by the cells of the [`Meter`]; of features of long inputs one row in 32, drawn by its number, which counts
    /// 32-fold.
    pub counts: Counts,
}

impl ColumnTally {
    /// The mean of the finite values.
    #[must_use]
    pub fn mean(&self) -> Option<f64> {
        (self.finite > 0).then(|| self.sum.value() / self.finite as f64)
    }

    fn merge(&mut self, other: &Self) {
        self.missing += other.missing;
        self.unreadable += other.unreadable;
        self.unknown += other.unknown;
        self.below += other.below;
        self.above += other.above;
        self.present += other.present;
        self.finite += other.finite;
        self.sum.add(other.sum);
        self.range = match (self.range, other.range) {
            (Some((min, max)), Some((low, high))) => Some((min.min(low), max.max(high))),
            (mine, others) => mine.or(others),
        };
        self.counts.merge(&other.counts);
    }
}

/// Counts by cell.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Counts {
    /// Of every cell, in order.
    Dense(Vec<u64>),
    /// Of the cells that have any.
    Sparse(BTreeMap<i32, u64>),
}

impl<'a> IntoIterator for &'a Counts {
    type Item = (i32, u64);
    type IntoIter = Box<dyn Iterator<Item = (i32, u64)> + 'a>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl Default for Counts {
    fn default() -> Self {
        Self::Dense(Vec::new())
    }
}

impl Counts {
    /// All of them together.
    #[must_use]
    pub fn total(&self) -> u64 {
        match self {
            Self::Dense(counts) => counts.iter().sum(),
            Self::Sparse(counts) => counts.values().sum(),
        }
    }

    /// The count of one cell.
    #[must_use]
    pub fn get(&self, cell: usize) -> u64 {
        let count = match self {
            Self::Dense(counts) => counts.get(cell),
            Self::Sparse(counts) => i32::try_from(cell).ok().and_then(|cell| counts.get(&cell)),
        };
        count.copied().unwrap_or(0)
    }

    /// The cells that have any, in order.
    pub fn iter(&self) -> Box<dyn Iterator<Item = (i32, u64)> + '_> {
        match self {
            Self::Dense(counts) => {
                Box::new((0..).zip(counts.iter().copied()).filter(|(_, count)| *count > 0))
            }
            Self::Sparse(counts) => Box::new(counts.iter().map(|(cell, count)| (*cell, *count))),
        }
    }

    fn merge(&mut self, other: &Self) {
        match (self, other) {
            (Self::Dense(mine), Self::Dense(others)) => add(mine, others),
            (Self::Sparse(mine), others) => {
                others.iter().for_each(|(cell, count)| *mine.entry(cell).or_default() += count);
            }
            (mine @ Self::Dense(_), Self::Sparse(others)) => {
                let mut all = others.clone();
                mine.iter().for_each(|(cell, count)| *all.entry(cell).or_default() += count);
                *mine = Self::Sparse(all);
            }
        }
    }
}

fn add(mine: &mut Vec<u64>, others: &[u64]) {
    if mine.len() < others.len() {
        mine.resize(others.len(), 0);
    }
    mine.iter_mut().zip(others).for_each(|(mine, other)| *mine += other);
}

impl Tally {
    /// Adds the counts of the rows that follow, by the same gauge.
    pub fn merge(&mut self, other: &Self) {
        self.rows += other.rows;
        self.rejected += other.rejected;
        for Reason { column, reason, rows } in &other.reasons {
            self.reject(column, reason, *rows);
        }
        for (mine, others) in [(&mut self.features, &other.features), (&mut self.scores, &other.scores)] {
            if mine.len() < others.len() {
                mine.resize_with(others.len(), ColumnTally::default);
            }
            mine.iter_mut().zip(others).for_each(|(mine, other)| mine.merge(other));
        }
        if self.histograms.len() < other.histograms.len() {
            self.histograms.resize_with(other.histograms.len(), Counts::default);
        }
        self.histograms.iter_mut().zip(&other.histograms).for_each(|(mine, other)| mine.merge(other));
        add(&mut self.labels, &other.labels);
    }

    /// Adds counts to what may be none yet.
    pub(crate) fn add(all: &mut Option<Self>, more: Option<&Self>) {
        if let Some(more) = more {
            all.get_or_insert_default().merge(more);
        }
    }

    /// Counts rejects of one kind.
    fn reject(&mut self, column: &str, reason: &str, rows: u64) {
        let known = |mine: &&mut Reason| mine.column == column && mine.reason == reason;
        if let Some(mine) = self.reasons.iter_mut().find(known) {
            mine.rows += rows;
        } else if self.reasons.len() < REASONS || (column.is_empty() && reason == OTHER) {
            let (column, reason) = (column.to_owned(), reason.to_owned());
            self.reasons.push(Reason { column, reason, rows });
        } else {
            self.reject("", OTHER, rows);
        }
    }
}

/// The kind of a reason: what was expected of the first column at fault, without what came and where.
fn kind<'a>(column: &str, reason: &'a str) -> &'a str {
    let first = reason.split("; ").next().unwrap_or(reason);
    let plain = first.strip_prefix(column).and_then(|rest| rest.strip_prefix(": ")).unwrap_or(first);
    let ends = [", got ", " at line ", " at byte "].into_iter().filter_map(|end| plain.find(end));
    plain[..ends.min().unwrap_or(plain.len())].trim_end()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_of_reasons_leave_out_what_came() {
        for (column, reason, expected) in [
            ("x", "x: expected a number, got text \"a, got b\"", "expected a number"),
            ("x", "x: expected 0 to 9, got 10; y: expected a number, got text \"\"", "expected 0 to 9"),
            ("", "expected 5 cells, got 2", "expected 5 cells"),
            ("", "expected value at line 1 column 7", "expected value"),
            ("y", "y: missing, and the model has no value", "missing, and the model has no value"),
        ] {
            assert_eq!(kind(column, reason), expected);
        }
    }

    #[test]
    fn too_many_kinds_are_counted_together() {
        let mut tally = Tally::default();
        (0..REASONS + 50).for_each(|i| tally.reject("x", &i.to_string(), 1));
        assert_eq!((tally.reasons.len(), tally.reasons[REASONS].rows), (REASONS + 1, 50));
    }

    #[test]
    fn counts_merge_whatever_holds_them() {
        let sparse = Counts::Sparse(BTreeMap::from([(1, 2), (-3, 1)]));
        let mut dense = Counts::Dense(vec![1, 1]);
        dense.merge(&sparse);
        assert_eq!(dense.iter().collect::<Vec<_>>(), [(-3, 1), (0, 1), (1, 3)]);
        let mut empty = Counts::default();
        empty.merge(&Counts::Dense(vec![0, 4]));
        assert_eq!((empty.total(), empty.get(1), empty.get(9)), (4, 4, 0));
    }
}
