//! What is counted of one column: a pass over all of it for what costs nearly nothing, and one over all or some of it for its cells.

use std::collections::BTreeMap;

use super::gauge::{Kind, Meter, UNIT_CELLS};
use super::sample::Sample;
use super::sum::two_sum;
use super::{ColumnTally, Counts, Sum, cells};

/// Places for edges: one for each of 256 quantiles.
const EDGES: usize = 256;

/// Side by side, so that the compiler can use vectors.
const LANES: usize = 16;

/// The numbers of a column, of either width.
pub(super) trait Number: Copy + PartialOrd {
    const MISSING: Self;
    const INFINITY: Self;
    fn wide(self) -> f64;
    fn narrow(x: f64) -> Self;
    fn magnitude(self) -> Self;
    fn edges(edges: &Edges) -> &[Self; EDGES];
    #[allow(clippy::eq_op, reason = "what is not a number is not itself")]
    fn is_present(self) -> bool {
        self == self
    }
}

macro_rules! number {
    ($type:ident, $edges:ident) => {
        impl Number for $type {
            const MISSING: Self = $type::NAN;
            const INFINITY: Self = $type::INFINITY;
            fn wide(self) -> f64 {
                self.into()
            }
            #[allow(clippy::cast_lossless, reason = "for one of the two types nothing is cast")]
            fn narrow(x: f64) -> Self {
                x as $type
            }
            fn magnitude(self) -> Self {
                self.abs()
            }
            fn edges(edges: &Edges) -> &[Self; EDGES] {
                &edges.$edges
            }
        }
    };
}

number!(f32, narrow);
number!(f64, wide);

/// The edges of a scale, filled up with infinity. Those in `f32` are rounded as the values were, so that a value of training is
/// still on its edge.
#[derive(Debug)]
pub(super) struct Edges {
    len: usize,
    narrow: Box<[f32; EDGES]>,
    wide: Box<[f64; EDGES]>,
}

impl Edges {
    /// Those of a column that is counted by quantiles, of which there are at most so many as places.
    pub(super) fn of(meter: &Meter) -> Option<Self> {
        let Kind::Quantiles(scale) = &meter.kind else { return None };
        let edges = scale.edges();
        if edges.len() > EDGES {
            return None;
        }
        let mut made = Self {
            len: edges.len(),
            narrow: Box::new([f32::INFINITY; EDGES]),
            wide: Box::new([f64::INFINITY; EDGES]),
        };
        for (at, edge) in edges.iter().enumerate() {
            (made.narrow[at], made.wide[at]) = (*edge as f32, *edge);
        }
        Some(made)
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

/// The counts of a column, its cells those of a sample where there is one.
pub(super) fn column<N: Number>(
    meter: &Meter,
    edges: Option<&Edges>,
    sample: Option<&Sample>,
    values: &[N],
) -> ColumnTally {
    let mut tally = ranges(meter.bounds, values);
    // Which texts stood there is known of every row.
    let sample = sample.filter(|_| !matches!(meter.kind, Kind::Categories { .. }));
    tally.counts = counts(&meter.kind, edges, sample, values, tally.range);
    if let Kind::Categories { codes, .. } = &meter.kind {
        tally.unknown = tally.counts.get(codes.len());
    }
    tally
}

/// What is missing or outside, the sum, the least and the greatest value.
fn ranges<N: Number>(bounds: Option<(f64, f64)>, values: &[N]) -> ColumnTally {
    let (low, high) = bounds.unwrap_or((f64::NEG_INFINITY, f64::INFINITY));
    let (low, high) = (N::narrow(low), N::narrow(high));
    let [mut missing, mut below, mut above, mut finite] = [[0_u32; LANES]; 4];
    let [mut sum, mut rounded] = [[0.0_f64; LANES]; 2];
    let (mut least, mut most) = ([N::INFINITY; LANES], [N::narrow(f64::NEG_INFINITY); LANES]);
    let mut take = |lane: usize, x: N| {
        missing[lane] += u32::from(!x.is_present());
        below[lane] += u32::from(x < low);
        above[lane] += u32::from(x > high);
        let is_finite = x.magnitude() < N::INFINITY;
        finite[lane] += u32::from(is_finite);
        let (total, lost) = two_sum(sum[lane], (if is_finite { x } else { N::narrow(0.0) }).wide());
        (sum[lane], rounded[lane]) = (total, rounded[lane] + lost);
        let x = if is_finite { x } else { N::MISSING };
        least[lane] = if x < least[lane] { x } else { least[lane] };
        most[lane] = if x > most[lane] { x } else { most[lane] };
    };
    let (chunks, rest) = values.as_chunks::<LANES>();
    for chunk in chunks {
        chunk.iter().enumerate().for_each(|(lane, x)| take(lane, *x));
    }
    rest.iter().enumerate().for_each(|(lane, x)| take(lane, *x));
    let total = |counts: [u32; LANES]| counts.iter().map(|&count| u64::from(count)).sum();
    let (missing, finite): (u64, u64) = (total(missing), total(finite));
    let least = least.iter().map(|x| x.wide()).fold(f64::INFINITY, f64::min);
    let most = most.iter().map(|x| x.wide()).fold(f64::NEG_INFINITY, f64::max);
    ColumnTally {
        missing,
        present: values.len() as u64 - missing,
        below: total(below),
        above: total(above),
        finite,
        sum: sum.into_iter().zip(rounded).map(|(sum, rest)| Sum::new(sum, rest)).sum(),
        range: (finite > 0).then_some((least, most)),
        ..ColumnTally::default()
    }
}

/// Values by cell. `range` has the least and the greatest of those that are finite.
pub(super) fn counts<N: Number>(
    kind: &Kind,
    edges: Option<&Edges>,
    sample: Option<&Sample>,
    values: &[N],
    range: Option<(f64, f64)>,
) -> Counts {
    let mut dense = vec![0_u64; kind.cells().unwrap_or_default()];
    let mut put = |cell: usize, weight: u64| dense[cell] += weight;
    match (kind, edges) {
        (Kind::Quantiles(_), Some(edges)) => weigh(sample, values, |x, weight| put(edges.cell(x), weight)),
        (Kind::Quantiles(scale), None) => {
            weigh(sample, values, |x, weight| put(scale.cell(x.wide()), weight));
        }
        (Kind::Categories { codes, .. }, _) => {
            weigh(sample, values, |x, weight| put(category(codes, x.wide()), weight));
        }
        (Kind::Unit, _) => weigh(sample, values, |x, weight| {
            put(((x.wide() * UNIT_CELLS as f64) as usize).min(UNIT_CELLS - 1), weight);
        }),
        (Kind::Log { bits }, _) => return Counts::Sparse(log_counts(*bits, sample, values, range)),
    }
    Counts::Dense(dense)
}

/// Hands over what is present, with how many rows it stands for.
fn weigh<N: Number>(sample: Option<&Sample>, values: &[N], mut put: impl FnMut(N, u64)) {
    let Some(Sample { rows, weight, rest }) = sample else {
        return values.iter().filter(|x| x.is_present()).for_each(|x| put(*x, 1));
    };
    let drawn = rows.iter().map(|row| values[*row as usize]);
    drawn.filter(|x| x.is_present()).for_each(|x| put(x, *weight));
    values[rest.clone()].iter().filter(|x| x.is_present()).for_each(|x| put(*x, 1));
}

/// Cells of one relative width; infinities are in none.
fn log_counts<N: Number>(
    bits: u32,
    sample: Option<&Sample>,
    values: &[N],
    range: Option<(f64, f64)>,
) -> BTreeMap<i32, u64> {
    let Some((least, most)) = range else { return BTreeMap::new() };
    let (first, last) = (cells::log_cell(least, bits), cells::log_cell(most, bits));
    let mut counts = vec![0_u64; (last - first) as usize + 1];
    weigh(sample, values, |x, weight| {
        let cell = cells::log_cell(x.wide(), bits) - first;
        if let Some(count) = usize::try_from(cell).ok().and_then(|cell| counts.get_mut(cell)) {
            *count += weight;
        }
    });
    let counted = (first..).zip(counts).filter(|(_, count)| *count > 0);
    counted.collect()
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
