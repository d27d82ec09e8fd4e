//! Errors in the words of each protocol.

use serde::Serialize;
use serde_json::Value as Json;
use utoipa::ToSchema;
use utoipa::openapi::content::ContentBuilder;
use utoipa::openapi::response::{Response, ResponseBuilder};
use utoipa::openapi::{Components, Ref, RefOr, Schema};

use super::headers;
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

/// Adds the schemas of errors, and the answers that all operations share.
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
    for dialect in Dialect::ALL {
        for (status, _, text) in STATUSES {
            components.responses.insert(name(status, dialect), shared(status, text, dialect).into());
        }
    }
}

/// What stands before every handler, whatever the path: other methods, hosts, sites, and limits on the head.
pub(super) const BEFORE: [u16; 6] = [403, 405, 414, 421, 431, 501];

/// Every status of an error, with its name among the document's shared answers, and what it means.
const STATUSES: [(u16, &str, &str); 19] = [
    (400, "BadRequest", "The request cannot be read."),
    (401, "Unauthorized", "Nobody says who asks, or more than once, or the key or token is not taken."),
    (403, "Forbidden", "The caller may not do this, or a page of another site asks."),
    (404, "NotFound", "There is no such thing."),
    (405, "MethodNotAllowed", "The path has no such method; `Allow` lists those that it has."),
    (408, "RequestTimeout", "It took longer than it may."),
    (409, "Conflict", "What is there stands against it."),
    (413, "ContentTooLarge", "The body is too long (`http.max_body_bytes`)."),
    (414, "UriTooLong", "The path with its query is too long (`http.max_uri_bytes`)."),
    (415, "UnsupportedMediaType", "The body is of another media type, or packed in a way that is not known."),
    (421, "MisdirectedRequest", "The host is none of this server's (`http.trusted_hosts`)."),
    (422, "UnprocessableContent", "The request is understood and not valid."),
    (426, "UpgradeRequired", "The connection has to be upgraded."),
    (429, "TooManyRequests", "Too often; `Retry-After` says when again."),
    (431, "HeadersTooLarge", "The request's head is too long (`http.max_header_bytes`)."),
    (500, "InternalServerError", "Something of ours is broken."),
    (501, "NotImplemented", "The request has another `Transfer-Encoding` than chunked."),
    (
        503,
        "ServiceUnavailable",
        "Not ready, overloaded, or something it needs is down; `Retry-After` says when again.",
    ),
    (504, "GatewayTimeout", "It took longer than it may."),
];

/// Refers to the shared answer of a status in a protocol's words.
pub(super) fn response(status: u16, dialect: Dialect) -> RefOr<Response> {
    RefOr::Ref(Ref::from_response_name(name(status, dialect)))
}

/// Such as `NotFound`, and `NotFound_oip` in another protocol's words.
fn name(status: u16, dialect: Dialect) -> String {
    let told = STATUSES.iter().find(|(known, ..)| *known == status);
    let word = told.map_or("Error", |(_, word, _)| word);
    match dialect {
        Dialect::Native => word.to_owned(),
        other => format!("{word}_{}", other.protocol()),
    }
}

/// The answer itself.
fn shared(status: u16, text: &str, dialect: Dialect) -> Response {
    let schema = match dialect {
        Dialect::Native => "ErrorBody",
        Dialect::Oip | Dialect::TensorFlow => "OipError",
        Dialect::Mlflow => "MlflowError",
        Dialect::Feast => "FeastError",
    };
    let content = ContentBuilder::new().schema(Some(Ref::from_schema_name(schema))).build();
    let answer = ResponseBuilder::new().description(text).content("application/json", content);
    headers::of_error(status, answer).build()
}
