//! What cannot be answered is told in full: status, code, message and details.

use std::fs;
use std::io::ErrorKind;

use serde_json::{Value as Json, json};
use tempfile::TempDir;

use crate::registry::{import, train};
use crate::server::{Client, Server, ctl_ok};

/// A registry with LightGBM's model `cells`, whose first feature has a declared range, and a store with one old row.
fn cells() -> (TempDir, Server) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = |name: &str| folder.path().join(name).display().to_string();
    fs::write(path("ranges.yaml"), "mean_radius: {min: 0, max: 50}\n").expect("writes");
    import(folder.path(), "cells", "v1", &["--feature-set", "cells", "--ranges", &path("ranges.yaml")]);
    train(folder.path(), "trained", "v1", 1);
    let store = format!("sqlite://{}", path("features.db"));
    fs::write(path("rows.csv"), "entity,timestamp,mean_radius\nOLD,2020-01-01T00:00:00Z,1\n")
        .expect("writes");
    ctl_ok(["features", "migrate", "--features", &store]);
    ctl_ok(["features", "ingest", "--features", &store, "--set", "cells", &path("rows.csv")]);
    let config =
        format!("registry: {{ url: '{}' }}\nfeatures: {{ max_age: 15m, timeout: 5s }}\n", path("registry"));
    fs::write(path("serve.yaml"), config).expect("writes");
    let server = Server::start(["--config", &path("serve.yaml"), "--features", &store], &[]);
    (folder, server)
}

#[test]
fn what_is_not_there_is_404() {
    let (_folder, server) = cells();
    for (body, code, names) in [
        (json!({"model": "nope", "data": [1]}), "unknown_model", "nope"),
        (json!({"model": "cells", "model_version": "v9"}), "unknown_version", "v9"),
        (json!({"model": "cells", "model_version": "challenger"}), "unknown_alias", "challenger"),
    ] {
        let reply = server.post("/predict", &body);
        let (status, got, message) = reply.error();
        assert_eq!((status, got), (404, code));
        assert!(message.contains(&format!("\"{names}\"")), "{message}");
    }
    let reply = server.get("/nope");
    let expected = (404, "unknown_path", "there is nothing at \"/nope\"; GET / lists the paths");
    assert_eq!(reply.error(), expected);
    assert_eq!(server.get("/models/nope").error(), (404, "unknown_model", "unknown model \"nope\""));
    let reply = server.connect().request("DELETE", "/predict", None);
    let expected = (405, "method_not_allowed", "DELETE is not a method of this path; it has POST");
    assert_eq!((reply.error(), reply.header("allow")), (expected, Some("POST")));
}

#[test]
fn names_lead_nowhere_else() {
    let (_folder, server) = cells();
    let message = "\"../../etc/passwd\" is no model name: expected 1 to 64 of a-z, 0-9, '.', '_' and '-', starting \
                   with a letter or digit";
    let reply = server.post("/predict", &json!({"model": "../../etc/passwd"}));
    assert_eq!(reply.error(), (422, "invalid_name", message));
    let reply = server.get("/models/..%2f..%2fetc%2fpasswd");
    assert_eq!(reply.error(), (404, "unknown_model", message));
    assert_eq!(server.get("/models/../../etc/passwd").error().0, 404);
}

#[test]
fn every_offending_feature_is_told_at_once() {
    let (_folder, server) = cells();
    let features = json!({"mean_radius": 99, "mean_texture": "x", "mean_area": [1], "mean_smoothness": true});
    let reply = server.post("/predict", &json!({"model": "cells", "features": features}));
    let message = "3 invalid inputs, first mean_radius: expected 0 to 50, got 99";
    assert_eq!(reply.error(), (422, "invalid_features", message));
    let expected = json!([
        {"feature": "mean_radius", "problem": "out_of_range", "expected": "0 to 50", "got": 99.0},
        {"feature": "mean_texture", "problem": "wrong_type", "expected": "a number", "got": "text \"x\""},
        {"feature": "mean_area", "problem": "wrong_type", "expected": "a number", "got": "a list"},
    ]);
    assert_eq!(reply.body["details"], expected);

    // What was trained here refuses missing values.
    let reply = server.post("/predict", &json!({"model": "trained", "features": {"b": "x"}}));
    assert_eq!(reply.error().0, 422);
    let expected = json!([
        {"feature": "a", "problem": "missing"},
        {"feature": "b", "problem": "wrong_type", "expected": "a number", "got": "text \"x\""},
    ]);
    assert_eq!(reply.body["details"], expected);

    let reply = server.post("/predict", &json!({"model": "cells", "data": [1, 2]}));
    let message = "expected 30 values in the signature's order, got 2";
    assert_eq!(reply.error(), (422, "invalid_features", message));
}

#[test]
fn features_that_cannot_be_had_are_422() {
    let (_folder, server) = cells();
    let ask = |entity: &str| server.post("/predict", &json!({"model": "cells", "entity": entity}));
    let message = "no features for entity \"DOGE/XYZ\" in feature set \"cells\"";
    assert_eq!(ask("DOGE/XYZ").error(), (422, "features_unavailable", message));

    let stale = ask("OLD");
    let (status, code, message) = stale.error();
    assert_eq!((status, code), (422, "features_stale"));
    assert!(message.starts_with("features of entity \"OLD\" in feature set \"cells\" are "), "{message}");
    assert!(message.ends_with(" old, older than 15m"), "{message}");
    assert_eq!(stale.body["details"]["max_age_seconds"], 900.0);

    let body = json!({"model": "cells", "entity": "OLD", "use_cached_features": false});
    let reply = server.post("/predict", &body);
    assert_eq!((reply.error().0, reply.error().1), (422, "on_demand_unavailable"));

    let reply = server.post("/predict", &json!({"model": "cells"}));
    let message = "the request has neither features nor an entity, and feature set \"cells\" declares no default entity";
    assert_eq!(reply.error(), (422, "entity_required", message));
}

#[test]
fn what_cannot_be_read_is_refused_and_the_connection_goes_on() {
    let (_folder, server) = cells();
    let mut client = server.connect();
    let json = [("content-type", "application/json")];
    let reply = client.text("POST", "/predict", &json, "{\"model\":");
    let message = "the body is not valid JSON: EOF while parsing a value at line 1 column 9";
    assert_eq!(reply.error(), (400, "malformed_json", message));
    let reply = client.text("POST", "/predict", &json, r#"{"model":"cells","features":{"mean_radius":NaN}}"#);
    assert_eq!((reply.error().0, reply.error().1), (400, "malformed_json"));
    let reply = client.text("POST", "/predict", &[("content-type", "text/plain")], "{}");
    let message = "expected content-type application/json, got \"text/plain\"";
    assert_eq!(reply.error(), (415, "unsupported_media_type", message));
    let body = json!({"model": "cells", "features": {"mean_radius": 15.0}});
    client.request("POST", "/predict", Some(&body)).ok();
}

/// Messages are for people who do not know what the program is written in.
#[test]
fn no_message_names_a_type_of_the_program() {
    let (_folder, server) = cells();
    for (method, path, body) in [
        ("POST", "/predict", r#"{"model": 5}"#),
        ("POST", "/predict", r#"{"features": "x"}"#),
        ("POST", "/predict", r#"{"explain": "x"}"#),
        ("POST", "/predict", r#"{"use_cached_features": 1}"#),
        ("POST", "/predict", "5"),
        ("POST", "/predict/batch", r#"{"requests": 1}"#),
        ("POST", "/predict/batch", r#"{"requests": [1]}"#),
        ("POST", "/predict/batch", r#"{"instances": [true]}"#),
        ("POST", "/predict/batch", r#"{"requests": [], "priority": "high"}"#),
        ("POST", "/predict/batch", r#"{"requests": [], "priority": 1.5}"#),
        ("POST", "/features/cells", r#"{"rows": {}}"#),
        ("POST", "/get-online-features", r#"{"entities": []}"#),
        ("POST", "/models/reload", r#"{"dry_run": "yes"}"#),
        ("POST", "/models/load", r#"{"model": ["cells"]}"#),
        ("PUT", "/models/cells/aliases/x", r#"{"why": 1}"#),
        ("POST", "/v2/models/cells/infer", r#"{"inputs": {}}"#),
        (
            "POST",
            "/v2/models/cells/infer",
            r#"{"inputs": [{"name": "x", "shape": [-1, 30], "datatype": "FP64", "data": []}]}"#,
        ),
        (
            "POST",
            "/v2/models/cells/infer",
            r#"{"inputs": [{"name": "x", "shape": "1", "datatype": "FP64", "data": [1]}]}"#,
        ),
        (
            "POST",
            "/v2/models/cells/infer",
            r#"{"inputs": [{"name": "x", "shape": [1, 30], "datatype": "F64", "data": [1]}]}"#,
        ),
        ("POST", "/v2/models/cells/infer", r#"{"inputs": [], "parameters": {"timeout": -1}}"#),
        (
            "POST",
            "/v2/models/cells/infer",
            r#"{"inputs": [{"name": "x", "shape": [1, 30], "datatype": "FP64", "data": "x"}]}"#,
        ),
        ("POST", "/v2/repository/index", r#"{"ready": "yes"}"#),
        ("POST", "/invocations", r#"{"instances": 1}"#),
        ("POST", "/models/cells/invocations", r#"{"dataframe_split": {"data": [[1]], "columns": [true]}}"#),
        ("POST", "/models/cells/invocations", r#"{"dataframe_split": {"data": 1}}"#),
        ("POST", "/models/cells/invocations", r#"{"dataframe_records": 1}"#),
        ("POST", "/v1/models/cells:predict", r#"{"instances": "x"}"#),
        ("POST", "/v1/models/cells:predict", r#"{"signature_name": 1, "instances": []}"#),
    ] {
        let reply = server.connect().text(method, path, &[("content-type", "application/json")], body);
        let told = reply.body.to_string();
        // A row of a batch fails alone.
        let failed = reply.body["failed"].as_u64().is_some_and(|failed| failed > 0);
        assert!((400..500).contains(&reply.status) || failed, "{path} {body}: {} {told}", reply.status);
        let words: Vec<&str> = told.split(|letter: char| !letter.is_alphanumeric()).collect();
        for theirs in [
            "u8", "u16", "u32", "u64", "usize", "i64", "f64", "bool", "struct", "enum", "variant",
            "sequence", "map",
        ] {
            assert!(!words.contains(&theirs), "{path} {body}: {told}");
        }
        assert!(!told.contains("invalid type") && !told.contains("invalid value"), "{path} {body}: {told}");
    }
    let reply = server.connect().text("POST", "/predict", &[], r#"{"model": 5}"#);
    let message = "the body is not as expected: expected text, got 5 at line 1 column 11";
    assert_eq!(reply.error(), (422, "invalid_request", message));
    let rows = r#"{"instances": [[1.0], {"features": 5}, {"features": [1e999]}]}"#;
    let reply = server.connect().text("POST", "/predict/batch", &[], rows);
    let told = |row: usize| reply.body["predictions"][row]["error"].as_str().unwrap_or_default();
    assert!(told(1).starts_with("the row is not as expected: ") && !told(1).contains("line"), "{}", told(1));
    assert_eq!(told(2), "the row is not valid JSON: number out of range");
}

#[test]
fn a_query_that_contradicts_its_body_or_its_model_is_refused() {
    let (_folder, server) = cells();
    let ask = |query: &str, body: Json| server.post(&format!("/predict?{query}"), &body);
    let reply = ask("model=cells", json!({"model": "trained"}));
    let message =
        "the query contradicts the body: model is \"trained\" in the body and \"cells\" in the query";
    assert_eq!(reply.error(), (422, "conflicting_query", message));
    let reply = ask("explain=true", json!({"model": "cells", "explain": false}));
    assert_eq!((reply.error().0, reply.error().1), (422, "conflicting_query"));
    let reply = ask("feature_set=other", json!({"model": "cells", "features": {"mean_radius": 15.0}}));
    let message = "model \"cells\" has feature_set \"cells\", the request says \"other\"";
    assert_eq!(reply.error(), (422, "conflicting_model", message));
    ask("model=cells&feature_set=cells", json!({"model": "cells", "features": {"mean_radius": 15.0}})).ok();
    for (query, body) in [("feature_set=", json!({})), ("model=cells", json!({"feature_set": ""}))] {
        let reply = ask(query, body);
        assert_eq!(reply.error(), (422, "invalid_name", "feature_set is empty; expected a name, or nothing"));
    }
}

#[test]
fn a_host_that_is_none_is_refused() {
    let server = Server::demo();
    for host in ["localhost:abc", "[::1", "[::1]x", "localhost:99999", "a b"] {
        let mut client = server.connect();
        client.send(&format!("GET /health/live HTTP/1.1\r\nhost: {host}\r\n\r\n")).expect("is read");
        let reply = client.receive().expect("an answer");
        assert_eq!((reply.error().0, reply.error().1), (400, "malformed_request"), "{host}");
    }
    server.get("/health/live").ok();
}

#[test]
fn a_body_over_the_limit_is_413() {
    let server = Server::start(["--demo"], &[("SERVE__HTTP__MAX_BODY_BYTES", "1KiB")]);
    let headers = [("content-type", "application/json")];
    let reply = server.connect().text("POST", "/predict", &headers, &" ".repeat(2000));
    let message = "the body is over the limit of 1KiB (http.max_body_bytes)";
    assert_eq!(reply.error(), (413, "body_too_large", message));
    server.get("/health").ok();
}

/// The rest of a request that never comes: no more than the time limit is spent on it.
#[test]
fn half_a_request_is_given_up() {
    let limits = [("SERVE__HTTP__HEADER_TIMEOUT", "300ms"), ("SERVE__HTTP__REQUEST_TIMEOUT", "300ms")];
    let server = Server::start(["--demo"], &limits);
    let half = |bytes: &str| {
        let mut client = Client::connect(server.address);
        client.send(bytes).expect("the connection is open");
        client.receive()
    };
    match half("POST /predict HTTP/1.1\r\nhost: localhost\r\ncontent-le") {
        Ok(reply) => assert_eq!(reply.status, 408),
        Err(error) => assert!(matches!(error.kind(), ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset)),
    }
    let reply =
        half("POST /predict HTTP/1.1\r\nhost: localhost\r\ncontent-length: 100\r\n\r\n{").expect("an answer");
    let message = "the request took longer than 300ms (http.request_timeout)";
    assert_eq!(reply.error(), (408, "timeout", message));
    server.get("/health").ok();
}
