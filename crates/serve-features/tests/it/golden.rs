//! The vocabulary against pandas 3.1.1 and the definitions of TA-Lib (`tests/golden/make_features.py`), by way of CSV files,
//! a database and declarations.
//!
//! Tolerance: 1e-10 relative to the larger of 1 and the expected value; pandas' running sums account for most of it.

use std::fs::{self, File};
use std::path::PathBuf;

use serve_core::Value;
use serve_features::{Declarations, RawTable, SqliteDatabase, SqliteOptions, read_features, read_raw};

use super::entity;

const TOLERANCE: f64 = 1e-10;

fn golden(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden/features").join(name)
}

fn open(name: &str) -> File {
    File::open(golden(name)).expect("is in tests/golden/features")
}

/// What is wrong with a value, if anything is.
fn difference(got: &Value<'_>, expected: &Value<'_>) -> Option<String> {
    match (got, expected) {
        (Value::Missing, Value::Missing) => None,
        (Value::Number(got), Value::Number(expected)) => {
            let off = (got - expected).abs() / expected.abs().max(1.0);
            (off > TOLERANCE).then(|| format!("expected {expected}, got {got}: off by {off:e}"))
        }
        (got, expected) => Some(format!("expected {expected:?}, got {got:?}")),
    }
}

fn fill(database: &mut SqliteDatabase, table: &RawTable, file: &str) {
    database.write_raw(table, &read_raw(table, open(file)).expect("reads")).expect("writes");
}

#[test]
fn every_function_agrees_with_pandas_and_talib() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("features.db");
    let mut database = SqliteDatabase::open(path, SqliteOptions::default()).expect("opens");
    fill(&mut database, &RawTable::Price, "prices.csv");
    fill(&mut database, &RawTable::Sentiment, "news.csv");
    let yaml = fs::read_to_string(golden("features.yaml")).expect("reads");
    let declarations = Declarations::parse(&yaml).expect("is sound");
    let set = declarations.get("golden").expect("is declared");
    let expected = read_features(open("expected.csv")).expect("reads");

    let computed = database.compute_set(set, &entity("BTC/USD")).expect("computes");

    assert_eq!(computed.len(), expected.len());
    let mut differences = Vec::new();
    for (got, expected) in computed.rows().zip(&expected) {
        assert_eq!((got.entity(), got.timestamp()), (expected.entity(), expected.timestamp()));
        for ((name, got), (expected_name, expected_value)) in got.features().iter().zip(expected.features()) {
            assert_eq!(name, expected_name);
            let difference = difference(got, expected_value);
            differences.extend(difference.map(|text| format!("{name} at {}: {text}", expected.timestamp())));
        }
    }
    assert!(differences.is_empty(), "{} differences\n{}", differences.len(), differences.join("\n"));
}

#[test]
fn the_golden_values_test_something() {
    let expected = read_features(open("expected.csv")).expect("reads");
    let names: Vec<&str> = expected[0].features().iter().map(|(name, _)| &**name).collect();
    for name in names {
        let values = expected.iter().filter_map(|row| row.get(name));
        let numbers = values.filter(|value| matches!(value, Value::Number(_))).count();
        assert!(numbers >= 40, "{name} has {numbers} numbers");
    }
}
