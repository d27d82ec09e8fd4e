//! The reference window: how the training data was distributed. It is recorded and reported, never enforced; drift
//! detection compares what serves with it.

use std::collections::BTreeMap;

use ndarray::ArrayView2;
use serde::{Deserialize, Serialize};

/// Number of quantiles kept per column.
const QUANTILES: usize = 256;

/// The content of `reference.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reference {
    /// Number of training rows.
    pub rows: u64,
    /// First and last timestamp of the training rows, RFC 3339 UTC, where they have any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window: Option<(String, String)>,
    /// One distribution per input, in the signature's order.
    pub features: Vec<Distribution>,
    /// One distribution per score.
    pub scores: Vec<Distribution>,
}

/// A part of a reference window: columns with their names, `[rows, columns]`.
#[derive(Debug, Clone, Copy)]
pub struct Columns<'a> {
    /// Their names, in order.
    pub names: &'a [String],
    /// Their values; what is not finite counts as missing.
    pub values: ArrayView2<'a, f64>,
}

impl Columns<'_> {
    fn distributions(&self) -> Vec<Distribution> {
        let columns = self.names.iter().zip(self.values.columns());
        columns.map(|(name, column)| Distribution::of(name, column.iter().copied())).collect()
    }
}

impl Reference {
    /// The distributions of training rows and of the scores that the model gives them. `O(n log n)` per column.
    #[must_use]
    pub fn of(window: Option<(String, String)>, features: Columns<'_>, scores: Columns<'_>) -> Self {
        Self {
            rows: features.values.nrows() as u64,
            window,
            features: features.distributions(),
            scores: scores.distributions(),
        }
    }
}

/// How one column is distributed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Distribution {
    /// The column's name.
    pub name: String,
    /// Share of rows where it is missing, 0 to 1.
    pub null_rate: f64,
    /// The quantiles `i / 255` of the values present, for `i` from 0 to 255, interpolated linearly; empty where there
    /// are none.
    pub quantiles: Vec<f64>,
    /// How often each text occurred, for a feature whose values are texts.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub categories: BTreeMap<String, u64>,
}

impl Distribution {
    /// The distribution of a column; what is not finite counts as missing. `O(n log n)`.
    ///
    /// ```
    /// let column = serve_core::reference::Distribution::of("a", [3.0, f64::NAN, 1.0].into_iter());
    /// assert_eq!((column.quantiles[0], column.quantiles[255]), (1.0, 3.0));
    /// ```
    #[must_use]
    pub fn of(name: impl Into<String>, values: impl Iterator<Item = f64>) -> Self {
        let mut count = 0_usize;
        let mut present: Vec<f64> = values.inspect(|_| count += 1).filter(|x| x.is_finite()).collect();
        present.sort_by(f64::total_cmp);
        let null_rate = if count == 0 { 0.0 } else { (count - present.len()) as f64 / count as f64 };
        let quantiles = match present.len().checked_sub(1) {
            None => Vec::new(),
            Some(last) => (0..QUANTILES).map(|i| interpolate(&present, last, i)).collect(),
        };
        Self { name: name.into(), null_rate, quantiles, categories: BTreeMap::new() }
    }

    /// The least and the greatest value, where there is any.
    #[must_use]
    pub fn range(&self) -> Option<(f64, f64)> {
        Some((*self.quantiles.first()?, *self.quantiles.last()?))
    }
}

fn interpolate(sorted: &[f64], last: usize, i: usize) -> f64 {
    let at = i as f64 * last as f64 / (QUANTILES - 1) as f64;
    let (low, part) = (at as usize, at.fract());
    if part == 0.0 { sorted[low] } else { sorted[low] + (sorted[low + 1] - sorted[low]) * part }
}
