//! `GET /` and the three health endpoints: live says that the process is up, ready that models can answer, and `/health`
//! tells people what is what. A lost dependency degrades; it does not make a live process dead.

use http::StatusCode;
use serde::Serialize;
use serde_json::{Map, Value as Json, json};
use serve_app::{AuthMode, Load, Permission};
use serve_features::BreakerState;

use crate::call::Call;
use crate::failure::Failure;
use crate::reply::{self, Reply};
use crate::routes::{self, App};
use crate::tls::TlsStatus;

/// What this is, and what it has.
pub(crate) async fn index(app: &App, call: Box<Call>) -> Result<Reply, Failure> {
    let endpoints: Vec<String> =
        routes::all().map(|route| format!("{} {}", route.method, route.path)).collect();
    let body = json!({
        "name": app.config.server_name,
        "version": env!("CARGO_PKG_VERSION"),
        // What KServe's V1 client takes for a sign of life.
        "status": "alive",
        "models": app.service.names(call.context.caller()),
        "endpoints": endpoints,
        "also_under": "/api/v1",
        "documentation": { "pages": ["docs", "redoc"], "openapi": "openapi.json" },
    });
    Ok(reply::json(StatusCode::OK, &body))
}

/// The process is up.
pub(crate) async fn live(_app: &App, _call: Box<Call>) -> Result<Reply, Failure> {
    Ok(reply::json(StatusCode::OK, &json!({ "status": "live", "live": true })))
}

/// Models can answer, and the server takes requests.
pub(crate) async fn ready(app: &App, _call: Box<Call>) -> Result<Reply, Failure> {
    if app.is_draining() {
        return Err(Failure::not_ready("the server is stopping"));
    }
    Ok(reply::json(StatusCode::OK, &json!({ "status": "ready", "ready": true })))
}

/// What there is to tell a monitoring system.
pub(crate) async fn metrics(app: &App, _call: Box<Call>) -> Result<Reply, Failure> {
    let mut page = app.service.metrics();
    app.traffic.tell(&mut page);
    app.bodies.tell(&mut page);
    app.sockets.tell(&mut page);
    Ok(reply::text(serve_app::metrics::CONTENT_TYPE, page.text() + &app.connections().page()))
}

/// The feature store and what stands around it. It is asked for a sign of life within its own time-out, and not while its
/// breaker is open.
async fn feature_store(app: &App) -> Json {
    let retriever = app.service.retriever();
    let Some(health) = retriever.probe().await else { return json!({ "status": "not_configured" }) };
    let breaker = &health.breaker;
    let now = app.service.now();
    let ago = |ago: std::time::Duration| {
        let ago = jiff::SignedDuration::try_from(ago).ok();
        ago.and_then(|ago| now.checked_sub(ago).ok()).map(reply::timestamp)
    };
    let ahead = |ahead: std::time::Duration| {
        let ahead = jiff::SignedDuration::try_from(ahead).ok();
        ahead.and_then(|ahead| now.checked_add(ahead).ok()).map(reply::timestamp)
    };
    let counters = retriever.counters();
    let cache = counters.cache;
    let asked = cache.hits + cache.misses + cache.joined;
    let hit_rate = (asked > 0).then(|| (cache.hits + cache.joined) as f64 / asked as f64);
    let alone = counters.shared_cache.as_ref().is_some_and(|shared| shared.lost);
    let status = match (health.reachable, breaker.state) {
        (true, BreakerState::Closed) if !alone => "healthy",
        (true, _) => "degraded",
        (false, _) => "unavailable",
    };
    let error = breaker.last_error.as_ref().filter(|_| !health.reachable).map(|(error, _)| error);
    let mut told = json!({
        "status": status,
        "kind": health.kind,
        "breaker": {
            "state": breaker.state.as_str(),
            "since": ago(breaker.since),
            "calls": breaker.calls,
            "failures": breaker.failures,
            "opened_total": breaker.opened,
            "next_probe": breaker.retry_after.and_then(ahead),
        },
        "cache": { "hit_rate": hit_rate, "rows": cache.rows, "bytes": cache.bytes },
        "last_error": breaker.last_error.as_ref().map(|(error, when)| json!({ "error": error, "at": ago(*when) })),
    });
    if let (Some(shared), Some(object)) = (counters.shared_cache, told.as_object_mut()) {
        let (hits, misses, failures) = (shared.hits, shared.misses, shared.failures);
        let skipped = shared.skipped;
        let is = if shared.lost { "unavailable" } else { "healthy" };
        let shared =
            json!({ "status": is, "hits": hits, "misses": misses, "skipped": skipped, "failures": failures });
        object.insert("shared_cache".to_owned(), shared);
    }
    if let (Some(error), Some(object)) = (error, told.as_object_mut()) {
        object.insert("error".to_owned(), json!(error));
    }
    told
}

/// Answers that are kept, where they are, and whether the Redis that servers share them through answers.
async fn prediction_cache(app: &App) -> Option<Json> {
    let cache = app.service.prediction_cache()?;
    let trouble = cache.trouble().await;
    let stats = cache.stats();
    let status = if trouble.is_some() { "degraded" } else { "healthy" };
    let mut told = json!({
        "status": status, "entries": stats.entries, "bytes": stats.bytes, "max_bytes": stats.max_bytes,
    });
    if let (Some(shared), Some(object)) = (stats.shared, told.as_object_mut()) {
        let is = if trouble.is_some() { "unavailable" } else { "healthy" };
        object.insert(
            "shared".to_owned(),
            json!({ "status": is, "kind": "redis", "hits": shared.hits, "failures": shared.failures, "error": trouble }),
        );
    }
    Some(told)
}

/// The certificate that is served, and what is the matter with it or with the one that should follow.
fn tls_component(tls: &TlsStatus) -> Json {
    let status = if tls.trouble.is_some() { "degraded" } else { "healthy" };
    let mut told =
        json!({ "status": status, "subject": tls.subject, "not_after": reply::timestamp(tls.not_after) });
    if let (Some(trouble), Some(object)) = (&tls.trouble, told.as_object_mut()) {
        object.insert("error".to_owned(), json!(trouble));
    }
    told
}

/// Whether the configuration that works is the newest one, and what of it waits for the next start.
fn configuration(reloads: &serve_app::reload::State) -> Json {
    json!({
        "status": if reloads.error.is_none() { "healthy" } else { "stale" },
        "reloaded": reloads.last.map(reply::timestamp),
        "error": reloads.error,
        "waiting_for_restart": reloads.waiting,
    })
}

/// How callers are told apart, where they are, and whether keys that changed could be taken over.
fn auth(app: &App) -> Option<Json> {
    let locks = app.service.locks();
    let mode = locks.mode();
    if mode == AuthMode::None {
        return None;
    }
    Some(match locks.trouble() {
        None => json!({ "status": "healthy", "mode": mode }),
        Some(error) => json!({ "status": "degraded", "mode": mode, "error": &*error }),
    })
}

fn keep_status(component: &mut Json) {
    let status = component["status"].take();
    *component = json!({ "status": status });
}

/// How busy the server is.
#[derive(Serialize)]
struct Admission {
    /// `healthy`, or `overloaded`: the next request for a prediction is refused.
    status: &'static str,
    #[serde(flatten)]
    load: Load,
}

fn admission(app: &App) -> Admission {
    let load = app.service.load_now().without_idle();
    let full = load.in_flight >= load.max_in_flight.into() && load.queued >= load.queue.into();
    Admission { status: if full { "overloaded" } else { "healthy" }, load }
}

/// Where models come from.
fn registry(app: &App) -> Json {
    let models = app.service.registry().models();
    let off_course = models
        .iter()
        .filter(|model| model.pointing.values().any(serve_registry::snapshot::Pointing::degraded));
    let degraded: Vec<&str> = off_course.map(|model| model.name.as_str()).collect();
    let trouble = app.service.registry().trouble();
    let status = match (&trouble, degraded.is_empty()) {
        (Some(_), _) => "unavailable",
        (None, true) => "healthy",
        (None, false) => "degraded",
    };
    let mut told = json!({ "status": status, "models": models.len(), "degraded": degraded });
    if let (Some(trouble), Some(object)) = (&trouble, told.as_object_mut()) {
        object.insert("error".to_owned(), json!(trouble.as_ref()));
    }
    told
}

/// All components that there are, by name.
async fn components(app: &App) -> Map<String, Json> {
    let tls = app.tls.as_ref().map(|tls| tls_component(&tls.status()));
    let told = [
        ("registry", Some(registry(app))),
        ("feature_store", Some(feature_store(app).await)),
        ("admission", Some(json!(admission(app)))),
        ("configuration", Some(configuration(&app.service.reloads().state()))),
        ("prediction_cache", prediction_cache(app).await),
        ("auth", auth(app)),
        ("tls", tls),
    ];
    told.into_iter().filter_map(|(name, told)| Some((name.to_owned(), told?))).collect()
}

/// Whether nothing of a component is lost. That much is asked of the server is no loss.
fn is_whole((name, told): (&String, &Json)) -> bool {
    name == "admission" || told["status"] == "healthy" || told["status"] == "not_configured"
}

/// Everything at a glance. Who may not read sees how it is, and not why: names and errors tell of what stands behind.
pub(crate) async fn health(app: &App, call: Box<Call>) -> Result<Reply, Failure> {
    let caller = call.context.caller();
    let told = caller.may(Permission::Read) && caller.may_use_all();
    let mut components = components(app).await;
    let status = match (app.is_draining(), components.iter().all(is_whole)) {
        (true, _) => "draining",
        (false, true) => "healthy",
        (false, false) => "degraded",
    };
    if !told {
        components.values_mut().for_each(keep_status);
    }
    let models = app.service.registry().models();
    let live = models.iter().filter(|model| model.champion_deployment().is_some()).count();
    let body = json!({
        "status": status,
        "models_loaded": live,
        "components": components,
        "version": env!("CARGO_PKG_VERSION"),
        "uptime_seconds": app.service.now().duration_since(app.service.started()).as_secs_f64(),
        "timestamp": reply::timestamp(app.service.now()),
    });
    Ok(reply::json(StatusCode::OK, &body))
}
