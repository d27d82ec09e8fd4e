//! `POST /v2/models/{name}[/versions/{version}]/infer`.

use std::cell::Cell;
use std::sync::Arc;

use http::StatusCode;
use ndarray::Array2;
use serve_app::context::Priority;
use serve_app::{Context, Service, Stage, text};
use serve_core::BatchPrediction;
use serve_registry::Deployment;

use super::matrix::matrix;
use super::outputs::{Output, Wanted, wanted};
use super::request::{HEADER_LENGTH, InferRequest};
use super::{Labels, failure, guarded, query};
use crate::call::Call;
use crate::failure::{Dialect, Failure};
use crate::reply::{self, Reply};
use crate::routes::App;
use crate::scoring;
use crate::short::Short;

/// Answers tensors of rows with tensors of answers. Any bad row refuses the request, as the protocol has no place for
/// errors of rows.
pub(crate) async fn infer(app: &App, call: Box<Call>) -> Result<Reply, Failure> {
    let query = query(&call)?;
    let deployment =
        app.service.deployment(&call.context, &query).await.map_err(|error| failure(&call, error))?;
    let context = Arc::clone(&call.context);
    scoring::counted(app, &context, deployment, |deployment| answer(app, call, deployment)).await
}

async fn answer(app: &App, call: Box<Call>, deployment: Arc<Deployment>) -> Result<Reply, Failure> {
    let (call, (matrix, wanted, id)) = if app.service.reads_apart(call.body.len()) {
        let (service, asked) = (Arc::clone(&app.service), Arc::clone(&deployment));
        Box::pin(app.read(call, move |call| read(&service, call, &asked))).await?
    } else {
        // What all threads count the owners of is not counted for nothing.
        let asked = call.context.timed(Stage::Parse, || read(&app.service, &call, &deployment))?;
        (call, asked)
    };
    let batch = app.service.predict_matrix(&call.context, &deployment, matrix).await?;
    for (row, outcome) in batch.iter().enumerate() {
        outcome.map_err(|error| Failure::invalid("invalid_row", format!("row {row}: {error}")))?;
    }
    let cost = scoring::writing(batch.scores().len() * wanted.len());
    let id: Arc<str> = id.map_or_else(|| Arc::clone(&call.id.0), Arc::from);
    let write = move |batch| write(&deployment, &id, &wanted, &batch);
    Ok(app.service.write_whole(&call.context, cost, batch, write).await?)
}

/// The rows of a request, which outputs it wants, and its id.
type Read = (Array2<f64>, Vec<Wanted>, Option<String>);

/// Makes sense of a request. Rows that are refused are noted as asked for.
fn read(service: &Service, call: &Call, deployment: &Deployment) -> Result<Read, Failure> {
    let signature = deployment.pipeline().signature();
    let request = InferRequest::read(&call.parts.headers, &call.body, signature)?;
    heed(&call.context, &request);
    let wanted = wanted(&request, deployment)?;
    guarded::offer(deployment, &request.inputs);
    let rows = Cell::new(0);
    let limit = |count| service.check_rows(count).inspect(|()| rows.set(count));
    let matrix = matrix(request.inputs, signature, &limit);
    Ok((matrix.inspect_err(|_| call.context.add_rows(rows.get()))?, wanted, request.id))
}

/// Notes how urgent a request says that it is, and how long its client waits.
fn heed(context: &Context, request: &InferRequest<'_>) {
    if let Some(deadline) = request.timeout().and_then(|timeout| context.began().checked_add(timeout)) {
        context.tighten(deadline);
    }
    if let Some(priority) = request.priority() {
        context.set_priority(Priority::of(priority));
    }
}

/// JSON, and after it the outputs that are binary.
fn write(deployment: &Deployment, id: &str, wanted: &[Wanted], batch: &BatchPrediction) -> Reply {
    let labels = Labels::of(deployment.manifest());
    let outputs: Vec<Output<'_>> = wanted.iter().map(|one| one.of(deployment, labels, batch)).collect();
    let size: usize = outputs.iter().map(Output::size).sum();
    let mut body = Vec::with_capacity(512 + size);
    if json(&mut body, deployment, id, &outputs).is_err() {
        return Failure::internal().reply(Dialect::Oip, id);
    }
    if !outputs.iter().any(Output::is_binary) {
        return reply::raw(StatusCode::OK, body.into());
    }
    let mut length = Short::new();
    // It has room.
    let _ = text::whole(&mut length, body.len() as u64);
    outputs.iter().for_each(|output| output.write_binary(&mut body));
    let mut reply = reply::of(StatusCode::OK, "application/octet-stream", body.into());
    length.value().into_iter().for_each(|length| drop(reply.headers_mut().insert(HEADER_LENGTH, length)));
    reply
}

/// The JSON of an answer: `{"model_name", "model_version", "id", "outputs": […]}`.
fn json(
    body: &mut Vec<u8>,
    deployment: &Deployment,
    id: &str,
    outputs: &[Output<'_>],
) -> serde_json::Result<()> {
    let manifest = deployment.manifest();
    // Names and versions have no character that JSON writes otherwise.
    let head =
        ["{\"model_name\":\"", manifest.name.as_str(), "\",\"model_version\":\"", manifest.version.as_str()];
    head.iter().for_each(|piece| body.extend_from_slice(piece.as_bytes()));
    body.extend_from_slice(b"\",\"id\":");
    let plain = |byte: u8| matches!(byte, b' ' | b'!' | b'#'..=b'[' | b']'..=b'~');
    if id.bytes().fold(true, |all, byte| all & plain(byte)) {
        ["\"", id, "\""].iter().for_each(|piece| body.extend_from_slice(piece.as_bytes()));
    } else {
        serde_json::to_writer(&mut *body, id)?;
    }
    body.extend_from_slice(b",\"outputs\":[");
    for (at, output) in outputs.iter().enumerate() {
        if at > 0 {
            body.push(b',');
        }
        output.write_json(body)?;
    }
    body.extend_from_slice(b"]}");
    Ok(())
}
