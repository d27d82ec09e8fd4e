//! A guarded store before one that does what it is told. Time stands still and is moved by the runtime alone.

use super::*;
use crate::config::{BreakerConfig, RetryConfig};
use crate::raw::RawTable;
use crate::scripted::{Act, Scripted};
use crate::store::{Depth, RawRequest};

const TIMEOUT: Duration = Duration::from_millis(50);

fn config() -> FeaturesConfig {
    let breaker = BreakerConfig { consecutive_failures: 3, ..BreakerConfig::default() };
    let retry = RetryConfig { attempts: 1, ..RetryConfig::default() };
    FeaturesConfig { timeout: TIMEOUT, breaker, retry, connections: 2, queue: 1, ..FeaturesConfig::default() }
}

fn guarded(act: Act, config: &FeaturesConfig) -> (Arc<Scripted>, Guarded) {
    let store = Arc::new(Scripted::new(act));
    (Arc::clone(&store), Guarded::new(store, config))
}

fn request() -> FetchRequest {
    FetchRequest::newest("s".parse().expect("is a name"), ["A".parse().expect("is an entity")])
}

async fn failure(store: &Guarded) -> RetrieveError {
    store.fetch(request()).await.expect_err("fails")
}

#[tokio::test(start_paused = true)]
async fn a_store_that_never_answers_costs_the_timeout_and_no_more() {
    let (_, store) = guarded(Act::Hang, &config());
    let begun = Instant::now();
    let error = failure(&store).await;
    assert_eq!(begun.elapsed(), TIMEOUT);
    assert_eq!(error.to_string(), "the scripted feature store did not answer within 50 ms");
    assert!(error.retry_helps());
    let counters = StoreCounters { calls: 1, failures: 1, timeouts: 1, ..StoreCounters::default() };
    assert_eq!(store.counters(), counters);
    assert!(!store.health().reachable);
}

#[tokio::test(start_paused = true)]
async fn every_call_ends_in_time_whatever_it_is() {
    let (_, store) = guarded(Act::Hang, &config());
    let begun = Instant::now();
    let set: FeatureSetName = "s".parse().expect("is a name");
    assert!(store.write(set.clone(), Vec::new()).await.is_err());
    assert_eq!(begun.elapsed(), Duration::from_secs(10));
    assert!(store.sample(set.clone(), 1).await.is_err());
    let entity: crate::name::Entity = "A".parse().expect("is an entity");
    let raw = RawRequest {
        table: RawTable::Price,
        entities: vec![entity],
        until: None,
        depth: Depth::newest(1),
        deadline: None,
    };
    let error = store.raw().expect("keeps raw rows").read_raw(raw).await.expect_err("hangs");
    assert!(matches!(error, RetrieveError::Store(StoreError::TimedOut { .. })));
    assert_eq!(begun.elapsed(), Duration::from_secs(11));
    // Three time-outs in a row, whatever was asked: one breaker for all.
    assert_eq!(store.health().breaker.state, BreakerState::Open);
    assert!(store.ping().await.is_err());
    assert_eq!(begun.elapsed(), Duration::from_secs(11));
}

#[tokio::test(start_paused = true)]
async fn reads_are_tried_again_and_writes_are_not() {
    let config = FeaturesConfig { retry: RetryConfig::default(), ..config() };
    let (script, store) = guarded(Act::Answer, &config);
    script.next(&[Act::Fail]);
    assert_eq!(store.fetch(request()).await.expect("answers the second time"), [Ok(None)]);
    assert_eq!((script.calls(), store.counters().retries, store.counters().failures), (2, 1, 0));
    script.next(&[Act::Fail]);
    assert!(store.write("s".parse().expect("is a name"), Vec::new()).await.is_err());
    assert_eq!(script.calls(), 3);
}

#[tokio::test(start_paused = true)]
async fn what_will_not_go_away_and_what_is_too_busy_is_not_tried_again() {
    let config = FeaturesConfig { retry: RetryConfig { attempts: 3, ..RetryConfig::default() }, ..config() };
    for act in [Act::FailForGood, Act::Busy, Act::Corrupt, Act::Hang] {
        let (script, store) = guarded(act, &config);
        failure(&store).await;
        assert_eq!(script.calls(), 1, "{act:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn retries_stop_where_the_deadline_or_the_budget_does() {
    let backoff = Duration::from_secs(60);
    let config = FeaturesConfig {
        retry: RetryConfig { attempts: 2, backoff },
        breaker: BreakerConfig {
            consecutive_failures: 10_000,
            minimum_calls: 10_000,
            ..BreakerConfig::default()
        },
        ..config()
    };
    let (script, store) = guarded(Act::Fail, &config);
    let begun = Instant::now();
    failure(&store).await;
    // A pause of nothing is drawn once in a blue moon.
    assert!(script.calls() == 1 && begun.elapsed() < TIMEOUT);
    let retry = RetryConfig { attempts: 2, backoff: Duration::ZERO };
    let (script, store) = guarded(Act::Fail, &FeaturesConfig { retry, ..config });
    for _ in 0..100 {
        failure(&store).await;
    }
    assert_eq!(store.counters().retries, 29);
    assert_eq!(script.calls(), 129);
}

#[tokio::test(start_paused = true)]
async fn a_store_that_keeps_failing_is_left_alone_then_probed_then_asked_again() {
    let (script, store) = guarded(Act::Fail, &config());
    for _ in 0..3 {
        failure(&store).await;
    }
    let error = failure(&store).await;
    assert!(matches!(error, RetrieveError::Store(StoreError::BreakerOpen { .. })), "{error}");
    assert_eq!((script.calls(), store.counters().refused_open), (3, 1));
    let health = store.health();
    assert_eq!((health.reachable, health.breaker.state), (false, BreakerState::Open));
    let (text, _) = health.breaker.last_error.expect("has failed");
    assert_eq!(text, "the scripted feature store cannot read: refused");

    tokio::time::advance(Duration::from_secs(1)).await;
    script.next(&[Act::Hang]);
    let begun = Instant::now();
    let (probe, other) = tokio::join!(store.fetch(request()), store.fetch(request()));
    assert!(matches!(probe, Err(RetrieveError::Store(StoreError::TimedOut { .. }))));
    assert!(
        matches!(other, Err(RetrieveError::Store(StoreError::BreakerOpen { .. }))),
        "one probe at a time"
    );
    assert_eq!((begun.elapsed(), script.calls()), (TIMEOUT, 4));
    let pause = store.health().breaker.retry_after.expect("is open");
    assert!(pause > Duration::from_secs(1) && pause <= Duration::from_secs(2), "{pause:?}");

    script.otherwise(Act::Answer);
    tokio::time::advance(Duration::from_secs(2)).await;
    assert!(store.fetch(request()).await.is_ok());
    assert_eq!((store.health().reachable, store.health().breaker.state), (true, BreakerState::Closed));
}

#[tokio::test(start_paused = true)]
async fn impatient_clients_do_not_open_the_breaker() {
    let (_, store) = guarded(Act::Hang, &config());
    for _ in 0..10 {
        let deadline = Some((Instant::now() + Duration::from_millis(1)).into_std());
        let error = store.fetch(FetchRequest { deadline, ..request() }).await.expect_err("is late");
        assert!(matches!(error, RetrieveError::Store(StoreError::TimedOut { .. })));
    }
    assert_eq!(store.health().breaker.state, BreakerState::Closed);
    for act in [Act::Corrupt, Act::FailForGood, Act::Busy] {
        let (_, store) = guarded(act, &config());
        for _ in 0..10 {
            failure(&store).await;
        }
        assert_eq!(store.health().breaker.state, BreakerState::Closed, "{act:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn more_calls_than_places_and_queue_are_refused_at_once() {
    let (script, store) = guarded(Act::AnswerAfter(Duration::from_millis(20)), &config());
    let calls = || store.fetch(request());
    let (a, b, c, d) = tokio::join!(calls(), calls(), calls(), calls());
    assert!(a.is_ok() && b.is_ok() && c.is_ok());
    let error = d.expect_err("is one too many");
    assert_eq!(error.to_string(), "the scripted feature store is busy: 1 requests wait for it already");
    assert_eq!((script.calls(), store.counters().refused_busy), (3, 1));
}

#[tokio::test(start_paused = true)]
async fn a_dropped_call_gives_back_its_place_and_its_probe() {
    let (script, store) = guarded(Act::Fail, &config());
    for _ in 0..3 {
        failure(&store).await;
    }
    tokio::time::advance(Duration::from_secs(1)).await;
    script.otherwise(Act::Answer);
    script.next(&[Act::Hang]);
    let dropped = tokio::time::timeout(Duration::from_millis(1), store.fetch(request())).await;
    assert!(dropped.is_err());
    assert_eq!(store.health().under_way, 0);
    assert!(store.fetch(request()).await.is_ok());
    assert_eq!(store.health().breaker.state, BreakerState::Closed);
}

#[tokio::test(start_paused = true)]
async fn a_store_without_raw_rows_has_none_behind_the_guard_either() {
    let script = Scripted::without_raw();
    let store = Guarded::new(Arc::new(script), &config());
    assert!(store.raw().is_none());
    let error = store.raw_entities(RawTable::Price, None, 1).await.expect_err("has none");
    assert_eq!(error.to_string(), "the scripted feature store keeps no raw rows");
}
