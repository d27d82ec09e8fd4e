//! How far a distribution has moved from another: the population stability index (Siddiqi, "Credit Risk Scorecards",
//! 2006, chapter 9), PSI = Σ (p − q)·ln(p/q) over bins, p and q the shares of the old and the new scores in a bin. It is
//! the symmetric Kullback–Leibler divergence of the binned distributions.
//!
//! The bins are the deciles of the old scores. Three things that the formula leaves open are decided so:
//!
//! - **Empty bins.** A share counts as at least half a row, 1/(2n), so that the logarithm is finite.
//! - **Ties.** A cut lies midway between two neighbouring values that differ, at the decile or the nearest such place
//!   beside a run of equal values. Scores of few distinct values get a bin per frequent value and fewer than ten bins,
//!   and a version whose values lie close to the old ones is not taken for another distribution.
//! - **Beyond the old scores.** The outer deciles have no end, so what is further outside than the old scores' whole range
//!   is wide lies in two more bins, empty unless scores have left for there. Around a constant c they begin at c ± |c|/100.

/// Cuts between at most ten bins, and those beyond which scores are somewhere else.
fn cuts(old: &[f64]) -> Vec<f64> {
    let (Some(&low), Some(&high)) = (old.first(), old.last()) else { return Vec::new() };
    let mut places: Vec<usize> =
        (1..10).filter_map(|decile| boundary(old, old.len() * decile / 10)).collect();
    places.dedup();
    let span = if high > low { high - low } else { high.abs() / 100.0 };
    let inner = places.into_iter().map(|place| between(old[place - 1], old[place]));
    std::iter::once((low - span).next_down()).chain(inner).chain([high + span]).collect()
}

/// The place nearest to `place` with different values before and behind it.
fn boundary(sorted: &[f64], place: usize) -> Option<usize> {
    let value = *sorted.get(place)?;
    let start = sorted.partition_point(|x| *x < value);
    let end = sorted.partition_point(|x| *x <= value);
    let inside = |place: &usize| (1..sorted.len()).contains(place);
    [start, end].into_iter().filter(inside).min_by_key(|at| at.abs_diff(place))
}

/// A number that is at least `a` and below `b`, midway where there is one.
fn between(a: f64, b: f64) -> f64 {
    let middle = a / 2.0 + b / 2.0;
    if middle >= a && middle < b { middle } else { a }
}

/// The share of `sorted` in every bin; the upper end of a bin belongs to it.
fn shares(sorted: &[f64], cuts: &[f64]) -> Vec<f64> {
    let n = sorted.len() as f64;
    let ends = cuts.iter().map(|cut| sorted.partition_point(|x| x <= cut)).chain([sorted.len()]);
    let mut before = 0;
    ends.map(|end| {
        let count = end.saturating_sub(before);
        before = end.max(before);
        (count as f64).max(0.5) / n
    })
    .collect()
}

/// The population stability index of `new` against `old`, both ascending and finite; 0 where either is empty.
pub(crate) fn psi(old: &[f64], new: &[f64]) -> f64 {
    if old.is_empty() || new.is_empty() {
        return 0.0;
    }
    let cuts = cuts(old);
    let (old, new) = (shares(old, &cuts), shares(new, &cuts));
    old.iter().zip(&new).map(|(p, q)| (p - q) * (p / q).ln()).sum()
}

/// An index that samples of these sizes from one distribution exceed once in a thousand times.
///
/// Where nothing has moved, PSI / (1/n + 1/m) follows χ² with one degree of freedom less than there are bins (Yurdakul and
/// Naranjo, "Statistical properties of the population stability index", 2020); 31.264 is its 0.999 quantile for twelve
/// bins, `scipy.stats.chi2.ppf(0.999, 11)`.
pub(crate) fn noise(old: usize, new: usize) -> f64 {
    31.264 * (1.0 / old as f64 + 1.0 / new as f64)
}
