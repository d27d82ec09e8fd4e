//! Computing on demand, and choosing between that and what is stored.

use super::*;

fn hourly(time: &str, change: f64) -> FeatureRow {
    let values = [("change".into(), Value::from(change)), ("level".into(), Value::from(1.0))];
    FeatureRow::new(entity("A"), at(&format!("2025-10-04T{time}Z")), values)
}

#[tokio::test(start_paused = true)]
async fn computed_rows_are_as_old_as_their_newest_visible_raw_row() {
    let bench = bench(|_| ());
    bench.has_candles("A", &[("09:00:00", 100.0), ("10:00:00", 110.0), ("11:00:01", 220.0)]).await;
    let found = bench.asked("hourly", "A", Mode::Compute).await.expect("computes");
    // The candle of 11:00:01 is visible at 12:00:01.
    assert_eq!((found.origin, found.age_seconds, found.warm), (Origin::Computed, 3_600.0, Some(true)));
    assert_eq!(found.row.get("level"), Some(&110.0.into()));
    bench.wait(Duration::from_secs(1)).await;
    let found = bench.asked("hourly", "A", Mode::Compute).await.expect("computes");
    assert_eq!((found.age_seconds, found.row.get("level")), (0.0, Some(&220.0.into())));
    let then = RetrieveRequest {
        mode: Mode::Compute,
        as_of: Some(at("2025-10-04T10:30:00Z")),
        ..RetrieveRequest::cached(set("hourly"), [entity("A")])
    };
    let found = bench.ask(then).await.expect("computes as of then");
    assert_eq!((found.age_seconds, found.row.get("level")), (1_800.0, Some(&100.0.into())));
    bench.wait(Duration::from_hours(2)).await;
    assert!(matches!(bench.asked("hourly", "A", Mode::Compute).await, Err(Unavailable::Stale { .. })));
    assert_eq!(bench.retriever.counters().computed, 3);
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_computed_says_why() {
    let why = async |bench: &Bench, name: &str| {
        bench.asked(name, "A", Mode::Compute).await.expect_err("cannot be computed").to_string()
    };
    let on = bench(|_| ());
    assert_eq!(
        why(&on, "hourly").await,
        "no raw rows of entity \"A\" to compute feature set \"hourly\" from"
    );
    let refused = |reason| format!("features of \"{reason}");
    assert_eq!(
        why(&on, "ready").await,
        refused("ready\" cannot be computed on demand: the set's declaration has no expressions")
    );
    assert_eq!(
        why(&on, "other").await,
        refused("other\" cannot be computed on demand: the set is not declared")
    );
    let off = bench(|config| config.on_demand.enabled = false);
    assert_eq!(
        why(&off, "hourly").await,
        refused("hourly\" cannot be computed on demand: it is switched off (features.on_demand.enabled)")
    );
    let no_raw = bench_with(Scripted::without_raw(), |_| ());
    assert_eq!(
        why(&no_raw, "hourly").await,
        refused("hourly\" cannot be computed on demand: the feature store keeps no raw rows")
    );
}

#[tokio::test(start_paused = true)]
async fn auto_takes_a_fresh_row_and_computes_the_others() {
    let bench = bench(|_| ());
    bench.has("hourly", &[hourly("11:00:00", 0.5)]).await;
    bench.has_candles("A", &[("10:00:00", 100.0)]).await;
    bench.has_candles("B", &[("10:30:00", 7.0)]).await;
    let request = RetrieveRequest {
        mode: Mode::Auto,
        ..RetrieveRequest::cached(set("hourly"), ["A", "B", "C"].map(entity))
    };
    let rows = bench.retriever.retrieve(request).await.expect("has a store");
    let origins: Vec<_> = rows.iter().map(|row| row.as_ref().map(|row| row.origin).ok()).collect();
    assert_eq!(origins, [Some(Origin::Cached), Some(Origin::Computed), None]);
    // What the store lacks is told, not how computing failed.
    assert_eq!(rows[2], Err(Unavailable::NoRow { set: set("hourly"), entity: entity("C") }));
}

#[tokio::test(start_paused = true)]
async fn auto_computes_a_stale_row_anew() {
    let bench = bench(|_| ());
    bench.has("hourly", &[hourly("10:00:00", 0.5)]).await;
    bench.has_candles("A", &[("10:15:00", 3.0)]).await;
    let found = bench.asked("hourly", "A", Mode::Auto).await.expect("is computed");
    assert_eq!((found.origin, found.age_seconds, found.degraded), (Origin::Computed, 2_700.0, None));
}

#[tokio::test(start_paused = true)]
async fn what_is_stale_and_cannot_be_computed_is_refused_or_marked_as_configured() {
    for when_stale in [WhenStale::Refuse, WhenStale::Degrade] {
        let bench = bench(|config| config.on_demand.when_stale = when_stale);
        bench.has("hourly", &[hourly("10:00:00", 0.5)]).await;
        let stale = "features of entity \"A\" in feature set \"hourly\" are 2h old, older than 90m";
        let why = "it has no raw rows";
        let found = bench.asked("hourly", "A", Mode::Auto).await;
        match when_stale {
            WhenStale::Refuse => {
                let message = found.expect_err("is refused").to_string();
                assert_eq!(message, format!("{stale}, and not computed anew: {why}"));
            }
            WhenStale::Degrade => {
                let found = found.expect("is marked");
                assert_eq!((found.origin, found.age_seconds), (Origin::Cached, 7_200.0));
                assert_eq!(found.degraded, Some(format!("{stale}; not computed anew: {why}")));
            }
        }
        // The policy is `auto`'s; who asks for the stored row gets it fresh or not at all.
        assert!(matches!(bench.cached("hourly", "A").await, Err(Unavailable::Stale { .. })));
    }
}

#[tokio::test(start_paused = true)]
async fn of_two_stale_rows_the_younger_answers_where_one_may() {
    for (stored, expected) in [
        (Some("09:00:00"), (Origin::Computed, 7_200.0)),
        (Some("10:20:00"), (Origin::Cached, 6_000.0)),
        (None, (Origin::Computed, 7_200.0)),
    ] {
        let bench = bench(|config| config.on_demand.when_stale = WhenStale::Degrade);
        if let Some(time) = stored {
            bench.has("hourly", &[hourly(time, 0.5)]).await;
        }
        bench.has_candles("A", &[("08:00:00", 100.0), ("09:00:00", 110.0)]).await;
        let found = bench.asked("hourly", "A", Mode::Auto).await.expect("is marked");
        assert_eq!((found.origin, found.age_seconds), expected, "{stored:?}");
        assert!(found.degraded.is_some_and(|why| why.contains("older than 90m")));
    }
}

#[tokio::test(start_paused = true)]
async fn a_store_that_fails_is_not_asked_for_raw_rows_too() {
    let bench = bench(|config| config.retry.attempts = 1);
    bench.script.otherwise(Act::Fail);
    assert!(matches!(bench.asked("hourly", "A", Mode::Auto).await, Err(Unavailable::Store { .. })));
    assert_eq!(bench.script.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_computed_row_may_be_the_last_that_was_good() {
    let bench = bench(|config| {
        config.cache.last_known_good = Duration::from_mins(30);
        config.retry.attempts = 1;
    });
    bench.has_candles("A", &[("10:30:00", 3.0)]).await;
    assert!(bench.asked("hourly", "A", Mode::Auto).await.is_ok());
    bench.script.otherwise(Act::Fail);
    for mode in [Mode::Auto, Mode::Compute] {
        let found = bench.asked("hourly", "A", mode).await.expect("stands in");
        assert_eq!((found.origin, found.age_seconds), (Origin::LastKnownGood, 1_800.0), "{mode:?}");
        assert!(found.degraded.is_some());
    }
    assert!(matches!(bench.cached("hourly", "A").await, Err(Unavailable::Store { .. })));
}

#[tokio::test(start_paused = true)]
async fn lineage_shows_both_rows_the_expressions_and_the_raw_rows() {
    let bench = bench(|_| ());
    bench.has("hourly", &[hourly("10:00:00", 0.5)]).await;
    bench.has_candles("A", &[("09:00:00", 100.0), ("10:00:00", 110.0), ("11:30:00", 1.0)]).await;
    let lineage = bench.retriever.lineage(&set("hourly"), &entity("A"), None).await.expect("is there");
    assert!(lineage.stored_stale);
    assert_eq!(lineage.stored.as_ref().map(|row| row.age_seconds), Ok(7_200.0));
    assert_eq!(lineage.computed.as_ref().map(|row| row.age_seconds), Ok(3_600.0));
    let change = &lineage.features[0];
    assert_eq!(change.expression.as_deref(), Some("return(close, 1)"));
    assert_eq!((&change.stored, &change.computed), (&Some(0.5.into()), &Some((110.0 / 100.0 - 1.0).into())));
    assert_eq!(change.reads, ["price.close"]);
    let needs: Vec<_> = change.needs.iter().map(|(source, needs)| (&**source, needs.rows)).collect();
    assert_eq!(needs, [("price", 2)]);
    let source = &lineage.sources[0];
    assert_eq!((&*source.name, source.table.name(), source.rows), ("price", "price_data", 2));
    assert_eq!(source.newest, Some(at("2025-10-04T10:00:00Z")));
    let closes: Vec<_> = source.shown.iter().map(|row| row.get("close").cloned()).collect();
    assert_eq!(closes, [Some(100.0.into()), Some(110.0.into())]);
    assert!(!lineage.computed_stale);
    let ready = bench.retriever.lineage(&set("ready"), &entity("A"), None).await.expect("has a store");
    assert_eq!(ready.stored.err(), Some(Unavailable::NoRow { set: set("ready"), entity: entity("A") }));
}

#[tokio::test(start_paused = true)]
async fn lineage_tells_what_is_stored_what_is_too_old_and_what_is_from_the_future() {
    let bench = bench(|_| ());
    let typed = |time: &str, rsi: f64| {
        let values = [("rsi".into(), Value::from(rsi)), ("venue".into(), Value::Text("x".into()))];
        FeatureRow::new(entity("A"), at(&format!("2025-10-04T{time}Z")), values)
    };
    bench.has("typed", &[typed("11:00:00", -5.0), typed("12:01:01", 50.0)]).await;
    let lineage = bench.retriever.lineage(&set("typed"), &entity("A"), None).await.expect("has a store");
    let rsi = &lineage.features[0];
    assert_eq!(rsi.stored, Some((-5.0).into()));
    assert!(rsi.violation.is_some());
    let row = lineage.stored.as_ref().expect("is stored");
    assert_eq!(row.row.get("rsi"), Some(&Value::Missing));
    assert_eq!(row.skipped_future, Some(at("2025-10-04T12:01:01Z")));

    bench.has_candles("B", &[("08:00:00", 100.0), ("09:00:00", 110.0)]).await;
    let lineage = bench.retriever.lineage(&set("hourly"), &entity("B"), None).await.expect("has a store");
    assert_eq!(lineage.computed.as_ref().map(|row| row.age_seconds), Ok(7_200.0));
    assert!(lineage.computed_stale);
    assert_eq!(lineage.features[1].stored, None);
}

#[tokio::test(start_paused = true)]
async fn windows_deeper_than_what_is_read_are_told() {
    let warned = async |features: &str, max_rows: usize| {
        let declared = format!(
            "feature_sets: {{ deep: {{ entity: symbol, sources: {{ price: {{ table: price_data }} }}, \
             features: {{ x: '{features}' }} }} }}"
        );
        let bench = bench(|config| config.on_demand.max_rows = max_rows);
        bench.has_candles("A", &[("08:00:00", 1.0)]).await;
        bench
            .has_candles("B", &[("08:00:00", 1.0), ("09:00:00", 1.0), ("10:00:00", 1.0), ("11:00:00", 1.0)])
            .await;
        let declarations = Declarations::parse(&declared).expect("is sound");
        bench.retriever.depth_warnings(&declarations.sets()[0]).await
    };
    assert_eq!(
        warned("rolling_mean(close, 4)", 3).await,
        [
            "feature set \"deep\": windows over source \"price\" reach 4 rows back, further than features.on_demand.max_rows (3)"
        ]
    );
    assert_eq!(
        warned("rolling_mean(close, 3h)", 3).await,
        [
            "feature set \"deep\": windows over source \"price\" reach 3h back, and the newest 3 rows of \"B\", as many as \
          features.on_demand.max_rows lets be read, only 2h"
        ]
    );
    for (features, max_rows) in [
        ("rolling_mean(close, 4)", 4),
        ("rolling_mean(close, 2h)", 3),
        // The whole history is read.
        ("rolling_mean(close, 3d)", 5),
        ("close", 1),
    ] {
        assert_eq!(warned(features, max_rows).await, Vec::<String>::new(), "{features}");
    }
}

#[tokio::test(start_paused = true)]
async fn lineage_of_a_store_that_fails_is_of_the_row_that_a_prediction_takes() {
    let bench = bench(|config| {
        config.cache.last_known_good = Duration::from_mins(30);
        config.retry.attempts = 1;
    });
    bench.has("ready", &[row("A", "11:55:00", 1.0)]).await;
    bench.has_candles("A", &[("10:00:00", 100.0), ("10:30:00", 110.0)]).await;
    assert!(bench.cached("ready", "A").await.is_ok());
    assert!(bench.asked("hourly", "A", Mode::Compute).await.is_ok());
    bench.script.otherwise(Act::Fail);
    let trace = async |name: &str, as_of: Option<&str>| {
        let traced = bench.retriever.lineage(&set(name), &entity("A"), as_of.map(at)).await;
        traced.expect("has a store")
    };
    let lineage = trace("ready", None).await;
    let stored = lineage.stored.expect("stands in");
    assert_eq!((stored.origin, stored.age_seconds), (Origin::LastKnownGood, 300.0));
    assert!(stored.degraded.is_some() && !lineage.stored_stale);
    assert_eq!((&*lineage.features[0].name, &lineage.features[0].stored), ("x", &Some(1.0.into())));

    let lineage = trace("hourly", None).await;
    let computed = lineage.computed.expect("stands in");
    assert_eq!((computed.origin, computed.age_seconds), (Origin::LastKnownGood, 1_800.0));
    assert!(computed.degraded.is_some());
    // Raw rows that were not read are not shown.
    assert_eq!(lineage.sources, []);
    // Of the past nothing is kept.
    let past = trace("ready", Some("2025-10-04T12:00:00Z")).await;
    assert!(matches!(past.stored, Err(Unavailable::Store { .. })));
}

#[tokio::test(start_paused = true)]
async fn lineage_of_a_store_that_fails_says_so_of_a_row_that_is_kept() {
    let bench = bench(|config| {
        config.cache.ttl = Duration::from_mins(1);
        config.retry.attempts = 1;
    });
    bench.has("ready", &[row("A", "11:55:00", 1.0)]).await;
    assert!(bench.cached("ready", "A").await.is_ok());
    bench.script.otherwise(Act::Fail);
    let lineage = bench.retriever.lineage(&set("ready"), &entity("A"), None).await.expect("has a store");
    let stored = lineage.stored.expect("is kept");
    assert_eq!((stored.origin, stored.age_seconds), (Origin::Cached, 300.0));
    let degraded = stored.degraded.expect("is not what the store has now");
    assert!(degraded.ends_with("the row is one that was kept"), "{degraded}");
}
