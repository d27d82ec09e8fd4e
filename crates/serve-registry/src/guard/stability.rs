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

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(range: std::ops::RangeInclusive<i32>) -> Vec<f64> {
        range.map(f64::from).collect()
    }

    #[track_caller]
    fn check(old: &[f64], new: &[f64], expected: f64) {
        let got = psi(old, new);
        assert!((got - expected).abs() < 1e-12, "{got} is not {expected}");
    }

    #[test]
    fn the_upper_half_twice_is_what_a_hand_computes() {
        let old = numbers(1..=100);
        let mut new = [numbers(51..=100), numbers(51..=100)].concat();
        new.sort_by(f64::total_cmp);
        // Five deciles fall from a tenth to half a row of a hundred, five rise from a tenth to a fifth.
        let fallen = (0.1 - 0.005) * (0.1f64 / 0.005).ln();
        let risen = (0.1 - 0.2) * (0.1f64 / 0.2).ln();
        check(&old, &new, 5.0 * fallen + 5.0 * risen);
        check(&old, &old, 0.0);
    }

    #[test]
    fn frequent_values_have_bins_of_their_own() {
        // Three of five, and one of each other: the cuts lie at 1.5 and 2.5.
        let old = [1.0, 2.0, 2.0, 2.0, 3.0].repeat(20);
        let sorted = |mut values: Vec<f64>| {
            values.sort_by(f64::total_cmp);
            values
        };
        let new = [1.1, 1.9, 1.9, 3.05, 2.95].repeat(20);
        let expected = (0.6 - 0.4) * (0.6f64 / 0.4).ln() + (0.2 - 0.4) * (0.2f64 / 0.4).ln();
        check(&sorted(old), &sorted(new), expected);
    }

    #[test]
    fn two_values_are_two_bins_however_rare_one_is() {
        for ones in [1, 50, 99] {
            let of = |ones: usize| [vec![0.0; 100 - ones], vec![1.0; ones]].concat();
            check(&of(ones), &of(ones), 0.0);
            let (p, q) = (ones as f64 / 100.0, 0.5);
            let expected = (p - q) * (p / q).ln() + (q - p) * ((1.0 - p) / (1.0 - q)).ln();
            check(&of(ones), &of(50), expected);
        }
    }

    #[test]
    fn a_constant_may_move_by_a_hundredth() {
        let gone = 2.0 * (1.0 - 0.005) * (1.0f64 / 0.005).ln();
        for (new, expected) in [(0.5, 0.0), (0.504, 0.0), (0.496, 0.0), (0.51, gone), (0.49, gone)] {
            check(&[0.5; 100], &[new; 100], expected);
        }
        check(&[0.0; 100], &[0.0; 100], 0.0);
        check(&[0.0; 100], &[1e-3; 100], gone);
    }

    #[test]
    fn scores_that_leave_for_elsewhere_are_seen_from_the_outer_deciles() {
        let old = numbers(1..=100);
        let mut new = old.clone();
        new[90..].iter_mut().for_each(|x| *x *= 1000.0);
        check(&old, &new, 2.0 * (0.1 - 0.005) * (0.1f64 / 0.005).ln());
    }

    #[test]
    fn few_and_huge_and_neighbouring_values_are_no_trouble() {
        check(&[], &[1.0], 0.0);
        check(&[1.0], &[], 0.0);
        check(&[7.0], &[7.0], 0.0);
        let wide = [-f64::MAX, f64::MAX];
        check(&wide, &wide, 0.0);
        let close = [1.0, 1.0f64.next_up()];
        check(&close, &close, 0.0);
        assert!(psi(&close, &[1.0, 1.0]) > 0.0);
    }
}
