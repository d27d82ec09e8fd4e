//! Feature sets over HTTP: which there are, how one is doing, and one entity's row with where each value comes from.

use std::collections::BTreeMap;

use http::StatusCode;
use serde::{Serialize, Serializer};
use serde_json::{Value as Json, json};
use serve_app::{Code, ServiceError};
use serve_features::{
    Entity, FeatureLineage, FeatureReport, FeatureSet, FeatureSetName, Lineage, MaxAge, Mode, Retrieved,
    SetReport, SourceLineage, SourceNeeds, Unavailable,
};

use crate::call::Call;
use crate::failure::Failure;
use crate::predict_body::{USE_CACHED, mode, parse_time};
use crate::reply::{self, Reply};
use crate::routes::App;

/// `GET /features`: the sets that are declared, or that a model is served from.
pub(crate) async fn list(app: &App, call: Box<Call>) -> Result<Reply, Failure> {
    let sets = app.service.usable_sets(call.context.caller());
    let listed = sets.iter().map(|set| {
        let declared = app.service.retriever().declarations().get(set.as_str());
        let mut told = declared.map_or_else(|| json!({}), declaration);
        if let Some(object) = told.as_object_mut() {
            object.insert("name".to_owned(), json!(set));
            object.insert("declared".to_owned(), json!(declared.is_some()));
        }
        told
    });
    Ok(reply::json(StatusCode::OK, &json!({ "feature_sets": listed.collect::<Vec<_>>() })))
}

fn declaration(set: &FeatureSet) -> Json {
    let source = |source: &serve_features::Source| {
        json!({
            "name": source.name,
            "table": source.table,
            "max_age": source.max_age,
            "delay_seconds": source.delay.as_secs_f64(),
        })
    };
    json!({
        "entity": set.entity_key(),
        "default_entity": set.default_entity(),
        "max_age": set.max_age(),
        "sources": set.sources().iter().map(source).collect::<Vec<_>>(),
        "features": set.feature_names().collect::<Vec<_>>(),
    })
}

/// `GET /features/{set}`: its declaration, how fresh it is now, and what its values lack.
pub(crate) async fn show(app: &App, call: Box<Call>) -> Result<Reply, Failure> {
    let set = set_name(app, &call)?;
    let report = app.service.retriever().report(&set).await;
    let report = report.map_err(|error| app.service.unavailable(&error))?;
    if report.sampled == 0 && !app.service.feature_sets().contains(&set) {
        return Err(unknown(&set).into());
    }
    let limit = app.service.limit(&set, None);
    let SetReport {
        sampled,
        stale,
        in_future,
        outdated,
        newest_age_seconds,
        oldest_age_seconds,
        warnings,
        ..
    } = &report;
    let declared = report.declaration.as_ref();
    let body = json!({
        "name": set,
        "declaration": declared.map(declaration),
        "freshness": {
            "max_age_seconds": seconds(limit),
            "newest_age_seconds": newest_age_seconds,
            "oldest_age_seconds": oldest_age_seconds,
            "entities_sampled": sampled,
            "entities_stale": stale,
            "entities_in_future": in_future,
            "entities_outdated": outdated,
        },
        "features": report.features.iter().map(|feature| reported(feature, declared)).collect::<Vec<_>>(),
        "warnings": warnings,
        "timestamp": reply::timestamp(app.service.now()),
    });
    Ok(reply::json(StatusCode::OK, &body))
}

fn reported(feature: &FeatureReport, declared: Option<&FeatureSet>) -> Json {
    let expression =
        declared.and_then(|set| set.features().iter().find(|known| *known.name() == *feature.name));
    json!({
        "name": &*feature.name,
        "expression": expression.map(serve_features::Feature::expression),
        "values": feature.values,
        "nulls": feature.nulls,
        "out_of_range": feature.out_of_range,
        "wrong_type": feature.wrong_type,
        "null_rate": feature.null_rate,
        "max_null_rate": feature.max_null_rate,
        "sampled_null_rate": feature.sampled_null_rate,
    })
}

/// `GET /features/{set}/{entity}`: its values, and where each comes from.
pub(crate) async fn entity(app: &App, call: Box<Call>) -> Result<Reply, Failure> {
    let set = set_name(app, &call)?;
    let entity: Entity = call.path_as("entity", Code::UnknownEntity)?;
    let (mut as_of, mut asked) = (None, None);
    for (key, value) in call.query(&["timestamp", USE_CACHED])? {
        if key == USE_CACHED {
            asked = Some(mode(&value)?);
        } else {
            as_of = Some(parse_time(&value)?);
        }
    }
    let lineage = app.service.retriever().lineage(&set, &entity, as_of).await;
    let lineage = lineage.map_err(|error| app.service.unavailable(&error))?;
    let (row, stale) = match chosen(&lineage, asked) {
        Ok(chosen) => chosen,
        Err(_) if !is_known(app, &set).await => return Err(unknown(&set).into()),
        Err(error) => return Err(absent(app, error).into()),
    };
    let values = Values { lineage: &lineage, row };
    Ok(reply::json(StatusCode::OK, &shown(app, &lineage, row, stale, values)))
}

/// The row that is shown, and whether it is too old: the stored one, or as `use_cached_features` says.
fn chosen(lineage: &Lineage, asked: Option<Mode>) -> Result<(&Retrieved, bool), &Unavailable> {
    let computed = || lineage.computed.as_ref().map(|row| (row, lineage.computed_stale));
    let fresh = || computed().ok().filter(|(_, stale)| !stale);
    match (&lineage.stored, asked) {
        (_, Some(Mode::Compute)) => computed(),
        (Ok(stored), Some(Mode::Auto)) if lineage.stored_stale => Ok(fresh().unwrap_or((stored, true))),
        (Ok(stored), _) => Ok((stored, lineage.stored_stale)),
        (Err(error), Some(Mode::Cached)) => Err(error),
        // As for a prediction: what the store lacks, unless computing failed for a reason that somebody can mend.
        (Err(error), _) => computed().map_err(|other| match other {
            Unavailable::Store { .. }
            | Unavailable::Computing { .. }
            | Unavailable::Unreadable { .. }
            | Unavailable::Rejected { .. } => other,
            _ => error,
        }),
    }
}

/// Whether a set is declared, served from, or has rows; a store that cannot say so is believed to have some.
async fn is_known(app: &App, set: &FeatureSetName) -> bool {
    let has_rows = |report: Result<SetReport, _>| report.map_or(true, |report| report.sampled > 0);
    app.service.feature_sets().contains(set) || has_rows(app.service.retriever().report(set).await)
}

#[derive(Serialize)]
struct Shown<'a> {
    set: &'a FeatureSetName,
    entity: &'a Entity,
    as_of: String,
    source: &'static str,
    timestamp: String,
    age_seconds: f64,
    max_age_seconds: Option<f64>,
    stale: bool,
    outdated: bool,
    from_future: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    skipped_future: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    warm: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    degraded_reason: Option<&'a str>,
    features: Values<'a>,
    sources: Vec<Json>,
    stored: Json,
    computed: Json,
}

fn shown<'a>(
    app: &App,
    lineage: &'a Lineage,
    row: &'a Retrieved,
    stale: bool,
    features: Values<'a>,
) -> Shown<'a> {
    let told = |row: &Result<Retrieved, Unavailable>| match row {
        Ok(row) => json!({
            "timestamp": reply::timestamp(row.row.timestamp()),
            "age_seconds": row.age_seconds,
            "source": row.origin.as_str(),
        }),
        Err(error) => {
            json!({ "error": error.to_string(), "code": app.service.unavailable(error).code.as_str() })
        }
    };
    Shown {
        set: &lineage.set,
        entity: &lineage.entity,
        as_of: reply::timestamp(lineage.as_of),
        source: row.origin.as_str(),
        timestamp: reply::timestamp(row.row.timestamp()),
        age_seconds: row.age_seconds,
        max_age_seconds: seconds(lineage.max_age),
        stale,
        outdated: row.outdated,
        from_future: row.from_future,
        skipped_future: row.skipped_future.map(reply::timestamp),
        warm: row.warm,
        degraded_reason: row.degraded.as_deref(),
        features,
        sources: lineage.sources.iter().map(source).collect(),
        stored: told(&lineage.stored),
        computed: told(&lineage.computed),
    }
}

/// Each feature's value under its name, in the declared order, with its expression.
struct Values<'a> {
    lineage: &'a Lineage,
    row: &'a Retrieved,
}

impl Serialize for Values<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer
            .collect_map(self.lineage.features.iter().map(|feature| (&*feature.name, self.told(feature))))
    }
}

impl Values<'_> {
    fn told(&self, feature: &FeatureLineage) -> Json {
        let needs: Vec<Json> = feature.needs.iter().map(needs).collect();
        let mut told = json!({
            "value": self.row.row.get(&feature.name),
            "expression": feature.expression,
            "reads": feature.reads,
            "needs": needs,
            "stored": feature.stored,
            "computed": feature.computed,
        });
        if let Some(object) = told.as_object_mut() {
            if let Some(violation) = &feature.violation {
                object.insert("invalid".to_owned(), json!(violation.to_string()));
            }
            if self.row.filled.contains(&feature.name) {
                object.insert("imputed".to_owned(), json!(true));
            }
        }
        told
    }
}

/// Which of a source's raw rows a feature is computed from: so many of the newest, those of that long before, or its whole history.
fn needs((source, needs): &(String, SourceNeeds)) -> Json {
    let mut told = json!({ "source": source, "rows": needs.rows });
    if let Some(object) = told.as_object_mut() {
        if !needs.time.is_zero() {
            object.insert("seconds".to_owned(), json!(needs.time.as_secs_f64()));
        }
        if needs.endless {
            object.insert("history".to_owned(), json!(true));
        }
    }
    told
}

fn source(source: &SourceLineage) -> Json {
    let row = |row: &serve_features::RawRow| {
        let values: BTreeMap<&str, _> = row.values.iter().map(|(name, value)| (&**name, value)).collect();
        json!({ "timestamp": reply::timestamp(row.timestamp), "values": values })
    };
    json!({
        "name": source.name,
        "table": source.table,
        "rows": source.rows,
        "oldest": source.oldest.map(reply::timestamp),
        "newest": source.newest.map(reply::timestamp),
        "newest_rows": source.shown.iter().map(row).collect::<Vec<_>>(),
    })
}

fn seconds(limit: MaxAge) -> Option<f64> {
    match limit {
        MaxAge::Limit(limit) => Some(limit.as_secs_f64()),
        MaxAge::Unlimited => None,
    }
}

/// The set that a path names.
pub(crate) fn set_name(app: &App, call: &Call) -> Result<FeatureSetName, Failure> {
    let set = call.path_as("set", Code::UnknownFeatureSet)?;
    app.service.check_set(&call.context, &set)?;
    Ok(set)
}

/// Nobody declares the set, no model is served from it, and it has no rows.
pub(crate) fn unknown(set: &FeatureSetName) -> ServiceError {
    ServiceError::new(Code::UnknownFeatureSet, format!("unknown feature set \"{set}\""))
}

/// A row that is not there is nothing at its path.
fn absent(app: &App, error: &Unavailable) -> ServiceError {
    let told = app.service.unavailable(error);
    match error {
        Unavailable::NoRow { .. } | Unavailable::NoRawRows { .. } => {
            ServiceError { code: Code::UnknownEntity, ..told }
        }
        _ => told,
    }
}
