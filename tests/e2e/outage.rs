//! A feature store that hangs, refuses and comes back while clients ask: a real PostgreSQL behind a proxy that does so.
//! Needs `SERVE_TEST_POSTGRES` (`tests/databases`); without it the test says that it is skipped.

use std::fs;
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use serde_json::{Value as Json, json};

use crate::registry::import;
use crate::server::{Server, ctl_ok, eventually};

pub(crate) const PASS: u8 = 0;
pub(crate) const HANG: u8 = 1;
pub(crate) const REFUSE: u8 = 2;

/// Stands before a database and does as it is told.
pub(crate) struct Proxy {
    pub(crate) address: SocketAddr,
    mode: Arc<AtomicU8>,
    open: Arc<Mutex<Vec<TcpStream>>>,
}

impl Proxy {
    pub(crate) fn before(database: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("it listens");
        let (mode, open) = (Arc::new(AtomicU8::new(PASS)), Arc::new(Mutex::new(Vec::new())));
        let proxy = Self { address, mode: Arc::clone(&mode), open: Arc::clone(&open) };
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let keep = |stream: &TcpStream| {
                    open.lock().expect("not poisoned").push(stream.try_clone().expect("a clone"));
                };
                match mode.load(Ordering::SeqCst) {
                    REFUSE => drop(client),
                    // Accepted, and never answered.
                    HANG => keep(&client),
                    _ => {
                        let Ok(server) = TcpStream::connect(database) else { continue };
                        keep(&client);
                        keep(&server);
                        relay(&client, &server, &mode);
                        relay(&server, &client, &mode);
                    }
                }
            }
        });
        proxy
    }

    pub(crate) fn set(&self, mode: u8) {
        self.mode.store(mode, Ordering::SeqCst);
        if mode == REFUSE {
            let open = std::mem::take(&mut *self.open.lock().expect("not poisoned"));
            open.iter().for_each(|stream| drop(stream.shutdown(Shutdown::Both)));
        }
    }
}

fn relay(from: &TcpStream, to: &TcpStream, mode: &Arc<AtomicU8>) {
    let clone = |stream: &TcpStream| stream.try_clone().expect("a clone");
    let (mut from, mut to, mode) = (clone(from), clone(to), Arc::clone(mode));
    thread::spawn(move || -> io::Result<()> {
        let mut bytes = [0; 8_192];
        loop {
            let count = from.read(&mut bytes)?;
            while mode.load(Ordering::SeqCst) == HANG {
                thread::sleep(Duration::from_millis(5));
            }
            if count == 0 {
                return to.shutdown(Shutdown::Both);
            }
            to.write_all(&bytes[..count])?;
        }
    });
}

/// `postgres://user:password@address/database` with another address.
pub(crate) fn elsewhere(url: &str, address: SocketAddr) -> (SocketAddr, String) {
    let (start, rest) = url.split_once('@').expect("a user");
    let (host, end) = rest.split_once('/').expect("a database");
    (host.parse().expect("an address"), format!("{start}@{address}/{end}"))
}

fn store(server: &Server) -> Json {
    server.get("/health").ok()["components"]["feature_store"].clone()
}

#[test]
fn a_database_that_hangs_refuses_and_comes_back() {
    let Ok(url) = std::env::var("SERVE_TEST_POSTGRES") else {
        eprintln!("skipped: SERVE_TEST_POSTGRES is not set (tests/databases)");
        return;
    };
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = |name: &str| folder.path().join(name).display().to_string();
    // A set of this process's own: other tests may use the same database.
    let set = format!("outage_{}", std::process::id());
    import(folder.path(), "cells", "v1", &["--feature-set", &set]);
    fs::write(path("rows.csv"), "entity,timestamp,mean_radius\nE,2020-01-01T00:00:00Z,1\n").expect("writes");
    ctl_ok(["features", "migrate", "--features", &url]);
    ctl_ok(["features", "ingest", "--features", &url, "--set", &set, &path("rows.csv")]);
    let (database, _) = elsewhere(&url, SocketAddr::from(([127, 0, 0, 1], 0)));
    let proxy = Proxy::before(database);
    let (_, through) = elsewhere(&url, proxy.address);
    let config = format!(
        "registry: {{ url: '{}' }}\nfeatures: {{ url: '{through}', max_age: none, timeout: 2s, \
         retry: {{ attempts: 1 }}, breaker: {{ consecutive_failures: 2, cooldown: 100ms, max_cooldown: 100ms }} }}\n",
        path("registry")
    );
    fs::write(path("serve.yaml"), config).expect("writes");
    let server = Server::start(["--config", &path("serve.yaml")], &[]);
    let ask = || server.post("/predict", &json!({"model": "cells", "entity": "E"}));
    let expected = ask().ok()["prediction"].clone();
    assert_eq!((&store(&server)["kind"], &store(&server)["status"]), (&json!("postgres"), &json!("healthy")));

    for (mode, times) in [(HANG, 1), (REFUSE, 2)] {
        proxy.set(mode);
        for _ in 0..3 {
            let reply = ask();
            assert_eq!((reply.error().0, reply.error().1), (503, "feature_store_unavailable"));
            assert_eq!(reply.header("retry-after"), Some("1"));
        }
        let told = store(&server);
        assert!(told["breaker"]["opened_total"].as_u64() >= Some(times), "{told}");
        assert_eq!(told["status"], "unavailable", "{told}");
        assert_eq!(server.get("/health/live").status, 200);
        assert_eq!(server.get("/health/ready").status, 200);
        proxy.set(PASS);
        let back =
            eventually("the store is back and asked", || Some(ask()).filter(|reply| reply.status == 200))
                .ok();
        assert_eq!((&back["prediction"], &back["degraded"]), (&expected, &Json::Null));
        assert_eq!(store(&server)["breaker"]["state"], "closed");
    }
}
