//! MLflow's scoring server: `/invocations` with its four forms of JSON, CSV and Parquet, `/ping` and `/version`, its words for
//! errors included, so that its clients need no change.
//!
//! MLflow serves one model, this server many: without more `/invocations` is the default model's, the query says another
//! (`?model=name@version`), and `/models/{name}/invocations` is one model's, for clients that take a prefix.

use std::sync::Arc;

use http::{HeaderValue, StatusCode, header};
use ndarray::Array2;
use serde::Serialize;
use serve_app::{Code, ModelQuery};
use serve_core::{BatchPrediction, ModelName};
use serve_registry::Deployment;

use crate::call::Call;
use crate::failure::Failure;
use crate::models;
use crate::reply::{self, Reply};
use crate::routes::App;
use crate::scoring::{self, Predictions};
use crate::table::json::TableSeed;
use crate::table::{FirstRow, body, file};

/// The answer.
#[derive(Serialize)]
struct InvocationsReply<'a> {
    predictions: Predictions<'a>,
}

/// What a body is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Json,
    Csv,
    Parquet,
}

const KINDS: [(&str, Kind); 4] = [
    ("application/json", Kind::Json),
    ("text/csv", Kind::Csv),
    ("application/vnd.apache.parquet", Kind::Parquet),
    ("application/x-parquet", Kind::Parquet),
];

/// `POST /invocations` and `POST /models/{name}/invocations`.
pub(crate) async fn invocations(app: &App, call: Box<Call>) -> Result<Reply, Failure> {
    let kind = kind(&call)?;
    let deployment = app.service.deployment(&call.context, &query(&call)?).await?;
    let context = Arc::clone(&call.context);
    scoring::counted(app, &context, deployment, |deployment| answer(app, call, kind, deployment)).await
}

async fn answer(
    app: &App,
    call: Box<Call>,
    kind: Kind,
    deployment: Arc<Deployment>,
) -> Result<Reply, Failure> {
    let (call, (first, matrix)) = read(app, call, kind, &deployment).await?;
    let batch = scoring::predict_table(app, &call.context, &deployment, first, matrix).await?;
    let write = |batch: &BatchPrediction, deployment: &Deployment| {
        reply::json(StatusCode::OK, &InvocationsReply { predictions: Predictions::of(batch, deployment) })
    };
    let cost = scoring::writing(batch.scores().len());
    scoring::write(app, &call.context, cost, deployment, batch, write).await
}

/// The rows of a body, and the first of them where a guard window wants it.
async fn read(
    app: &App,
    call: Box<Call>,
    kind: Kind,
    deployment: &Arc<Deployment>,
) -> Result<(Box<Call>, (Option<FirstRow>, Array2<f64>)), Failure> {
    let (deployment, most) = (Arc::clone(deployment), app.service.batch_rows());
    if kind == Kind::Json {
        let read = move |call: &Call| {
            let seed = TableSeed { signature: deployment.pipeline().signature(), most };
            let read =
                |body: body::Body<'_>| scoring::read_table(table(body, seed)?, &call.context, &deployment);
            body::read(&call.body, seed, read)
        };
        return app.read(call, read).await;
    }
    let read = move || {
        let asked =
            file::Asked { signature: deployment.pipeline().signature(), most, context: &call.context };
        let matrix = match kind {
            Kind::Parquet => file::parquet(call.body.clone(), asked),
            _ => file::csv(&call.body, asked),
        };
        matrix.map(|matrix| (call, (None, matrix)))
    };
    tokio::task::spawn_blocking(read).await.map_err(|_| Failure::internal())?
}

/// The one table of a body.
fn table<'a>(body: body::Body<'a>, seed: TableSeed<'_>) -> Result<crate::table::Table<'a>, Failure> {
    let received = || body::exactly_one(&format!("Received dictionary with input fields: {:?}", body.keys));
    if body.several || body.table.is_none() {
        return Err(Failure::invalid("invalid_request", received()));
    }
    if body.signature_name.is_some() {
        let message = "\"signature_name\" parameter is currently not supported";
        return Err(Failure::invalid("not_supported", message));
    }
    let message = received();
    let table = body.named_table(seed.signature)?;
    table.map(|(_, table)| table).ok_or_else(|| Failure::invalid("invalid_request", message))
}

/// The model that the path or the query names.
fn query(call: &Call) -> Result<ModelQuery, Failure> {
    let query = models::queried(call)?;
    if call.path("name").is_empty() {
        return Ok(query);
    }
    let name: ModelName = call.path_as("name", Code::UnknownModel)?;
    if let Some(other) = query.name.as_ref().filter(|other| **other != name) {
        let message = format!("the path names model {:?}, the query {:?}", name.as_str(), other.as_str());
        return Err(Failure::invalid("conflicting_request", message));
    }
    Ok(ModelQuery { name: Some(name), ..query })
}

/// What the body says it is. The only parameter is the character set, which is UTF-8.
fn kind(call: &Call) -> Result<Kind, Failure> {
    let Some(value) = call.parts.headers.get(header::CONTENT_TYPE) else { return Ok(Kind::Json) };
    let text = value.to_str().unwrap_or("not text");
    let mut parts = text.split(';').map(str::trim);
    let essence = parts.next().unwrap_or_default();
    for parameter in parts.filter(|part| !part.is_empty()) {
        let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
        if !name.trim().eq_ignore_ascii_case("charset") {
            let message = format!("Unrecognized content type parameters: {:?}", name.trim());
            return Err(Failure::media_type_message(message));
        }
        if !value.trim().trim_matches('"').eq_ignore_ascii_case("utf-8") {
            return Err(Failure::media_type_message("The scoring server only supports UTF-8"));
        }
    }
    let known = KINDS.iter().find(|(name, _)| essence.eq_ignore_ascii_case(name));
    known.map(|(_, kind)| *kind).ok_or_else(|| {
        let kinds = [KINDS[0].0, KINDS[1].0, KINDS[2].0].join(", ");
        let message =
            format!("This predictor only supports the following content types: {kinds}. Got {text:?}.");
        Failure::media_type_message(message)
    })
}

/// `GET /ping` and `GET /models/{name}/ping`: 200 where a model can answer, 404 where there is none.
pub(crate) async fn ping(app: &App, call: Box<Call>) -> Result<Reply, Failure> {
    if app.is_draining() {
        return Err(Failure::not_ready("the server is stopping"));
    }
    if call.path("name").is_empty() {
        if app.service.registry().find(None, None).is_empty() {
            return Err(serve_app::ServiceError::new(Code::UnknownModel, "there is no model").into());
        }
    } else {
        models::find(app, &call)?;
    }
    Ok(plain("\n"))
}

/// `GET /version`: the version alone.
pub(crate) async fn version(_app: &App, _call: Box<Call>) -> Result<Reply, Failure> {
    Ok(plain(env!("CARGO_PKG_VERSION")))
}

fn plain(text: &'static str) -> Reply {
    let mut reply = reply::raw(StatusCode::OK, text.into());
    reply.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    reply
}
