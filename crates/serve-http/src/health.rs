//! `GET /` and the three health endpoints: live says that the process is up, ready that models can answer, and `/health`
//! tells people what is what. A lost dependency degrades; it does not make a live process dead.

use http::StatusCode;
use serde_json::{Value as Json, json};

use crate::call::Call;
use crate::failure::Failure;
use crate::reply::{self, Reply};
use crate::routes::{App, listed};

/// What this is, and what it has.
pub(crate) async fn index(app: &App, _call: Call) -> Result<Reply, Failure> {
    let endpoints: Vec<String> = listed().map(|(method, path)| format!("{method} {path}")).collect();
    let body = json!({
        "name": app.config.server_name,
        "version": env!("CARGO_PKG_VERSION"),
        "models": app.service.registry().find(None, None),
        "endpoints": endpoints,
        "also_under": "/api/v1",
    });
    Ok(reply::json(StatusCode::OK, &body))
}

/// The process is up.
pub(crate) async fn live(_app: &App, _call: Call) -> Result<Reply, Failure> {
    Ok(reply::json(StatusCode::OK, &json!({ "status": "live", "live": true })))
}

/// Models can answer, and the server takes requests.
pub(crate) async fn ready(app: &App, _call: Call) -> Result<Reply, Failure> {
    if app.is_draining() {
        return Err(Failure::not_ready("the server is stopping"));
    }
    Ok(reply::json(StatusCode::OK, &json!({ "status": "ready", "ready": true })))
}

/// Everything at a glance.
pub(crate) async fn health(app: &App, _call: Call) -> Result<Reply, Failure> {
    let models = app.service.registry().models();
    let live = models.iter().filter(|model| model.champion_deployment().is_some()).count();
    let degraded: Vec<&str> = models
        .iter()
        .filter(|model| model.pointing.values().any(serve_registry::snapshot::Pointing::degraded))
        .map(|model| model.name.as_str())
        .collect();
    let store = match app.service.store_health().await {
        None => json!({ "status": "not_configured" }),
        Some(Ok(())) => json!({ "status": "healthy" }),
        Some(Err(error)) => json!({ "status": "unavailable", "error": error }),
    };
    let trouble = app.service.registry().trouble();
    let whole = degraded.is_empty() && trouble.is_none() && store["status"] != "unavailable";
    let status = match (app.is_draining(), whole) {
        (true, _) => "draining",
        (false, true) => "healthy",
        (false, false) => "degraded",
    };
    let uptime = app.service.now().duration_since(app.service.started()).as_secs_f64();
    let state = match (&trouble, degraded.is_empty()) {
        (Some(_), _) => "unavailable",
        (None, true) => "healthy",
        (None, false) => "degraded",
    };
    let mut registry: Json = json!({ "status": state, "models": models.len(), "degraded": degraded });
    if let (Some(trouble), Some(object)) = (&trouble, registry.as_object_mut()) {
        object.insert("error".to_owned(), json!(trouble.as_ref()));
    }
    let body = json!({
        "status": status,
        "models_loaded": live,
        "components": { "registry": registry, "feature_store": store },
        "version": env!("CARGO_PKG_VERSION"),
        "uptime_seconds": uptime,
        "timestamp": reply::timestamp(app.service.now()),
    });
    Ok(reply::json(StatusCode::OK, &body))
}
