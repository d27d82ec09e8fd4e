//! What every store must do, run against each of them.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use serve_core::Value;
use serve_features::{
    Fault, FeatureRow, FeatureStore, FetchRequest, HistoryRequest, MemoryStore, RetrieveError, SqliteOptions,
    SqliteStore, WriteError,
};

use super::database::Database;
use super::{at, block_on, entity, row, set, x};

/// Runs a check against an empty store of each kind.
pub(crate) fn every_store(check: impl Fn(&dyn FeatureStore)) {
    let (folder, database) = (tempfile::tempdir().expect("a folder"), Database::new());
    check(&MemoryStore::new());
    check(&SqliteStore::open(folder.path().join("features.db"), SqliteOptions::default()).expect("opens"));
    check(&database.store());
}

fn write(store: &dyn FeatureStore, name: &str, rows: Vec<FeatureRow>) {
    block_on(store.write(set(name), rows)).expect("writes");
}

fn fetch(store: &dyn FeatureStore, names: &[&str], as_of: Option<Timestamp>) -> Vec<Option<FeatureRow>> {
    let mut request = FetchRequest::newest(set("vader"), names.iter().map(|name| entity(name)));
    request.as_of = as_of;
    block_on(store.fetch(request)).expect("fetches")
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
            let mut features = row.features().to_vec();
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
        assert_eq!(block_on(store.fetch(request)).expect("is in time"), [None]);
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

#[test]
fn a_sample_is_the_newest_row_of_each_of_the_first_entities() {
    every_store(|store| {
        // In an order that is neither the bytes' nor a dictionary's.
        for name in ["b", "B", "a", "É", "Z", "_"] {
            write(store, "vader", vec![row(name, "2024-01-02", 2.0), row(name, "2024-01-01", 1.0)]);
        }
        write(store, "finbert", vec![row("A", "2024-01-01", 3.0)]);
        let sample = |limit| block_on(store.sample(set("vader"), limit)).expect("samples");
        let rows = sample(10);
        let names: Vec<_> = rows.iter().map(|row| row.entity().as_str()).collect();
        assert_eq!(names, ["B", "Z", "_", "a", "b", "É"], "{store:?}");
        assert!(rows.iter().all(|row| row.timestamp() == at("2024-01-02")));
        assert_eq!(sample(2), rows[..2]);
        assert_eq!(sample(0), []);
    });
}

#[test]
fn a_history_is_a_span_of_time_oldest_first() {
    every_store(|store| {
        for day in ["2024-01-03", "2024-01-01", "2024-01-04", "2024-01-02"] {
            write(store, "vader", vec![row("A", day, 1.0), row("B", day, 1.0)]);
        }
        let days = |from: Option<&str>, to: Option<&str>, limit| {
            let (from, to) = (from.map(at), to.map(at));
            let request = HistoryRequest { set: set("vader"), entity: entity("A"), from, to, limit };
            let rows = block_on(store.history(request)).expect("reads");
            rows.iter().map(|row| row.timestamp().to_string()[8..10].to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(days(None, None, 10), ["01", "02", "03", "04"], "{store:?}");
        assert_eq!(days(Some("2024-01-02"), Some("2024-01-04"), 10), ["02", "03"]);
        assert_eq!(days(None, None, 2), ["01", "02"]);
        assert_eq!(days(Some("2025-01-01"), None, 10), Vec::<String>::new());
    });
}

#[test]
fn sql_in_a_name_is_a_name() {
    every_store(|store| {
        for name in ["'; DROP TABLE feature_data; --", "\" OR 1=1 --", "$1", "%", "a\\'b", "{a,b}", "NULL"] {
            write(store, "vader", vec![row(name, "2024-01-01", 1.0)]);
            let found = fetch(store, &[name, "other"], None);
            assert_eq!(x(found[0].as_ref()), Some(Value::Number(1.0)), "{store:?} {name}");
            assert_eq!(found[1], None);
        }
        assert_eq!(block_on(store.sample(set("vader"), 100)).expect("samples").len(), 7);
    });
}
