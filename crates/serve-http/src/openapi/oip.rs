//! The chapter of the Open Inference Protocol.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Value as Json, json};
use utoipa::ToSchema;

use super::described::{Described, Tag};
use super::predictions::FeatureValue;
use crate::oip::datatype::Datatype;

/// What the server is.
#[derive(Serialize, ToSchema)]
struct ServerMetadata {
    name: String,
    version: String,
    extensions: Vec<String>,
}

#[derive(Serialize, ToSchema)]
struct OipLive {
    live: bool,
}

#[derive(Serialize, ToSchema)]
struct OipReady {
    name: Option<String>,
    ready: bool,
}

#[derive(Serialize, ToSchema)]
struct OipModels {
    models: Vec<String>,
}

/// What a model takes and answers.
#[derive(Serialize, ToSchema)]
struct ModelMetadata {
    name: String,
    versions: Option<Vec<String>>,
    platform: String,
    inputs: Vec<TensorMetadata>,
    outputs: Vec<TensorMetadata>,
    parameters: ModelMetadataParameters,
}

#[derive(Serialize, ToSchema)]
struct ModelMetadataParameters {
    model_version: String,
    digest: String,
    target: String,
    feature_names: Vec<String>,
    classes: Vec<String>,
}

#[derive(Serialize, ToSchema)]
struct TensorMetadata {
    name: String,
    datatype: String,
    /// -1 is any number.
    shape: Vec<i64>,
    parameters: Option<TensorNames>,
}

/// Names along the second dimension.
#[derive(Serialize, ToSchema)]
struct TensorNames {
    feature_names: Option<Vec<String>>,
    classes: Option<Vec<String>>,
}

/// Rows as tensors: one of two dimensions, or one a feature.
#[derive(Serialize, ToSchema)]
struct InferRequest {
    id: Option<String>,
    parameters: Option<InferParameters>,
    inputs: Vec<InputTensor>,
    outputs: Option<Vec<RequestedOutput>>,
}

/// Others are ignored.
#[derive(Serialize, ToSchema)]
struct InferParameters {
    /// Whether outputs are binary that do not say so themselves.
    binary_data_output: Option<bool>,
    /// In microseconds from the request's first byte; 0 is none.
    timeout: Option<u64>,
    /// 1 is the most urgent; 0 says nothing.
    priority: Option<u64>,
}

/// Others are ignored.
#[derive(Serialize, ToSchema)]
struct InputParameters {
    /// The tensor's data are that many of the bytes that follow the JSON.
    binary_data_size: Option<u64>,
}

/// Others are ignored.
#[derive(Serialize, ToSchema)]
struct OutputParameters {
    /// Whether its data follow the JSON.
    binary_data: Option<bool>,
    /// The best so many classes, as Triton writes them.
    classification: Option<u64>,
}

#[derive(Serialize, ToSchema)]
struct InputTensor {
    name: String,
    shape: Vec<u64>,
    datatype: Datatype,
    parameters: Option<InputParameters>,
    /// Row-major, nested or flat; `null` is a missing value.
    data: Option<Vec<Element>>,
}

/// An element, or a row of them.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
enum Element {
    Value(FeatureValue),
    Row(Vec<FeatureValue>),
}

#[derive(Serialize, ToSchema)]
struct RequestedOutput {
    /// `predict` or `predict_proba`.
    name: String,
    parameters: Option<OutputParameters>,
}

#[derive(Serialize, ToSchema)]
struct InferAnswer {
    model_name: String,
    model_version: String,
    id: String,
    outputs: Vec<OutputTensor>,
}

#[derive(Serialize, ToSchema)]
struct OutputTensor {
    name: String,
    shape: Vec<u64>,
    datatype: Datatype,
    /// `binary_data_size`, where its data follow the JSON.
    parameters: Option<BTreeMap<String, Json>>,
    data: Option<Vec<FeatureValue>>,
}

/// Which versions are listed.
#[derive(Serialize, ToSchema)]
struct IndexRequest {
    /// Only versions that are loaded.
    ready: Option<bool>,
}

/// One version in the index.
#[derive(Serialize, ToSchema)]
struct IndexEntry {
    name: String,
    version: Option<String>,
    /// `READY`, `LOADING`, `UNLOADING` or `UNAVAILABLE`.
    state: String,
    reason: String,
}

/// The versions.
#[derive(Serialize, ToSchema)]
struct RepositoryIndex(Vec<IndexEntry>);

/// Loading and unloading take parameters that change nothing here.
#[derive(Serialize, ToSchema)]
struct ChangeRequest {
    /// Such as `unload_dependents`. They change nothing, but `config` and `file:…` are refused.
    parameters: Option<BTreeMap<String, Json>>,
}

#[derive(Serialize, ToSchema)]
struct LoadAnswer {
    name: String,
    load: bool,
}

#[derive(Serialize, ToSchema)]
struct UnloadAnswer {
    name: String,
    unload: bool,
}

/// What each version was asked, and how long that took.
#[derive(Serialize, ToSchema)]
struct StatisticsAnswer {
    model_stats: Vec<ModelStatistics>,
}

#[derive(Serialize, ToSchema)]
struct ModelStatistics {
    name: String,
    version: String,
    /// Milliseconds since 1970; 0 for never.
    last_inference: u64,
    inference_count: u64,
    execution_count: u64,
    /// By stage, `{"count", "ns"}` each.
    inference_stats: BTreeMap<String, Total>,
    batch_stats: Vec<BatchStatistics>,
}

#[derive(Serialize, ToSchema)]
struct BatchStatistics {
    batch_size: u64,
    compute_input: Total,
    compute_infer: Total,
    compute_output: Total,
}

/// The model as Triton's configuration tells it.
#[derive(Serialize, ToSchema)]
struct ModelConfig {
    name: String,
    platform: String,
    backend: String,
    version_policy: VersionPolicy,
    max_batch_size: u64,
    input: Vec<TensorConfig>,
    output: Vec<TensorConfig>,
    parameters: BTreeMap<String, ConfigText>,
}

#[derive(Serialize, ToSchema)]
struct VersionPolicy {
    latest: LatestVersions,
}

#[derive(Serialize, ToSchema)]
struct LatestVersions {
    num_versions: u32,
}

#[derive(Serialize, ToSchema)]
struct TensorConfig {
    name: String,
    data_type: String,
    /// Without the rows.
    dims: Vec<i64>,
    optional: Option<bool>,
}

#[derive(Serialize, ToSchema)]
struct ConfigText {
    string_value: String,
}

#[derive(Serialize, ToSchema)]
struct Total {
    count: u64,
    ns: u64,
}

pub(super) fn describe(method: &str, path: &str) -> Option<Described> {
    let new = |id, summary| Described::new(Tag::Oip, id, summary);
    let infer = |id, summary| {
        new(id, summary)
            .text("The JSON may be followed by binary tensors, and then `Inference-Header-Content-Length` is its length. Any bad row refuses the request, as the protocol has no place for errors of rows.")
            .takes::<InferRequest>(
                true,
                &[(
                    "One row of two features",
                    json!({ "inputs": [
                    { "name": "input", "shape": [1, 2], "datatype": "FP64", "data": [0.5, 1.0] } ] }),
                )],
            )
            .answers::<InferAnswer>("Tensors of answers.", None)
            .or_answers("application/octet-stream")
    };
    Some(match (method, path) {
        ("GET", "/v2") => {
            new("oip_server", "Name, version, extensions").answers::<ServerMetadata>("The server.", None)
        }
        ("GET", "/v2/health/live") => new("oip_live", "The process is up").answers::<OipLive>("It is.", None),
        ("GET", "/v2/health/ready") => {
            new("oip_ready", "Models can answer").answers::<OipReady>("They can.", None)
        }
        ("GET", "/v2/models") => {
            new("oip_models", "The models' names").answers::<OipModels>("Their names.", None)
        }
        ("GET", "/v2/models/{name}") => {
            new("oip_model", "A model's inputs and outputs").answers::<ModelMetadata>("The model.", None)
        }
        ("GET", "/v2/models/{name}/versions/{version}") => {
            new("oip_version", "A version's inputs and outputs")
                .answers::<ModelMetadata>("The version.", None)
        }
        ("GET", "/v2/models/{name}/ready") => {
            new("oip_model_ready", "The model can answer").answers::<OipReady>("It can.", None)
        }
        ("GET", "/v2/models/{name}/versions/{version}/ready") => {
            new("oip_version_ready", "The version can answer").answers::<OipReady>("It can.", None)
        }
        ("GET", "/v2/models/{name}/config") => {
            new("oip_config", "A model's configuration, as tritonclient asks for it")
                .answers::<ModelConfig>("It.", None)
        }
        ("GET", "/v2/models/{name}/versions/{version}/config") => {
            new("oip_version_config", "A version's configuration").answers::<ModelConfig>("It.", None)
        }
        ("GET", "/v2/models/stats") => {
            new("oip_stats", "What every version was asked, and how long that took")
                .answers::<StatisticsAnswer>("Counts and nanoseconds.", None)
        }
        ("GET", "/v2/models/{name}/stats") => new("oip_model_stats", "What a model's versions were asked")
            .answers::<StatisticsAnswer>("Counts and nanoseconds.", None),
        ("GET", "/v2/models/{name}/versions/{version}/stats") => {
            new("oip_version_stats", "What a version was asked")
                .answers::<StatisticsAnswer>("Counts and nanoseconds.", None)
        }
        ("POST", "/v2/repository/index") => new("oip_index", "Which versions there are")
            .takes::<IndexRequest>(false, &[("Loaded ones", json!({ "ready": true }))])
            .answers::<RepositoryIndex>("The versions.", None),
        ("POST", "/v2/repository/models/{name}/load") => new("oip_load", "Load a model")
            .takes::<ChangeRequest>(false, &[("Nothing more", json!({}))])
            .answers::<LoadAnswer>("It is loaded.", None),
        ("POST", "/v2/repository/models/{name}/unload") => new("oip_unload", "Unload a model")
            .takes::<ChangeRequest>(false, &[("Nothing more", json!({}))])
            .answers::<UnloadAnswer>("It is unloaded.", None),
        ("POST", "/v2/models/{name}/infer") => infer("oip_infer", "Predictions of a tensor of rows"),
        ("POST", "/v2/models/{name}/versions/{version}/infer") => {
            infer("oip_version_infer", "Predictions of a tensor of rows, by a version")
        }
        _ => return None,
    })
}
