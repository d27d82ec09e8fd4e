//! scikit-learn's golden files, and what it means to equal them.

use std::fs;

use serde_json::Value;

/// A golden file of scikit-learn; see `tests/golden/README.md`.
pub(crate) fn sklearn(name: &str) -> Value {
    let path = format!("{}/../../tests/golden/sklearn/{name}", env!("CARGO_MANIFEST_DIR"));
    let file: Value =
        serde_json::from_slice(&fs::read(path).expect("the golden file is there")).expect("JSON");
    assert_eq!(file["sklearn_version"], "1.9.1");
    file
}

pub(crate) fn cases(file: &Value) -> &[Value] {
    file["cases"].as_array().expect("cases")
}

pub(crate) fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().expect("text")
}

/// A number; `null` is NaN.
pub(crate) fn number(value: &Value) -> f64 {
    if value.is_null() { f64::NAN } else { value.as_f64().expect("a number") }
}

pub(crate) fn vector(value: &Value) -> Vec<f64> {
    value.as_array().expect("a list").iter().map(number).collect()
}

/// `None` where the key is absent.
pub(crate) fn optional_vector(value: &Value) -> Option<Vec<f64>> {
    (!value.is_null()).then(|| vector(value))
}

pub(crate) fn matrix(value: &Value) -> Vec<Vec<f64>> {
    value.as_array().expect("a list").iter().map(vector).collect()
}

pub(crate) fn texts(value: &Value) -> Vec<String> {
    let list = value.as_array().expect("a list");
    list.iter().map(|text| text.as_str().map_or_else(|| text.to_string(), str::to_owned)).collect()
}

/// Units in the last place between two numbers; NaN is no distance from NaN.
pub(crate) fn ulps(a: f64, b: f64) -> u64 {
    let ordered = |x: f64| {
        let bits = x.to_bits().cast_signed();
        if bits < 0 { i64::MIN - bits } else { bits }
    };
    match (a.is_nan(), b.is_nan()) {
        (true, true) => 0,
        (false, false) => ordered(a).abs_diff(ordered(b)),
        _ => u64::MAX,
    }
}

/// Every number within `ulps` of the expected one; with 0, equal, where -0.0 equals 0.0.
#[track_caller]
pub(crate) fn assert_ulps(what: &str, got: &[f64], expected: &[f64], most: u64) {
    assert_eq!(got.len(), expected.len(), "{what}");
    for (place, (got, expected)) in got.iter().zip(expected).enumerate() {
        assert!(ulps(*got, *expected) <= most, "{what}, place {place}: expected {expected:e}, got {got:e}");
    }
}

/// Every number the same, bit for bit; any NaN equals any NaN.
#[track_caller]
pub(crate) fn assert_bits(what: &str, got: &[f64], expected: &[f64]) {
    assert_eq!(got.len(), expected.len(), "{what}");
    for (place, (got, expected)) in got.iter().zip(expected).enumerate() {
        let same = got.to_bits() == expected.to_bits() || (got.is_nan() && expected.is_nan());
        assert!(same, "{what}, place {place}: expected {expected:e}, got {got:e}");
    }
}

/// Every number within `tolerance`, relative above 1 and absolute below.
#[track_caller]
pub(crate) fn assert_close(what: &str, got: &[f64], expected: &[f64], tolerance: f64) {
    assert_eq!(got.len(), expected.len(), "{what}");
    for (place, (got, expected)) in got.iter().zip(expected).enumerate() {
        let near = (got - expected).abs() <= tolerance * expected.abs().max(1.0);
        assert!(near, "{what}, place {place}: expected {expected:e}, got {got:e}");
    }
}

#[test]
fn distances_are_counted_in_ulps() {
    assert_eq!(ulps(1.0, 1.0_f64.next_up()), 1);
    assert_eq!(ulps(-0.0, 0.0), 0);
    assert_eq!(ulps((-0.0_f64).next_down(), 0.0_f64.next_up()), 2);
    assert_eq!(ulps(f64::NAN, 1.0), u64::MAX);
}
