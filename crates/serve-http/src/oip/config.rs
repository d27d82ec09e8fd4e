//! `GET /v2/models/{name}[/versions/{version}]/config`: the model as Triton's model configuration extension tells it. What
//! load generators look at is there: datatypes, dimensions without the rows, and how many rows a request may have.

use std::collections::BTreeMap;

use http::StatusCode;
use serde::Serialize;
use serve_core::ModelName;

use super::metadata::{TensorMetadata, inputs, outputs};
use super::{failure, query};
use crate::call::Call;
use crate::failure::Failure;
use crate::reply::{self, Reply};
use crate::routes::App;

#[derive(Debug, Serialize)]
struct ModelConfig {
    name: ModelName,
    platform: String,
    backend: &'static str,
    version_policy: VersionPolicy,
    max_batch_size: usize,
    input: Vec<TensorConfig>,
    output: Vec<TensorConfig>,
    parameters: BTreeMap<&'static str, Text>,
}

/// One version answers, the champion.
#[derive(Debug, Serialize)]
struct VersionPolicy {
    latest: Latest,
}

#[derive(Debug, Serialize)]
struct Latest {
    num_versions: u32,
}

#[derive(Debug, Serialize)]
struct TensorConfig {
    name: String,
    data_type: String,
    dims: Vec<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    optional: Option<bool>,
}

#[derive(Debug, Serialize)]
struct Text {
    string_value: String,
}

/// `GET /v2/models/{name}[/versions/{version}]/config`.
pub(crate) async fn config(app: &App, call: Box<Call>) -> Result<Reply, Failure> {
    let query = query(&call)?;
    let deployment =
        app.service.deployment(&call.context, &query).await.map_err(|error| failure(&call, error))?;
    let manifest = deployment.manifest();
    let tensor = |tensor: TensorMetadata<'_>| {
        let data_type = match tensor.datatype {
            "BYTES" => "TYPE_STRING".to_owned(),
            other => format!("TYPE_{other}"),
        };
        // Without the rows, which `max_batch_size` is about.
        TensorConfig {
            name: tensor.name.to_owned(),
            data_type,
            dims: tensor.shape[1..].to_vec(),
            optional: tensor.optional,
        }
    };
    let text = |string_value: String| Text { string_value };
    let body = ModelConfig {
        name: manifest.name.clone(),
        platform: super::platform(manifest),
        backend: "serve",
        version_policy: VersionPolicy { latest: Latest { num_versions: 1 } },
        max_batch_size: app.service.batch_rows(),
        input: inputs(manifest).into_iter().map(tensor).collect(),
        output: outputs(manifest).into_iter().map(tensor).collect(),
        parameters: BTreeMap::from([
            ("model_version", text(manifest.version.to_string())),
            ("digest", text(deployment.digest().to_string())),
        ]),
    };
    Ok(reply::json(StatusCode::OK, &body))
}
