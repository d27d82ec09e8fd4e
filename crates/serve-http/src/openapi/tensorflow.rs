//! The chapter of TensorFlow Serving's and KServe's V1.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Value as Json, json};
use utoipa::ToSchema;

use super::described::{Described, Tag};
use super::mlflow::{Scored, TableRow};
use super::predictions::FeatureValue;

/// Rows, or columns.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
enum V1Request {
    /// Lists by position, objects by name, or bare values of a model with one input.
    Instances { instances: Vec<TableRow>, signature_name: Option<V1Signature> },
    /// Columns by name.
    Inputs { inputs: BTreeMap<String, Vec<FeatureValue>>, signature_name: Option<V1Signature> },
}

/// The only signature that a model has.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum V1Signature {
    ServingDefault,
}

/// `predictions` for `instances`, `outputs` for `inputs`.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
enum V1Answer {
    Predictions { predictions: Vec<Scored> },
    Outputs { outputs: Vec<Scored> },
}

#[derive(Serialize, ToSchema)]
struct V1Explained {
    predictions: Vec<Scored>,
    /// One a row: `raw_score`, `base_value`, `contributions` by feature and `background`; or one such object under each
    /// class's or output's name.
    explanations: Vec<BTreeMap<String, Json>>,
}

#[derive(Serialize, ToSchema)]
struct V1Models {
    models: Vec<String>,
}

/// Which versions there are, and whether they answer.
#[derive(Serialize, ToSchema)]
struct V1Status {
    name: String,
    ready: bool,
    model_version_status: Vec<V1VersionStatus>,
}

#[derive(Serialize, ToSchema)]
struct V1VersionStatus {
    version: String,
    /// `AVAILABLE`, `LOADING`, `UNLOADING`, or `END` of one that was refused.
    state: String,
    status: V1StatusText,
}

#[derive(Serialize, ToSchema)]
struct V1StatusText {
    error_code: String,
    error_message: String,
}

pub(super) fn describe(method: &str, path: &str) -> Option<Described> {
    let new = |id, summary| Described::new(Tag::TensorFlow, id, summary);
    let rows = || json!({ "instances": [{ "a": 3.5, "b": 4.25 }, { "a": 40.5, "b": 9.25 }] });
    let predict = |id, summary| {
        new(id, summary)
            .text("Read as JSON whatever its type says. Any bad row refuses the request.")
            .takes::<V1Request>(true, &[("Two rows", rows())])
            .answers::<V1Answer>("One entry a row.", Some(json!({ "predictions": [[0.9, 0.1], [0.2, 0.8]] })))
    };
    let explain = |id, summary| {
        new(id, summary)
            .takes::<V1Request>(true, &[("Two rows", rows())])
            .answers::<V1Explained>("One entry a row.", None)
    };
    let status = |id, summary| new(id, summary).answers::<V1Status>("Its versions.", None);
    Some(match (method, path) {
        ("GET", "/v1/models") => {
            new("v1_models", "The models' names").answers::<V1Models>("Their names.", None)
        }
        ("GET", "/v1/models/{name}") => {
            status("v1_status", "Which versions a model has, and whether they answer")
        }
        ("GET", "/v1/models/{name}/versions/{version}") => {
            status("v1_version_status", "Whether a version answers")
        }
        ("GET", "/v1/models/{name}/labels/{label}") => {
            status("v1_label_status", "Whether an alias's version answers")
        }
        ("POST", "/v1/models/{name}:predict") => predict("v1_predict", "Predictions of rows or columns"),
        ("POST", "/v1/models/{name}/versions/{version}:predict") => {
            predict("v1_version_predict", "Predictions by a version")
        }
        ("POST", "/v1/models/{name}/labels/{label}:predict") => {
            predict("v1_label_predict", "Predictions by an alias's version")
        }
        ("POST", "/v1/models/{name}:explain") => explain("v1_explain", "Predictions with contributions"),
        ("POST", "/v1/models/{name}/versions/{version}:explain") => {
            explain("v1_version_explain", "Predictions with contributions, by a version")
        }
        ("POST", "/v1/models/{name}/labels/{label}:explain") => {
            explain("v1_label_explain", "Predictions with contributions, by an alias's version")
        }
        _ => return None,
    })
}
