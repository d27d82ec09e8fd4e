//! Whether one share is larger than another by more than chance.
//!
//! The one-sided test of two proportions with the pooled estimate (Fleiss, Levin and Paik, "Statistical Methods for Rates
//! and Proportions", 2003, section 3.2, without the continuity correction):
//! z = (p₂ − p₁) / √(p·(1 − p)·(1/n₁ + 1/n₂)), p = (k₁ + k₂)/(n₁ + n₂). Its square is Pearson's χ² of the 2×2 table.

/// `k` of `n`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Share {
    pub(crate) k: u64,
    pub(crate) n: u64,
}

impl Share {
    pub(crate) fn value(self) -> f64 {
        if self.n == 0 { 0.0 } else { self.k as f64 / self.n as f64 }
    }
}

/// The statistic; positive where the second share is the larger one, 0 where there is nothing to compare.
pub(crate) fn z(first: Share, second: Share) -> f64 {
    let (n1, n2) = (first.n as f64, second.n as f64);
    let pooled = (first.k + second.k) as f64 / (n1 + n2);
    let variance = pooled * (1.0 - pooled) * (1.0 / n1 + 1.0 / n2);
    if variance > 0.0 && variance.is_finite() {
        (second.value() - first.value()) / variance.sqrt()
    } else {
        0.0
    }
}

/// How probable a statistic of at least `z` is where both shares are equal: the upper tail of the normal distribution,
/// erfc(z/√2)/2.
pub(crate) fn tail(z: f64) -> f64 {
    libm::erfc(z / std::f64::consts::SQRT_2) / 2.0
}

#[cfg(test)]
mod tests {
    use super::*;

    /// z from the formula in NumPy, its square held against `scipy.stats.chi2_contingency(table, correction=False)`, and
    /// the tail from `scipy.stats.norm.sf(z)`; SciPy 1.17.1.
    #[test]
    fn the_statistic_and_its_tail_are_those_of_scipy() {
        let cases = [
            ((0, 1000), (50, 1000), 7.161_148_740_394_329, 4.000_189_223_997_282e-13),
            ((10, 1000), (10, 1000), 0.0, 0.5),
            ((3, 1500), (21, 2000), 3.015_560_670_340_049, 0.001_282_523_083_930_552_9),
            ((0, 1000), (10, 1000), 3.170_213_124_741_206_6, 0.000_761_635_823_839_397_9),
            ((0, 1000), (9, 1000), 3.006_772_867_017_435, 0.001_320_184_827_620_646_7),
            ((50, 1000), (5, 1000), -6.152_992_192_712_444, 0.999_999_999_619_827_2),
        ];
        for ((k1, n1), (k2, n2), statistic, probability) in cases {
            let got = z(Share { k: k1, n: n1 }, Share { k: k2, n: n2 });
            assert!((got - statistic).abs() < 1e-12, "{got} is not {statistic}");
            assert!((tail(got) / probability - 1.0).abs() < 1e-9, "{} is not {probability}", tail(got));
        }
    }

    #[test]
    fn where_there_is_nothing_to_compare_nothing_is_found() {
        let (none, all) = (Share { k: 0, n: 10 }, Share { k: 10, n: 10 });
        let nobody = Share { k: 0, n: 0 };
        for (first, second) in [(none, none), (all, all), (nobody, all), (all, nobody), (nobody, nobody)] {
            assert_eq!(z(first, second), 0.0);
        }
    }
}
