//! Features over HTTP: stored, computed, either; how fresh; overridden; sent, looked up and traced; and a store that goes
//! away while clients ask.

use std::fs;
use std::path::Path;

use serde_json::{Value as Json, json};
use tempfile::TempDir;

use crate::registry::{import, train};
use crate::server::{Reply, Server, ctl, ctl_ok};

const STORED: &str = "/predict?feature_set=vader&model_type=random_forest";

fn ask(server: &Server, more: &str) -> Reply {
    server.connect().request("POST", &format!("{STORED}{more}"), None)
}

#[test]
fn computed_on_demand_is_the_stored_row_bit_for_bit() {
    let server = Server::demo();
    let stored = ask(&server, "").ok();
    let computed = ask(&server, "&use_cached_features=false").ok();
    assert_eq!(computed["prediction"], stored["prediction"]);
    assert_eq!(
        (&stored["features"]["source"], &computed["features"]["source"]),
        (&json!("cached"), &json!("computed"))
    );
    assert_eq!(stored["features"]["timestamp"], computed["features"]["timestamp"]);
    assert_eq!(stored["performance"]["cached_features"], true);
    assert_eq!(computed["performance"]["cached_features"], false);

    for at in ["2025-03-30T00:00:00Z", "2024-01-15T00:00:00Z", "2021-06-01T12:00:00Z"] {
        let row = server.get(&format!("/features/vader/BTC%2FUSD?timestamp={at}")).ok();
        assert_eq!(row["entity"], "BTC/USD");
        let features = row["features"].as_object().expect("by name");
        assert_eq!(features.len(), 56);
        for (name, feature) in features {
            let bits = |value: &Json| value.as_f64().map(f64::to_bits);
            assert_eq!(bits(&feature["stored"]), bits(&feature["computed"]), "{name} at {at}");
            assert!(feature["expression"].is_string(), "{name}");
        }
        let price = &row["sources"][0];
        assert_eq!((&price["name"], &price["table"]), (&json!("price"), &json!("price_data")));
        assert!(price["newest_rows"][0]["values"]["close"].is_number(), "{price}");
    }
}

#[test]
fn auto_is_stored_while_fresh_and_computed_after() {
    let server = Server::demo();
    assert_eq!(ask(&server, "&use_cached_features=auto").ok()["features"]["source"], "cached");
    // The newest day lies years back: no row of it is an hour old.
    let stale = ask(&server, "&max_age=1h");
    assert_eq!((stale.error().0, stale.error().1), (422, "features_stale"));
    assert_eq!(stale.body["details"]["max_age_seconds"], 3600.0);
    assert!(stale.body["details"]["age_seconds"].as_f64().is_some_and(|age| age > 3600.0));
    let auto = ask(&server, "&use_cached_features=auto&max_age=1h");
    assert_eq!((auto.error().0, auto.error().1), (422, "features_stale"));
    // As of then the same row is fresh, and its age is measured against then.
    let then = ask(&server, "&max_age=1h&timestamp=2024-01-15T00:30:00Z").ok();
    assert_eq!(then["features"]["age_seconds"], 1800.0);
    assert_eq!(then["features"]["max_age_seconds"], 3600.0);
    assert_eq!(ask(&server, "&max_age=none").ok()["features"]["source"], "cached");
}

#[test]
fn what_a_request_brings_goes_over_what_is_stored() {
    let server = Server::demo();
    let body = json!({"model": "vader-random-forest", "entity": "BTC/USD", "features": {"return_1": 0.5}});
    let mixed = server.post("/predict", &body).ok();
    assert_eq!((&mixed["features"]["source"], &mixed["features"]["set"]), (&json!("mixed"), &json!("vader")));
}

#[test]
fn sent_rows_answer_at_once() {
    let server = Server::demo();
    let sent = server.get("/features/vader/BTC%2FUSD").ok();
    let values: serde_json::Map<String, Json> = sent["features"]
        .as_object()
        .expect("by name")
        .iter()
        .map(|(name, feature)| (name.clone(), feature["value"].clone()))
        .collect();
    let row = json!({"entity": "NEW/ONE", "timestamp": "2025-10-01T00:00:00Z", "features": values});
    for _ in 0..2 {
        let written = server.post("/features/vader", &json!({"rows": [row]})).ok();
        assert_eq!((&written["success"], &written["written"]), (&json!(true), &json!(1)));
    }
    let answer = ask(&server, "&entity=NEW/ONE").ok();
    assert_eq!(answer["features"]["timestamp"], "2025-10-01T00:00:00.000Z");
    assert_eq!(answer["prediction"], ask(&server, "").ok()["prediction"]);

    let candle = |day: u32, close: f64| {
        let values = json!({"open": close, "high": close, "low": close, "close": close, "volume": 1.0});
        json!({"symbol": "RAW/ONE", "timestamp": format!("2025-09-{day:02}T00:00:00Z"), "values": values})
    };
    let candles: Vec<Json> = (1..=9).map(|day| candle(day, 100.0 + f64::from(day))).collect();
    server.post("/raw/price_data", &json!({"rows": candles})).ok();
    let row = server.get("/features/vader/RAW%2FONE?use_cached_features=false").ok();
    assert_eq!(row["source"], "computed");
    assert_eq!(row["features"]["return_1"]["value"], 109.0 / 108.0 - 1.0);
}

#[test]
fn every_offending_row_and_field_is_told_and_nothing_is_stored() {
    let server = Server::demo();
    let rows = json!({"rows": [
        {"entity": "E", "timestamp": "2025-10-01T00:00:00Z", "features": {"return_1": "0.5", "nope": 1}},
        {"entity": "E", "timestamp": "2025-10-02T00:00:00Z", "features": {"return_1": 0.5}},
        {"entity": "E", "timestamp": "2999-10-01T00:00:00Z", "features": {"return_1": true}},
    ]});
    let reply = server.post("/features/vader", &rows);
    assert_eq!((reply.error().0, reply.error().1), (422, "invalid_rows"));
    let fields: Vec<(u64, &str)> = reply.body["details"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|offence| {
            (offence["row"].as_u64().expect("a place"), offence["field"].as_str().expect("a name"))
        })
        .collect();
    assert_eq!(fields, [(0, "return_1"), (0, "nope"), (2, "timestamp"), (2, "return_1")]);
    assert_eq!(reply.body["details"][0]["got"], "text \"0.5\"");
    assert_eq!(server.get("/features/vader/E").error().1, "unknown_entity");

    let reply = server.post("/features/vader", &json!({"entity": "", "timestamp": 5, "features": [1]}));
    let fields: Vec<&str> = reply.body["details"]
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(|o| o["field"].as_str())
        .collect();
    assert_eq!(fields, ["entity", "timestamp", "features"]);
    let reply = server.post(
        "/raw/price_data",
        &json!({"entity": "E", "timestamp": "2025-10-01T00:00:00Z", "values": {"opne": 1}}),
    );
    assert_eq!((reply.error().1, &reply.body["details"][0]["field"]), ("invalid_rows", &json!("opne")));
    assert_eq!(server.post("/raw/elsewhere", &json!({})).error().1, "unknown_table");
    // Nothing is lost without a word: two rows of one time that differ, a row that is two entities', a list for an object.
    let row = |open: f64| json!({"entity": "E", "timestamp": "2025-10-01T00:00:00Z", "values": {"open": open, "close": 1}});
    for (rows, field) in [
        (json!({"rows": [row(1.0), row(1.0), row(2.0)]}), "timestamp"),
        (
            json!({"entity": "E", "symbol": "F", "timestamp": "2025-10-01T00:00:00Z", "values": {"open": 1}}),
            "symbol",
        ),
    ] {
        let reply = server.post("/raw/price_data", &rows);
        assert_eq!(
            (reply.error().1, &reply.body["details"][0]["field"]),
            ("invalid_rows", &json!(field)),
            "{}",
            reply.body
        );
        assert_eq!(reply.body["details"].as_array().map(Vec::len), Some(1), "{}", reply.body);
    }
    // A value that is missing says as much as one that is not there.
    let mut said = row(1.0);
    said["values"]["high"] = Json::Null;
    server.post("/raw/price_data", &json!({"rows": [row(1.0), said]})).ok();
    let listed = json!({"rows": [["E", null, "2025-10-01T00:00:00Z", {"open": 1}]]});
    let reply = server.post("/raw/price_data", &listed);
    assert_eq!(
        (reply.error().0, reply.error().2.contains("expected an object")),
        (422, true),
        "{}",
        reply.body
    );
    let reply = server.post("/features/vader", &json!([{"entity": "E"}]));
    assert_eq!((reply.error().0, reply.error().2.contains("got a list")), (422, true), "{}", reply.body);
    assert_eq!(server.get("/features/nope").error().1, "unknown_feature_set");
}

#[test]
fn a_row_that_cannot_be_shown_says_why() {
    let server = Server::demo();
    let unknown = server.get("/features/nope/E");
    assert_eq!((unknown.error().0, unknown.error().1), (404, "unknown_feature_set"));
    let path = server.get("/features/vader/%ff%fe");
    assert_eq!((path.error().0, path.error().1), (400, "malformed_path"));
    let rows = json!({"rows": [
        {"entity": "E", "timestamp": "2025-10-01T00:00:00Z", "features": {"return_1": [1]}},
        {"entity": "E", "timestamp": "2025-10-02T00:00:00Z", "features": {"return_1": "0.5"}},
    ]});
    let refused = server.post("/features/vader", &rows);
    assert_eq!(refused.body["details"].as_array().map(Vec::len), Some(2), "{}", refused.body);
    let raw = server.post("/raw/price_data", &json!({"entity": "E", "timestamp": "2025-10-01T00:00:00Z"}));
    assert_eq!(raw.body["details"][0]["field"], "values");
}

#[test]
fn feast_gets_columns_with_statuses() {
    let server = Server::demo();
    let body =
        json!({"features": ["vader:return_1", "vader:mood"], "entities": {"symbol": ["BTC/USD", "NOPE"]}});
    let answer = server.post("/get-online-features", &body).ok();
    assert_eq!(answer["metadata"]["feature_names"], json!(["symbol", "return_1", "mood"]));
    assert_eq!(answer["results"][0]["values"], json!(["BTC/USD", "NOPE"]));
    assert_eq!(answer["results"][1]["statuses"], json!(["PRESENT", "NOT_FOUND"]));
    let row = server.get("/features/vader/BTC%2FUSD").ok();
    assert_eq!(answer["results"][1]["values"], json!([row["features"]["return_1"]["value"], null]));
    assert_eq!(answer["results"][1]["event_timestamps"][0], row["timestamp"]);
    let service = json!({"feature_service": "vader-random-forest", "entities": {"symbol": ["BTC/USD"]}, "full_feature_names": true});
    let answer = server.post("/get-online-features", &service).ok();
    assert_eq!(answer["metadata"]["feature_names"].as_array().map(Vec::len), Some(57));
    assert_eq!(answer["metadata"]["feature_names"][1], "vader__return_1");
    let reply =
        server.post("/get-online-features", &json!({"features": ["nope:x"], "entities": {"symbol": ["E"]}}));
    let detail: Json = serde_json::from_str(reply.body.as_str().expect("text")).expect("JSON in the text");
    assert_eq!((reply.status, &detail["class"]), (404, &json!("FeatureViewNotFoundException")));
}

/// A server whose SQLite store has an old row of set `cells`, with a model that has a fallback of fewer features.
fn falling_back(folder: &Path) -> Server {
    let path = |name: &str| folder.join(name).display().to_string();
    import(folder, "cells", "v1", &["--feature-set", "cells", "--max-age", "30d"]);
    train(folder, "small", "v1", 1);
    let store = format!("sqlite://{}", path("features.db"));
    fs::write(path("rows.csv"), "entity,timestamp,mean_radius\nOLD,2020-01-01T00:00:00Z,1\n")
        .expect("writes");
    ctl_ok(["features", "migrate", "--features", &store]);
    ctl_ok(["features", "ingest", "--features", &store, "--set", "cells", &path("rows.csv")]);
    let config = format!(
        "registry: {{ url: '{}', models: {{ cells: {{ fallback: small }} }} }}\n\
         features: {{ max_age: none, timeout: 5s }}\n",
        path("registry")
    );
    fs::write(path("serve.yaml"), config).expect("writes");
    Server::start(["--config", &path("serve.yaml"), "--features", &store], &[])
}

#[test]
fn a_fallback_answers_where_features_cannot_be_had() {
    let folder: TempDir = tempfile::tempdir().expect("a temporary folder");
    let server = falling_back(folder.path());
    // Older than the model's own limit, then of nobody: the fallback answers from what the request has.
    for (entity, reason) in [("OLD", "older than 30d"), ("NOBODY", "no features for entity \"NOBODY\"")] {
        let body = json!({"model": "cells", "entity": entity, "features": {"a": 1, "b": 2}});
        let answer = server.post("/predict", &body).ok();
        assert_eq!((&answer["degraded"], &answer["model_info"]["name"]), (&json!(true), &json!("small")));
        assert_eq!(answer["model_info"]["fallback"]["instead_of"], "cells");
        assert!(answer["degraded_reason"].as_str().is_some_and(|told| told.contains(reason)), "{answer}");
        let batch = server.post("/predict/batch", &json!({"requests": [body]})).ok();
        assert_eq!(batch["predictions"][0]["prediction"], answer["prediction"]);
    }
    let reply = server.post("/predict", &json!({"model": "cells", "entity": "OLD"}));
    assert_eq!((reply.error().0, reply.error().1), (422, "features_stale"));
    assert!(reply.error().2.contains("its fallback does not answer either"), "{}", reply.body);
}

#[test]
fn rows_that_an_older_declaration_computed_are_told_and_refused() {
    let folder: TempDir = tempfile::tempdir().expect("a temporary folder");
    let path = |name: &str| folder.path().join(name).display().to_string();
    import(folder.path(), "cells", "v1", &["--feature-set", "cells"]);
    let store = format!("sqlite://{}", path("features.db"));
    let declare = |expression: &str| {
        let source = "entity: symbol, sources: { price: { table: price_data } }";
        let text =
            format!("feature_sets: {{ cells: {{ {source}, features: {{ mean_radius: '{expression}' }} }} }}");
        fs::write(path("features.yaml"), text).expect("writes");
    };
    fs::write(
        path("prices.csv"),
        "symbol,timestamp,open,high,low,close,volume\nA,2024-01-01,1,1,1,1,1\nA,2024-01-02,2,2,2,2,1\n",
    )
    .expect("writes");
    ctl_ok(["features", "migrate", "--features", &store]);
    ctl_ok(["features", "ingest", "--features", &store, "--table", "price_data", &path("prices.csv")]);
    declare("lag(close, 1)");
    let declared = ["--features", &store, "--declarations", &path("features.yaml")];
    ctl_ok([&["features", "build", "--set", "cells", "--store"][..], &declared].concat());
    declare("close * 2");
    let registry = path("registry");
    let config = format!(
        "registry: {{ url: '{registry}' }}\nfeatures: {{ max_age: none, declarations: '{}' }}\n",
        path("features.yaml")
    );
    fs::write(path("serve.yaml"), config).expect("writes");
    let server = Server::start(["--config", &path("serve.yaml"), "--features", &store], &[]);

    let reply = server.post("/predict", &json!({"model": "cells", "entity": "A"}));
    assert_eq!((reply.error().0, reply.error().1), (422, "features_stale"));
    assert_eq!(reply.body["details"]["outdated"], true, "{}", reply.body);
    let set = server.get("/features/cells").ok();
    assert_eq!(
        (&set["freshness"]["entities_stale"], &set["freshness"]["entities_outdated"]),
        (&json!(0), &json!(1))
    );
    assert!(set["warnings"][0].as_str().is_some_and(|told| told.contains("older declaration")), "{set}");
    let row = server.get("/features/cells/A").ok();
    assert_eq!((&row["stale"], &row["outdated"]), (&json!(true), &json!(true)));
    let radius = &row["features"]["mean_radius"];
    assert_eq!((&radius["stored"], &radius["computed"]), (&json!(1.0), &json!(4.0)));
    let auto = server.get("/features/cells/A?use_cached_features=auto").ok();
    assert_eq!((&auto["source"], &auto["outdated"]), (&json!("computed"), &json!(false)));
    let feast = json!({"features": ["cells:mean_radius"], "entities": {"symbol": ["A"]}});
    assert_eq!(
        server.post("/get-online-features", &feast).ok()["results"][1]["statuses"],
        json!(["INVALID"])
    );

    // Built anew, they answer at once.
    ctl_ok([&["features", "build", "--set", "cells", "--store"][..], &declared].concat());
    let row = server.get("/features/cells/A").ok();
    assert_eq!((&row["source"], &row["outdated"]), (&json!("cached"), &json!(false)));
    assert_eq!(row["features"]["mean_radius"]["stored"], 4.0);
    let checked = ctl([&["features", "check"][..], &declared].concat());
    assert_eq!(String::from_utf8_lossy(&checked.stdout), "cells: 1 features, 1 entities looked at\n");
}

#[test]
fn health_and_metrics_tell_of_the_store() {
    let server = Server::demo();
    ask(&server, "").ok();
    let health = server.get("/health").ok();
    let store = &health["components"]["feature_store"];
    assert_eq!((&store["status"], &store["kind"]), (&json!("healthy"), &json!("sqlite")));
    assert_eq!(
        (&store["breaker"]["state"], &store["breaker"]["opened_total"]),
        (&json!("closed"), &json!(0))
    );
    assert_eq!(
        server.get("/metrics").header("content-type"),
        Some("text/plain; version=0.0.4; charset=utf-8")
    );
}
