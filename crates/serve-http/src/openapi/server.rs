//! The chapter of the server itself: health, metrics, these pages.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Value as Json, json};
use utoipa::ToSchema;

use super::described::{Described, Tag};

/// What this is, and what it has.
#[derive(Serialize, ToSchema)]
struct Index {
    /// `http.server_name`.
    name: String,
    version: String,
    /// Always `alive`.
    status: String,
    models: Vec<String>,
    /// Every method and path.
    endpoints: Vec<String>,
    also_under: String,
    documentation: Documentation,
}

/// Addresses, relative to this one.
#[derive(Serialize, ToSchema)]
struct Documentation {
    /// Swagger UI and ReDoc.
    pages: Vec<String>,
    openapi: String,
}

/// The process is up.
#[derive(Serialize, ToSchema)]
struct Live {
    status: Option<String>,
    live: bool,
}

/// Models can answer.
#[derive(Serialize, ToSchema)]
struct Ready {
    status: Option<String>,
    ready: bool,
}

/// Everything at a glance.
#[derive(Serialize, ToSchema)]
struct Health {
    /// `healthy`, `degraded` or `draining`.
    status: String,
    /// Models whose champion is loaded.
    models_loaded: u64,
    /// What the server depends on, by name: each has at least a `status`.
    components: BTreeMap<String, Json>,
    version: String,
    uptime_seconds: f64,
    timestamp: String,
}

pub(super) fn describe(method: &str, path: &str) -> Option<Described> {
    let new = |id, summary| Described::new(Tag::Server, id, summary);
    Some(match (method, path) {
        ("GET", "/") => new("index", "Name, version, models, all paths").answers::<Index>(
            "What this is, and what it has.",
            Some(json!({ "name": "serve", "version": "0.1.0", "models": ["vader-random-forest"],
                         "status": "alive", "endpoints": ["POST /predict"], "also_under": "/api/v1",
                         "documentation": { "pages": ["docs", "redoc"], "openapi": "openapi.json" } })),
        ),
        ("GET", "/health") => new("health", "Everything at a glance")
            .text("Answers 200 also while something is degraded; a lost dependency does not make a live process dead.")
            .answers::<Health>("What is what.", None),
        ("GET", "/health/live") => new("live", "The process is up")
            .answers::<Live>("It is.", Some(json!({ "status": "live", "live": true }))),
        ("GET", "/health/ready") => new("ready", "Models can answer")
            .text("503 while the server stops.")
            .answers::<Ready>("They can.", Some(json!({ "status": "ready", "ready": true }))),
        ("GET", "/metrics") => new("metrics", "Metrics, in Prometheus' text format")
            .answers_text("text/plain; version=0.0.4; charset=utf-8", "The page."),
        ("GET", "/openapi.json") => new("openapi", "This document").answers::<Json>("OpenAPI 3.1.", None),
        ("GET", "/docs") => {
            new("docs", "This document in Swagger UI").answers_text("text/html; charset=utf-8", "The page.")
        }
        ("GET", "/docs/{file}") => {
            new("docs_file", "A file of Swagger UI").answers_text("text/html; charset=utf-8", "The file, of its own type.")
        }
        ("GET", "/redoc") => {
            new("redoc", "This document in ReDoc").answers_text("text/html; charset=utf-8", "The page.")
        }
        _ => return None,
    })
}
