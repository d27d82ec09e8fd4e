//! What is asked of each endpoint, and what has to come back.

use http::Method;
use serde_json::{Value as Json, json};

use super::Ground;
use crate::remote::Ask;
use crate::row;

/// A model and a set that nobody has.
const NOBODY: &str = "serve-ctl-smoke-no-such-name";

/// All that servers of this version have, for those who do not tell whoever asks.
pub(super) const ALL: [&str; 68] = [
    "GET /",
    "GET /health",
    "GET /health/live",
    "GET /health/ready",
    "GET /metrics",
    "GET /openapi.json",
    "GET /docs",
    "GET /docs/",
    "GET /docs/{file}",
    "GET /redoc",
    "POST /predict",
    "POST /predict/batch",
    "POST /predict/both",
    "GET /features",
    "GET /features/{set}",
    "POST /features/{set}",
    "GET /features/{set}/{entity}",
    "POST /raw/{table}",
    "POST /get-online-features",
    "GET /models",
    "GET /models/types",
    "GET /models/cache/stats",
    "GET /models/{name}",
    "GET /models/{name}/versions",
    "POST /models/reload",
    "POST /models/load",
    "POST /models/unload",
    "POST /models/warmup",
    "POST /models/{name}/rollback",
    "PUT /models/{name}/aliases/{alias}",
    "GET /ws/predict",
    "GET /model/info",
    "POST /api/ml/serve",
    "POST /api/ml/batch",
    "GET /ping",
    "GET /version",
    "POST /invocations",
    "GET /models/{name}/ping",
    "POST /models/{name}/invocations",
    "GET /v1/models",
    "GET /v1/models/{name}",
    "GET /v1/models/{name}/versions/{version}",
    "GET /v1/models/{name}/labels/{label}",
    "POST /v1/models/{name}:predict",
    "POST /v1/models/{name}/versions/{version}:predict",
    "POST /v1/models/{name}/labels/{label}:predict",
    "POST /v1/models/{name}:explain",
    "POST /v1/models/{name}/versions/{version}:explain",
    "POST /v1/models/{name}/labels/{label}:explain",
    "GET /v2",
    "GET /v2/",
    "GET /v2/health/live",
    "GET /v2/health/ready",
    "GET /v2/models",
    "GET /v2/models/stats",
    "GET /v2/models/{name}",
    "GET /v2/models/{name}/ready",
    "GET /v2/models/{name}/versions/{version}",
    "GET /v2/models/{name}/versions/{version}/ready",
    "GET /v2/models/{name}/config",
    "GET /v2/models/{name}/versions/{version}/config",
    "GET /v2/models/{name}/stats",
    "GET /v2/models/{name}/versions/{version}/stats",
    "POST /v2/repository/index",
    "POST /v2/repository/models/{name}/load",
    "POST /v2/repository/models/{name}/unload",
    "POST /v2/models/{name}/infer",
    "POST /v2/models/{name}/versions/{version}/infer",
];

/// What has to come back.
pub(super) enum Expected {
    /// 200, and JSON of which this holds; the text says what.
    Json(&'static str, fn(&Json) -> bool),
    /// 200, and a body with this in it.
    Text(&'static str),
    /// This status, and a body with this in it.
    Refused(u16, &'static str),
}

/// A request, and what has to come back.
pub(super) struct Try {
    pub(super) ask: Ask,
    pub(super) expected: Expected,
}

/// What the model gives the tries.
struct Model {
    name: String,
    version: String,
    /// A row by name, and by position where it is of numbers alone.
    row: Json,
    numbers: Option<Vec<f64>>,
}

impl Model {
    fn of(ground: &Ground) -> Result<Self, String> {
        let model = ground.model.as_ref().map_err(|why| (*why).to_owned())?;
        let text = |key: &str| model[key].as_str().map(str::to_owned);
        let whole = || {
            let (name, version) = (text("name")?, text("version")?);
            Some(Self { name, version, row: row::named(model)?, numbers: row::numbers(model) })
        };
        whole().ok_or_else(|| "GET /models/{name} does not describe the model".to_owned())
    }

    /// One row as tensors, an input a feature.
    fn tensors(&self) -> Json {
        if let Some(numbers) = &self.numbers {
            return json!([{ "name": "input", "shape": [1, numbers.len()], "datatype": "FP64", "data": numbers }]);
        }
        let tensor = |(name, value): (&String, &Json)| {
            let datatype = if value.is_string() { "BYTES" } else { "FP64" };
            json!({ "name": name, "shape": [1, 1], "datatype": datatype, "data": [value] })
        };
        self.row.as_object().map(|row| row.iter().map(tensor).collect()).unwrap_or_default()
    }
}

/// The try of an endpoint as `GET /` lists it, `METHOD /path/{name}`.
///
/// # Errors
/// Why there is none.
pub(super) fn of(endpoint: &str, ground: &Ground) -> Result<Try, String> {
    let (method, path) = endpoint.split_once(' ').ok_or("it is no endpoint")?;
    let method: Method = method.parse().map_err(|_| "it has no method")?;
    match method {
        Method::GET => got(path, ground),
        _ => sent(method, path, ground),
    }
}

fn filled(path: &str, values: &[(&str, &str)]) -> String {
    values.iter().fold(path.to_owned(), |path, (key, value)| path.replace(&format!("{{{key}}}"), value))
}

fn got(path: &str, ground: &Ground) -> Result<Try, String> {
    let expected = match path {
        "/" => Expected::Json("endpoints", |body| body["endpoints"].is_array()),
        "/health" => Expected::Json("status", |body| body["status"].is_string()),
        "/health/live" | "/v2/health/live" => Expected::Json("live: true", |body| body["live"] == true),
        "/health/ready" | "/v2/health/ready" => Expected::Json("ready: true", |body| body["ready"] == true),
        "/metrics" => Expected::Text("# TYPE"),
        "/docs" | "/docs/" | "/redoc" => Expected::Text("<html"),
        "/openapi.json" => Expected::Json("openapi: 3.1", |body| {
            body["openapi"].as_str().is_some_and(|version| version.starts_with("3.1"))
        }),
        "/models" => Expected::Json("models", |body| body["models"].is_array()),
        "/features" => Expected::Json("an object", Json::is_object),
        "/ws/predict" => Expected::Refused(426, "upgrade"),
        "/v2" | "/v2/" => Expected::Json("extensions", |body| body["extensions"].is_array()),
        "/ping" | "/models/{name}/ping" => Expected::Text(""),
        "/docs/{file}" => Expected::Text("swagger"),
        "/version" => Expected::Text("."),
        _ => Expected::Json("an object", Json::is_object),
    };
    let mut path = filled(path, &[("file", "swagger-ui.css")]);
    if path.contains("{set}") {
        let set = ground.set.as_deref().map_err(|why| (*why).to_owned())?;
        path = filled(&path, &[("set", set)]);
        if path.contains("{entity}") {
            // Whether anything is stored for an entity is not for us to say; that nothing is for nobody, is.
            let path = filled(&path, &[("entity", NOBODY)]);
            return Ok(Try { ask: Ask::get(path), expected: Expected::Refused(404, "\"code\"") });
        }
    }
    if path.contains('{') {
        let model = Model::of(ground)?;
        let values = [
            ("name", &*model.name),
            ("version", &model.version),
            ("alias", "champion"),
            ("label", "champion"),
        ];
        path = filled(&path, &values);
    }
    if path.contains('{') {
        return Err(format!("this serve-ctl does not know it: {path}"));
    }
    Ok(Try { ask: Ask::get(path), expected })
}

fn success(body: &Json) -> bool {
    body["success"] == true
}

fn sent(method: Method, path: &str, ground: &Ground) -> Result<Try, String> {
    if let Some((path, body, expected)) = refused(path) {
        return Ok(Try { ask: Ask::json(method, path, body.to_string()), expected });
    }
    let model = Model::of(ground)?;
    let Model { name, version, row, .. } = &model;
    let predicted = Expected::Json("a prediction", |body| success(body) && body["prediction"].is_object());
    let outputs = Expected::Json("outputs", |body| body["outputs"].is_array());
    let (body, expected) = match path {
        "/predict" | "/api/ml/serve" => (json!({ "model": name, "features": row }), predicted),
        "/predict/batch" | "/api/ml/batch" => (
            json!({ "model": name, "requests": [{ "features": row }, { "data": [] }] }),
            Expected::Json("one row answered and one refused", |body| {
                body["count"] == 2 && body["failed"] == 1
            }),
        ),
        "/models/reload" => (json!({ "dry_run": true }), Expected::Json("success", success)),
        "/models/load" | "/models/warmup" => (json!({ "model": name }), Expected::Json("success", success)),
        "/v2/models/{name}/infer" | "/v2/models/{name}/versions/{version}/infer" => {
            (json!({ "inputs": model.tensors() }), outputs)
        }
        "/v2/repository/index" => (json!({}), Expected::Json("a list", Json::is_array)),
        "/v2/repository/models/{name}/load" => (json!({}), Expected::Text("")),
        "/invocations" | "/models/{name}/invocations" => (
            json!({ "dataframe_records": [row] }),
            Expected::Json("predictions", |body| !body["predictions"].is_null()),
        ),
        path if path.starts_with("/v1/models/") => (
            json!({ "instances": [row] }),
            Expected::Json("predictions or explanations", |body| {
                !body["predictions"].is_null() || !body["explanations"].is_null()
            }),
        ),
        _ => return Err("this serve-ctl does not know it".to_owned()),
    };
    // Without a word it asks the default model, which may take other inputs.
    let path = if path == "/invocations" { "/invocations?model={name}" } else { path };
    let path =
        filled(path, &[("name", name), ("version", version), ("alias", "champion"), ("label", "champion")]);
    Ok(Try { ask: Ask::json(method, path, body.to_string()), expected })
}

/// What would change something, asked of nobody; and what may well have nothing to answer with.
fn refused(path: &str) -> Option<(String, Json, Expected)> {
    let (body, expected) = match path {
        "/features/{set}" => (json!({ "rows": [{}] }), Expected::Refused(422, "invalid_rows")),
        "/raw/{table}" => (json!({ "rows": [] }), Expected::Refused(404, "unknown_table")),
        "/get-online-features" => (
            json!({ "features": [format!("{NOBODY}:x")], "entities": { "entity": ["x"] } }),
            Expected::Refused(404, "FeatureViewNotFoundException"),
        ),
        "/models/unload" => (json!({ "model": NOBODY }), Expected::Refused(404, "unknown_model")),
        "/models/{name}/rollback" => (json!({}), Expected::Refused(404, "unknown_model")),
        "/models/{name}/aliases/{alias}" => {
            (json!({ "version": "1" }), Expected::Refused(404, "unknown_model"))
        }
        "/v2/repository/models/{name}/unload" => (json!({}), Expected::Refused(404, "unknown model")),
        "/predict/both" => (json!({ "symbol": NOBODY }), Expected::Refused(422, "\"code\"")),
        _ => return None,
    };
    let values = [("set", NOBODY), ("table", NOBODY), ("name", NOBODY), ("alias", "champion")];
    Some((filled(path, &values), body, expected))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ground() -> Ground {
        let inputs = json!([{ "name": "a", "datatype": "FP64" }, { "name": "b", "datatype": "FP64" }]);
        let model = json!({ "name": "m", "version": "1", "signature": { "inputs": inputs } });
        Ground { endpoints: Vec::new(), model: Ok(model), set: Ok("s".to_owned()) }
    }

    #[test]
    fn paths_are_filled_from_what_the_server_has() {
        let ask = |endpoint: &str| of(endpoint, &ground()).map(|attempt| attempt.ask);
        let infer = ask("POST /v2/models/{name}/versions/{version}/infer").expect("is known");
        assert_eq!(infer.path, "/v2/models/m/versions/1/infer");
        let body: Json = serde_json::from_slice(&infer.body).expect("is JSON");
        assert_eq!(body["inputs"][0]["shape"], json!([1, 2]));
        assert_eq!(ask("GET /features/{set}").expect("is known").path, "/features/s");
        assert!(ask("PUT /models/{name}/aliases/{alias}").expect("is known").path.contains(NOBODY));
        assert!(ask("POST /a/new/endpoint").is_err());
    }

    #[test]
    fn a_server_without_models_is_tried_as_far_as_it_goes() {
        let empty = Ground { endpoints: Vec::new(), model: Err("no model"), set: Err("no set") };
        assert!(of("GET /health", &empty).is_ok());
        assert!(of("POST /predict", &empty).is_err());
        assert!(of("GET /features/{set}", &empty).is_err());
    }
}
