//! What changes models, and what came of it: reading again, loading, freeing, moving aliases.

use serde::Serialize;
use utoipa::ToSchema;

use super::super::predictions::Selector;

/// A model by its name, or by what it was trained on and its kind.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
pub(super) enum Asked {
    ByName(AskedByName),
    ByKind(AskedByKind),
}

#[derive(Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct AskedByName {
    /// Without `model_version` it may be `name@version` too.
    #[schema(pattern = "^[a-z0-9][a-z0-9._-]{0,63}$")]
    model: String,
    model_version: Option<Selector>,
}

#[derive(Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct AskedByKind {
    #[schema(min_length = 1)]
    feature_set: String,
    #[schema(min_length = 1)]
    model_type: String,
    model_version: Option<Selector>,
}

/// One model, those of a feature set and a kind, or all.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
pub(super) enum AskedMany {
    ByName(AskedByName),
    ByKind(AskedByKind),
    All(AskedAll),
}

#[derive(Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct AskedAll {}

/// Which models are read again: one, those of a feature set or of a kind, or all.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
pub(super) enum ReloadRequest {
    OneModel(ReloadOne),
    Many(ReloadMany),
}

#[derive(Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ReloadOne {
    #[schema(pattern = "^[a-z0-9][a-z0-9._-]{0,63}$")]
    model: String,
    /// Prove what would serve, and change nothing.
    dry_run: Option<bool>,
}

#[derive(Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ReloadMany {
    #[schema(min_length = 1)]
    feature_set: Option<String>,
    #[schema(min_length = 1)]
    model_type: Option<String>,
    dry_run: Option<bool>,
}

/// What came of each model.
#[derive(Serialize, ToSchema)]
pub(super) struct Reloaded {
    success: bool,
    dry_run: bool,
    models: Vec<ReloadedModel>,
    request_id: String,
    timestamp: String,
}

#[derive(Serialize, ToSchema)]
pub(super) struct ReloadedModel {
    name: String,
    from: Option<String>,
    to: Option<String>,
    /// `unchanged`, `loaded`, `swapped`, `registered`, `refused` or `removed`.
    status: String,
    reason: Option<String>,
}

/// A loaded version.
#[derive(Serialize, ToSchema)]
pub(super) struct LoadedVersion {
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
pub(super) struct UnloadedVersion {
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
pub(super) struct WarmedUp {
    success: bool,
    models: Vec<WarmedModel>,
    request_id: String,
    timestamp: String,
}

/// A loaded version, or why it is none.
#[derive(Serialize, ToSchema)]
pub(super) struct WarmedModel {
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
pub(super) struct Moved {
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
pub(super) struct Why {
    why: Option<String>,
}

/// Where an alias shall point.
#[derive(Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct PointAlias {
    /// A timestamp such as `20251003_211954`, or numbers such as `v1.2.3`.
    #[schema(pattern = "^(?:[0-9]{8}_[0-9]{6}|v[0-9]{1,3}(?:\\.[0-9]{1,3}){0,3})$")]
    version: String,
    /// For the history.
    why: Option<String>,
}
