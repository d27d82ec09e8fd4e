//! Which versions of a model there are and whether they answer, as TensorFlow Serving tells it, with KServe's two fields.

use http::StatusCode;
use serde::Serialize;
use serve_core::{ModelName, ModelVersion};
use serve_registry::snapshot::Published;
use serve_registry::{ModelSnapshot, Registry, VersionState};

use super::unknown;
use crate::call::Call;
use crate::failure::Failure;
use crate::models;
use crate::reply::{self, Reply};
use crate::routes::App;

#[derive(Serialize)]
struct ModelStatusReply<'a> {
    name: &'a ModelName,
    ready: bool,
    model_version_status: Vec<VersionStatus<'a>>,
}

#[derive(Serialize)]
struct VersionStatus<'a> {
    version: &'a ModelVersion,
    state: &'static str,
    status: StatusText,
}

#[derive(Serialize)]
struct StatusText {
    error_code: &'static str,
    error_message: String,
}

#[derive(Serialize)]
struct ModelNames {
    models: Vec<ModelName>,
}

/// `GET /v1/models`: KServe's.
pub(crate) async fn list(app: &App, call: Box<Call>) -> Result<Reply, Failure> {
    let mut models = app.service.registry().find(None, None);
    models.retain(|name| call.context.caller().may_use(name));
    Ok(reply::json(StatusCode::OK, &ModelNames { models }))
}

/// `GET /v1/models/{name}[/versions/{version}|/labels/{label}]`.
pub(crate) async fn show(app: &App, call: Box<Call>) -> Result<Reply, Failure> {
    let model = models::find(app, &call).map_err(|failure| failure.or_not_found(|| unknown(&call)))?;
    let registry = app.service.registry();
    let pointed = |alias: &str| {
        let pointing = model.pointing.iter().find(|(known, _)| known.as_str() == alias);
        pointing.map(|(_, pointing)| pointing.target.as_str())
    };
    let asked = match (call.path("version"), call.path("label")) {
        ("", "") => None,
        // As `:predict` takes it: a version, or an alias in its place.
        (version, "") => Some(pointed(version).unwrap_or(version)),
        (_, label) => Some(pointed(label).ok_or_else(|| unknown(&call))?),
    };
    let versions: Vec<&Published> = model.versions.iter().rev().collect();
    let told: Vec<VersionStatus<'_>> = versions
        .into_iter()
        .filter(|published| asked.is_none_or(|asked| published.version.as_str() == asked))
        .map(|published| version_status(registry, &model, published))
        .collect();
    if told.is_empty() && asked.is_some() {
        return Err(unknown(&call));
    }
    let served = asked.or_else(|| model.champion().map(ModelVersion::as_str));
    let ready = told.iter().any(|one| one.state == "AVAILABLE" && Some(one.version.as_str()) == served);
    let reply = ModelStatusReply { name: &model.name, ready, model_version_status: told };
    Ok(reply::json(StatusCode::OK, &reply))
}

fn version_status<'a>(
    registry: &Registry,
    model: &'a ModelSnapshot,
    published: &'a Published,
) -> VersionStatus<'a> {
    let version = &published.version;
    let lifecycle = registry.lifecycle(&model.name, version).unwrap_or_default();
    let state = match models::state(model, published, &lifecycle) {
        // A version that is loaded at its first request answers that request.
        VersionState::Live | VersionState::Available | VersionState::Retired => "AVAILABLE",
        VersionState::Loading | VersionState::Verifying | VersionState::Warming => "LOADING",
        VersionState::Draining => "UNLOADING",
        VersionState::Refused => "END",
        _ => "UNKNOWN",
    };
    let status = match model.refused.get(version) {
        Some(refusal) => {
            StatusText { error_code: "FAILED_PRECONDITION", error_message: refusal.reason.to_string() }
        }
        None => StatusText { error_code: "OK", error_message: String::new() },
    };
    VersionStatus { version, state, status }
}
