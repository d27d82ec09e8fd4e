//! A store that is slow, dead, hangs or comes back.

use super::*;
use crate::resilience::BreakerState;

#[tokio::test(start_paused = true)]
async fn a_store_that_hangs_costs_a_request_the_timeout() {
    let bench = bench(|_| ());
    bench.script.otherwise(Act::Hang);
    let begun = Instant::now();
    let error = bench.cached("ready", "A").await.expect_err("hangs");
    assert_eq!(
        error.to_string(),
        "the feature store cannot answer: the scripted feature store did not answer within 50 ms"
    );
    assert_eq!((error.fault(), error.retry_helps()), (Fault::Upstream, true));
    assert_eq!(begun.elapsed(), Duration::from_millis(50));
    assert_eq!(bench.retriever.counters().store_failed, 1);
}

#[tokio::test(start_paused = true)]
async fn a_request_in_a_hurry_waits_no_longer_than_it_says() {
    let bench = bench(|_| ());
    bench.script.otherwise(Act::Hang);
    let begun = Instant::now();
    let deadline = Some((begun + Duration::from_millis(7)).into_std());
    for mode in [Mode::Cached, Mode::Compute, Mode::Auto] {
        let request =
            RetrieveRequest { mode, deadline, ..RetrieveRequest::cached(set("hourly"), [entity("A")]) };
        assert!(matches!(bench.ask(request).await, Err(Unavailable::Store { .. })), "{mode:?}");
        assert_eq!(begun.elapsed(), Duration::from_millis(7));
    }
}

#[tokio::test(start_paused = true)]
async fn a_stampede_is_one_query() {
    let bench = bench(|_| ());
    bench.has("ready", &[row("A", "12:00:00", 1.0)]).await;
    bench.script.otherwise(Act::AnswerAfter(Duration::from_millis(10)));
    let ask = || bench.cached("ready", "A");
    let (a, b, c, d) = tokio::join!(ask(), ask(), ask(), ask());
    assert!([a, b, c, d].iter().all(Result::is_ok));
    assert_eq!(bench.script.calls(), 1);
    assert_eq!(bench.retriever.counters().cache.joined, 3);
}

#[tokio::test(start_paused = true)]
async fn the_last_good_row_stands_in_marked_while_it_is_young_enough() {
    let keep = |config: &mut FeaturesConfig| {
        config.cache = CacheConfig { last_known_good: Duration::from_mins(30), ..CacheConfig::default() };
    };
    let bench = bench(keep);
    bench.has("ready", &[row("A", "12:00:00", 1.0)]).await;
    assert_eq!(bench.cached("ready", "A").await.expect("answers").degraded, None);
    bench.script.otherwise(Act::Hang);
    bench.wait(Duration::from_mins(5)).await;
    let found = bench.cached("ready", "A").await.expect("stands in");
    assert_eq!(
        (found.origin, x(&found), found.age_seconds),
        (Origin::LastKnownGood, Some(&1.0.into()), 300.0)
    );
    let reason = found.degraded.expect("is marked");
    assert!(reason.contains("did not answer within 50 ms; the row is the last"), "{reason}");
    assert!(matches!(bench.cached("ready", "B").await, Err(Unavailable::Store { .. })));
    // The set's limit of ten minutes holds for it as for any other row; what is told is the store, which may have a newer one.
    bench.wait(Duration::from_mins(6)).await;
    assert!(matches!(bench.cached("ready", "A").await, Err(Unavailable::Store { .. })));
    bench.wait(Duration::from_mins(30)).await;
    assert!(matches!(bench.cached("ready", "A").await, Err(Unavailable::Store { .. })));
    let counters = bench.retriever.counters();
    assert_eq!((counters.last_known_good, counters.degraded, counters.cache.served_stale), (1, 1, 2));
}

#[tokio::test(start_paused = true)]
async fn health_is_told_without_asking_and_a_probe_finds_a_store_that_came_back() {
    let bench = bench(|config| config.retry.attempts = 1);
    bench.script.otherwise(Act::Fail);
    for _ in 0..5 {
        assert!(bench.cached("ready", "A").await.is_err());
    }
    let health = bench.retriever.health().expect("has a store");
    assert_eq!(
        (health.kind, health.reachable, health.breaker.state),
        ("scripted", false, BreakerState::Open)
    );
    assert_eq!(bench.script.calls(), 5);
    let error = bench.cached("ready", "A").await.expect_err("is not asked");
    assert!(error.to_string().contains("circuit breaker is open"), "{error}");
    bench.script.otherwise(Act::Answer);
    assert_eq!(bench.retriever.probe().await.map(|health| health.reachable), Some(false));
    bench.wait(Duration::from_secs(1)).await;
    let health = bench.retriever.probe().await.expect("has a store");
    assert_eq!((health.reachable, health.breaker.state), (true, BreakerState::Closed));
}

#[tokio::test(start_paused = true)]
async fn a_stored_row_that_cannot_be_read_fails_alone() {
    let bench = bench(|_| ());
    bench.has("ready", &[row("A", "12:00:00", 1.0), row("B", "12:00:00", 2.0)]).await;
    bench.script.spoil("t", entity("A"));
    for as_of in [None, Some(at(NOON))] {
        let names = ["A", "B", "C"].map(entity);
        let request = RetrieveRequest { as_of, ..RetrieveRequest::cached(set("ready"), names) };
        let rows = bench.retriever.retrieve(request).await.expect("answers");
        let error = rows[0].as_ref().expect_err("cannot be read");
        assert_eq!(error.to_string(), "the stored row of \"A\" in \"t\" cannot be read: cut off");
        assert_eq!((error.fault(), error.retry_helps()), (Fault::Ours, false));
        assert_eq!(rows[1].as_ref().map(x), Ok(Some(&2.0.into())));
        assert!(matches!(rows[2], Err(Unavailable::NoRow { .. })));
    }
    let counters = bench.retriever.counters();
    assert_eq!((counters.unreadable, counters.store_failed, counters.store.failures), (2, 0, 0));
}

#[tokio::test(start_paused = true)]
async fn an_entity_with_a_raw_row_that_cannot_be_read_is_not_computed_and_the_others_are() {
    let bench = bench(|_| ());
    for name in ["A", "B"] {
        bench.has_candles(name, &[("10:00:00", 100.0), ("11:00:00", 110.0)]).await;
    }
    bench.script.spoil("raw", entity("A"));
    for as_of in [None, Some(at(NOON))] {
        let request = RetrieveRequest {
            mode: Mode::Compute,
            as_of,
            ..RetrieveRequest::cached(set("hourly"), ["A", "B"].map(entity))
        };
        let rows = bench.retriever.retrieve(request).await.expect("answers");
        assert!(matches!(&rows[0], Err(Unavailable::Unreadable { source, .. }) if &*source.table == "raw"));
        assert_eq!(rows[1].as_ref().map(|found| found.origin), Ok(Origin::Computed));
    }
    let set = bench.retriever.declarations().get("hourly").expect("is declared");
    let all = crate::compute::BuildRequest { store: true, ..Default::default() };
    let mut sink = |_: &crate::compute::Computed, _| Ok(());
    let built = crate::compute::build(set, &*bench.script, &all, &mut sink).await.expect("builds the others");
    assert_eq!((built.entities, built.rows), (1, 2));
    let left_out: Vec<&str> = built.unreadable.iter().map(|row| row.entity.as_str()).collect();
    assert_eq!(left_out, ["A"]);
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_read_is_computed_where_that_is_allowed() {
    let bench = bench(|_| ());
    bench.has_candles("A", &[("10:00:00", 100.0), ("11:00:00", 110.0)]).await;
    bench.script.spoil("t", entity("A"));
    let found = bench.asked("hourly", "A", Mode::Auto).await.expect("is computed");
    assert_eq!(found.origin, Origin::Computed);
    bench.script.spoil("raw", entity("A"));
    let again = RetrieveRequest {
        mode: Mode::Auto,
        as_of: Some(at(NOON)),
        ..RetrieveRequest::cached(set("hourly"), [entity("A")])
    };
    assert!(matches!(bench.ask(again).await, Err(Unavailable::Unreadable { .. })));
}
