//! A guard window over a promotion: a version that is worse is taken back by itself under traffic, and the history says
//! why.

use std::fmt::Write;
use std::fs;
use std::path::Path;

use serde_json::{Value as Json, json};

use crate::registry::train;
use crate::server::{Client, Server, ctl_ok, eventually};

/// A server with a guard window. Latencies are not compared: on a busy machine they are other tests' as well.
fn serve(folder: &Path, window: &str, min_rows: &str) -> Server {
    let registry = folder.join("registry").display().to_string();
    let environment = [
        ("SERVE__REGISTRY__POLL", "0s"),
        ("SERVE__REGISTRY__GUARD__WINDOW", window),
        ("SERVE__REGISTRY__GUARD__MIN_ROWS", min_rows),
        ("SERVE__REGISTRY__GUARD__LATENCY_RATIO", "none"),
    ];
    Server::start(["--registry", &registry], &environment)
}

fn promote(server: &Server, version: &str) {
    server.post("/models/reload", &json!({})).ok();
    server.put("/models/m/aliases/champion", &json!({"version": version})).ok();
}

/// Asks until the guard has written into the history, and answers with what it did and why, and who answers then.
fn judged(server: &Server, ask: impl Fn(&mut Client, u32)) -> (String, String, Json) {
    let mut client = server.connect();
    let mut turn = 0;
    eventually("the guard judges", || {
        for _ in 0..20 {
            ask(&mut client, turn);
            turn += 1;
        }
        let model = server.get("/models/m").ok();
        let newest = model["history"].as_array().and_then(|moves| moves.last()).expect("a history");
        let text = |key: &str| newest[key].as_str().unwrap_or_default().to_owned();
        let judged = newest["by"] == "guard";
        judged.then(|| (text("action"), text("why"), model["version"].clone()))
    })
}

/// A batch of fifty rows of the features `a` and `b`, all on the same side of what the versions learned.
fn ask_batch(client: &mut Client, turn: u32) {
    let row = |n: u32| json!({"features": {"a": (n * 7) % 25, "b": (n * 13) % 31}});
    let requests: Vec<Json> = (0..50).map(|n| row(turn * 50 + n)).collect();
    client.request("POST", "/predict/batch", Some(&json!({"model": "m", "requests": requests}))).ok();
}

#[test]
fn a_version_that_answers_differently_is_taken_back() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    train(folder.path(), "m", "v1", 2);
    train(folder.path(), "m", "v2", 1);
    let server = serve(folder.path(), "1h", "1000");
    promote(&server, "v2");
    let (action, why, now) = judged(&server, ask_batch);
    assert_eq!((action.as_str(), &now), ("rollback", &json!("v1")), "{why}");
    assert!(why.starts_with("breach in the guard window: PSI ") && why.contains(" is above 0.25"), "{why}");
}

/// The new version takes a third feature, which the clients do not send.
#[test]
fn a_version_that_refuses_rows_is_taken_back() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    train(folder.path(), "m", "v1", 2);
    train_on_three(folder.path(), "v2");
    let server = serve(folder.path(), "1h", "1000");
    promote(&server, "v2");
    let (action, why, now) = judged(&server, ask_batch);
    assert_eq!((action.as_str(), &now), ("rollback", &json!("v1")), "{why}");
    assert!(why.starts_with("breach in the guard window: errors 100.00 % (before 0.00 %"), "{why}");
    // The same, asked as tensors.
    promote(&server, "v2");
    let (_, why, now) = judged(&server, |client, turn| {
        let tensor = json!({"name": "input", "datatype": "FP64", "shape": [1, 2], "data": [turn % 50, 3]});
        client.request("POST", "/v2/models/m/infer", Some(&json!({"inputs": [tensor]})));
        client.request("POST", "/v2/models/m/infer", Some(&json!({"inputs": [tensor]})));
    });
    assert_eq!(now, "v1", "{why}");
}

#[test]
fn an_equal_version_stays_and_so_does_one_that_nobody_asked() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    train(folder.path(), "m", "v1", 2);
    train(folder.path(), "m", "v2", 2);
    let server = serve(folder.path(), "5s", "10");
    promote(&server, "v2");
    let (action, why, now) = judged(&server, ask_batch);
    assert_eq!((action.as_str(), &now), ("keep", &json!("v2")), "{why}");
    assert!(why.starts_with("kept by the guard window: ") && why.ends_with(", PSI 0.000"), "{why}");

    train(folder.path(), "m", "v3", 1);
    let server = serve(folder.path(), "50ms", "1000");
    promote(&server, "v3");
    let (action, why, now) = judged(&server, |_, _| ());
    assert_eq!((action.as_str(), &now), ("keep", &json!("v3")), "{why}");
    assert_eq!(why, "not judged: the guard window saw 0 rows, 1000 are needed");
}

/// Trains a version of `m` that takes `a`, `b` and `c`.
fn train_on_three(folder: &Path, version: &str) {
    let mut csv = String::from("a,b,c,y\n");
    for row in 0..200_u32 {
        let (a, b, c) = ((row * 7) % 50, (row * 13) % 31, row % 17);
        writeln!(csv, "{a}.5,{b}.25,{c},{}", if a < 25 { "no" } else { "yes" }).expect("text grows");
    }
    let (data, registry) = (folder.join("three.csv"), folder.join("registry"));
    fs::write(&data, csv).expect("writes");
    let (registry, data) = (registry.display().to_string(), data.display().to_string());
    let model = ["--registry", &registry, "--name", "m", "--version", version, "--trees", "10"];
    let training = ["--algorithm", "random_forest", "--data", &data, "--target", "y"];
    ctl_ok(["train"].iter().chain(&model).chain(&training));
}
