//! What the server and its models are, in the protocol's words.

use http::StatusCode;
use serde_json::{Value as Json, json};
use serve_core::{Datatype, Manifest};

use super::{Labels, failure, query, unknown};
use crate::call::Call;
use crate::failure::Failure;
use crate::reply::{self, Reply};
use crate::routes::App;

/// `GET /v2`.
pub(crate) async fn server(app: &App, _call: Call) -> Result<Reply, Failure> {
    let body =
        json!({ "name": app.config.server_name, "version": env!("CARGO_PKG_VERSION"), "extensions": [] });
    Ok(reply::json(StatusCode::OK, &body))
}

/// `GET /v2/health/live`.
pub(crate) async fn live(_app: &App, _call: Call) -> Result<Reply, Failure> {
    Ok(reply::json(StatusCode::OK, &json!({ "live": true })))
}

/// `GET /v2/health/ready`.
pub(crate) async fn ready(app: &App, _call: Call) -> Result<Reply, Failure> {
    if app.is_draining() {
        return Err(Failure::not_ready("the server is stopping"));
    }
    Ok(reply::json(StatusCode::OK, &json!({ "ready": true })))
}

/// `GET /v2/models`.
pub(crate) async fn models(app: &App, call: Call) -> Result<Reply, Failure> {
    Ok(reply::json(StatusCode::OK, &json!({ "models": app.service.names(call.context.caller()) })))
}

/// `GET /v2/models/{name}[/versions/{version}]/ready`.
pub(crate) async fn model_ready(app: &App, call: Call) -> Result<Reply, Failure> {
    let query = query(&call)?;
    let deployment =
        app.service.deployment(&call.context, &query).await.map_err(|error| failure(&call, error))?;
    Ok(reply::json(StatusCode::OK, &json!({ "name": deployment.manifest().name, "ready": true })))
}

/// `GET /v2/models/{name}[/versions/{version}]`.
pub(crate) async fn model(app: &App, call: Call) -> Result<Reply, Failure> {
    let query = query(&call)?;
    let deployment =
        app.service.deployment(&call.context, &query).await.map_err(|error| failure(&call, error))?;
    let manifest = deployment.manifest();
    let model = app.service.registry().model(manifest.name.as_str());
    let model = model.ok_or_else(|| unknown(manifest.name.as_str(), None))?;
    let versions: Vec<_> = model.versions.iter().map(|published| &published.version).collect();
    let body = json!({
        "name": manifest.name,
        "versions": versions,
        "platform": format!("serve_{}", manifest.source.library),
        "inputs": inputs(manifest),
        "outputs": outputs(manifest),
        "parameters": {
            "model_version": manifest.version,
            "digest": deployment.digest(),
            "target": manifest.target.name,
            "feature_names": manifest.signature.names().collect::<Vec<_>>(),
            "classes": manifest.target.task.classes(),
        },
    });
    Ok(reply::json(StatusCode::OK, &body))
}

fn inputs(manifest: &Manifest) -> Vec<Json> {
    let inputs = manifest.signature.inputs();
    if inputs.iter().all(|input| input.datatype != Datatype::Bytes) {
        let names: Vec<_> = manifest.signature.names().collect();
        return vec![json!({
            "name": "input", "datatype": "FP64", "shape": [-1, inputs.len()], "parameters": { "feature_names": names },
        })];
    }
    let tensor = |input: &serve_core::Input| json!({ "name": input.name, "datatype": input.datatype, "shape": [-1, 1] });
    inputs.iter().map(tensor).collect()
}

fn outputs(manifest: &Manifest) -> Vec<Json> {
    let labels = Labels::of(manifest).datatype();
    let columns = if labels == "FP64" { manifest.target.task.scores() } else { 1 };
    let mut outputs = vec![json!({ "name": "predict", "datatype": labels, "shape": [-1, columns] })];
    let classes = manifest.target.task.classes();
    if !classes.is_empty() {
        outputs.push(json!({
            "name": "predict_proba", "datatype": "FP64", "shape": [-1, classes.len()],
            "parameters": { "classes": classes },
        }));
    }
    outputs
}
