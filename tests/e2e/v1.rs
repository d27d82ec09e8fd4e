//! TensorFlow Serving's V1 and KServe's: predictions of rows and of columns, explanations, and the status of versions.

use serde_json::{Value as Json, json};
use tempfile::TempDir;

use crate::registry::{import, train};
use crate::server::{Server, ctl_ok};

fn two() -> (TempDir, Server) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    train(folder.path(), "pair", "1", 1);
    train(folder.path(), "pair", "2", 2);
    import(folder.path(), "cells", "v1", &[]);
    let registry = format!("--registry={}", folder.path().join("registry").display());
    ctl_ok([&registry, "promote", "pair", "2", "--alias", "challenger"]);
    let server = Server::of(&folder.path().join("registry"));
    (folder, server)
}

/// What `/predict` says of the same row.
fn alone(server: &Server, version: &str, row: &Json) -> Json {
    let answer =
        server.post("/predict", &json!({"model": "pair", "model_version": version, "data": row})).ok();
    let probability = &answer["prediction"]["probability"];
    json!([probability["no"], probability["yes"]])
}

#[test]
fn rows_and_columns_are_predicted_by_version_and_label() {
    let (_folder, server) = two();
    let rows = [json!([3.5, 4.25]), json!([40.5, 9.25])];
    for (path, version) in
        [("", "1"), ("/versions/1", "1"), ("/versions/2", "2"), ("/labels/challenger", "2")]
    {
        let path = format!("/v1/models/pair{path}:predict");
        let expected = json!(rows.iter().map(|row| alone(&server, version, row)).collect::<Vec<_>>());
        let named = json!([{"b": 4.25, "a": 3.5}, {"a": 40.5, "b": 9.25}]);
        for instances in [json!(rows), named] {
            let body = json!({"instances": instances, "signature_name": "serving_default"});
            assert_eq!(server.post(&path, &body).ok(), json!({"predictions": expected}), "{path}");
        }
        let columns = json!({"inputs": {"a": [3.5, 40.5], "b": [[4.25], [9.25]]}});
        assert_eq!(server.post(&path, &columns).ok(), json!({"outputs": expected}), "{path}");
    }
    assert_ne!(alone(&server, "1", &rows[0]), alone(&server, "2", &rows[0]));
    // As `curl -d` sends it.
    let form = [("content-type", "application/x-www-form-urlencoded")];
    let reply = server.connect().text("POST", "/v1/models/pair:predict", &form, r#"{"instances": [[1, 2]]}"#);
    assert_eq!(reply.status, 200, "{}", reply.body);
}

#[test]
fn versions_tell_whether_they_answer() {
    let (_folder, server) = two();
    let available = |version: &str| json!({"version": version, "state": "AVAILABLE", "status": {"error_code": "OK", "error_message": ""}});
    let all = server.get("/v1/models/pair").ok();
    let expected =
        json!({"name": "pair", "ready": true, "model_version_status": [available("2"), available("1")]});
    assert_eq!(all, expected);
    let one = server.get("/v1/models/pair/versions/2").ok();
    assert_eq!(one["model_version_status"], json!([available("2")]));
    assert_eq!(server.get("/v1/models/pair/labels/challenger").ok(), one);
    assert_eq!(server.get("/v1/models").ok(), json!({"models": ["cells", "pair"]}));
}

#[test]
fn explanations_are_those_of_predict() {
    let (_folder, server) = two();
    let row = vec![0.5; 30];
    let explained = server.post("/v1/models/cells:explain", &json!({"instances": [row, row]})).ok();
    let alone = server.post("/predict", &json!({"model": "cells", "data": row, "explain": true})).ok();
    assert_eq!(explained["explanations"], json!([alone["explanation"], alone["explanation"]]));
    let probability = &alone["prediction"]["probability"];
    assert_eq!(explained["predictions"][1], json!([probability["0"], probability["1"]]));
}

#[test]
fn mistakes_are_one_text() {
    let (_folder, server) = two();
    for (path, body, status, words) in [
        ("nope:predict", json!({"instances": []}), 404, "Servable not found for request: Latest(nope)"),
        ("pair/versions/9:predict", json!({"instances": []}), 404, "Specific(pair, 9)"),
        ("pair/labels/none:predict", json!({"instances": []}), 404, "Label(pair, none)"),
        ("pair:predict", json!({}), 400, "exactly one of"),
        ("pair:predict", json!({"instances": [], "inputs": []}), 400, "exactly one of"),
        ("pair:predict", json!({"dataframe_records": []}), 400, "exactly one of"),
        ("pair:predict", json!({"instances": [], "signature_name": "x"}), 400, "unknown signature_name"),
        ("pair:predict", json!({"instances": [1, 2]}), 400, "each row has 1 values"),
        ("pair:predict", json!({"instances": [[1, 2], {"a": 1}]}), 400, "row 1 is an object, row 0 a list"),
        ("pair:predict", json!({"instances": [{"a": 1, "c": 2}]}), 400, r#"missing inputs ["b"]"#),
        ("pair:predict", json!({"inputs": {"a": [1, 2], "b": [1]}}), 400, "\"b\" has 1 values"),
        ("pair:predict", json!({"inputs": {"a": [[1, 2]], "b": [1]}}), 400, "is a list of 2"),
        ("pair:predict", json!({"instances": [["x", 2]]}), 400, "a: expected a number"),
    ] {
        let reply = server.post(&format!("/v1/models/{path}"), &body);
        let told = reply.body["error"].as_str().unwrap_or_default();
        assert!(
            reply.status == status && told.contains(words),
            "{path} {body}: {} {}",
            reply.status,
            reply.body
        );
        assert_eq!(reply.body.as_object().map(serde_json::Map::len), Some(1));
    }
    for path in ["/v1/models/nope", "/v1/models/pair/versions/9", "/v1/models/pair/labels/none", "/v1/x"] {
        let reply = server.get(path);
        assert!(reply.status == 404 && reply.body["error"].is_string(), "{path}: {}", reply.body);
    }
    for verb in ["pair:classify", "pair/versions/1:regress"] {
        let reply = server.post(&format!("/v1/models/{verb}"), &json!({}));
        let told = reply.body["error"].as_str().unwrap_or_default();
        assert!(reply.status == 404 && told.contains("classify and regress take tf.Example"), "{told}");
    }
}
