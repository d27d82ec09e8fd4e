//! TensorFlow Serving's REST API (V1) and KServe's V1 protocol: `:predict`, `:explain` and the status of a model.
//!
//! `instances` (rows: lists, objects by name, or bare values) is answered with `predictions`, `inputs` (columns) with
//! `outputs`. As TensorFlow Serving does, the body is read as JSON whatever its type says: `curl -d` says a form.

pub(crate) mod status;

use std::sync::Arc;

use http::StatusCode;
use serde::{Serialize, Serializer};
use serve_app::{Code, ModelQuery, ServiceError};
use serve_core::response::ExplanationBody;
use serve_core::{BatchPrediction, Explanation, ModelName, Selector};
use serve_registry::Deployment;

use crate::call::Call;
use crate::failure::Failure;
use crate::reply::{self, Reply};
use crate::routes::App;
use crate::scoring::{self, Predictions};
use crate::table::body::{self, Body, Field};
use crate::table::json::TableSeed;

/// The only signature that a model has, by the name that TensorFlow gives it.
const SIGNATURE: &str = "serving_default";

#[derive(Serialize)]
struct PredictionsReply<'a> {
    predictions: Predictions<'a>,
}

#[derive(Serialize)]
struct OutputsReply<'a> {
    outputs: Predictions<'a>,
}

#[derive(Serialize)]
struct ExplainReply<'a> {
    predictions: Predictions<'a>,
    explanations: Explanations<'a>,
}

/// One entry a row.
struct Explanations<'a>(&'a [Explanation]);

impl Serialize for Explanations<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().map(ExplanationBody))
    }
}

/// `POST /v1/models/{name}[/versions/{version}|/labels/{label}]:predict`.
pub(crate) async fn predict(app: &App, call: Box<Call>) -> Result<Reply, Failure> {
    let deployment = deployment(app, &call).await?;
    let context = Arc::clone(&call.context);
    scoring::counted(app, &context, deployment, |deployment| predicted(app, call, deployment)).await
}

async fn predicted(app: &App, call: Box<Call>, deployment: Arc<Deployment>) -> Result<Reply, Failure> {
    let (call, (field, first, matrix)) = read(app, call, &deployment).await?;
    let batch = scoring::predict_table(app, &call.context, &deployment, first, matrix).await?;
    let cost = scoring::writing(batch.scores().len());
    let write = move |batch: &BatchPrediction, deployment: &Deployment| {
        let predictions = Predictions::of(batch, deployment);
        if field == Field::Inputs {
            reply::json(StatusCode::OK, &OutputsReply { outputs: predictions })
        } else {
            reply::json(StatusCode::OK, &PredictionsReply { predictions })
        }
    };
    scoring::write(app, &call.context, cost, deployment, batch, write).await
}

/// `POST /v1/models/{name}[…]:explain`: KServe's.
pub(crate) async fn explain(app: &App, call: Box<Call>) -> Result<Reply, Failure> {
    let deployment = deployment(app, &call).await?;
    let context = Arc::clone(&call.context);
    scoring::counted(app, &context, deployment, |deployment| explained(app, call, deployment)).await
}

async fn explained(app: &App, call: Box<Call>, deployment: Arc<Deployment>) -> Result<Reply, Failure> {
    let (call, (_, _, matrix)) = read(app, call, &deployment).await?;
    let explained = app.service.explain_matrix(&call.context, Arc::clone(&deployment), matrix.clone()).await;
    let explained = explained.inspect_err(|_| call.context.add_rows(matrix.nrows()))?;
    let batch = scoring::predict(app, &call.context, &deployment, matrix).await?;
    // Each contribution has a name before it, which takes as long again.
    let inputs = deployment.pipeline().signature().len();
    let cost = scoring::writing(batch.scores().len().saturating_mul(2 * inputs + 1));
    let write = move |batch: &BatchPrediction, deployment: &Deployment| {
        let predictions = Predictions::of(batch, deployment);
        reply::json(StatusCode::OK, &ExplainReply { predictions, explanations: Explanations(&explained) })
    };
    scoring::write(app, &call.context, cost, deployment, batch, write).await
}

type Read = (Field, Option<crate::table::FirstRow>, ndarray::Array2<f64>);

async fn read(
    app: &App,
    call: Box<Call>,
    deployment: &Arc<Deployment>,
) -> Result<(Box<Call>, Read), Failure> {
    let (deployment, most) = (Arc::clone(deployment), app.service.batch_rows());
    let read = move |call: &Call| {
        let seed = TableSeed { signature: deployment.pipeline().signature(), most };
        body::read(&call.body, seed, |body| {
            let (field, table) = table(body, seed)?;
            let (first, matrix) = scoring::read_table(table, &call.context, &deployment)?;
            Ok((field, first, matrix))
        })
    };
    app.read(call, read).await
}

/// The one table of a body.
fn table<'a>(body: Body<'a>, seed: TableSeed<'_>) -> Result<(Field, crate::table::Table<'a>), Failure> {
    if let Some(name) = body.signature_name.as_deref().filter(|name| !matches!(*name, SIGNATURE | "")) {
        let message = format!("unknown signature_name {name:?}; the model has {SIGNATURE:?}");
        return Err(Failure::invalid("not_supported", message));
    }
    let received =
        format!("expected exactly one of \"instances\" and \"inputs\" in the body; it has {:?}", body.keys);
    let several = body.several;
    match body.named_table(seed.signature)? {
        Some((field @ (Field::Instances | Field::Inputs), table)) if !several => Ok((field, table)),
        _ => Err(Failure::invalid("invalid_request", received)),
    }
}

async fn deployment(app: &App, call: &Call) -> Result<Arc<Deployment>, Failure> {
    let query = query(call)?;
    app.service.deployment(&call.context, &query).await.map_err(|error| match error.code {
        Code::UnknownModel | Code::UnknownVersion | Code::UnknownAlias => unknown(call),
        _ => error.into(),
    })
}

/// The model and version that a path names.
fn query(call: &Call) -> Result<ModelQuery, Failure> {
    let name: ModelName = call.path("name").parse().map_err(|_| unknown(call))?;
    let selector = match (call.path("version"), call.path("label")) {
        ("", "") => None,
        (version, label) => Some(format!("{version}{label}").parse::<Selector>().map_err(|_| unknown(call))?),
    };
    Ok(ModelQuery::named(name, selector))
}

/// In TensorFlow Serving's words.
fn unknown(call: &Call) -> Failure {
    let name = call.path("name");
    let asked = match (call.path("version"), call.path("label")) {
        ("", "") => format!("Latest({name})"),
        (version, "") => format!("Specific({name}, {version})"),
        (_, label) => format!("Label({name}, {label})"),
    };
    let message = format!("Servable not found for request: {asked}");
    ServiceError::new(Code::UnknownModel, message).into()
}
