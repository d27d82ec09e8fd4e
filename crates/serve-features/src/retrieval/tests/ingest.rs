//! Rows on their way in, and what the report says of them.

use super::*;
use crate::store::FetchRequest;

fn hourly(name: &str, time: &str, values: &[(&str, Value<'static>)]) -> FeatureRow {
    let values: Vec<(Arc<str>, Value<'static>)> =
        values.iter().map(|(name, value)| ((*name).into(), value.clone())).collect();
    FeatureRow::new(entity(name), at(&format!("2025-10-04T{time}Z")), values)
}

fn request(name: &str, rows: Vec<FeatureRow>, partial: bool) -> IngestRequest {
    IngestRequest { set: set(name), rows, partial }
}

fn mixed() -> Vec<FeatureRow> {
    let number = |x: f64| ("change", Value::Number(x));
    vec![
        hourly("A", "11:00:00", &[number(0.5)]),
        hourly(
            "B",
            "12:01:00.000001",
            &[("change", Value::Text("0.5".into())), ("vwap", Value::Number(1.0))],
        ),
        hourly("C", "12:01:00", &[number(0.25)]),
    ]
}

#[tokio::test(start_paused = true)]
async fn a_batch_with_a_bad_row_is_refused_whole_with_everything_that_is_wrong() {
    let bench = bench(|_| ());
    let error = bench.retriever.ingest(request("hourly", mixed(), false)).await.expect_err("is refused");
    assert_eq!(
        error.to_string(),
        "1 of 3 rows of \"hourly\" are refused, and none is stored: row 1: \
         `timestamp`: expected a moment that has been, got 2025-10-04T12:01:00.000001Z; \
         `change`: expected a number, got the text \"0.5\": send it without quotes; \
         `vwap`: the set has no such feature, it has change, level"
    );
    assert_eq!((error.fault(), error.retry_helps()), (Fault::Client, false));
    assert_eq!(bench.script.calls(), 0);
}

#[tokio::test(start_paused = true)]
async fn in_parts_the_sound_rows_are_stored() {
    let bench = bench(|_| ());
    let ingested = bench.retriever.ingest(request("hourly", mixed(), true)).await.expect("takes two");
    assert_eq!(ingested.written, 2);
    assert_eq!(ingested.refused.iter().map(|(i, _)| *i).collect::<Vec<_>>(), [1]);
    let stored = FetchRequest::newest(set("hourly"), ["A", "B", "C"].map(entity));
    let stored = bench.script.memory.fetch(stored).await.expect("reads");
    assert_eq!(stored.iter().map(|slot| *slot != Ok(None)).collect::<Vec<_>>(), [true, false, true]);
    let counters = bench.retriever.counters();
    assert_eq!((counters.ingested, counters.refused), (2, 1));
}

#[tokio::test(start_paused = true)]
async fn what_was_written_is_read_at_once() {
    let bench = bench(|config| config.cache.ttl = Duration::from_hours(1));
    let rows = |x| vec![row("A", "12:00:00", x)];
    bench.retriever.ingest(request("ready", rows(1.0), false)).await.expect("stores");
    assert_eq!(x(&bench.cached("ready", "A").await.expect("is there")), Some(&1.0.into()));
    bench.retriever.ingest(request("ready", rows(2.0), false)).await.expect("stores");
    assert_eq!(x(&bench.cached("ready", "A").await.expect("is there")), Some(&2.0.into()));
}

#[tokio::test(start_paused = true)]
async fn a_store_that_does_not_take_rows_is_named() {
    let bench = bench(|_| ());
    bench.script.otherwise(Act::Hang);
    let begun = Instant::now();
    let rows = vec![row("A", "12:00:00", 1.0)];
    let error = bench.retriever.ingest(request("ready", rows, false)).await.expect_err("hangs");
    assert_eq!(
        error.to_string(),
        "the rows of \"ready\" cannot be stored: the scripted feature store did not answer within 10000 ms"
    );
    assert_eq!((error.fault(), error.retry_helps()), (Fault::Upstream, true));
    assert_eq!(begun.elapsed(), Duration::from_secs(10));
}

#[tokio::test(start_paused = true)]
async fn offending_values_that_are_stored_all_the_same_are_seen_and_counted() {
    let bench = bench(|_| ());
    let text = Value::Text("0.5".into());
    bench.has("hourly", &[hourly("A", "11:00:00", &[("change", text.clone()), ("level", text)])]).await;
    bench.has("hourly", &[hourly("B", "08:00:00", &[("change", Value::Number(1.0))])]).await;
    let found = bench.cached("hourly", "A").await.expect("is fresh");
    assert_eq!(found.row.get("change"), Some(&Value::Missing));
    assert_eq!(found.row.get("level"), Some(&0.0.into()));
    assert_eq!((found.invalid.len(), &*found.filled), (2, &[Arc::from("level")][..]));
    let report = bench.retriever.report(&set("hourly")).await.expect("samples");
    assert_eq!((report.sampled, report.stale, report.in_future), (2, 1, 0));
    assert_eq!((report.newest_age_seconds, report.oldest_age_seconds), (Some(3_600.0), Some(14_400.0)));
    assert_eq!(report.features[0].wrong_type, 1);
    assert_eq!(report.features[1].sampled_null_rate, Some(0.5));
    assert_eq!(
        report.warnings,
        [
            "1 of 2 entities have no row younger than 90m",
            "`change`: 1 values of another type than declared, 0 out of range",
            "`level`: 1 values of another type than declared, 0 out of range",
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn ready_features_are_held_against_their_declaration() {
    let bench = bench(|_| ());
    let (rsi, venue) = (("rsi", Value::Number(100.5)), ("venue", Value::Number(1.0)));
    let rows = vec![hourly("A", "11:00:00", &[rsi.clone(), venue]), hourly("B", "11:00:00", &[])];
    let error = bench.retriever.ingest(request("typed", rows, false)).await.expect_err("is refused");
    let IngestError::Refused { refused, .. } = error else { panic!("{error}") };
    let told: Vec<String> = refused.iter().map(|(i, refusal)| format!("{i}: {refusal}")).collect();
    assert_eq!(
        told,
        [
            "0: `rsi`: expected 0 to 100, got 100.5; `venue`: expected text, got a number",
            "1: `venue`: expected a value, got nothing"
        ]
    );
    let venue = ("venue", Value::Text("x".into()));
    bench.has("typed", &[hourly("A", "11:00:00", &[rsi, venue]), hourly("B", "11:00:00", &[])]).await;
    let found = bench.cached("typed", "A").await.expect("is usable without its rsi");
    assert_eq!((found.row.get("rsi"), found.invalid.len()), (Some(&Value::Missing), 1));
    assert_eq!(
        bench.cached("typed", "B").await.expect_err("is rejected").to_string(),
        "the features of entity \"B\" in feature set \"typed\" cannot be used: `venue` has no value, and it is declared with `missing: reject`"
    );
}

#[tokio::test(start_paused = true)]
async fn a_report_outlives_the_store() {
    let bench = bench(|_| ());
    bench.has("hourly", &[hourly("A", "11:00:00", &[("change", Value::Missing)])]).await;
    assert!(bench.cached("hourly", "A").await.is_ok());
    bench.script.otherwise(Act::FailForGood);
    let report = bench.retriever.report(&set("hourly")).await.expect("is declared");
    assert_eq!((report.sampled, report.features[0].nulls), (0, 1));
    assert_eq!(report.warnings, ["its rows cannot be looked at: the scripted feature store cannot read"]);
    assert!(matches!(bench.retriever.report(&set("other")).await, Err(Unavailable::Store { .. })));
    let tallies = bench.retriever.tallies();
    let hourly = tallies.iter().filter(|tally| tally.set == set("hourly"));
    let nulls: Vec<_> = hourly.flat_map(|set| &set.features).map(|of| (&*of.name, of.nulls)).collect();
    assert_eq!(nulls, [("change", 1), ("level", 1)]);
}

#[tokio::test(start_paused = true)]
async fn a_set_that_nobody_declared_is_reported_by_what_it_has() {
    let bench = bench(|_| ());
    let report = bench.retriever.report(&set("other")).await.expect("is empty");
    assert_eq!((report.sampled, report.warnings), (0, vec!["the set has no rows".to_owned()]));
    bench.has("other", &[row("A", "13:00:00", f64::NAN)]).await;
    let report = bench.retriever.report(&set("other")).await.expect("samples");
    assert_eq!((&*report.features[0].name, report.features[0].sampled_null_rate), ("x", Some(1.0)));
    assert_eq!(report.warnings, ["1 of 1 entities have a row from the future"]);
}
