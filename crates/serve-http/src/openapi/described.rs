//! One operation as the document tells it: built from a few words and the types of its bodies.

use http::Method;
use serde_json::Value as Json;
use utoipa::ToSchema;
use utoipa::openapi::content::ContentBuilder;
use utoipa::openapi::example::ExampleBuilder;
use utoipa::openapi::path::{Operation, OperationBuilder, Parameter, ParameterBuilder, ParameterIn};
use utoipa::openapi::request_body::RequestBodyBuilder;
use utoipa::openapi::response::{ResponseBuilder, ResponsesBuilder};
use utoipa::openapi::schema::{ObjectBuilder, Schema, Type};
use utoipa::openapi::security::SecurityRequirement;
use utoipa::openapi::{Content, Ref, RefOr, Required};

use super::{API_KEY, BEARER, errors, headers};
use crate::routes::Route;

/// The chapters of the document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tag {
    Predictions,
    Features,
    Models,
    Live,
    Server,
    Oip,
    Mlflow,
    TensorFlow,
}

impl Tag {
    pub(super) const ALL: [Self; 8] = [
        Self::Predictions,
        Self::Live,
        Self::Features,
        Self::Models,
        Self::Server,
        Self::Oip,
        Self::Mlflow,
        Self::TensorFlow,
    ];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Predictions => "Predictions",
            Self::Features => "Features",
            Self::Models => "Models",
            Self::Server => "Server",
            Self::Live => "Live",
            Self::Oip => "Open Inference Protocol",
            Self::Mlflow => "MLflow",
            Self::TensorFlow => "TensorFlow Serving and KServe V1",
        }
    }

    pub(super) fn about(self) -> &'static str {
        match self {
            Self::Predictions => "One, many, or the same question to several feature sets.",
            Self::Features => "What is stored, how fresh it is, where it comes from; and storing more.",
            Self::Models => "What serves, and changing it.",
            Self::Server => "Health, metrics, and these pages.",
            Self::Live => {
                "Predictions on a WebSocket, asked for or pushed: `GET /ws/predict`, an upgrade of HTTP/1.1 (RFC 6455); without \
                 one the answer is 426. Messages are JSON objects with a `type`: `predict` asks in the words of `POST /predict`, \
                 `subscribe` has predictions pushed on new features or on an interval, and every one is answered with its \
                 `id`; docs/websocket.md has them all. A browser, which cannot send headers here, brings its key as the \
                 subprotocol `serve.key.<key>` beside `serve.v1`."
            }
            Self::Mlflow => "What MLflow's scoring server answers.",
            Self::TensorFlow => "TensorFlow Serving's REST API, which is KServe's version 1 too.",
            Self::Oip => "Version 2 of the protocol that KServe, Triton and others speak, over REST.",
        }
    }
}

/// One operation.
pub(super) struct Described {
    tag: Tag,
    /// Its name, unique in the document.
    id: &'static str,
    summary: &'static str,
    text: Option<&'static str>,
    query: Vec<Parameter>,
    body: Option<RequestBodyBuilder>,
    status: &'static str,
    answer: ResponseBuilder,
    /// Statuses beside those that follow from the line of the table.
    fails: &'static [u16],
    schemas: Vec<(String, RefOr<Schema>)>,
}

impl Described {
    pub(super) fn new(tag: Tag, id: &'static str, summary: &'static str) -> Self {
        Self {
            tag,
            id,
            summary,
            text: None,
            query: Vec::new(),
            body: None,
            status: "200",
            answer: ResponseBuilder::new().description("Answered."),
            fails: &[],
            schemas: Vec::new(),
        }
    }

    /// More than the summary.
    pub(super) fn text(self, text: &'static str) -> Self {
        Self { text: Some(text), ..self }
    }

    /// A parameter of the query.
    pub(super) fn query<T: ToSchema>(self, name: &str, text: &str, example: Json) -> Self {
        self.queried::<T>(name, text, Some(example))
    }

    /// A parameter of the query of which no example fits whatever else is asked.
    pub(super) fn query_open<T: ToSchema>(self, name: &str, text: &str) -> Self {
        self.queried::<T>(name, text, None)
    }

    fn queried<T: ToSchema>(mut self, name: &str, text: &str, example: Option<Json>) -> Self {
        let schema = self.schema::<T>();
        let parameter = ParameterBuilder::new()
            .name(name)
            .parameter_in(ParameterIn::Query)
            .required(Required::False)
            .description(Some(text))
            .schema(Some(schema))
            .example(example)
            .build();
        self.query.push(parameter);
        self
    }

    /// A JSON body; the first word of an example names it.
    pub(super) fn takes<T: ToSchema>(self, required: bool, examples: &[(&str, Json)]) -> Self {
        self.takes_as::<T>("application/json", required, examples)
    }

    /// A body of that media type.
    pub(super) fn takes_as<T: ToSchema>(
        mut self,
        media: &str,
        required: bool,
        examples: &[(&str, Json)],
    ) -> Self {
        let content = ContentBuilder::new().schema(Some(self.schema::<T>()));
        let example = |(summary, value): &(&str, Json)| {
            let name = summary.to_lowercase().replace(|letter: char| !letter.is_alphanumeric(), "_");
            (name, ExampleBuilder::new().summary(*summary).value(Some(value.clone())).build())
        };
        let content = content.examples_from_iter(examples.iter().map(example)).build();
        let required = if required { Required::True } else { Required::False };
        let body = self.body.take().unwrap_or_default();
        self.body = Some(body.content(media, content).required(Some(required)));
        self
    }

    /// A file as the body.
    pub(super) fn takes_file(mut self, media: &str) -> Self {
        let body = self.body.take().unwrap_or_default();
        self.body = Some(body.content(media, Content::new(None::<RefOr<Schema>>)));
        self
    }

    /// JSON as the answer.
    pub(super) fn answers<T: ToSchema>(mut self, text: &str, example: Option<Json>) -> Self {
        let content = ContentBuilder::new().schema(Some(self.schema::<T>())).example(example).build();
        self.answer = self.answer.description(text).content("application/json", content);
        self
    }

    /// Something else than JSON as the answer.
    pub(super) fn answers_text(mut self, media: &str, text: &str) -> Self {
        let schema: RefOr<Schema> = ObjectBuilder::new().schema_type(Type::String).build().into();
        let content = Content::new(Some(schema));
        self.answer = self.answer.description(text).content(media, content);
        self
    }

    /// The same answer as another media type, in bytes.
    pub(super) fn or_answers(mut self, media: &str) -> Self {
        self.answer = self.answer.content(media, Content::new(None::<RefOr<Schema>>));
        self
    }

    /// Statuses beside those that follow from the line of the table.
    pub(super) fn fails(self, statuses: &'static [u16]) -> Self {
        Self { fails: statuses, ..self }
    }

    /// A reference to the type's schema, which the document will have.
    fn schema<T: ToSchema>(&mut self) -> RefOr<Schema> {
        let schema = T::schema();
        if let RefOr::T(Schema::Object(object)) = &schema
            && object.properties.is_empty()
            && object.additional_properties.is_none()
        {
            // A number or a text needs no name.
            return schema;
        }
        T::schemas(&mut self.schemas);
        self.schemas.push((T::name().into_owned(), schema));
        Ref::from_schema_name(T::name().into_owned()).into()
    }

    /// The operation of a line of the table, and the schemas that it refers to.
    pub(super) fn operation(self, route: &Route, secured: bool) -> (Operation, Vec<(String, RefOr<Schema>)>) {
        let dialect = crate::routes::dialect(route.path);
        let statuses = self.statuses_of(route, secured);
        let mut responses =
            ResponsesBuilder::new().response(self.status, headers::of_answer(self.answer).build());
        for status in statuses {
            responses = responses.response(status.to_string(), errors::response(status, dialect));
        }
        let mut operation = OperationBuilder::new()
            .tag(self.tag.name())
            .operation_id(Some(self.id))
            .summary(Some(self.summary))
            .description(self.text)
            .parameters(Some(parameters(route.path).chain(self.query)))
            .request_body(self.body.map(RequestBodyBuilder::build))
            .responses(responses.build());
        if secured && route.permission.is_some() {
            let none: [&str; 0] = [];
            operation = operation
                .security(SecurityRequirement::new(BEARER, none))
                .security(SecurityRequirement::new(API_KEY, none));
        }
        (operation.build(), self.schemas)
    }

    /// The errors that such a request may be answered with.
    fn statuses_of(&self, route: &Route, secured: bool) -> Vec<u16> {
        let mut statuses = vec![400, 408, 500, 503];
        statuses.extend(errors::BEFORE);
        if route.path.contains('{') {
            statuses.push(404);
        }
        if route.method != Method::GET {
            statuses.extend([404, 413, 415, 422]);
        }
        if !self.query.is_empty() {
            statuses.push(422);
        }
        if secured && route.permission.is_some() {
            statuses.extend([401, 429]);
        }
        statuses.extend(self.fails);
        let worded =
            statuses.into_iter().map(|status| errors::status(status, crate::routes::dialect(route.path)));
        let mut statuses: Vec<u16> = worded.collect();
        statuses.sort_unstable();
        statuses.dedup();
        statuses
    }
}

/// What a model's name is.
pub(super) const MODEL_NAME: &str = "^[a-z0-9][a-z0-9._-]{0,63}$";
/// What a version or alias is.
pub(super) const SELECTOR: &str = "^[a-z0-9][a-z0-9._-]{0,63}$";

/// The parameters that a path names.
fn parameters(path: &str) -> impl Iterator<Item = Parameter> {
    path.split('{').skip(1).filter_map(|rest| rest.split('}').next()).map(|name| {
        let (text, example, pattern) = match name {
            "name" => ("A model's name.", "vader-random-forest", MODEL_NAME),
            "version" => ("A version, an alias, `latest`, `previous` or `best`.", "champion", SELECTOR),
            "alias" | "label" => {
                ("An alias.", "champion", "^(?!(?:latest|previous|best|v[0-9.]+)$)[a-z][a-z0-9._-]{0,63}$")
            }
            "set" => ("A feature set's name.", "vader", "^[a-z0-9][a-z0-9._-]{0,63}$"),
            "entity" => ("Whom or what the row describes.", "BTC/USD", "^[ -~]{1,256}$"),
            "table" => ("A table of raw rows.", "price_data", "^[a-z][a-z0-9_]{0,62}$"),
            _ => ("A part of the path.", "index.html", "^[A-Za-z0-9._-]{1,64}$"),
        };
        let schema: RefOr<Schema> =
            ObjectBuilder::new().schema_type(Type::String).pattern(Some(pattern)).build().into();
        ParameterBuilder::new()
            .name(name.trim_start_matches('*'))
            .parameter_in(ParameterIn::Path)
            .required(Required::True)
            .description(Some(text))
            .schema(Some(schema))
            .example(Some(example.into()))
            .build()
    })
}
