//! The chapter of features.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::json;
use utoipa::ToSchema;

use super::described::{Described, Tag};
use super::predictions::{FeatureValue, RowEntity};
use super::queries::UseCachedWord;

/// The feature sets.
#[derive(Serialize, ToSchema)]
struct FeatureSets {
    feature_sets: Vec<ListedSet>,
}

/// A set, with its declaration where there is one.
#[derive(Serialize, ToSchema)]
struct ListedSet {
    name: String,
    declared: bool,
    /// What the entity is called, such as `symbol`.
    entity: Option<String>,
    default_entity: Option<String>,
    /// Its own age limit, such as `15m` or `none`.
    max_age: Option<String>,
    sources: Option<Vec<SourceShown>>,
    features: Option<Vec<String>>,
}

#[derive(Serialize, ToSchema)]
struct Declaration {
    entity: String,
    default_entity: Option<String>,
    max_age: Option<String>,
    sources: Vec<SourceShown>,
    features: Vec<String>,
}

#[derive(Serialize, ToSchema)]
struct SourceShown {
    name: String,
    table: String,
    max_age: Option<String>,
    delay_seconds: f64,
}

/// One feature set.
#[derive(Serialize, ToSchema)]
struct FeatureSet {
    name: String,
    declaration: Option<Declaration>,
    freshness: Freshness,
    features: Vec<FeatureShown>,
    warnings: Vec<String>,
    timestamp: String,
}

/// How fresh the stored rows are now.
#[derive(Serialize, ToSchema)]
struct Freshness {
    max_age_seconds: Option<f64>,
    newest_age_seconds: Option<f64>,
    oldest_age_seconds: Option<f64>,
    entities_sampled: u64,
    entities_stale: u64,
    entities_in_future: u64,
    /// Whose newest row an older declaration computed.
    entities_outdated: u64,
}

/// A feature with what its values lack.
#[derive(Serialize, ToSchema)]
struct FeatureShown {
    name: String,
    expression: Option<String>,
    values: u64,
    nulls: u64,
    out_of_range: u64,
    wrong_type: u64,
    null_rate: Option<f64>,
    max_null_rate: Option<f64>,
    sampled_null_rate: Option<f64>,
}

/// One row with where each value comes from.
#[derive(Serialize, ToSchema)]
struct Lineage {
    set: String,
    entity: String,
    as_of: String,
    /// `cached` or `computed`.
    source: String,
    timestamp: String,
    age_seconds: f64,
    max_age_seconds: Option<f64>,
    /// Older than the limit, or outdated.
    stale: bool,
    /// An older declaration of the set computed the row.
    outdated: bool,
    from_future: bool,
    skipped_future: Option<String>,
    warm: Option<bool>,
    degraded_reason: Option<String>,
    features: BTreeMap<String, FeatureOrigin>,
    /// The raw rows that the computed values came from.
    sources: Vec<RawOrigin>,
    stored: RowOrAbsent,
    computed: RowOrAbsent,
}

#[derive(Serialize, ToSchema)]
struct FeatureOrigin {
    /// What a prediction takes.
    value: Option<FeatureValue>,
    expression: Option<String>,
    /// The raw columns that it is computed from, as `source.column`.
    reads: Vec<String>,
    /// The raw rows that it is computed from.
    needs: Vec<Needed>,
    stored: Option<FeatureValue>,
    computed: Option<FeatureValue>,
    /// Why the declaration does not allow what is stored.
    invalid: Option<String>,
    /// Whether the set's constant stands for it.
    imputed: Option<bool>,
}

/// Of one source so many of the newest raw rows, those of that long before them, or all there are.
#[derive(Serialize, ToSchema)]
struct Needed {
    source: String,
    rows: u64,
    seconds: Option<f64>,
    history: Option<bool>,
}

#[derive(Serialize, ToSchema)]
struct RawOrigin {
    name: String,
    table: String,
    rows: u64,
    oldest: Option<String>,
    newest: Option<String>,
    newest_rows: Vec<RawShown>,
}

#[derive(Serialize, ToSchema)]
struct RawShown {
    timestamp: String,
    values: BTreeMap<String, FeatureValue>,
}

/// A row, or why there is none.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
enum RowOrAbsent {
    Row { timestamp: String, age_seconds: f64, source: String },
    Absent { error: String, code: String },
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
#[serde(deny_unknown_fields)]
struct ReadyRow {
    entity: RowEntity,
    #[schema(format = "date-time")]
    timestamp: String,
    features: BTreeMap<String, FeatureValue>,
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
#[serde(deny_unknown_fields)]
struct RawRow {
    entity: RowEntity,
    #[schema(format = "date-time")]
    timestamp: String,
    values: BTreeMap<String, FeatureValue>,
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
    features: Option<Vec<FeatureReference>>,
    /// A model's name: its features, in its order.
    #[schema(pattern = "^[a-z0-9][a-z0-9._-]{0,63}$")]
    feature_service: Option<String>,
    /// One list, by the name of the set's entity.
    entities: BTreeMap<String, Vec<EntityKey>>,
    full_feature_names: Option<bool>,
}

/// `set:feature`.
#[derive(Serialize, ToSchema)]
#[schema(pattern = "^[a-z0-9][a-z0-9._-]{0,63}:[ -~]{1,64}$")]
struct FeatureReference(String);

/// An entity, as text or as a number.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
enum EntityKey {
    Text(RowEntity),
    Number(f64),
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
    values: Vec<FeatureValue>,
    /// `PRESENT`, `NULL_VALUE`, `NOT_FOUND` or `OUTSIDE_MAX_AGE`.
    statuses: Vec<String>,
    event_timestamps: Vec<String>,
}

/// RFC 3339 with a zone.
#[derive(Serialize, ToSchema)]
#[schema(
    pattern = "^[12][0-9]{3}-(?:(?:0[13578]|1[02])-(?:0[1-9]|[12][0-9]|3[01])|(?:0[469]|11)-(?:0[1-9]|[12][0-9]|30)|02-(?:0[1-9]|1[0-9]|2[0-8]))T(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](?:\\.[0-9]{1,9})?Z$"
)]
struct Then(String);

pub(super) fn describe(method: &str, path: &str) -> Option<Described> {
    let new = |id, summary| Described::new(Tag::Features, id, summary);
    let at = "2025-10-04T13:00:00Z";
    let candle = json!({ "open": 1.0, "high": 2.0, "low": 0.5, "close": 1.5, "volume": 10.0 });
    Some(match (method, path) {
        ("GET", "/features") => new("features", "The feature sets").answers::<FeatureSets>("All of them.", None),
        ("GET", "/features/{set}") => new("feature_set", "A set's declaration, freshness and null rates")
            .answers::<FeatureSet>("The set.", None)
            .fails(&[422]),
        ("GET", "/features/{set}/{entity}") => {
            new("feature_row", "One row: values, ages, and where each value comes from")
                .query::<Then>("timestamp", "As of then: RFC 3339 with a zone.", json!("2025-03-30T00:00:00Z"))
                .query::<UseCachedWord>("use_cached_features", "`true`, `false` or `auto`; `1` and `0` as in other queries.", json!("auto"))
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
