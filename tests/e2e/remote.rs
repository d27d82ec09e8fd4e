//! `serve-ctl smoke` and `load` against the real server: every endpoint is tried, and none fails.

use serde_json::Value as Json;

use crate::locks::{key, locked};
use crate::server::{Server, ctl, told};

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
fn smoke_says_what_it_may_not_try() {
    let folder = tempfile::tempdir().expect("a folder");
    let (predict, line_predict) = key("one", "predict", &[]);
    let (read, line_read) = key("two", "read", &[]);
    let server = locked(folder.path(), &format!("mode: keys\nkeys:\n{line_predict}\n{line_read}"));
    let url = format!("http://{}", server.address);
    let listed = Server::demo().get("/").ok()["endpoints"].clone();
    for (key, most, why) in [
        (None, 68, "it needs a key"),
        (Some(&predict), 68, "the key does not"),
        (Some(&read), 40, "the key does not"),
    ] {
        let key = key.into_iter().flat_map(|key| ["--key", key.as_str()]);
        let output = ctl(["smoke", url.as_str(), "--json"].into_iter().chain(key));
        let outcomes: Vec<Json> = serde_json::from_slice(&output.stdout).expect("is JSON");
        assert!(output.status.success(), "{outcomes:#?}");
        let named: Vec<&Json> = outcomes.iter().map(|outcome| &outcome["endpoint"]).collect();
        assert!(listed.as_array().is_some_and(|listed| listed.iter().eq(named)), "{outcomes:#?}");
        let of =
            |result: &str| outcomes.iter().filter(|outcome| outcome["result"] == result).collect::<Vec<_>>();
        assert!(of("ok").iter().any(|outcome| outcome["endpoint"] == "GET /health/live"), "{outcomes:#?}");
        let skipped = of("skipped");
        assert!((1..most).contains(&skipped.len()), "{skipped:#?}");
        assert!(skipped.iter().any(|one| one["detail"].as_str().is_some_and(|told| told.contains(why))));
    }
}

#[test]
fn a_load_that_is_refused_is_no_success() {
    let server = Server::demo();
    let url = format!("http://{}", server.address);
    let (code, told_why) = told(&ctl(["load", url.as_str(), "--get", "--path", "/models/none"]));
    assert!(code == Some(69) && told_why.contains("unknown_model"), "{told_why}");
    for (wrong, why) in [
        (["--rate", "0"], "--rate"),
        (["--path", "predict"], "/predict"),
        (["--header", "bad"], "Name: value"),
    ] {
        let (code, told_why) = told(&ctl([&["load", url.as_str()][..], &wrong].concat()));
        assert!(code == Some(2) && told_why.contains(why), "{code:?} {told_why}");
    }
    // One that has gone away meanwhile.
    let mut server = Server::demo();
    let url = format!("http://{}", server.address);
    let stopping = std::thread::spawn(move || {
        std::thread::sleep(std::time::Duration::from_millis(1_500));
        server.terminate();
        server.wait()
    });
    let args = ["load", url.as_str(), "--duration", "3s", "--warm-up", "0s", "--connections", "2"];
    let (code, told_why) = told(&ctl(args));
    assert!(code == Some(69) && told_why.contains("were not answered as they should be"), "{told_why}");
    assert!(stopping.join().expect("ends").success());
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
