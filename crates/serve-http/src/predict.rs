//! `POST /predict` and `POST /predict/both`.

use http::StatusCode;
use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};
use serve_app::{Answered, Compared};
use serve_core::response::{
    ExplanationBody, FallbackInfo, FeatureInfo, FeatureSource, ModelInfo, Performance, PredictResponse,
    PredictionBody, Text as AnyText,
};

use crate::call::Call;
use crate::failure::Failure;
use crate::predict_body::{PredictBody, TEXTS};
use crate::reply::{self, Millis, Reply};
use crate::routes::App;

/// What a prediction's query may say.
pub(crate) const QUERY: [&str; 10] = [
    TEXTS[0],
    TEXTS[1],
    TEXTS[2],
    TEXTS[3],
    TEXTS[4],
    TEXTS[5],
    TEXTS[6],
    TEXTS[7],
    "use_cached_features",
    "explain",
];

/// One prediction.
pub(crate) async fn predict(app: &App, call: Call) -> Result<Reply, Failure> {
    let request = read(&call)?.request()?;
    let answered = app.service.predict(&request).await?;
    Ok(with_response(app, &call, &answered, |response| reply::json(StatusCode::OK, response)))
}

/// The same question to every compared feature set.
pub(crate) async fn predict_both(app: &App, call: Call) -> Result<Reply, Failure> {
    let request = read(&call)?.request()?;
    let compared = app.service.compare(&request).await?;
    Ok(reply::json(StatusCode::OK, &ComparedBody { app, call: &call, compared: &compared }))
}

fn read(call: &Call) -> Result<PredictBody<'_>, Failure> {
    let query = PredictBody::of_query(call.query(&QUERY)?)?;
    match call.json_body()? {
        None => Ok(query),
        Some(body) => serde_json::from_slice::<PredictBody<'_>>(body)?.with_query(query),
    }
}

/// Builds the answer of one prediction and hands it to `write`.
pub(crate) fn with_response<R>(
    app: &App,
    call: &Call,
    answered: &Answered,
    write: impl FnOnce(&PredictResponse<'_>) -> R,
) -> R {
    let Answered { deployment, prediction, gathered, explanation, fallback } = answered;
    let digest = deployment.digest();
    let prediction_id = uuid::Uuid::now_v7();
    let now = Millis(app.service.now());
    let stored_at = gathered.timestamp.map(Millis);
    write(&PredictResponse {
        success: true,
        request_id: &call.id.0,
        prediction_id: &prediction_id,
        prediction: PredictionBody { pipeline: deployment.pipeline(), prediction },
        explanation: explanation.as_ref().map(ExplanationBody),
        model_info: ModelInfo {
            fallback: fallback.as_ref().map(|fallback| FallbackInfo {
                instead_of: fallback.instead_of.as_str(),
                reason: &fallback.reason,
            }),
            ..ModelInfo::new(deployment.manifest(), &digest, gathered.row.imputed(), gathered.row.ignored())
        },
        features: FeatureInfo {
            source: gathered.source,
            entity: gathered.entity.as_ref().map(serve_features::Entity::as_str),
            timestamp: stored_at.as_ref().map(|at| at as &dyn AnyText),
            age_seconds: gathered.age_seconds,
        },
        performance: Performance {
            response_time_ms: milliseconds(call),
            cached_features: gathered.source != FeatureSource::Request,
        },
        degraded: fallback.is_some(),
        timestamp: &now,
    })
}

/// Since the request began, in milliseconds with three places.
fn milliseconds(call: &Call) -> f64 {
    (call.began.elapsed().as_secs_f64() * 1e6).round() / 1e3
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
        let total = serde_json::json!({ "total_response_time_ms": milliseconds(self.call) });
        map.serialize_entry("performance", &total)?;
        map.serialize_entry("request_id", &*self.call.id.0)?;
        map.serialize_entry("timestamp", &reply::timestamp(self.app.service.now()))?;
        map.end()
    }
}
