//! The cache and its single flight by themselves, in time that stands still.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;

use proptest::prelude::*;
use serve_core::ByteSize;
use tokio::time::sleep;

use super::*;

type Cache = FeatureCache<Row, &'static str>;

/// Which fetch gave it, and for which key.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Row(usize, String);

impl Cacheable for Row {
    fn bytes(&self) -> Option<usize> {
        Some(10)
    }
}

const SECOND: Duration = Duration::from_secs(1);

fn cache(ttl: Duration, last_known_good: Duration) -> Cache {
    FeatureCache::new(&CacheConfig { ttl, last_known_good, ..CacheConfig::default() })
}

fn key(name: &str) -> CacheKey {
    let (set, entity) = ("s".parse().expect("is a name"), name.parse().expect("is an entity"));
    CacheKey { set, entity, kind: RowKind::Stored }
}

fn keys(names: &[&str]) -> Vec<CacheKey> {
    names.iter().map(|name| key(name)).collect()
}

/// A store that counts its calls and answers each after a second.
#[derive(Default)]
struct Source {
    calls: RefCell<Vec<String>>,
    fails: Cell<bool>,
    empty: Cell<bool>,
    /// A key whose row cannot be read.
    spoilt: Cell<Option<&'static str>>,
}

impl Source {
    async fn fetch(&self, names: Vec<String>) -> Result<Vec<Shared<Row, &'static str>>, &'static str> {
        let number = self.calls.borrow().len();
        self.calls.borrow_mut().push(names.join(","));
        sleep(SECOND).await;
        match (self.fails.get(), self.empty.get()) {
            (true, _) => Err("down"),
            (false, true) => Ok(names.iter().map(|_| Ok(None)).collect()),
            (false, false) => Ok(names.into_iter().map(|name| self.read(number, name)).collect()),
        }
    }

    fn read(&self, number: usize, name: String) -> Shared<Row, &'static str> {
        if self.spoilt.get() == Some(&*name) { Err("cut off") } else { row(number, &name) }
    }

    async fn get(&self, cache: &Cache, names: &[&str]) -> Vec<Result<Option<Row>, &'static str>> {
        self.get_within(cache, names, 100 * SECOND).await
    }

    async fn get_within(
        &self,
        cache: &Cache,
        names: &[&str],
        time: Duration,
    ) -> Vec<Result<Option<Row>, &'static str>> {
        let end = Instant::now() + time;
        let wanted =
            Wanted { usable: |_: &Row| true, shared: |error: &&str| *error != "late", late: || "late", end };
        let keys = keys(names);
        let fetch = async |wanted: Vec<usize>| {
            let names = wanted.into_iter().map(|i| names[i].to_owned()).collect();
            timeout_at(end, self.fetch(names)).await.unwrap_or(Err("late"))
        };
        cache.get_or_fetch(&keys, &wanted, fetch).await
    }

    fn calls(&self) -> Vec<String> {
        self.calls.borrow().clone()
    }
}

#[allow(clippy::unnecessary_wraps, reason = "it stands beside failures in what is expected")]
fn row(number: usize, name: &str) -> Result<Option<Row>, &'static str> {
    Ok(Some(Row(number, name.to_owned())))
}

#[tokio::test(start_paused = true)]
async fn a_stampede_is_one_fetch_also_without_a_cache() {
    let (cache, source) = (cache(Duration::ZERO, Duration::ZERO), Source::default());
    let get = || source.get(&cache, &["A"]);
    let all = tokio::join!(get(), get(), get(), get());
    assert_eq!(all, (vec![row(0, "A")], vec![row(0, "A")], vec![row(0, "A")], vec![row(0, "A")]));
    assert_eq!(source.calls(), ["A"]);
    let counters = cache.counters();
    assert_eq!((counters.misses, counters.joined, counters.rows), (1, 3, 0));
    assert_eq!(get().await, [row(1, "A")], "nothing is kept");
}

#[tokio::test(start_paused = true)]
async fn a_batch_joins_what_is_under_way_and_fetches_the_rest_in_one_go() {
    let (cache, source) = (cache(SECOND, Duration::ZERO), Source::default());
    let first = source.get(&cache, &["A", "B"]);
    let second = source.get(&cache, &["C", "B", "D", "C"]);
    let (first, second) = tokio::join!(first, second);
    assert_eq!(first, [row(0, "A"), row(0, "B")]);
    assert_eq!(second, [row(1, "C"), row(0, "B"), row(1, "D"), row(1, "C")]);
    assert_eq!(source.calls(), ["A,B", "C,D"]);
}

#[tokio::test(start_paused = true)]
async fn batches_that_want_each_others_keys_do_not_wait_for_ever() {
    let (cache, source) = (cache(Duration::ZERO, Duration::ZERO), Source::default());
    let all = tokio::join!(source.get(&cache, &["A", "B"]), source.get(&cache, &["B", "C", "A"]));
    assert_eq!(all, (vec![row(0, "A"), row(0, "B")], vec![row(0, "B"), row(1, "C"), row(0, "A")]));
}

#[tokio::test(start_paused = true)]
async fn a_leader_that_is_dropped_hands_over() {
    let (cache, source) = (cache(SECOND, Duration::ZERO), Source::default());
    let dropped = tokio::time::timeout(SECOND / 2, source.get(&cache, &["A"]));
    let (dropped, one, two) = tokio::join!(dropped, source.get(&cache, &["A"]), source.get(&cache, &["A"]));
    assert!(dropped.is_err());
    assert_eq!((one, two), (vec![row(1, "A")], vec![row(1, "A")]));
    assert_eq!(source.calls(), ["A", "A"]);
}

#[tokio::test(start_paused = true)]
async fn a_leaders_own_deadline_is_not_everyones() {
    let (cache, source) = (cache(SECOND, Duration::ZERO), Source::default());
    let (short, long) =
        tokio::join!(source.get_within(&cache, &["A"], SECOND / 2), source.get(&cache, &["A"]));
    assert_eq!((short, long), (vec![Err("late")], vec![row(1, "A")]));
    let follower = source.get_within(&cache, &["B"], SECOND / 4);
    let begun = Instant::now();
    let (leader, follower) = tokio::join!(source.get(&cache, &["B"]), follower);
    assert_eq!((leader, follower), (vec![row(2, "B")], vec![Err("late")]));
    assert_eq!(begun.elapsed(), SECOND);
}

#[tokio::test(start_paused = true)]
async fn a_failure_is_told_to_all_who_wait_and_not_kept() {
    let (cache, source) = (cache(SECOND, Duration::ZERO), Source::default());
    source.fails.set(true);
    let both = tokio::join!(source.get(&cache, &["A"]), source.get(&cache, &["A"]));
    assert_eq!(both, (vec![Err("down")], vec![Err("down")]));
    assert_eq!(source.calls(), ["A"]);
    source.fails.set(false);
    assert_eq!(source.get(&cache, &["A"]).await, [row(1, "A")]);
}

#[tokio::test(start_paused = true)]
async fn a_row_lives_as_long_as_it_may_and_no_row_not_at_all() {
    let (cache, source) = (cache(SECOND, Duration::ZERO), Source::default());
    assert_eq!(source.get(&cache, &["A"]).await, [row(0, "A")]);
    tokio::time::advance(Duration::from_millis(998)).await;
    assert_eq!(source.get(&cache, &["A"]).await, [row(0, "A")]);
    tokio::time::advance(Duration::from_millis(3)).await;
    assert_eq!(source.get(&cache, &["A"]).await, [row(1, "A")]);
    let counters = cache.counters();
    assert_eq!((counters.hits, counters.misses, counters.rows, counters.bytes), (1, 2, 1, 10));
    source.empty.set(true);
    assert_eq!(source.get(&cache, &["B"]).await, [Ok(None)]);
    assert_eq!(source.get(&cache, &["B"]).await, [Ok(None)]);
    assert_eq!(source.calls().len(), 4);
    // A row that is gone from the store is gone from here.
    tokio::time::advance(2 * SECOND).await;
    assert_eq!(source.get(&cache, &["A"]).await, [Ok(None)]);
    assert_eq!((cache.counters().rows, cache.counters().bytes), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn rows_and_bytes_are_bounded_and_the_longest_unasked_goes_first() {
    let config = CacheConfig { ttl: 100 * SECOND, max_rows: 2, ..CacheConfig::default() };
    let by_bytes = CacheConfig { max_rows: 100, max_bytes: ByteSize(29), ..config.clone() };
    for config in [config, by_bytes] {
        let (cache, source) = (Cache::new(&config), Source::default());
        for name in ["A", "B", "A", "C"] {
            source.get(&cache, &[name]).await;
        }
        assert_eq!(source.get(&cache, &["A"]).await, [row(0, "A")]);
        assert_eq!(source.get(&cache, &["B"]).await, [row(3, "B")]);
        let counters = cache.counters();
        assert_eq!((counters.evicted, counters.rows, counters.bytes), (2, 2, 20));
    }
    let tiny = CacheConfig { ttl: SECOND, max_bytes: ByteSize(9), ..CacheConfig::default() };
    let (cache, source) = (Cache::new(&tiny), Source::default());
    source.get(&cache, &["A"]).await;
    assert_eq!(cache.counters().rows, 0);
}

#[tokio::test(start_paused = true)]
async fn what_is_forgotten_under_way_is_neither_kept_nor_joined() {
    let (cache, source) = (cache(100 * SECOND, Duration::ZERO), Source::default());
    let written = async {
        sleep(SECOND / 2).await;
        cache.forget(&key("A").set, &key("A").entity);
        // Asked after the write: what began before it will not do.
        source.get(&cache, &["A"]).await
    };
    let (before, after) = tokio::join!(source.get(&cache, &["A"]), written);
    assert_eq!((before, after), (vec![row(0, "A")], vec![row(1, "A")]));
    assert_eq!(source.get(&cache, &["A"]).await, [row(1, "A")]);
    cache.forget(&key("A").set, &key("A").entity);
    assert_eq!(source.get(&cache, &["A"]).await, [row(2, "A")]);
}

#[tokio::test(start_paused = true)]
async fn the_last_known_good_row_stands_in_for_as_long_as_it_may() {
    let (cache, source) = (cache(SECOND, 10 * SECOND), Source::default());
    source.get(&cache, &["A"]).await;
    tokio::time::advance(5 * SECOND).await;
    assert_eq!(cache.last_known_good(&key("A")), Some(Row(0, "A".to_owned())));
    assert_eq!(cache.last_known_good(&key("B")), None);
    tokio::time::advance(7 * SECOND).await;
    assert_eq!(cache.last_known_good(&key("A")), None);
    assert_eq!(cache.counters().served_stale, 1);
    let never = super::tests::cache(SECOND, Duration::ZERO);
    source.get(&never, &["A"]).await;
    assert_eq!(never.last_known_good(&key("A")), None);
}

#[tokio::test(start_paused = true)]
async fn a_row_that_will_not_do_is_fetched_anew() {
    let (cache, source) = (cache(100 * SECOND, Duration::ZERO), Source::default());
    source.get(&cache, &["A"]).await;
    let end = Instant::now() + SECOND;
    let wanted = Wanted { usable: |_: &Row| false, shared: |_: &&str| true, late: || "late", end };
    let fetch = async |_| Ok(vec![row(7, "A")]);
    assert_eq!(cache.get_or_fetch(&keys(&["A"]), &wanted, fetch).await, [row(7, "A")]);
}

#[tokio::test(start_paused = true)]
async fn a_row_that_cannot_be_read_fails_alone_and_the_last_good_one_stays() {
    let (cache, source) = (cache(SECOND, 10 * SECOND), Source::default());
    source.get(&cache, &["A", "B"]).await;
    source.spoilt.set(Some("B"));
    tokio::time::advance(2 * SECOND).await;
    assert_eq!(source.get(&cache, &["A", "B", "C"]).await, [row(1, "A"), Err("cut off"), row(1, "C")]);
    assert_eq!(cache.last_known_good(&key("B")), Some(Row(0, "B".to_owned())));
    assert_eq!(source.get(&cache, &["A", "B"]).await, [row(1, "A"), Err("cut off")]);
    assert_eq!(source.calls(), ["A,B", "A,B,C", "B"]);
}

/// One caller: when it begins, after how long it goes away, and what it wants.
#[derive(Debug, Clone)]
struct Caller {
    begins: u64,
    stays: u64,
    wants: Vec<u8>,
}

fn caller() -> impl Strategy<Value = Caller> {
    (0_u64..40, 1_u64..60, prop::collection::vec(0_u8..5, 1..4)).prop_map(|(begins, stays, wants)| Caller {
        begins,
        stays,
        wants,
    })
}

/// A store that watches how many fetches of a key are under way.
struct Watched {
    durations: Vec<u64>,
    fails: Vec<bool>,
    calls: Cell<usize>,
    under_way: RefCell<BTreeMap<u8, usize>>,
    /// The most fetches of one key at a time.
    most: Cell<usize>,
}

/// A fetch, counted until it ends or is dropped.
struct Under<'a>(&'a Watched, Vec<u8>);

impl Drop for Under<'_> {
    fn drop(&mut self) {
        for key in &self.1 {
            *self.0.under_way.borrow_mut().entry(*key).or_default() -= 1;
        }
    }
}

impl Watched {
    async fn fetch(&self, keys: Vec<u8>) -> Result<Vec<Shared<Row, &'static str>>, &'static str> {
        let call = self.calls.replace(self.calls.get() + 1);
        for key in &keys {
            let mut under_way = self.under_way.borrow_mut();
            let now = under_way.entry(*key).or_default();
            *now += 1;
            self.most.set(self.most.get().max(*now));
        }
        let under = Under(self, keys);
        sleep(Duration::from_millis(self.durations[call % self.durations.len()])).await;
        if self.fails[call % self.fails.len()] {
            return Err("down");
        }
        Ok(under.1.iter().map(|key| row(call, &key.to_string())).collect())
    }

    /// Whether a caller that stayed got what it wanted, or the store's error.
    async fn serves(&self, cache: &Cache, caller: Caller) -> bool {
        sleep(Duration::from_millis(caller.begins)).await;
        let wants = &caller.wants;
        let keys: Vec<CacheKey> = wants.iter().map(|want| key(&want.to_string())).collect();
        let fetch = |wanted: Vec<usize>| self.fetch(wanted.into_iter().map(|i| wants[i]).collect());
        let end = Instant::now() + Duration::from_secs(10);
        let wanted = Wanted { usable: |_: &Row| true, shared: |_: &&str| true, late: || "late", end };
        let stays = Duration::from_millis(caller.stays);
        let answered = tokio::time::timeout(stays, cache.get_or_fetch(&keys, &wanted, fetch)).await;
        let Ok(answered) = answered else { return true };
        let sound = |(answer, want): (&Result<Option<Row>, &str>, &u8)| match answer {
            Ok(Some(row)) => row.1 == want.to_string(),
            Ok(None) => false,
            Err(error) => *error == "down",
        };
        answered.len() == wants.len() && answered.iter().zip(wants).all(sound)
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn one_fetch_a_key_at_a_time_and_everyone_who_stays_is_answered(
        callers in prop::collection::vec(caller(), 1..12),
        durations in prop::collection::vec(0_u64..30, 1..8),
        fails in prop::collection::vec(any::<bool>(), 1..8),
        ttl in 0_u64..20,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
        runtime.expect("starts").block_on(async {
            let cache = cache(Duration::from_millis(ttl), Duration::ZERO);
            let (calls, under_way, most) = (Cell::new(0), RefCell::default(), Cell::new(0));
            let store = Watched { durations, fails, calls, under_way, most };
            let all = callers.into_iter().map(|caller| store.serves(&cache, caller));
            prop_assert!(futures_join(all.collect()).await.iter().all(|sound| *sound));
            prop_assert!(store.most.get() <= 1, "{} fetches of one key at once", store.most.get());
            prop_assert!(cache.lock().flights.is_empty());
            Ok(())
        })?;
    }
}

/// Polls all until all are ready.
async fn futures_join<F: Future>(futures: Vec<F>) -> Vec<F::Output> {
    let mut futures: Vec<_> = futures.into_iter().map(|future| (Box::pin(future), None)).collect();
    std::future::poll_fn(|context| {
        for (future, done) in &mut futures {
            if done.is_none()
                && let std::task::Poll::Ready(value) = future.as_mut().poll(context)
            {
                *done = Some(value);
            }
        }
        if futures.iter().all(|(_, done)| done.is_some()) {
            std::task::Poll::Ready(())
        } else {
            std::task::Poll::Pending
        }
    })
    .await;
    futures.into_iter().filter_map(|(_, done)| done).collect()
}
