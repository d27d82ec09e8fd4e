//! Numbers as the form has them: JSON's own, `null` for NaN, `"inf"` and `"-inf"`.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, Visitor};

/// A number that may be no finite one.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Number(pub(super) f64);

/// The plain numbers of a list.
pub(super) fn plain(numbers: &[Number]) -> Vec<f64> {
    numbers.iter().map(|number| number.0).collect()
}

struct NumberVisitor;

impl Visitor<'_> for NumberVisitor {
    type Value = Number;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number, null, \"inf\" or \"-inf\"")
    }

    fn visit_f64<E: Error>(self, x: f64) -> Result<Number, E> {
        Ok(Number(x))
    }

    fn visit_i64<E: Error>(self, x: i64) -> Result<Number, E> {
        Ok(Number(x as f64))
    }

    fn visit_u64<E: Error>(self, x: u64) -> Result<Number, E> {
        Ok(Number(x as f64))
    }

    fn visit_unit<E: Error>(self) -> Result<Number, E> {
        Ok(Number(f64::NAN))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Number, E> {
        match text {
            "inf" => Ok(Number(f64::INFINITY)),
            "-inf" => Ok(Number(f64::NEG_INFINITY)),
            other => Err(E::invalid_value(serde::de::Unexpected::Str(other), &self)),
        }
    }
}

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NumberVisitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_json_lacks_has_a_form() {
        let numbers: Vec<Number> =
            serde_json::from_str(r#"[1, -2.5, null, "inf", "-inf", -0.0]"#).expect("reads");
        let [a, b, c, d, e, f] = plain(&numbers)[..] else { panic!("six numbers") };
        assert!((a, b) == (1.0, -2.5) && c.is_nan());
        assert!((d, e) == (f64::INFINITY, f64::NEG_INFINITY) && f.is_sign_negative());
        let error = serde_json::from_str::<Number>("\"nan\"").expect_err("refused").to_string();
        assert!(error.contains("expected a number, null, \"inf\" or \"-inf\""), "{error}");
    }
}
