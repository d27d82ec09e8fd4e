//! What changes the registry over HTTP: reload, load, unload, warm up, promote, roll back, pin.

use http::StatusCode;
use serde::Deserialize;
use serde_json::{Value as Json, json};
use serve_app::{Author, Code, ModelQuery, ServiceError};
use serve_core::{Alias, ModelName, ModelVersion};
use serve_registry::{Deployment, ReloadOutcome, Unloaded};

use crate::call::Call;
use crate::failure::Failure;
use crate::predict_body::model_query;
use crate::reply::{self, Reply};
use crate::routes::App;

/// Who changes the registry over HTTP, in the aliases' history, where callers are not told apart.
const BY: &str = "http";

const FILE_PATH: &str = "file_path and config: nothing is loaded from a path that a request names, only from the registry; \
                         publish the file with `serve-ctl import`, then name it by model and model_version";

/// Which models an administrative request means. The query may say the same.
#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct Asked {
    model: Option<String>,
    model_version: Option<String>,
    feature_set: Option<String>,
    model_type: Option<String>,
    dry_run: Option<bool>,
    /// Another server's word for `model_version`.
    version: Option<String>,
    /// Other servers load from a path that a request names, with settings for it.
    file_path: Option<Json>,
    config: Option<Json>,
}

/// The last is for a reload alone.
const QUERY: [&str; 5] = ["model", "model_version", "feature_set", "model_type", "dry_run"];

impl Asked {
    fn read(call: &Call) -> Result<Self, Failure> {
        let asked = Self::read_all(call, &QUERY[..4])?;
        if asked.dry_run.is_some() {
            return Err(Failure::invalid("invalid_request", "dry_run is for POST /models/reload alone"));
        }
        Ok(asked)
    }

    fn read_all(call: &Call, known: &[&str]) -> Result<Self, Failure> {
        let mut asked: Self = call.json()?.unwrap_or_default();
        if asked.file_path.is_some() || asked.config.is_some() {
            return Err(Failure::invalid("not_supported", FILE_PATH));
        }
        if let Some(version) = asked.version.take()
            && *asked.model_version.get_or_insert_with(|| version.clone()) != version
        {
            let message = format!("version is {version:?} and model_version says another");
            return Err(Failure::invalid("conflicting_request", message));
        }
        for (key, value) in call.query(known)? {
            let place = match &*key {
                "model" => &mut asked.model,
                "model_version" => &mut asked.model_version,
                "feature_set" => &mut asked.feature_set,
                "model_type" => &mut asked.model_type,
                _ => {
                    let dry_run = value.parse().map_err(|_| {
                        Failure::invalid(
                            "invalid_request",
                            format!("dry_run={value:?}: expected true or false"),
                        )
                    })?;
                    asked.dry_run = Some(dry_run);
                    continue;
                }
            };
            *place = Some(value.into_owned());
        }
        Ok(asked)
    }

    fn query(self) -> Result<ModelQuery, Failure> {
        let Self { model, model_version, feature_set, model_type, .. } = self;
        model_query(
            model.as_deref(),
            feature_set.map(Into::into),
            model_type.map(Into::into),
            model_version.as_deref(),
        )
    }
}

/// `POST /models/reload`: one model, those of a feature set or type, or all.
pub(crate) async fn reload(app: &App, call: Box<Call>) -> Result<Reply, Failure> {
    let asked = Asked::read_all(&call, &QUERY)?;
    if asked.model_version.is_some() {
        return Err(Failure::invalid(
            "invalid_request",
            "reload takes no model_version; promote moves an alias",
        ));
    }
    let dry_run = asked.dry_run.unwrap_or_default();
    let outcomes = app.service.reload(&call.context, &asked.query()?, dry_run).await?;
    if !dry_run {
        outcomes.iter().for_each(serve_app::poll::log);
    }
    let entries: Vec<Json> = outcomes.iter().map(reloaded).collect();
    Ok(done(app, &call, json!({ "dry_run": dry_run, "models": entries })))
}

fn reloaded(outcome: &ReloadOutcome) -> Json {
    let mut entry = json!({
        "name": outcome.name, "from": outcome.from, "to": outcome.to, "status": outcome.status.as_str(),
    });
    if let (Some(reason), Some(object)) = (&outcome.reason, entry.as_object_mut()) {
        object.insert("reason".to_owned(), json!(reason.as_ref()));
    }
    entry
}

/// `POST /models/load`: loads a version, if it is not loaded.
pub(crate) async fn load(app: &App, call: Box<Call>) -> Result<Reply, Failure> {
    let query = Asked::read(&call)?.query()?;
    let deployment = app.service.load(&call.context, &query).await?;
    Ok(done(app, &call, loaded(&deployment)))
}

fn loaded(deployment: &Deployment) -> Json {
    let manifest = deployment.manifest();
    json!({
        "name": manifest.name,
        "version": manifest.version,
        "status": "live",
        "digest": deployment.digest(),
        "bytes": deployment.memory_bytes(),
        "load_ms": deployment.load_time().as_secs_f64() * 1e3,
        "loaded_at": reply::timestamp(deployment.loaded_at()),
    })
}

/// `POST /models/unload`: frees a version's memory. The next request for it loads it again.
pub(crate) async fn unload(app: &App, call: Box<Call>) -> Result<Reply, Failure> {
    let query = Asked::read(&call)?.query()?;
    let (name, version, unloaded) = app.service.unload(&call.context, &query).await?;
    let done_so = unloaded == Unloaded::Done;
    tracing::info!(model = name.as_str(), version = version.as_str(), unloaded = done_so, "unloaded");
    let mut told = json!({ "name": name, "version": version, "unloaded": done_so });
    if let (Unloaded::Guarded, Some(object)) = (unloaded, told.as_object_mut()) {
        let reason = "a guard window compares it with another version; it stays loaded until the window ends";
        object.insert("reason".to_owned(), json!(reason));
    }
    Ok(done(app, &call, told))
}

/// `POST /models/warmup`: loads and warms one model, those of a feature set or type, or all that fit. One that fails is told
/// and does not stop the others.
pub(crate) async fn warm_up(app: &App, call: Box<Call>) -> Result<Reply, Failure> {
    let query = Asked::read(&call)?.query()?;
    let names = if query.is_open() {
        app.service.names(call.context.caller())
    } else {
        app.service.all_matching(&call.context, &query)?
    };
    let alone = names.len() == 1;
    let mut entries = Vec::with_capacity(names.len());
    for name in names {
        let one = ModelQuery::named(name.clone(), query.selector.clone());
        match app.service.warm_up(&call.context, &one).await {
            Ok(deployment) => entries.push(loaded(&deployment)),
            Err(error) if alone => return Err(error.into()),
            Err(error) => {
                entries.push(json!({ "name": name, "status": "failed", "code": error.code.as_str(), "reason": error.message }));
            }
        }
    }
    Ok(done(app, &call, json!({ "models": entries })))
}

/// Why something is changed.
#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct WhyBody {
    why: Option<String>,
}

/// `POST /models/{name}/rollback`.
pub(crate) async fn rollback(app: &App, call: Box<Call>) -> Result<Reply, Failure> {
    let name: ModelName = call.path_as("name", Code::UnknownModel)?;
    let WhyBody { why } = call.json()?.unwrap_or_default();
    let (from, to) = app.service.rollback(&call.context, name.clone(), author(&call, why)).await?;
    tracing::info!(model = name.as_str(), from = from.as_str(), to = to.as_str(), "rolled back");
    Ok(moved(app, &call, &name, "champion", Some(&from), &to))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AliasBody {
    version: String,
    why: Option<String>,
}

/// `PUT /models/{name}/aliases/{alias}`: promote.
pub(crate) async fn point_alias(app: &App, call: Box<Call>) -> Result<Reply, Failure> {
    let name: ModelName = call.path_as("name", Code::UnknownModel)?;
    let alias: Alias = call.path_as("alias", Code::InvalidName)?;
    let Some(AliasBody { version, why }) = call.json()? else {
        return Err(Failure::unreadable(
            "malformed_json",
            "the body is empty; expected {\"version\": \"…\"}",
        ));
    };
    let version: ModelVersion = version.parse().map_err(ServiceError::from)?;
    let from = app
        .service
        .promote(&call.context, name.clone(), version.clone(), alias.clone(), author(&call, why))
        .await?;
    tracing::info!(model = name.as_str(), alias = alias.as_str(), version = version.as_str(), "promoted");
    Ok(moved(app, &call, &name, alias.as_str(), from.as_ref(), &version))
}

fn author(call: &Call, why: Option<String>) -> Author {
    Author::of(&call.context, BY, why)
}

fn moved(
    app: &App,
    call: &Call,
    name: &ModelName,
    alias: &str,
    from: Option<&ModelVersion>,
    to: &ModelVersion,
) -> Reply {
    done(app, call, json!({ "name": name, "alias": alias, "from": from, "to": to }))
}

/// The answer to a change that was made.
fn done(app: &App, call: &Call, told: Json) -> Reply {
    let mut body = json!({ "success": true });
    if let (Some(object), Json::Object(told)) = (body.as_object_mut(), told) {
        object.extend(told);
        object.insert("request_id".to_owned(), json!(&*call.id.0));
        object.insert("timestamp".to_owned(), json!(reply::timestamp(app.service.now())));
    }
    reply::json(StatusCode::OK, &body)
}
