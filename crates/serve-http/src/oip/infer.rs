//! `POST /v2/models/{name}[/versions/{version}]/infer`.

use std::borrow::Cow;
use std::sync::Arc;

use http::StatusCode;
use ndarray::Array2;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use serve_core::{BatchPrediction, CheckedRow, InvalidInput, Signature, Value};
use serve_registry::Deployment;

use super::tensor::{Datatype, Tensor};
use super::{Labels, failure, guarded, query};
use crate::call::Call;
use crate::failure::Failure;
use crate::reply::{self, Reply};
use crate::routes::App;

#[derive(Deserialize)]
struct InferRequest<'a> {
    id: Option<String>,
    #[serde(borrow)]
    inputs: Vec<Tensor<'a>>,
    #[serde(borrow, default)]
    outputs: Option<Vec<RequestedOutput<'a>>>,
}

#[derive(Deserialize)]
struct RequestedOutput<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
}

#[derive(Serialize)]
struct InferResponse<'a> {
    model_name: &'a str,
    model_version: &'a str,
    id: &'a str,
    outputs: Vec<OutputTensor<'a>>,
}

#[derive(Serialize)]
struct OutputTensor<'a> {
    name: &'static str,
    shape: [usize; 2],
    datatype: &'static str,
    data: OutputData<'a>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum OutputData<'a> {
    Floats(&'a [f64]),
    Numbers(Vec<i64>),
    Words(Vec<&'a str>),
}

/// Answers a tensor of rows with tensors of answers. Any bad row refuses the request, as the protocol has no place for
/// errors of rows.
pub(crate) async fn infer(app: &App, call: Call) -> Result<Reply, Failure> {
    let query = query(&call)?;
    let deployment =
        app.service.deployment(&call.context, &query).await.map_err(|error| failure(&call, error))?;
    let request: InferRequest<'_> = serde_json::from_slice(&call.body)?;
    let wanted = wanted_outputs(&request, &deployment)?;
    let id = request.id.clone().unwrap_or_else(|| call.id.0.to_string());
    guarded::offer(&deployment, &request.inputs);
    let matrix = matrix(request.inputs, deployment.pipeline().signature())?;
    app.service.check_rows(matrix.nrows())?;
    let batch = app.service.predict_matrix(&call.context, Arc::clone(&deployment), matrix).await?;
    for (row, outcome) in batch.iter().enumerate() {
        outcome.map_err(|error| Failure::invalid("invalid_row", format!("row {row}: {error}")))?;
    }
    let manifest = deployment.manifest();
    let response = InferResponse {
        model_name: manifest.name.as_str(),
        model_version: manifest.version.as_str(),
        id: &id,
        outputs: wanted.into_iter().map(|name| output(name, &deployment, &batch)).collect(),
    };
    Ok(reply::json(StatusCode::OK, &response))
}

/// The outputs asked for, in that order; all, if none are.
fn wanted_outputs(request: &InferRequest<'_>, deployment: &Deployment) -> Result<Vec<&'static str>, Failure> {
    let classes = deployment.manifest().target.task.classes().len();
    let has: &[&'static str] = if classes > 0 { &["predict", "predict_proba"] } else { &["predict"] };
    let Some(outputs) = request.outputs.as_ref().filter(|outputs| !outputs.is_empty()) else {
        return Ok(has.to_vec());
    };
    let mut wanted: Vec<&'static str> = Vec::new();
    for output in outputs {
        let Some(name) = has.iter().find(|name| **name == output.name) else {
            let message = format!("unknown output {:?}; the model has {}", output.name, has.join(", "));
            return Err(Failure::invalid("unknown_output", message));
        };
        if wanted.contains(name) {
            return Err(Failure::invalid("duplicate_output", format!("output {name:?} is asked for twice")));
        }
        wanted.push(name);
    }
    Ok(wanted)
}

fn output<'a>(
    name: &'static str,
    deployment: &'a Deployment,
    batch: &'a BatchPrediction,
) -> OutputTensor<'a> {
    let rows = batch.len();
    if name == "predict_proba" {
        let columns = deployment.manifest().target.task.classes().len();
        return OutputTensor {
            name,
            shape: [rows, columns],
            datatype: "FP64",
            data: OutputData::Floats(batch.scores()),
        };
    }
    let labels = Labels::of(deployment.manifest());
    let pipeline = deployment.pipeline();
    let words = || batch.iter().flatten().map(|prediction| pipeline.label(&prediction).unwrap_or_default());
    let data = match labels {
        Labels::Values => OutputData::Floats(batch.scores()),
        Labels::Numbers => {
            OutputData::Numbers(words().map(|label| label.parse().unwrap_or_default()).collect())
        }
        Labels::Words => OutputData::Words(words().collect()),
    };
    let columns = if labels == Labels::Values { deployment.manifest().target.task.scores() } else { 1 };
    OutputTensor { name, shape: [rows, columns], datatype: labels.datatype(), data }
}

/// The rows that the tensors hold, in the signature's order; NaN is missing.
pub(super) fn matrix(mut inputs: Vec<Tensor<'_>>, signature: &Signature) -> Result<Array2<f64>, Failure> {
    let text = signature.inputs().iter().any(|input| input.datatype == serve_core::Datatype::Bytes);
    if let [tensor] = &mut inputs[..] {
        let by_name = signature.position(&tensor.name).is_some()
            && (signature.len() == 1 || tensor.dimensions()?.1 == 1);
        if !by_name {
            return whole(tensor, signature, text);
        }
    }
    by_feature(inputs, signature)
}

/// One tensor that holds every feature. A tensor of one dimension is one row.
fn whole(tensor: &mut Tensor<'_>, signature: &Signature, text: bool) -> Result<Array2<f64>, Failure> {
    if tensor.shape.len() == 1 {
        tensor.shape.insert(0, 1);
    }
    let (rows, columns) = tensor.dimensions()?;
    if columns != signature.len() {
        let message = format!(
            "input {:?} has {columns} columns, the model takes {}: send one tensor [rows, {}], or one per feature",
            tensor.name,
            signature.len(),
            signature.len()
        );
        return Err(Failure::invalid("invalid_shape", message));
    }
    let mixed = text || tensor.datatype == Datatype::Bytes;
    let elements = tensor.elements()?;
    if mixed {
        let rows: Vec<_> = elements.chunks_exact(columns).collect();
        return checked(rows.len(), signature, |at, row| signature.read_positional(rows[at], row));
    }
    let numbers: Vec<f64> = elements.iter().map(number).collect();
    shaped(rows, columns, numbers)
}

/// One tensor per feature; a feature that has none is missing.
fn by_feature(mut inputs: Vec<Tensor<'_>>, signature: &Signature) -> Result<Array2<f64>, Failure> {
    let mut columns: Vec<(String, Vec<Value<'_>>)> = Vec::with_capacity(inputs.len());
    let mut count = None;
    for tensor in &mut inputs {
        let name = tensor.name.to_string();
        if signature.position(&name).is_none() {
            let message = format!("unknown input {name:?}; the model's metadata lists its inputs");
            return Err(Failure::invalid("unknown_input", message));
        }
        if columns.iter().any(|(other, _)| *other == name) {
            return Err(Failure::invalid("duplicate_input", format!("input {name:?} is given twice")));
        }
        let (rows, width) = tensor.dimensions()?;
        if width != 1 || count.is_some_and(|count| count != rows) {
            let expected = count.map_or_else(|| "rows".to_owned(), |count: usize| count.to_string());
            let message =
                format!("input {name:?}: expected a shape of [{expected}, 1], got {:?}", tensor.shape);
            return Err(Failure::invalid("invalid_shape", message));
        }
        count = Some(rows);
        columns.push((name, tensor.elements()?));
    }
    let Some(count) = count else {
        return Err(Failure::invalid("invalid_request", "there are no inputs"));
    };
    checked(count, signature, |at, row| {
        let named: Vec<_> =
            columns.iter().map(|(name, values)| (name.as_str(), values[at].clone())).collect();
        signature.read_named(&named, row)
    })
}

/// Rows that the signature has read one by one, for types that are more than numbers.
fn checked(
    count: usize,
    signature: &Signature,
    read: impl Fn(usize, &mut CheckedRow) -> Result<(), InvalidInput>,
) -> Result<Array2<f64>, Failure> {
    let mut numbers = Vec::with_capacity(count * signature.len());
    let mut row = CheckedRow::new();
    for at in 0..count {
        read(at, &mut row).map_err(|error| {
            let details = serve_app::ServiceError::from(error.clone()).details.unwrap_or(Json::Null);
            Failure::invalid("invalid_row", format!("row {at}: {error}: {details}"))
        })?;
        numbers.extend_from_slice(row.values());
    }
    shaped(count, signature.len(), numbers)
}

fn shaped(rows: usize, columns: usize, numbers: Vec<f64>) -> Result<Array2<f64>, Failure> {
    Array2::from_shape_vec((rows, columns), numbers).map_err(|error| {
        Failure::invalid("invalid_shape", format!("the tensor's shape does not fit: {error}"))
    })
}

fn number(value: &Value<'_>) -> f64 {
    match value {
        Value::Number(x) => *x,
        Value::Bool(x) => f64::from(u8::from(*x)),
        Value::Missing | Value::Text(_) | Value::Other(_) => f64::NAN,
    }
}
