//! How far values have moved from the [training window](crate::reference): the population stability index and the
//! two-sample Kolmogorov-Smirnov statistic of counts against a [`Distribution`].
//!
//! Counts are kept by the [cells](Scale::cell) of a [`Scale`]: each quantile of the training values is a cell, and so is
//! each open interval between two of them, below the least and above the greatest. So the empirical distribution is known
//! at every quantile and to its left, and ties are no approximation.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use crate::reference::Distribution;

/// Bins of the population stability index, of equal training share where the values allow it.
pub const PSI_BINS: usize = 20;

/// The least share that the index reckons with, so that an empty bin does not make it infinite.
pub const PSI_FLOOR: f64 = 1e-4;

/// Below it the index is usually read as no change.
pub const PSI_MODERATE: f64 = 0.1;

/// From here on it is usually read as a change that needs action.
pub const PSI_MAJOR: f64 = 0.25;

/// The cells of one column's training values, and the share of these in each. See the module.
#[derive(Debug, Clone, PartialEq)]
pub struct Scale {
    /// The distinct quantiles, ascending.
    edges: Vec<f64>,
    /// The share of the values present below each edge.
    below: Vec<f64>,
    /// The share of the values present up to each edge and on it.
    upto: Vec<f64>,
    null_rate: f64,
}

impl Scale {
    /// The scale of a column of which `rows` training rows were seen; none where it had no value or its quantiles are no
    /// ascending numbers.
    #[must_use]
    pub fn new(column: &Distribution, rows: u64) -> Option<Self> {
        let quantiles = &column.quantiles;
        let last = quantiles.len().checked_sub(1)?;
        if !quantiles.iter().all(|x| x.is_finite()) || !quantiles.is_sorted() {
            return None;
        }
        let null_rate = if (0.0..=1.0).contains(&column.null_rate) { column.null_rate } else { 0.0 };
        let present = ((rows as f64 * (1.0 - null_rate)).round() as u64).max(1);
        let rank = Rank { steps: last.max(1), present };
        let mut scale = Self { edges: Vec::new(), below: Vec::new(), upto: Vec::new(), null_rate };
        let (mut first, mut least) = (0, 0.0_f64);
        for equal in quantiles.chunk_by(|a, b| a == b) {
            let end = first + equal.len() - 1;
            let (below, upto) = rank.around(first, end);
            let below = below.max(least);
            least = upto.max(below).min(present as f64);
            scale.edges.push(equal[0]);
            scale.below.push(below / present as f64);
            scale.upto.push(least / present as f64);
            first = end + 1;
        }
        Some(scale)
    }

    /// The distinct quantiles, ascending; never none.
    #[must_use]
    pub fn edges(&self) -> &[f64] {
        &self.edges
    }

    /// The least and the greatest training value.
    #[must_use]
    pub fn range(&self) -> (f64, f64) {
        (self.edges[0], self.edges[self.edges.len() - 1])
    }

    /// How many cells there are: one more than twice the edges.
    #[must_use]
    pub fn cells(&self) -> usize {
        2 * self.edges.len() + 1
    }

    /// The cell of a value that is not NaN: `2k + 1` on edge `k`, `2k` in the interval below it. `O(log edges)`.
    #[must_use]
    pub fn cell(&self, x: f64) -> usize {
        let edge = self.edges.partition_point(|edge| *edge < x);
        2 * edge + usize::from(self.edges.get(edge) == Some(&x))
    }

    /// The share of the training values present in all cells up to this one.
    fn cumulative(&self, cell: usize) -> f64 {
        let shares = if cell.is_multiple_of(2) { &self.below } else { &self.upto };
        shares.get(cell / 2).copied().unwrap_or(1.0)
    }

    /// The share of the training values present in some cells, which are not none.
    fn share(&self, cells: &Range<usize>) -> f64 {
        let before = cells.start.checked_sub(1).map_or(0.0, |cell| self.cumulative(cell));
        self.cumulative(cells.end - 1) - before
    }

    /// The share of the training values present in each cell.
    pub fn shares(&self) -> impl Iterator<Item = f64> {
        (0..self.cells()).map(|cell| self.share(&(cell..cell + 1)))
    }

    /// The cells of each bin of the population stability index, in order: intervals `(a, b]` that end where a multiple of
    /// `1 / bins` of the training values is reached. A value that has such a share by itself ends a bin, so what lies beyond
    /// a least or greatest value of that kind is a bin of its own.
    #[must_use]
    pub fn bins(&self, bins: usize) -> Vec<Range<usize>> {
        let bins = bins.max(1) as f64;
        let heavy = |edge: usize| self.upto[edge] - self.below[edge] >= 1.0 / bins;
        let mut cuts = if heavy(0) { vec![0, 1] } else { vec![0] };
        let (mut target, mut alone) = (1.0 / bins, heavy(0));
        for (edge, &upto) in self.upto.iter().enumerate() {
            if heavy(edge) || upto >= target {
                cuts.push(2 * edge + 2);
                // The next whole share; what is less than half of one goes to the bin behind it.
                (target, alone) = (((upto * bins).round() + 1.0) / bins, heavy(edge));
            }
        }
        // The rest goes to the last bin, unless that is one value.
        if !alone && cuts.len() > 1 {
            cuts.pop();
        }
        cuts.push(self.cells());
        cuts.windows(2).map(|cut| cut[0]..cut[1]).collect()
    }

    /// The two-sample Kolmogorov-Smirnov statistic, the greatest difference of the two empirical distribution functions
    /// (Smirnov 1948; `scipy.stats.ks_2samp`), over the values present; none without values. Of 256 training values it is
    /// exact; else it misses at most the share of the training values between two quantiles, of many of them 1/255.
    ///
    /// `counts` are by cell.
    #[must_use]
    pub fn kolmogorov_smirnov(&self, counts: &[u64]) -> Option<f64> {
        let all: u64 = counts.iter().sum();
        let mut seen = 0;
        let differences = counts.iter().enumerate().map(|(cell, count)| {
            seen += count;
            (seen as f64 / all as f64 - self.cumulative(cell)).abs()
        });
        let greatest = differences.fold(0.0, f64::max);
        (all > 0).then_some(greatest)
    }

    /// The population stability index over [`PSI_BINS`] bins and a bin of missing values; none without rows.
    ///
    /// `counts` are by cell, of the values present.
    #[must_use]
    pub fn stability(&self, counts: &[u64], missing: u64) -> Option<f64> {
        let all = counts.iter().sum::<u64>() + missing;
        let bins = self.bins(PSI_BINS);
        let present = 1.0 - self.null_rate;
        let expected = bins.iter().map(|cells| present * self.share(cells)).chain([self.null_rate]);
        let counted = bins.iter().map(|cells| counts[cells.clone()].iter().sum()).chain([missing]);
        let shares = expected.zip(counted.map(|count| count as f64 / all as f64));
        (all > 0).then(|| stability(shares))
    }
}

/// The population stability index of categories and a bin of missing values; none without rows. `counts` may have one category more
/// than `training`: all that training did not have.
#[must_use]
pub fn stability_of_categories(
    training: &[u64],
    null_rate: f64,
    counts: &[u64],
    missing: u64,
) -> Option<f64> {
    let (before, now) = (training.iter().sum::<u64>(), counts.iter().sum::<u64>() + missing);
    let expected = |category: usize| {
        let share = training.get(category).map_or(0.0, |rows| *rows as f64 / before.max(1) as f64);
        share * (1.0 - null_rate)
    };
    let categories = 0..training.len().max(counts.len());
    let shares = categories.map(|category| {
        let rows = counts.get(category).copied().unwrap_or(0);
        (expected(category), rows as f64 / now as f64)
    });
    let missing = (null_rate, missing as f64 / now as f64);
    (now > 0).then(|| stability(shares.chain([missing])))
}

/// How much a column has changed, by its population stability index.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    /// Below [`PSI_MODERATE`].
    None,
    /// Below [`PSI_MAJOR`].
    Moderate,
    /// At least that.
    Major,
}

impl Change {
    /// The usual reading of an index.
    #[must_use]
    pub fn of(stability: f64) -> Self {
        match stability {
            x if x >= PSI_MAJOR => Self::Major,
            x if x >= PSI_MODERATE => Self::Moderate,
            _ => Self::None,
        }
    }
}

/// The population stability index of pairs of shares, expected and actual: `Σ (actual − expected) · ln(actual / expected)`,
/// shares below [`PSI_FLOOR`] raised to it. Siddiqi, *Credit Risk Scorecards* (2006), with the usual reading of
/// [`PSI_MODERATE`] and [`PSI_MAJOR`]; Yurdakul (2018) shows that of two samples of one distribution it is distributed as
/// `(1/n + 1/m) · χ²(bins − 1)`.
///
/// ```
/// use serve_core::drift::stability;
/// assert_eq!(stability([(0.5, 0.5), (0.5, 0.5)]), 0.0);
/// assert!((stability([(0.5, 0.25), (0.5, 0.75)]) - 0.5 * 3_f64.ln() * 0.5).abs() < 1e-15);
/// ```
pub fn stability(shares: impl IntoIterator<Item = (f64, f64)>) -> f64 {
    let terms = shares.into_iter().map(|(expected, actual)| {
        let (expected, actual) = (expected.max(PSI_FLOOR), actual.max(PSI_FLOOR));
        (actual - expected) * (actual / expected).ln()
    });
    terms.sum()
}

/// Where quantiles stand among the sorted values that they were taken of, `i / steps` at `i · (present − 1) / steps`.
#[derive(Clone, Copy)]
struct Rank {
    steps: usize,
    present: u64,
}

impl Rank {
    /// The position of a quantile, and whether it lies on a value rather than between two.
    fn position(self, quantile: usize) -> (f64, bool) {
        let (steps, at) = (self.steps as u128, quantile as u128 * u128::from(self.present - 1));
        ((at / steps) as f64, at.is_multiple_of(steps))
    }

    /// How many values lie below equal quantiles, and how many up to them. Where one value fills several quantiles, it begins and
    /// ends somewhere between these and their neighbours: in the middle.
    fn around(self, first: usize, end: usize) -> (f64, f64) {
        let (at, exact) = self.position(first);
        if first == end {
            return (if exact { at } else { at + 1.0 }, at + 1.0);
        }
        let before = first.checked_sub(1).map_or(0.0, |previous| self.position(previous).0 + 1.0);
        let after = if end == self.steps {
            self.present as f64
        } else {
            let (next, exact) = self.position(end + 1);
            if exact { next } else { next + 1.0 }
        };
        (f64::midpoint(before.min(at), at), f64::midpoint(self.position(end).0 + 1.0, after))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scale(values: &[f64]) -> Scale {
        Scale::new(&Distribution::of("x", values.iter().copied()), values.len() as u64).expect("has values")
    }

    fn counts(scale: &Scale, values: &[f64]) -> Vec<u64> {
        let mut counts = vec![0; scale.cells()];
        values.iter().for_each(|x| counts[scale.cell(*x)] += 1);
        counts
    }

    /// The statistic by its definition, over both samples.
    fn naive(a: &[f64], b: &[f64]) -> f64 {
        let share = |sample: &[f64], x: f64| {
            sample.iter().filter(|value| **value <= x).count() as f64 / sample.len() as f64
        };
        a.iter().chain(b).map(|&x| (share(a, x) - share(b, x)).abs()).fold(0.0, f64::max)
    }

    fn ramp(n: u32, by: f64) -> Vec<f64> {
        (0..n).map(|i| f64::from((i * 389) % 997) * by).collect()
    }

    #[test]
    fn the_statistic_of_256_training_values_is_exact_with_ties_too() {
        let halves: Vec<f64> = ramp(256, 0.01).iter().map(|x| x.floor()).collect();
        for training in [ramp(256, 1.0), halves] {
            let scale = scale(&training);
            for current in [ramp(1000, 1.0), ramp(77, 0.004), vec![3.0], vec![-1.0, 9.99, 2000.0]] {
                let statistic = scale.kolmogorov_smirnov(&counts(&scale, &current)).expect("has values");
                let expected = naive(&training, &current);
                assert!((statistic - expected).abs() < 1e-12, "{statistic} is not {expected}");
            }
        }
    }

    #[test]
    fn the_statistic_of_many_training_values_misses_at_most_the_share_between_quantiles() {
        let training: Vec<f64> = ramp(5000, 1.0).iter().map(|x| (x * 0.1).floor()).collect();
        let scale = scale(&training);
        for current in [ramp(3000, 0.1), ramp(500, 0.13), vec![50.0]] {
            let statistic = scale.kolmogorov_smirnov(&counts(&scale, &current)).expect("has values");
            let expected = naive(&training, &current);
            assert!((statistic - expected).abs() <= 1.0 / 255.0, "{statistic} is not {expected}");
        }
    }

    #[test]
    fn a_constant_that_moves_is_seen() {
        let scale = scale(&[0.0; 40]);
        assert_eq!((scale.cells(), scale.bins(PSI_BINS)), (3, vec![0..1, 1..2, 2..3]));
        let moved = counts(&scale, &[-1.0; 10]);
        assert_eq!(scale.kolmogorov_smirnov(&moved), Some(1.0));
        assert!(scale.stability(&moved, 0).expect("has rows") > PSI_MAJOR);
        let same = counts(&scale, &[0.0; 10]);
        assert_eq!((scale.kolmogorov_smirnov(&same), scale.stability(&same, 0)), (Some(0.0), Some(0.0)));
    }

    #[test]
    fn bins_hold_a_twentieth_and_values_that_are_heavier_stand_alone() {
        let scale = scale(&ramp(997, 1.0));
        let bins = scale.bins(PSI_BINS);
        assert_eq!((bins.len(), bins[0].start, bins[19].end), (20, 0, scale.cells()));
        for bin in &bins {
            assert!((scale.share(bin) - 0.05).abs() < 0.005, "{bin:?} has {}", scale.share(bin));
        }
        let discrete: Vec<f64> = (0..1200).map(|i| f64::from(i % 4)).collect();
        let scale = super::tests::scale(&discrete);
        let shares: Vec<f64> = scale.bins(PSI_BINS).iter().map(|bin| scale.share(bin)).collect();
        assert_eq!(shares.len(), 6);
        assert!(shares[0] == 0.0 && shares[5] == 0.0);
        assert!(shares[1..5].iter().all(|share| (share - 0.25).abs() <= 1.0 / 255.0), "{shares:?}");
    }

    #[test]
    fn categories_that_training_did_not_have_are_drift() {
        let same = stability_of_categories(&[30, 70], 0.0, &[3, 7, 0], 0).expect("has rows");
        assert!(same.abs() < 1e-12, "{same}");
        let new = stability_of_categories(&[30, 70], 0.0, &[3, 4, 3], 0).expect("has rows");
        assert!(new > PSI_MAJOR, "{new}");
        assert_eq!(stability_of_categories(&[1], 0.0, &[0, 0], 0), None);
    }

    #[test]
    fn missing_values_are_a_bin_and_nothing_is_no_drift() {
        let column = Distribution::of("x", (0..100).map(|i| if i < 50 { f64::NAN } else { f64::from(i) }));
        let scale = Scale::new(&column, 100).expect("has values");
        let present: Vec<f64> = (50..100).map(f64::from).collect();
        let counted = counts(&scale, &present);
        assert!(scale.stability(&counted, 50).expect("has rows") < 1e-3);
        assert!(scale.stability(&counted, 0).expect("has rows") > PSI_MAJOR);
        let none = vec![0; scale.cells()];
        assert_eq!((scale.kolmogorov_smirnov(&none), scale.stability(&none, 0)), (None, None));
        assert_eq!(Scale::new(&Distribution::of("x", [f64::NAN].into_iter()), 1), None);
    }
}
