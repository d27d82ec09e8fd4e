//! Building over a store: what is given, what is written back, and that it may be repeated.

use serve_core::Value;
use serve_features::{
    BuildError, BuildRequest, Built, Declarations, FeatureSet, FeatureStore, FetchRequest, HistoryRequest,
    MemoryStore, OnDemandRequest, RawTable, SqliteOptions, SqliteStore, build, on_demand, read_raw,
};

use super::{at, block_on, entity};

const DECLARED: &str = "
feature_sets:
  s:
    entity: symbol
    sources: { price: { table: price_data, delay: 1d } }
    features:
      ema: ema(close, 3)
      change: { expr: 'return(close, 1)', missing: { constant: 0 } }
";

fn set() -> FeatureSet {
    Declarations::parse(DECLARED).expect("is sound").sets()[0].clone()
}

fn fill(store: &dyn FeatureStore) {
    let mut lines = vec!["symbol,timestamp,open,high,low,close,volume".to_owned()];
    for (symbol, days) in [("A", 30), ("B", 3)] {
        lines.extend((1..=days).map(|day| format!("{symbol},2024-01-{day:02},1,1,1,{day}.5,1")));
    }
    let rows = read_raw(&RawTable::Price, lines.join("\n").as_bytes()).expect("reads");
    let raw = store.raw().expect("keeps raw rows");
    block_on(raw.write_raw(RawTable::Price, rows)).expect("writes");
}

fn every_store(check: impl Fn(&dyn FeatureStore)) {
    check(&MemoryStore::new());
    let folder = tempfile::tempdir().expect("a folder");
    let store = SqliteStore::open(folder.path().join("features.db"), SqliteOptions::default());
    check(&store.expect("opens"));
}

fn built(store: &dyn FeatureStore, request: &BuildRequest) -> (Built, Vec<String>) {
    let mut taken = Vec::new();
    let mut sink = |computed: &serve_features::Computed, wanted| {
        taken.extend(computed.rows_in(wanted).map(|row| format!("{} {}", row.entity(), row.timestamp())));
        Ok(())
    };
    let built = block_on(build(&set(), store, request, &mut sink)).expect("builds");
    (built, taken)
}

#[test]
fn every_entity_is_built_and_stored_with_states_to_go_on_from() {
    every_store(|store| {
        fill(store);
        let request = BuildRequest { store: true, ..BuildRequest::default() };
        for _ in 0..2 {
            let (built, taken) = built(store, &request);
            assert_eq!((built.entities, built.rows, built.filled, built.states), (2, 33, 2, 3));
            assert_eq!(
                (taken.len(), &*taken[0], &*taken[32]),
                (33, "A 2024-01-02T00:00:00Z", "B 2024-01-04T00:00:00Z")
            );
        }
        let newest = block_on(store.fetch(FetchRequest::newest(set().name().clone(), [entity("A")])));
        let newest = newest.expect("fetches").remove(0).expect("can be read").expect("is there");
        assert_eq!(newest.timestamp(), at("2024-01-31"));
        // What was missing is stored as missing, so that whoever puts the constant there can tell it.
        let (name, of) = (set().name().clone(), entity("A"));
        let stored =
            HistoryRequest { set: name, entity: of, from: None, to: Some(at("2024-01-04")), limit: 9 };
        let stored = block_on(store.history(stored)).expect("reads");
        let missing: Vec<bool> =
            stored.iter().map(|row| row.get("change") == Some(&Value::Missing)).collect();
        assert_eq!(missing, [true, false]);

        let raw = store.raw().expect("keeps raw rows");
        let request = |max_rows| OnDemandRequest {
            entities: vec![entity("A")],
            as_of: at("2024-01-31"),
            deadline: None,
            max_rows,
        };
        let found = block_on(on_demand(&set(), raw, request(2))).expect("reads");
        let Ok(Some(found)) = &found[0] else { unreachable!("{found:?}") };
        assert_eq!((&found.row, found.warm), (&newest, true));

        // The next day's candle comes on time: the newest state does not know a later moment, so it stays.
        let csv = "symbol,timestamp,open,high,low,close,volume\nA,2024-01-31,1,1,1,9,1\n";
        let rows = read_raw(&RawTable::Price, csv.as_bytes()).expect("reads");
        block_on(raw.write_raw(RawTable::Price, rows)).expect("writes");
        let mut later = request(3);
        later.as_of = at("2024-02-01");
        let found = block_on(on_demand(&set(), raw, later)).expect("reads");
        assert!(matches!(&found[0], Ok(Some(found)) if found.warm), "{found:?}");
    });
}

#[test]
fn a_part_of_the_history_is_computed_from_all_of_it() {
    every_store(|store| {
        fill(store);
        let request = BuildRequest {
            entities: Some(vec![entity("A"), entity("nobody")]),
            from: Some(at("2024-01-10")),
            to: Some(at("2024-01-12")),
            store: true,
        };
        let (built, taken) = built(store, &request);
        assert_eq!(taken, ["A 2024-01-10T00:00:00Z", "A 2024-01-11T00:00:00Z"]);
        assert_eq!((built.entities, built.rows), (1, 2));
        let all = HistoryRequest {
            set: set().name().clone(),
            entity: entity("A"),
            from: None,
            to: None,
            limit: 100,
        };
        let stored = block_on(store.history(all)).expect("reads");
        assert_eq!(stored.len(), 2);
        assert_eq!(stored[0].get("change"), Some(&(9.5 / 8.5 - 1.0).into()));
    });
}

#[test]
fn features_that_never_have_a_value_are_told() {
    let store = MemoryStore::new();
    fill(&store);
    let declared = DECLARED.to_owned()
        + "      long: rolling_mean(close, 31)\n      none: { expr: 'close / 0', missing: { constant: 1 } }\n";
    let set = Declarations::parse(&declared).expect("is sound").sets()[0].clone();
    let mut sink = |_: &serve_features::Computed, _| Ok(());
    let built = block_on(build(&set, &store, &BuildRequest::default(), &mut sink)).expect("builds");
    assert_eq!(built.valueless, [std::sync::Arc::from("long"), "none".into()]);
}

#[test]
fn a_sink_that_fails_ends_the_build() {
    let store = MemoryStore::new();
    fill(&store);
    let mut sink = |_: &serve_features::Computed, _| Err(std::io::Error::other("is full"));
    let failed = block_on(build(&set(), &store, &BuildRequest::default(), &mut sink));
    assert!(matches!(failed, Err(BuildError::Sink(_))), "{failed:?}");
}
