//! Gauss-Legendre quadrature on 0…1: `n` points integrate a polynomial of degree `2n - 1` exactly, with positive weights.
//! Source: Abramowitz and Stegun, 25.4.29 and 25.4.30; the points are the roots of the Legendre polynomials, found by
//! Newton's method.

use std::f64::consts::PI;

/// Points in 0…1, exclusive, and their weights, which sum to 1.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Quadrature {
    pub(super) points: Vec<f64>,
    pub(super) weights: Vec<f64>,
}

impl Quadrature {
    /// The rule of `n` points. `O(n²)`.
    pub(super) fn new(n: usize) -> Self {
        let mut points = vec![0.0; n];
        let mut weights = vec![0.0; n];
        for i in 0..n.div_ceil(2) {
            let (root, slope) = root(n, i);
            let weight = 1.0 / ((1.0 - root * root) * slope * slope);
            points[i] = 0.5 - 0.5 * root;
            points[n - 1 - i] = 0.5 + 0.5 * root;
            weights[i] = weight;
            weights[n - 1 - i] = weight;
        }
        Self { points, weights }
    }
}

/// The `i`th greatest root of the Legendre polynomial of degree `n`, and the polynomial's slope there.
fn root(n: usize, i: usize) -> (f64, f64) {
    let mut x = libm::cos(PI * (i as f64 + 0.75) / (n as f64 + 0.5));
    let mut slope = 1.0;
    // Newton's method doubles the digits with each step, and the first guess has several.
    for _ in 0..8 {
        let (value, derivative) = legendre(n, x);
        slope = derivative;
        let step = value / derivative;
        x -= step;
        if step.abs() <= f64::EPSILON {
            break;
        }
    }
    (x, slope)
}

/// The Legendre polynomial of degree `n >= 1` and its derivative at `x`, by the three-term recurrence.
fn legendre(n: usize, x: f64) -> (f64, f64) {
    let (mut before, mut value) = (1.0, x);
    for k in 2..=n {
        let k = k as f64;
        (before, value) = (value, ((2.0 * k - 1.0) * x * value - (k - 1.0) * before) / k);
    }
    (value, n as f64 * (x * value - before) / (x * x - 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn polynomials_are_integrated_exactly() {
        for n in [1, 2, 4, 8, 33, 512] {
            let Quadrature { points, weights } = Quadrature::new(n);
            for degree in [0, 1, n, 2 * n - 1] {
                let sum: f64 =
                    points.iter().zip(&weights).map(|(t, w)| w * libm::pow(*t, degree as f64)).sum();
                let exact = 1.0 / (degree as f64 + 1.0);
                assert!((sum - exact).abs() <= 4e-15, "{n} points, degree {degree}: {sum}, expected {exact}");
            }
        }
    }

    #[test]
    fn points_lie_inside() {
        let Quadrature { points, weights } = Quadrature::new(1024);
        assert!(points.iter().all(|t| *t > 0.0 && *t < 1.0));
        assert!(weights.iter().all(|w| *w > 0.0));
    }
}
