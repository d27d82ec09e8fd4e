//! Errors on their way out: every error has a stable code, and `status` is the one place that gives codes a status.

use std::time::Duration;

use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use serde_json::{Value as Json, json};
use serve_app::{Code, Fault, ServiceError};
use serve_core::words;

use crate::doors;
use crate::encoding;
use crate::reference::left_out;
use crate::reply::{self, Reply};

/// Also the code of the refusal that tells which encodings are known.
const UNSUPPORTED_ENCODING: &str = "unsupported_encoding";

/// A request that is answered with an error.
#[derive(Debug)]
pub struct Failure {
    status: StatusCode,
    code: &'static str,
    message: String,
    details: Option<Box<Json>>,
    allow: Option<HeaderValue>,
    retry_after: Option<Duration>,
}

/// In which words errors are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// `{"success": false, "error", "code", …}`.
    Native,
    /// The Open Inference Protocol's `{"error": …}`.
    Oip,
    /// MLflow's `{"error_code", "message"}`.
    Mlflow,
    /// TensorFlow Serving's `{"error": …}`.
    TensorFlow,
    /// Feast's: a JSON text that holds `{"module", "class", "message"}` as JSON.
    Feast,
}

impl Dialect {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Native, Self::Oip, Self::Mlflow, Self::TensorFlow, Self::Feast];

    /// The protocol's name, as metrics have it.
    #[must_use]
    pub fn protocol(self) -> &'static str {
        match self {
            Self::Native => "native",
            Self::Oip => "oip",
            Self::Mlflow => "mlflow",
            Self::TensorFlow => "tensorflow",
            Self::Feast => "feast",
        }
    }
}

/// What an answer that is an error tells the log and the metrics.
#[derive(Debug, Clone)]
pub(crate) struct Told {
    pub(crate) code: &'static str,
    pub(crate) message: String,
}

/// The status of each of the service's errors.
fn status(code: Code) -> StatusCode {
    match code {
        Code::UnknownModel
        | Code::UnknownVersion
        | Code::UnknownAlias
        | Code::UnknownFeatureSet
        | Code::UnknownEntity
        | Code::UnknownTable => StatusCode::NOT_FOUND,
        Code::NotPermitted => StatusCode::FORBIDDEN,
        Code::Unauthenticated
        | Code::InvalidKey
        | Code::KeyExpired
        | Code::InvalidToken
        | Code::TokenExpired
        | Code::TooManyFailures
        | Code::AmbiguousCredentials => StatusCode::UNAUTHORIZED,
        Code::RateLimited => StatusCode::TOO_MANY_REQUESTS,
        Code::DeadlineExceeded => StatusCode::REQUEST_TIMEOUT,
        Code::PromotionRefused | Code::ModelPinned | Code::NothingToRollBack => StatusCode::CONFLICT,
        Code::VersionRefused
        | Code::ModelLoading
        | Code::CacheFull
        | Code::Overloaded
        | Code::FeatureStoreUnavailable
        | Code::RegistryUnavailable => StatusCode::SERVICE_UNAVAILABLE,
        Code::Internal | Code::FeaturesNotComputed | Code::StoredRowUnreadable => {
            StatusCode::INTERNAL_SERVER_ERROR
        }
        Code::InvalidName
        | Code::ModelRequired
        | Code::AmbiguousModel
        | Code::InvalidFeatures
        | Code::NonFiniteOutput
        | Code::NotExplainable
        | Code::EntityRequired
        | Code::FeaturesUnavailable
        | Code::FeaturesStale
        | Code::OnDemandUnavailable
        | Code::InvalidRows
        | Code::RawRowsNotKept
        | Code::ConflictingModel
        | Code::TooManyRows => StatusCode::UNPROCESSABLE_ENTITY,
    }
}

impl Failure {
    fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into(), details: None, allow: None, retry_after: None }
    }

    /// Any other.
    pub(crate) fn of(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self::new(status, code, message)
    }

    /// 400: the request cannot be read.
    pub fn unreadable(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code, message)
    }

    /// 422: the request is understood and not valid.
    pub fn invalid(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, code, message)
    }

    /// 404: there is no such path.
    #[must_use]
    pub fn unknown_path(path: &str) -> Self {
        let path: String = path.chars().take(200).collect();
        Self::new(
            StatusCode::NOT_FOUND,
            "unknown_path",
            left_out(&path).map_or_else(
                || format!("there is nothing at {path:?}; GET / lists the paths"),
                |why| format!("there is nothing at {path:?}: {why}"),
            ),
        )
    }

    /// 405, with the methods that the path has.
    #[must_use]
    pub fn method(method: &Method, allowed: &str) -> Self {
        let message = format!("{method} is not a method of this path; it has {allowed}");
        let failure = Self::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", message);
        Self { allow: HeaderValue::from_str(allowed).ok(), ..failure }
    }

    /// 413.
    #[must_use]
    pub fn too_large(limit: serve_core::ByteSize) -> Self {
        let message = format!("the body is over the limit of {limit} (http.max_body_bytes)");
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large", message)
    }

    /// 414.
    #[must_use]
    pub(crate) fn uri_too_long(limit: usize) -> Self {
        let message =
            format!("the path with its query is over the limit of {limit} bytes (http.max_uri_bytes)");
        Self::new(StatusCode::URI_TOO_LONG, "uri_too_long", message)
    }

    /// 431.
    #[must_use]
    pub(crate) fn headers_too_large(limit: usize) -> Self {
        let message =
            format!("the request's head is over the limit of {limit} bytes (http.max_header_bytes)");
        Self::new(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, "headers_too_large", message)
    }

    /// 431.
    #[must_use]
    pub(crate) fn too_many_headers(most: usize) -> Self {
        let message = format!("more than {most} headers");
        Self::new(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, "headers_too_large", message)
    }

    /// 408.
    #[must_use]
    pub fn timeout(limit: std::time::Duration) -> Self {
        let limit = serve_core::duration::format(limit);
        let message = format!("the request took longer than {limit} (http.request_timeout)");
        Self::new(StatusCode::REQUEST_TIMEOUT, "timeout", message)
    }

    /// 415.
    #[must_use]
    pub fn media_type(got: &str) -> Self {
        let message = format!("expected content-type application/json, got {got:?}");
        Self::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", message)
    }

    /// 415: the body is packed in a way that is not known, or in several.
    #[must_use]
    pub fn content_encoding(got: &str) -> Self {
        let message = format!("expected a content-encoding of {} or none, got {got:?}", encoding::KNOWN);
        Self::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, UNSUPPORTED_ENCODING, message)
    }

    /// 415 in other words than ours.
    pub(crate) fn media_type_message(message: impl Into<String>) -> Self {
        Self::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", message)
    }

    /// 500, told without its cause, which is for the log.
    #[must_use]
    pub fn internal() -> Self {
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "internal",
            "the server failed on this request; its log has the cause",
        )
    }

    /// 503 while the server drains.
    pub fn not_ready(message: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "not_ready", message)
    }

    /// The failure as Feast's client reads it: it makes an exception of that class again.
    fn as_feast(&self) -> String {
        let class = match self.code {
            "unknown_feature_set" => "FeatureViewNotFoundException",
            "unknown_model" => "FeatureServiceNotFoundException",
            _ => "FeastError",
        };
        json!({ "module": "feast.errors", "class": class, "message": self.message }).to_string()
    }

    /// The same failure as the Open Inference Protocol wants it: what is wrong with the content is 400 there.
    #[must_use]
    pub fn as_oip(mut self) -> Self {
        let media_type =
            self.status == StatusCode::UNSUPPORTED_MEDIA_TYPE && self.code != UNSUPPORTED_ENCODING;
        if self.status == StatusCode::UNPROCESSABLE_ENTITY || media_type {
            self.status = StatusCode::BAD_REQUEST;
        }
        self
    }

    /// The failure as MLflow tells it: what is wrong with the content is 400, and what takes too long 504.
    fn into_mlflow(mut self) -> (Self, Json) {
        self.status = match self.status {
            StatusCode::UNPROCESSABLE_ENTITY => StatusCode::BAD_REQUEST,
            StatusCode::REQUEST_TIMEOUT => StatusCode::GATEWAY_TIMEOUT,
            status => status,
        };
        let word = match self.status {
            StatusCode::UNAUTHORIZED => "UNAUTHENTICATED",
            StatusCode::FORBIDDEN => "PERMISSION_DENIED",
            StatusCode::NOT_FOUND => "RESOURCE_DOES_NOT_EXIST",
            StatusCode::PAYLOAD_TOO_LARGE => "MAX_REQUEST_SIZE_EXCEEDED",
            StatusCode::TOO_MANY_REQUESTS => "REQUEST_LIMIT_EXCEEDED",
            StatusCode::INTERNAL_SERVER_ERROR => "INTERNAL_ERROR",
            StatusCode::SERVICE_UNAVAILABLE => "TEMPORARILY_UNAVAILABLE",
            StatusCode::GATEWAY_TIMEOUT => "DEADLINE_EXCEEDED",
            _ => "BAD_REQUEST",
        };
        let body = json!({ "error_code": word, "message": self.told() });
        (self, body)
    }

    /// Its code and message, for the audit trail.
    pub(crate) fn reason(&self) -> (&'static str, String) {
        (self.code, self.message.clone())
    }

    /// The message with its details, for protocols that have a place for a text alone.
    fn told(&self) -> String {
        match &self.details {
            Some(details) => format!("{}: {details}", self.message),
            None => self.message.clone(),
        }
    }

    /// The same failure, or another where it says that something is not there.
    pub(crate) fn or_not_found(self, other: impl FnOnce() -> Self) -> Self {
        if self.status == StatusCode::NOT_FOUND { other() } else { self }
    }

    /// The same failure with details.
    #[must_use]
    pub fn with_details(self, details: Json) -> Self {
        Self { details: Some(Box::new(details)), ..self }
    }

    /// Its code.
    pub(crate) fn code(&self) -> &'static str {
        self.code
    }

    /// What it says.
    pub(crate) fn message(&self) -> &str {
        &self.message
    }

    /// Whose fault it is.
    pub(crate) fn fault(&self) -> Fault {
        if self.status.is_client_error() { Fault::Client } else { Fault::Ours }
    }

    /// The failure as one entry of a batch's answers.
    #[must_use]
    pub fn entry(&self) -> Json {
        let mut entry = json!({ "success": false, "error": self.message, "code": self.code });
        if let (Some(details), Some(object)) = (&self.details, entry.as_object_mut()) {
            object.insert("details".to_owned(), (**details).clone());
        }
        entry
    }

    /// The answer.
    pub(crate) fn reply(self, dialect: Dialect, request_id: &str) -> Reply {
        let told = Told { code: self.code, message: self.message.clone() };
        let mut reply = self.written(dialect, request_id);
        reply.extensions_mut().insert(told);
        reply
    }

    fn written(self, dialect: Dialect, request_id: &str) -> Reply {
        let unsupported_encoding = self.code == UNSUPPORTED_ENCODING;
        let mut reply = self.answer(dialect, request_id);
        if unsupported_encoding {
            reply.headers_mut().insert(header::ACCEPT_ENCODING, HeaderValue::from_static(encoding::KNOWN));
        }
        reply
    }

    fn answer(mut self, dialect: Dialect, request_id: &str) -> Reply {
        let mut reply = match dialect {
            Dialect::Native => {
                let mut body = self.entry();
                if let Some(object) = body.as_object_mut() {
                    object.insert("request_id".to_owned(), request_id.into());
                    object.insert("timestamp".to_owned(), reply::timestamp(jiff::Timestamp::now()).into());
                }
                reply::json(self.status, &body)
            }
            Dialect::Mlflow => {
                let (failure, body) = self.into_mlflow();
                self = failure;
                reply::json(self.status, &body)
            }
            Dialect::Oip | Dialect::TensorFlow => {
                self = self.as_oip();
                reply::json(self.status, &json!({ "error": self.told() }))
            }
            Dialect::Feast => reply::json(self.status, &self.as_feast()),
        };
        self.head(reply.headers_mut());
        reply
    }

    /// What the answer's head says of the error.
    fn head(self, headers: &mut HeaderMap) {
        if let Some(allow) = self.allow {
            headers.insert(header::ALLOW, allow);
        }
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, doors::challenge(self.code));
        }
        let waits = matches!(self.status, StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS);
        if waits || self.code == Code::TooManyFailures.as_str() {
            // In whole seconds, and never sooner than it can help.
            let seconds = self.retry_after.map_or(1, |after| after.as_millis().div_ceil(1_000).max(1));
            let seconds = u64::try_from(seconds).unwrap_or(u64::MAX);
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
    }
}

impl From<ServiceError> for Failure {
    fn from(error: ServiceError) -> Self {
        let ServiceError { code, message, details, retry_after } = error;
        let details = details.map(Box::new);
        Self { details, retry_after, ..Self::new(status(code), code.as_str(), message) }
    }
}

/// JSON that does not parse is unreadable; JSON of another shape is invalid.
impl From<serde_json::Error> for Failure {
    fn from(error: serde_json::Error) -> Self {
        let told = error.to_string();
        Self::not_as_expected("the body", &error, &told)
    }
}

impl Failure {
    /// A row of a body that is no such row. Where in the row a reader stopped says nothing to who sent the whole.
    pub(crate) fn of_row(error: &serde_json::Error) -> Self {
        let told = error.to_string();
        Self::not_as_expected("the row", error, told.rfind(" at line ").map_or(&told, |at| &told[..at]))
    }

    fn not_as_expected(what: &str, error: &serde_json::Error, told: &str) -> Self {
        if error.is_data() {
            let problem = words::plain(told);
            return Self::invalid("invalid_request", format!("{what} is not as expected: {problem}"));
        }
        Self::unreadable("malformed_json", format!("{what} is not valid JSON: {told}"))
    }
}
