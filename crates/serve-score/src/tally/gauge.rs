//! By what columns are counted: the training window's quantiles and categories where the version has one, else what the
//! signature tells.

use std::cmp::Ordering;

use serve_core::drift::Scale;
use serve_core::reference::{Distribution, Reference};
use serve_core::{Datatype, Input, Target, Value};

use super::cells;
use crate::model::PinnedModel;

/// Cells of a probability, of one width from 0 to 1.
pub(crate) const UNIT_CELLS: usize = 100;

/// Cells between two powers of two: 2 to these.
const FEATURE_BITS: u32 = 4;
const SCORE_BITS: u32 = 6;

/// By what the columns of a model are counted.
#[derive(Debug, Clone)]
pub struct Gauge {
    /// The inputs of the signature, in order.
    pub features: Vec<Meter>,
    /// The scores, in order.
    pub scores: Vec<Meter>,
    /// How their histograms are counted.
    pub histogram: Kind,
    /// The decision's labels.
    pub labels: Vec<String>,
    /// Training rows, where there is a training window.
    pub reference_rows: Option<u64>,
}

/// By what one column is counted.
#[derive(Debug, Clone)]
pub struct Meter {
    /// The column.
    pub name: String,
    /// Its cells.
    pub kind: Kind,
    /// The least and the greatest value of training, or of the declared range where there is no other.
    pub bounds: Option<(f64, f64)>,
    /// How it was distributed in training.
    pub training: Option<Distribution>,
}

/// What the cells of a column are.
#[derive(Debug, Clone)]
pub enum Kind {
    /// The quantiles of the training values and the intervals between them.
    Quantiles(Scale),
    /// Categories: their codes, ascending, with their names and how often they stood in training. One more cell is for all others.
    Categories {
        /// Codes.
        codes: Vec<f64>,
        /// Names.
        names: Vec<String>,
        /// Training rows of each; none without a training window.
        training: Option<Vec<u64>>,
    },
    /// A hundred of one width from 0 to 1.
    Unit,
    /// Of one relative width; see [`log_cell_bounds`].
    Log {
        /// `2^bits` cells between two powers of two.
        bits: u32,
    },
}

/// The ends of a cell of [`Kind::Log`]; a value that is taken to be in the middle misses by at most `1 / 2^(bits + 1)` of itself.
#[must_use]
pub fn log_cell_bounds(cell: i32, bits: u32) -> (f64, f64) {
    cells::bounds(cell, bits)
}

impl Gauge {
    /// For a model with its training window, where it has one.
    #[must_use]
    pub fn new(model: &PinnedModel, reference: Option<&Reference>) -> Self {
        let target = model.pipeline().target();
        let rows = reference.map(|reference| reference.rows);
        let known = |distributions: &[Distribution], name: &str| {
            distributions.iter().find(|distribution| distribution.name == name).cloned()
        };
        let inputs = model.pipeline().signature().inputs().iter();
        let features = inputs.map(|input| {
            let training = reference.and_then(|reference| known(&reference.features, &input.name));
            Meter::feature(input, training.zip(rows))
        });
        let histogram =
            if target.task.is_classification() { Kind::Unit } else { Kind::Log { bits: SCORE_BITS } };
        let scores = score_names(target).into_iter().map(|name| {
            let training = reference.and_then(|reference| known(&reference.scores, &name)).zip(rows);
            let scale = training.as_ref().and_then(|(column, rows)| Scale::new(column, *rows));
            let bounds = scale.as_ref().map(Scale::range);
            let kind = scale.map_or_else(|| histogram.clone(), Kind::Quantiles);
            Meter { name, kind, bounds, training: training.map(|(column, _)| column) }
        });
        Self {
            features: features.collect(),
            scores: scores.collect(),
            labels: model.manifest().decision.labels(target).to_vec(),
            reference_rows: rows,
            histogram,
        }
    }
}

/// The scores by the names that the training window has for them.
pub(crate) fn score_names(target: &Target) -> Vec<String> {
    match &target.task {
        serve_core::Task::Classification { classes } => classes.clone(),
        serve_core::Task::MultiRegression { outputs } => outputs.clone(),
        _ => vec![target.name.clone()],
    }
}

impl Meter {
    fn feature(input: &Input, training: Option<(Distribution, u64)>) -> Self {
        let name = input.name.clone();
        let categorical = |column: &Distribution| !column.categories.is_empty();
        let declared = input
            .range
            .map(|range| (range.min.unwrap_or(f64::NEG_INFINITY), range.max.unwrap_or(f64::INFINITY)));
        if input.datatype == Datatype::Bytes
            || training.as_ref().is_some_and(|(column, _)| categorical(column))
        {
            let training = training.map(|(column, _)| column);
            return Self { name, kind: categories(input, training.as_ref()), bounds: None, training };
        }
        let scale = training.as_ref().and_then(|(column, rows)| Scale::new(column, *rows));
        let bounds = scale.as_ref().map(Scale::range).or(declared);
        let kind = scale.map_or(Kind::Log { bits: FEATURE_BITS }, Kind::Quantiles);
        Self { name, kind, bounds, training: training.map(|(column, _)| column) }
    }
}

impl Kind {
    /// How many cells there are, where that is known before.
    pub(super) fn cells(&self) -> Option<usize> {
        match self {
            Self::Quantiles(scale) => Some(scale.cells()),
            Self::Categories { codes, .. } => Some(codes.len() + 1),
            Self::Unit => Some(UNIT_CELLS),
            Self::Log { .. } => None,
        }
    }
}

/// The categories of an input: its vocabulary, and what stood in training.
fn categories(input: &Input, training: Option<&Distribution>) -> Kind {
    let mut known: Vec<(f64, String, u64)> = Vec::new();
    if let Some(words) = &input.vocabulary {
        known.extend((0_u32..).zip(words).map(|(code, word)| (code.into(), word.clone(), 0)));
    }
    let hashes = input.text_hashes.iter().flatten();
    known.extend((0_u32..).zip(hashes).map(|(code, hash)| (code.into(), format!("text of hash {hash}"), 0)));
    for (text, rows) in training.iter().flat_map(|column| &column.categories) {
        let Some(code) = code(input, text) else { continue };
        match known.iter_mut().find(|(known, ..)| *known == code) {
            Some((_, name, known)) => {
                name.clone_from(text);
                *known += rows;
            }
            None => known.push((code, text.clone(), *rows)),
        }
    }
    known.sort_by(|(a, ..), (b, ..)| a.partial_cmp(b).unwrap_or(Ordering::Equal));
    let training = training.map(|_| known.iter().map(|(.., rows)| *rows).collect());
    let (codes, names) = known.into_iter().map(|(code, name, _)| (code, name)).unzip();
    Kind::Categories { codes, names, training }
}

/// The code of a category that the model tells from others.
fn code(input: &Input, text: &str) -> Option<f64> {
    let code = if input.datatype == Datatype::Bytes {
        input.read(&Value::Text(text.into())).ok()?
    } else {
        text.trim().parse().ok()?
    };
    let hashes = input.text_hashes.as_ref().map(|hashes| hashes.len() as f64);
    let unknown = input.unknown.or(hashes) == Some(code);
    (code.is_finite() && !unknown).then_some(code)
}
