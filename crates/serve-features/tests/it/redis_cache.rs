//! Redis in front of another store: what it saves, and that it never harms.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serve_core::Value;
use serve_features::{
    BoxFuture, FeatureRow, FeatureSetName, FeatureStore, FetchRequest, HistoryRequest, MemoryStore,
    RedisCache, RedisCacheOptions, RetrieveError, SampledRow, Slot, WriteError,
};

use super::proxy::Mode;
use super::redis::{behind_proxy, fetch_one, prefix, redis_url, server, write_one};
use super::{at, block_on, entity, readable, row, set, x};

fn options() -> RedisCacheOptions {
    let (ttl, timeout) = (Duration::from_mins(10), Duration::from_secs(10));
    RedisCacheOptions { ttl, timeout, connect_timeout: timeout }
}

/// A cache with a Redis of its own, in front of a store.
pub(super) fn over(inner: Arc<dyn FeatureStore>) -> RedisCache {
    let url = redis_url(&format!("{}?prefix={}", server(), prefix()));
    RedisCache::open(&url, inner, options()).expect("opens")
}

/// A store that counts how often and for how many entities it is asked.
#[derive(Debug, Default)]
struct Counting {
    store: MemoryStore,
    fetches: AtomicUsize,
    entities: AtomicUsize,
    /// The next answer is told of, and waits.
    gate: Mutex<Option<Gate>>,
}

type Gate = (std::sync::mpsc::Sender<()>, tokio::sync::oneshot::Receiver<()>);

impl Counting {
    fn asked(&self) -> (usize, usize) {
        (self.fetches.load(Ordering::SeqCst), self.entities.load(Ordering::SeqCst))
    }
}

impl FeatureStore for Counting {
    fn kind(&self) -> &'static str {
        "counting"
    }

    fn fetch(&self, request: FetchRequest) -> BoxFuture<'_, Result<Vec<Slot>, RetrieveError>> {
        self.fetches.fetch_add(1, Ordering::SeqCst);
        self.entities.fetch_add(request.entities.len(), Ordering::SeqCst);
        let gate = self.gate.lock().expect("is whole").take();
        Box::pin(async move {
            let rows = self.store.fetch(request).await;
            if let Some((fetched, may_go_on)) = gate {
                fetched.send(()).expect("is waited for");
                may_go_on.await.expect("is let go on");
            }
            rows
        })
    }

    fn write(&self, set: FeatureSetName, rows: Vec<FeatureRow>) -> BoxFuture<'_, Result<(), WriteError>> {
        self.store.write(set, rows)
    }

    fn sample(&self, set: FeatureSetName, n: usize) -> BoxFuture<'_, Result<Vec<SampledRow>, RetrieveError>> {
        self.store.sample(set, n)
    }

    fn history(&self, request: HistoryRequest) -> BoxFuture<'_, Result<Vec<FeatureRow>, RetrieveError>> {
        self.store.history(request)
    }

    fn ping(&self) -> BoxFuture<'_, Result<(), RetrieveError>> {
        self.store.ping()
    }
}

fn client() -> redis::Connection {
    let server = server();
    redis::Client::open(server).and_then(|client| client.get_connection()).expect("connects")
}

/// What Redis has for an entity.
fn cached(client: &mut redis::Connection, prefix: &str, name: &str) -> Option<String> {
    redis::cmd("GET").arg(format!("{prefix}:c:vader:{name}")).query(client).expect("reads")
}

/// Whether Redis has a row of an entity, and not only somebody's lease.
fn filled(client: &mut redis::Connection, prefix: &str, name: &str) -> bool {
    cached(client, prefix, name).is_some_and(|value| value.len() > 17)
}

/// Waits for what happens behind an answer.
fn eventually(mut happened: impl FnMut() -> bool) {
    let give_up = Instant::now() + Duration::from_mins(1);
    while !happened() {
        assert!(Instant::now() < give_up, "it never happened");
        std::thread::yield_now();
    }
}

#[test]
fn what_was_fetched_is_not_fetched_again_and_misses_are_one_query() {
    let server = server();
    let (inner, prefix) = (Arc::new(Counting::default()), prefix());
    let url = redis_url(&format!("{server}?prefix={prefix}"));
    let cache = RedisCache::open(&url, Arc::clone(&inner) as _, options()).expect("opens");
    // Written past the cache.
    let rows = vec![row("A", "2024-01-01", 1.0), row("B", "2024-01-01", 2.0), row("C", "2024-01-01", 3.0)];
    block_on(inner.write(set("vader"), rows.clone())).expect("writes");
    let fetch = |names: &[&str]| {
        let request = FetchRequest::newest(set("vader"), names.iter().map(|name| entity(name)));
        readable(block_on(cache.fetch(request)).expect("fetches"))
    };
    assert_eq!(fetch(&["B"]), [Some(rows[1].clone())]);
    assert_eq!(inner.asked(), (1, 1));
    let mut client = client();
    eventually(|| filled(&mut client, &prefix, "B"));
    // One query for what is not there, in the order asked, doubles included.
    let all =
        [Some(rows[2].clone()), Some(rows[1].clone()), None, Some(rows[0].clone()), Some(rows[2].clone())];
    assert_eq!(fetch(&["C", "B", "none", "A", "C"]), all);
    assert_eq!(inner.asked(), (2, 5));
    eventually(|| filled(&mut client, &prefix, "A") && filled(&mut client, &prefix, "C"));
    assert_eq!(fetch(&["A", "B", "C"]).len(), 3);
    assert_eq!(inner.asked(), (2, 5));
    let counts = cache.counts();
    assert_eq!((counts.hits, counts.misses, counts.corrupt, counts.failures), (4, 5, 0, 0), "{counts:?}");
    assert_eq!(cache.kind(), "counting");
}

#[test]
fn requests_as_of_then_go_past_it() {
    let inner = Arc::new(Counting::default());
    let cache = over(Arc::clone(&inner) as _);
    let rows = vec![row("A", "2024-01-01", 1.0), row("A", "2024-01-02", 2.0)];
    block_on(cache.write(set("vader"), rows)).expect("writes");
    let mut request = FetchRequest::newest(set("vader"), [entity("A")]);
    request.as_of = Some(at("2024-01-01"));
    let found = readable(block_on(cache.fetch(request)).expect("fetches"));
    assert_eq!(x(found[0].as_ref()), Some(Value::Number(1.0)));
    assert_eq!(cache.counts(), serve_features::SharedCacheCounters::default());
}

#[test]
fn our_own_writes_are_seen_at_once() {
    let inner = Arc::new(Counting::default());
    let cache = over(Arc::clone(&inner) as _);
    let found = || x(fetch_one(&cache, "A").expect("fetches").as_ref());
    for (timestamp, value, newest) in [
        ("2024-01-02", 2.0, 2.0),
        ("2024-01-03", 3.0, 3.0),
        // A backfill is not the newest row, and one of the same moment replaces it.
        ("2024-01-01", 1.0, 3.0),
        ("2024-01-03", 30.0, 30.0),
    ] {
        write_one(&cache, row("A", timestamp, value)).expect("writes");
        for _ in 0..2 {
            assert_eq!(found(), Some(Value::Number(newest)));
        }
    }
}

#[test]
fn a_backfill_of_an_unknown_entity_is_not_taken_for_its_newest_row() {
    let inner = Arc::new(Counting::default());
    let cache = over(Arc::clone(&inner) as _);
    block_on(inner.write(set("vader"), vec![row("A", "2024-01-09", 9.0)])).expect("writes");
    write_one(&cache, row("A", "2024-01-01", 1.0)).expect("writes");
    assert_eq!(x(fetch_one(&cache, "A").expect("fetches").as_ref()), Some(Value::Number(9.0)));
}

#[test]
fn a_reader_that_fetched_before_a_write_leaves_nothing_old_behind() {
    let server = server();
    let (inner, prefix) = (Arc::new(Counting::default()), prefix());
    let url = redis_url(&format!("{server}?prefix={prefix}"));
    let cache = RedisCache::open(&url, Arc::clone(&inner) as _, options()).expect("opens");
    block_on(inner.write(set("vader"), vec![row("A", "2024-01-01", 1.0)])).expect("writes");
    let mut client = client();
    let (fetched, has_fetched) = std::sync::mpsc::channel();
    let (go_on, may_go_on) = tokio::sync::oneshot::channel();
    *inner.gate.lock().expect("is whole") = Some((fetched, may_go_on));
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| fetch_one(&cache, "A").expect("fetches"));
        has_fetched.recv().expect("has the old row");
        assert!(cached(&mut client, &prefix, "A").is_some_and(|value| value.starts_with('?')), "a lease");
        write_one(&cache, row("A", "2024-01-02", 2.0)).expect("writes");
        eventually(|| cached(&mut client, &prefix, "A").is_none());
        go_on.send(()).expect("waits");
        assert_eq!(x(reader.join().expect("ends").as_ref()), Some(Value::Number(1.0)));
    });
    assert_eq!(x(fetch_one(&cache, "A").expect("fetches").as_ref()), Some(Value::Number(2.0)));
    eventually(|| filled(&mut client, &prefix, "A"));
    assert_eq!(x(fetch_one(&cache, "A").expect("fetches").as_ref()), Some(Value::Number(2.0)));
    let left: i64 = redis::cmd("PTTL").arg(format!("{prefix}:c:vader:A")).query(&mut client).expect("reads");
    assert!((1..=600_000).contains(&left), "{left} ms");
}

#[test]
fn an_entity_that_is_written_all_the_time_is_cached_all_the_same() {
    let inner = Arc::new(Counting::default());
    let cache = over(Arc::clone(&inner) as _);
    for second in 0..200 {
        write_one(
            &cache,
            row("A", &format!("2024-01-01T00:{:02}:{:02}Z", second / 60, second % 60), f64::from(second)),
        )
        .expect("writes");
        for _ in 0..2 {
            let found = fetch_one(&cache, "A").expect("fetches");
            assert_eq!(x(found.as_ref()), Some(Value::Number(f64::from(second))));
            std::thread::sleep(Duration::from_millis(1));
        }
    }
    let counts = cache.counts();
    assert!(counts.hits > 200, "{counts:?}");
}

#[test]
fn a_value_that_nobody_wrote_is_a_miss_and_is_replaced() {
    let server = server();
    let (inner, prefix) = (Arc::new(Counting::default()), prefix());
    let url = redis_url(&format!("{server}?prefix={prefix}"));
    let cache = RedisCache::open(&url, Arc::clone(&inner) as _, options()).expect("opens");
    block_on(inner.write(set("vader"), vec![row("A", "2024-01-01", 1.0)])).expect("writes");
    let mut client = client();
    let key = format!("{prefix}:c:vader:A");
    for bad in ["garbage", "80000000000000000", "8000000000000000{\"x\":", "zzzzzzzzzzzzzzzz{}"] {
        redis::cmd("SET").arg(&key).arg(bad).query::<()>(&mut client).expect("sets");
        assert_eq!(x(fetch_one(&cache, "A").expect("fetches").as_ref()), Some(Value::Number(1.0)), "{bad}");
        eventually(|| self::cached(&mut client, &prefix, "A").as_deref() != Some(bad));
    }
    assert_eq!(cache.counts().corrupt, 4);
    eventually(|| {
        fetch_one(&cache, "A").expect("fetches");
        filled(&mut client, &prefix, "A")
    });
    let left: i64 = redis::cmd("PTTL").arg(&key).query(&mut client).expect("reads");
    assert!((1..=600_000).contains(&left), "{left} ms");
}

#[test]
fn a_redis_that_fails_in_any_way_costs_nothing_but_time() {
    let (proxy, url) = behind_proxy();
    let inner = Arc::new(Counting::default());
    let (timeout, connect_timeout) = (Duration::from_millis(5), Duration::from_millis(50));
    let impatient = RedisCacheOptions { timeout, connect_timeout, ..options() };
    let cache = RedisCache::open(&url, Arc::clone(&inner) as _, impatient).expect("opens");
    write_one(&cache, row("A", "2024-01-01", 1.0)).expect("writes");
    for mode in [Mode::Cut, Mode::Hang, Mode::Pass, Mode::Hang, Mode::Cut] {
        proxy.set(mode);
        for _ in 0..20 {
            assert_eq!(
                x(fetch_one(&cache, "A").expect("fetches").as_ref()),
                Some(Value::Number(1.0)),
                "{mode:?}"
            );
        }
        write_one(&cache, row("A", "2024-01-01", 1.0)).expect("writes");
    }
    let counts = cache.counts();
    // Left alone after a few failures, and not for every request anew.
    assert!(counts.failed >= 1 && counts.skipped > 20, "{counts:?}");
    assert_eq!(counts.hits + counts.misses + counts.failed + counts.skipped, 100, "{counts:?}");
    // And found again.
    proxy.set(Mode::Pass);
    let asked = cache.counts().skipped;
    eventually(|| {
        fetch_one(&cache, "A").expect("fetches");
        cache.counts().hits > counts.hits
    });
    assert!(cache.counts().skipped >= asked);
}

#[test]
fn the_stores_own_failure_is_the_answer() {
    let inner = Arc::new(Counting::default());
    let cache = over(Arc::clone(&inner) as _);
    let error = write_one(&cache, row("A", "2024-01-01", f64::INFINITY)).expect_err("is refused");
    assert!(matches!(error, WriteError::NotStorable { .. }));
    assert!(cache.raw().is_none());
    block_on(cache.ping()).expect("answers");
}
