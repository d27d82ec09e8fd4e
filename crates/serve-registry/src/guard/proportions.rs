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
