//! One column in a report: what was counted of it, and how far that is from training.

use serde::Serialize;
use serve_core::drift::{Change, stability_of_categories};
use serve_core::reference::Distribution;

use super::bars::{self, Histogram};
use crate::tally::{ColumnTally, Counts, Gauge, Kind, Meter, Tally};

/// A column.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ColumnReport {
    /// The feature, or the class or value of a score.
    pub name: String,
    /// Rows that were counted.
    pub rows: u64,
    /// Rows where nothing was there.
    pub missing: u64,
    /// Rows where something was there that is no value of the input.
    pub unreadable: u64,
    /// Rows with a text that the model does not know.
    pub unknown: u64,
    /// Rows below the training range, or the declared one where there is no other.
    pub below: u64,
    /// Rows above it.
    pub above: u64,
    /// The least of the finite values.
    pub min: Option<f64>,
    /// The greatest of them.
    pub max: Option<f64>,
    /// Their mean.
    pub mean: Option<f64>,
    /// How it was in training, where that is known.
    pub training: Option<Training>,
    /// How far it is from training, where that is known.
    pub drift: Option<Drift>,
    /// Its values in bars.
    pub histogram: Histogram,
}

/// A column in training.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Training {
    /// The share of rows where nothing was there.
    pub missing_share: f64,
    /// The least value.
    pub min: Option<f64>,
    /// The median.
    pub median: Option<f64>,
    /// The greatest value.
    pub max: Option<f64>,
}

impl Training {
    fn of(column: &Distribution) -> Self {
        let range = column.range();
        let middle = column.quantiles.len() / 2;
        let around = column.quantiles.get(middle.wrapping_sub(1)).zip(column.quantiles.get(middle));
        let median = around.map(|(below, above)| f64::midpoint(*below, *above));
        let (min, max) = (range.map(|range| range.0), range.map(|range| range.1));
        Self { missing_share: column.null_rate, min, median, max }
    }
}

/// How far a column is from training.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Drift {
    /// The population stability index.
    pub psi: f64,
    /// Its usual reading.
    pub change: Change,
    /// The Kolmogorov-Smirnov statistic; none for categories.
    pub ks: Option<f64>,
}

/// The inputs, worst drift first, else in order.
pub(super) fn features(gauge: &Gauge, tally: &Tally) -> Vec<ColumnReport> {
    let none = ColumnTally::default();
    let counted = tally.features.iter().chain(std::iter::repeat(&none));
    let mut features: Vec<ColumnReport> =
        gauge.features.iter().zip(counted).map(|(meter, counted)| column(meter, counted, None)).collect();
    let psi = |column: &ColumnReport| column.drift.map_or(-1.0, |drift| drift.psi);
    features.sort_by(|a, b| psi(b).total_cmp(&psi(a)));
    features
}

/// The scores, in order.
pub(super) fn scores(gauge: &Gauge, tally: &Tally) -> Vec<ColumnReport> {
    let counted = gauge.scores.iter().zip(tally.scores.iter().zip(&tally.histograms));
    counted.map(|(meter, (counted, finer))| column(meter, counted, Some((&gauge.histogram, finer)))).collect()
}

fn column(meter: &Meter, counted: &ColumnTally, finer: Option<(&Kind, &Counts)>) -> ColumnReport {
    let (kind, counts) = finer.unwrap_or((&meter.kind, &counted.counts));
    ColumnReport {
        name: meter.name.clone(),
        rows: counted.present + counted.missing + counted.unreadable,
        missing: counted.missing,
        unreadable: counted.unreadable,
        unknown: counted.unknown,
        below: counted.below,
        above: counted.above,
        min: counted.range.map(|range| range.0).filter(|_| is_number(meter)),
        max: counted.range.map(|range| range.1).filter(|_| is_number(meter)),
        mean: counted.mean().filter(|_| is_number(meter)),
        training: meter.training.as_ref().map(Training::of).map(|training| {
            if is_number(meter) {
                training
            } else {
                Training { min: None, median: None, max: None, ..training }
            }
        }),
        drift: drift(meter, counted),
        histogram: bars::histogram(meter, kind, counts, counted),
    }
}

/// Whether the values are numbers and not codes.
fn is_number(meter: &Meter) -> bool {
    !matches!(meter.kind, Kind::Categories { .. })
}

fn drift(meter: &Meter, counted: &ColumnTally) -> Option<Drift> {
    let null_rate = meter.training.as_ref()?.null_rate;
    let Counts::Dense(counts) = &counted.counts else { return None };
    let (psi, ks) = match &meter.kind {
        // Nothing was counted.
        Kind::Quantiles(scale) if counts.len() != scale.cells() => return None,
        Kind::Quantiles(scale) => {
            let missing = counted.missing + counted.unreadable;
            (scale.stability(counts, missing)?, scale.kolmogorov_smirnov(counts))
        }
        Kind::Categories { codes, training: Some(training), .. } => {
            let mut counts = counts.clone();
            // Texts that rejected their row have no code.
            if let Some(others) = counts.get_mut(codes.len()) {
                *others = counted.unknown;
            }
            (stability_of_categories(training, null_rate, &counts, counted.missing)?, None)
        }
        _ => return None,
    };
    Some(Drift { psi, change: Change::of(psi), ks })
}
