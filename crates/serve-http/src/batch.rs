//! `POST /predict/batch`: many predictions, each answered for itself.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serve_app::{Answered, Context, Fault, PredictRequest, Priority, Service, Stage};

use crate::call::{Call, object};
use crate::failure::Failure;
use crate::predict::{Asked, with_response_to};
use crate::predict_body::{Instance, PredictBody, Text, model_query};
use crate::reply::{self, Reply};
use crate::routes::App;

/// A batch of requests `R`, instances `I` or symbols `S`: rows that are read with it, or, where one cannot be, rows that are read
/// one by one, so that it fails alone.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
#[serde(bound(deserialize = "R: Deserialize<'de>, I: Deserialize<'de>, S: Deserialize<'de>"))]
struct BatchBody<'a, R, I, S> {
    requests: Option<Vec<R>>,
    /// Other servers' word: each a row of features, or all that a request may be.
    instances: Option<Vec<I>>,
    /// Another's: whom stored features describe.
    symbols: Option<Vec<S>>,
    /// With `symbols`: each names the model `<symbol>-<horizon>`.
    #[serde(borrow)]
    horizon: Option<Cow<'a, str>>,
    model: Option<Cow<'a, str>>,
    feature_set: Option<Cow<'a, str>>,
    model_type: Option<Cow<'a, str>>,
    model_version: Option<Cow<'a, str>>,
    explain: Option<bool>,
    /// 1 goes first; 0 is nothing said.
    priority: Option<Urgency>,
}

/// A number from 0 to 255 as JSON has them, where `3.0` is `3`.
#[derive(Deserialize)]
#[serde(try_from = "f64")]
struct Urgency(u8);

impl TryFrom<f64> for Urgency {
    type Error = String;

    fn try_from(x: f64) -> Result<Self, String> {
        let whole = (0.0..=255.0).contains(&x) && x.fract() == 0.0;
        whole
            .then_some(Self(x as u8))
            .ok_or_else(|| format!("expected a whole number from 0 to 255, got {x}"))
    }
}

/// The rows of a batch that are read with it.
type Whole<'a> = BatchBody<'a, PredictBody<'a>, Instance<'a>, Text<'a>>;

/// A row that is still to be read.
type Unread<'a> = &'a RawValue;

impl<'a, R: Row<'a, PredictBody<'a>>, I: Row<'a, Instance<'a>>, S: Row<'a, Text<'a>>> BatchBody<'a, R, I, S> {
    /// What each row asks for, by whichever of the three words they came.
    fn rows(self, service: &Service, context: &Context) -> Result<Rows<'a>, Failure> {
        let Self {
            requests, instances, symbols, horizon, model, feature_set, model_type, model_version, ..
        } = self;
        self.priority.into_iter().for_each(|Urgency(said)| context.set_priority(Priority::of(said)));
        let common = model_query(model.as_deref(), feature_set, model_type, model_version.as_deref())?;
        let explain = self.explain == Some(true);
        let row = |body: PredictBody<'a>| {
            let mut body = body;
            body.explain_by_default(explain);
            let request = body.request()?;
            Ok(PredictRequest { model: request.model.clone().or(&common), ..request })
        };
        match (requests, instances, symbols) {
            (Some(requests), None, None) if horizon.is_none() => {
                service.check_rows(requests.len())?;
                Ok(requests.into_iter().map(|request| row(request.read()?)).collect())
            }
            (None, Some(instances), None) if horizon.is_none() => {
                service.check_rows(instances.len())?;
                Ok(instances.into_iter().map(|instance| row(instance.read()?.0)).collect())
            }
            (None, None, Some(symbols)) => {
                service.check_rows(symbols.len())?;
                let symbol = |symbol: S| row(PredictBody::of_symbol(symbol.read()?.0, horizon.clone()));
                Ok(symbols.into_iter().map(symbol).collect())
            }
            _ => Err(Failure::invalid("invalid_request", ONE_OF)),
        }
    }
}

/// A row of a batch, which was read or is still to be.
trait Row<'a, T> {
    fn read(self) -> Result<T, Failure>;
}

macro_rules! was_read {
    ($($row:ident),*) => {
        $(impl<'a> Row<'a, Self> for $row<'a> {
            fn read(self) -> Result<Self, Failure> {
                Ok(self)
            }
        })*
    };
}

was_read!(PredictBody, Instance, Text);

impl<'a, T: Deserialize<'a>> Row<'a, T> for Unread<'a> {
    fn read(self) -> Result<T, Failure> {
        serde_json::from_str(self.get()).map_err(|error| Failure::of_row(&error))
    }
}

const ONE_OF: &str =
    "a batch has exactly one of requests, instances and symbols, and horizon stands with symbols only";

/// Answers per row; a bad row fails alone.
pub(crate) async fn predict_batch(app: &App, call: Box<Call>) -> Result<Reply, Failure> {
    if app.service.reads_apart(call.body.len()) {
        let service = Arc::clone(&app.service);
        let read = move |call: &Call| {
            let rows = read(&service, call)?.into_iter();
            Ok(rows.map(|row| row.map(PredictRequest::into_static)).collect::<Vec<_>>())
        };
        let (call, rows) = app.read(call, read).await?;
        return answered(app, &call, rows).await;
    }
    let rows = call.context.timed(Stage::Parse, || read(&app.service, &call))?;
    answered(app, &call, rows).await
}

/// What each row asks for, or why it cannot be read.
type Rows<'a> = Vec<Result<PredictRequest<'a>, Failure>>;

fn read<'a>(service: &Service, call: &'a Call) -> Result<Rows<'a>, Failure> {
    let Some(body) = call.json_body()? else {
        return Err(Failure::unreadable("malformed_json", "the body is empty; expected {\"requests\": […]}"));
    };
    match object::<Whole<'a>>(body) {
        Ok(whole) => whole.rows(service, &call.context),
        // Perhaps it is one of the rows that cannot be read; else what is wrong is told.
        Err(_) => {
            object::<BatchBody<'a, Unread<'a>, Unread<'a>, Unread<'a>>>(body)?.rows(service, &call.context)
        }
    }
}

async fn answered(app: &App, call: &Call, rows: Rows<'_>) -> Result<Reply, Failure> {
    let rows = answer(app, call, rows).await?;
    let tail = Tail {
        count: rows.len(),
        failed: rows.iter().filter(|row| row.is_err()).count(),
        request_id: &call.id.0,
        timestamp: reply::timestamp(app.service.now()),
    };
    let tail = serde_json::to_vec(&tail).map_err(|_| Failure::internal())?;
    let entries = write(app, call, rows).await?;
    Ok(reply::raw(StatusCode::OK, joined(&entries, &tail).into()))
}

/// What one row came to.
type Outcome = Result<Answered, Failure>;

/// Rows that do not read fail here and are not asked.
async fn answer(app: &App, call: &Call, rows: Rows<'_>) -> Result<Vec<Outcome>, Failure> {
    let mut asked: Vec<PredictRequest<'_>> = Vec::with_capacity(rows.len());
    let rows = rows.into_iter().map(|row| row.map(|request| asked.push(request)));
    let rows: Vec<Result<(), Failure>> = rows.collect();
    for failure in rows.iter().filter_map(|row| row.as_ref().err()) {
        call.context.refuse_row(failure.code(), Fault::Client);
    }
    let mut answers = app.service.predict_batch(&call.context, &asked).await?.into_iter();
    let lost = || Err(Failure::internal());
    let answered = |row: Result<(), Failure>| {
        row.and_then(|()| answers.next().map_or_else(lost, |answer| answer.map_err(Failure::from)))
    };
    Ok(rows.into_iter().map(answered).collect())
}

/// Writing one row's entry takes about so long.
const ENTRY_COST: Duration = Duration::from_micros(4);

/// So many entries are written at a time; in between the deadline is looked at, and others have their turn.
const ENTRIES_A_PART: usize = 128;

/// The entries of all rows, some to a part, without what stands around them.
async fn write(app: &App, call: &Call, rows: Vec<Outcome>) -> Result<Vec<Vec<u8>>, Failure> {
    let cost = ENTRY_COST * u32::try_from(rows.len()).unwrap_or(u32::MAX);
    let mut parts = Vec::with_capacity(rows.len().div_ceil(ENTRIES_A_PART));
    let mut rows = rows.into_iter().peekable();
    while rows.peek().is_some() {
        parts.push(rows.by_ref().take(ENTRIES_A_PART).collect::<Vec<_>>());
    }
    let (context, id, now) = (Arc::clone(&call.context), Arc::clone(&call.id.0), app.service.now());
    let write = move |part: Vec<Outcome>| entries(&part, &Asked { id: &id, context: &context, now });
    Ok(app.service.write(&call.context, cost, parts, write).await?)
}

/// Some rows' entries, with commas between them.
fn entries(rows: &[Outcome], asked: &Asked<'_>) -> Vec<u8> {
    let mut written = Vec::with_capacity(rows.len() * 1024);
    for row in rows {
        if !written.is_empty() {
            written.push(b',');
        }
        // Only a map with keys that are not text fails, and no answer of ours has one.
        let _ = match row {
            Ok(answered) => {
                with_response_to(asked, answered, |response| serde_json::to_writer(&mut written, response))
            }
            Err(failure) => serde_json::to_writer(&mut written, &failure.entry()),
        };
    }
    written
}

/// `{"success":true,"predictions":[…],` and the tail's keys.
fn joined(entries: &[Vec<u8>], tail: &[u8]) -> Vec<u8> {
    let mut body =
        Vec::with_capacity(entries.iter().map(|part| part.len() + 1).sum::<usize>() + tail.len() + 64);
    body.extend_from_slice(br#"{"success":true,"predictions":["#);
    for (at, part) in entries.iter().enumerate() {
        if at > 0 {
            body.push(b',');
        }
        body.extend_from_slice(part);
    }
    body.extend_from_slice(b"],");
    body.extend_from_slice(tail.strip_prefix(b"{").unwrap_or(tail));
    body
}

/// What stands behind the entries.
#[derive(Serialize)]
struct Tail<'a> {
    count: usize,
    failed: usize,
    request_id: &'a str,
    timestamp: String,
}
