//! What operators can see: failed rows, a Redis that is lost, and every metric in the documents.

use std::collections::BTreeSet;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde_json::{Value as Json, json};

use crate::cache::redis;
use crate::locks::{key, locked};
use crate::outage::{PASS, Proxy, REFUSE, elsewhere};
use crate::seen::{Observed, sum};
use crate::server::{Client, eventually, repository};

const VADER: &str = r#"model="vader-random-forest""#;

/// The access line of a request, once it is written.
fn line(server: &Observed, id: &str) -> Json {
    eventually("the line", || {
        let log = server.text("log");
        let lines = log.lines().filter_map(|line| serde_json::from_str::<Json>(line).ok());
        lines.into_iter().find(|line| line["request_id"] == id && line["target"] == "access")
    })
}

#[test]
fn rows_that_fail_alone_are_seen() {
    let server = Observed::start("log: { format: json }");
    let rows = json!([
        {},
        { "features": { "return_1": "x" } },
        { "entity": "nobody" },
        { "model": "none-such" },
        { "timestamp": "some day" },
    ]);
    let batch = json!({ "requests": rows, "model": "vader-random-forest" });
    let told = server.ask("POST", "/predict/batch", &[("x-request-id", "rows")], &batch.to_string()).ok();
    assert_eq!((&told["count"], &told["failed"]), (&json!(5), &json!(4)), "{told}");
    let unread = told["predictions"][4]["code"].as_str().expect("a code").to_owned();
    let line = line(&server, "rows");
    assert_eq!((&line["rows"], &line["failed_rows"], &line["status"]), (&json!(5), &json!(4), &json!(200)));

    // A request that is refused as a whole takes its rows with it.
    let metadata = server.ask("GET", "/v2/models/vader-random-forest", &[], "").ok();
    let width = metadata["inputs"][0]["shape"][1].as_u64().expect("a width");
    let data = vec![Json::Null; usize::try_from(3 * width).expect("is small")];
    let input = json!({ "name": "input", "shape": [3, width], "datatype": "FP64", "data": data });
    let body = json!({ "inputs": [input] }).to_string();
    assert_eq!(server.ask("POST", "/v2/models/vader-random-forest/infer", &[], &body).status, 400);

    let texts =
        json!({ "instances": vec![vec!["x"; usize::try_from(width).expect("is small")]; 2] }).to_string();
    assert_eq!(server.ask("POST", "/models/vader-random-forest/invocations", &[], &texts).status, 400);
    assert_eq!(server.ask("POST", "/v1/models/vader-random-forest:predict", &[], &texts).status, 400);
    let narrow = r#"{"inputs": [{"name": "input", "shape": [4, 1], "datatype": "BYTES", "data": ["a", "b", "c", "d"]}]}"#;
    assert_eq!(server.ask("POST", "/v2/models/vader-random-forest/infer", &[], narrow).status, 400);

    let page = server.metrics();
    let told = |family: &str, labels: &[&str]| sum(&page, family, labels);
    assert_eq!(told("prediction_requests_total", &[VADER, r#"outcome="success""#]), 1.0, "{page}");
    assert_eq!(told("prediction_rows_total", &[VADER, r#"outcome="refused""#]), 14.0, "{page}");
    assert_eq!(told("prediction_rows_total", &[VADER, r#"outcome="success""#]), 1.0, "{page}");
    let errors = |code: &str| format!("code=\"{code}\"");
    let errors = |model: &str, code: &str| told("prediction_row_errors_total", &[model, &errors(code)]);
    assert_eq!(errors(VADER, "features_unavailable"), 1.0, "{page}");
    assert_eq!(errors(VADER, &unread), 1.0, "{page}");
    assert_eq!(errors(r#"model="unknown""#, "unknown_model"), 1.0, "{page}");
    assert_eq!(errors(VADER, "invalid_features"), 5.0, "{page}");
    assert_eq!(errors(VADER, "invalid_row"), 3.0, "{page}");
    assert_eq!(told("prediction_rows_total", &[]), 16.0, "each row once: {page}");
}

/// The names in the first column of the document's tables.
fn documented() -> BTreeSet<String> {
    let text = fs::read_to_string(repository().join("docs/observing.md")).expect("is there");
    let metrics = text.split("\n## ").find(|part| part.starts_with("Metrics")).expect("a part of its own");
    let first = metrics.lines().filter_map(|line| line.strip_prefix('|')?.split('|').next());
    first.flat_map(|cell| cell.split('`').skip(1).step_by(2)).map(str::to_owned).collect()
}

/// The names that a page has.
fn shown(page: &str) -> BTreeSet<String> {
    let types = page.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    types.filter_map(|line| line.split(' ').next()).map(str::to_owned).collect()
}

/// Every file of Rust in a folder.
fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("is there").flatten() {
        match entry.path() {
            path if path.is_dir() => sources(&path, found),
            path if path.extension().is_some_and(|end| end == "rs") => found.push(path),
            _ => {}
        }
    }
}

/// Names of counters that stand in the code, shown or not.
fn coded() -> BTreeSet<String> {
    let mut files = Vec::new();
    for name in ["serve-app", "serve-http"] {
        sources(&repository().join("crates").join(name).join("src"), &mut files);
    }
    let mut names = BTreeSet::new();
    for file in files {
        let text = fs::read_to_string(&file).expect("text");
        // What tests invent stands behind.
        let text = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
        let names_of = |text: &str| text.split('"').skip(1).step_by(2).map(str::to_owned).collect::<Vec<_>>();
        let is_name = |name: &String| {
            name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
        };
        let lines = text.lines().filter(|line| !line.trim_start().starts_with("//"));
        let told = lines.flat_map(names_of).filter(is_name);
        names.extend(told.filter(|name| {
            let json = ["rows_total", "refused_total", "expired_total", "left_queue_total", "opened_total"];
            name.ends_with("_total") && !json.contains(&name.as_str())
        }));
    }
    names
}

#[test]
fn every_metric_is_documented_and_every_documented_one_is_shown() {
    let config = "log: { level: error }\ncache: { predictions: { enabled: true }, redis: 'redis://127.0.0.1:1' }\n\
                  features: { cache: { url: 'redis://127.0.0.1:1' } }\n\
                  telemetry: { otlp: 'http://127.0.0.1:1/v1/traces' }\n";
    let server = Observed::start(config);
    let ask = |body: Json| server.ask("POST", "/predict", &[], &body.to_string()).status;
    assert_eq!(ask(json!({ "model": "vader-random-forest" })), 200);
    assert_eq!(ask(json!({ "model": "none-such" })), 404);
    // Who asks is counted where they are told apart.
    let folder = tempfile::tempdir().expect("a folder");
    let (key, line) = key("ops", "predict,read", &[]);
    let locked = locked(folder.path(), &format!("mode: keys\npublic: [/metrics]\nkeys:\n{line}"));
    let asked = locked.connect().text("GET", "/models", &[("x-api-key", &key)], "");
    assert_eq!(asked.status, 200);
    let other = locked.get("/metrics").ok();
    let page = server.metrics();
    let mut shown = shown(&page);
    shown.extend(self::shown(other.as_str().expect("text")));
    let documented = documented();
    let lacking = |one: &BTreeSet<String>, other: &BTreeSet<String>| {
        one.difference(other).cloned().collect::<Vec<_>>().join(", ")
    };
    assert_eq!(lacking(&shown, &documented), "", "not in docs/observing.md");
    assert_eq!(lacking(&documented, &shown), "", "not on the page");
    assert_eq!(lacking(&coded(), &documented), "", "in the code, and not in docs/observing.md");
}

#[test]
fn a_redis_that_goes_and_comes_back_is_told_once_each_time() {
    let Some(url) = redis() else { return };
    let (database, _) = elsewhere(&url, SocketAddr::from(([127, 0, 0, 1], 0)));
    let proxy = Proxy::before(database);
    let (_, through) = elsewhere(&url, proxy.address);
    let prefix = format!("e2e-observing-{}", std::process::id());
    let server = Observed::start(&format!(
        "log: {{ format: json }}\ncache: {{ predictions: {{ enabled: true }}, redis: '{through}?prefix={prefix}', redis_timeout: 2s }}\n"
    ));
    let told = || server.health();
    let state = |health: &Json| health["components"]["prediction_cache"]["status"].clone();
    let healthy = told();
    assert_eq!((&healthy["status"], state(&healthy)), (&json!("healthy"), json!("healthy")), "{healthy}");

    let mut client = Client::connect(server.address);
    let known = server.ask("GET", "/features/vader/BTC%2FUSD", &[], "").ok();
    let known = known["features"].as_object().expect("by name").iter();
    let mut row: serde_json::Map<String, Json> =
        known.map(|(name, feature)| (name.clone(), feature["value"].clone())).collect();
    let mut rows = 0;
    let mut ask = || {
        // Another row each time: none is in memory.
        rows += 1;
        row.insert("return_1".to_owned(), json!(rows));
        let body = json!({ "model": "vader-random-forest", "features": row });
        client.request("POST", "/predict", Some(&body))
    };
    let timing = |reply: &crate::server::Reply| reply.header("server-timing").unwrap_or_default().to_owned();
    let first = ask();
    assert!(timing(&first).contains("cache;dur="), "{:?}", timing(&first));

    let lines = |what: &str| server.text("log").matches(what).count();
    let (lost, back) = ("has lost its Redis", "has its Redis again");
    for time in 1..=2 {
        proxy.set(REFUSE);
        for _ in 0..20 {
            assert_eq!(ask().status, 200);
        }
        let health = told();
        let component = &health["components"]["prediction_cache"];
        assert_eq!((&health["status"], state(&health)), (&json!("degraded"), json!("degraded")), "{health}");
        assert!(component["shared"]["error"].is_string(), "{component}");
        eventually("the line", || (lines(lost) == time).then_some(()));
        proxy.set(PASS);
        eventually("Redis is found again", || (state(&told()) == "healthy").then_some(()));
        assert_eq!(told()["status"], "healthy");
        eventually("the line", || (lines(back) == time).then_some(()));
        assert_eq!((lines(lost), lines(back)), (time, time));
    }
    let line = eventually("an access line", || {
        server.text("log").lines().find(|line| line.contains("cache_ms")).map(str::to_owned)
    });
    assert!(!line.contains("default:"), "no password: {line}");
}
