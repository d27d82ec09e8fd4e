//! The chapter of models.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Value as Json, json};
use utoipa::ToSchema;

use super::described::{Described, Tag};
use super::predictions::Selector;

/// All models.
#[derive(Serialize, ToSchema)]
struct Models {
    models: Vec<ModelSummary>,
    /// Model types by feature set.
    available_models: BTreeMap<String, Vec<String>>,
}

/// A model at a glance.
#[derive(Serialize, ToSchema)]
struct ModelSummary {
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
enum AliasShown {
    Version(String),
    Degraded { version: String, serving: Option<String>, degraded: bool },
}

#[derive(Serialize, ToSchema)]
struct Refused {
    reason: String,
    at: String,
}

/// A model with its description, versions and history.
#[derive(Serialize, ToSchema)]
struct Model {
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
struct SignatureShown {
    inputs: Vec<InputShown>,
}

#[derive(Serialize, ToSchema)]
struct InputShown {
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
struct RangeShown {
    min: Option<f64>,
    max: Option<f64>,
}

#[derive(Serialize, ToSchema)]
#[serde(untagged)]
enum MissingShown {
    Word(String),
    Value(BTreeMap<String, f64>),
}

#[derive(Serialize, ToSchema)]
struct FailureOfVersion {
    version: String,
    reason: String,
    at: String,
}

/// An open guard window.
#[derive(Serialize, ToSchema)]
struct GuardShown {
    old: String,
    new: String,
    until: String,
    dropped: u64,
    found: String,
}

#[derive(Serialize, ToSchema)]
struct ExplanationsShown {
    available: bool,
    reason: Option<String>,
}

/// A model's versions, newest first.
#[derive(Serialize, ToSchema)]
struct Versions {
    model_name: String,
    versions: Vec<VersionShown>,
}

#[derive(Serialize, ToSchema)]
struct VersionShown {
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
struct StateShown {
    state: String,
    at: String,
}

/// Feature sets and model types.
#[derive(Serialize, ToSchema)]
struct Types {
    feature_sets: Vec<String>,
    model_types: Vec<String>,
    /// Names, by feature set and model type.
    models: BTreeMap<String, BTreeMap<String, Vec<String>>>,
}

/// What is loaded.
#[derive(Serialize, ToSchema)]
struct CacheStats {
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
struct LoadTotals {
    succeeded: u64,
    failed: u64,
    in_flight: u64,
    total_ms: f64,
    max_ms: f64,
    last_ms: f64,
}

#[derive(Serialize, ToSchema)]
struct CachedModel {
    name: String,
    version: String,
    bytes: u64,
    pinned: bool,
    idle_seconds: f64,
    load_ms: f64,
    loaded_at: String,
}

#[derive(Serialize, ToSchema)]
struct KeptAnswers {
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

/// A model by its name, or by what it was trained on and its kind.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
enum Asked {
    ByName(AskedByName),
    ByKind(AskedByKind),
}

#[derive(Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct AskedByName {
    /// Without `model_version` it may be `name@version` too.
    #[schema(pattern = "^[a-z0-9][a-z0-9._-]{0,63}$")]
    model: String,
    model_version: Option<Selector>,
}

#[derive(Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct AskedByKind {
    feature_set: String,
    model_type: String,
    model_version: Option<Selector>,
}

/// One model, those of a feature set and a kind, or all.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
enum AskedMany {
    ByName(AskedByName),
    ByKind(AskedByKind),
    All(AskedAll),
}

#[derive(Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct AskedAll {}

/// Which models are read again: one, those of a feature set or of a kind, or all.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
enum ReloadRequest {
    OneModel(ReloadOne),
    Many(ReloadMany),
}

#[derive(Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct ReloadOne {
    #[schema(pattern = "^[a-z0-9][a-z0-9._-]{0,63}$")]
    model: String,
    /// Prove what would serve, and change nothing.
    dry_run: Option<bool>,
}

#[derive(Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct ReloadMany {
    feature_set: Option<String>,
    model_type: Option<String>,
    dry_run: Option<bool>,
}

/// What came of each model.
#[derive(Serialize, ToSchema)]
struct Reloaded {
    success: bool,
    dry_run: bool,
    models: Vec<ReloadedModel>,
    request_id: String,
    timestamp: String,
}

#[derive(Serialize, ToSchema)]
struct ReloadedModel {
    name: String,
    from: Option<String>,
    to: Option<String>,
    /// `unchanged`, `loaded`, `swapped`, `registered`, `refused` or `removed`.
    status: String,
    reason: Option<String>,
}

/// A loaded version.
#[derive(Serialize, ToSchema)]
struct LoadedVersion {
    success: bool,
    name: String,
    version: String,
    status: String,
    digest: String,
    bytes: u64,
    load_ms: f64,
    loaded_at: String,
    request_id: String,
    timestamp: String,
}

#[derive(Serialize, ToSchema)]
struct UnloadedVersion {
    success: bool,
    name: String,
    version: String,
    /// Whether its memory was freed.
    unloaded: bool,
    reason: Option<String>,
    request_id: String,
    timestamp: String,
}

#[derive(Serialize, ToSchema)]
struct WarmedUp {
    success: bool,
    models: Vec<WarmedModel>,
    request_id: String,
    timestamp: String,
}

/// A loaded version, or why it is none.
#[derive(Serialize, ToSchema)]
struct WarmedModel {
    name: String,
    version: Option<String>,
    /// `live` or `failed`.
    status: String,
    digest: Option<String>,
    bytes: Option<u64>,
    load_ms: Option<f64>,
    loaded_at: Option<String>,
    code: Option<String>,
    reason: Option<String>,
}

/// Where an alias points now.
#[derive(Serialize, ToSchema)]
struct Moved {
    success: bool,
    name: String,
    alias: String,
    from: Option<String>,
    to: String,
    request_id: String,
    timestamp: String,
}

/// Why somebody does it, for the history.
#[derive(Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Why {
    why: Option<String>,
}

/// Where an alias shall point.
#[derive(Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct PointAlias {
    /// A timestamp such as `20251003_211954`, or numbers such as `v1.2.3`.
    #[schema(pattern = "^(?:[0-9]{8}_[0-9]{6}|v[0-9]{1,3}(?:\\.[0-9]{1,3}){0,3})$")]
    version: String,
    /// For the history.
    why: Option<String>,
}

const BY_QUERY: &str = "The query takes the body's keys too.";

pub(super) fn describe(method: &str, path: &str) -> Option<Described> {
    let new = |id, summary| Described::new(Tag::Models, id, summary);
    let one = || [("One model", json!({ "model": "vader-random-forest" }))];
    Some(match (method, path) {
        ("GET", "/models") => new("models", "All models").answers::<Models>("All models.", None),
        ("GET", "/models/{name}") => new("model", "One model with its description, versions and history")
            .answers::<Model>("The model.", None),
        ("GET", "/model/info") => new("model_info", "The default model, or the one that the query names")
            .query::<Selector>("model", "A model's name.", json!("vader-random-forest"))
            .query::<Selector>(
                "model_version",
                "A version, an alias, `latest`, `previous` or `best`.",
                json!("champion"),
            )
            .answers::<Model>("The model.", None)
            .fails(&[404]),
        ("GET", "/models/{name}/versions") => {
            new("versions", "A model's versions").answers::<Versions>("Its versions.", None)
        }
        ("GET", "/models/types") => new("types", "Feature sets and model types, with the models of each")
            .answers::<Types>("What there is.", None),
        ("GET", "/models/cache/stats") => new("cache_stats", "What is loaded, and what the cache did so far")
            .answers::<CacheStats>("The cache.", None),
        ("POST", "/models/reload") => new("reload", "Read the registry again, or rehearse that")
            .text(BY_QUERY)
            .takes::<ReloadRequest>(false, &[("Rehearse", json!({ "dry_run": true }))])
            .answers::<Reloaded>("What came of each model.", None)
            .fails(&[409]),
        ("POST", "/models/load") => new("load", "Load a version")
            .text(BY_QUERY)
            .takes::<Asked>(true, &one())
            .answers::<LoadedVersion>("It is loaded.", None),
        ("POST", "/models/unload") => new("unload", "Free a version's memory")
            .text(BY_QUERY)
            .takes::<Asked>(true, &one())
            .answers::<UnloadedVersion>("What came of it.", None)
            .fails(&[409]),
        ("POST", "/models/warmup") => new("warm_up", "Load versions and answer their golden rows again")
            .text(BY_QUERY)
            .takes::<AskedMany>(false, &one())
            .answers::<WarmedUp>("What came of each.", None),
        ("POST", "/models/{name}/rollback") => new("rollback", "Take the champion's newest promotion back")
            .takes::<Why>(false, &[("With a reason", json!({ "why": "worse on Mondays" }))])
            .answers::<Moved>("The champion is the version before.", None)
            .fails(&[409]),
        ("PUT", "/models/{name}/aliases/{alias}") => new("promote", "Point an alias to a version")
            .text("The version is proven first; one that does not prove is refused, and the alias stays.")
            .takes::<PointAlias>(true, &[("Promote", json!({ "version": "20250331_000000" }))])
            .answers::<Moved>("The alias points there.", None)
            .fails(&[409]),
        _ => return None,
    })
}
