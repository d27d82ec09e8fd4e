//! The registry over HTTP: what is there, and what is changed.

use std::collections::{BTreeMap, BTreeSet};

use http::StatusCode;
use serde::Deserialize;
use serde_json::{Value as Json, json};
use serve_app::{Code, ServiceError};
use serve_core::{Alias, Manifest, ModelName, ModelVersion};
use serve_registry::snapshot::Published;
use serve_registry::{Explanations, ModelSnapshot};

use crate::call::Call;
use crate::failure::Failure;
use crate::predict_body::model_query;
use crate::reply::{self, Reply};
use crate::routes::App;

/// Who changes the registry over HTTP, in the aliases' history.
const BY: &str = "http";

/// `GET /models`.
pub(crate) async fn list(app: &App, _call: Call) -> Result<Reply, Failure> {
    let models = app.service.registry().models();
    let mut available: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for manifest in models.iter().filter_map(|model| model.manifest()) {
        if let (Some(set), Some(kind)) = (&manifest.feature_set, &manifest.model_type) {
            available.entry(set).or_default().insert(kind);
        }
    }
    let summaries: Vec<Json> = models.iter().map(|model| summary(model)).collect();
    Ok(reply::json(StatusCode::OK, &json!({ "models": summaries, "available_models": available })))
}

/// `GET /models/{name}`.
pub(crate) async fn show(app: &App, call: Call) -> Result<Reply, Failure> {
    let model = find(app, &call)?;
    let mut body = summary(&model);
    if let (Some(object), Some(manifest)) = (body.as_object_mut(), model.manifest()) {
        object.insert("task".to_owned(), manifest.target.task.as_str().into());
        object.insert("target".to_owned(), manifest.target.name.clone().into());
        object.insert("classes".to_owned(), json!(manifest.target.task.classes()));
        object.insert("decision".to_owned(), json!(manifest.decision));
        object.insert("signature".to_owned(), json!(manifest.signature));
        object.insert("hyperparameters".to_owned(), json!(manifest.hyperparameters));
        object.insert("source".to_owned(), json!(manifest.source));
        object.insert("golden".to_owned(), json!(manifest.golden));
        object.insert("versions".to_owned(), json!(version_list(&model)));
        object.insert("history".to_owned(), json!(model.aliases.history("champion")));
    }
    if let Some(deployment) = model.champion_deployment() {
        app.service.prepare_explanations(deployment).await?;
        if let (Some(object), Some(made)) = (body.as_object_mut(), deployment.explanations()) {
            object.extend(insight(made));
        }
    }
    Ok(reply::json(StatusCode::OK, &body))
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
pub(crate) async fn versions(app: &App, call: Call) -> Result<Reply, Failure> {
    let model = find(app, &call)?;
    let body = json!({ "model_name": model.name, "versions": version_list(&model) });
    Ok(reply::json(StatusCode::OK, &body))
}

fn find(app: &App, call: &Call) -> Result<std::sync::Arc<ModelSnapshot>, Failure> {
    let name: ModelName = call.path_as("name", Code::UnknownModel)?;
    let unknown = || ServiceError::new(Code::UnknownModel, format!("unknown model {:?}", name.as_str()));
    Ok(app.service.registry().model(name.as_str()).ok_or_else(unknown)?)
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
    let status = if model.champion_deployment().is_some() { "live" } else { "refused" };
    let mut body = json!({
        "name": model.name,
        "version": model.champion(),
        "status": status,
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
        if let Some(Json::Object(more)) = model.manifest().map(described) {
            object.extend(more);
        }
    }
    body
}

/// What both a model and a version tell from the manifest.
fn described(manifest: &Manifest) -> Json {
    json!({
        "feature_set": manifest.feature_set,
        "model_type": manifest.model_type,
        "metrics": manifest.metrics,
        "accuracy": manifest.metrics.holdout.get("accuracy"),
        "training_date": manifest.training_date,
        "created": manifest.created,
        "features": manifest.signature.names().collect::<Vec<_>>(),
    })
}

fn version_list(model: &ModelSnapshot) -> Vec<Json> {
    model.versions.iter().rev().map(|published| version_entry(model, published)).collect()
}

fn version_entry(model: &ModelSnapshot, published: &Published) -> Json {
    let Published { version, manifest } = published;
    let pointing = model.pointing.iter().filter(|(_, pointing)| pointing.target == *version);
    let mut entry = json!({
        "version": version,
        "status": model.state(version).as_str(),
        "aliases": pointing.map(|(alias, _)| alias.as_str()).collect::<Vec<_>>(),
        "digest": model.deployments.get(version).map(|deployment| deployment.digest()),
    });
    let Some(object) = entry.as_object_mut() else { return entry };
    if let Some(refusal) = model.refused.get(version) {
        object.insert("reason".to_owned(), json!(refusal.reason.as_ref()));
    }
    if let Some(manifest) = manifest {
        object.insert("metrics".to_owned(), json!(manifest.metrics));
        object.insert("accuracy".to_owned(), json!(manifest.metrics.holdout.get("accuracy")));
        object.insert("training_date".to_owned(), json!(manifest.training_date));
        object.insert("created".to_owned(), json!(manifest.created));
    }
    entry
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct ReloadBody {
    model: Option<String>,
    feature_set: Option<String>,
    model_type: Option<String>,
}

/// `POST /models/reload`: one model, those of a feature set or type, or all.
pub(crate) async fn reload(app: &App, call: Call) -> Result<Reply, Failure> {
    let mut asked: ReloadBody = call.json()?.unwrap_or_default();
    for (key, value) in call.query(&["model", "feature_set", "model_type"])? {
        let place = match &*key {
            "model" => &mut asked.model,
            "feature_set" => &mut asked.feature_set,
            _ => &mut asked.model_type,
        };
        *place = Some(value.into_owned());
    }
    let ReloadBody { model, feature_set, model_type } = asked;
    let query = model_query(model.as_deref(), feature_set.map(Into::into), model_type.map(Into::into), None)?;
    let outcomes = app.service.reload(&query).await?;
    outcomes.iter().for_each(serve_app::poll::log);
    let entries: Vec<Json> = outcomes
        .iter()
        .map(|outcome| {
            let mut entry = json!({
                "name": outcome.name, "from": outcome.from, "to": outcome.to, "status": outcome.status.as_str(),
            });
            if let (Some(reason), Some(object)) = (&outcome.reason, entry.as_object_mut()) {
                object.insert("reason".to_owned(), json!(reason.as_ref()));
            }
            entry
        })
        .collect();
    let body = json!({
        "success": true,
        "models": entries,
        "request_id": &*call.id.0,
        "timestamp": reply::timestamp(app.service.now()),
    });
    Ok(reply::json(StatusCode::OK, &body))
}

/// `POST /models/{name}/rollback`.
pub(crate) async fn rollback(app: &App, call: Call) -> Result<Reply, Failure> {
    let name: ModelName = call.path_as("name", Code::UnknownModel)?;
    let (from, to) = app.service.rollback(name.clone(), BY.to_owned()).await?;
    tracing::info!(model = name.as_str(), from = from.as_str(), to = to.as_str(), "rolled back");
    Ok(moved(app, &call, &name, "champion", Some(&from), &to))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AliasBody {
    version: String,
}

/// `PUT /models/{name}/aliases/{alias}`: promote.
pub(crate) async fn point_alias(app: &App, call: Call) -> Result<Reply, Failure> {
    let name: ModelName = call.path_as("name", Code::UnknownModel)?;
    let alias: Alias = call.path_as("alias", Code::InvalidName)?;
    let Some(AliasBody { version }) = call.json()? else {
        return Err(Failure::unreadable(
            "malformed_json",
            "the body is empty; expected {\"version\": \"…\"}",
        ));
    };
    let version: ModelVersion = version.parse().map_err(ServiceError::from)?;
    let from = app.service.promote(name.clone(), version.clone(), alias.clone(), BY.to_owned()).await?;
    tracing::info!(model = name.as_str(), alias = alias.as_str(), version = version.as_str(), "promoted");
    Ok(moved(app, &call, &name, alias.as_str(), from.as_ref(), &version))
}

fn moved(
    app: &App,
    call: &Call,
    name: &ModelName,
    alias: &str,
    from: Option<&ModelVersion>,
    to: &ModelVersion,
) -> Reply {
    let body = json!({
        "success": true,
        "name": name,
        "alias": alias,
        "from": from,
        "to": to,
        "request_id": &*call.id.0,
        "timestamp": reply::timestamp(app.service.now()),
    });
    reply::json(StatusCode::OK, &body)
}
