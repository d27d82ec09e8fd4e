//! Sums with what rounding left over.

use serde::{Deserialize, Serialize};

/// A sum of numbers at twice the precision of `f64`. It is finite, as JSON has to have it: a sum beyond the greatest number is that number,
/// since a mean of such numbers says nothing.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(from = "(f64, f64)", into = "(f64, f64)")]
pub struct Sum {
    sum: f64,
    /// What rounding left over of it.
    rest: f64,
}

impl Sum {
    /// A sum, and what rounding left over while it was made.
    #[must_use]
    pub(super) fn new(sum: f64, rest: f64) -> Self {
        let (nearest, left) = two_sum(sum, rest);
        if nearest.is_finite() && left.is_finite() {
            return Self { sum: nearest, rest: left };
        }
        let sum = if sum.is_nan() { 0.0 } else { sum.clamp(-f64::MAX, f64::MAX) };
        Self { sum, rest: 0.0 }
    }

    /// Adds another.
    pub fn add(&mut self, other: Self) {
        let (sum, lost) = two_sum(self.sum, other.sum);
        *self = Self::new(sum, lost + (self.rest + other.rest));
    }

    /// As one number.
    #[must_use]
    pub fn value(self) -> f64 {
        // They do not overlap: the sum is the nearest number already.
        self.sum
    }
}

impl std::iter::Sum for Sum {
    fn sum<I: Iterator<Item = Self>>(sums: I) -> Self {
        sums.fold(Self::default(), |mut all, sum| {
            all.add(sum);
            all
        })
    }
}

impl From<(f64, f64)> for Sum {
    fn from((sum, rest): (f64, f64)) -> Self {
        Self::new(sum, rest)
    }
}

impl From<Sum> for (f64, f64) {
    fn from(Sum { sum, rest }: Sum) -> Self {
        (sum, rest)
    }
}

/// The rounded sum of two numbers, and what rounding left over (D. E. Knuth, The Art of Computer Programming, volume 2, 4.2.2, theorem B).
pub(super) fn two_sum(a: f64, b: f64) -> (f64, f64) {
    let sum = a + b;
    let of_b = sum - a;
    (sum, (a - (sum - of_b)) + (b - of_b))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(values: &[f64]) -> Sum {
        values.iter().map(|x| Sum::new(*x, 0.0)).sum()
    }

    #[test]
    fn where_numbers_are_cut_does_not_change_their_sum() {
        // A multiplicative generator, and exponents far apart.
        let mut state = 7_u64;
        let values: Vec<f64> = (0..5000)
            .map(|_| {
                state = state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
                ((state >> 11) as f64 / 2_f64.powi(52) - 1.0) * 2_f64.powi((state % 61) as i32 - 30)
            })
            .collect();
        let (whole, plain) = (all(&values), values.iter().sum::<f64>());
        assert_ne!(whole.value().to_bits(), plain.to_bits(), "the test has to be able to fail");
        for length in [1, 7, 100, 1024, 4999] {
            let parts: Sum = values.chunks(length).map(all).sum();
            assert_eq!(parts.value().to_bits(), whole.value().to_bits(), "{length}");
            let text = serde_json::to_string(&parts).expect("writes");
            assert_eq!(serde_json::from_str::<Sum>(&text).expect("reads"), parts);
        }
    }

    #[test]
    fn sums_beyond_the_greatest_number_stay_finite() {
        assert_eq!(all(&[f64::MAX, f64::MAX]).value(), f64::MAX);
        assert_eq!(all(&[f64::MIN, f64::MIN, 1.0]).value(), f64::MIN);
        assert_eq!(Sum::new(f64::NAN, f64::NAN).value(), 0.0);
    }
}
