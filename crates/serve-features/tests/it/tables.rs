//! A built table, written and read back.

use std::borrow::Cow;
use std::sync::Arc;

use jiff::Timestamp;
use proptest::prelude::*;
use serve_core::Value;
use serve_features::{
    FeatureRow, RawTable, ReadyRows, RowReader, TableColumn, TableFile, TableWriter, read_features,
};

use super::{at, entity};

const NAMES: [&str; 3] = ["a", "with \"quotes\", and comma", "#c"];

fn written(rows: &[FeatureRow]) -> String {
    let mut table = TableWriter::new(Vec::new(), NAMES).expect("writes");
    table.write(rows).expect("writes");
    String::from_utf8(table.finish().expect("writes")).expect("is text")
}

#[test]
fn columns_are_as_declared_whatever_the_order_of_a_row() {
    let features: Vec<(Arc<str>, Value<'static>)> =
        vec![("#c".into(), Value::Bool(true)), ("extra".into(), 1.0.into()), ("a".into(), 1e-7.into())];
    let row = FeatureRow::new(entity("#1"), at("2024-01-01T00:00:00.5Z"), features);
    let expected = "entity,timestamp,a,\"with \"\"quotes\"\", and comma\",\"#c\"\n\"#1\",2024-01-01T00:00:00.5Z,1e-7,,true\n";
    assert_eq!(written(std::slice::from_ref(&row)), expected);
    assert_eq!(read_features(expected.as_bytes()).expect("reads")[0].entity(), row.entity());
}

fn value() -> impl Strategy<Value = Value<'static>> {
    prop_oneof![
        any::<f64>().prop_filter("finite", |x| x.is_finite()).prop_map(Value::Number),
        Just(Value::Missing),
        any::<bool>().prop_map(Value::Bool),
        "[a-z\",\n#é][a-z \",\n#é]{0,8}x"
            .prop_filter("text", |text| text.parse::<f64>().is_err())
            .prop_map(|text| Value::Text(Cow::Owned(text))),
    ]
}

proptest! {
    #[test]
    fn what_is_written_reads_back_the_same(
        rows in prop::collection::vec((-4_000_000_000_000i64..4_000_000_000_000_000, prop::collection::vec(value(), 3)), 0..8),
    ) {
        let mut rows: Vec<FeatureRow> = rows
            .into_iter()
            .map(|(micros, values)| {
                let timestamp = Timestamp::from_microsecond(micros).expect("is in range");
                let features: Vec<_> = NAMES.iter().map(|name| Arc::from(*name)).zip(values).collect();
                FeatureRow::new(entity("BTC/USD"), timestamp, features)
            })
            .collect();
        rows.sort_by_key(FeatureRow::timestamp);
        rows.dedup_by_key(|row| row.timestamp());
        let table = written(&rows);
        prop_assert_eq!(read_features(table.as_bytes()).expect("reads"), rows);
    }
}

#[test]
fn a_parquet_file_reads_back_as_the_same_rows() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("rows.parquet");
    let columns = [("a".to_owned(), TableColumn::Number), ("t".to_owned(), TableColumn::Text)];
    let row = |day: i64, a: Value<'static>, t: Value<'static>| {
        let at = Timestamp::from_second(day * 86_400).expect("is in range");
        FeatureRow::new(entity("BTC/USD"), at, vec![("a".into(), a), ("t".into(), t)])
    };
    let rows: Vec<_> = (0..20_000)
        .map(|day| row(day, Value::Number(0.1 * day as f64), Value::Text(format!("é{day}").into())))
        .chain([row(20_001, Value::Missing, Value::Missing)])
        .collect();
    let mut table = TableFile::create(&path, &columns).expect("creates");
    assert!(!path.exists());
    rows.chunks(3_000).for_each(|rows| table.write(rows).expect("writes"));
    table.finish().expect("ends");
    let mut reader = RowReader::open(ReadyRows, &path).expect("opens");
    assert_eq!(reader.skip(19_999).expect("skips"), 19_999);
    assert_eq!(reader.next_batch(10).expect("reads"), rows[19_999..]);
    let read = RowReader::open(ReadyRows, &path).expect("opens").next_batch(usize::MAX).expect("reads");
    assert_eq!(read, rows);
}

#[test]
fn whole_numbers_are_integers_in_a_parquet_file() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("rows.parquet");
    let columns = [("label", TableColumn::Whole), ("x", TableColumn::Number)];
    let columns = columns.map(|(name, column)| (name.to_owned(), column));
    let row = |day: &str, label: Value<'static>| {
        FeatureRow::new(entity("A"), at(day), vec![("label".into(), label), ("x".into(), 1.0.into())])
    };
    let rows = [
        row("2024-01-01", (-9_007_199_254_740_992.0).into()),
        row("2024-01-02", Value::Missing),
        row("2024-01-03", 0.5.into()),
    ];
    let mut table = TableFile::create(&path, &columns).expect("creates");
    table.write(&rows).expect("writes");
    table.finish().expect("ends");
    let mut reader = RowReader::open(ReadyRows, &path).expect("opens");
    let whole = ["label", "x", "other"].map(|name| reader.is_whole(name));
    assert_eq!(whole, [Some(true), Some(false), None]);
    // What an integer cannot hold is null.
    let held = [rows[0].clone(), rows[1].clone(), row("2024-01-03", Value::Missing)];
    assert_eq!(reader.next_batch(9).expect("reads"), held);
}

#[test]
fn a_parquet_file_that_is_none_or_lacks_columns_is_refused_by_name() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("rows.parquet");
    std::fs::write(&path, b"PAR1 but no more").expect("writes");
    let refused = |table: RawTable| RowReader::open(table, &path).expect_err("is refused").to_string();
    assert_eq!(refused(RawTable::Price), "the Parquet file cannot be read after row 0");
    let mut table = TableFile::create(&path, &[("open".to_owned(), TableColumn::Text)]).expect("creates");
    let text = vec![("open".into(), Value::Text("cheap".into()))];
    table.write(&[FeatureRow::new(entity("A"), at("2024-01-01"), text)]).expect("writes");
    table.finish().expect("ends");
    assert!(refused(RawTable::Price).starts_with("the header lacks `high`: expected `symbol`"));
    let mut reader = RowReader::open(RawTable::Sentiment, &path).expect("opens");
    let error = reader.next_batch(10).expect_err("is refused").to_string();
    assert_eq!(error, "row 1, column `open`: expected a finite number, or nothing, got \"cheap\"");
}
