//! The registry over HTTP: what is there and what it is doing. What changes it stands in `admin`.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use http::StatusCode;
use serde::{Serialize, Serializer};
use serde_json::{Map, Value as Json, json};
use serve_app::{Code, ModelQuery, PredictionCache, PredictionCacheStats, ServiceError};
use serve_core::{Manifest, ModelName};
use serve_registry::snapshot::Published;
use serve_registry::summary::VersionSummary;
use serve_registry::{CacheStats, Explanations, Guard, Lifecycle, ModelSnapshot, Registry, VersionState};

use crate::call::Call;
use crate::failure::Failure;
use crate::predict_body::model_query;
use crate::reply::{self, Reply};
use crate::routes::App;

/// `GET /models`.
pub(crate) async fn list(app: &App, call: Box<Call>) -> Result<Reply, Failure> {
    let models = usable(app, &call);
    let mut available: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for about in models.iter().filter_map(|model| model.summary()) {
        if let (Some(set), Some(kind)) = (&about.feature_set, &about.model_type) {
            available.entry(set).or_default().insert(kind);
        }
    }
    Ok(reply::json(StatusCode::OK, &Listed { available_models: available, models: Summaries(&models) }))
}

/// The models that the caller may see.
fn usable(app: &App, call: &Call) -> Vec<Arc<ModelSnapshot>> {
    let caller = call.context.caller();
    let mut models = app.service.registry().models();
    models.retain(|model| caller.may_use(&model.name));
    models
}

#[derive(Serialize)]
struct Listed<'a> {
    available_models: BTreeMap<&'a str, BTreeSet<&'a str>>,
    models: Summaries<'a>,
}

/// One summary at a time: of ten thousand models all together would take many times the answer's memory.
struct Summaries<'a>(&'a [Arc<ModelSnapshot>]);

impl Serialize for Summaries<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().map(|model| summary(model)))
    }
}

/// `GET /models/types`: the feature sets and, for each, its model types.
pub(crate) async fn types(app: &App, call: Box<Call>) -> Result<Reply, Failure> {
    let models = usable(app, &call);
    let mut types: BTreeMap<&str, BTreeMap<&str, Vec<&ModelName>>> = BTreeMap::new();
    for model in &models {
        let Some(about) = model.summary() else { continue };
        let (set, kind) = (about.feature_set.as_deref(), about.model_type.as_deref());
        let kinds = types.entry(set.unwrap_or_default()).or_default();
        kinds.entry(kind.unwrap_or_default()).or_default().push(&model.name);
    }
    let kinds: BTreeSet<&str> = types.values().flat_map(|kinds| kinds.keys().copied()).collect();
    let sets: BTreeSet<&str> = types.keys().copied().collect();
    let body = json!({ "feature_sets": sets, "model_types": kinds, "models": types });
    Ok(reply::json(StatusCode::OK, &body))
}

/// `GET /models/cache/stats`.
pub(crate) async fn cache_stats(app: &App, call: Box<Call>) -> Result<Reply, Failure> {
    let predictions = app.service.prediction_cache().map(PredictionCache::stats);
    let mut models = app.service.registry().cache_stats();
    models.models.retain(|loaded| call.context.caller().may_use(&loaded.name));
    let body = CacheStatsBody { models, predictions };
    Ok(reply::json(StatusCode::OK, &body))
}

#[derive(Serialize)]
struct CacheStatsBody {
    #[serde(flatten)]
    models: CacheStats,
    /// Answers that are kept, where any are.
    #[serde(skip_serializing_if = "Option::is_none")]
    predictions: Option<PredictionCacheStats>,
}

/// `GET /models/{name}`.
pub(crate) async fn show(app: &App, call: Box<Call>) -> Result<Reply, Failure> {
    shown(app, find(app, &call)?).await
}

/// `GET /model/info`: the same of the default model, or of the one that the query names.
pub(crate) async fn info(app: &App, call: Box<Call>) -> Result<Reply, Failure> {
    let query = queried(&call)?;
    let deployment = app.service.deployment(&call.context, &query).await?;
    shown(app, named(app, deployment.manifest().name.as_str())?).await
}

async fn shown(app: &App, model: Arc<ModelSnapshot>) -> Result<Reply, Failure> {
    let registry = app.service.registry();
    let mut body = summary(&model);
    if let Some(object) = body.as_object_mut() {
        object.insert("versions".to_owned(), json!(version_list(registry, &model)));
        object.insert("history".to_owned(), json!(model.aliases.history("champion")));
        object.insert("pinned".to_owned(), json!(model.aliases.pinned()));
        object.insert("last_failure".to_owned(), last_failure(registry, &model));
        object.insert(
            "guard".to_owned(),
            json!(registry.guard(model.name.as_str()).map(|guard| watched(&guard))),
        );
    }
    let version = model.champion().or_else(|| model.versions.last().map(|published| &published.version));
    if let (Some(object), Some(version)) = (body.as_object_mut(), version)
        && let Ok(manifest) = app.service.manifest(&model.name, version).await
    {
        object.extend(specified(&manifest));
    }
    if let Some(deployment) = model.champion_deployment() {
        app.service.prepare_explanations(deployment).await?;
        if let (Some(object), Some(made)) = (body.as_object_mut(), deployment.explanations()) {
            object.extend(insight(made));
        }
    }
    Ok(reply::json(StatusCode::OK, &body))
}

/// What the manifest tells and a summary does not.
fn specified(manifest: &Manifest) -> Map<String, Json> {
    let told = [
        ("task", json!(manifest.target.task.as_str())),
        ("target", json!(manifest.target.name)),
        ("classes", json!(manifest.target.task.classes())),
        ("decision", json!(manifest.decision)),
        ("signature", json!(manifest.signature)),
        ("hyperparameters", json!(manifest.hyperparameters)),
        ("source", json!(manifest.source)),
        ("golden", json!(manifest.golden)),
    ];
    told.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
}

/// The newest failure of any version.
fn last_failure(registry: &Registry, model: &ModelSnapshot) -> Json {
    let failures = model.versions.iter().filter_map(|published| {
        let failure = registry.lifecycle(&model.name, &published.version)?.failure?;
        Some((failure, &published.version))
    });
    failures.max_by_key(|(failure, _)| failure.at).map_or(Json::Null, |(failure, version)| {
        json!({ "version": version, "reason": failure.reason.as_ref(), "at": reply::timestamp(failure.at) })
    })
}

/// An open guard window.
fn watched(guard: &Guard) -> Json {
    let shown = guard.snapshot();
    json!({
        "old": shown.old,
        "new": shown.new,
        "until": reply::timestamp(shown.until),
        "dropped": shown.dropped,
        "found": shown.found.to_string(),
    })
}

/// Importances, and whether predictions can be explained.
fn insight(made: &Explanations) -> serde_json::Map<String, Json> {
    let mut importances = json!(made.importances());
    if let (Some(object), Some(mean)) = (importances.as_object_mut(), made.mean_abs_shap()) {
        object.insert("mean_abs_shap".to_owned(), json!(mean));
    }
    let explanations = match made.explainer() {
        Ok(_) => json!({ "available": true }),
        Err(reason) => json!({ "available": false, "reason": reason.to_string() }),
    };
    [("importances".to_owned(), importances), ("explanations".to_owned(), explanations)].into_iter().collect()
}

/// `GET /models/{name}/versions`.
pub(crate) async fn versions(app: &App, call: Box<Call>) -> Result<Reply, Failure> {
    let model = find(app, &call)?;
    let body = json!({ "model_name": model.name, "versions": version_list(app.service.registry(), &model) });
    Ok(reply::json(StatusCode::OK, &body))
}

/// The model that a path names.
pub(crate) fn find(app: &App, call: &Call) -> Result<Arc<ModelSnapshot>, Failure> {
    let name: ModelName = call.path_as("name", Code::UnknownModel)?;
    app.service.check_model(&call.context, &name)?;
    named(app, name.as_str())
}

fn named(app: &App, name: &str) -> Result<Arc<ModelSnapshot>, Failure> {
    let unknown = || ServiceError::new(Code::UnknownModel, format!("unknown model {name:?}"));
    Ok(app.service.registry().model(name).ok_or_else(unknown)?)
}

/// The model that a query names; the default one, where it names none.
pub(crate) fn queried(call: &Call) -> Result<ModelQuery, Failure> {
    const QUERY: [&str; 4] = ["model", "feature_set", "model_type", "model_version"];
    let mut said: [Option<Cow<'_, str>>; QUERY.len()] = Default::default();
    for (key, value) in call.query(&QUERY)? {
        if let Some(at) = QUERY.iter().position(|known| *known == key) {
            said[at] = Some(value);
        }
    }
    let [model, feature_set, model_type, version] = said;
    model_query(model.as_deref(), feature_set, model_type, version.as_deref())
}

fn summary(model: &ModelSnapshot) -> Json {
    let aliases: BTreeMap<_, Json> = model
        .pointing
        .iter()
        .map(|(alias, pointing)| {
            let entry = if pointing.degraded() {
                json!({ "version": pointing.target, "serving": pointing.serving, "degraded": true })
            } else {
                json!(pointing.target)
            };
            (alias.as_str(), entry)
        })
        .collect();
    let status = match model.champion() {
        Some(version) => model.state(version),
        None => VersionState::Refused,
    };
    let mut body = json!({
        "name": model.name,
        "version": model.champion(),
        "status": status.as_str(),
        "aliases": aliases,
        "digest": model.champion_deployment().map(|deployment| deployment.digest()),
        "loaded_at": model.champion_deployment().map(|deployment| reply::timestamp(deployment.loaded_at())),
    });
    let refused: BTreeMap<_, Json> = model
        .refused
        .iter()
        .map(|(version, refusal)| {
            (
                version.as_str(),
                json!({ "reason": refusal.reason.as_ref(), "at": reply::timestamp(refusal.at) }),
            )
        })
        .collect();
    if let Some(object) = body.as_object_mut() {
        if !refused.is_empty() {
            object.insert("refused".to_owned(), json!(refused));
        }
        if let Some(problem) = &model.problem {
            object.insert("problem".to_owned(), json!(problem.as_ref()));
        }
        if let Some(Json::Object(more)) = model.summary().map(|about| described(about)) {
            object.extend(more);
        }
    }
    body
}

/// What both a model and a version tell.
fn described(about: &VersionSummary) -> Json {
    json!({
        "feature_set": about.feature_set,
        "model_type": about.model_type,
        "metrics": about.metrics,
        "accuracy": about.metrics.holdout.get("accuracy"),
        "training_date": about.training_date,
        "created": about.created,
        "features": &*about.features,
    })
}

fn version_list(registry: &Registry, model: &ModelSnapshot) -> Vec<Json> {
    model.versions.iter().rev().map(|published| version_entry(registry, model, published)).collect()
}

fn version_entry(registry: &Registry, model: &ModelSnapshot, published: &Published) -> Json {
    let Published { version, summary } = published;
    let pointing = model.pointing.iter().filter(|(_, pointing)| pointing.target == *version);
    let lifecycle = registry.lifecycle(&model.name, version).unwrap_or_default();
    let mut entry = json!({
        "version": version,
        "status": state(model, published, &lifecycle).as_str(),
        "states": steps(&lifecycle),
        "aliases": pointing.map(|(alias, _)| alias.as_str()).collect::<Vec<_>>(),
        "digest": summary.as_ref().map(|about| about.digest),
    });
    let Some(object) = entry.as_object_mut() else { return entry };
    if let Some(refusal) = model.refused.get(version) {
        object.insert("reason".to_owned(), json!(refusal.reason.as_ref()));
    } else if let Some(failure) = &lifecycle.failure {
        let told = json!({ "reason": failure.reason.as_ref(), "at": reply::timestamp(failure.at) });
        object.insert("last_failure".to_owned(), told);
    }
    if let Some(about) = summary {
        object.insert("metrics".to_owned(), json!(about.metrics));
        object.insert("accuracy".to_owned(), json!(about.metrics.holdout.get("accuracy")));
        object.insert("training_date".to_owned(), json!(about.training_date));
        object.insert("created".to_owned(), json!(about.created));
    }
    entry
}

/// What a version is doing: what the snapshot says it is, or what it is going through.
pub(crate) fn state(model: &ModelSnapshot, published: &Published, lifecycle: &Lifecycle) -> VersionState {
    match model.state(&published.version) {
        VersionState::Available => match lifecycle.state() {
            // A refusal that the snapshot has forgotten is to be tried again.
            VersionState::Live | VersionState::Refused => VersionState::Available,
            under_way => under_way,
        },
        known => known,
    }
}

/// When each state began, in order.
fn steps(lifecycle: &Lifecycle) -> Vec<Json> {
    let step = |(state, at): &(VersionState, jiff::Timestamp)| json!({ "state": state.as_str(), "at": reply::timestamp(*at) });
    lifecycle.steps.iter().map(step).collect()
}
