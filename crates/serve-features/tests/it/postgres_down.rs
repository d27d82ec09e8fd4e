//! A PostgreSQL that is down, dies, hangs, comes back or is busy, and what the store says then.

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use serve_features::{
    FeatureStore, FeaturesConfig, FetchRequest, Guarded, PostgresStore, RetrieveError, StoreError,
    StoreOptions, WriteError,
};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::database::Database;
use super::proxy::{Mode, Proxy};
use super::{block_on, entity, readable, row, set, told};

fn options() -> StoreOptions {
    StoreOptions::default()
}

fn request(name: &str, wait: Option<Duration>) -> FetchRequest {
    let mut request = FetchRequest::newest(set("vader"), [entity(name)]);
    request.deadline = wait.map(|wait| Instant::now() + wait);
    request
}

/// A store behind a proxy.
fn behind_proxy(options: StoreOptions) -> (Database, Proxy, PostgresStore) {
    let database = Database::new();
    let proxy = Proxy::to(database.address());
    let store = PostgresStore::open(&database.url_at(proxy.address(), ""), options).expect("opens");
    (database, proxy, store)
}

/// Asks until it is answered: a broken connection is noticed by the first who is lent it.
fn ask_until_answered(store: &PostgresStore) {
    let patience = Instant::now() + Duration::from_secs(20);
    while let Err(error) = block_on(store.fetch(request("A", Some(Duration::from_secs(5))))) {
        assert!(error.retry_helps() && Instant::now() < patience, "{}", told(&error));
    }
}

#[test]
fn a_database_that_is_down_at_start_is_used_once_it_is_up() {
    let database = Database::new();
    let listener = TcpListener::bind("127.0.0.1:0").expect("listens");
    let address = listener.local_addr().expect("has an address");
    drop(listener);
    let store = PostgresStore::open(&database.url_at(address, ""), options()).expect("opens");
    let error = block_on(store.fetch(request("A", None))).expect_err("is down");
    assert!(
        told(&error).starts_with("the postgres feature store cannot fetch features: "),
        "{}",
        told(&error)
    );
    assert!(told(&error).contains("refused"), "{}", told(&error));
    assert!(error.retry_helps());
    let _up = Proxy::at(&address.to_string(), database.address());
    assert_eq!(readable(block_on(store.fetch(request("A", None))).expect("is up")), [None]);
}

#[test]
fn a_connection_that_dies_in_the_middle_is_an_error_that_a_retry_mends() {
    let (database, proxy, store) = behind_proxy(options());
    block_on(store.ping()).expect("answers");
    database.sql("BEGIN; LOCK TABLE feature_data");
    thread::scope(|scope| {
        let asking = scope.spawn(|| block_on(store.fetch(request("A", None))));
        database.wait_for_blocked(1);
        proxy.set(Mode::Cut);
        let error = asking.join().expect("ends").expect_err("was cut");
        assert!(
            matches!(error, RetrieveError::Store(StoreError::Backend { transient: true, .. })),
            "{}",
            told(&error)
        );
    });
    database.sql("ROLLBACK");
    proxy.set(Mode::Pass);
    ask_until_answered(&store);
}

#[test]
fn a_server_that_ends_its_sessions_is_used_again_when_it_takes_new_ones() {
    let (database, proxy, store) = behind_proxy(options());
    block_on(store.ping()).expect("answers");
    proxy.set(Mode::Cut);
    let error = block_on(store.fetch(request("A", None))).expect_err("is gone");
    assert!(error.retry_helps(), "{}", told(&error));
    let error = block_on(store.write(set("vader"), vec![row("A", "2024-01-01", 1.0)])).expect_err("is gone");
    assert!(matches!(error, WriteError::Store(StoreError::Backend { transient: true, .. })));
    proxy.set(Mode::Pass);
    ask_until_answered(&store);
    drop(database);
}

#[test]
fn a_socket_that_accepts_and_never_answers_costs_no_more_than_its_bounds() {
    let quick = StoreOptions { connect_timeout: Duration::from_millis(300), ..options() };
    let (_database, proxy, store) = behind_proxy(quick);
    proxy.set(Mode::Hang);
    let began = Instant::now();
    let error = block_on(store.fetch(request("A", Some(Duration::from_millis(100))))).expect_err("hangs");
    assert!(matches!(error, RetrieveError::Store(StoreError::Connecting { .. })), "{}", told(&error));
    let error = block_on(store.fetch(request("A", None))).expect_err("hangs");
    assert!(told(&error).ends_with("no connection within 300ms"), "{}", told(&error));
    assert!(error.retry_helps());
    assert!(began.elapsed() < Duration::from_secs(20));
    proxy.set(Mode::Pass);
    ask_until_answered(&store);
}

#[test]
fn callers_of_a_server_that_never_answers_are_told_that_it_is_late_and_not_that_it_is_busy() {
    let (_database, proxy, store) = behind_proxy(StoreOptions { connections: 2, ..options() });
    proxy.set(Mode::Hang);
    let end = Instant::now() + Duration::from_secs(20);
    loop {
        let error = block_on(store.fetch(request("A", Some(Duration::from_millis(50))))).expect_err("hangs");
        match error {
            RetrieveError::Deadline { .. } => break,
            RetrieveError::Store(StoreError::Connecting { .. }) if Instant::now() < end => {}
            other => panic!("{}", told(&other)),
        }
    }
    proxy.set(Mode::Pass);
    ask_until_answered(&store);
}

#[test]
fn callers_of_a_server_that_hangs_are_not_told_that_they_are_not_connected_yet() {
    let (_database, proxy, store) = behind_proxy(StoreOptions { connections: 2, ..options() });
    block_on(store.ping()).expect("answers");
    proxy.set(Mode::Hang);
    // The first has the connection that was there, the others wait for new ones.
    for caller in 0..4 {
        let error = block_on(store.fetch(request("A", Some(Duration::from_millis(100))))).expect_err("hangs");
        assert!(matches!(error, RetrieveError::Deadline { .. }), "{caller}: {}", told(&error));
    }
    proxy.set(Mode::Pass);
    ask_until_answered(&store);
}

#[test]
fn a_connection_that_falls_silent_is_given_up_at_the_deadline() {
    let (_database, proxy, store) = behind_proxy(options());
    block_on(store.ping()).expect("answers");
    proxy.set(Mode::Hang);
    let error = block_on(store.fetch(request("A", Some(Duration::from_millis(100))))).expect_err("hangs");
    assert!(matches!(error, RetrieveError::Deadline { .. }), "{}", told(&error));
    proxy.set(Mode::Pass);
    ask_until_answered(&store);
}

#[test]
fn an_exhausted_pool_is_waited_for_until_the_deadline() {
    let database = Database::new();
    let store = database.store_with(StoreOptions { connections: 1, ..options() });
    block_on(store.ping()).expect("answers");
    database.sql("BEGIN; LOCK TABLE feature_data");
    thread::scope(|scope| {
        let first = scope.spawn(|| block_on(store.fetch(request("A", None))));
        database.wait_for_blocked(1);
        let error =
            block_on(store.fetch(request("B", Some(Duration::from_millis(50))))).expect_err("waits in vain");
        let told = "the postgres feature store is busy: 1 connections are in use, 0 requests wait";
        assert_eq!(error.to_string(), told);
        assert!(error.retry_helps());
        let patient = scope.spawn(|| block_on(store.fetch(request("C", None))));
        database.sql("ROLLBACK");
        assert_eq!(first.join().expect("ends").expect("is answered"), [Ok(None)]);
        assert_eq!(patient.join().expect("ends").expect("is answered in its turn"), [Ok(None)]);
    });
}

#[test]
fn a_statement_that_nobody_waits_for_is_cancelled() {
    let database = Database::new();
    let store = database.store();
    block_on(store.ping()).expect("answers");
    database.sql("BEGIN; LOCK TABLE feature_data");
    thread::scope(|scope| {
        let asking = scope.spawn(|| block_on(store.fetch(request("A", Some(Duration::from_millis(500))))));
        database.wait_for_blocked(1);
        let error = asking.join().expect("ends").expect_err("is too late");
        assert!(matches!(error, RetrieveError::Deadline { .. }), "{}", told(&error));
    });
    database.wait_for_blocked(0);
    database.sql("ROLLBACK");
    ask_until_answered(&store);
}

#[test]
fn a_connection_is_made_also_where_deadlines_are_shorter_than_making_it() {
    let (_database, proxy, store) = behind_proxy(StoreOptions { connections: 1, ..options() });
    proxy.set(Mode::Hang);
    let error =
        block_on(store.fetch(request("A", Some(Duration::from_millis(20))))).expect_err("is too late");
    assert!(matches!(error, RetrieveError::Store(StoreError::Connecting { .. })), "{}", told(&error));
    while proxy.accepted() == 0 {
        thread::yield_now();
    }
    proxy.set(Mode::Pass);
    ask_until_answered(&store);
    // The one that the first caller left is used, and no other was made.
    assert_eq!(proxy.accepted(), 1);
}

/// How often which error was told to eight callers who ask a store without a pause, from the moment at which something was done
/// to it until they were answered again. Numbers are left out of what was said.
fn told_after(runtime: &Runtime, store: &Arc<Guarded>, done_to_it: impl FnOnce()) -> BTreeMap<String, usize> {
    let (answers, errors) = (Arc::new(AtomicUsize::new(0)), Arc::new(Mutex::new(BTreeMap::new())));
    // They ask until this is dropped.
    let (asking, asked) = watch::channel(());
    let mut callers = JoinSet::new();
    for caller in 0..8 {
        let (store, asked) = (Arc::clone(store), asked.clone());
        let (answers, errors) = (Arc::clone(&answers), Arc::clone(&errors));
        let asks = async move {
            while asked.has_changed().is_ok() {
                let Err(error) = store.fetch(request(&format!("E{caller}"), None)).await else {
                    answers.fetch_add(1, Ordering::SeqCst);
                    continue;
                };
                let said = told(&error).replace(|c: char| c.is_ascii_digit(), "");
                *errors.lock().expect("whole").entry(said).or_default() += 1;
                // Who is refused at once leaves the others some of the machine.
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        callers.spawn_on(asks, runtime.handle());
    }
    let answered = |more: usize| {
        let (patience, before) = (Instant::now() + Duration::from_secs(20), answers.load(Ordering::SeqCst));
        while answers.load(Ordering::SeqCst) < before + more {
            assert!(Instant::now() < patience, "{:?}", errors.lock().expect("whole"));
            thread::sleep(Duration::from_millis(1));
        }
    };
    answered(80);
    errors.lock().expect("whole").clear();
    done_to_it();
    answered(80);
    drop(asking);
    runtime.block_on(async { while callers.join_next().await.is_some() {} });
    let errors = errors.lock().expect("whole");
    errors.clone()
}

#[test]
fn connections_that_all_die_at_once_over_a_slow_link_are_replaced_and_open_no_breaker() {
    // Twice the default and delays in proportion, for machines with other things to do: 4 and 10 ms beside 50.
    let config = FeaturesConfig { timeout: Duration::from_millis(100), ..FeaturesConfig::default() };
    for delay in [8, 20] {
        let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
        // In the callers' runtime, as in a server: their time and the store's are told by one clock.
        let entered = runtime.enter();
        let (database, proxy, store) = behind_proxy(options());
        drop(entered);
        let store = Arc::new(Guarded::new(Arc::new(store), &config));
        proxy.slow(Duration::from_millis(delay));
        let end = format!(
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name = '{}'",
            database.name
        );
        let mut opened = 0;
        let mut errors = told_after(&runtime, &store, || {
            opened = store.health().breaker.opened;
            assert!(database.count(&end) > 0);
        });
        // Each of the eight waits a few times at most while eight connections are made.
        let connecting = errors.remove("the postgres feature store is not connected yet").unwrap_or_default();
        assert!(connecting <= 64, "{delay} ms: {connecting}");
        // What is left is a machine that was busy for too long.
        assert!(errors.values().sum::<usize>() <= 4, "{delay} ms: {errors:?}");
        assert_eq!(store.health().breaker.opened, opened, "{delay} ms");
    }
}
