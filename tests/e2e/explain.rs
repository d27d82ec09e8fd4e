//! Explanations over HTTP, held against LightGBM's `pred_contrib`, and what is said where there are none.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value as Json, json};

use crate::server::{Server, ctl, ctl_ok, repository};

fn golden() -> PathBuf {
    repository().join("tests/golden")
}

/// Publishes a golden model of LightGBM under its case's name.
fn import(registry: &Path, case: &str) {
    let model = golden().join("lightgbm").join(case).join("model.txt");
    let (registry, model) = (registry.display().to_string(), model.display().to_string());
    ctl_ok(["import", "--registry", &registry, "--name", case, &model]);
}

/// Rows that JSON can write, each with what LightGBM told: contributions, then the base value, class by class.
fn told(case: &str) -> Vec<(Vec<Json>, Vec<f64>)> {
    let path = golden().join(format!("contributions/lightgbm-{case}.json"));
    let file: Json = serde_json::from_slice(&fs::read(path).expect("the file")).expect("JSON");
    let csv = fs::read_to_string(golden().join("lightgbm").join(case).join("golden.csv")).expect("the rows");
    let lines: Vec<&str> = csv.lines().skip(1).collect();
    let inputs =
        csv.lines().next().expect("a header").split(',').take_while(|name| *name != "predict").count();
    let contributions = file["contributions"].as_array().expect("a list").iter();
    let rows = file["rows"].as_array().expect("a list").iter().zip(contributions);
    let rows = rows.filter_map(|(at, contributions)| {
        let line = lines[at.as_u64().expect("a row") as usize];
        let cells = line.split(',').take(inputs).map(|cell| match cell {
            "" => Some(Json::Null),
            cell => cell.parse().ok().filter(|x: &f64| x.is_finite()).map(|x| json!(x)),
        });
        let numbers = contributions.as_array().expect("a list").iter().map(|x| x.as_f64().expect("a number"));
        Some((cells.collect::<Option<Vec<_>>>()?, numbers.collect()))
    });
    let rows: Vec<_> = rows.collect();
    assert!(rows.len() > 2, "{case}: {} rows", rows.len());
    rows
}

fn assert_explained(names: &[Json], explanation: &Json, expected: &[f64]) {
    let number = |value: &Json| value.as_f64().expect("a number");
    let (base, expected) = expected.split_last().expect("a base value");
    let contributions = &explanation["contributions"];
    assert_eq!(contributions.as_object().map(serde_json::Map::len), Some(expected.len()), "{explanation}");
    let mut sum = number(&explanation["base_value"]);
    assert!((sum - base).abs() < 1e-9, "{explanation}");
    for (name, expected) in names.iter().zip(expected) {
        let got = number(&contributions[name.as_str().expect("text")]);
        assert!((got - expected).abs() < 1e-9, "{name}: {got}, LightGBM has {expected}");
        sum += got;
    }
    let raw = number(&explanation["raw_score"]);
    assert!((sum - raw).abs() <= 1e-12 * raw.abs().max(1.0), "{explanation}");
    assert_eq!(explanation["background"], "node_covers");
}

#[test]
fn predictions_are_explained_as_lightgbm_explains_them() {
    let registry = tempfile::tempdir().expect("a folder");
    ["binary-nan", "multiclass-iris"].iter().for_each(|case| import(registry.path(), case));
    let server = Server::of(registry.path());

    let model = server.get("/models/binary-nan").ok();
    let names = model["features"].as_array().expect("a list").clone();
    let rows = told("binary-nan");
    for (row, expected) in &rows {
        let body = json!({"model": "binary-nan", "data": row, "explain": true});
        let answer = server.post("/predict", &body).ok();
        assert_explained(&names, &answer["explanation"], expected);
        let raw = answer["explanation"]["raw_score"].as_f64().expect("a number");
        let up = answer["prediction"]["probability"]["1"].as_f64().expect("a number");
        assert!((1.0 / (1.0 + (-raw).exp()) - up).abs() < 1e-12, "{answer}");
        let silent = server.post("/predict", &json!({"model": "binary-nan", "data": row})).ok();
        assert_eq!(silent.get("explanation"), None);
    }
    let by_query = server.post("/predict?explain=true&model=binary-nan", &json!({"data": rows[0].0})).ok();
    assert_explained(&names, &by_query["explanation"], &rows[0].1);

    let requests: Vec<Json> = rows.iter().map(|(row, _)| json!({"data": row})).collect();
    let body = json!({"model": "binary-nan", "explain": true, "requests": requests});
    let answer = server.post("/predict/batch", &body).ok();
    for (entry, (_, expected)) in answer["predictions"].as_array().expect("a list").iter().zip(&rows) {
        assert_explained(&names, &entry["explanation"], expected);
    }
    let requests = json!([{"data": rows[0].0, "explain": true}, {"data": rows[0].0}]);
    let answer = server.post("/predict/batch", &json!({"model": "binary-nan", "requests": requests})).ok();
    assert_explained(&names, &answer["predictions"][0]["explanation"], &rows[0].1);
    assert_eq!(answer["predictions"][1].get("explanation"), None);

    let iris = server.get("/models/multiclass-iris").ok();
    let names = iris["features"].as_array().expect("a list");
    let (row, expected) = &told("multiclass-iris")[0];
    let answer =
        server.post("/predict", &json!({"model": "multiclass-iris", "data": row, "explain": true})).ok();
    for (class, expected) in expected.chunks(names.len() + 1).enumerate() {
        assert_explained(names, &answer["explanation"][class.to_string()], expected);
    }
}

#[test]
fn a_model_tells_its_importances() {
    let registry = tempfile::tempdir().expect("a folder");
    import(registry.path(), "binary");
    let path = golden().join("contributions/lightgbm-binary.json");
    let file: Json = serde_json::from_slice(&fs::read(path).expect("the file")).expect("JSON");
    let model = Server::of(registry.path()).get("/models/binary").ok();
    assert_eq!(model["explanations"], json!({"available": true}));
    let names = model["features"].as_array().expect("a list");
    for measure in ["gain", "split"] {
        for (name, expected) in names.iter().zip(file[measure].as_array().expect("a list")) {
            let got = &model["importances"][measure][name.as_str().expect("text")];
            let (got, expected) = (got.as_f64().expect("a number"), expected.as_f64().expect("a number"));
            assert!(
                (got - expected).abs() <= 1e-6 * expected,
                "{measure} of {name}: {got}, expected {expected}"
            );
        }
    }
    let mean = model["importances"]["mean_abs_shap"].as_object().expect("an object");
    assert_eq!(mean.len(), names.len());
    assert!(mean.values().any(|value| value.as_f64().is_some_and(|x| x > 0.0)));

    let version = model["version"].as_str().expect("a version");
    let shown =
        ctl(["show", &format!("binary@{version}"), "--registry", &registry.path().display().to_string()]);
    let shown: Json = serde_json::from_slice(&shown.stdout).expect("JSON");
    let top = shown["importances"]["gain"].as_object().expect("an object");
    assert!((1..=10).contains(&top.len()), "{top:?}");
    assert!(top.iter().all(|(name, gain)| model["importances"]["gain"][name] == *gain), "{top:?}");
}

#[test]
fn a_model_without_covers_says_that_it_cannot_be_explained() {
    let registry = tempfile::tempdir().expect("a folder");
    let model = golden().join("lightgbm/binary/model.txt");
    let text = fs::read_to_string(model).expect("the model");
    let kept = |line: &&str| !line.starts_with("leaf_count=") && !line.starts_with("internal_count=");
    let bare = registry.path().join("bare.txt");
    fs::write(&bare, text.lines().filter(kept).collect::<Vec<_>>().join("\n") + "\n").expect("written");
    let root = registry.path().join("registry").display().to_string();
    ctl_ok(["import", "--registry", &root, "--name", "bare", &bare.display().to_string()]);
    let server = Server::of(Path::new(&root));
    let (row, _) = &told("binary")[0];
    let refused = server.post("/predict", &json!({"data": row, "model": "bare", "explain": true}));
    let message = "explanations need node covers, which this model's file lacks";
    assert_eq!(refused.error(), (422, "not_explainable", message));
    server.post("/predict", &json!({"data": row, "model": "bare"})).ok();
    let model = server.get("/models/bare").ok();
    assert_eq!(model["explanations"], json!({"available": false, "reason": message}));
}

#[test]
fn compared_answers_and_linear_models_are_explained_too() {
    let server = Server::demo();
    let path = "/predict/both?model_type=logistic_regression&explain=true";
    let answer = server.connect().request("POST", path, None).ok();
    for set in ["vader", "finbert"] {
        let explanation = &answer[set]["explanation"];
        assert_eq!(explanation["background"], "training_mean", "{answer}");
        let contributions = explanation["contributions"].as_object().expect("an object").values();
        let sum: f64 = contributions.map(|value| value.as_f64().expect("a number")).sum();
        let base = explanation["base_value"].as_f64().expect("a number");
        let raw = explanation["raw_score"].as_f64().expect("a number");
        let up = answer[set]["prediction"]["probability"]["up"].as_f64().expect("a number");
        assert!(
            (base + sum - raw).abs() < 1e-12 && (1.0 / (1.0 + (-raw).exp()) - up).abs() < 1e-9,
            "{answer}"
        );
    }
}
