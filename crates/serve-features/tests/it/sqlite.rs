//! What only a SQLite file can do: be new, old, foreign, shared by two processes, busy or broken.

use std::path::PathBuf;
use std::pin::pin;
use std::sync::mpsc;
use std::task::Poll;
use std::thread;
use std::time::{Duration, Instant};

use rusqlite::Connection;
use serve_core::Value;
use serve_features::{
    Depth, Durability, Fault, FeatureStore, FetchRequest, HistoryRequest, OpenError, RawRequest, RawSlot,
    RetrieveError, SqliteDatabase, SqliteOptions, SqliteStore, StoreError, StoreUrl, WriteError, open_store,
};
use tempfile::TempDir;

use super::{block_on, entity, readable, row, set, told, x};

fn file() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("features.db");
    (folder, path)
}

fn options() -> SqliteOptions {
    SqliteOptions::default()
}

fn newest(name: &str) -> FetchRequest {
    FetchRequest::newest(set("vader"), [entity(name)])
}

#[test]
fn a_new_file_gets_its_tables_and_keeps_them() {
    let (_folder, path) = file();
    let store = open_store(&StoreUrl::sqlite(&path)).expect("opens a new file");
    block_on(store.write(set("vader"), vec![row("A", "2024-01-01", 1.0)])).expect("writes");
    drop(store);
    let store = open_store(&StoreUrl::sqlite(&path)).expect("opens it again");
    let rows = readable(block_on(store.fetch(newest("A"))).expect("fetches"));
    assert_eq!(x(rows[0].as_ref()), Some(Value::Number(1.0)));
}

#[test]
fn a_file_of_another_program_is_refused_unharmed_until_migrated() {
    let (_folder, path) = file();
    let foreign = Connection::open(&path).expect("opens");
    foreign.execute_batch("CREATE TABLE theirs (x)").expect("creates");
    let error = SqliteDatabase::open(&path, options()).expect_err("is refused");
    assert!(matches!(error, OpenError::NotMigrated { found: 0, expected: 3, .. }));
    assert!(error.to_string().contains("run `serve-ctl features migrate --features sqlite:///"), "{error}");
    let mode: String = foreign.pragma_query_value(None, "journal_mode", |row| row.get(0)).expect("reads");
    assert_eq!(mode, "delete");
    SqliteDatabase::migrate(&path, options()).expect("migrates");
    SqliteDatabase::open(&path, options()).expect("opens").ping().expect("answers");
    foreign.query_row("SELECT count(*) FROM theirs", [], |_| Ok(())).expect("is still there");
}

#[test]
fn rows_from_before_declarations_were_kept_come_through_a_migration() {
    let (_folder, path) = file();
    let row = row("A", "2024-01-01", 1.0);
    let mut database = SqliteDatabase::open(&path, options()).expect("opens");
    database.write_features(&set("vader"), std::slice::from_ref(&row)).expect("writes");
    drop(database);
    let before = Connection::open(&path).expect("opens");
    before
        .execute_batch("ALTER TABLE feature_data DROP COLUMN declaration; PRAGMA user_version = 2")
        .expect("goes back");
    drop(before);
    let refused = SqliteDatabase::open(&path, options());
    assert!(matches!(refused, Err(OpenError::NotMigrated { found: 2, expected: 3, .. })));
    let migrated = SqliteDatabase::migrate(&path, options()).expect("migrates");
    let found = readable(migrated.fetch(&newest("A")).expect("fetches")).remove(0);
    assert_eq!(found, Some(row));
}

#[test]
fn a_file_of_a_newer_program_is_refused() {
    let (_folder, path) = file();
    Connection::open(&path).and_then(|file| file.pragma_update(None, "user_version", 7)).expect("is written");
    for opened in [SqliteDatabase::open(&path, options()), SqliteDatabase::migrate(&path, options())] {
        assert!(matches!(opened, Err(OpenError::TooNew { found: 7, expected: 3, .. })));
    }
}

#[test]
fn what_is_no_database_is_refused_with_the_reason() {
    let (folder, path) = file();
    std::fs::write(&path, "symbol,timestamp\n".repeat(100)).expect("writes");
    let error = SqliteDatabase::open(&path, options()).expect_err("is refused");
    assert!(told(&error).contains("file is not a database"), "{}", told(&error));
    let error =
        SqliteDatabase::open(folder.path().join("no/such/folder.db"), options()).expect_err("is refused");
    assert!(told(&error).starts_with("cannot open"), "{}", told(&error));
}

#[test]
fn several_may_open_a_new_file_at_once() {
    for _ in 0..20 {
        let (_folder, path) = file();
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    SqliteDatabase::open(&path, options()).expect("opens").ping().expect("answers");
                });
            }
        });
    }
}

#[test]
fn a_server_reads_while_another_process_ingests() {
    let (_folder, path) = file();
    let store = SqliteStore::open(&path, options()).expect("opens");
    let mut ingesting = SqliteDatabase::open(&path, options()).expect("opens");
    ingesting.write_features(&set("vader"), &[row("A", "2024-01-01", 1.0)]).expect("writes");
    let writing = Connection::open(&path).expect("opens");
    writing.execute_batch("BEGIN IMMEDIATE; DELETE FROM feature_data").expect("begins");
    let found =
        || x(readable(block_on(store.fetch(newest("A"))).expect("reads beside a writer"))[0].as_ref());
    assert_eq!(found(), Some(Value::Number(1.0)));
    writing.execute_batch("COMMIT").expect("commits");
    assert_eq!(found(), None);
}

#[test]
fn a_writer_that_waits_too_long_says_that_a_retry_helps() {
    let (_folder, path) = file();
    let mut database =
        SqliteDatabase::open(&path, SqliteOptions { busy_timeout: Duration::from_millis(10), ..options() })
            .expect("opens");
    let other = Connection::open(&path).expect("opens");
    other.execute_batch("BEGIN IMMEDIATE").expect("begins");
    let error =
        database.write_features(&set("vader"), &[row("A", "2024-01-01", 1.0)]).expect_err("is locked out");
    assert!(
        told(&error).starts_with("the sqlite feature store cannot write feature rows: database is locked")
    );
    assert_eq!((error.fault(), error.retry_helps()), (Fault::Upstream, true));
}

#[test]
fn a_full_queue_refuses_at_once_and_expired_work_is_dropped_when_it_comes_up() {
    let (_folder, path) = file();
    let store = SqliteStore::open(&path, SqliteOptions { queue: 1, ..options() }).expect("opens");
    let other = Connection::open(&path).expect("opens");
    other.execute_batch("BEGIN IMMEDIATE").expect("begins");
    // The thread takes this and waits for the lock, after which one more job may wait. Until it has taken it, the next is
    // refused as well.
    let blocked = store.write(set("vader"), vec![row("A", "2024-01-01", 1.0)]);
    // More than are answered where the caller stands.
    let many = || FetchRequest::newest(set("vader"), (0..100).map(|i| entity(&i.to_string())));
    let mut request = many();
    let late = loop {
        request.deadline = Some(Instant::now() + Duration::from_millis(20));
        let mut fetch = store.fetch(request.clone());
        let polled = fetch.as_mut().poll(&mut std::task::Context::from_waker(std::task::Waker::noop()));
        if polled.is_pending() {
            break fetch;
        }
        thread::yield_now();
    };
    let error = block_on(store.fetch(many())).expect_err("the queue is full");
    assert_eq!(error.to_string(), "the sqlite feature store is busy: 1 requests wait for it already");
    assert!(error.retry_helps());
    let error = block_on(store.write(set("vader"), Vec::new())).expect_err("the queue is full");
    assert!(matches!(error, WriteError::Store(StoreError::Busy { waiting: 1, .. })));
    while Instant::now() < request.deadline.expect("is set above") {
        thread::yield_now();
    }
    other.execute_batch("COMMIT").expect("releases the lock");
    block_on(blocked).expect("writes at last");
    assert!(matches!(block_on(late), Err(RetrieveError::Deadline { .. })));
}

#[test]
fn a_few_entities_are_read_while_the_thread_is_busy() {
    let (_folder, path) = file();
    let store = SqliteStore::open(&path, SqliteOptions { queue: 1, ..options() }).expect("opens");
    block_on(store.write(set("vader"), vec![row("A", "2024-01-01", 1.0)])).expect("writes");
    let other = Connection::open(&path).expect("opens");
    other.execute_batch("BEGIN IMMEDIATE").expect("begins");
    let blocked = store.write(set("vader"), vec![row("A", "2024-01-02", 2.0)]);
    let fetch = store.fetch(newest("A"));
    let polled = pin!(fetch).poll(&mut std::task::Context::from_waker(std::task::Waker::noop()));
    let Poll::Ready(Ok(rows)) = polled else { panic!("{polled:?}") };
    assert_eq!(x(readable(rows)[0].as_ref()), Some(Value::Number(1.0)));
    other.execute_batch("COMMIT").expect("releases the lock");
    block_on(blocked).expect("writes at last");
    let rows = readable(block_on(store.fetch(newest("A"))).expect("fetches"));
    assert_eq!(x(rows[0].as_ref()), Some(Value::Number(2.0)), "what was written is seen at once");
}

#[test]
fn readers_on_many_threads_are_all_answered() {
    let (_folder, path) = file();
    let store = SqliteStore::open(&path, options()).expect("opens");
    let rows: Vec<_> = (0..50).map(|i| row(&i.to_string(), "2024-01-01", f64::from(i))).collect();
    block_on(store.write(set("vader"), rows)).expect("writes");
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for i in 0..50 {
                    let rows = readable(block_on(store.fetch(newest(&i.to_string()))).expect("fetches"));
                    assert_eq!(x(rows[0].as_ref()), Some(Value::Number(f64::from(i))));
                }
            });
        }
    });
}

#[test]
fn dropping_the_store_waits_for_its_thread_and_frees_the_file() {
    let (_folder, path) = file();
    let store = SqliteStore::open(&path, options()).expect("opens");
    drop(store.write(set("vader"), vec![row("A", "2024-01-01", 1.0)]));
    drop(store);
    // The last connection to close puts the log back into the file.
    assert!(!path.with_extension("db-wal").exists());
}

#[test]
fn a_store_may_be_dropped_on_another_thread_while_it_is_asked() {
    let (_folder, path) = file();
    let store = std::sync::Arc::new(SqliteStore::open(&path, options()).expect("opens"));
    let (done, wait) = mpsc::channel();
    let asking = {
        let store = std::sync::Arc::clone(&store);
        thread::spawn(move || {
            for _ in 0..100 {
                readable(block_on(store.fetch(newest("A"))).expect("fetches"));
            }
            done.send(()).expect("is waited for");
        })
    };
    drop(store);
    wait.recv().expect("all were answered");
    asking.join().expect("ends");
}

#[test]
fn a_row_that_cannot_be_read_fails_alone() {
    let (_folder, path) = file();
    let store = SqliteStore::open(&path, options()).expect("opens");
    block_on(store.write(set("vader"), vec![row("B", "2024-01-01", 2.0)])).expect("writes");
    let other = Connection::open(&path).expect("opens");
    let rows = "('vader', 'A', 0, '[1]'), ('vader', 'C', 0, '{'), ('vader', 'D', -9223372036854775807, '{}')";
    other
        .execute_batch(&format!(
            "INSERT INTO feature_data (feature_set_name, entity, timestamp, features) VALUES {rows}"
        ))
        .expect("inserts");
    let many = FetchRequest::newest(set("vader"), ["A", "B", "C", "D", "E"].map(entity));
    let slots = block_on(store.fetch(many)).expect("fetches");
    let said: Vec<String> = slots
        .iter()
        .map(|slot| slot.as_ref().map_or_else(ToString::to_string, |row| format!("{:?}", x(row.as_ref()))))
        .collect();
    let of = |name: &str| format!("the stored row of \"{name}\" in \"vader\" cannot be read: ");
    assert!(said[0].starts_with(&(of("A") + "expected ")), "{said:?}");
    assert_eq!(said[1], "Some(Number(2.0))");
    assert!(said[2].starts_with(&of("C")) && said[3].starts_with(&of("D")), "{said:?}");
    assert_eq!(said[4], "None");
    let sampled = block_on(store.sample(set("vader"), 10)).expect("samples");
    assert_eq!(sampled.iter().map(Result::is_ok).collect::<Vec<_>>(), [false, true, false, false]);
    let (from, to, limit) = (None, None, 10);
    let request = HistoryRequest { set: set("vader"), entity: entity("A"), from, to, limit };
    let error = block_on(store.history(request)).expect_err("is asked for that row");
    assert!(matches!(&error, RetrieveError::Unreadable(unreadable) if unreadable.entity.as_str() == "A"));
    assert_eq!((error.fault(), error.retry_helps()), (Fault::Upstream, false));
}

#[test]
fn raw_rows_that_cannot_be_read_are_one_entitys() {
    let (_folder, path) = file();
    let store = SqliteStore::open(&path, options()).expect("opens");
    let other = Connection::open(&path).expect("opens");
    let event = |name, columns| format!("('t', '{name}', 0, '', {columns})");
    let rows = [event("A", "'{\"x\":1}'"), event("B", "'{'")].join(", ");
    other.execute_batch(&format!("INSERT INTO raw_data VALUES {rows}")).expect("inserts");
    let candle =
        "INSERT INTO price_data VALUES ('B', -9223372036854775807, 1, 1, 1, 1, 1), ('A', 0, 1, 1, 1, 1, 1)";
    other.execute_batch(candle).expect("inserts");
    let raw = store.raw().expect("keeps raw rows");
    for table in ["t", "price_data"] {
        let (entities, depth) = (vec![entity("A"), entity("B"), entity("Z")], Depth::ALL);
        let table = table.parse().expect("is a table");
        let request = RawRequest { table, entities, until: None, depth, deadline: None };
        let slots = block_on(raw.read_raw(request)).expect("reads");
        let rows = |slot: &RawSlot| slot.as_ref().map(|rows| rows.frame.len()).ok();
        assert_eq!(slots.iter().map(rows).collect::<Vec<_>>(), [Some(1), None, Some(0)]);
    }
}

#[test]
fn a_throw_away_file_works_like_any_other() {
    let (_folder, path) = file();
    let thrown = SqliteOptions { durability: Durability::ThrowAway, ..options() };
    let mut database = SqliteDatabase::open(&path, thrown).expect("opens");
    database.write_features(&set("vader"), &[row("A", "2024-01-01", 1.0)]).expect("writes");
    assert_eq!(
        x(readable(database.fetch(&newest("A")).expect("fetches"))[0].as_ref()),
        Some(Value::Number(1.0))
    );
}
