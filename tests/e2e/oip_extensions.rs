//! Extensions of the Open Inference Protocol beside tensors: the model's configuration, statistics, the model repository,
//! `timeout`; and a model of texts.

use std::fs;
use std::path::Path;

use serde_json::{Value as Json, json};
use tempfile::TempDir;

use crate::oip::cells;
use crate::server::{Server, ctl_ok, repository};

/// LightGBM's model of numbers and texts.
fn shop() -> (TempDir, Server) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let registry = folder.path().join("registry");
    let model = repository().join("tests/golden/lightgbm/binary-pandas/model.txt");
    let flag = format!("--registry={}", registry.display());
    ctl_ok(["import", &flag, "--name", "shop", "--version", "v1", &model.display().to_string()]);
    let server = Server::of(&registry);
    (folder, server)
}

/// A row of LightGBM's answers whose codes are all known: size, colour and shop as codes, price, probabilities.
fn golden_row() -> Vec<f64> {
    let path: &Path = &repository().join("tests/golden/lightgbm/binary-pandas/golden.csv");
    let text = fs::read_to_string(path).expect("golden answers");
    let cells =
        |line: &str| line.split(',').map(|cell| cell.parse::<f64>().ok()).collect::<Option<Vec<f64>>>();
    let rows = text.lines().skip(1).map(cells);
    let known = |row: &Vec<f64>| row[1] >= 0.0 && row[1] < 5.0 && row[2] >= 0.0 && row[2] < 40.0;
    let mut rows = rows.flatten();
    rows.find(known).expect("a row without a missing value")
}

#[test]
fn texts_come_as_json_and_as_binary() {
    let (_folder, server) = shop();
    let row = golden_row();
    let colours = ["a \"q\"", "blue", "green", "red", "日本"];
    let shops: Vec<f64> = [-30.0, -20.0].into_iter().chain((-1..37).map(|at| f64::from(at) * 10.0)).collect();
    let (colour, number) = (colours[row[1] as usize], shops[row[2] as usize]);
    let values = [("size", row[0]), ("shop", number), ("price", row[3])];
    let mut inputs: Vec<Json> = values
        .iter()
        .map(|(name, x)| json!({"name": name, "datatype": "FP64", "shape": [1, 1], "data": [x]}))
        .collect();
    let text = json!({"name": "colour", "datatype": "BYTES", "shape": [1, 1]});
    let with = |key: &str, value: Json| {
        let mut text = text.clone();
        text[key] = value;
        text
    };
    inputs.push(with("data", json!([colour])));
    let path = "/v2/models/shop/infer";
    let in_json = server.post(path, &json!({"inputs": inputs})).ok();
    for (got, expected) in in_json["outputs"][1]["data"].as_array().expect("a list").iter().zip(&row[5..]) {
        assert!((got.as_f64().expect("a number") - expected).abs() <= 1e-12, "{got} and {expected}");
    }
    let element =
        |bytes: &[u8]| [&u32::try_from(bytes.len()).expect("short").to_le_bytes()[..], bytes].concat();
    let mut send = |binary: &[u8]| {
        inputs[3] = with("parameters", json!({"binary_data_size": binary.len()}));
        let body = json!({"inputs": inputs}).to_string();
        let length = body.len().to_string();
        let body = [body.as_bytes(), binary].concat();
        server.connect().bytes("POST", path, &[("inference-header-content-length", &length)], &body)
    };
    assert_eq!(send(&element(colour.as_bytes())).ok()["outputs"], in_json["outputs"]);
    for (binary, expected) in [
        (element(colour.as_bytes())[..5].to_vec(), "element 0: expected"),
        (vec![1, 0], "element 0: expected a length of 4 bytes, 2 bytes are left"),
        (vec![255; 8], "element 0: expected 4294967295 bytes, 4 bytes are left"),
        ([element(b"red"), element(b"red")].concat(), "does not hold the 2 elements given"),
        (element(&[0xff]), "invalid utf-8"),
    ] {
        let reply = send(&binary);
        let told = reply.body["error"].as_str().unwrap_or_default();
        assert!(reply.status == 400 && told.contains(expected), "{} {told}", reply.status);
    }
    let metadata = server.get("/v2/models/shop").ok();
    let tensor = json!({"name": "colour", "datatype": "BYTES", "shape": [-1, 1]});
    assert_eq!(metadata["inputs"][1], tensor);
    let config = server.get("/v2/models/shop/config").ok();
    assert_eq!(config["input"][1]["data_type"], "TYPE_STRING");
}

#[test]
fn the_configuration_tells_dimensions_without_rows() {
    let (_folder, server) = cells();
    let config = server.get("/v2/models/cells/config").ok();
    assert_eq!(server.get("/v2/models/cells/versions/v1/config").ok(), config);
    assert_eq!((&config["name"], &config["max_batch_size"]), (&json!("cells"), &json!(10_000)));
    assert_eq!(config["input"], json!([{"name": "input", "data_type": "TYPE_FP64", "dims": [30]}]));
    let outputs = json!([
        {"name": "predict", "data_type": "TYPE_INT64", "dims": [1]},
        {"name": "predict_proba", "data_type": "TYPE_FP64", "dims": [2]},
    ]);
    assert_eq!(config["output"], outputs);
    assert_eq!(server.get("/v2/models/nope/config").status, 404);
}

#[test]
fn statistics_are_what_happened() {
    let (_folder, server) = cells();
    let stats = |path: &str| server.get(path).ok()["model_stats"].as_array().cloned().expect("a list");
    let fresh = stats("/v2/models/stats");
    assert_eq!(fresh.len(), 1);
    assert_eq!((&fresh[0]["inference_count"], &fresh[0]["last_inference"]), (&json!(0), &json!(0)));
    let rows = |count: usize| json!({"inputs": [{"name": "x", "datatype": "FP64", "shape": [count, 30], "data": vec![0.5; 30 * count]}]});
    for count in [1, 3, 3, 200] {
        server.post("/v2/models/cells/infer", &rows(count)).ok();
    }
    let wrong = json!({"inputs": [{"name": "x", "datatype": "FP64", "shape": [1, 2], "data": [1, 2]}]});
    assert_eq!(server.post("/v2/models/cells/infer", &wrong).status, 400);
    server.post("/predict", &json!({"model": "cells", "data": vec![0.5; 30]})).ok();
    let batch = json!({"requests": [{"data": vec![0.5; 30]}, {"data": [1]}], "model": "cells"});
    server.post("/predict/batch", &batch).ok();
    // Whatever protocol asks.
    server.post("/invocations", &json!({"instances": vec![vec![0.5; 30]; 5]})).ok();
    assert_eq!(server.post("/invocations", &json!({"instances": [[1]]})).status, 400);
    let csv = server.connect().text("POST", "/invocations", &[("content-type", "text/csv")], "a,b\n1,2\n");
    assert_eq!(csv.status, 400);
    for path in ["/v1/models/cells:predict", "/v1/models/cells/labels/champion:explain"] {
        server.post(path, &json!({"instances": vec![vec![0.5; 30]; 2]})).ok();
        assert_eq!(server.post(path, &json!({"instances": "x"})).status, 400);
    }
    let [told] = &stats("/v2/models/cells/versions/v1/stats")[..] else { unreachable!("one version") };
    assert_eq!((&told["name"], &told["version"]), (&json!("cells"), &json!("v1")));
    assert_eq!((&told["inference_count"], &told["execution_count"]), (&json!(218), &json!(9)));
    let count = |what: &str| told["inference_stats"][what]["count"].as_u64();
    let counts = [
        "success",
        "fail",
        "queue",
        "compute_input",
        "compute_infer",
        "compute_output",
        "cache_hit",
        "cache_miss",
    ];
    assert_eq!(counts.map(count), [9, 6, 9, 9, 9, 9, 0, 0].map(Some));
    assert!(told["inference_stats"]["compute_infer"]["ns"].as_u64() > Some(0));
    assert!(
        told["inference_stats"]["success"]["ns"].as_u64()
            > told["inference_stats"]["compute_infer"]["ns"].as_u64()
    );
    assert!(told["last_inference"].as_u64() > Some(1_700_000_000_000));
    let batches: Vec<_> = told["batch_stats"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|batch| (batch["batch_size"].as_u64(), batch["compute_infer"]["count"].as_u64()))
        .collect();
    assert_eq!(
        batches,
        [(1, 3), (2, 2), (3, 2), (5, 1), (256, 1)].map(|(size, count)| (Some(size), Some(count)))
    );
    assert_eq!(stats("/v2/models/cells/stats"), *std::slice::from_ref(told));
    assert_eq!(server.get("/v2/models/nope/stats").status, 404);
    assert_eq!(server.get("/v2/models/cells/versions/v9/stats").status, 404);
}

#[test]
fn the_repository_lists_loads_and_unloads() {
    let (_folder, server) = cells();
    let index = |body: Json| server.post("/v2/repository/index", &body).ok();
    let entry = |state: &str, reason: &str| json!([{"name": "cells", "version": "v1", "state": state, "reason": reason}]);
    assert_eq!(index(json!({})), entry("READY", ""));
    let change = |what: &str, body: Json| server.post(&format!("/v2/repository/models/cells/{what}"), &body);
    let unloaded = json!({"name": "cells", "unload": true});
    assert_eq!(change("unload", json!({"parameters": {"unload_dependents": false}})).ok(), unloaded);
    // Freed behind the answer.
    crate::server::eventually("the version is freed", || {
        (index(json!({})) == entry("UNAVAILABLE", "not loaded")).then_some(())
    });
    assert_eq!(index(json!({"ready": true})), json!([]));
    assert_eq!(server.get("/v2/models/cells/ready").status, 503);
    assert_eq!(change("unload", json!({})).ok(), unloaded);
    assert_eq!(change("load", json!({})).ok(), json!({"name": "cells", "load": true}));
    assert_eq!(server.get("/v2/models/cells/ready").status, 200);
    assert_eq!(index(json!({"ready": true})), entry("READY", ""));
    let refused = change("load", json!({"parameters": {"config": "{}"}}));
    assert_eq!(refused.status, 400, "{}", refused.body);
    for what in ["load", "unload"] {
        let reply = server.post(&format!("/v2/repository/models/nope/{what}"), &json!({}));
        let expected = json!({"error": "Request for unknown model: \"nope\" is not found"});
        assert_eq!((reply.status, reply.body), (404, expected));
    }
}

#[test]
fn a_request_that_nobody_waits_for_is_not_computed() {
    let (_folder, server) = cells();
    let input = json!({"name": "x", "datatype": "FP64", "shape": [1, 30], "data": vec![0.5; 30]});
    let ask = |parameters: Json| {
        server.post("/v2/models/cells/infer", &json!({"inputs": [input], "parameters": parameters}))
    };
    let expired = ask(json!({"timeout": 1}));
    assert_eq!(expired.status, 408, "{}", expired.body);
    assert_eq!(expired.body["error"], "the request's deadline of 1us has passed");
    let ignored = json!({"timeout": 0, "priority": 1, "sequence_id": 7, "headers": {"a": "b"}, "mine": [1]});
    ask(ignored).ok();
    ask(json!({"timeout": u64::MAX})).ok();
    let stats = server.get("/v2/models/cells/stats").ok();
    assert_eq!(stats["model_stats"][0]["execution_count"], 2);
    assert_eq!(ask(json!({"timeout": -1})).status, 400);
}
