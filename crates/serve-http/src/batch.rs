//! `POST /predict/batch`: many predictions, each answered for itself.

use std::borrow::Cow;

use http::StatusCode;
use serde::ser::{SerializeSeq, Serializer};
use serde::{Deserialize, Serialize};
use serve_app::{Answered, Context, ModelQuery, PredictRequest, Priority, ServiceError};

use crate::call::Call;
use crate::failure::Failure;
use crate::predict::with_response;
use crate::predict_body::{Instance, PredictBody, Text, model_query};
use crate::reply::{self, Reply};
use crate::routes::App;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct BatchBody<'a> {
    #[serde(borrow)]
    requests: Option<Vec<PredictBody<'a>>>,
    /// Other servers' word: each a row of features, or all that a request may be.
    instances: Option<Vec<Instance<'a>>>,
    /// Another's: whom stored features describe.
    symbols: Option<Vec<Text<'a>>>,
    /// With `symbols`: each names the model `<symbol>-<horizon>`.
    horizon: Option<Cow<'a, str>>,
    model: Option<Cow<'a, str>>,
    feature_set: Option<Cow<'a, str>>,
    model_type: Option<Cow<'a, str>>,
    model_version: Option<Cow<'a, str>>,
    explain: Option<bool>,
    /// 1 goes first; 0 is nothing said.
    priority: Option<Whole>,
}

/// A number from 0 to 255 as JSON has them, where `3.0` is `3`.
#[derive(Deserialize)]
#[serde(try_from = "f64")]
struct Whole(u8);

impl TryFrom<f64> for Whole {
    type Error = String;

    fn try_from(x: f64) -> Result<Self, String> {
        let whole = (0.0..=255.0).contains(&x) && x.fract() == 0.0;
        whole
            .then_some(Self(x as u8))
            .ok_or_else(|| format!("expected a whole number from 0 to 255, got {x}"))
    }
}

impl<'a> BatchBody<'a> {
    /// The rows, by whichever of the three words they came.
    fn take_rows(&mut self) -> Result<Vec<PredictBody<'a>>, Failure> {
        let horizon = self.horizon.take();
        match (self.requests.take(), self.instances.take(), self.symbols.take()) {
            (Some(requests), None, None) if horizon.is_none() => Ok(requests),
            (None, Some(instances), None) if horizon.is_none() => {
                Ok(instances.into_iter().map(|Instance(body)| body).collect())
            }
            (None, None, Some(symbols)) => {
                let row = |Text(symbol)| PredictBody::of_symbol(symbol, horizon.clone());
                Ok(symbols.into_iter().map(row).collect())
            }
            _ => Err(Failure::invalid("invalid_request", ONE_OF)),
        }
    }
}

const ONE_OF: &str =
    "a batch has exactly one of requests, instances and symbols, and horizon stands with symbols only";

/// Answers per row; a bad row fails alone.
pub(crate) async fn predict_batch(app: &App, call: Call) -> Result<Reply, Failure> {
    let Some(body) = call.json_body()? else {
        return Err(Failure::unreadable("malformed_json", "the body is empty; expected {\"requests\": […]}"));
    };
    let mut body: BatchBody<'_> = serde_json::from_slice(body)?;
    let mut requests = body.take_rows()?;
    let BatchBody { model, feature_set, model_type, model_version, explain, priority, .. } = body;
    priority.into_iter().for_each(|Whole(said)| call.context.set_priority(Priority::of(said)));
    requests.iter_mut().for_each(|request| request.explain_by_default(explain == Some(true)));
    app.service.check_rows(requests.len())?;
    let common = model_query(model.as_deref(), feature_set, model_type, model_version.as_deref())?;
    let (rows, answers) = answer(app, &call.context, requests, &common).await?;
    let failed =
        rows.iter().filter(|row| row.is_err()).count() + answers.iter().filter(|a| a.is_err()).count();
    let entries = Entries { app, call: &call, rows: &rows, answers: &answers };
    let reply = BatchReply {
        success: true,
        count: rows.len(),
        failed,
        predictions: entries,
        request_id: &call.id.0,
        timestamp: reply::timestamp(app.service.now()),
    };
    Ok(reply::json(StatusCode::OK, &reply))
}

type Answers = Vec<Result<Answered, ServiceError>>;

/// Rows that do not read fail here and are not asked; `rows` says for each which answer is its, or why it has none.
async fn answer(
    app: &App,
    context: &Context,
    bodies: Vec<PredictBody<'_>>,
    common: &ModelQuery,
) -> Result<(Vec<Result<usize, Failure>>, Answers), Failure> {
    let mut asked: Vec<PredictRequest<'_>> = Vec::with_capacity(bodies.len());
    let rows = bodies.into_iter().map(|body| {
        let request = body.request()?;
        let model = request.model.clone().or(common);
        asked.push(PredictRequest { model, ..request });
        Ok(asked.len() - 1)
    });
    let rows = rows.collect();
    let answers = app.service.predict_batch(context, &asked).await?;
    Ok((rows, answers))
}

#[derive(Serialize)]
struct BatchReply<'a> {
    success: bool,
    predictions: Entries<'a>,
    count: usize,
    failed: usize,
    request_id: &'a str,
    timestamp: String,
}

struct Entries<'a> {
    app: &'a App,
    call: &'a Call,
    rows: &'a [Result<usize, Failure>],
    answers: &'a [Result<Answered, ServiceError>],
}

impl Serialize for Entries<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut list = serializer.serialize_seq(Some(self.rows.len()))?;
        for row in self.rows {
            match row.as_ref().map(|&at| &self.answers[at]) {
                Ok(Ok(answered)) => {
                    with_response(self.app, self.call, answered, |response| {
                        list.serialize_element(response)
                    })?;
                }
                Ok(Err(error)) => list.serialize_element(&Failure::from(error.clone()).entry())?,
                Err(failure) => list.serialize_element(&failure.entry())?,
            }
        }
        list.end()
    }
}
