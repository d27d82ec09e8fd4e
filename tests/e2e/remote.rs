//! `serve-ctl smoke` and `load` against the real server: every endpoint is tried, and none fails.

use serde_json::Value as Json;

use crate::server::{Server, ctl};

#[test]
fn smoke_tries_every_endpoint_and_none_fails() {
    let server = Server::demo();
    let url = format!("http://{}", server.address);
    let output = ctl(["smoke", url.as_str(), "--json"]);
    let outcomes: Vec<Json> = serde_json::from_slice(&output.stdout).expect("is JSON");
    let other: Vec<&Json> = outcomes.iter().filter(|outcome| outcome["result"] != "ok").collect();
    assert!(output.status.success() && other.is_empty(), "{other:#?}");
    let listed = server.get("/").ok()["endpoints"].as_array().map(Vec::len);
    assert_eq!(Some(outcomes.len()), listed);
}

#[test]
fn load_measures_the_model_that_is_named() {
    let server = Server::demo();
    let url = format!("http://{}", server.address);
    let args = ["load", url.as_str(), "--model", "vader-random-forest", "--requests", "200", "--json"];
    let output = ctl(args);
    let report: Json = serde_json::from_slice(&output.stdout).expect("is JSON");
    assert_eq!((report["answered"].as_u64(), report["errors"].as_u64()), (Some(200), Some(0)));
    assert!(report["latency_ms"]["p99"].as_f64() >= report["latency_ms"]["median"].as_f64(), "{report}");
}
