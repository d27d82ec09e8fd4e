//! `POST /predict` and `POST /predict/both`.

use http::StatusCode;
use jiff::Timestamp;
use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};
use serve_app::gather::source;
use serve_app::text::Millis;
use serve_app::{Answered, Compared, Context, Fetched, Gathered, PredictRequest, Stage};
use serve_core::Digest;
use serve_core::response::{
    ExplanationBody, FallbackInfo, FeatureInfo, ModelBody, ModelInfo, Performance, PredictResponse,
    PredictionBody, RowInfo, SetInfo, Text as AnyText,
};
use serve_features::{MaxAge, Origin};

use crate::call::Call;
use crate::failure::Failure;
use crate::predict_body::{PredictBody, TEXTS, USE_CACHED};
use crate::reply::{self, Reply};
use crate::routes::App;

/// What a prediction's query may say.
pub(crate) const QUERY: [&str; 11] = [
    TEXTS[0], TEXTS[1], TEXTS[2], TEXTS[3], TEXTS[4], TEXTS[5], TEXTS[6], TEXTS[7], TEXTS[8], USE_CACHED,
    "explain",
];

/// One prediction.
pub(crate) async fn predict(app: &App, call: Box<Call>) -> Result<Reply, Failure> {
    if app.service.reads_apart(call.body.len()) {
        let (call, request) = app.read(call, read_whole).await?;
        return predicted(app, &call, &request).await;
    }
    let request = call.context.timed(Stage::Parse, || read(&call)?.request())?;
    predicted(app, &call, &request).await
}

async fn predicted(app: &App, call: &Call, request: &PredictRequest<'_>) -> Result<Reply, Failure> {
    let answered = app.service.predict(&call.context, request).await?;
    Ok(with_response(app, call, &answered, |response| reply::json(StatusCode::OK, response)))
}

/// The same question to every compared feature set.
pub(crate) async fn predict_both(app: &App, call: Box<Call>) -> Result<Reply, Failure> {
    let (call, request) = app.read(call, read_whole).await?;
    let compared = app.service.compare(&call.context, &request).await?;
    Ok(reply::json(StatusCode::OK, &ComparedBody { app, call: &call, compared: &compared }))
}

fn read(call: &Call) -> Result<PredictBody<'_>, Failure> {
    let query = PredictBody::of_query(call.query(&QUERY)?)?;
    match call.json_body()? {
        None => Ok(query),
        Some(body) => PredictBody::of_json(body)?.with_query(query),
    }
}

/// The request without a borrow from its body.
fn read_whole(call: &Call) -> Result<PredictRequest<'static>, Failure> {
    read(call)?.request().map(PredictRequest::into_static)
}

/// Builds the answer of one prediction and hands it to `write`.
pub(crate) fn with_response<R>(
    app: &App,
    call: &Call,
    answered: &Answered,
    write: impl FnOnce(&PredictResponse<'_>) -> R,
) -> R {
    let asked = Asked { id: &call.id.0, context: &call.context, now: app.service.now() };
    with_response_to(&asked, answered, write)
}

/// Of what asked for a prediction, what its answer tells.
pub(crate) struct Asked<'a> {
    pub(crate) id: &'a str,
    pub(crate) context: &'a Context,
    pub(crate) now: Timestamp,
}

/// [`with_response`] to what came in another way than a request of its own.
pub(crate) fn with_response_to<R>(
    asked: &Asked<'_>,
    answered: &Answered,
    write: impl FnOnce(&PredictResponse<'_>) -> R,
) -> R {
    let Answered { deployment, prediction, gathered, explanation, cached, fallback } = answered;
    let digest = deployment.digest();
    let mut id = [0; uuid::fmt::Hyphenated::LENGTH];
    let mut now = String::with_capacity(32);
    // Writing to a string does not fail.
    let _ = Millis(asked.now).write(&mut now);
    let moments: Vec<Moments> = gathered.fetched.iter().map(Moments::of).collect();
    let degraded_reason = fallback.as_ref().map(|fallback| fallback.reason.as_str()).or(gathered.degraded());
    write(&PredictResponse {
        success: true,
        request_id: asked.id,
        prediction_id: crate::id::new().hyphenated().encode_lower(&mut id),
        prediction: PredictionBody { pipeline: deployment.pipeline(), prediction },
        explanation: explanation.as_ref().map(ExplanationBody),
        model_info: model_info(answered, &digest),
        features: feature_info(gathered, &moments),
        performance: Performance {
            response_time_ms: milliseconds(asked.context),
            cached_features: !gathered.fetched.is_empty()
                && gathered.fetched.iter().all(|row| row.retrieved.origin != Origin::Computed),
        },
        cached: *cached,
        degraded: degraded_reason.is_some(),
        degraded_reason,
        timestamp: &now,
    })
}

/// Who answered. Nearly always there is nothing to tell of the row.
fn model_info<'a>(answered: &'a Answered, digest: &'a Digest) -> ModelBody<'a> {
    let Answered { deployment, gathered, fallback, .. } = answered;
    let (imputed, ignored) = (gathered.row.imputed(), gathered.row.ignored());
    if let (true, 0, None, Some(written)) = (imputed.is_empty(), ignored, fallback, deployment.written()) {
        return ModelBody::Written(written);
    }
    let fallback = fallback
        .as_ref()
        .map(|fallback| FallbackInfo { instead_of: fallback.instead_of.as_str(), reason: &fallback.reason });
    let about = ModelInfo::new(deployment.manifest(), digest, imputed, ignored);
    ModelBody::Told(Box::new(ModelInfo { fallback, ..about }))
}

/// The moments that an answer tells of one row.
struct Moments {
    row: Millis,
    skipped_future: Option<Millis>,
}

impl Moments {
    fn of(fetched: &Fetched) -> Self {
        let retrieved = &fetched.retrieved;
        Self { row: Millis(retrieved.row.timestamp()), skipped_future: retrieved.skipped_future.map(Millis) }
    }
}

/// Where the features came from. Several rows are told each, and together as the oldest of them.
fn feature_info<'a>(gathered: &'a Gathered, moments: &'a [Moments]) -> FeatureInfo<'a> {
    let rows = || gathered.fetched.iter().zip(moments);
    let oldest = rows().max_by(|(a, _), (b, _)| a.retrieved.age_seconds.total_cmp(&b.retrieved.age_seconds));
    let row = oldest.map(|(fetched, moments)| row_info(fetched, moments)).unwrap_or_default();
    if gathered.fetched.len() < 2 {
        return FeatureInfo { source: gathered.source, row, sets: Vec::new() };
    }
    let set = |(fetched, moments): (&'a Fetched, &'a Moments)| SetInfo {
        source: source(fetched.retrieved.origin),
        row: row_info(fetched, moments),
    };
    let RowInfo { entity, timestamp, age_seconds, max_age_seconds, .. } = row;
    let together = RowInfo { entity, timestamp, age_seconds, max_age_seconds, ..RowInfo::default() };
    FeatureInfo { source: gathered.source, row: together, sets: rows().map(set).collect() }
}

fn row_info<'a>(fetched: &'a Fetched, moments: &'a Moments) -> RowInfo<'a> {
    let retrieved = &fetched.retrieved;
    RowInfo {
        set: Some(fetched.set.as_str()),
        entity: Some(retrieved.row.entity().as_str()),
        timestamp: Some(&moments.row),
        age_seconds: Some(retrieved.age_seconds),
        max_age_seconds: match fetched.limit {
            MaxAge::Limit(limit) => Some(limit.as_secs_f64()),
            MaxAge::Unlimited => None,
        },
        from_future: retrieved.from_future,
        skipped_future: moments.skipped_future.as_ref().map(|at| at as &dyn AnyText),
        outdated: retrieved.outdated,
        warm: retrieved.warm,
        imputed: retrieved.filled.iter().map(|name| &**name).collect(),
        invalid: retrieved.invalid.iter().map(|violation| violation as &dyn AnyText).collect(),
        degraded_reason: retrieved.degraded.as_deref(),
    }
}

/// Since the request began, in milliseconds with three places.
fn milliseconds(context: &Context) -> f64 {
    (context.began().elapsed().as_secs_f64() * 1e6).round() / 1e3
}

struct ComparedBody<'a> {
    app: &'a App,
    call: &'a Call,
    compared: &'a Compared,
}

impl Serialize for ComparedBody<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for (set, answered) in &self.compared.answers {
            with_response(self.app, self.call, answered, |response| map.serialize_entry(set, response))?;
        }
        map.serialize_entry("agreement", &self.compared.agreement)?;
        let total = serde_json::json!({ "total_response_time_ms": milliseconds(&self.call.context) });
        map.serialize_entry("performance", &total)?;
        map.serialize_entry("request_id", &*self.call.id.0)?;
        map.serialize_entry("timestamp", &reply::timestamp(self.app.service.now()))?;
        map.end()
    }
}
