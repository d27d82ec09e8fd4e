//! Errors in the words of each protocol.

use serde::Serialize;
use serde_json::Value as Json;
use utoipa::ToSchema;
use utoipa::openapi::content::ContentBuilder;
use utoipa::openapi::response::{Response, ResponseBuilder};
use utoipa::openapi::{Components, Ref, RefOr, Schema};

use crate::failure::Dialect;

/// An error, everywhere but in the foreign protocols.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({
    "success": false, "error": "no features for entity \"X\" in feature set \"vader\"", "code": "features_unavailable",
    "request_id": "01a1ff1f-2b4e-75b1-af4e-e307f7ade66d", "timestamp": "2025-10-04T13:54:13.893Z"
}))]
pub(super) struct ErrorBody {
    /// Always false.
    success: bool,
    /// What is wrong, for people: names the thing, what was expected and what came.
    error: String,
    /// What kind of error, for programs; see docs/http-api.md.
    code: String,
    /// More, for programs: every offending field, or the candidates of an ambiguous name.
    details: Option<Json>,
    request_id: String,
    timestamp: String,
}

/// An error in the Open Inference Protocol, and in TensorFlow Serving's.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({ "error": "Request for unknown model: \"x\" is not found" }))]
pub(super) struct OipError {
    error: String,
}

/// Feast's error: a text that holds `{"module", "class", "message"}` as JSON.
#[derive(Serialize, ToSchema)]
#[schema(example = json!("{\"module\":\"feast.errors\",\"class\":\"FeatureViewNotFoundException\",\"message\":\"…\"}"))]
pub(super) struct FeastError(String);

/// An error in MLflow's words.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({ "error_code": "BAD_REQUEST", "message": "row 0: a: missing, and the model has no value to stand in" }))]
pub(super) struct MlflowError {
    /// `BAD_REQUEST`, `RESOURCE_DOES_NOT_EXIST` and so on.
    error_code: String,
    message: String,
}

/// A status of ours as each protocol has it.
pub(super) fn status(status: u16, dialect: Dialect) -> u16 {
    match (dialect, status) {
        (Dialect::Oip | Dialect::TensorFlow | Dialect::Mlflow, 422) => 400,
        (Dialect::Mlflow, 408) => 504,
        _ => status,
    }
}

/// Adds the schemas of errors.
pub(super) fn add(components: &mut Components) {
    fn one<T: ToSchema>(components: &mut Components) {
        let mut schemas: Vec<(String, RefOr<Schema>)> = Vec::new();
        T::schemas(&mut schemas);
        schemas.push((T::name().into_owned(), T::schema()));
        components.schemas.extend(schemas);
    }
    one::<ErrorBody>(components);
    one::<OipError>(components);
    one::<FeastError>(components);
    one::<MlflowError>(components);
}

/// An error's answer.
pub(super) fn response(status: u16, dialect: Dialect) -> Response {
    let text = match status {
        400 => "The request cannot be read.",
        401 => "Nobody says who asks, or the key or token is not taken.",
        403 => "The caller may not do this.",
        404 => "There is no such thing.",
        408 | 504 => "It took longer than it may.",
        409 => "What is there stands against it.",
        413 => "The body is too long.",
        415 => "The body is of another media type.",
        422 => "The request is understood and not valid.",
        426 => "The connection has to be upgraded.",
        429 => "Too often; `Retry-After` says when again.",
        500 => "Something of ours is broken.",
        _ => "Not ready, overloaded, or something it needs is down; `Retry-After` says when again.",
    };
    let schema = match dialect {
        Dialect::Native => "ErrorBody",
        Dialect::Oip | Dialect::TensorFlow => "OipError",
        Dialect::Mlflow => "MlflowError",
        Dialect::Feast => "FeastError",
    };
    let content = ContentBuilder::new().schema(Some(Ref::from_schema_name(schema))).build();
    ResponseBuilder::new().description(text).content("application/json", content).build()
}
