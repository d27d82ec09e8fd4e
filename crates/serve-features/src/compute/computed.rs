//! What computing a set for one entity gave, by columns: a million rows of 56 features are 56 vectors, and a row is made only
//! where one is asked for.

use std::ops::Range;
use std::sync::Arc;

use jiff::Timestamp;
use serve_core::Value;

use crate::declaration::{DeclarationDigest, FeatureSet, MissingPolicy};
use crate::name::Entity;
use crate::row::{FeatureRow, Names};

/// The rows of one entity, oldest first, each with every feature in the declared order.
#[derive(Debug, Clone)]
pub struct Computed {
    entity: Entity,
    names: Names,
    declaration: Option<DeclarationDigest>,
    timestamps: Vec<Timestamp>,
    columns: Vec<Vec<f64>>,
    rejected: usize,
    /// Per feature the rows, ascending, in which its constant stands for a missing value.
    filled: Vec<Vec<usize>>,
}

impl Computed {
    /// Applies the features' policies to computed columns whose row `i` stands at `moments[i]`.
    pub(super) fn new(
        entity: &Entity,
        set: &FeatureSet,
        moments: &[Timestamp],
        mut columns: Vec<Vec<f64>>,
    ) -> Self {
        let features = &set.features;
        // Of rows of one moment the last has seen them all.
        let mut kept: Vec<bool> =
            (0..moments.len()).map(|t| moments.get(t + 1) != Some(&moments[t])).collect();
        let last = kept.iter().filter(|kept| **kept).count();
        for (feature, column) in features.iter().zip(&columns) {
            if feature.missing == MissingPolicy::Reject {
                kept.iter_mut().zip(column).for_each(|(kept, x)| *kept &= x.is_finite());
            }
        }
        let rows = kept.iter().filter(|kept| **kept).count();
        let mut filled = Vec::with_capacity(features.len());
        for (feature, column) in features.iter().zip(&mut columns) {
            if rows < column.len() {
                let mut kept = kept.iter();
                column.retain(|_| kept.next().copied().unwrap_or(false));
            }
            filled.push(settle(column, feature.missing));
        }
        let timestamps = moments.iter().zip(&kept).filter(|(_, kept)| **kept).map(|(at, _)| *at).collect();
        let names = features.iter().map(|feature| Arc::clone(&feature.name)).collect();
        let (entity, declaration) = (entity.clone(), set.computed_by);
        Self { entity, names, declaration, timestamps, columns, rejected: last - rows, filled }
    }

    /// Of whom.
    #[must_use]
    pub fn entity(&self) -> &Entity {
        &self.entity
    }

    /// The number of rows.
    #[must_use]
    pub fn len(&self) -> usize {
        self.timestamps.len()
    }

    /// There are no rows.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.timestamps.is_empty()
    }

    /// The features' names, as declared.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.names.iter().map(|name| &**name)
    }

    /// When each row became known, oldest first, no moment twice.
    #[must_use]
    pub fn timestamps(&self) -> &[Timestamp] {
        &self.timestamps
    }

    /// A feature's values, one a row; NaN is a missing value, and nothing is infinite or −0.
    #[must_use]
    pub fn column(&self, feature: usize) -> Option<&[f64]> {
        self.columns.get(feature).map(Vec::as_slice)
    }

    /// Whether any row has a value of a feature, other than its constant.
    #[must_use]
    pub fn has_value(&self, name: &str) -> bool {
        let Some(feature) = self.names.iter().position(|known| **known == *name) else { return false };
        let filled = &self.filled[feature];
        let own = |(row, x): (usize, &f64)| !x.is_nan() && filled.binary_search(&row).is_err();
        self.columns[feature].iter().enumerate().any(own)
    }

    /// The row of that index.
    #[must_use]
    pub fn row(&self, row: usize) -> Option<FeatureRow> {
        let timestamp = *self.timestamps.get(row)?;
        let value = |x: f64| if x.is_nan() { Value::Missing } else { Value::Number(x) };
        let values = self.columns.iter().map(|column| value(column[row])).collect();
        let names = Arc::clone(&self.names);
        Some(FeatureRow::of(self.entity.clone(), timestamp, names, values).computed_by(self.declaration))
    }

    /// Every row, each made when it is asked for.
    pub fn rows(&self) -> impl ExactSizeIterator<Item = FeatureRow> {
        self.rows_in(0..self.len())
    }

    /// The rows of these indices, as far as they are there.
    pub fn rows_in(&self, range: Range<usize>) -> impl ExactSizeIterator<Item = FeatureRow> {
        let end = range.end.min(self.len());
        let range = range.start.min(end)..end;
        range.map(|row| {
            self.row(row).unwrap_or_else(|| FeatureRow::new(self.entity.clone(), Timestamp::MIN, []))
        })
    }

    /// These rows as a store keeps them: what was missing is missing, whatever constant stands for it, so that whoever reads them can
    /// tell that it was, and puts the constant there.
    pub fn stored_rows_in(&self, range: Range<usize>) -> impl ExactSizeIterator<Item = FeatureRow> {
        let start = range.start;
        self.rows_in(range).enumerate().map(move |(i, row)| {
            let filled = |feature: usize| self.filled[feature].binary_search(&(start + i)).is_ok();
            if (0..self.filled.len()).any(filled) { row.without(filled) } else { row }
        })
    }

    /// The rows from one moment on and before another.
    #[must_use]
    pub fn between(&self, from: Option<Timestamp>, to: Option<Timestamp>) -> Range<usize> {
        let start = from.map_or(0, |from| self.timestamps.partition_point(|at| *at < from));
        let end = to.map_or(self.len(), |to| self.timestamps.partition_point(|at| *at < to));
        start..end.max(start)
    }

    /// Rows left out because a feature with the policy `reject` was missing.
    #[must_use]
    pub fn rejected(&self) -> usize {
        self.rejected
    }

    /// Values that a `constant` stands for, over all rows.
    #[must_use]
    pub fn filled(&self) -> usize {
        self.filled.iter().map(Vec::len).sum()
    }
}

/// The one place where a computed value becomes one that every store keeps: what is not finite is missing or what the policy
/// says, and −0 is 0, since PostgreSQL's JSON has no −0. Returns where the policy gave the value.
pub(super) fn settle(column: &mut [f64], missing: MissingPolicy) -> Vec<usize> {
    let mut filled = Vec::new();
    for (row, x) in column.iter_mut().enumerate() {
        if x.is_finite() {
            *x += 0.0;
        } else if let MissingPolicy::Constant(constant) = missing {
            *x = constant + 0.0;
            filled.push(row);
        } else {
            *x = f64::NAN;
        }
    }
    filled
}
