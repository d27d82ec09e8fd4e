//! The Open Inference Protocol on a LightGBM model, and its parity with `/predict` and with LightGBM.

use std::fs;

use serde_json::{Value as Json, json};
use tempfile::TempDir;

use crate::registry::{golden, import};
use crate::server::Server;

pub(crate) fn cells() -> (TempDir, Server) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    import(folder.path(), "cells", "v1", &[]);
    let server = Server::of(&folder.path().join("registry"));
    (folder, server)
}

/// The first rows without empty cells of LightGBM's own answers: names of the features, rows, and probabilities.
pub(crate) fn answers() -> (Vec<String>, Vec<Vec<f64>>, Vec<Vec<f64>>) {
    let text = fs::read_to_string(golden("golden.csv")).expect("golden answers");
    let mut lines = text.lines();
    let names = lines.next().expect("a header").split(',').take(30).map(str::to_owned).collect();
    let numbers = |line: &str| line.split(',').map(|cell| cell.parse().ok()).collect::<Option<Vec<f64>>>();
    let rows = lines.filter_map(numbers).filter(|row| row.iter().all(|x| x.is_finite()));
    let (rows, scores) = rows.take(5).map(|row| (row[..30].to_vec(), row[31..].to_vec())).unzip();
    (names, rows, scores)
}

#[test]
fn metadata_tells_the_tensors() {
    let (_folder, server) = cells();
    let (names, _, _) = answers();
    let model = server.get("/v2/models/cells").ok();
    assert_eq!((&model["name"], &model["versions"]), (&json!("cells"), &json!(["v1"])));
    let input = json!({"name": "input", "datatype": "FP64", "shape": [-1, 30], "parameters": {"feature_names": names}});
    assert_eq!(model["inputs"], json!([input]));
    let outputs = json!([
        {"name": "predict", "datatype": "INT64", "shape": [-1, 1]},
        {"name": "predict_proba", "datatype": "FP64", "shape": [-1, 2], "parameters": {"classes": ["0", "1"]}},
    ]);
    assert_eq!(model["outputs"], outputs);
    assert_eq!(server.get("/v2/models/cells/versions/v1").ok(), model);
    assert_eq!(server.get("/v2/models/cells/ready").ok(), json!({"name": "cells", "ready": true}));
    assert_eq!(server.get("/v2/health/live").ok(), json!({"live": true}));
    assert_eq!(server.get("/v2/health/ready").ok(), json!({"ready": true}));
    assert_eq!(server.get("/v2").ok()["name"], "serve");
}

#[test]
fn a_matrix_and_a_tensor_per_feature_are_answered_as_lightgbm_and_predict_answer() {
    let (_folder, server) = cells();
    let (names, rows, scores) = answers();
    let count = rows.len();
    let matrix = json!({"id": "x1", "inputs": [{"name": "any", "datatype": "FP64", "shape": [count, 30], "data": rows}]});
    let answer = server.post("/v2/models/cells/infer", &matrix).ok();
    assert_eq!((&answer["model_version"], &answer["id"]), (&json!("v1"), &json!("x1")));
    let output = |at: usize| &answer["outputs"][at];
    assert_eq!((&output(0)["name"], &output(0)["shape"]), (&json!("predict"), &json!([count, 1])));
    assert_eq!((&output(1)["name"], &output(1)["shape"]), (&json!("predict_proba"), &json!([count, 2])));
    let got: Vec<f64> =
        output(1)["data"].as_array().expect("a list").iter().filter_map(Json::as_f64).collect();
    for (got, expected) in got.iter().zip(scores.concat()) {
        assert!((got - expected).abs() <= 1e-12, "{got} and {expected}");
    }
    for (at, row) in rows.iter().enumerate() {
        let alone = server.post("/predict", &json!({"model": "cells", "data": row})).ok();
        let probability = json!({"0": got[2 * at], "1": got[2 * at + 1]});
        assert_eq!(alone["prediction"]["probability"], probability);
        assert_eq!(alone["prediction"]["label_numeric"], output(0)["data"][at]);
    }
    let column = |at: usize| rows.iter().map(|row| row[at]).collect::<Vec<_>>();
    let tensor =
        |(at, name)| json!({"name": name, "datatype": "FP64", "shape": [count, 1], "data": column(at)});
    let inputs: Vec<Json> = names.iter().enumerate().map(tensor).collect();
    let by_feature = server.post("/v2/models/cells/versions/v1/infer", &json!({"inputs": inputs})).ok();
    assert_eq!(by_feature["outputs"], answer["outputs"]);
}

#[test]
fn outputs_are_those_asked_for_and_null_is_missing() {
    let (_folder, server) = cells();
    let mut row = vec![json!(1.0); 30];
    row[29] = Json::Null;
    let input = json!({"name": "x", "datatype": "FP64", "shape": [1, 30], "data": row});
    let body = json!({"inputs": [input], "outputs": [{"name": "predict_proba"}]});
    let answer = server.post("/v2/models/cells/infer", &body).ok();
    assert_eq!(answer["outputs"].as_array().map(Vec::len), Some(1));
    let data = &answer["outputs"][0]["data"];
    let alone = server.post("/predict", &json!({"model": "cells", "data": row})).ok();
    assert_eq!(alone["prediction"]["probability"], json!({"0": data[0], "1": data[1]}));
    let wrong = json!({"inputs": [input], "outputs": [{"name": "shap"}]});
    let reply = server.post("/v2/models/cells/infer", &wrong);
    let expected = json!({"error": "unknown output \"shap\"; the model has predict, predict_proba"});
    assert_eq!((reply.status, reply.body), (400, expected));
}

#[test]
fn what_has_to_be_an_object_is_no_list() {
    let server = Server::demo();
    let tensor = json!({"name": "input", "shape": [1, 1], "datatype": "FP64", "data": [1.0]});
    for body in [
        json!({"inputs": [["input", [1, 1], "FP64", [1.0]]]}),
        json!({"inputs": [tensor], "outputs": [["predict"]]}),
        json!({"inputs": [tensor], "parameters": [true]}),
    ] {
        let told = server.post("/v2/models/vader-random-forest/infer", &body);
        let error = told.body["error"].as_str().unwrap_or_default();
        assert!(told.status == 400 && error.contains("expected an object"), "{error}");
    }
}

#[test]
fn an_unknown_model_is_told_in_the_protocols_words() {
    let (_folder, server) = cells();
    let expected = json!({"error": "Request for unknown model: \"nope\" is not found"});
    let infer = server.post("/v2/models/nope/infer", &json!({"inputs": []}));
    assert_eq!((infer.status, &infer.body), (404, &expected));
    for path in ["/v2/models/nope", "/v2/models/nope/ready"] {
        let reply = server.get(path);
        assert_eq!((reply.status, &reply.body), (404, &expected), "{path}");
    }
    let reply = server.get("/v2/models/cells/versions/v9/ready");
    let expected = json!({"error": "Request for unknown model: \"cells\" version \"v9\" is not found"});
    assert_eq!((reply.status, &reply.body), (404, &expected));
    assert_eq!(server.get("/v2/repository/index").status, 405);
    assert_eq!(server.get("/v2/trace/setting").status, 404);
}
