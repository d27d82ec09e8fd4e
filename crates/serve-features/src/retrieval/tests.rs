//! A retriever before a store that does what it is told, with clocks that the tests move.

use std::sync::atomic::{AtomicI64, Ordering};

use serve_core::Value;

use super::*;
use crate::config::{CacheConfig, WhenStale};
use crate::raw::{RawRow, RawTable};
use crate::row::FeatureRow;
use crate::scripted::{Act, Scripted};
use crate::store::Fault;
use crate::timestamp::parse_timestamp;

mod auto;
mod failing;
mod ingest;
mod outdated;

/// `2025-10-04T12:00:00Z`, the time at which tests begin.
const NOON: &str = "2025-10-04T12:00:00Z";

const DECLARED: &str = "
feature_sets:
  ready:
    entity: symbol
    max_age: 10m
  typed:
    entity: symbol
    features:
      rsi: { type: number, range: { min: 0, max: 100 }, max_null_rate: 0.1 }
      venue: { type: text, missing: reject }
  hourly:
    entity: symbol
    max_age: 90m
    sources: { price: { table: price_data, delay: 1h } }
    features:
      change: return(close, 1)
      level: { expr: close, missing: { constant: 0 } }
";

struct Bench {
    script: Arc<Scripted>,
    retriever: Retriever,
    /// Microseconds after noon.
    elapsed: Arc<AtomicI64>,
}

fn at(text: &str) -> Timestamp {
    parse_timestamp(text).expect("is a timestamp")
}

fn entity(name: &str) -> Entity {
    name.parse().expect("is an entity")
}

fn set(name: &str) -> FeatureSetName {
    name.parse().expect("is a name")
}

fn row(name: &str, time: &str, x: f64) -> FeatureRow {
    FeatureRow::new(entity(name), at(&format!("2025-10-04T{time}Z")), [("x".into(), Value::from(x))])
}

fn bench(change: impl FnOnce(&mut FeaturesConfig)) -> Bench {
    bench_with(Scripted::new(Act::Answer), change)
}

fn bench_with(script: Scripted, change: impl FnOnce(&mut FeaturesConfig)) -> Bench {
    let mut config = FeaturesConfig { max_age: MaxAge::Unlimited, ..FeaturesConfig::default() };
    change(&mut config);
    let (script, elapsed) = (Arc::new(script), Arc::new(AtomicI64::new(0)));
    let clock = Arc::clone(&elapsed);
    let noon = at(NOON).as_microsecond();
    let retriever = Retriever::new(RetrieverParts {
        store: Some(Arc::clone(&script) as _),
        declarations: Declarations::parse(DECLARED).expect("is sound"),
        config,
        clock: Arc::new(move || {
            Timestamp::from_microsecond(noon + clock.load(Ordering::SeqCst)).expect("is in range")
        }),
    });
    Bench { script, retriever, elapsed }
}

impl Bench {
    async fn has(&self, name: &str, rows: &[FeatureRow]) {
        self.script.memory.write(set(name), rows.to_vec()).await.expect("writes");
    }

    /// Candles at whole hours, the close in the table.
    async fn has_candles(&self, name: &str, closes: &[(&str, f64)]) {
        let candle = |(time, close): &(&str, f64)| {
            let values = vec![("close".into(), Value::from(*close))];
            RawRow::new(entity(name), at(&format!("2025-10-04T{time}Z")), values)
        };
        let raw = self.script.memory.raw().expect("keeps raw rows");
        raw.write_raw(RawTable::Price, closes.iter().map(candle).collect()).await.expect("writes");
    }

    async fn wait(&self, time: Duration) {
        self.elapsed.fetch_add(i64::try_from(time.as_micros()).expect("is short"), Ordering::SeqCst);
        tokio::time::advance(time).await;
    }

    async fn ask(&self, request: RetrieveRequest) -> Result<Retrieved, Unavailable> {
        self.retriever.retrieve(request).await?.remove(0)
    }

    async fn cached(&self, set_name: &str, name: &str) -> Result<Retrieved, Unavailable> {
        self.ask(RetrieveRequest::cached(set(set_name), [entity(name)])).await
    }

    async fn asked(&self, set_name: &str, name: &str, mode: Mode) -> Result<Retrieved, Unavailable> {
        self.ask(RetrieveRequest { mode, ..RetrieveRequest::cached(set(set_name), [entity(name)]) }).await
    }
}

fn x(retrieved: &Retrieved) -> Option<&Value<'static>> {
    retrieved.row.get("x")
}

#[tokio::test(start_paused = true)]
async fn every_answer_says_how_old_it_is_and_the_strictest_limit_holds() {
    let bench = bench(|config| config.max_age = MaxAge::Limit(Duration::from_mins(15)));
    bench.has("ready", &[row("A", "11:50:00", 1.0), row("B", "11:49:59.999999", 2.0)]).await;
    bench.has("other", &[row("A", "11:45:00", 3.0), row("B", "11:44:59", 4.0)]).await;
    let found = bench.cached("ready", "A").await.expect("is exactly as old as it may be");
    assert_eq!((found.origin, found.age_seconds, found.from_future), (Origin::Cached, 600.0, false));
    let message = bench.cached("ready", "B").await.expect_err("is stale by the set").to_string();
    assert_eq!(
        message,
        "features of entity \"B\" in feature set \"ready\" are just over 10m old, older than 10m"
    );
    assert!(bench.cached("other", "A").await.is_ok());
    let error = bench.cached("other", "B").await.expect_err("is stale by the configuration");
    let Unavailable::Stale { stale, .. } = &error else { panic!("{error:?}") };
    assert_eq!((stale.age_seconds, stale.limit), (901.0, Duration::from_mins(15)));
    assert_eq!((error.fault(), error.retry_helps()), (Fault::Client, false));
    let strict = RetrieveRequest {
        max_age: Some(MaxAge::Limit(Duration::from_secs(599))),
        ..RetrieveRequest::cached(set("ready"), [entity("A")])
    };
    assert!(matches!(bench.ask(strict).await, Err(Unavailable::Stale { .. })));
    let counters = bench.retriever.counters();
    assert_eq!((counters.cached, counters.stale), (2, 3));
}

#[tokio::test(start_paused = true)]
async fn one_bad_entity_of_a_batch_fails_alone() {
    let bench = bench(|_| ());
    bench.has("ready", &[row("A", "12:00:00", 1.0), row("C", "10:00:00", 2.0)]).await;
    let request = RetrieveRequest::cached(set("ready"), ["C", "B", "A", "A"].map(entity));
    let rows = bench.retriever.retrieve(request).await.expect("has a store");
    assert!(matches!(rows[0], Err(Unavailable::Stale { .. })));
    assert_eq!(rows[1], Err(Unavailable::NoRow { set: set("ready"), entity: entity("B") }));
    assert!(rows[2].is_ok() && rows[3].is_ok());
    assert_eq!(bench.script.fetched(), [(vec!["C".to_owned(), "B".to_owned(), "A".to_owned()], None)]);
}

#[tokio::test(start_paused = true)]
async fn as_of_then_ages_are_measured_against_then_and_nothing_is_kept() {
    let bench = bench(|config| config.cache.ttl = Duration::from_mins(5));
    bench
        .has("ready", &[row("A", "09:00:00", 1.0), row("A", "10:00:00", 2.0), row("A", "12:00:00", 3.0)])
        .await;
    let then = |time: &str| RetrieveRequest {
        as_of: Some(at(&format!("2025-10-04T{time}Z"))),
        ..RetrieveRequest::cached(set("ready"), [entity("A")])
    };
    let found = bench.ask(then("10:05:00")).await.expect("was there");
    assert_eq!((x(&found), found.age_seconds), (Some(&2.0.into()), 300.0));
    assert!(matches!(bench.ask(then("09:59:59")).await, Err(Unavailable::Stale { .. })));
    assert!(matches!(bench.ask(then("08:59:59")).await, Err(Unavailable::NoRow { .. })));
    assert_eq!(x(&bench.cached("ready", "A").await.expect("is there")), Some(&3.0.into()));
    assert_eq!(x(&bench.ask(then("10:05:00")).await.expect("was there")), Some(&2.0.into()));
    assert_eq!(bench.script.calls(), 5);
    assert_eq!(bench.retriever.counters().cache.rows, 1);
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_runs_ahead_a_little_is_told_and_one_far_ahead_is_not_believed() {
    let bench = bench(|_| ());
    bench.has("ready", &[row("A", "12:01:00", 1.0)]).await;
    bench.has("ready", &[row("B", "11:59:00", 2.0), row("B", "12:01:00.000001", 3.0)]).await;
    bench.has("ready", &[row("C", "13:00:00", 4.0), row("D", "12:00:00", 5.0)]).await;
    let request = RetrieveRequest::cached(set("ready"), ["A", "B", "C", "D"].map(entity));
    let rows = bench.retriever.retrieve(request).await.expect("has a store");
    let found = rows[0].as_ref().expect("is within the skew");
    assert_eq!((found.age_seconds, found.from_future, found.skipped_future), (0.0, true, None));
    let found = rows[1].as_ref().expect("has an older row");
    assert_eq!((x(found), found.age_seconds, found.from_future), (Some(&2.0.into()), 60.0, false));
    assert_eq!(found.skipped_future, Some(at("2025-10-04T12:01:00.000001Z")));
    assert_eq!(
        rows[2].as_ref().expect_err("has only the future").to_string(),
        "the features of entity \"C\" in feature set \"ready\" are all from the future, the newest of 2025-10-04T13:00:00Z"
    );
    assert!(rows[3].is_ok());
    let fetched = bench.script.fetched();
    assert_eq!(fetched.len(), 2, "one more query for all that lie ahead");
    assert_eq!(fetched[1], (vec!["B".to_owned(), "C".to_owned()], Some(at("2025-10-04T12:01:00Z"))));
    let counters = bench.retriever.counters();
    assert_eq!((counters.from_future, counters.skipped_future), (1, 2));
    // The row from the future is as stale as any other once its time has come.
    bench.wait(Duration::from_mins(65)).await;
    let found = bench.cached("ready", "C").await.expect("its time has come");
    assert_eq!((found.age_seconds, found.from_future), (300.0, false));
}

#[tokio::test(start_paused = true)]
async fn a_kept_row_that_has_grown_too_old_is_asked_for_again() {
    let bench = bench(|config| config.cache.ttl = Duration::from_hours(1));
    bench.has("ready", &[row("A", "11:55:00", 1.0)]).await;
    assert_eq!(bench.cached("ready", "A").await.map(|found| found.age_seconds), Ok(300.0));
    bench.wait(Duration::from_mins(5)).await;
    assert_eq!(bench.cached("ready", "A").await.map(|found| found.age_seconds), Ok(600.0));
    assert_eq!(bench.script.calls(), 1);
    bench.has("ready", &[row("A", "12:05:00", 2.0)]).await;
    bench.wait(Duration::from_secs(1)).await;
    let found = bench.cached("ready", "A").await.expect("the store has a younger one");
    assert_eq!((x(&found), found.age_seconds), (Some(&2.0.into()), 1.0));
}

#[tokio::test(start_paused = true)]
async fn without_a_store_the_error_says_so() {
    let parts = RetrieverParts {
        store: None,
        declarations: Declarations::default(),
        config: FeaturesConfig::default(),
        clock: Arc::new(Timestamp::now),
    };
    let retriever = Retriever::new(parts);
    let error = retriever.retrieve(RetrieveRequest::cached(set("ready"), [entity("A")])).await;
    let message = "no feature store is configured, and the request needs features of \"ready\"";
    assert_eq!(error.map_err(|error| error.to_string()), Err(message.to_owned()));
    assert_eq!((retriever.health(), retriever.probe().await), (None, None));
}
