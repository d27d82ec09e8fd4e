//! The demonstration's calls: every way to ask the same question has the same answer.

use serde_json::{Value as Json, json};

use crate::registry::import;
use crate::server::Server;

const QUERY: &str = "/predict?feature_set=vader&model_type=random_forest";

/// The names of the default model's features, with a value for each.
fn some_features(server: &Server) -> Vec<(String, f64)> {
    let model = server.get("/models/vader-random-forest").ok();
    let names = model["features"].as_array().expect("a list").iter();
    names.enumerate().map(|(at, name)| (name.as_str().expect("text").to_owned(), at as f64 / 64.0)).collect()
}

#[test]
fn the_default_entity_is_answered_by_every_name() {
    let server = Server::demo();
    let by_query = server.connect().request("POST", QUERY, None).ok();
    let prediction = &by_query["prediction"];
    let (down, up) = (&prediction["probability"]["down"], &prediction["probability"]["up"]);
    let (down, up) = (down.as_f64().expect("a number"), up.as_f64().expect("a number"));
    assert!((down + up - 1.0).abs() < 1e-12 && prediction["confidence"] == down.max(up), "{prediction}");
    assert_eq!(prediction["direction"], if up > down { "up" } else { "down" });
    assert_eq!(prediction["direction_numeric"], i32::from(up > down));

    let info = &by_query["model_info"];
    assert_eq!((&info["name"], &info["feature_set"]), (&json!("vader-random-forest"), &json!("vader")));
    assert_eq!((&info["features_used"], &info["imputed_features"]), (&json!(56), &json!([])));
    let digest = info["digest"].as_str().expect("a digest");
    assert!(digest.len() == 64 && digest.bytes().all(|b| b.is_ascii_hexdigit()), "{digest}");
    let features = &by_query["features"];
    assert_eq!((&features["source"], &features["entity"]), (&json!("cached"), &json!("BTC/USD")));

    for (path, body) in [
        ("/predict", json!({"model": "vader-random-forest"})),
        ("/predict", json!({"feature_set": "vader", "model_type": "random_forest", "symbol": "BTC/USD"})),
        (
            "/predict",
            json!({"model": "vader-random-forest", "entity": "BTC/USD", "model_version": "champion"}),
        ),
        ("/api/v1/predict", json!({"entity": "BTC/USD"})),
    ] {
        let answer = server.post(path, &body).ok();
        assert_eq!((&answer["prediction"], &answer["model_info"]), (prediction, info), "{path} {body}");
    }
    let prefixed = server.connect().request("POST", &format!("/api/v1{QUERY}"), None).ok();
    assert_eq!(&prefixed["prediction"], prediction);
    assert_eq!(&server.connect().request("POST", "/predict", None).ok()["prediction"], prediction);
}

#[test]
fn features_by_name_by_position_and_bare_are_the_same() {
    let server = Server::demo();
    let features = some_features(&server);
    assert_eq!(features.len(), 56);
    let named: Json = features.iter().map(|(name, value)| (name.clone(), json!(value))).collect();
    let row: Json = features.iter().map(|(_, value)| json!(value)).collect();
    let expected = server.post("/predict", &json!({"model": "vader-random-forest", "features": named})).ok();
    assert_eq!(expected["features"]["source"], "request");
    for body in [
        json!({"model": "vader-random-forest", "data": row}),
        json!({"model": "vader-random-forest", "data": [row]}),
        json!({"features": named}),
        named.clone(),
    ] {
        assert_eq!(server.post("/predict", &body).ok()["prediction"], expected["prediction"], "{body}");
    }
}

#[test]
fn a_time_is_as_of_then() {
    let server = Server::demo();
    let at = "2024-01-15T00:00:00Z";
    let body = json!({"model": "vader-gradient-boosting", "entity": "BTC/USD", "timestamp": at});
    let then = server.post("/predict", &body).ok();
    assert_eq!(then["features"]["timestamp"], "2024-01-15T00:00:00.000Z");
    assert_eq!(then["features"]["age_seconds"], 0.0);
    let later = json!({"model": "vader-gradient-boosting", "timestamp": "2024-01-15T01:30:00Z"});
    let later = server.post("/predict", &later).ok();
    assert_eq!(later["features"]["age_seconds"], 5400.0);
    assert_eq!(later["prediction"], then["prediction"]);
}

#[test]
fn both_sets_stand_side_by_side() {
    let server = Server::demo();
    let both = server.connect().request("POST", "/predict/both", None).ok();
    for set in ["vader", "finbert"] {
        let body = json!({"feature_set": set, "model_type": "random_forest"});
        let alone = server.post("/predict", &body).ok();
        assert_eq!(both[set]["prediction"], alone["prediction"]);
        assert_eq!(both[set]["model_info"], alone["model_info"]);
    }
    let label = |set: &str| both[set]["prediction"]["direction"].clone();
    assert_eq!(both["agreement"], label("vader") == label("finbert"));
    assert!(both["performance"]["total_response_time_ms"].is_number());
    for named in [
        json!({"model": "vader-random-forest"}),
        json!({"feature_set": "vader"}),
        json!({"symbol": "BTC", "horizon": "24h"}),
    ] {
        assert_eq!(server.post("/predict/both", &named).error().1, "conflicting_model", "{named}");
    }
    assert_eq!(server.post("/predict/both", &json!({"model_type": "gradient_boosting"})).status, 200);
    // Every path answers under the prefix, the first as well.
    for path in ["/api/v1", "/api/v1/"] {
        assert_eq!(server.get(path).ok()["endpoints"], server.get("/").ok()["endpoints"], "{path}");
    }
}

#[test]
fn a_bad_row_fails_alone() {
    let server = Server::demo();
    let alone = server.connect().request("POST", QUERY, None).ok();
    let rows = json!([{"entity": "BTC/USD"}, {"entity": "DOGE/XYZ"}, {"features": {"mood": "x"}}, {"entity": "BTC/USD"}]);
    let body = json!({"model": "vader-random-forest", "requests": rows});
    let batch = server.post("/predict/batch", &body).ok();
    assert_eq!((&batch["success"], &batch["count"], &batch["failed"]), (&json!(true), &json!(4), &json!(2)));
    let answers = &batch["predictions"];
    assert_eq!(answers[0]["prediction"], alone["prediction"]);
    assert_eq!(answers[3]["prediction"], alone["prediction"]);
    let expected = json!({
        "success": false, "code": "features_unavailable",
        "error": "no features for entity \"DOGE/XYZ\" in feature set \"vader\"",
    });
    assert_eq!(answers[1], expected);
    assert_eq!(answers[2]["code"], "invalid_features");
    assert_eq!(answers[2]["details"].as_array().map(Vec::len), Some(56), "{}", answers[2]);
    // Also where what is wrong with it is its type, or its JSON's.
    let (good, model) = (r#"{"entity": "BTC/USD"}"#, r#""model": "vader-random-forest""#);
    for row in [
        "5",
        "null",
        "[]",
        "\"x\"",
        r#"{"entity": 5}"#,
        r#"{"features": 5}"#,
        r#"{"explain": "x"}"#,
        r#"{"entity": "a", "entity": "a"}"#,
        r#"{"use_cached_features": "perhaps"}"#,
        r#"{"data": [[1], [2]]}"#,
    ] {
        for word in ["requests", "instances"] {
            let body = format!("{{{model}, \"{word}\": [{good}, {row}, {good}]}}");
            let told = server
                .connect()
                .text("POST", "/predict/batch", &[("content-type", "application/json")], &body)
                .ok();
            assert_eq!((&told["count"], &told["failed"]), (&json!(3), &json!(1)), "{word} {row}: {told}");
            assert_eq!(told["predictions"][0]["prediction"], alone["prediction"], "{row}");
            assert_eq!(told["predictions"][2]["prediction"], alone["prediction"], "{row}");
            assert!(told["predictions"][1]["error"].is_string(), "{row}: {told}");
        }
    }
    let symbols = json!({"model": "vader-random-forest", "symbols": ["BTC/USD", 5]});
    assert_eq!(server.post("/predict/batch", &symbols).ok()["failed"], 1);
    // What is no batch, or no JSON, is refused as a whole.
    for (body, status) in [
        (r#"{"requests": 5}"#, 422),
        (r#"{"requests": [{}], "nope": 1}"#, 422),
        (r#"{"requests": [5], "nope": 1}"#, 422),
        (r#"{"requests": [{}, {]}"#, 400),
        (r#"{"requests": [5}"#, 400),
        (r#"[{"entity": "BTC/USD"}, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]"#, 422),
    ] {
        let told =
            server.connect().text("POST", "/predict/batch", &[("content-type", "application/json")], body);
        assert_eq!(told.status, status, "{body}: {}", told.body);
        assert!(!body.contains("nope") || told.body.to_string().contains("nope"), "{}", told.body);
    }
}

#[test]
fn a_long_batch_is_answered_whole_and_in_order() {
    let server = Server::demo();
    let names: Vec<String> = (0..300).map(|row| format!("nobody-{row}")).collect();
    let mut rows: Vec<Json> = names.iter().map(|name| json!({ "entity": name })).collect();
    rows[130] = json!({ "entity": "BTC/USD" });
    rows[299] = json!({ "timestamp": "some day" });
    let body = json!({ "model": "vader-random-forest", "requests": rows });
    let batch = server.post("/predict/batch", &body).ok();
    assert_eq!(
        (&batch["count"], &batch["failed"], &batch["success"]),
        (&json!(300), &json!(299), &json!(true))
    );
    let answers = batch["predictions"].as_array().expect("a list");
    for (name, answer) in
        names.iter().zip(answers).enumerate().filter(|(at, _)| ![130, 299].contains(at)).map(|(_, pair)| pair)
    {
        let error = answer["error"].as_str().expect("an error");
        assert!(error.contains(&format!("{name:?}")), "{name}: {error}");
    }
    let alone = server.connect().request("POST", QUERY, None).ok();
    assert_eq!((answers.len(), &answers[130]["prediction"]), (300, &alone["prediction"]));
    assert_eq!(answers[299]["success"], false);
    assert!(batch["request_id"].is_string() && batch["timestamp"].is_string());
    let empty = server.post("/predict/batch", &json!({ "requests": [] })).ok();
    assert_eq!((&empty["predictions"], &empty["count"]), (&json!([]), &json!(0)));
}

#[test]
fn features_that_are_missing_are_listed_where_the_model_has_its_own_rule() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    import(folder.path(), "cells", "v1", &[]);
    let server = Server::of(&folder.path().join("registry"));
    let names = server.get("/models/cells").ok()["features"].clone();
    let names = names.as_array().expect("a list");
    let told = |answer: &Json| answer["model_info"]["imputed_features"].clone();

    let features = json!({"mean_area": 800.0, "mean_texture": null, "worst_radius": 20.0});
    let answer = server.post("/predict", &json!({"model": "cells", "features": features})).ok();
    let absent: Vec<&Json> =
        names.iter().filter(|name| **name != "mean_area" && **name != "worst_radius").collect();
    assert!(absent.len() == 28 && absent.contains(&&json!("mean_texture")));
    assert_eq!(told(&answer), json!(absent));

    let mut row = vec![json!(0.5); names.len()];
    let request = |row: &[Json]| server.post("/predict", &json!({"model": "cells", "data": row})).ok();
    assert_eq!(told(&request(&row)), json!([]));
    row[3] = Json::Null;
    let alone = request(&row);
    assert_eq!(told(&alone), json!([names[3]]));
    let batch = server.post("/predict/batch", &json!({"model": "cells", "requests": [{"data": row}]})).ok();
    assert_eq!(told(&batch["predictions"][0]), told(&alone));
}

#[test]
fn a_request_keeps_its_id() {
    let server = Server::demo();
    let mut client = server.connect();
    let headers = [("x-request-id", "order-4711"), ("content-type", "application/json")];
    let reply = client.text("POST", "/predict", &headers, "{}");
    assert_eq!(reply.header("x-request-id"), Some("order-4711"));
    assert_eq!(reply.ok()["request_id"], "order-4711");
    let (first, second) = (client.request("POST", QUERY, None), client.request("POST", QUERY, None));
    assert_eq!(first.header("x-request-id"), first.body["request_id"].as_str());
    assert_ne!(first.body["request_id"], second.body["request_id"]);
    assert_ne!(first.body["prediction_id"], second.body["prediction_id"]);
}
