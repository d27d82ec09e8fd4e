//! Functions of one row at a time. Meaning: numpy's, where a missing argument makes the result missing.

/// A function of one number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unary {
    /// ln x; −∞ at 0, missing below.
    Log,
    /// ln(1 + x), exact near 0.
    Log1p,
    /// √x; missing below 0.
    Sqrt,
    /// |x|.
    Abs,
    /// eˣ.
    Exp,
    /// −1, 0 or 1; 0 for zeros of both signs.
    Sign,
}

impl Unary {
    /// The function's value.
    #[must_use]
    pub fn of(self, x: f64) -> f64 {
        match self {
            Self::Log => libm::log(x),
            Self::Log1p => libm::log1p(x),
            Self::Sqrt => x.sqrt(),
            Self::Abs => x.abs(),
            Self::Exp => libm::exp(x),
            Self::Sign if x == 0.0 => 0.0,
            Self::Sign if x.is_nan() => x,
            Self::Sign => x.signum(),
        }
    }
}

/// The smaller; missing if either is (`numpy.minimum`, not `fmin`).
#[must_use]
pub fn min(a: f64, b: f64) -> f64 {
    if a.is_nan() || b.is_nan() { f64::NAN } else { a.min(b) }
}

/// The larger; missing if either is.
#[must_use]
pub fn max(a: f64, b: f64) -> f64 {
    if a.is_nan() || b.is_nan() { f64::NAN } else { a.max(b) }
}

/// x held within `low` … `high`, where `low` ≤ `high`; missing stays missing.
///
/// ```
/// use serve_features::vocabulary::elementwise::clip;
/// assert_eq!([-2.0, 0.5, 9.0].map(|x| clip(x, 0.0, 1.0)), [0.0, 0.5, 1.0]);
/// ```
#[must_use]
pub fn clip(x: f64, low: f64, high: f64) -> f64 {
    if x.is_nan() { x } else { x.max(low).min(high) }
}

/// x / y, missing where y is 0; the operator `/` gives an infinity there.
///
/// ```
/// use serve_features::vocabulary::elementwise::ratio;
/// assert_eq!(ratio(3.0, 2.0), 1.5);
/// assert!(ratio(3.0, 0.0).is_nan());
/// ```
#[must_use]
pub fn ratio(x: f64, y: f64) -> f64 {
    if y == 0.0 { f64::NAN } else { x / y }
}

/// x − y, as the operator.
#[must_use]
pub fn difference(x: f64, y: f64) -> f64 {
    x - y
}

/// x, or y where x is missing.
#[must_use]
pub fn coalesce(x: f64, y: f64) -> f64 {
    if x.is_nan() { y } else { x }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_arguments_stay_missing() {
        for y in [min(f64::NAN, 1.0), max(1.0, f64::NAN), clip(f64::NAN, 0.0, 1.0), Unary::Sign.of(f64::NAN)]
        {
            assert!(y.is_nan());
        }
        assert!(Unary::Log.of(-1.0).is_nan() && Unary::Sqrt.of(-1.0).is_nan());
        assert!(
            ratio(0.0, -0.0).is_nan()
                && ratio(f64::NAN, 1.0).is_nan()
                && coalesce(f64::NAN, f64::NAN).is_nan()
        );
    }

    #[test]
    fn values_are_those_of_the_definition() {
        assert_eq!(Unary::Log.of(0.0), f64::NEG_INFINITY);
        assert_eq!(Unary::Log1p.of(1e-20), 1e-20);
        assert_eq!((min(1.0, -0.5), max(1.0, -0.5)), (-0.5, 1.0));
        assert_eq!([-3.0, -0.0, 0.0, f64::INFINITY].map(|x| Unary::Sign.of(x)), [-1.0, 0.0, 0.0, 1.0]);
        assert_eq!((Unary::Exp.of(0.0), Unary::Exp.of(f64::NEG_INFINITY)), (1.0, 0.0));
        assert_eq!((difference(1.0, 3.0), coalesce(f64::NAN, 2.0), coalesce(1.0, 2.0)), (-2.0, 2.0, 1.0));
    }
}
