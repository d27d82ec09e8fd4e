//! The chapter of predictions.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Value as Json, json};
use utoipa::ToSchema;

use super::described::{Described, Tag};

/// What is asked. Either features come with it (`features` by name, `data` by position), or they are read or computed for
/// `entity`. An object with none of these keys is read as features by name for the default model.
#[derive(Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct PredictRequest {
    /// `name`, `name@version` or `name@alias`.
    model: Option<String>,
    /// Addresses a model by what it was trained on.
    #[schema(min_length = 1)]
    feature_set: Option<String>,
    /// Addresses a model by its kind.
    #[schema(min_length = 1)]
    model_type: Option<String>,
    /// A version, an alias, `latest`, `previous` or `best`; without it `champion`.
    #[schema(pattern = "^[a-z0-9][a-z0-9._-]{0,63}$")]
    model_version: Option<String>,
    /// Whom or what stored features describe.
    entity: Option<RowEntity>,
    /// Another name for `entity`.
    symbol: Option<RowEntity>,
    /// With `symbol`: the model is `<symbol>-<horizon>`, in lower case.
    horizon: Option<String>,
    /// Answer as of then: RFC 3339 with a zone.
    #[schema(format = "date-time")]
    timestamp: Option<String>,
    /// Whether features are read (`true`), computed (`false`), or computed where what is stored is stale (`"auto"`).
    use_cached_features: Option<UseCached>,
    /// How old stored features may be, e.g. `15m`, or `none`.
    #[schema(pattern = "^(?:[1-9][0-9]{0,4}(?:ms|s|m|h|d)|none)$")]
    max_age: Option<String>,
    /// Whether the answer has each feature's contribution.
    explain: Option<bool>,
    /// Features by name, or by position.
    features: Option<Row>,
    /// Features by position, flat or as a list of one row; or by name.
    data: Option<Row>,
}

/// The same question to each compared set: as [`PredictRequest`], without a model's name or set.
#[derive(Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct BothRequest {
    /// Models of this kind; without it that of the default model.
    #[schema(min_length = 1)]
    model_type: Option<String>,
    entity: Option<RowEntity>,
    symbol: Option<RowEntity>,
    #[schema(format = "date-time")]
    timestamp: Option<String>,
    use_cached_features: Option<UseCached>,
    max_age: Option<String>,
    explain: Option<bool>,
    features: Option<Row>,
}

/// Whom or what a row describes: 1 to 256 bytes of text without control characters. (Of other than ASCII, 64 characters are
/// sure to fit.)
#[derive(Serialize, ToSchema)]
#[schema(pattern = "^[ -~]{1,256}$")]
pub(super) struct RowEntity(String);

/// A version, an alias, `latest`, `previous` or `best`.
#[derive(Serialize, ToSchema)]
#[schema(pattern = "^[a-z0-9][a-z0-9._-]{0,63}$")]
pub(super) struct Selector(String);

/// One row of a batch. Whatever is wrong with it is told in its entry of the answer. Without any of these keys it is features by
/// name.
#[derive(Serialize, ToSchema)]
struct BatchRow {
    model: Option<String>,
    feature_set: Option<String>,
    model_type: Option<String>,
    model_version: Option<String>,
    entity: Option<String>,
    symbol: Option<String>,
    horizon: Option<String>,
    timestamp: Option<String>,
    use_cached_features: Option<UseCached>,
    max_age: Option<String>,
    explain: Option<bool>,
    return_uncertainty: Option<bool>,
    use_ensemble: Option<bool>,
    features: Option<AnyRow>,
    data: Option<AnyRow>,
}

/// One row of whatever values: those that a model does not take fail the row and not the batch.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
enum AnyRow {
    Named(BTreeMap<String, Json>),
    Positional(AnyList),
}

/// Values by position, or a list of one such row.
#[derive(Serialize, ToSchema)]
pub(super) struct AnyList(Vec<Json>);

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
    Named(BTreeMap<String, FeatureValue>),
    Positional(Vec<FeatureValue>),
    One([Vec<FeatureValue>; 1]),
}

/// A feature's value; `null` is a missing one.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
pub(super) enum FeatureValue {
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
    fallback: Option<FallbackShown>,
}

#[derive(Serialize, ToSchema)]
struct FallbackShown {
    instead_of: String,
    reason: String,
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
    /// An older declaration of the set computed the row.
    outdated: Option<bool>,
    /// Whether functions that remember without end had their whole past.
    warm: Option<bool>,
    imputed: Option<Vec<String>>,
    invalid: Option<Vec<String>>,
    degraded_reason: Option<String>,
    /// Each, where there are several.
    sets: Option<Vec<FeatureRowInfo>>,
}

/// One of the rows that a model joins.
#[derive(Serialize, ToSchema)]
struct FeatureRowInfo {
    source: String,
    set: Option<String>,
    entity: Option<String>,
    timestamp: Option<String>,
    age_seconds: Option<f64>,
    max_age_seconds: Option<f64>,
    from_future: Option<bool>,
    skipped_future: Option<String>,
    /// An older declaration of the set computed the row.
    outdated: Option<bool>,
    warm: Option<bool>,
    imputed: Option<Vec<String>>,
    invalid: Option<Vec<String>>,
    degraded_reason: Option<String>,
}

#[derive(Serialize, ToSchema)]
struct Performance {
    response_time_ms: f64,
    cached_features: bool,
}

/// Many predictions: `requests`, or in other servers' words `instances` or `symbols`. What stands beside them holds for all
/// that do not say otherwise.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
enum BatchRequest {
    Requests(BatchOfRequests),
    Instances(BatchOfInstances),
    Symbols(BatchOfSymbols),
}

#[derive(Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct BatchOfRequests {
    requests: Vec<BatchRow>,
    #[schema(pattern = "^[a-z0-9][a-z0-9._-]{0,63}$")]
    model: Option<String>,
    #[schema(min_length = 1)]
    feature_set: Option<String>,
    #[schema(min_length = 1)]
    model_type: Option<String>,
    #[schema(pattern = "^[a-z0-9][a-z0-9._-]{0,63}$")]
    model_version: Option<String>,
    explain: Option<bool>,
    /// How urgent it is: 1 before 2, and so on; 0 says nothing.
    #[schema(minimum = 0, maximum = 255)]
    priority: Option<u8>,
}

/// `BatchOfRequests` with rows of features.
#[derive(Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct BatchOfInstances {
    instances: Vec<InstanceRow>,
    #[schema(pattern = "^[a-z0-9][a-z0-9._-]{0,63}$")]
    model: Option<String>,
    #[schema(min_length = 1)]
    feature_set: Option<String>,
    #[schema(min_length = 1)]
    model_type: Option<String>,
    #[schema(pattern = "^[a-z0-9][a-z0-9._-]{0,63}$")]
    model_version: Option<String>,
    explain: Option<bool>,
    #[schema(minimum = 0, maximum = 255)]
    priority: Option<u8>,
}

/// `BatchOfRequests` of one question about each symbol.
#[derive(Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct BatchOfSymbols {
    symbols: Vec<String>,
    /// Each names the model `<symbol>-<horizon>`, in lower case.
    horizon: Option<String>,
    #[schema(pattern = "^[a-z0-9][a-z0-9._-]{0,63}$")]
    model: Option<String>,
    #[schema(min_length = 1)]
    feature_set: Option<String>,
    #[schema(min_length = 1)]
    model_type: Option<String>,
    #[schema(pattern = "^[a-z0-9][a-z0-9._-]{0,63}$")]
    model_version: Option<String>,
    explain: Option<bool>,
    #[schema(minimum = 0, maximum = 255)]
    priority: Option<u8>,
}

/// What a row of a batch is, or features by position.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
enum InstanceRow {
    Asked(Box<BatchRow>),
    Positional(AnyList),
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

/// What a prediction's query may say. It is no parameter of the document: schemas of a query and of a body cannot say that the two
/// have to agree, nor whether somebody has stored features.
const BY_QUERY: &str = "The query takes the body's keys too, alone or beside a body; where both say something they must agree \
    (422). These are `model`, `model_version`, `feature_set` with `model_type`, `entity` or `symbol`, `horizon`, `timestamp`, `explain`, \
    `use_cached_features` and `max_age`. So `POST /predict?feature_set=vader&model_type=random_forest` needs no body.";

pub(super) fn describe(method: &str, path: &str) -> Option<Described> {
    let new = |id, summary| Described::new(Tag::Predictions, id, summary);
    let stored = || json!({ "model": "vader-random-forest", "entity": "BTC/USD" });
    let one = |id, summary| {
        new(id, summary)
            .text(BY_QUERY)
            .takes::<PredictRequest>(false, &[("Stored features", stored())])
            .answers::<PredictAnswer>("The prediction.", None)
    };
    let batch = |id, summary| {
        let rows =
            json!([{ "entity": "BTC/USD" }, { "entity": "BTC/USD", "timestamp": "2025-03-30T00:00:00Z" }]);
        new(id, summary)
            .text("A bad row fails alone. At most `limits.batch_rows` rows.")
            .takes::<BatchRequest>(
                true,
                &[
                    ("Two rows", json!({ "model": "vader-random-forest", "requests": rows })),
                    ("Symbols", json!({ "model": "vader-random-forest", "symbols": ["BTC/USD"] })),
                ],
            )
            .answers::<BatchAnswer>("One entry a request, in order.", None)
    };
    Some(match (method, path) {
        ("POST", "/predict") => one("predict", "One prediction"),
        ("POST", "/api/ml/serve") => one("serve", "One prediction, under another server's path"),
        ("POST", "/predict/batch") => batch("predict_batch", "Many predictions, each answered for itself"),
        ("POST", "/api/ml/batch") => batch("serve_batch", "Many predictions, under another server's path"),
        ("POST", "/predict/both") => new("predict_both", "The same question to every compared feature set")
            .text("The sets are those of `http.compare`. The query takes the body's keys too.")
            .takes::<BothRequest>(false, &[("Stored features", json!({ "entity": "BTC/USD" }))])
            .answers::<BothAnswer>("A prediction under each set's name.", None),
        _ => return None,
    })
}
