//! What is told of models: all of them, one, its versions, and what is loaded.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value as Json;
use utoipa::ToSchema;

/// All models.
#[derive(Serialize, ToSchema)]
pub(super) struct Models {
    models: Vec<ModelSummary>,
    /// Model types by feature set.
    available_models: BTreeMap<String, Vec<String>>,
}

/// A model at a glance.
#[derive(Serialize, ToSchema)]
pub(super) struct ModelSummary {
    name: String,
    /// `live`, `available` where it is loaded at its first request, or `refused`.
    status: String,
    /// The champion's.
    version: Option<String>,
    digest: Option<String>,
    aliases: BTreeMap<String, AliasShown>,
    feature_set: Option<String>,
    model_type: Option<String>,
    metrics: Option<BTreeMap<String, Json>>,
    accuracy: Option<f64>,
    training_date: Option<String>,
    created: Option<String>,
    loaded_at: Option<String>,
    features: Option<Vec<String>>,
    /// By version.
    refused: Option<BTreeMap<String, Refused>>,
    /// Why the model as a whole is not what it should be.
    problem: Option<String>,
}

/// A version, or that another one serves in its place.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
pub(super) enum AliasShown {
    Version(String),
    Degraded { version: String, serving: Option<String>, degraded: bool },
}

#[derive(Serialize, ToSchema)]
pub(super) struct Refused {
    reason: String,
    at: String,
}

/// A model with its description, versions and history.
#[derive(Serialize, ToSchema)]
pub(super) struct Model {
    #[serde(flatten)]
    summary: ModelSummary,
    /// `classification`, `regression` and so on.
    task: Option<String>,
    /// What is predicted.
    target: Option<String>,
    classes: Option<Vec<String>>,
    /// How a score becomes an answer, as the manifest says it.
    decision: Option<Json>,
    signature: Option<SignatureShown>,
    /// As the training library has them.
    hyperparameters: Option<BTreeMap<String, Json>>,
    /// What made the model.
    source: Option<BTreeMap<String, Json>>,
    /// The rows that prove it.
    golden: Option<Json>,
    versions: Vec<VersionShown>,
    /// Who moved the champion, when and why.
    history: Vec<BTreeMap<String, Json>>,
    pinned: Option<Json>,
    last_failure: Option<FailureOfVersion>,
    guard: Option<GuardShown>,
    /// By kind (`gain`, `split`, `mean_abs_shap`), by feature.
    importances: Option<BTreeMap<String, Option<BTreeMap<String, f64>>>>,
    explanations: Option<ExplanationsShown>,
}

/// The inputs in order.
#[derive(Serialize, ToSchema)]
pub(super) struct SignatureShown {
    inputs: Vec<InputShown>,
}

#[derive(Serialize, ToSchema)]
pub(super) struct InputShown {
    name: String,
    /// `FP64`, `FP32`, `INT64`, `BOOL` or `BYTES`.
    datatype: String,
    vocabulary: Option<Vec<String>>,
    /// The code of texts that the vocabulary lacks.
    unknown: Option<f64>,
    text_hashes: Option<Vec<u32>>,
    range: Option<RangeShown>,
    /// `reject`, `nan`, or what stands in: `{"constant": 0.5}`, `{"training_mean": 0.5}`.
    missing: MissingShown,
    feature_set: Option<String>,
}

#[derive(Serialize, ToSchema)]
pub(super) struct RangeShown {
    min: Option<f64>,
    max: Option<f64>,
}

#[derive(Serialize, ToSchema)]
#[serde(untagged)]
pub(super) enum MissingShown {
    Word(String),
    Value(BTreeMap<String, f64>),
}

#[derive(Serialize, ToSchema)]
pub(super) struct FailureOfVersion {
    version: String,
    reason: String,
    at: String,
}

/// An open guard window.
#[derive(Serialize, ToSchema)]
pub(super) struct GuardShown {
    old: String,
    new: String,
    until: String,
    dropped: u64,
    found: String,
}

#[derive(Serialize, ToSchema)]
pub(super) struct ExplanationsShown {
    available: bool,
    reason: Option<String>,
}

/// A model's versions, newest first.
#[derive(Serialize, ToSchema)]
pub(super) struct Versions {
    model_name: String,
    versions: Vec<VersionShown>,
}

#[derive(Serialize, ToSchema)]
pub(super) struct VersionShown {
    version: String,
    /// `available`, `loading`, `verifying`, `warming`, `live`, `draining`, `retired` or `refused`.
    status: String,
    /// Each that it went through since it was last loaded.
    states: Vec<StateShown>,
    aliases: Vec<String>,
    digest: Option<String>,
    /// Why it was refused.
    reason: Option<String>,
    last_failure: Option<Refused>,
    metrics: Option<BTreeMap<String, Json>>,
    accuracy: Option<f64>,
    training_date: Option<String>,
    created: Option<String>,
}

#[derive(Serialize, ToSchema)]
pub(super) struct StateShown {
    state: String,
    at: String,
}

/// Feature sets and model types.
#[derive(Serialize, ToSchema)]
pub(super) struct Types {
    feature_sets: Vec<String>,
    model_types: Vec<String>,
    /// Names, by feature set and model type.
    models: BTreeMap<String, BTreeMap<String, Vec<String>>>,
}

/// What is loaded.
#[derive(Serialize, ToSchema)]
pub(super) struct CacheStats {
    entries: u64,
    bytes: u64,
    max_bytes: u64,
    max_models: u64,
    hits: u64,
    misses: u64,
    evictions: u64,
    expirations: u64,
    loads: LoadTotals,
    /// The most recently used first.
    models: Vec<CachedModel>,
    /// Answers that are kept, where `cache.predictions` is enabled.
    predictions: Option<KeptAnswers>,
}

#[derive(Serialize, ToSchema)]
pub(super) struct LoadTotals {
    succeeded: u64,
    failed: u64,
    in_flight: u64,
    total_ms: f64,
    max_ms: f64,
    last_ms: f64,
}

#[derive(Serialize, ToSchema)]
pub(super) struct CachedModel {
    name: String,
    version: String,
    bytes: u64,
    pinned: bool,
    idle_seconds: f64,
    load_ms: f64,
    loaded_at: String,
}

#[derive(Serialize, ToSchema)]
pub(super) struct KeptAnswers {
    hits: u64,
    misses: u64,
    /// Answered with what another request was making at that time.
    joined: u64,
    evicted: u64,
    expired: u64,
    retired: u64,
    entries: u64,
    bytes: u64,
    max_bytes: u64,
    /// The Redis that servers share, where there is one.
    shared: Option<BTreeMap<String, Json>>,
}
