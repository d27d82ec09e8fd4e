//! The prediction cache: what is answered from it is what would be computed, in process and shared through Redis, whatever
//! becomes of Redis. The shared part needs `SERVE_TEST_REDIS` (`tests/databases`); without it those tests say that they are
//! skipped.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::process::Command;

use serde_json::{Value as Json, json};

use crate::registry::train;
use crate::server::{Server, until};

const ON: (&str, &str) = ("SERVE__CACHE__PREDICTIONS__ENABLED", "true");

fn ask(server: &Server, entity: &str) -> Json {
    server.post("/predict", &json!({"model": "vader-random-forest", "entity": entity})).ok()
}

fn stats(server: &Server) -> Json {
    server.get("/models/cache/stats").ok()["predictions"].clone()
}

#[test]
fn the_second_of_two_equal_rows_is_cached_and_tells_its_own_features() {
    let server = Server::start(["--demo"], &[ON]);
    let (first, second) = (ask(&server, "BTC/USD"), ask(&server, "BTC/USD"));
    assert_eq!((first.get("cached"), second["cached"].as_bool()), (None, Some(true)));
    assert_eq!(first["prediction"], second["prediction"]);
    assert_ne!(first["prediction_id"], second["prediction_id"]);
    // The same numbers, sent with the request, are the same row; where they are from is this request's.
    let known = server.get("/features/vader/BTC%2FUSD").ok();
    let values = known["features"].as_object().expect("by name").iter();
    let values: serde_json::Map<String, Json> =
        values.map(|(name, feature)| (name.clone(), feature["value"].clone())).collect();
    let sent = server.post("/predict", &json!({"model": "vader-random-forest", "features": values})).ok();
    assert_eq!((&sent["cached"], &sent["features"]), (&json!(true), &json!({"source": "request"})));
    let batch =
        json!({"model": "vader-random-forest", "requests": [{"entity": "BTC/USD"}, {"entity": "nobody"}]});
    let batch = server.post("/predict/batch", &batch).ok();
    assert_eq!((&batch["predictions"][0]["cached"], &batch["failed"]), (&json!(true), &json!(1)));
    let told = stats(&server);
    assert_eq!((&told["hits"], &told["misses"], &told["entries"]), (&json!(3), &json!(1), &json!(1)));

    let off = Server::demo();
    ask(&off, "BTC/USD");
    assert_eq!(ask(&off, "BTC/USD").get("cached"), None);
    assert_eq!(stats(&off), Json::Null);
}

#[test]
fn a_swap_is_seen_at_once() {
    let folder = tempfile::tempdir().expect("a folder");
    train(folder.path(), "m", "v1", 1);
    train(folder.path(), "m", "v2", 2);
    let registry = folder.path().join("registry");
    let registry = registry.to_str().expect("is text");
    let server = Server::start(["--registry", registry], &[ON, ("SERVE__REGISTRY__POLL", "0s")]);
    let asked = || server.post("/predict", &json!({"model": "m", "data": [0.5, 0.5]})).ok();
    let version = |answer: &Json| answer["model_info"]["model_version"].clone();
    let before = asked();
    assert_eq!((version(&before), asked()["cached"].clone()), (json!("v1"), json!(true)));
    server.put("/models/m/aliases/champion", &json!({"version": "v2"})).ok();
    let after = asked();
    assert_eq!((version(&after), after.get("cached")), (json!("v2"), None));
    assert_eq!((version(&asked()), asked()["cached"].clone()), (json!("v2"), json!(true)));
}

pub(crate) fn redis() -> Option<String> {
    let url = std::env::var("SERVE_TEST_REDIS").ok();
    if url.is_none() {
        eprintln!("skipped: SERVE_TEST_REDIS is not set");
    }
    url
}

fn sharing(url: &str) -> Server {
    // A machine under load may not make Redis look dead.
    Server::start(["--demo"], &[ON, ("SERVE__CACHE__REDIS", url), ("SERVE__CACHE__REDIS_TIMEOUT", "10s")])
}

fn cli(url: &str, args: &[&str]) -> String {
    let output = Command::new("redis-cli").args(["--no-auth-warning", "-u", url]).args(args).output();
    String::from_utf8(output.expect("redis-cli starts").stdout).expect("is text")
}

#[test]
fn servers_share_answers_and_take_nothing_else_for_one() {
    let Some(url) = redis() else { return };
    let url = format!("{url}?prefix=e2e-cache-{}", std::process::id());
    let bare = url.split('?').next().expect("is there");
    let one = sharing(&url);
    let answer = ask(&one, "BTC/USD");
    let keys = || cli(bare, &["--scan", "--pattern", &format!("e2e-cache-{}:b:*", std::process::id())]);
    until("an answer is shared", || !keys().trim().is_empty());
    let other = sharing(&url);
    let shared = ask(&other, "BTC/USD");
    assert_eq!((&shared["prediction"], &shared["cached"]), (&answer["prediction"], &json!(true)));
    assert_eq!(stats(&other)["shared"]["hits"], 1);

    let key = keys().trim().to_owned();
    cli(bare, &["SET", &key, "SPC1 what somebody else put here"]);
    let third = sharing(&url);
    let computed = ask(&third, "BTC/USD");
    assert_eq!((&computed["prediction"], computed.get("cached")), (&answer["prediction"], None));
    assert_eq!(stats(&third)["shared"]["corrupt"], 1);
    cli(bare, &["DEL", &key]);
}

/// Accepts, reads, and never answers.
#[test]
fn a_redis_that_hangs_costs_little_and_fails_nothing() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("it listens");
    std::thread::spawn(move || {
        let mut open = Vec::new();
        for mut client in listener.incoming().map_while(Result::ok) {
            open.push(client.try_clone().expect("a clone"));
            std::thread::spawn(move || {
                let mut some = [0; 1024];
                while client.read(&mut some).is_ok_and(|read| read > 0) {
                    drop(client.flush());
                }
            });
        }
    });
    let server = sharing(&format!("redis://{address}"));
    let plain = Server::demo();
    for _ in 0..20 {
        assert_eq!(ask(&server, "BTC/USD")["prediction"], ask(&plain, "BTC/USD")["prediction"]);
    }
    let told = stats(&server);
    assert!(told["shared"]["failures"].as_u64().is_some_and(|failures| failures > 0), "{told}");
    assert_eq!(told["hits"], 19, "{told}");
}
