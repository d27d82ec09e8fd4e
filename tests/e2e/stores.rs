//! Feature stores behind the server: one query for all who ask at once, Redis as the store, a row in it that somebody
//! else has written, and a model whose features come from two sets. Needs `tests/databases`; a test without its database
//! says that it is skipped.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::thread;

use serde_json::{Value as Json, json};

use crate::outage::{HANG, PASS, Proxy, elsewhere};
use crate::registry::import;
use crate::server::{Server, ctl_ok, until};

const CLIENTS: u64 = 20;

fn database(name: &str) -> Option<String> {
    let url = std::env::var(name).ok();
    if url.is_none() {
        eprintln!("skipped: {name} is not set (tests/databases)");
    }
    url
}

/// A server of the registry in a folder, with a `features` section.
fn serve(folder: &Path, features: &str) -> Server {
    let (registry, config) = (folder.join("registry"), folder.join("serve.yaml"));
    let text = format!("registry: {{ url: '{}' }}\nfeatures: {{ {features} }}\n", registry.display());
    fs::write(&config, text).expect("writes");
    Server::start(["--config", &config.display().to_string()], &[])
}

/// A counter of the metrics page, with its label where it has one.
fn metric(server: &Server, name: &str) -> u64 {
    let page = server.get("/metrics").ok();
    let lines = page.as_str().expect("is text").lines();
    let mut values = lines.filter_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok());
    values.next().expect("the counter is on the page")
}

/// The set's rows, each entity's with these features.
fn store(server: &Server, set: &str, rows: &[(&str, Json)]) {
    let row = |(entity, features): &(&str, Json)| json!({"entity": entity, "timestamp": "2020-01-01T00:00:00Z", "features": features});
    let rows: Vec<Json> = rows.iter().map(row).collect();
    server.post(&format!("/features/{set}"), &json!({ "rows": rows })).ok();
}

#[test]
fn a_stampede_on_one_entity_is_one_query() {
    let Some(url) = database("SERVE_TEST_POSTGRES") else { return };
    let folder = tempfile::tempdir().expect("a temporary folder");
    let set = format!("stampede_{}", std::process::id());
    import(folder.path(), "cells", "v1", &["--feature-set", &set]);
    ctl_ok(["features", "migrate", "--features", &url]);
    let (database, _) = elsewhere(&url, SocketAddr::from(([127, 0, 0, 1], 0)));
    let proxy = Proxy::before(database);
    let (_, through) = elsewhere(&url, proxy.address);
    let patient = "max_age: none, timeout: 30s, cache: { ttl: 0s }";
    let server = serve(folder.path(), &format!("url: '{through}', {patient}"));
    store(&server, &set, &[("E", json!({"mean_radius": 1.0}))]);
    let ask = || server.post("/predict", &json!({"model": "cells", "entity": "E"}));
    let expected = ask().ok()["prediction"].clone();

    let before = metric(&server, "feature_store_requests_total");
    proxy.set(HANG);
    thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS).map(|_| scope.spawn(ask)).collect();
        until("the clients join", || metric(&server, "feature_cache_joined_total") >= CLIENTS - 1);
        proxy.set(PASS);
        for client in clients {
            assert_eq!(client.join().expect("ends").ok()["prediction"], expected);
        }
    });
    assert_eq!(metric(&server, "feature_store_requests_total") - before, 1);
}

/// Commands to a Redis at `redis://user:password@address/…`.
fn run(url: &str, commands: &str) {
    let rest = url.strip_prefix("redis://").expect("is a Redis");
    let (user, rest) = rest.split_once('@').expect("a user");
    let (user, password) = user.split_once(':').expect("a password");
    let address = rest.split('/').next().expect("an address");
    let user = if user.is_empty() { "default" } else { user };
    let mut stream = TcpStream::connect(address).expect("listens");
    write!(stream, "AUTH {user} {password}\r\n{commands}QUIT\r\n").expect("takes commands");
    let mut said = String::new();
    stream.read_to_string(&mut said).expect("answers");
    assert!(!said.contains("-ERR") && !said.contains("-WRONG"), "{said}");
}

#[test]
fn redis_keeps_rows_and_one_that_cannot_be_read_is_its_entitys_alone() {
    let Some(url) = database("SERVE_TEST_REDIS") else { return };
    let folder = tempfile::tempdir().expect("a temporary folder");
    import(folder.path(), "cells", "v1", &["--feature-set", "cells"]);
    import(folder.path(), "plain", "v1", &[]);
    let prefix = format!("e2e-{}", std::process::id());
    let server = serve(folder.path(), &format!("url: '{url}?prefix={prefix}', max_age: none"));
    store(&server, "cells", &[("A", json!({"mean_radius": 25.0})), ("B", json!({"mean_radius": 8.0}))]);
    let sent =
        |features: &Json| server.post("/predict", &json!({"model": "plain", "features": features})).ok();
    for (entity, radius) in [("A", 25.0), ("B", 8.0)] {
        let stored = server.post("/predict", &json!({"model": "cells", "entity": entity})).ok();
        assert_eq!(stored["prediction"], sent(&json!({"mean_radius": radius}))["prediction"]);
        assert_eq!(stored["features"]["timestamp"], "2020-01-01T00:00:00.000Z");
    }
    assert_eq!(server.get("/health").ok()["components"]["feature_store"]["kind"], "redis");

    run(&url, &format!("ZADD {prefix}:s:cells:C 0 8063\r\n"));
    let requests = json!({"model": "cells", "requests": [{"entity": "C"}, {"entity": "A"}, {"entity": "D"}]});
    let batch = server.post("/predict/batch", &requests).ok();
    let codes: Vec<&Json> = (0..3).map(|i| &batch["predictions"][i]["code"]).collect();
    assert_eq!(codes, [&json!("stored_row_unreadable"), &Json::Null, &json!("features_unavailable")]);
    let alone = server.post("/predict", &json!({"model": "cells", "entity": "C"}));
    assert_eq!((alone.error().0, alone.error().1), (500, "stored_row_unreadable"));
    assert_eq!(alone.header("retry-after"), None);
    assert!(
        alone.error().2.starts_with("the stored row of \"C\" in \"cells\" cannot be read"),
        "{}",
        alone.body
    );
    let body = json!({"features": ["cells:mean_radius"], "entities": {"entity": ["A", "C", "D"]}});
    let online = server.post("/get-online-features", &body).ok();
    assert_eq!(online["results"][1]["statuses"], json!(["PRESENT", "INVALID", "NOT_FOUND"]));
    assert_eq!(metric(&server, "feature_rows_total{outcome=\"unreadable\"}"), 3);
}

#[test]
fn a_model_takes_its_features_from_two_sets() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    import(
        folder.path(),
        "cells",
        "v1",
        &["--feature-set", "means", "--join", "worsts:worst_radius,worst_area"],
    );
    import(folder.path(), "plain", "v1", &[]);
    let file = folder.path().join("features.db").display().to_string();
    let url = format!("sqlite://{file}");
    ctl_ok(["features", "migrate", "--features", &url]);
    let server = serve(folder.path(), &format!("url: '{url}', max_age: none"));
    // A name that another set has too is not taken from it.
    store(&server, "means", &[("E", json!({"mean_radius": 25.0, "worst_area": 1.0}))]);
    store(&server, "worsts", &[("E", json!({"worst_radius": 30.0, "worst_area": 2800.0}))]);
    let joined = server.post("/predict", &json!({"model": "cells", "entity": "E"})).ok();
    let features = json!({"mean_radius": 25.0, "worst_radius": 30.0, "worst_area": 2800.0});
    let sent = server.post("/predict", &json!({"model": "plain", "features": features})).ok();
    assert_eq!(joined["probability"], sent["probability"]);
    let sets: Vec<&str> = joined["features"]["sets"]
        .as_array()
        .map(|sets| sets.iter().filter_map(|set| set["set"].as_str()).collect())
        .unwrap_or_default();
    assert_eq!(sets, ["means", "worsts"]);
    let half = server.post("/predict", &json!({"model": "cells", "entity": "F"}));
    assert_eq!((half.error().0, half.error().1), (422, "features_unavailable"));
}
