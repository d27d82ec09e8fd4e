//! What operators see and do over HTTP: states, loading and unloading, rehearsals, fallbacks, pins.

use std::fs;
use std::path::Path;

use serde_json::{Value as Json, json};

use crate::registry::train;
use crate::server::{Client, Server, ctl_ok, eventually};

/// A server on `folder/registry` with these settings.
fn serve(folder: &Path, settings: &str) -> Server {
    let config = folder.join("serve.yaml");
    let registry = folder.join("registry");
    let settings = format!("registry: {{ url: {}, poll: 0s{settings} }}\n", registry.display());
    fs::write(&config, settings).expect("writes");
    Server::start(["--config".as_ref(), config.as_os_str()], &[])
}

fn row(model: &str) -> Json {
    json!({"model": model, "features": {"a": 3.5, "b": 4.25}})
}

/// Damages a version's model, so that it is refused.
fn damage(folder: &Path, model: &str, version: &str) {
    let path = folder.join("registry").join(model).join(version).join("model.bin");
    let mut bytes = fs::read(&path).expect("published");
    bytes[60] ^= 1;
    fs::write(path, bytes).expect("writes");
}

fn version<'a>(model: &'a Json, version: &str) -> &'a Json {
    let versions = model["versions"].as_array().expect("a list");
    versions.iter().find(|entry| entry["version"] == version).expect("the version is listed")
}

fn states(entry: &Json) -> Vec<&str> {
    let steps = entry["states"].as_array().expect("a list");
    assert!(steps.iter().all(|step| step["at"].as_str().is_some_and(|at| at.ends_with('Z'))));
    steps.iter().map(|step| step["state"].as_str().expect("a word")).collect()
}

#[test]
fn the_states_of_versions_are_told_with_times_and_the_last_failure() {
    let folder = tempfile::tempdir().expect("a folder");
    for (version, seed) in [("v1", 1), ("v2", 2), ("v3", 2)] {
        train(folder.path(), "m", version, seed);
    }
    let server = serve(folder.path(), "");
    let promote =
        |to: &str| server.put("/models/m/aliases/champion", &json!({"version": to, "why": "because"}));
    promote("v2").ok();
    damage(folder.path(), "m", "v3");
    let refused = promote("v3");
    let (status, code, text) = refused.error();
    assert_eq!((status, code), (409, "version_refused"));
    assert!(text.starts_with("m@v3 is refused: model.bin is damaged"), "{text}");
    let model = once(&server, "/models/m", |model| version(model, "v1")["status"] == "retired");
    let lived = ["loading", "verifying", "warming", "warming", "live"];
    assert_eq!(states(version(&model, "v2")), lived);
    assert_eq!(states(version(&model, "v1")), [&lived[..], &["draining", "retired"]].concat());
    assert_eq!(version(&model, "v3")["status"], "refused");
    assert_eq!(states(version(&model, "v3")), ["loading", "refused"]);
    assert_eq!(model["last_failure"]["version"], "v3");
    assert_eq!(model["last_failure"]["reason"], version(&model, "v3")["reason"]);
    let moves = model["history"].as_array().expect("a list");
    assert_eq!((&moves[1]["why"], &moves[1]["by"]), (&json!("because"), &json!("http")));
}

/// What is answered once that is seen in it.
fn once(server: &Server, path: &str, seen: impl Fn(&Json) -> bool) -> Json {
    let mut client = server.connect();
    eventually(path, || Some(client.request("GET", path, None).ok()).filter(&seen))
}

#[test]
fn a_rehearsal_proves_and_publishes_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    for (name, seed) in [("a", 1), ("b", 1)] {
        train(folder.path(), name, "v1", seed);
        train(folder.path(), name, "v2", 2);
    }
    let server = serve(folder.path(), "");
    damage(folder.path(), "b", "v2");
    // By somebody else, who proves nothing.
    for name in ["a", "b"] {
        let path = folder.path().join("registry").join(name).join("aliases.json");
        let text = fs::read_to_string(&path).expect("there").replace("\"v1\"", "\"v2\"");
        fs::write(path, text).expect("writes");
    }
    let told = server.post("/models/reload", &json!({"dry_run": true})).ok();
    assert_eq!(told["dry_run"], true);
    let models = told["models"].as_array().expect("a list");
    assert_eq!(models[0], json!({"name": "a", "from": "v1", "to": "v2", "status": "swapped"}));
    assert_eq!((&models[1]["status"], &models[1]["to"]), (&json!("refused"), &json!("v1")));
    assert!(models[1]["reason"].as_str().is_some_and(|text| text.starts_with("model.bin is damaged")));
    for name in ["a", "b"] {
        assert_eq!(server.post("/predict", &row(name)).ok()["model_info"]["model_version"], "v1");
    }
    let one = server.post("/models/reload?dry_run=true&model=a", &json!({})).ok();
    assert_eq!(one["models"].as_array().map(Vec::len), Some(1));
    let done = server.post("/models/reload", &json!({"model": "a"})).ok();
    assert_eq!((&done["dry_run"], &done["models"][0]["status"]), (&json!(false), &json!("swapped")));
    assert_eq!(server.post("/predict", &row("a")).ok()["model_info"]["model_version"], "v2");
    let wrong = server.post("/models/reload?dry_run=maybe", &json!({}));
    assert_eq!(wrong.error(), (422, "invalid_request", "dry_run=\"maybe\": expected true or false"));
}

#[test]
fn versions_are_loaded_unloaded_and_warmed_within_the_caches_limits() {
    let folder = tempfile::tempdir().expect("a folder");
    for (name, seed) in [("a", 1), ("b", 2), ("c", 2)] {
        train(folder.path(), name, "v1", seed);
    }
    let server = serve(folder.path(), ", cache: { max_models: 2 }, preload: []");
    let stats = || server.get("/models/cache/stats").ok();
    assert_eq!((&stats()["entries"], &stats()["loads"]["succeeded"]), (&json!(0), &json!(0)));
    let loaded = server.post("/models/load", &json!({"model": "a"})).ok();
    assert_eq!((&loaded["version"], &loaded["status"]), (&json!("v1"), &json!("live")));
    assert!(loaded["bytes"].as_u64().is_some_and(|bytes| bytes > 0), "{loaded}");
    for name in ["a", "b", "c", "a"] {
        server.post("/predict", &row(name)).ok();
    }
    let now = stats();
    assert_eq!((&now["entries"], &now["max_models"], &now["evictions"]), (&json!(2), &json!(2), &json!(2)));
    assert_eq!((&now["hits"], &now["misses"]), (&json!(1), &json!(4)));
    assert_eq!(now["models"][0]["name"], "a", "the most recently used comes first");
    let unloaded = server.post("/models/unload", &json!({"model": "a"})).ok();
    assert_eq!(unloaded["unloaded"], true);
    assert_eq!(server.post("/models/unload?model=a", &json!({})).ok()["unloaded"], false);
    // Only a reload can be rehearsed: what cannot does nothing rather than all of it.
    for path in ["/models/load", "/models/unload", "/models/warmup"] {
        assert_eq!(server.post(path, &json!({"model": "a", "dry_run": true})).status, 422, "{path}");
        assert_eq!(server.post(&format!("{path}?model=a&dry_run=true"), &json!({})).status, 422, "{path}");
    }
    assert_eq!(server.get("/models/a").ok()["status"], "available");
    server.post("/predict", &row("a")).ok();
    let warmed = server.post("/models/warmup", &json!({"model": "a"})).ok();
    assert_eq!(warmed["models"][0]["status"], "live");
    let unknown = server.post("/models/load", &json!({"model": "x"}));
    assert_eq!(unknown.error(), (404, "unknown_model", "unknown model \"x\""));
}

#[test]
fn many_clients_ask_for_versions_that_have_no_room_together_and_none_fails() {
    let folder = tempfile::tempdir().expect("a folder");
    for (name, seed) in [("a", 1), ("b", 2), ("c", 1), ("d", 2)] {
        train(folder.path(), name, "v1", seed);
    }
    let server = serve(folder.path(), ", cache: { max_models: 2 }");
    let truth: Vec<Json> = ["a", "b", "c", "d"]
        .map(|name| server.post("/predict", &row(name)).ok()["prediction"].clone())
        .into();
    std::thread::scope(|scope| {
        for client in 0..4 {
            let (server, truth) = (&server, &truth);
            scope.spawn(move || {
                let mut connection: Client = server.connect();
                for turn in 0..50 {
                    let at = (client * 7 + turn * 3) % 4;
                    let answer =
                        connection.request("POST", "/predict", Some(&row(["a", "b", "c", "d"][at]))).ok();
                    assert_eq!(answer["prediction"], truth[at], "{answer}");
                }
            });
        }
    });
    assert!(server.get("/models/cache/stats").ok()["evictions"].as_u64().is_some_and(|n| n > 0));
}

#[test]
fn a_fallback_answers_where_a_model_cannot_load_and_says_so() {
    let folder = tempfile::tempdir().expect("a folder");
    for (name, seed) in [("main", 1), ("spare", 2), ("alone", 1)] {
        train(folder.path(), name, "v1", seed);
    }
    damage(folder.path(), "main", "v1");
    damage(folder.path(), "alone", "v1");
    let server = serve(folder.path(), ", models: { main: { fallback: spare }, alone: { fallback: main } }");
    let answer = server.post("/predict", &row("main")).ok();
    assert_eq!((&answer["model_info"]["name"], &answer["degraded"]), (&json!("spare"), &json!(true)));
    let fallback = &answer["model_info"]["fallback"];
    assert_eq!(fallback["instead_of"], "main");
    assert!(fallback["reason"].as_str().is_some_and(|text| text.starts_with("main@v1 is refused: ")));
    let spare = server.post("/predict", &row("spare")).ok();
    assert_eq!(spare["prediction"], answer["prediction"]);
    assert!(spare["model_info"].get("fallback").is_none() && spare.get("degraded").is_none(), "{spare}");
    let batch = server.post("/predict/batch", &json!({"requests": [row("main"), row("spare")]})).ok();
    assert_eq!((&batch["failed"], &batch["predictions"][0]["degraded"]), (&json!(0), &json!(true)));
    let mut explicit = row("main");
    explicit["model_version"] = json!("v1");
    assert_eq!(server.post("/predict", &explicit).error().1, "version_refused", "who says v1 means v1");
    let alone = server.post("/predict", &row("alone"));
    let (status, code, text) = alone.error();
    assert_eq!((status, code), (503, "version_refused"));
    assert!(
        text.contains("; its fallback does not answer either: main@v1 is refused"),
        "one step only: {text}"
    );
}

#[test]
fn a_pinned_model_refuses_promotion_until_it_is_unpinned() {
    let folder = tempfile::tempdir().expect("a folder");
    for (version, seed) in [("v1", 1), ("v2", 2)] {
        train(folder.path(), "m", version, seed);
    }
    let registry = format!("--registry={}", folder.path().join("registry").display());
    ctl_ok([registry.as_str(), "pin", "m", "--why", "audit"]);
    let server = serve(folder.path(), "");
    let promote = || server.put("/models/m/aliases/champion", &json!({"version": "v2"}));
    let refused = promote();
    let (status, code, text) = refused.error();
    assert_eq!((status, code), (409, "model_pinned"));
    assert!(
        text.starts_with("m is pinned to v1 by ") && text.ends_with(" (audit); unpin it first"),
        "{text}"
    );
    assert_eq!(server.get("/models/m").ok()["pinned"]["why"], "audit");
    ctl_ok([registry.as_str(), "unpin", "m"]);
    promote().ok();
    assert_eq!(server.post("/predict", &row("m")).ok()["model_info"]["model_version"], "v2");
}

#[test]
fn feature_sets_and_types_are_listed() {
    let folder = tempfile::tempdir().expect("a folder");
    train(folder.path(), "m", "v1", 1);
    let types = serve(folder.path(), "").get("/models/types").ok();
    assert_eq!(types["model_types"], json!(["random_forest"]));
    assert_eq!(types["models"][""]["random_forest"], json!(["m"]));
}
