//! What the words of a body or a query mean: a model by its names, a moment, an age, where features come from.

use std::borrow::Cow;
use std::time::Duration;

use serve_app::ModelQuery;
use serve_features::{MaxAge, Mode};

use super::{MAX_AGE, USE_CACHED, conflict};
use crate::failure::Failure;

/// A model by any of its names. `model` may hold a version too: `name@version`.
pub(crate) fn model_query(
    model: Option<&str>,
    feature_set: Option<Cow<'_, str>>,
    model_type: Option<Cow<'_, str>>,
    version: Option<&str>,
) -> Result<ModelQuery, Failure> {
    let invalid = |error: serve_core::InvalidName| Failure::from(serve_app::ServiceError::from(error));
    let said = [("feature_set", &feature_set), ("model_type", &model_type)];
    if let Some((key, _)) = said.into_iter().find(|(_, said)| said.as_deref() == Some("")) {
        let message = format!("{key} is empty; expected a name, or nothing");
        return Err(Failure::invalid("invalid_name", message));
    }
    let mut query = ModelQuery {
        name: None,
        feature_set: feature_set.map(Cow::into_owned),
        model_type: model_type.map(Cow::into_owned),
        selector: version.map(str::parse).transpose().map_err(invalid)?,
    };
    if let Some(model) = model {
        let reference: serve_core::ModelRef = model.parse().map_err(invalid)?;
        query.name = Some(reference.name);
        if model.contains('@') {
            if query.selector.as_ref().is_some_and(|selector| *selector != reference.selector) {
                return Err(conflict(&format!(
                    "model is {model:?} and model_version is {:?}",
                    version.unwrap_or("")
                )));
            }
            query.selector = Some(reference.selector);
        }
    }
    Ok(query)
}

/// What `use_cached_features` says, in a query.
///
/// # Errors
/// 422 when it says nothing that is known.
pub(crate) fn mode(text: &str) -> Result<Mode, Failure> {
    match text {
        "true" | "1" | "True" => Ok(Mode::Cached),
        "false" | "0" | "False" => Ok(Mode::Compute),
        "auto" => Ok(Mode::Auto),
        other => {
            let message =
                format!("query parameter {USE_CACHED:?}: expected true, false or auto, got {other:?}");
            Err(Failure::invalid("invalid_parameter", message))
        }
    }
}

/// The limit that a request sets; `none` sets none.
pub(super) fn parse_max_age(text: &str) -> Result<Option<Duration>, Failure> {
    match text.parse() {
        Ok(MaxAge::Limit(limit)) => Ok(Some(limit)),
        Ok(MaxAge::Unlimited) => Ok(None),
        Err(error) => Err(Failure::invalid("invalid_request", format!("{MAX_AGE}: {error}, or `none`"))),
    }
}

/// A moment of a request.
///
/// # Errors
/// 422 when it is no RFC 3339 with a zone.
pub(crate) fn parse_time(text: &str) -> Result<jiff::Timestamp, Failure> {
    text.parse().map_err(|_| {
        let message =
            format!("timestamp {text:?}: expected RFC 3339 with a zone, such as 2025-10-04T13:50:00Z");
        Failure::invalid("invalid_request", message)
    })
}
