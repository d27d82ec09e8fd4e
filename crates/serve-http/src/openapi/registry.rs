//! The chapter of models.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Value as Json, json};
use utoipa::ToSchema;

use super::described::{Described, Tag};

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
    aliases: Option<BTreeMap<String, Json>>,
    feature_set: Option<String>,
    model_type: Option<String>,
    metrics: Option<Json>,
    accuracy: Option<f64>,
    training_date: Option<String>,
    created: Option<String>,
    loaded_at: Option<String>,
    features: Option<Vec<String>>,
    /// Reason and time by version.
    refused: Option<Json>,
}

/// A model with its description, versions and history.
#[derive(Serialize, ToSchema)]
struct Model {
    #[serde(flatten)]
    summary: ModelSummary,
    task: Option<Json>,
    target: Option<Json>,
    classes: Option<Vec<String>>,
    decision: Option<Json>,
    /// The inputs in order.
    signature: Option<Json>,
    hyperparameters: Option<Json>,
    source: Option<Json>,
    golden: Option<Json>,
    versions: Option<Vec<Json>>,
    history: Option<Vec<Json>>,
    importances: Option<Json>,
    explanations: Option<Json>,
}

/// A model's versions.
#[derive(Serialize, ToSchema)]
struct Versions {
    model_name: String,
    versions: Vec<Json>,
}

/// Feature sets and model types.
#[derive(Serialize, ToSchema)]
struct Types {
    feature_sets: Vec<String>,
    model_types: Vec<String>,
    /// Names, by feature set and model type.
    models: Json,
}

/// What is loaded.
#[derive(Serialize, ToSchema)]
struct CacheStats {
    entries: u64,
    bytes: u64,
    max_bytes: Option<u64>,
    max_models: Option<u64>,
    hits: u64,
    misses: u64,
    evictions: u64,
    expirations: u64,
    loads: Json,
    models: Vec<Json>,
    /// Answers that are kept, where `cache.predictions` is enabled: hits, misses, joined, bytes and what left.
    predictions: Option<Json>,
}

/// Which models are meant.
#[derive(Serialize, ToSchema)]
struct Asked {
    model: Option<String>,
    feature_set: Option<String>,
    model_type: Option<String>,
    model_version: Option<String>,
}

/// Which models are read again.
#[derive(Serialize, ToSchema)]
struct ReloadRequest {
    model: Option<String>,
    feature_set: Option<String>,
    model_type: Option<String>,
    /// Prove what would serve, and change nothing.
    dry_run: Option<bool>,
}

/// What came of a change.
#[derive(Serialize, ToSchema)]
struct Done {
    success: bool,
    request_id: String,
    timestamp: String,
    #[serde(flatten)]
    more: BTreeMap<String, Json>,
}

/// Why somebody does it, for the history.
#[derive(Serialize, ToSchema)]
struct Why {
    reason: Option<String>,
}

/// Where an alias shall point.
#[derive(Serialize, ToSchema)]
struct PointAlias {
    version: String,
    reason: Option<String>,
}

fn asked_by_query(described: Described) -> Described {
    described
        .query::<String>("model", "A model's name.", json!("vader-random-forest"))
        .query::<String>("feature_set", "Models of this feature set.", json!("vader"))
        .query::<String>("model_type", "Models of this kind.", json!("random_forest"))
}

pub(super) fn describe(method: &str, path: &str) -> Option<Described> {
    let new = |id, summary| Described::new(Tag::Models, id, summary);
    let one = || json!({ "model": "vader-random-forest" });
    Some(match (method, path) {
        ("GET", "/models") => new("models", "All models").answers::<Models>("All models.", None),
        ("GET", "/models/{name}") => new("model", "One model with its description, versions and history")
            .answers::<Model>("The model.", None),
        ("GET", "/models/{name}/versions") => {
            new("versions", "A model's versions").answers::<Versions>("Its versions.", None)
        }
        ("GET", "/models/types") => new("types", "Feature sets and model types, with the models of each")
            .answers::<Types>("What there is.", None),
        ("GET", "/models/cache/stats") => new("cache_stats", "What is loaded, and what the cache did so far")
            .answers::<CacheStats>("The cache.", None),
        ("POST", "/models/reload") => {
            asked_by_query(new("reload", "Read the registry again, or rehearse that"))
                .query::<bool>("dry_run", "Prove what would serve, and change nothing.", json!(true))
                .takes::<ReloadRequest>(false, &[("Rehearse", json!({ "dry_run": true }))])
                .answers::<Done>("What came of each model.", None)
                .fails(&[409])
        }
        ("POST", "/models/load") => asked_by_query(new("load", "Load a version"))
            .takes::<Asked>(false, &[("One model", one())])
            .answers::<Done>("It is loaded.", None),
        ("POST", "/models/unload") => asked_by_query(new("unload", "Free a version's memory"))
            .takes::<Asked>(false, &[("One model", one())])
            .answers::<Done>("What came of it.", None)
            .fails(&[409]),
        ("POST", "/models/warmup") => {
            asked_by_query(new("warm_up", "Load versions and answer their golden rows again"))
                .takes::<Asked>(false, &[("One model", one())])
                .answers::<Done>("What came of each.", None)
        }
        ("POST", "/models/{name}/rollback") => new("rollback", "Take the champion's newest promotion back")
            .takes::<Why>(false, &[("With a reason", json!({ "reason": "worse on Mondays" }))])
            .answers::<Done>("The champion is the version before.", None)
            .fails(&[409]),
        ("PUT", "/models/{name}/aliases/{alias}") => new("promote", "Point an alias to a version")
            .text("The version is proven first; one that does not prove is refused, and the alias stays.")
            .takes::<PointAlias>(true, &[("Promote", json!({ "version": "20250331_000000" }))])
            .answers::<Done>("The alias points there.", None)
            .fails(&[409]),
        _ => return None,
    })
}
