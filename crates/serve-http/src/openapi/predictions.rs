//! The chapter of predictions.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Value as Json, json};
use utoipa::ToSchema;

use super::described::{Described, Tag};

/// What is asked. Either features come with it (`features` by name, `data` by position), or they are read or computed for
/// `entity`. An object with none of these keys is read as features by name for the default model.
#[derive(Serialize, ToSchema)]
pub(super) struct PredictRequest {
    /// `name`, `name@version` or `name@alias`.
    model: Option<String>,
    /// Addresses a model by what it was trained on.
    feature_set: Option<String>,
    /// Addresses a model by its kind.
    model_type: Option<String>,
    /// A version, an alias, `latest`, `previous` or `best`; without it `champion`.
    model_version: Option<String>,
    /// Whom or what stored features describe.
    entity: Option<String>,
    /// Another name for `entity`.
    symbol: Option<String>,
    /// With `symbol`: the model is `<symbol>-<horizon>`, in lower case.
    horizon: Option<String>,
    /// Answer as of then: RFC 3339 with a zone.
    #[schema(format = "date-time")]
    timestamp: Option<String>,
    /// Whether features are read (`true`), computed (`false`), or computed where what is stored is stale (`"auto"`).
    use_cached_features: Option<UseCached>,
    /// How old stored features may be, e.g. `15m`, or `none`.
    #[schema(pattern = "^([0-9]+(ms|s|m|h|d|w)|none)$")]
    max_age: Option<String>,
    /// Whether the answer has each feature's contribution.
    explain: Option<bool>,
    /// Features by name, or by position.
    features: Option<Row>,
    /// Features by position, flat or as a list of one row; or by name.
    data: Option<Row>,
}

/// `true`, `false` or `"auto"`.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
enum UseCached {
    Switch(bool),
    Word(Auto),
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum Auto {
    Auto,
}

/// One row.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
enum Row {
    Named(BTreeMap<String, Value>),
    Positional(Vec<Value>),
    One([Vec<Value>; 1]),
}

/// A feature's value; `null` is a missing one.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
pub(super) enum Value {
    Number(f64),
    Text(String),
    Switch(bool),
    Missing(Option<()>),
}

/// One prediction.
#[derive(Serialize, ToSchema)]
pub(super) struct PredictAnswer {
    /// Always true.
    success: bool,
    request_id: String,
    prediction_id: String,
    /// Under the target's name the label, or the value of a regression; for classes also `<target>_numeric`,
    /// `probability` by class, `confidence`, and `abstained: true` where a band abstains.
    prediction: BTreeMap<String, Json>,
    /// Where it was asked for: `raw_score`, `base_value`, `contributions` by feature and `background`; or one such object
    /// under each class's or output's name.
    explanation: Option<BTreeMap<String, Json>>,
    model_info: ModelInfo,
    features: FeatureInfo,
    performance: Performance,
    /// Whether the answer was made before, for equal features.
    cached: Option<bool>,
    /// Whether something that should have answered did not.
    degraded: Option<bool>,
    /// What that is.
    degraded_reason: Option<String>,
    timestamp: String,
}

/// Who predicted.
#[derive(Serialize, ToSchema)]
struct ModelInfo {
    name: String,
    feature_set: Option<String>,
    model_type: Option<String>,
    model_version: String,
    digest: String,
    features_used: u64,
    /// Features that were missing and filled in by their policy, or left to the model's own rule.
    imputed_features: Vec<String>,
    /// How many given features the model does not have.
    ignored_features: Option<u64>,
    /// In whose place the model answered, and why.
    fallback: Option<Json>,
}

/// Where the features came from.
#[derive(Serialize, ToSchema)]
struct FeatureInfo {
    /// `request`, `cached`, `computed`, `last_known_good` or `mixed`.
    source: String,
    set: Option<String>,
    entity: Option<String>,
    timestamp: Option<String>,
    age_seconds: Option<f64>,
    max_age_seconds: Option<f64>,
    from_future: Option<bool>,
    skipped_future: Option<String>,
    /// Whether functions that remember without end had their whole past.
    warm: Option<bool>,
    imputed: Option<Vec<String>>,
    invalid: Option<Vec<String>>,
    degraded_reason: Option<String>,
    /// Each, where there are several.
    sets: Option<Vec<Json>>,
}

#[derive(Serialize, ToSchema)]
struct Performance {
    response_time_ms: f64,
    cached_features: bool,
}

/// Many predictions. What stands beside `requests` holds for all that do not say otherwise.
#[derive(Serialize, ToSchema)]
pub(super) struct BatchRequest {
    requests: Vec<PredictRequest>,
    model: Option<String>,
    feature_set: Option<String>,
    model_type: Option<String>,
    model_version: Option<String>,
    explain: Option<bool>,
    /// How urgent it is: 1 before 2, and so on.
    priority: Option<i64>,
}

/// One entry a request, in order.
#[derive(Serialize, ToSchema)]
pub(super) struct BatchAnswer {
    success: bool,
    predictions: Vec<BatchEntry>,
    count: u64,
    failed: u64,
    request_id: String,
    timestamp: String,
}

/// A prediction, or why there is none.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
enum BatchEntry {
    Answered(Box<PredictAnswer>),
    Failed(FailedRow),
}

/// Why a row has no prediction.
#[derive(Serialize, ToSchema)]
struct FailedRow {
    /// Always false.
    success: bool,
    error: String,
    code: String,
    details: Option<Json>,
}

/// A prediction under each compared set's name, and whether they agree.
#[derive(Serialize, ToSchema)]
struct BothAnswer {
    agreement: bool,
    performance: TotalTime,
    request_id: String,
    timestamp: String,
    #[serde(flatten)]
    answers: BTreeMap<String, PredictAnswer>,
}

#[derive(Serialize, ToSchema)]
struct TotalTime {
    total_response_time_ms: f64,
}

/// The query of a prediction, in the words of its body.
fn asked_by_query(described: Described) -> Described {
    described
        .query::<String>("model", "`name`, `name@version` or `name@alias`.", json!("vader-random-forest"))
        .query::<String>("feature_set", "Addresses a model by what it was trained on.", json!("vader"))
        .query::<String>("model_type", "Addresses a model by its kind.", json!("random_forest"))
        .query::<String>(
            "model_version",
            "A version, an alias, `latest`, `previous` or `best`.",
            json!("champion"),
        )
        .query::<String>("entity", "Whom or what stored features describe.", json!("BTC/USD"))
        .query::<String>("symbol", "Another name for `entity`.", json!("BTC/USD"))
        .query::<String>(
            "timestamp",
            "Answer as of then: RFC 3339 with a zone.",
            json!("2025-03-30T00:00:00Z"),
        )
        .query::<UseCached>("use_cached_features", "Read, compute, or compute where stale.", json!("auto"))
        .query::<String>("max_age", "How old stored features may be, or `none`.", json!("none"))
        .query::<bool>("explain", "Whether the answer has contributions.", json!(false))
}

pub(super) fn describe(method: &str, path: &str) -> Option<Described> {
    let new = |id, summary| Described::new(Tag::Predictions, id, summary);
    let stored = json!({ "model": "vader-random-forest", "entity": "BTC/USD" });
    let as_of = json!({ "model": "vader-gradient-boosting", "entity": "BTC/USD", "timestamp": "2025-03-30T00:00:00Z" });
    let explained = json!({ "model": "vader-random-forest", "entity": "BTC/USD", "explain": true });
    Some(match (method, path) {
        ("POST", "/predict") => asked_by_query(new("predict", "One prediction"))
            .text("Query and body take the same keys; where both say something they must agree.")
            .takes::<PredictRequest>(
                false,
                &[("Stored features", stored), ("As of then", as_of), ("With contributions", explained)],
            )
            .answers::<PredictAnswer>("The prediction.", None),
        ("POST", "/predict/batch") => new("predict_batch", "Many predictions, each answered for itself")
            .text("A bad row fails alone. At most `limits.batch_rows` rows.")
            .takes::<BatchRequest>(
                true,
                &[("Two rows", json!({ "model": "vader-random-forest", "requests": [
                    { "entity": "BTC/USD" }, { "entity": "BTC/USD", "timestamp": "2025-03-30T00:00:00Z" } ] }))],
            )
            .answers::<BatchAnswer>("One entry a request, in order.", None),
        ("POST", "/predict/both") => {
            asked_by_query(new("predict_both", "The same question to every compared feature set"))
                .text("The sets are those of `http.compare`.")
                .takes::<PredictRequest>(false, &[("Stored features", json!({ "entity": "BTC/USD" }))])
                .answers::<BothAnswer>("A prediction under each set's name.", None)
        }
        ("GET", "/ws/predict") => new("socket", "Predictions on a WebSocket, asked for or pushed")
            .text("An upgrade of HTTP/1.1; docs/websocket.md has the messages. A browser brings its key as the subprotocol `serve.key.<key>` beside `serve.v1`.")
            .switches()
            .fails(&[426, 429]),
        _ => return None,
    })
}
