//! A schema of a test's own in the PostgreSQL that `tests/databases` starts, gone when the test ends.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serve_features::{PostgresStore, PostgresUrl, StoreOptions};
use tokio::runtime::{Builder, Runtime};
use tokio_postgres::{Client, NoTls};

/// A schema, and a connection beside the store's.
pub(crate) struct Database {
    pub(crate) name: String,
    server: String,
    admin: Client,
    runtime: Runtime,
}

impl Database {
    /// A migrated schema.
    pub(crate) fn new() -> Self {
        let database = Self::without_tables();
        PostgresStore::migrate(&database.url(""), StoreOptions::default()).expect("migrates");
        database
    }

    /// An empty schema.
    pub(crate) fn without_tables() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let server = variable("SERVE_TEST_POSTGRES");
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("is later than 1970").as_micros();
        let name = format!("t{}_{now}_{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
        let connect = async {
            let connected = tokio_postgres::connect(&format!("{server}?sslmode=disable"), NoTls).await;
            let (admin, connection) = connected.expect("connects to SERVE_TEST_POSTGRES");
            tokio::spawn(connection);
            admin
        };
        let admin = runtime.block_on(connect);
        let database = Self { name, server, admin, runtime };
        database.sql(&format!("CREATE SCHEMA {0}; SET search_path = {0}", database.name));
        database
    }

    /// The schema's URL, with more parameters.
    pub(crate) fn url(&self, more: &str) -> PostgresUrl {
        self.url_of(&self.server, more)
    }

    /// The same by way of another address: a proxy's.
    pub(crate) fn url_at(&self, address: std::net::SocketAddr, more: &str) -> PostgresUrl {
        let (login, rest) = self.server.split_once('@').expect("has a login");
        let (_, database) = rest.split_once('/').expect("has a database");
        self.url_of(&format!("{login}@{address}/{database}"), more)
    }

    fn url_of(&self, server: &str, more: &str) -> PostgresUrl {
        let ssl = if more.contains("sslmode") { "" } else { "&sslmode=disable" };
        let url = format!("{server}?schema={0}&application_name={0}{ssl}{more}", self.name);
        url.parse().expect("is a URL")
    }

    /// The server's address.
    pub(crate) fn address(&self) -> std::net::SocketAddr {
        let (_, rest) = self.server.split_once('@').expect("has a login");
        let (address, _) = rest.split_once('/').expect("has a database");
        address.parse().expect("is an address")
    }

    /// The password that nothing may show.
    pub(crate) fn password(&self) -> &str {
        let (login, _) = self.server.split_once('@').expect("has a login");
        login.rsplit_once(':').expect("has a password").1
    }

    pub(crate) fn store(&self) -> PostgresStore {
        self.store_with(StoreOptions::default())
    }

    pub(crate) fn store_with(&self, options: StoreOptions) -> PostgresStore {
        PostgresStore::open(&self.url(""), options).expect("opens")
    }

    /// Runs statements in the schema.
    pub(crate) fn sql(&self, text: &str) {
        self.runtime.block_on(self.admin.batch_execute(text)).expect("runs");
    }

    /// The one number that a query gives.
    pub(crate) fn count(&self, query: &str) -> i64 {
        self.runtime.block_on(self.admin.query_one(query, &[])).expect("is answered").get(0)
    }

    /// Waits until so many of the store's statements wait for a lock.
    pub(crate) fn wait_for_blocked(&self, expected: i64) {
        let query = format!(
            "SELECT count(*) FROM pg_stat_activity WHERE application_name = '{}' AND wait_event_type = 'Lock'",
            self.name
        );
        let patience = Instant::now() + Duration::from_secs(20);
        while self.count(&query) != expected {
            assert!(Instant::now() < patience, "{expected} statements should wait for a lock");
            std::thread::yield_now();
        }
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        let drop = format!("ROLLBACK; SET lock_timeout = '5s'; DROP SCHEMA {} CASCADE", self.name);
        // A schema that stays is gone with the server.
        let _ = self.runtime.block_on(self.admin.batch_execute(&drop));
    }
}

/// What `tests/databases` exports.
pub(crate) fn variable(name: &str) -> String {
    let set = std::env::var(name);
    assert!(set.is_ok(), "{name} is not set: run `eval \"$(tests/databases start)\"` first, or `tests/run`");
    set.unwrap_or_default()
}
