//! What only Redis can do: be down at the start, die in the middle, hang, come back; and how it keeps rows. Asks the real
//! server that `tests/databases` starts (`SERVE_TEST_REDIS`).

use std::net::{SocketAddr, TcpListener};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serve_core::Value;
use serve_features::{
    Entity, Fault, FeatureRow, FeatureStore, FetchRequest, RedisStore, RedisUrl, RetrieveError, StoreError,
    StoreOptions, StoreUrl, WriteError, open_store,
};

use super::database::variable;
use super::proxy::{Mode, Proxy};
use super::{at, block_on, entity, readable, row, set, x};

/// A time that is not reached unless something hangs.
const LONG: Duration = Duration::from_mins(1);

pub(super) fn server() -> String {
    variable("SERVE_TEST_REDIS")
}

pub(super) fn redis_url(text: &str) -> RedisUrl {
    let StoreUrl::Redis(url) = text.parse().expect("is a URL") else { unreachable!("{text}") };
    url
}

/// A prefix that no other test has.
pub(super) fn prefix() -> String {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    format!("t{}.{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

pub(super) fn options() -> StoreOptions {
    StoreOptions { connect_timeout: Duration::from_secs(5), timeout: LONG, ..StoreOptions::default() }
}

/// An empty store; `settings` as `&history=3`.
pub(super) fn store(settings: &str) -> RedisStore {
    let url = redis_url(&format!("{}?prefix={}{settings}", server(), prefix()));
    RedisStore::open(&url, options()).expect("opens")
}

/// The server behind a proxy, and its URL.
pub(super) fn behind_proxy() -> (Proxy, RedisUrl) {
    let server = server();
    let (before, rest) = server.rsplit_once('@').unwrap_or(("redis://", &server));
    let address: SocketAddr = rest.split('/').next().and_then(|a| a.parse().ok()).expect("is an address");
    let proxy = Proxy::to(address);
    let at = if before.ends_with('/') { "" } else { "@" };
    let url = redis_url(&format!("{before}{at}{}?prefix={}", proxy.address(), prefix()));
    (proxy, url)
}

pub(super) fn fetch_one(store: &dyn FeatureStore, name: &str) -> Result<Option<FeatureRow>, RetrieveError> {
    let request = FetchRequest::newest(set("vader"), [entity(name)]);
    Ok(block_on(store.fetch(request))?.pop().transpose()?.flatten())
}

pub(super) fn write_one(store: &dyn FeatureStore, row: FeatureRow) -> Result<(), WriteError> {
    block_on(store.write(set("vader"), vec![row]))
}

/// Asks until the answer comes, since an attempt to connect may have failed a moment ago.
fn until_answered(store: &dyn FeatureStore, name: &str) -> Option<FeatureRow> {
    let give_up = Instant::now() + LONG;
    loop {
        match fetch_one(store, name) {
            Ok(row) => return row,
            Err(error) => assert!(error.retry_helps() && Instant::now() < give_up, "{error:?}"),
        }
    }
}

#[test]
fn the_newest_rows_are_kept_and_older_ones_forgotten() {
    let store = store("&history=3");
    for day in [5, 1, 4, 2, 3] {
        write_one(&store, row("A", &format!("2024-01-0{day}"), f64::from(day))).expect("writes");
    }
    write_one(&store, row("A", "2024-01-05", 50.0)).expect("replaces");
    let found = |as_of: &str| {
        let mut request = FetchRequest::newest(set("vader"), [entity("A")]);
        request.as_of = Some(at(as_of));
        x(readable(block_on(store.fetch(request)).expect("fetches"))[0].as_ref())
    };
    assert_eq!(found("2024-01-09"), Some(Value::Number(50.0)));
    assert_eq!(found("2024-01-04"), Some(Value::Number(4.0)));
    assert_eq!(found("2024-01-03"), Some(Value::Number(3.0)));
    assert_eq!(found("2024-01-02"), None);
    assert!(store.raw().is_none());
}

#[test]
fn equal_features_of_two_moments_are_two_rows() {
    let store = store("");
    let rows = vec![row("A", "2024-01-01", 1.0), row("A", "2024-01-02", 1.0), row("A", "2024-01-02", 1.0)];
    block_on(store.write(set("vader"), rows.clone())).expect("writes");
    let (set, entity) = (set("vader"), entity("A"));
    let request = serve_features::HistoryRequest { set, entity, from: None, to: None, limit: 9 };
    assert_eq!(block_on(store.history(request)).expect("reads"), rows[..2]);
}

#[test]
fn a_large_batch_is_read_and_written() {
    let store = store("");
    let rows: Vec<_> = (0..5000).map(|i| row(&format!("e{i:05}"), "2024-01-01", f64::from(i))).collect();
    block_on(store.write(set("vader"), rows.clone())).expect("writes");
    let names: Vec<Entity> = rows.iter().map(|row| row.entity().clone()).collect();
    let found = readable(block_on(store.fetch(FetchRequest::newest(set("vader"), names))).expect("fetches"));
    assert!(found.into_iter().flatten().eq(rows.iter().cloned()));
    assert_eq!(readable(block_on(store.sample(set("vader"), 2)).expect("samples")), rows[..2]);
}

#[test]
fn encrypted_connections_work_and_an_unknown_authority_is_refused() {
    let (url, ca) = (variable("SERVE_TEST_REDIS_TLS"), variable("SERVE_TEST_REDIS_TLS_CA"));
    let trusting = redis_url(&format!("{url}?prefix={}&ca={ca}", prefix()));
    let store = RedisStore::open(&trusting, options()).expect("opens");
    write_one(&store, row("A", "2024-01-01", 1.0)).expect("writes");
    assert_eq!(x(fetch_one(&store, "A").expect("fetches").as_ref()), Some(Value::Number(1.0)));
    let store = RedisStore::open(&redis_url(&url), options()).expect("opens");
    assert!(fetch_one(&store, "A").is_err());
    let error =
        RedisStore::open(&redis_url(&format!("{url}?ca=/no/such/file")), options()).expect_err("is refused");
    assert!(error.to_string().contains("rediss://***@"), "{error}");
}

#[test]
fn a_wrong_password_is_told_and_never_shown() {
    let server = server();
    let (_, host) = server.rsplit_once('@').expect("names a password");
    let store =
        open_store(&StoreUrl::Redis(redis_url(&format!("redis://default:hunter2@{host}")))).expect("opens");
    let error = fetch_one(&*store, "A").expect_err("is refused");
    assert_eq!((error.fault(), error.retry_helps()), (Fault::Upstream, false));
    let shown = format!("{error} {error:?} {store:?}");
    assert!(shown.contains("authentication failed") && !shown.contains("hunter2"), "{shown}");
}

#[test]
fn a_value_of_somebody_else_is_an_error_and_no_row() {
    let server = server();
    let mine = prefix();
    let store = RedisStore::open(&redis_url(&format!("{server}?prefix={mine}")), options()).expect("opens");
    let mut client = redis::Client::open(server).and_then(|c| c.get_connection()).expect("connects");
    let mut run = |commands: &mut redis::Pipeline| commands.query::<()>(&mut client).expect("runs");
    run(redis::pipe().cmd("SET").arg(format!("{mine}:s:vader:A")).arg("x"));
    run(redis::pipe().cmd("ZADD").arg(format!("{mine}:s:vader:B")).arg(0).arg("not a row"));
    let error = fetch_one(&store, "A").expect_err("is refused");
    assert!(matches!(error, RetrieveError::Store(StoreError::Backend { transient: false, .. })), "{error:?}");
    block_on(store.write(set("vader"), vec![row("C", "2024-01-01", 3.0)])).expect("writes");
    let many = FetchRequest::newest(set("vader"), ["B", "C", "D"].map(entity));
    let slots = block_on(store.fetch(many)).expect("fetches");
    let found: Vec<_> = slots.iter().map(|slot| slot.as_ref().map(|row| x(row.as_ref())).ok()).collect();
    assert_eq!(found, [None, Some(Some(Value::Number(3.0))), Some(None)]);
}

#[test]
fn a_server_that_is_down_at_the_start_is_found_when_it_is_there() {
    let (proxy, url) = behind_proxy();
    proxy.set(Mode::Cut);
    let store = RedisStore::open(&url, options()).expect("opens");
    let error = fetch_one(&store, "A").expect_err("is down");
    assert_eq!((error.fault(), error.retry_helps()), (Fault::Upstream, true), "{error:?}");
    assert!(write_one(&store, row("A", "2024-01-01", 1.0)).expect_err("is down").retry_helps());
    proxy.set(Mode::Pass);
    assert_eq!(until_answered(&store, "A"), None);
    write_one(&store, row("A", "2024-01-01", 1.0)).expect("writes");
    // It dies in the middle, and comes back.
    for _ in 0..3 {
        proxy.set(Mode::Cut);
        assert!(fetch_one(&store, "A").expect_err("is down").retry_helps());
        proxy.set(Mode::Pass);
        assert_eq!(x(until_answered(&store, "A").as_ref()), Some(Value::Number(1.0)));
    }
}

#[test]
fn a_refused_connection_is_an_error_at_once() {
    let address = TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("a free port");
    let store = RedisStore::open(&redis_url(&format!("redis://{address}")), options()).expect("opens");
    let error = fetch_one(&store, "A").expect_err("nobody listens");
    assert!(error.retry_helps(), "{error:?}");
    assert_eq!(error.to_string(), "the redis feature store cannot fetch features");
}

#[test]
fn a_server_that_hangs_ends_at_the_deadline_and_is_given_up() {
    let (proxy, url) = behind_proxy();
    let store = RedisStore::open(&url, options()).expect("opens");
    write_one(&store, row("A", "2024-01-01", 1.0)).expect("writes");
    let connections = proxy.accepted();
    proxy.strand();
    for _ in 0..3 {
        let mut request = FetchRequest::newest(set("vader"), [entity("A")]);
        request.deadline = Some(Instant::now() + Duration::from_millis(20));
        let error = block_on(store.fetch(request)).expect_err("nobody answers");
        assert!(matches!(&error, RetrieveError::Deadline { set } if set.as_str() == "vader"), "{error:?}");
    }
    // The connection that no longer answers is left, and a new one made.
    assert_eq!(x(fetch_one(&store, "A").expect("fetches").as_ref()), Some(Value::Number(1.0)));
    assert_eq!(proxy.accepted(), connections + 1);
}

#[test]
fn a_server_that_accepts_and_never_answers_is_no_server() {
    let (proxy, url) = behind_proxy();
    proxy.set(Mode::Hang);
    let impatient = StoreOptions { connect_timeout: Duration::from_millis(20), ..options() };
    let store = RedisStore::open(&url, impatient).expect("opens");
    let error = block_on(store.ping()).expect_err("nobody answers");
    assert!(error.retry_helps(), "{error:?}");
    // One attempt serves all who ask, also those that come right after it.
    let connections = proxy.accepted();
    for _ in 0..100 {
        assert!(fetch_one(&store, "A").is_err());
    }
    assert!(proxy.accepted() <= connections + 5, "{} attempts", proxy.accepted());
    proxy.set(Mode::Pass);
    assert_eq!(until_answered(&store, "A"), None);
}
