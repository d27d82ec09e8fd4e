//! The list "Reference documents" of docs/http-api.md, walked: each path and shape of the five documents against a server of
//! the demonstration.

use std::path::Path;

use serde_json::{Value as Json, json};

use crate::registry::{import, train};
use crate::server::{Server, ctl_ok};

#[test]
fn prediction_service_phase_4() {
    let server = Server::demo();
    let index = server.get("/").ok();
    assert!(index["name"].is_string());
    assert!(server.get("/health").ok()["models_loaded"].as_u64().is_some_and(|n| n > 0));
    let available = &server.get("/models").ok()["available_models"];
    assert!(available["vader"].is_array() && available["finbert"].is_array());
    for set in ["vader", "finbert"] {
        for query in ["", "&use_cached_features=true"] {
            let path = format!("/predict?feature_set={set}&model_type=random_forest{query}");
            let answer = server.connect().request("POST", &path, None).ok();
            let prediction = &answer["prediction"];
            assert!(prediction["direction"].is_string() && prediction["direction_numeric"].is_u64());
            assert!(prediction["probability"]["up"].is_f64() && prediction["confidence"].is_f64());
            let info = &answer["model_info"];
            assert_eq!((&info["feature_set"], &info["model_type"]), (&json!(set), &json!("random_forest")));
            assert!(info["model_version"].is_string() && info["features_used"].is_u64());
            assert!(answer["performance"]["response_time_ms"].is_number());
            assert_eq!(answer["performance"]["cached_features"], true);
        }
    }
    let both = server.connect().request("POST", "/predict/both", None).ok();
    assert!(both["vader"]["success"] == true && both["finbert"]["success"] == true);
    assert!(both["agreement"].is_boolean() && both["performance"]["total_response_time_ms"].is_number());
    let reload = "/models/reload?feature_set=vader&model_type=random_forest";
    let reloaded = server.connect().request("POST", reload, None).ok();
    assert!(reloaded["success"] == true && reloaded["models"][0]["to"].is_string(), "{reloaded}");
    let refused = server.connect().request("POST", "/predict?feature_set=vader&model_type=none", None);
    assert_eq!(refused.body["success"], false);
    assert!(refused.body["error"].is_string() && refused.body["timestamp"].is_string());
}

#[test]
fn model_serving_documentation() {
    let server = Server::demo();
    let one = json!({
        "symbol": "BTC/USD", "timestamp": "2024-01-15T00:00:00Z", "features": {"mood": 0.5}, "model_version": "latest",
    });
    let answer = server.post("/predict", &one).ok();
    assert_eq!(
        (&answer["features"]["source"], &answer["features"]["entity"]),
        (&json!("mixed"), &json!("BTC/USD"))
    );
    let row = json!({"symbol": "BTC/USD", "timestamp": "2024-01-15T00:00:00Z"});
    let batch = json!({"requests": [row, {"symbol": "ETH/USDT"}], "model_version": "latest"});
    let batch = server.post("/predict/batch", &batch).ok();
    assert_eq!((&batch["count"], &batch["failed"]), (&json!(2), &json!(1)), "{batch}");
    assert_eq!(batch["predictions"][0]["features"]["entity"], "BTC/USD");
    let model = &server.get("/models").ok()["models"][0];
    for key in ["name", "version", "status", "accuracy", "training_date", "features"] {
        assert!(!model[key].is_null(), "{key} in {model}");
    }
    let versions = server.get("/models/vader-random-forest/versions").ok();
    assert_eq!(versions["model_name"], "vader-random-forest");
    for key in ["version", "status", "accuracy", "training_date"] {
        assert!(!versions["versions"][0][key].is_null(), "{key} in {versions}");
    }
}

#[test]
fn model_serving_architecture() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    train(folder.path(), "pair", "v1", 1);
    let server = Server::of(&folder.path().join("registry"));
    let flat = json!({"a": 3.5, "b": 4.25});
    let answer = server.post("/predict", &flat).ok();
    assert!(answer["prediction"].is_object() && answer["timestamp"].is_string());
    for instances in [json!([flat, flat]), json!([[3.5, 4.25], {"features": flat}])] {
        let batch = server.post("/predict/batch", &json!({"instances": instances})).ok();
        assert_eq!((&batch["count"], &batch["failed"]), (&json!(2), &json!(0)), "{batch}");
        assert_eq!(batch["predictions"][1]["prediction"], answer["prediction"]);
    }
    let info = server.get("/model/info").ok();
    for key in ["name", "version", "task", "hyperparameters", "metrics", "training_date", "signature"] {
        assert!(!info[key].is_null(), "{key} in {info}");
    }
    assert_eq!(server.get("/models/pair").ok()["signature"], info["signature"]);
    assert_eq!(server.get("/model/info?model=nope").error().1, "unknown_model");
    let id = server.connect().text(
        "POST",
        "/predict?model_version=v1",
        &[("x-request-id", "r-1")],
        r#"{"a":1,"b":2}"#,
    );
    assert_eq!((id.header("x-request-id"), id.status), (Some("r-1"), 200));
    let outside = server.post("/predict", &json!({"a": "high", "b": 1}));
    assert_eq!(outside.error().0, 422);
}

#[test]
fn model_serving_api() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    import(folder.path(), "cells", "v1.0", &["--model-type", "cnn_lstm_hybrid", "--feature-set", "cells"]);
    let server = Server::of(&folder.path().join("registry"));
    let row = vec![1.0; 30];
    let one = json!({"model_type": "cnn_lstm_hybrid", "model_version": "latest", "data": [row]});
    let answer = server.post("/api/v1/predict", &one).ok();
    assert!(answer["request_id"].is_string() && answer["model_info"]["model_version"] == "v1.0");
    for (key, why) in [("return_uncertainty", "no second figure"), ("use_ensemble", "a model of its own")] {
        let mut asked = one.clone();
        asked[key] = json!(true);
        let reply = server.post("/api/v1/predict", &asked);
        let (status, code, message) = reply.error();
        assert_eq!((status, code), (422, "not_supported"));
        assert!(message.contains(why), "{message}");
        asked[key] = json!(false);
        assert_eq!(server.post("/api/v1/predict", &asked).status, 200);
    }
    let batch = json!({"requests": [one, one], "priority": 1});
    assert_eq!(server.post("/api/v1/predict/batch", &batch).ok()["count"], 2);

    let load = json!({"model_type": "cnn_lstm_hybrid", "version": "v1.0"});
    let loaded = server.post("/api/v1/models/load", &load).ok();
    assert_eq!((&loaded["name"], &loaded["version"]), (&json!("cells"), &json!("v1.0")));
    let mut with_path = load.clone();
    with_path["file_path"] = json!("/etc/passwd");
    let reply = server.post("/api/v1/models/load", &with_path);
    let (status, code, message) = reply.error();
    assert_eq!((status, code), (422, "not_supported"));
    assert!(message.contains("serve-ctl import") && !message.contains("passwd"), "{message}");
    let two = json!({"model_type": "cnn_lstm_hybrid", "version": "v1.0", "model_version": "v2"});
    assert_eq!(server.post("/models/load", &two).error().1, "conflicting_request");

    assert!(server.get("/api/v1/models/cache/stats").ok()["hits"].is_u64());
    let types = server.get("/api/v1/models/types").ok();
    assert_eq!(types["model_types"], json!(["cnn_lstm_hybrid"]));
    let warmed = server.connect().request("POST", "/api/v1/models/warmup", None).ok();
    assert_eq!(warmed["models"][0]["status"], "live");
    assert_eq!(server.get("/api/v1/health").status, 200);
    assert_eq!(server.get("/api/v1/metrics").status, 200);
}

/// A feature store with a row of the model's two features for whoever is named.
fn stored(folder: &Path) -> String {
    let path = |name: &str| folder.join(name).display().to_string();
    let store = format!("sqlite://{}", path("features.db"));
    let rows =
        "entity,timestamp,a,b\nBTC,2025-01-01T00:00:00Z,3.5,4.25\nETH,2025-01-01T00:00:00Z,40.5,9.25\n";
    std::fs::write(path("rows.csv"), rows).expect("writes");
    ctl_ok(["features", "migrate", "--features", &store]);
    ctl_ok(["features", "ingest", "--features", &store, "--set", "hourly", &path("rows.csv")]);
    store
}

#[test]
fn production_model_serving() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for name in ["btc-24h", "eth-24h"] {
        train(folder.path(), name, "v1", 1);
    }
    let store = stored(folder.path());
    let registry = folder.path().join("registry").display().to_string();
    let server = Server::start(["--registry", &registry, "--features", &store], &[]);
    // The model is the symbol's; its features come with the request, or from a set, which these models do not name.
    let serve = json!({"symbol": "BTC", "horizon": "24h", "features": {"a": 3.5, "b": 4.25}});
    let answer = server.post("/api/ml/serve", &serve).ok();
    assert_eq!(answer["model_info"]["name"], "btc-24h");
    let batch = server.post("/api/ml/batch", &json!({"symbols": ["BTC", "ETH"], "horizon": "24h"})).ok();
    assert_eq!(batch["count"], 2);
    let told = |at: usize| batch["predictions"][at]["error"].as_str().unwrap_or_default().to_owned();
    assert!(told(0).contains("btc-24h") && told(1).contains("eth-24h"), "{batch}");
    assert_eq!(
        server.post("/predict/batch", &json!({"symbols": ["BTC"], "horizon": "24h"})).ok()["count"],
        1
    );
    let unknown = server.post("/api/ml/serve", &json!({"symbol": "DOGE", "horizon": "24h"}));
    assert_eq!((unknown.error().0, unknown.error().1), (404, "unknown_model"));
    for body in [json!({}), json!({"symbols": [], "requests": []}), json!({"requests": [], "horizon": "24h"})]
    {
        assert_eq!(server.post("/api/ml/batch", &body).error().1, "invalid_request", "{body}");
    }
}

#[test]
fn symbols_are_entities_where_no_horizon_names_a_model() {
    let server = Server::demo();
    let body = json!({"symbols": ["BTC/USD", "DOGE/XYZ"], "model": "vader-random-forest"});
    let batch = server.post("/predict/batch", &body).ok();
    let alone = server.post("/predict", &json!({"model": "vader-random-forest", "symbol": "BTC/USD"})).ok();
    assert_eq!(batch["predictions"][0]["prediction"], alone["prediction"]);
    assert_eq!(batch["predictions"][1]["code"], "features_unavailable");
}

#[test]
fn what_is_left_out_says_why() {
    let server = Server::demo();
    for (method, path, why) in [
        ("POST", "/api/v1/experiments/create", "no experiments yet"),
        ("GET", "/api/v1/experiments", "no experiments yet"),
        ("GET", "/api/v1/experiments/x/results", "no experiments yet"),
        ("DELETE", "/api/v1/experiments/x", "no experiments yet"),
        ("POST", "/api/ml/train", "serve-ctl train"),
        ("GET", "/api/ml/train/status?request_id=1", "serve-ctl train"),
        ("GET", "/api/ml/performance/BTC", "not tracked yet"),
        ("POST", "/api/ml/performance/track", "not tracked yet"),
    ] {
        let reply = server.connect().request(method, path, Some(&Json::Null));
        let (status, code, message) = reply.error();
        assert_eq!((status, code), (404, "unknown_path"), "{path}");
        assert!(message.contains(why), "{path}: {message}");
    }
}
