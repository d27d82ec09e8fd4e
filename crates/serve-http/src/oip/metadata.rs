//! What the server and its models are, in the protocol's words.

use http::StatusCode;
use serde::Serialize;
use serve_core::{Datatype, Digest, Input, Manifest, MissingPolicy, ModelName, ModelVersion};

use super::{Labels, failure, platform, query, unknown};
use crate::call::Call;
use crate::failure::Failure;
use crate::reply::{self, Reply};
use crate::routes::App;

/// The protocol's extensions that stand here, in Triton's words.
const EXTENSIONS: [&str; 7] = [
    "binary_tensor_data",
    "classification",
    "model_configuration",
    "model_repository",
    "model_repository(unload_dependents)",
    "schedule_policy",
    "statistics",
];

#[derive(Debug, Serialize)]
struct ServerMetadata<'a> {
    name: &'a str,
    version: &'static str,
    extensions: [&'static str; 7],
}

#[derive(Debug, Serialize)]
struct Live {
    live: bool,
}

#[derive(Debug, Serialize)]
struct Ready {
    ready: bool,
}

#[derive(Debug, Serialize)]
struct Models {
    models: Vec<ModelName>,
}

#[derive(Debug, Serialize)]
struct ModelReady<'a> {
    name: &'a ModelName,
    ready: bool,
}

#[derive(Debug, Serialize)]
struct ModelMetadata<'a> {
    name: &'a ModelName,
    versions: Vec<&'a ModelVersion>,
    platform: String,
    inputs: Vec<TensorMetadata<'a>>,
    outputs: Vec<TensorMetadata<'a>>,
    parameters: ModelParameters<'a>,
}

#[derive(Debug, Serialize)]
struct ModelParameters<'a> {
    model_version: &'a ModelVersion,
    digest: Digest,
    target: &'a str,
    feature_names: Vec<&'a str>,
    classes: &'a [String],
}

/// One tensor of a model's inputs or outputs.
#[derive(Debug, Serialize)]
pub(super) struct TensorMetadata<'a> {
    pub(super) name: &'a str,
    pub(super) datatype: &'static str,
    /// Rows first; -1 is any number of them.
    pub(super) shape: [i64; 2],
    #[serde(skip_serializing_if = "Option::is_none")]
    parameters: Option<TensorParameters<'a>>,
    /// Whether a request may leave it out.
    #[serde(skip)]
    pub(super) optional: Option<bool>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "snake_case")]
enum TensorParameters<'a> {
    FeatureNames(Vec<&'a str>),
    Classes(&'a [String]),
}

/// `GET /v2`.
pub(crate) async fn server(app: &App, _call: Box<Call>) -> Result<Reply, Failure> {
    let name = &app.config.server_name;
    let body = ServerMetadata { name, version: env!("CARGO_PKG_VERSION"), extensions: EXTENSIONS };
    Ok(reply::json(StatusCode::OK, &body))
}

/// `GET /v2/health/live`.
pub(crate) async fn live(_app: &App, _call: Box<Call>) -> Result<Reply, Failure> {
    Ok(reply::json(StatusCode::OK, &Live { live: true }))
}

/// `GET /v2/health/ready`.
pub(crate) async fn ready(app: &App, _call: Box<Call>) -> Result<Reply, Failure> {
    if app.is_draining() {
        return Err(Failure::not_ready("the server is stopping"));
    }
    Ok(reply::json(StatusCode::OK, &Ready { ready: true }))
}

/// `GET /v2/models`.
pub(crate) async fn models(app: &App, call: Box<Call>) -> Result<Reply, Failure> {
    Ok(reply::json(StatusCode::OK, &Models { models: app.service.names(call.context.caller()) }))
}

/// `GET /v2/models/{name}[/versions/{version}]/ready`: whether the version is loaded. Asking loads nothing.
pub(crate) async fn model_ready(app: &App, call: Box<Call>) -> Result<Reply, Failure> {
    let query = query(&call)?;
    let deployment =
        app.service.loaded_deployment(&call.context, &query).map_err(|error| failure(&call, error))?;
    Ok(reply::json(StatusCode::OK, &ModelReady { name: &deployment.manifest().name, ready: true }))
}

/// `GET /v2/models/{name}[/versions/{version}]`.
pub(crate) async fn model(app: &App, call: Box<Call>) -> Result<Reply, Failure> {
    let query = query(&call)?;
    let deployment =
        app.service.deployment(&call.context, &query).await.map_err(|error| failure(&call, error))?;
    let manifest = deployment.manifest();
    let model = app.service.registry().model(manifest.name.as_str());
    let model = model.ok_or_else(|| unknown(manifest.name.as_str(), None))?;
    let body = ModelMetadata {
        name: &manifest.name,
        versions: model.versions.iter().map(|published| &published.version).collect(),
        platform: platform(manifest),
        inputs: inputs(manifest),
        outputs: outputs(manifest),
        parameters: ModelParameters {
            model_version: &manifest.version,
            digest: deployment.digest(),
            target: &manifest.target.name,
            feature_names: manifest.signature.names().collect(),
            classes: manifest.target.task.classes(),
        },
    };
    Ok(reply::json(StatusCode::OK, &body))
}

/// One tensor of all features where all are numbers, else one per feature.
pub(super) fn inputs(manifest: &Manifest) -> Vec<TensorMetadata<'_>> {
    let inputs = manifest.signature.inputs();
    if inputs.iter().all(|input| input.datatype != Datatype::Bytes) {
        let names = manifest.signature.names().collect();
        let shape = [-1, i64::try_from(inputs.len()).unwrap_or(i64::MAX)];
        let parameters = Some(TensorParameters::FeatureNames(names));
        return vec![TensorMetadata { name: "input", datatype: "FP64", shape, parameters, optional: None }];
    }
    inputs.iter().map(feature).collect()
}

fn feature(input: &Input) -> TensorMetadata<'_> {
    let datatype = match input.datatype {
        Datatype::Bool => "BOOL",
        Datatype::Int64 => "INT64",
        Datatype::Fp32 => "FP32",
        Datatype::Bytes => "BYTES",
        _ => "FP64",
    };
    let optional = (input.missing != MissingPolicy::Reject).then_some(true);
    TensorMetadata { name: &input.name, datatype, shape: [-1, 1], parameters: None, optional }
}

/// The labels or values, and for a classification the probabilities.
pub(super) fn outputs(manifest: &Manifest) -> Vec<TensorMetadata<'_>> {
    let labels = Labels::of(manifest);
    let columns = if labels == Labels::Values { manifest.target.task.scores() } else { 1 };
    let shape = |columns: usize| [-1, i64::try_from(columns).unwrap_or(i64::MAX)];
    let plain = |name, datatype, columns| TensorMetadata {
        name,
        datatype,
        shape: shape(columns),
        parameters: None,
        optional: None,
    };
    let mut outputs = vec![plain("predict", labels.datatype(), columns)];
    let classes = manifest.target.task.classes();
    if !classes.is_empty() {
        let parameters = Some(TensorParameters::Classes(classes));
        outputs.push(TensorMetadata { parameters, ..plain("predict_proba", "FP64", classes.len()) });
    }
    outputs
}
