//! What every store must do, run against each of them.

use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use serve_core::Value;
use serve_features::{
    Fault, FeatureRow, FeatureStore, FetchRequest, HistoryRequest, MemoryStore, RetrieveError, SqliteOptions,
    SqliteStore, WriteError,
};

use super::database::Database;
use super::{at, block_on, entity, readable, row, set, x};

/// Runs a check against an empty store of each kind.
pub(crate) fn every_store(check: impl Fn(&dyn FeatureStore)) {
    let (folder, database) = (tempfile::tempdir().expect("a folder"), Database::new());
    check(&MemoryStore::new());
    check(&SqliteStore::open(folder.path().join("features.db"), SqliteOptions::default()).expect("opens"));
    check(&database.store());
    check(&super::redis::store(""));
    check(&super::redis_cache::over(Arc::new(MemoryStore::new())));
}

fn write(store: &dyn FeatureStore, name: &str, rows: Vec<FeatureRow>) {
    block_on(store.write(set(name), rows)).expect("writes");
}

fn fetch(store: &dyn FeatureStore, names: &[&str], as_of: Option<Timestamp>) -> Vec<Option<FeatureRow>> {
    let mut request = FetchRequest::newest(set("vader"), names.iter().map(|name| entity(name)));
    request.as_of = as_of;
    readable(block_on(store.fetch(request)).expect("fetches"))
}

#[test]
fn one_slot_an_entity_in_the_order_asked() {
    every_store(|store| {
        write(store, "vader", vec![row("A", "2024-01-01", 1.0), row("B", "2024-01-01", 2.0)]);
        write(store, "finbert", vec![row("C", "2024-01-01", 3.0)]);
        let rows = fetch(store, &["B", "C", "A", "B"], None);
        let values: Vec<_> = rows.iter().map(|row| x(row.as_ref())).collect();
        let number = |x| Some(Value::Number(x));
        assert_eq!(values, [number(2.0), None, number(1.0), number(2.0)], "{store:?}");
        assert_eq!(fetch(store, &[], None), []);
    });
}

#[test]
fn the_newest_row_not_later_than_the_moment_is_found() {
    every_store(|store| {
        // Written out of order, as a backfill does.
        for (timestamp, value) in [("2024-01-02", 2.0), ("2024-01-03", 3.0), ("2024-01-01", 1.0)] {
            write(store, "vader", vec![row("A", timestamp, value)]);
        }
        let found = |as_of: Option<&str>| x(fetch(store, &["A"], as_of.map(at))[0].as_ref());
        assert_eq!(found(None), Some(Value::Number(3.0)));
        assert_eq!(found(Some("2024-01-02")), Some(Value::Number(2.0)));
        assert_eq!(found(Some("2024-01-01T23:59:59.999999Z")), Some(Value::Number(1.0)));
        assert_eq!(found(Some("2023-12-31T23:59:59.999999Z")), None);
        assert_eq!(found(Some("1969-01-01")), None);
    });
}

#[test]
fn a_row_of_the_same_moment_is_replaced() {
    every_store(|store| {
        write(store, "vader", vec![row("A", "2024-01-01", 1.0)]);
        write(store, "vader", vec![row("A", "2024-01-01T00:00:00Z", 2.0)]);
        assert_eq!(x(fetch(store, &["A"], None)[0].as_ref()), Some(Value::Number(2.0)));
    });
}

#[test]
fn every_kind_of_value_comes_back_with_every_bit() {
    every_store(|store| {
        let features = vec![
            ("z".into(), Value::Number(0.1 + 0.2)),
            ("a".into(), Value::Number(-1e-300)),
            ("m".into(), Value::Missing),
            ("b".into(), Value::Bool(false)),
            ("t".into(), Value::Text("näive \"text\"\n".into())),
        ];
        let before_1970: Timestamp = "1969-12-31T23:59:59.9999999Z".parse().expect("is a timestamp");
        let row = FeatureRow::new(entity("A \"quoted\" 'n'"), before_1970, features);
        write(store, "vader", vec![row.clone()]);
        let found = fetch(store, &["A \"quoted\" 'n'"], None).remove(0).expect("is there");
        // PostgreSQL keeps values by name; the others keep their order too.
        let by_name = |row: &FeatureRow| {
            let owned =
                |(name, value): (&std::sync::Arc<str>, &Value<'static>)| (name.clone(), value.clone());
            let mut features: Vec<_> = row.features().map(owned).collect();
            if store.kind() == "postgres" {
                features.sort_by(|(a, _), (b, _)| a.cmp(b));
            }
            (row.entity().clone(), row.timestamp(), features)
        };
        assert_eq!(by_name(&found), by_name(&row), "{store:?}");
        assert_eq!(row.timestamp().as_nanosecond(), -1_000);
    });
}

#[test]
fn a_row_keeps_the_name_of_the_declaration_that_computed_it() {
    let text = "feature_sets: { vader: { entity: symbol, sources: { price: { table: price_data } }, features: { x: close } } }";
    let computed_by = serve_features::Declarations::parse(text).expect("is sound").sets()[0].digest();
    assert!(computed_by.is_some());
    every_store(|store| {
        let marked = |by| row("A", "2024-01-01", 1.0).computed_by(by);
        write(store, "vader", vec![marked(computed_by), row("B", "2024-01-01", 1.0)]);
        let found = |names: &[&str]| -> Vec<_> {
            fetch(store, names, None).into_iter().map(|row| row.expect("is there").declaration()).collect()
        };
        assert_eq!(found(&["A"]), [computed_by], "{store:?}");
        assert_eq!(found(&["A", "B"]), [computed_by, None], "{store:?}");
        let sampled = block_on(store.sample(set("vader"), 1)).expect("reads").remove(0).expect("reads");
        assert_eq!(sampled.declaration(), computed_by, "{store:?}");
        // A row that comes ready in its place is no computed one.
        write(store, "vader", vec![marked(None)]);
        assert_eq!(found(&["A"]), [None], "{store:?}");
    });
}

#[test]
fn a_value_that_no_store_keeps_refuses_the_whole_batch() {
    every_store(|store| {
        let rows = vec![row("A", "2024-01-01", 1.0), row("B", "2024-01-01", f64::INFINITY)];
        let error = block_on(store.write(set("vader"), rows)).expect_err("is refused");
        assert_eq!(
            error.to_string(),
            "`x` of \"B\" at 2024-01-01T00:00:00Z: expected a finite number, a boolean or text, got inf"
        );
        assert!(matches!(error, WriteError::NotStorable { .. }));
        assert_eq!((error.fault(), error.retry_helps()), (Fault::Client, false));
        assert_eq!(fetch(store, &["A"], None), [None], "{store:?}");
    });
}

#[test]
fn work_past_its_deadline_is_refused() {
    every_store(|store| {
        let mut request = FetchRequest::newest(set("vader"), [entity("A")]);
        request.deadline = Some(Instant::now());
        let error = block_on(store.fetch(request.clone())).expect_err("is too late");
        assert!(matches!(&error, RetrieveError::Deadline { set } if set.as_str() == "vader"));
        assert_eq!((error.fault(), error.retry_helps()), (Fault::Upstream, true));
        request.deadline = Some(Instant::now() + Duration::from_mins(1));
        assert_eq!(readable(block_on(store.fetch(request)).expect("is in time")), [None]);
    });
}

#[test]
fn a_sample_is_the_newest_row_of_the_first_entities() {
    every_store(|store| {
        for (name, timestamp, value) in [
            ("B", "2024-01-01", 1.0),
            ("a:b", "2024-01-02", 2.0),
            ("A", "2024-01-03", 3.0),
            ("B", "2024-01-02", 4.0),
        ] {
            write(store, "vader", vec![row(name, timestamp, value)]);
        }
        write(store, "finbert", vec![row("0", "2024-01-01", 5.0)]);
        let sampled = |limit| readable(block_on(store.sample(set("vader"), limit)).expect("samples"));
        let expected =
            [row("A", "2024-01-03", 3.0), row("B", "2024-01-02", 4.0), row("a:b", "2024-01-02", 2.0)];
        assert_eq!(sampled(usize::MAX), expected, "{store:?}");
        assert_eq!(sampled(2), expected[..2], "{store:?}");
        assert_eq!(sampled(0), []);
    });
}

#[test]
fn a_history_is_a_span_of_one_entitys_rows() {
    every_store(|store| {
        let days = ["1969-12-30", "1970-01-01", "2024-01-01", "2024-01-02", "9999-12-30"];
        let rows: Vec<FeatureRow> = days.iter().map(|day| row("A", day, 1.0)).collect();
        write(store, "vader", rows.iter().rev().cloned().collect());
        write(store, "vader", vec![row("A:", "2024-01-01", 2.0), row("B", "2024-01-01", 2.0)]);
        let history = |from: Option<&str>, to: Option<&str>, limit| {
            let (set, entity) = (set("vader"), entity("A"));
            let request = HistoryRequest { set, entity, from: from.map(at), to: to.map(at), limit };
            block_on(store.history(request)).expect("reads")
        };
        assert_eq!(history(None, None, usize::MAX), rows, "{store:?}");
        assert_eq!(history(Some("1970-01-01"), Some("2024-01-02"), 10), rows[1..3], "{store:?}");
        assert_eq!(history(Some("1970-01-01"), None, 2), rows[1..3], "{store:?}");
        assert_eq!(history(None, Some("1969-12-30"), 10), []);
        // Only the last microsecond differs, where a float no longer does.
        let late = row("L", "9999-12-30T00:00:00.000001Z", 1.0);
        write(store, "vader", vec![late.clone(), row("L", "9999-12-30T00:00:00.000002Z", 2.0)]);
        assert_eq!(fetch(store, &["L"], Some(late.timestamp())), [Some(late)], "{store:?}");
    });
}

#[test]
fn entities_are_told_apart_whatever_is_in_their_names() {
    every_store(|store| {
        let names = [
            "A",
            "A:B",
            "vader:A",
            ":",
            "' OR 1=1 --",
            "*",
            "a b",
            "é",
            "%",
            "\\",
            "{A}",
            "A\"; FLUSHALL",
            "'; DROP TABLE feature_data; --",
            "$1",
            "NULL",
        ];
        let rows: Vec<FeatureRow> =
            (0..).zip(names).map(|(i, name)| row(name, "2024-01-01", f64::from(i))).collect();
        write(store, "vader", rows.clone());
        let expected: Vec<Option<FeatureRow>> = rows.into_iter().map(Some).collect();
        assert_eq!(fetch(store, &names, None), expected, "{store:?}");
    });
}

#[test]
fn a_ping_is_answered_by_an_empty_store() {
    every_store(|store| block_on(store.ping()).expect("answers"));
}

#[test]
fn a_batch_with_a_key_twice_keeps_the_last() {
    every_store(|store| {
        let rows = [("A", 1.0), ("B", 2.0), ("A", 3.0)].map(|(name, x)| row(name, "2024-01-01", x));
        write(store, "vader", rows.to_vec());
        let values: Vec<_> = fetch(store, &["A", "B"], None).iter().map(|row| x(row.as_ref())).collect();
        assert_eq!(values, [Some(Value::Number(3.0)), Some(Value::Number(2.0))], "{store:?}");
    });
}
