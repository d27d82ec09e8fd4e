//! Rows on demand and on a stream where the data is poor: few rows, none, late ones, no state.

use serve_core::Value;
use serve_features::{
    BuildError, Declarations, Entity, FeatureRow, FeatureSet, FeatureStore, FeatureStream, MemoryStore,
    OnDemand, OnDemandError, OnDemandRequest, RawRow, RawTable, SourceFrames, StreamError, on_demand,
    read_raw,
};

use super::{at, block_on, entity};

fn declared(features: &str) -> FeatureSet {
    let yaml = format!(
        "feature_sets: {{ s: {{ entity: symbol, sources: {{ price: {{ table: price_data }} }}, features: {{ {features} }} }} }}"
    );
    Declarations::parse(&yaml).unwrap_or_else(|error| unreachable!("{error}")).sets()[0].clone()
}

/// Closes of consecutive days of January 2024.
fn prices(symbol: &str, closes: &[f64]) -> Vec<RawRow> {
    let mut lines = vec!["symbol,timestamp,open,high,low,close,volume".to_owned()];
    for (i, close) in closes.iter().enumerate() {
        lines.push(format!("{symbol},2024-01-{:02},1,1,1,{close},1", i + 1));
    }
    read_raw(&RawTable::Price, lines.join("\n").as_bytes()).expect("reads")
}

fn store(rows: Vec<RawRow>) -> MemoryStore {
    let store = MemoryStore::new();
    block_on(store.raw().expect("keeps raw rows").write_raw(RawTable::Price, rows)).expect("writes");
    store
}

fn demand(
    set: &FeatureSet,
    store: &MemoryStore,
    names: &[&str],
    max_rows: usize,
) -> Vec<Result<Option<OnDemand>, OnDemandError>> {
    let entities: Vec<Entity> = names.iter().map(|name| entity(name)).collect();
    let request = OnDemandRequest { entities, as_of: at("2024-02-01"), deadline: None, max_rows };
    block_on(on_demand(set, store.raw().expect("keeps raw rows"), request)).expect("reads")
}

fn value(found: &OnDemand, feature: &str) -> Value<'static> {
    found.row.get(feature).cloned().expect("is a feature")
}

#[test]
fn each_entity_has_a_slot_with_its_rows_and_what_they_came_from() {
    let set = declared("mean: \"rolling_mean(close, 3)\", change: \"return(close, 1)\"");
    let mut rows = prices("A", &[1.0, 2.0, 3.0, 7.0]);
    rows.extend(prices("B", &[5.0]));
    let found = demand(&set, &store(rows), &["B", "C", "A", "B"], 100);
    let [Ok(Some(b)), Ok(None), Ok(Some(a)), Ok(Some(again))] = &found[..] else { unreachable!("{found:?}") };
    assert_eq!(b, again);
    assert_eq!((a.row.timestamp(), value(a, "mean")), (at("2024-01-04"), Value::Number(4.0)));
    assert_eq!(b.missing.iter().map(|name| &**name).collect::<Vec<_>>(), ["mean", "change"]);
    assert!(a.warm && b.warm && a.missing.is_empty());
    let used = &a.used[0];
    assert_eq!((&*used.source, &used.table, used.rows), ("price", &RawTable::Price, 3));
    assert_eq!((used.oldest, used.newest), (Some(at("2024-01-02")), Some(at("2024-01-04"))));
}

#[test]
fn three_rows_where_twenty_are_needed() {
    let features = "mean: { expr: \"rolling_mean(close, 20)\", missing: POLICY }, last: close";
    let store = store(prices("A", &[1.0, 2.0, 3.0]));
    let under = |policy: &str| demand(&declared(&features.replace("POLICY", policy)), &store, &["A"], 100);
    let Ok(Some(missing)) = &under("nan")[0] else { unreachable!("is there") };
    assert_eq!((value(missing, "mean"), value(missing, "last")), (Value::Missing, Value::Number(3.0)));
    let Ok(Some(filled)) = &under("{ constant: -0.0 }")[0] else { unreachable!("is there") };
    assert_eq!(value(filled, "mean"), Value::Number(0.0));
    assert_eq!(filled.filled.iter().map(|name| &**name).collect::<Vec<_>>(), ["mean"]);
    let Err(rejected) = &under("reject")[0] else { unreachable!("is refused") };
    assert_eq!(
        rejected.to_string(),
        "feature \"mean\" of set \"s\" has no value for \"A\" and is declared `missing: reject`: it needs 20 rows of source \"price\", 3 are there"
    );
}

#[test]
fn without_a_state_or_the_whole_history_a_row_is_cold() {
    let set = declared("ema: \"ema(close, 3)\", last: close");
    let closes = [1.0, 2.0, 4.0, 8.0, 16.0];
    let store = store(prices("A", &closes));
    let warm =
        |most| demand(&set, &store, &["A"], most)[0].as_ref().ok().and_then(Option::as_ref).map(|f| f.warm);
    assert_eq!((warm(4), warm(5)), (Some(false), Some(true)));
    let frame = RawTable::Price.frame(&prices("A", &closes), &entity("A")).expect("is a frame");
    let frames = SourceFrames::from([("price".to_owned(), frame)]);
    let (_, states) = set.compute_with_states(&entity("A"), &frames, &[at("2024-01-04")]).expect("computes");
    let raw = store.raw().expect("keeps raw rows");
    block_on(raw.write_states(set.name().clone(), states)).expect("writes");
    assert_eq!(warm(2), Some(true));
    // A row that is there as it is sent changes nothing; another makes the store forget the state that does not know it.
    let same = prices("A", &closes)[3].clone();
    block_on(raw.write_raw(RawTable::Price, vec![same])).expect("writes");
    assert_eq!(warm(2), Some(true));
    let late = prices("A", &[1.0, 2.0, 4.0, 9.0])[3].clone();
    block_on(raw.write_raw(RawTable::Price, vec![late])).expect("writes");
    assert_eq!(warm(2), Some(false));
}

#[test]
fn a_state_of_another_declaration_means_nothing() {
    let closes = [1.0, 2.0, 4.0];
    let frame = RawTable::Price.frame(&prices("A", &closes), &entity("A")).expect("is a frame");
    let frames = SourceFrames::from([("price".to_owned(), frame)]);
    let other = declared("ema: \"ema(close, 2)\"");
    let (_, states) =
        other.compute_with_states(&entity("A"), &frames, &[at("2024-01-03")]).expect("computes");
    let store = store(prices("A", &closes));
    let raw = store.raw().expect("keeps raw rows");
    block_on(raw.write_states(other.name().clone(), states)).expect("writes");
    let found = demand(&declared("ema: \"ema(close, 3)\""), &store, &["A"], 2);
    assert!(matches!(&found[0], Ok(Some(found)) if !found.warm), "{found:?}");
}

#[test]
fn a_set_that_computes_nothing_is_refused() {
    let set =
        Declarations::parse("feature_sets: { s: { entity: x, features: { a: number } } }").expect("is sound");
    let store = MemoryStore::new();
    let request =
        OnDemandRequest { entities: vec![entity("A")], as_of: at("2024-02-01"), deadline: None, max_rows: 9 };
    let refused = block_on(on_demand(&set.sets()[0], store.raw().expect("keeps raw rows"), request));
    assert!(matches!(refused, Err(BuildError::Compute(_))), "{refused:?}");
}

fn changes(rows: &[FeatureRow]) -> Vec<Option<Value<'static>>> {
    rows.iter().map(|row| row.get("change").cloned()).collect()
}

#[test]
fn a_stream_refuses_late_rows_and_takes_doubled_ones_as_a_store_does() {
    let mut stream = FeatureStream::new(&declared("change: \"diff(close, 1)\"")).expect("is declared");
    let rows = prices("A", &[1.0, 2.0, 4.0]);
    let mut doubled = rows[1].clone();
    doubled.values.iter_mut().filter(|(name, _)| &**name == "close").for_each(|(_, x)| *x = 3.0.into());
    stream.push(&RawTable::Price, vec![rows[1].clone(), rows[0].clone(), doubled.clone()]).expect("takes");
    let known = stream.advance(at("2024-01-02")).expect("advances");
    assert_eq!(changes(&known), [Some(Value::Missing), Some(Value::Number(2.0))]);
    let late = stream.push(&RawTable::Price, vec![rows[2].clone(), doubled]).expect_err("is late");
    assert_eq!(
        late.to_string(),
        "the row of \"A\" at 2024-01-02T00:00:00Z in \"price_data\" is late: the stream has been advanced to 2024-01-02T00:00:00Z"
    );
    assert!(stream.advance(at("2024-01-09")).expect("advances").is_empty());
    let other = stream.push(&RawTable::Sentiment, Vec::new());
    assert!(matches!(other, Err(StreamError::NoSource { .. })));
}

#[test]
fn a_stream_keeps_what_windows_look_back_to_and_no_more() {
    let set = declared("mean: \"rolling_mean(ema(close, 3), 4)\", change: \"diff(close, 2)\"");
    let mut stream = FeatureStream::new(&set).expect("is declared");
    let rows = prices("A", &[3.0; 28]);
    for row in &rows {
        stream.push(&RawTable::Price, vec![row.clone()]).expect("takes");
        stream.advance(row.timestamp).expect("advances");
        assert!(stream.kept() <= 4, "{}", stream.kept());
    }
    assert_eq!(stream.state(&entity("A")).map(|state| state.timestamp), Some(at("2024-01-28")));
}

#[test]
fn zeros_negatives_and_gaps_make_values_missing_and_nothing_else() {
    let set = declared("log: \"log(close)\", change: \"log_return(close, 1)\", ema: \"ema(log(close), 2)\"");
    let csv = "symbol,timestamp,open,high,low,close,volume
A,2024-01-04,1,1,1,-1,1
A,2024-01-01,1,1,1,1,1
A,2024-01-03,1,1,1,,1
A,2024-01-02,1,1,1,0,1
A,2024-01-05,1,1,1,2,1
A,2024-01-05,1,1,1,1,1
";
    let refused = read_raw(&RawTable::Price, csv.as_bytes());
    let rows = match refused {
        // A file that holds a moment twice is refused, or its last row stands; a store keeps one.
        Ok(rows) => rows,
        Err(_) => {
            read_raw(&RawTable::Price, csv.replace("A,2024-01-05,1,1,1,2,1\n", "").as_bytes()).expect("reads")
        }
    };
    let store = store(rows);
    let found = demand(&set, &store, &["A"], 100);
    let Ok(Some(found)) = &found[0] else { unreachable!("{found:?}") };
    assert_eq!(value(found, "log"), Value::Number(0.0));
    assert_eq!(value(found, "change"), Value::Missing);
    // ln 0 is −∞, which an average never leaves.
    assert_eq!(value(found, "ema"), Value::Missing);
}
