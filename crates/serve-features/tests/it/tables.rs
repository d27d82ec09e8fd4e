//! A built table, written and read back.

use std::borrow::Cow;
use std::sync::Arc;

use jiff::Timestamp;
use proptest::prelude::*;
use serve_core::Value;
use serve_features::{FeatureRow, TableWriter, read_features};

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
