//! What a thread counts of a batch: a pass over each column for what costs nearly nothing, and one for its cells.

use std::sync::Arc;

use ndarray::ArrayView1;
use serve_core::engine::Rows;
use serve_core::signature::Problem;
use serve_core::{Answer, BatchPrediction};

use super::gauge::{Gauge, Kind, Meter, UNIT_CELLS};
use super::{ColumnTally, Counts, Tally, cells, kind};
use crate::convert::{Matrix, Wrong};
use crate::reject::Reject;

/// What of a batch is counted.
pub(crate) struct Counted<'a> {
    /// Rows that were read.
    pub(crate) read: u64,
    /// The inputs of the rows that were rows.
    pub(crate) matrix: &'a Matrix,
    /// Those that could not be read.
    pub(crate) wrong: &'a [Wrong],
    /// What was predicted of them.
    pub(crate) predictions: &'a BatchPrediction,
    /// Which have no answer, ascending.
    pub(crate) failed: &'a [usize],
    /// All rejects.
    pub(crate) rejects: &'a [Reject],
}

/// Counts batches by a gauge.
#[derive(Debug)]
pub(crate) struct Counter {
    gauge: Arc<Gauge>,
    features: Vec<Option<Edges>>,
    scores: Vec<Option<Edges>>,
    /// One score of the answered rows.
    score: Vec<f64>,
}

impl Counter {
    pub(crate) fn new(gauge: Arc<Gauge>) -> Self {
        let edges = |meter: &Meter| match &meter.kind {
            Kind::Quantiles(scale) => Some(Edges::new(scale.edges())),
            _ => None,
        };
        let features = gauge.features.iter().map(edges).collect();
        let scores = gauge.scores.iter().map(edges).collect();
        Self { features, scores, gauge, score: Vec::new() }
    }

    /// The counts of a batch.
    pub(crate) fn count(&mut self, batch: &Counted<'_>) -> Tally {
        let mut tally = Tally { rows: batch.read, rejected: batch.rejects.len() as u64, ..Tally::default() };
        for reject in batch.rejects {
            tally.reject(&reject.column, kind(&reject.column, &reject.reason), 1);
        }
        tally.features = self.features(batch.matrix);
        for Wrong { input, problem, .. } in batch.wrong {
            // It was read as missing.
            let feature = &mut tally.features[*input];
            feature.missing = feature.missing.saturating_sub(1);
            feature.unreadable += 1;
            feature.unknown += u64::from(matches!(problem, Problem::UnknownCategory { .. }));
        }
        self.scores(batch, &mut tally);
        tally
    }

    fn features(&self, matrix: &Matrix) -> Vec<ColumnTally> {
        let rows = matrix.rows();
        let meters = self.gauge.features.iter().zip(&self.features).enumerate();
        let count = |(at, (meter, edges)): (usize, (&Meter, &Option<Edges>))| match &rows {
            Rows::F32(view) => with_slice(view.column(at), |values| column(meter, edges.as_ref(), values)),
            Rows::F64(view) => with_slice(view.column(at), |values| column(meter, edges.as_ref(), values)),
        };
        if matrix.is_empty() { Vec::new() } else { meters.map(count).collect() }
    }

    fn scores(&mut self, batch: &Counted<'_>, tally: &mut Tally) {
        let width = self.gauge.scores.len();
        let mut failed = batch.failed.iter().peekable();
        let answered: Vec<usize> =
            (0..batch.matrix.len()).filter(|row| failed.next_if(|next| *next == row).is_none()).collect();
        tally.labels = vec![0; self.gauge.labels.len()];
        if !tally.labels.is_empty() {
            for &row in &answered {
                if let Ok(Answer::Class(label) | Answer::Band { band: label, .. }) =
                    batch.predictions.answer(row)
                    && let Some(count) = tally.labels.get_mut(label)
                {
                    *count += 1;
                }
            }
        }
        let scores = batch.predictions.scores();
        for (at, (meter, edges)) in self.gauge.scores.iter().zip(&self.scores).enumerate() {
            self.score.clear();
            self.score.extend(answered.iter().map(|row| scores[row * width + at]));
            tally.scores.push(column(meter, edges.as_ref(), &self.score[..]));
            tally.histograms.push(counts(&self.gauge.histogram, None, &self.score[..]));
        }
    }
}

fn with_slice<T: Copy, R>(column: ArrayView1<'_, T>, count: impl FnOnce(&[T]) -> R) -> R {
    match column.to_slice() {
        Some(values) => count(values),
        None => count(&column.to_vec()),
    }
}

/// The numbers of a column, of either width.
trait Number: Copy + PartialOrd {
    const MISSING: Self;
    fn wide(self) -> f64;
    fn narrow(x: f64) -> Self;
    fn is_present(self) -> bool;
    fn is_finite(self) -> bool;
    fn edges(edges: &Edges) -> &[Self; EDGES];
}

macro_rules! number {
    ($type:ident, $edges:ident) => {
        impl Number for $type {
            const MISSING: Self = $type::NAN;
            fn wide(self) -> f64 {
                self.into()
            }
            #[allow(clippy::cast_lossless, reason = "for one of the two types nothing is cast")]
            fn narrow(x: f64) -> Self {
                x as $type
            }
            fn is_present(self) -> bool {
                !self.is_nan()
            }
            fn is_finite(self) -> bool {
                $type::is_finite(self)
            }
            fn edges(edges: &Edges) -> &[Self; EDGES] {
                &edges.$edges
            }
        }
    };
}

number!(f32, narrow);
number!(f64, wide);

/// Places for edges: one for each of 256 quantiles.
const EDGES: usize = 256;

/// The edges of a scale, filled up with infinity. Those in `f32` are rounded as the values were, so that a value of training is
/// still on its edge.
#[derive(Debug)]
struct Edges {
    len: usize,
    narrow: Box<[f32; EDGES]>,
    wide: Box<[f64; EDGES]>,
}

impl Edges {
    fn new(edges: &[f64]) -> Self {
        let mut made = Self {
            len: edges.len().min(EDGES),
            narrow: Box::new([f32::INFINITY; EDGES]),
            wide: Box::new([f64::INFINITY; EDGES]),
        };
        for (at, edge) in edges.iter().take(EDGES).enumerate() {
            (made.narrow[at], made.wide[at]) = (*edge as f32, *edge);
        }
        made
    }

    /// The cell of a value that is not NaN, as [`Scale::cell`](serve_core::drift::Scale::cell): a search without branches.
    fn cell<N: Number>(&self, x: N) -> usize {
        let edges = N::edges(self);
        let mut below = 0;
        for step in [128, 64, 32, 16, 8, 4, 2, 1] {
            below += if edges[(below + step - 1) & (EDGES - 1)] < x { step } else { 0 };
        }
        // All but the last edge were asked.
        let at = edges[below & (EDGES - 1)];
        let cell = 2 * below + usize::from(at == x) + 2 * usize::from(at < x);
        cell.min(2 * self.len)
    }
}

fn column<N: Number>(meter: &Meter, edges: Option<&Edges>, values: &[N]) -> ColumnTally {
    let mut tally = ranges(meter.bounds, values);
    tally.counts = counts(&meter.kind, edges, values);
    if let Kind::Categories { codes, .. } = &meter.kind {
        tally.unknown = tally.counts.get(i32::try_from(codes.len()).unwrap_or(i32::MAX));
    }
    tally
}

/// Side by side, so that the compiler can use vectors.
const LANES: usize = 8;

/// What is missing or outside, the sum, the least and the greatest value.
fn ranges<N: Number>(bounds: Option<(f64, f64)>, values: &[N]) -> ColumnTally {
    let (low, high) = bounds.unwrap_or((f64::NEG_INFINITY, f64::INFINITY));
    let (low, high) = (N::narrow(low), N::narrow(high));
    let (mut missing, mut below, mut above, mut finite) =
        ([0_u32; LANES], [0_u32; LANES], [0_u32; LANES], [0_u32; LANES]);
    let (mut sum, mut least, mut most) =
        ([0.0_f64; LANES], [N::narrow(f64::INFINITY); LANES], [N::narrow(f64::NEG_INFINITY); LANES]);
    for chunk in values.chunks(LANES) {
        for (lane, &x) in chunk.iter().enumerate() {
            missing[lane] += u32::from(!x.is_present());
            below[lane] += u32::from(x < low);
            above[lane] += u32::from(x > high);
            let is_finite = x.is_finite();
            finite[lane] += u32::from(is_finite);
            sum[lane] += if is_finite { x.wide() } else { 0.0 };
            let x = if is_finite { x } else { N::MISSING };
            least[lane] = if x < least[lane] { x } else { least[lane] };
            most[lane] = if x > most[lane] { x } else { most[lane] };
        }
    }
    let total = |counts: [u32; LANES]| counts.iter().map(|&count| u64::from(count)).sum();
    let finite: u64 = total(finite);
    let least = least.iter().map(|x| x.wide()).fold(f64::INFINITY, f64::min);
    let most = most.iter().map(|x| x.wide()).fold(f64::NEG_INFINITY, f64::max);
    ColumnTally {
        missing: total(missing),
        below: total(below),
        above: total(above),
        finite,
        sum: sum.iter().sum::<f64>().clamp(-f64::MAX, f64::MAX),
        range: (finite > 0).then_some((least, most)),
        ..ColumnTally::default()
    }
}

fn counts<N: Number>(kind: &Kind, edges: Option<&Edges>, values: &[N]) -> Counts {
    let present = values.iter().filter(|x| x.is_present());
    let mut dense = vec![0_u64; kind.cells().unwrap_or_default()];
    match (kind, edges) {
        (Kind::Quantiles(_), Some(edges)) => present.for_each(|x| dense[edges.cell(*x)] += 1),
        (Kind::Quantiles(scale), None) => present.for_each(|x| dense[scale.cell(x.wide())] += 1),
        (Kind::Categories { codes, .. }, _) => present.for_each(|x| dense[category(codes, x.wide())] += 1),
        (Kind::Unit, _) => present.for_each(|x| {
            dense[((x.wide() * UNIT_CELLS as f64) as usize).min(UNIT_CELLS - 1)] += 1;
        }),
        (Kind::Log { bits }, _) => {
            let mut sparse = std::collections::BTreeMap::new();
            present.for_each(|x| *sparse.entry(cells::log_cell(x.wide(), *bits)).or_default() += 1);
            return Counts::Sparse(sparse);
        }
    }
    Counts::Dense(dense)
}

/// The place of a code among the categories; behind them where it is none of them.
fn category(codes: &[f64], code: f64) -> usize {
    // Mostly the codes are 0, 1, ….
    let at = code as usize;
    if codes.get(at) == Some(&code) {
        return at;
    }
    codes.binary_search_by(|known| known.total_cmp(&code)).unwrap_or(codes.len())
}
