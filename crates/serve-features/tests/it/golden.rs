//! The vocabulary against pandas 3.1.1 and the definitions of TA-Lib (`tests/golden/make_features.py`), by way of CSV files,
//! a database and declarations: over an invented history with every kind of gap, and over real days.
//!
//! Tolerance: 1e-10 relative to the larger of 1 and the expected value; pandas' running sums account for most of it.

use std::fs::File;
use std::io;
use std::path::PathBuf;

use serve_core::Value;
use serve_features::{
    Declarations, FeatureRow, RawTable, SqliteDatabase, SqliteOptions, read_features, read_raw,
};

use super::entity;

const TOLERANCE: f64 = 1e-10;

const GOLDEN: &str = "tests/golden/features";
const DAYS: &str = "examples/data";

fn open(folder: &str, name: &str) -> File {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..");
    File::open(root.join(folder).join(name)).expect("is there")
}

fn expected(name: &str) -> Vec<FeatureRow> {
    read_features(open(GOLDEN, name)).expect("reads")
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

/// Computes a declared set of `features.yaml` over two files, and holds the rows of the moments that are expected against
/// them.
fn agrees(set: &str, prices: File, news: File, expected: &[FeatureRow]) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("features.db");
    let mut database = SqliteDatabase::open(path, SqliteOptions::default()).expect("opens");
    for (table, file) in [(RawTable::Price, prices), (RawTable::Sentiment, news)] {
        database.write_raw(&table, &read_raw(&table, file).expect("reads")).expect("writes");
    }
    let yaml = io::read_to_string(open(GOLDEN, "features.yaml")).expect("reads");
    let declarations = Declarations::parse(&yaml).expect("is sound");
    let set = declarations.get(set).expect("is declared");

    let bitcoin = entity("BTC/USD");
    let read = |table| database.read_frame(table, &bitcoin).expect("reads");
    let frames = set.sources().iter().map(|source| (source.name.clone(), read(&source.table))).collect();
    let computed = set.compute(&bitcoin, &frames).expect("computes");

    let mut differences = Vec::new();
    for expected in expected {
        let at = computed.timestamps().binary_search(&expected.timestamp()).expect("every moment has a row");
        let got = computed.row(at).expect("is there");
        assert_eq!(got.entity(), expected.entity());
        for ((name, got), (expected_name, expected_value)) in got.features().zip(expected.features()) {
            assert_eq!(name, expected_name);
            let difference = difference(got, expected_value);
            differences.extend(difference.map(|text| format!("{name} at {}: {text}", expected.timestamp())));
        }
    }
    assert!(differences.is_empty(), "{} differences\n{}", differences.len(), differences.join("\n"));
}

#[test]
fn every_function_agrees_with_pandas_and_talib() {
    agrees("golden", open(GOLDEN, "prices.csv"), open(GOLDEN, "news.csv"), &expected("expected.csv"));
}

#[test]
fn every_function_agrees_on_six_years_of_real_days() {
    let (prices, news) = (open(DAYS, "price_data.csv"), open(DAYS, "sentiment_data.csv"));
    agrees("days", prices, news, &expected("days-expected.csv"));
}

#[test]
fn the_golden_values_test_something() {
    for (file, rows, least) in [("expected.csv", 120, 30), ("days-expected.csv", 62, 20)] {
        let expected = expected(file);
        assert_eq!(expected.len(), rows);
        let names: Vec<&str> = expected[0].names().iter().map(|name| &**name).collect();
        for name in names {
            let values = expected.iter().filter_map(|row| row.get(name));
            let numbers = values.filter(|value| matches!(value, Value::Number(_))).count();
            assert!(numbers >= least, "{name} has {numbers} numbers in {file}");
        }
    }
}
