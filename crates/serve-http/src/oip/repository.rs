//! The protocol's model repository extension: which versions there are, and loading and unloading a model.

use http::StatusCode;
use serde::{Deserialize, Serialize};
use serve_core::{ModelName, ModelVersion};
use serve_registry::{ModelSnapshot, Unloaded, VersionState};

use super::{failure, query};
use crate::call::Call;
use crate::failure::Failure;
use crate::reply::{self, Reply};
use crate::routes::App;

/// What the index is asked.
#[derive(Debug, Default, Deserialize)]
struct IndexRequest {
    /// Only versions that are loaded.
    ready: Option<bool>,
}

/// One version in the index.
#[derive(Debug, Serialize)]
struct IndexEntry {
    name: ModelName,
    version: ModelVersion,
    state: &'static str,
    reason: String,
}

/// What loading and unloading is asked.
#[derive(Debug, Default, Deserialize)]
struct ChangeRequest {
    /// `unload_dependents` changes nothing, since no model here depends on another.
    parameters: Option<serde_json::Map<String, serde_json::Value>>,
}

#[derive(Debug, Serialize)]
struct Loaded {
    name: ModelName,
    load: bool,
}

#[derive(Debug, Serialize)]
struct Freed {
    name: ModelName,
    unload: bool,
}

/// `POST /v2/repository/index`.
pub(crate) async fn index(app: &App, call: Box<Call>) -> Result<Reply, Failure> {
    let IndexRequest { ready } = call.json()?.unwrap_or_default();
    let caller = call.context.caller();
    let mut entries = Vec::new();
    for model in app.service.registry().models() {
        if caller.may_use(&model.name) {
            entries.extend(model.versions.iter().map(|published| entry(app, &model, &published.version)));
        }
    }
    entries.retain(|entry| ready != Some(true) || entry.state == "READY");
    Ok(reply::json(StatusCode::OK, &entries))
}

fn entry(app: &App, model: &ModelSnapshot, version: &ModelVersion) -> IndexEntry {
    let known = match model.state(version) {
        VersionState::Available => {
            let lifecycle = app.service.registry().lifecycle(&model.name, version).unwrap_or_default();
            lifecycle.state()
        }
        known => known,
    };
    let (state, reason) = match known {
        VersionState::Live if model.deployments.contains_key(version) => ("READY", String::new()),
        VersionState::Loading | VersionState::Verifying | VersionState::Warming => ("LOADING", String::new()),
        VersionState::Draining => ("UNLOADING", String::new()),
        _ => {
            let refusal = model.refused.get(version).map(|refusal| refusal.reason.to_string());
            ("UNAVAILABLE", refusal.unwrap_or_else(|| "not loaded".to_owned()))
        }
    };
    IndexEntry { name: model.name.clone(), version: version.clone(), state, reason }
}

/// `POST /v2/repository/models/{name}/load`.
pub(crate) async fn load(app: &App, call: Box<Call>) -> Result<Reply, Failure> {
    check(&call)?;
    let deployment =
        app.service.load(&call.context, &query(&call)?).await.map_err(|error| failure(&call, error))?;
    Ok(reply::json(StatusCode::OK, &Loaded { name: deployment.manifest().name.clone(), load: true }))
}

/// `POST /v2/repository/models/{name}/unload`.
pub(crate) async fn unload(app: &App, call: Box<Call>) -> Result<Reply, Failure> {
    check(&call)?;
    let unloaded = app.service.unload(&call.context, &query(&call)?).await;
    let (name, version, unloaded) = unloaded.map_err(|error| failure(&call, error))?;
    if unloaded == Unloaded::Guarded {
        let message = format!(
            "a guard window compares version {version:?} with another; it stays loaded until that ends"
        );
        return Err(Failure::invalid("guarded", message));
    }
    tracing::info!(model = name.as_str(), version = version.as_str(), "unloaded");
    Ok(reply::json(StatusCode::OK, &Freed { name, unload: true }))
}

/// Refuses what would change the model that is loaded: a registry's versions never change.
fn check(call: &Call) -> Result<(), Failure> {
    let ChangeRequest { parameters } = call.json()?.unwrap_or_default();
    match parameters
        .iter()
        .flat_map(serde_json::Map::keys)
        .find(|key| *key == "config" || key.starts_with("file:"))
    {
        None => Ok(()),
        Some(key) => {
            let message =
                format!("the parameter {key:?} is not supported: a published version never changes");
            Err(Failure::invalid("not_supported", message))
        }
    }
}
