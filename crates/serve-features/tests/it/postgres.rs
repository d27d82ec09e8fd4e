//! What only a PostgreSQL database can do: be new, foreign, shared, and refuse who asks.

use std::sync::Arc;
use std::thread;

use serve_core::Value;
use serve_features::{
    Depth, Fault, FeatureRow, FeatureStore, FetchRequest, OpenError, PostgresStore, PostgresUrl, RawRequest,
    RawRow, RawSlot, RawStore, RawTable, StoreOptions, StoreUrl, WriteError, migrate_store, open_store,
};

use super::database::{Database, variable};
use super::proxy::Proxy;
use super::{at, block_on, entity, readable, row, set, told, x};

fn options() -> StoreOptions {
    StoreOptions::default()
}

fn newest(name: &str) -> FetchRequest {
    FetchRequest::newest(set("vader"), [entity(name)])
}

fn open(url: &PostgresUrl) -> PostgresStore {
    PostgresStore::open(url, options()).expect("opens")
}

#[test]
fn a_schema_that_is_not_migrated_is_refused_with_the_command() {
    let database = Database::without_tables();
    let url = StoreUrl::Postgres(Box::new(database.url("")));
    let store = open_store(&url).expect("opens without asking");
    let error = block_on(store.fetch(newest("A"))).expect_err("is refused");
    let told = told(&error);
    assert!(told.contains(
        "has schema version 0, expected 2: run `serve-ctl features migrate --features postgres://"
    ));
    assert!(!told.contains(database.password()) && told.contains("serve:***@"), "{told}");
    assert_eq!((error.fault(), error.retry_helps()), (Fault::Upstream, false));
    migrate_store(&url, options()).expect("migrates");
    assert_eq!(readable(block_on(store.fetch(newest("A"))).expect("is answered now")), [None]);
}

#[test]
fn a_schema_that_is_not_there_is_made() {
    let database = Database::without_tables();
    database.sql(&format!("DROP SCHEMA {}", database.name));
    PostgresStore::migrate(&database.url(""), options()).expect("migrates");
    block_on(database.store().ping()).expect("answers");
}

#[test]
fn several_may_migrate_at_once_and_again() {
    let database = Database::without_tables();
    thread::scope(|scope| {
        for _ in 0..6 {
            scope.spawn(|| PostgresStore::migrate(&database.url(""), options()).expect("migrates"));
        }
    });
    assert_eq!(database.count("SELECT count(*) FROM serve_features_schema"), 2);
}

#[test]
fn rows_from_before_declarations_were_kept_come_through_a_migration() {
    let database = Database::new();
    database.sql(
        "ALTER TABLE feature_data DROP COLUMN declaration;
         DELETE FROM serve_features_schema WHERE version = 2;
         INSERT INTO feature_data VALUES ('vader', 'A', '2024-01-01', '{\"x\": 1}')",
    );
    let error = block_on(database.store().ping()).expect_err("is refused");
    assert!(told(&error).contains("has schema version 1, expected 2"), "{}", told(&error));
    PostgresStore::migrate(&database.url(""), options()).expect("migrates");
    let found = block_on(database.store().fetch(newest("A"))).expect("fetches").remove(0).expect("reads");
    let found = found.expect("is there");
    assert_eq!((found.get("x"), found.declaration()), (Some(&1.0.into()), None));
}

#[test]
fn a_newer_schema_is_refused() {
    let database = Database::new();
    database.sql("INSERT INTO serve_features_schema VALUES (7)");
    let migrated = PostgresStore::migrate(&database.url(""), options());
    assert!(matches!(migrated, Err(OpenError::TooNew { found: 7, expected: 2, .. })));
    let error = block_on(database.store().ping()).expect_err("is refused");
    assert!(told(&error).contains("has schema version 7, newer than this program's 2"), "{}", told(&error));
}

#[test]
fn tables_of_another_program_are_not_harmed() {
    let database = Database::without_tables();
    database.sql("CREATE TABLE price_data (theirs INT); INSERT INTO price_data VALUES (42)");
    let error = PostgresStore::migrate(&database.url(""), options()).expect_err("is refused");
    assert!(told(&error).contains("relation \"price_data\" already exists"), "{}", told(&error));
    assert_eq!(database.count("SELECT theirs::bigint FROM price_data"), 42);
    let tables = format!("SELECT count(*) FROM pg_tables WHERE schemaname = '{}'", database.name);
    assert_eq!(database.count(&tables), 1);
}

#[test]
fn a_wrong_password_is_told_without_any_password() {
    let database = Database::new();
    let address = database.address();
    let url =
        format!("postgres://serve:hunter2@{address}/postgres?sslmode=disable").parse().expect("is a URL");
    let error = block_on(open(&url).ping()).expect_err("is refused");
    assert!(told(&error).contains("password authentication failed for user \"serve\""), "{}", told(&error));
    assert!(!format!("{error:?} {} {url:?}", told(&error)).contains("hunter2"));
    assert_eq!((error.fault(), error.retry_helps()), (Fault::Upstream, false));
    let error = PostgresStore::migrate(&url, options()).expect_err("is refused");
    assert!(!format!("{error:?} {}", told(&error)).contains("hunter2"));
}

/// Whether the store's connections are encrypted.
fn encrypted(database: &Database) -> bool {
    let query =
        "SELECT count(*) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE ssl AND application_name";
    database.count(&format!("{query} = '{}'", database.name)) > 0
}

#[test]
fn connections_are_encrypted_as_the_url_says() {
    let database = Database::new();
    let ca = variable("SERVE_TEST_POSTGRES_TLS_CA");
    let modes = [
        ("&sslmode=disable".to_owned(), false),
        ("&sslmode=prefer".to_owned(), true),
        ("&sslmode=require".to_owned(), true),
        (format!("&sslmode=verify-ca&sslrootcert={ca}"), true),
        (format!("&sslmode=verify-full&sslrootcert={ca}"), true),
    ];
    for (mode, expected) in modes {
        let store = open(&database.url(&mode));
        block_on(store.ping()).unwrap_or_else(|error| panic!("{mode}: {}", told(&error)));
        assert_eq!(encrypted(&database), expected, "{mode}");
        drop(store);
        let idle =
            format!("SELECT count(*) FROM pg_stat_activity WHERE application_name = '{}'", database.name);
        while database.count(&idle) > 0 {
            thread::yield_now();
        }
    }
}

#[test]
fn a_server_that_cannot_be_proven_is_refused() {
    let database = Database::new();
    let ca = variable("SERVE_TEST_POSTGRES_TLS_CA");
    // Its certificate is of 127.0.0.1.
    let elsewhere = Proxy::at("127.0.0.2:0", database.address());
    let full = database.url_at(elsewhere.address(), &format!("&sslmode=verify-full&sslrootcert={ca}"));
    let error = block_on(open(&full).ping()).expect_err("is of another name");
    assert!(told(&error).contains("not valid for name"), "{}", told(&error));
    assert!(!error.retry_helps());
    let authority = database.url_at(elsewhere.address(), &format!("&sslmode=verify-ca&sslrootcert={ca}"));
    block_on(open(&authority).ping()).expect("is signed by the authority");

    let other = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(other.path(), OTHER_AUTHORITY).expect("writes");
    for mode in ["verify-ca", "verify-full"] {
        let url = database.url(&format!("&sslmode={mode}&sslrootcert={}", other.path().display()));
        let error = block_on(open(&url).ping()).expect_err("is signed by another");
        assert!(told(&error).contains("invalid peer certificate"), "{}", told(&error));
    }
    let url = database.url("&sslmode=verify-full&sslrootcert=/no/such/file");
    let error = PostgresStore::open(&url, options()).expect_err("is refused at once");
    assert!(told(&error).contains("/no/such/file"), "{}", told(&error));
}

/// An authority that signed nothing here.
const OTHER_AUTHORITY: &str = "-----BEGIN CERTIFICATE-----
MIIBjzCCATWgAwIBAgIUdRfm7/7bxT6J5wXd8Yujcxqa9BAwCgYIKoZIzj0EAwIw
HDEaMBgGA1UEAwwRYW5vdGhlciBhdXRob3JpdHkwIBcNMjYxMTIxMTQyMDA3WhgP
MjEyNjEwMjgxNDIwMDdaMBwxGjAYBgNVBAMMEWFub3RoZXIgYXV0aG9yaXR5MFkw
EwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEymC786oSQ+Nx9A+Dn/7nrmYqJnLqfwLW
cnBQ9pFPsaX5FWXy5z7VQI4gEGEqLEmqxi9v82xdiV6yjIu9rF9mM6NTMFEwHQYD
VR0OBBYEFCCjXZsCMDMZ2nvfU6ZTEbIKL7ViMB8GA1UdIwQYMBaAFCCjXZsCMDMZ
2nvfU6ZTEbIKL7ViMA8GA1UdEwEB/wQFMAMBAf8wCgYIKoZIzj0EAwIDSAAwRQIh
AKGLxz4Oe+FJGJhEBhitH03VcZk/Nz0kkD4r/kLFqNz/AiAhngNxhLrHTIaUwl9o
wxjQKi1S2dkzhkyOQm+dSby3aw==
-----END CERTIFICATE-----
";

#[test]
fn a_server_without_encryption_is_refused_where_it_is_required() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("listens");
    let address = listener.local_addr().expect("has an address");
    thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let mut asked = [0; 8];
            let _ = std::io::Read::read_exact(&mut stream, &mut asked);
            let _ = std::io::Write::write_all(&mut stream, b"N");
        }
    });
    let url = format!("postgres://ann:hunter2@{address}/x?sslmode=require").parse().expect("is a URL");
    let error = block_on(open(&url).ping()).expect_err("is refused");
    assert!(told(&error).contains("server does not support TLS"), "{}", told(&error));
}

#[test]
fn what_jsonb_cannot_hold_is_refused_or_made_what_it_can() {
    let database = Database::new();
    let store = database.store();
    let with = |name: &str, value: Value<'static>| {
        FeatureRow::new(entity("A"), at("2024-01-01"), [(Arc::from(name), value)])
    };
    for bad in [with("x", Value::Text("a\0b".into())), with("x\0", Value::Number(1.0))] {
        let error = block_on(store.write(set("vader"), vec![row("B", "2024-01-01", 1.0), bad]))
            .expect_err("is refused");
        assert!(error.to_string().ends_with("got the character U+0000"), "{error}");
        assert!(matches!(error, WriteError::NotStorable { .. }));
    }
    assert_eq!(readable(block_on(store.fetch(newest("B"))).expect("fetches")), [None]);
    let raw = RawRow::new(entity("A"), at("2024-01-01"), vec![("text".into(), Value::Text("\0".into()))]);
    let error = block_on(store.write_raw(RawTable::Sentiment, vec![raw])).expect_err("is refused");
    assert!(matches!(error, WriteError::RawNotStorable { column, .. } if column == "text"));

    for (stored, back) in
        [(-0.0, 0.0), (f64::MAX, f64::MAX), (5e-324, 5e-324), (f64::MIN_POSITIVE, f64::MIN_POSITIVE)]
    {
        block_on(store.write(set("vader"), vec![row("A", "2024-01-01", stored)])).expect("writes");
        let found = x(readable(block_on(store.fetch(newest("A"))).expect("fetches"))[0].as_ref());
        assert!(
            matches!(found, Some(Value::Number(x)) if x.to_bits() == f64::to_bits(back)),
            "{stored} {found:?}"
        );
    }
}

#[test]
fn a_row_that_cannot_be_read_fails_alone() {
    let database = Database::new();
    let store = database.store();
    block_on(store.write(set("vader"), vec![row("C", "2024-01-01", 3.0)])).expect("writes");
    for (name, moment, features) in [("A", "2024-01-01", "[1]"), ("B", "infinity", "{}")] {
        database
            .sql(&format!("INSERT INTO feature_data VALUES ('vader', '{name}', '{moment}', '{features}')"));
        let slot = block_on(store.fetch(newest(name))).expect("fetches").remove(0);
        assert_eq!(slot.expect_err("cannot be read").entity.as_str(), name);
    }
    let many = FetchRequest::newest(set("vader"), ["A", "C", "B", "D"].map(entity));
    let slots = block_on(store.fetch(many)).expect("fetches");
    let found: Vec<_> = slots.iter().map(|slot| slot.as_ref().map(|row| x(row.as_ref())).ok()).collect();
    assert_eq!(found, [None, Some(Some(Value::Number(3.0))), None, Some(None)]);
    let sampled = block_on(store.sample(set("vader"), 10)).expect("samples");
    assert_eq!(sampled.iter().map(Result::is_ok).collect::<Vec<_>>(), [false, false, true]);
}

#[test]
fn a_table_that_is_altered_under_a_statement_is_read_again() {
    let database = Database::new();
    let store = database.store();
    block_on(store.write(set("vader"), vec![row("A", "2024-01-01", 3.0)])).expect("writes");
    let fetch = || block_on(store.fetch(newest("A"))).expect("fetches").remove(0).expect("reads");
    // Several connections have prepared the statement.
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| (0..20).for_each(|_| drop(fetch())));
        }
    });
    for length in [100, 101] {
        database.sql(&format!("ALTER TABLE feature_data ALTER declaration TYPE varchar({length})"));
        for _ in 0..20 {
            assert_eq!(x(fetch().as_ref()), Some(Value::Number(3.0)));
        }
    }
}

#[test]
fn raw_rows_that_cannot_be_read_are_one_entitys() {
    let database = Database::new();
    let store = database.store();
    for (name, moment) in [("A", "2024-01-01"), ("B", "-infinity")] {
        database.sql(&format!("INSERT INTO price_data VALUES ('{name}', '{moment}', 1, 1, 1, 1, 1)"));
    }
    let (entities, depth) = (["B", "A", "Z"].map(entity).to_vec(), Depth::newest(10));
    let request = RawRequest { table: RawTable::Price, entities, until: None, depth, deadline: None };
    let slots = block_on(store.raw().expect("keeps raw rows").read_raw(request)).expect("reads");
    let rows = |slot: &RawSlot| slot.as_ref().map(|rows| rows.frame.len()).ok();
    assert_eq!(slots.iter().map(rows).collect::<Vec<_>>(), [None, Some(1), Some(0)]);
}

#[test]
fn many_rows_are_written_in_one_transaction() {
    let database = Database::new();
    let store = database.store();
    let rows: Vec<_> =
        (0..10_000).map(|i| row(&format!("E{:05}", i % 5000), "2024-01-01", f64::from(i))).collect();
    block_on(store.write(set("vader"), rows)).expect("writes");
    assert_eq!(database.count("SELECT count(*) FROM feature_data"), 5000);
    assert_eq!(database.count("SELECT count(DISTINCT xmin::text) FROM feature_data"), 1);
    assert_eq!(
        x(readable(block_on(store.fetch(newest("E00001"))).expect("fetches"))[0].as_ref()),
        Some(Value::Number(5001.0))
    );
}

#[test]
fn it_works_inside_a_runtime_and_outside() {
    let database = Database::new();
    block_on(database.store().ping()).expect("answers outside");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let store = database.store();
        store.ping().await.expect("answers inside");
        PostgresStore::migrate(&database.url(""), options()).expect("migrates from inside");
    });
    let outside = database.store();
    runtime.block_on(async move {
        outside.ping().await.expect("answers inside another");
        drop(outside);
    });
}
