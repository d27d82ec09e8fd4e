//! `POST /get-online-features`, as Feast's Python feature server answers it, so that Feast's clients work: a feature view is
//! a feature set, a feature service is a model with the features that it takes, and the join key is the set's entity.
//!
//! Source: Feast 0.67, `feast/feature_server.py` and the client in `feast/infra/online_stores/remote.py`, by what they send
//! and read. Values that are not there are null, with the status why.

use std::collections::BTreeMap;

use http::StatusCode;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serve_app::{Code, Context, ModelQuery, ServiceError};
use serve_core::{ModelName, Value};
use serve_features::{Entity, FeatureSetName, RetrieveRequest, Retrieved, Unavailable};

use crate::call::{Call, object};
use crate::failure::Failure;
use crate::features::unknown;
use crate::reply::{self, Reply};
use crate::routes::App;

/// The most values of one answer: entities times features.
const MOST_VALUES: usize = 1_000_000;

#[derive(Deserialize)]
struct OnlineBody<'a> {
    #[serde(borrow)]
    entities: BTreeMap<String, Vec<Value<'a>>>,
    features: Option<Vec<String>>,
    feature_service: Option<String>,
    full_feature_names: Option<bool>,
}

impl OnlineBody<'_> {
    /// The same without a borrow.
    fn into_static(self) -> OnlineBody<'static> {
        let Self { entities, features, feature_service, full_feature_names } = self;
        let owned = |values: Vec<Value<'_>>| values.into_iter().map(Value::into_owned).collect();
        let entities = entities.into_iter().map(|(key, values)| (key, owned(values))).collect();
        OnlineBody { entities, features, feature_service, full_feature_names }
    }
}

#[derive(Serialize)]
struct OnlineReply<'a> {
    metadata: Metadata,
    results: Vec<Vector<'a>>,
}

#[derive(Serialize)]
struct Metadata {
    feature_names: Vec<String>,
}

/// One column: of every entity, the value, what it is, and when it became known.
#[derive(Serialize)]
struct Vector<'a> {
    values: Vec<&'a Value<'a>>,
    statuses: Vec<&'static str>,
    event_timestamps: Vec<String>,
}

/// A feature by its set.
struct Reference {
    set: FeatureSetName,
    feature: String,
}

type Rows = Vec<Result<Retrieved, Unavailable>>;

/// Answers a column for each join key and each feature.
pub(crate) async fn online_features(app: &App, call: Box<Call>) -> Result<Reply, Failure> {
    let (call, body) = app.read(call, read).await?;
    let OnlineBody { entities, features, feature_service, full_feature_names } = body;
    let references = match feature_service {
        Some(service) => of_model(app, &call.context, &service).await?,
        None => features
            .iter()
            .flatten()
            .map(|text| reference(app, &call.context, text))
            .collect::<Result<_, _>>()?,
    };
    entities.values().flatten().try_for_each(|value| entity(value).map(drop))?;
    let count = entity_count(&entities)?;
    app.service.check_rows(count)?;
    if references.len().saturating_mul(count) > MOST_VALUES {
        let message =
            format!("{} features of {count} entities are over {MOST_VALUES} values", references.len());
        return Err(ServiceError::new(Code::TooManyRows, message).into());
    }
    let names = names(&entities, &references, full_feature_names.unwrap_or_default())?;
    let mut rows: BTreeMap<&FeatureSetName, Rows> = BTreeMap::new();
    for Reference { set, .. } in &references {
        if !rows.contains_key(set) {
            rows.insert(set, fetch(app, set, &entities).await?);
        }
    }
    let keys = entities.values().map(|values| key_column(values));
    let now = app.service.now();
    let columns = references.iter().map(|Reference { set, feature }| {
        column(rows.get(set).map(Vec::as_slice).unwrap_or_default(), feature, now)
    });
    let results = keys.chain(columns).collect();
    let answer = OnlineReply { metadata: Metadata { feature_names: names }, results };
    Ok(reply::json(StatusCode::OK, &answer))
}

fn read(call: &Call) -> Result<OnlineBody<'static>, Failure> {
    let Some(body) = call.json_body()? else {
        let message = "the body is empty; expected entities and features";
        return Err(Failure::unreadable("malformed_json", message));
    };
    object::<OnlineBody<'_>>(body).map(OnlineBody::into_static)
}

/// `set:feature`, of a set that there is.
fn reference(app: &App, context: &Context, text: &str) -> Result<Reference, Failure> {
    let (set, feature) = text.split_once(':').ok_or_else(|| {
        Failure::invalid("invalid_request", format!("feature {text:?}: expected feature_set:feature"))
    })?;
    // Feast writes a view's version as `view@v2`; ours have none, and the latest is what there is.
    let set = set.strip_suffix("@latest").unwrap_or(set);
    let no_such =
        |error: serve_features::NameError| ServiceError::new(Code::UnknownFeatureSet, error.to_string());
    let set: FeatureSetName = set.parse().map_err(no_such)?;
    app.service.check_set(context, &set)?;
    if !app.service.feature_sets().contains(&set) {
        return Err(unknown(&set).into());
    }
    let declared = app.service.retriever().declarations().get(set.as_str());
    let declared = declared.filter(|declared| !declared.features().is_empty());
    if declared.is_some_and(|declared| declared.feature_names().all(|name| name != feature)) {
        let message = format!("feature set \"{set}\" has no feature {feature:?}");
        return Err(Failure::invalid("unknown_feature", message));
    }
    Ok(Reference { set, feature: feature.to_owned() })
}

/// The features of a model, in its order.
async fn of_model(app: &App, context: &Context, name: &str) -> Result<Vec<Reference>, Failure> {
    let unknown = |error: serve_core::InvalidName| ServiceError::new(Code::UnknownModel, error.to_string());
    let name: ModelName = name.parse().map_err(unknown)?;
    let deployment = app.service.deployment(context, &ModelQuery::named(name, None)).await?;
    let manifest = deployment.manifest();
    let reference = |input: &serve_core::Input| {
        let set = input.feature_set.as_ref().or(manifest.feature_set.as_ref()).ok_or_else(|| {
            let message = format!("model {:?} has no feature set", manifest.name.as_str());
            ServiceError::new(Code::FeaturesUnavailable, message)
        })?;
        Ok::<_, ServiceError>(Reference { set: set.parse()?, feature: input.name.clone() })
    };
    Ok(manifest.signature.inputs().iter().map(reference).collect::<Result<_, _>>()?)
}

/// How many entities there are: as many under each key.
fn entity_count(entities: &BTreeMap<String, Vec<Value<'_>>>) -> Result<usize, Failure> {
    let mut counts = entities.values().map(Vec::len);
    let first = counts.next().ok_or_else(|| {
        Failure::invalid("invalid_request", "entities: expected a key such as symbol with a list of values")
    })?;
    if counts.any(|count| count != first) {
        return Err(Failure::invalid("invalid_request", "entities: expected as many values under each key"));
    }
    Ok(first)
}

fn names(
    entities: &BTreeMap<String, Vec<Value<'_>>>,
    references: &[Reference],
    full: bool,
) -> Result<Vec<String>, Failure> {
    let name = |Reference { set, feature }: &Reference| {
        if full { format!("{set}__{feature}") } else { feature.clone() }
    };
    let names: Vec<String> = entities.keys().cloned().chain(references.iter().map(name)).collect();
    let mut sorted: Vec<&String> = names.iter().collect();
    sorted.sort_unstable();
    match sorted.windows(2).find(|pair| pair[0] == pair[1]) {
        Some(pair) => {
            let message = format!(
                "{:?} stands twice; full_feature_names tells features of several sets apart",
                pair[0]
            );
            Err(Failure::invalid("invalid_request", message))
        }
        None => Ok(names),
    }
}

/// The rows of one set, by the key that it declares; of a set that declares none, by the only one there is.
async fn fetch(
    app: &App,
    set: &FeatureSetName,
    entities: &BTreeMap<String, Vec<Value<'_>>>,
) -> Result<Rows, Failure> {
    let declared = app.service.retriever().declarations().get(set.as_str());
    let key = declared.map(serve_features::FeatureSet::entity_key);
    let only = entities.values().next().filter(|_| entities.len() == 1);
    let values = key.map_or(only, |key| entities.get(key)).ok_or_else(|| {
        let key = key.unwrap_or("entity");
        let got = entities.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
        let message = format!("entities: feature set \"{set}\" needs the key {key:?}, got {got}");
        Failure::invalid("invalid_request", message)
    })?;
    let entities = values.iter().map(entity).collect::<Result<Vec<_>, _>>()?;
    let request = RetrieveRequest::cached(set.clone(), entities);
    let rows = app.service.retriever().retrieve(request).await;
    let rows = rows.map_err(|error| app.service.unavailable(&error))?;
    let mut broken = rows.iter().filter_map(|row| row.as_ref().err());
    // A row that cannot be read is one entity's, and told in its column.
    let everyones = |error: &&Unavailable| {
        error.fault() != serve_features::Fault::Client && !matches!(error, Unavailable::Unreadable { .. })
    };
    match broken.find(everyones) {
        Some(error) => Err(app.service.unavailable(error).into()),
        None => Ok(rows),
    }
}

fn entity(value: &Value<'_>) -> Result<Entity, Failure> {
    let text = match value {
        Value::Text(text) => text.clone().into_owned(),
        Value::Number(x) if x.fract() == 0.0 && x.abs() < 9e15 => format!("{x:.0}"),
        // Written out it may be longer than an entity is.
        Value::Number(x) if !(1e-9..1e21).contains(&x.abs()) => format!("{x:e}"),
        Value::Number(x) => x.to_string(),
        other => {
            let message = format!("entities: expected text or a number, got {}", other.kind());
            return Err(Failure::invalid("invalid_request", message));
        }
    };
    Ok(text.parse().map_err(ServiceError::from)?)
}

fn key_column<'a>(values: &'a [Value<'a>]) -> Vector<'a> {
    Vector {
        values: values.iter().collect(),
        statuses: vec!["PRESENT"; values.len()],
        event_timestamps: vec![reply::timestamp(Timestamp::UNIX_EPOCH); values.len()],
    }
}

fn column<'a>(rows: &'a [Result<Retrieved, Unavailable>], feature: &str, now: Timestamp) -> Vector<'a> {
    const NONE: &Value<'static> = &Value::Missing;
    let mut vector = Vector { values: Vec::new(), statuses: Vec::new(), event_timestamps: Vec::new() };
    for row in rows {
        let (value, status, at) = match row {
            Ok(found) => {
                let (value, status) = match found.row.get(feature) {
                    None => (NONE, "NOT_FOUND"),
                    Some(Value::Missing) => (NONE, "NULL_VALUE"),
                    Some(Value::Number(x)) if x.is_nan() => (NONE, "NULL_VALUE"),
                    Some(value) => (value, "PRESENT"),
                };
                (value, status, found.row.timestamp())
            }
            Err(Unavailable::Stale { stale, .. }) => {
                let age = jiff::SignedDuration::try_from_secs_f64(stale.age_seconds).ok();
                let at = age.and_then(|age| now.checked_sub(age).ok()).unwrap_or(Timestamp::UNIX_EPOCH);
                (NONE, "OUTSIDE_MAX_AGE", at)
            }
            Err(Unavailable::Unreadable { .. } | Unavailable::Outdated { .. }) => {
                (NONE, "INVALID", Timestamp::UNIX_EPOCH)
            }
            Err(_) => (NONE, "NOT_FOUND", Timestamp::UNIX_EPOCH),
        };
        vector.values.push(value);
        vector.statuses.push(status);
        vector.event_timestamps.push(reply::timestamp(at));
    }
    vector
}
