//! The chapter of features.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Value as Json, json};
use utoipa::ToSchema;

use super::described::{Described, Tag};
use super::predictions::Value;

/// The feature sets.
#[derive(Serialize, ToSchema)]
struct FeatureSets {
    /// Each with its name, whether it is declared, its entity, features, sources and greatest age.
    feature_sets: Vec<Json>,
}

/// One feature set.
#[derive(Serialize, ToSchema)]
struct FeatureSet {
    name: String,
    declaration: Option<Json>,
    /// How fresh the stored rows are now.
    freshness: Option<Json>,
    /// Each with its expression, and what its values lack.
    features: Vec<Json>,
    warnings: Vec<String>,
    timestamp: String,
}

/// One row with where each value comes from.
#[derive(Serialize, ToSchema)]
struct Lineage {
    set: String,
    entity: String,
    as_of: String,
    source: Option<String>,
    timestamp: Option<String>,
    age_seconds: Option<f64>,
    /// By name: the value, what is stored, what would be computed, and the expression.
    features: BTreeMap<String, Json>,
}

/// Ready rows: one, or several under `rows`.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
enum ReadyRows {
    Many { rows: Vec<ReadyRow> },
    One(ReadyRow),
}

/// A ready row.
#[derive(Serialize, ToSchema)]
struct ReadyRow {
    #[schema(min_length = 1, max_length = 256)]
    entity: String,
    #[schema(format = "date-time")]
    timestamp: String,
    features: BTreeMap<String, Value>,
}

/// Raw rows: one, or several under `rows`.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
enum RawRows {
    Many { rows: Vec<RawRow> },
    One(RawRow),
}

/// A raw row.
#[derive(Serialize, ToSchema)]
struct RawRow {
    #[schema(min_length = 1, max_length = 256)]
    entity: String,
    #[schema(format = "date-time")]
    timestamp: String,
    values: BTreeMap<String, Value>,
}

/// How many rows were written.
#[derive(Serialize, ToSchema)]
struct Written {
    success: bool,
    written: u64,
    request_id: String,
    timestamp: String,
}

/// What Feast's client asks.
#[derive(Serialize, ToSchema)]
struct OnlineRequest {
    /// `set:feature` each; either these or `feature_service`.
    features: Option<Vec<String>>,
    /// A model's name: its features, in its order.
    feature_service: Option<String>,
    /// One list, by the name of the set's entity.
    entities: BTreeMap<String, Vec<Json>>,
    full_feature_names: Option<bool>,
}

/// What Feast's client reads.
#[derive(Serialize, ToSchema)]
struct OnlineAnswer {
    metadata: OnlineNames,
    /// One a name, with as many values as there are entities.
    results: Vec<OnlineColumn>,
}

#[derive(Serialize, ToSchema)]
struct OnlineNames {
    feature_names: Vec<String>,
}

#[derive(Serialize, ToSchema)]
struct OnlineColumn {
    values: Vec<Json>,
    /// `PRESENT`, `NULL_VALUE`, `NOT_FOUND` or `OUTSIDE_MAX_AGE`.
    statuses: Vec<String>,
    event_timestamps: Vec<String>,
}

pub(super) fn describe(method: &str, path: &str) -> Option<Described> {
    let new = |id, summary| Described::new(Tag::Features, id, summary);
    let at = "2025-10-04T13:00:00Z";
    let candle = json!({ "open": 1.0, "high": 2.0, "low": 0.5, "close": 1.5, "volume": 10.0 });
    Some(match (method, path) {
        ("GET", "/features") => new("features", "The feature sets").answers::<FeatureSets>("All of them.", None),
        ("GET", "/features/{set}") => new("feature_set", "A set's declaration, freshness and null rates")
            .answers::<FeatureSet>("The set.", None),
        ("GET", "/features/{set}/{entity}") => {
            new("feature_row", "One row: values, ages, and where each value comes from")
                .query::<String>("timestamp", "As of then: RFC 3339 with a zone.", json!("2025-03-30T00:00:00Z"))
                .query::<String>("use_cached_features", "`true`, `false` or `auto`.", json!("auto"))
                .answers::<Lineage>("The row.", None)
        }
        ("POST", "/features/{set}") => new("store_features", "Store ready rows")
            .text("All or none; a row that is there already is replaced.")
            .takes::<ReadyRows>(
                true,
                &[("One row", json!({ "entity": "BTC/USD", "timestamp": at, "features": { "return_1": 0.01 } }))],
            )
            .answers::<Written>("They are stored.", None),
        ("POST", "/raw/{table}") => new("store_raw", "Store raw rows, which features are computed from")
            .text("All or none; a row that is there already is replaced.")
            .takes::<RawRows>(
                true,
                &[("A candle", json!({ "entity": "BTC/USD", "timestamp": at, "values": candle }))],
            )
            .answers::<Written>("They are stored.", None),
        ("POST", "/get-online-features") => new("online_features", "Feast's online features")
            .takes::<OnlineRequest>(
                true,
                &[(
                    "Two features",
                    json!({ "features": ["vader:return_1", "vader:mood"], "entities": { "symbol": ["BTC/USD"] } }),
                )],
            )
            .answers::<OnlineAnswer>("Values and statuses.", None),
        _ => return None,
    })
}
