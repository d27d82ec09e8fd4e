//! Headers that requests and answers may have on every path, told once: those of answers stand with each answer, those of
//! requests among the document's parameters and in its introduction. (Told with each operation they would be a form of a
//! dozen fields in Swagger UI.)

use serde_json::{Value as Json, json};
use utoipa::openapi::header::HeaderBuilder;
use utoipa::openapi::path::{Parameter, ParameterBuilder, ParameterIn};
use utoipa::openapi::response::ResponseBuilder;
use utoipa::openapi::schema::{ObjectBuilder, Schema, Type};
use utoipa::openapi::{Components, Ref, RefOr, Required};

/// Headers of any answer.
const OF_ANSWERS: [(&str, &str); 5] = [
    ("X-Request-Id", "The request's id: the client's, or a new one."),
    ("Server-Timing", "Where the time went, by stage, in milliseconds."),
    ("traceparent", "The trace that the request belongs to (W3C Trace Context)."),
    (
        "RateLimit",
        "Where the caller stands against its limits: `r` requests are left, all of them are back in `t` seconds.",
    ),
    ("RateLimit-Policy", "The limits: `q` requests in `w` seconds."),
];
const RETRY_AFTER: (&str, &str) = ("Retry-After", "In how many seconds to ask again.");
const ALLOW: (&str, &str) = ("Allow", "The methods of the path.");
const CHALLENGE: (&str, &str) = ("WWW-Authenticate", "How to say who asks (RFC 6750).");

/// Headers that any request may have: name, what it says, its schema, and an example.
fn of_requests() -> [(&'static str, &'static str, Json, &'static str); 5] {
    let text = || json!({ "type": "string" });
    [
        (
            "X-Request-Timeout",
            "How long the answer is worth having: milliseconds, or a number with a unit, such as `250ms` or `2s`; never longer than \
             `http.request_timeout`. After it the answer is 408, and what was not computed yet is not.",
            json!({ "type": "string", "pattern": "^(?:[0-9]+|[0-9]+(?:us|ms|s|m|h|d|w))$" }),
            "2s",
        ),
        (
            "X-Request-Priority",
            "How urgent it is where requests wait: 1 goes first, 0 says nothing.",
            json!({ "type": "integer", "minimum": 0, "maximum": 255 }),
            "1",
        ),
        (
            "X-Request-Id",
            "An id to find the request by in the log, up to 128 visible characters; without one it is given one.",
            text(),
            "order-4711",
        ),
        (
            "traceparent",
            "The trace that the request belongs to (W3C Trace Context).",
            text(),
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        ),
        ("Accept-Encoding", "`gzip` or `deflate` packs the answer.", text(), "gzip"),
    ]
}

fn header(text: &str, kind: Type) -> utoipa::openapi::Header {
    let schema: RefOr<Schema> = ObjectBuilder::new().schema_type(kind).build().into();
    HeaderBuilder::new().schema(Some(schema)).description(Some(text)).build()
}

/// Adds all of them to what the document shares.
pub(super) fn add(components: &mut Components) {
    for (name, text) in OF_ANSWERS.into_iter().chain([ALLOW, CHALLENGE]) {
        components.headers.insert(name.to_owned(), header(text, Type::String).into());
    }
    let (name, text) = RETRY_AFTER;
    components.headers.insert(name.to_owned(), header(text, Type::Integer).into());
    for (name, text, schema, example) in of_requests() {
        components.parameters.insert(name.to_owned(), parameter(name, text, schema, example).into());
    }
}

fn parameter(name: &str, text: &str, schema: Json, example: &str) -> Parameter {
    let schema: Option<RefOr<Schema>> = serde_json::from_value(schema).ok();
    ParameterBuilder::new()
        .name(name)
        .parameter_in(ParameterIn::Header)
        .required(Required::False)
        .description(Some(text))
        .schema(schema)
        .example(Some(example.into()))
        .build()
}

/// What the document's introduction says of them.
pub(super) fn told() -> String {
    let requests = of_requests().map(|(name, text, ..)| format!("| `{name}` | request | {text} |"));
    let answers = OF_ANSWERS.into_iter().chain([RETRY_AFTER]);
    let answers = answers.map(|(name, text)| format!("| `{name}` | answer | {text} |"));
    let rows: Vec<String> = requests.into_iter().chain(answers).collect();
    format!("| header | of the | |\n|---|---|---|\n{}", rows.join("\n"))
}

/// With the headers of any answer.
pub(super) fn of_answer(answer: ResponseBuilder) -> ResponseBuilder {
    OF_ANSWERS.into_iter().fold(answer, |answer, (name, _)| answer.header_ref(name, reference(name)))
}

/// With those of an error too.
pub(super) fn of_error(status: u16, answer: ResponseBuilder) -> ResponseBuilder {
    let own = match status {
        401 => Some(CHALLENGE),
        405 => Some(ALLOW),
        429 | 503 => Some(RETRY_AFTER),
        _ => None,
    };
    let answer = of_answer(answer);
    own.into_iter().fold(answer, |answer, (name, _)| answer.header_ref(name, reference(name)))
}

fn reference(name: &str) -> Ref {
    Ref::new(format!("#/components/headers/{name}"))
}
