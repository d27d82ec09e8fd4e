//! Drift, against scipy and numpy (`tests/golden/make_drift.py`).

use std::path::Path;

use serde::Deserialize;
use serve_core::drift::{Change, Scale};
use serve_core::reference::Distribution;

#[derive(Deserialize)]
struct Case {
    name: String,
    rows: u64,
    null_rate: f64,
    quantiles: Vec<f64>,
    current: Vec<Option<f64>>,
    ks: f64,
    psi: f64,
    tolerance: Tolerance,
}

#[derive(Deserialize)]
struct Tolerance {
    ks: f64,
    psi: f64,
}

#[test]
fn drift_is_that_of_scipy_and_numpy() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden/drift/cases.json");
    let cases: Vec<Case> = serde_json::from_slice(&std::fs::read(path).expect("is there")).expect("reads");
    assert!(cases.len() > 9);
    for case in cases {
        let Case { name, rows, null_rate, quantiles, current, ks, psi, tolerance } = case;
        let training = Distribution { null_rate, quantiles, ..Distribution::of("x", [].into_iter()) };
        let scale = Scale::new(&training, rows).expect("has values");
        let mut counts = vec![0; scale.cells()];
        current.iter().flatten().for_each(|x| counts[scale.cell(*x)] += 1);
        let missing = current.iter().filter(|x| x.is_none()).count() as u64;
        let statistic = scale.kolmogorov_smirnov(&counts).expect("has values");
        assert!((statistic - ks).abs() <= tolerance.ks, "{name}: {statistic} is not {ks}");
        let index = scale.stability(&counts, missing).expect("has rows");
        assert!((index - psi).abs() <= tolerance.psi, "{name}: {index} is not {psi}");
        assert_eq!(Change::of(index), Change::of(psi), "{name}");
        let whole: f64 = scale.shares().sum();
        assert!((whole - 1.0).abs() < 1e-9, "{name}: the shares come to {whole}");
    }
}
