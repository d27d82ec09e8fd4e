//! `POST /v2/models/{name}[/versions/{version}]/infer`.

use std::cell::Cell;
use std::sync::Arc;

use ndarray::Array2;
use serve_app::context::Priority;
use serve_app::{Context, Service, Stage};
use serve_registry::Deployment;

use super::answer::Wish;
use super::known::{self, Candidate};
use super::matrix::matrix;
use super::request::{InferRequest, Parts, RequestParameters};
use super::{failure, guarded, query};
use crate::call::Call;
use crate::failure::Failure;
use crate::reply::Reply;
use crate::routes::App;
use crate::scoring;

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
    let (call, (matrix, wish, id)) = if app.service.reads_apart(call.body.len()) {
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
    let cost = scoring::writing(batch.scores().len() * wish.outputs());
    let id: Arc<str> = id.map_or_else(|| Arc::clone(&call.id.0), Arc::from);
    let write = move |batch| wish.write(&deployment, &id, &batch);
    Ok(app.service.write_whole(&call.context, cost, batch, write).await?)
}

/// The rows of a request, which answer it wants, and its id.
type Read = (Array2<f64>, Arc<Wish>, Option<String>);

/// Makes sense of a request. Rows that are refused are noted as asked for.
fn read(service: &Service, call: &Call, deployment: &Arc<Deployment>) -> Result<Read, Failure> {
    let parts = Parts::of(&call.parts.headers, &call.body)?;
    if let Parts::Both { json, binary } = parts
        && deployment.guard().is_none()
        && let Some(asks) = known::find(json, deployment)
        && let Some(matrix) = asks.matrix(binary)
    {
        heed(&call.context, asks.parameters);
        service.check_rows(asks.rows())?;
        return Ok((matrix, asks.wish, None));
    }
    let signature = deployment.pipeline().signature();
    let request = InferRequest::read(parts, signature)?;
    heed(&call.context, request.parameters.unwrap_or_default());
    let wish = Arc::new(Wish::of(&request, deployment)?);
    guarded::offer(deployment, &request.inputs);
    let candidate = match parts {
        Parts::Both { json, .. } => Candidate::of(json, &request, deployment),
        Parts::Json(_) | Parts::Raw(_) => None,
    };
    let rows = Cell::new(0);
    let limit = |count| service.check_rows(count).inspect(|()| rows.set(count));
    let matrix = matrix(request.inputs, signature, &limit);
    let matrix = matrix.inspect_err(|_| call.context.add_rows(rows.get()))?;
    candidate.into_iter().for_each(|candidate| candidate.learn(deployment, matrix.dim(), &wish));
    Ok((matrix, wish, request.id))
}

/// Notes how urgent a request says that it is, and how long its client waits.
fn heed(context: &Context, parameters: RequestParameters) {
    if let Some(deadline) = parameters.wait().and_then(|timeout| context.began().checked_add(timeout)) {
        context.tighten(deadline);
    }
    if let Some(priority) = parameters.urgency() {
        context.set_priority(Priority::of(priority));
    }
}
