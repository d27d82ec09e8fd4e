//! The OpenAPI 3.1 document of every path in the table, made from the types of bodies, and the pages that show it: Swagger UI
//! at `/docs`, ReDoc at `/redoc`. Pages and scripts come from the binary.
//!
//! Each line of the table is described once, in the module of its tag; [`document`] adds what follows from the line itself:
//! path parameters, who may ask, and the errors that any such request may be answered with.

mod asked;
mod bodies;
mod described;
mod errors;
#[allow(dead_code, clippy::struct_field_names, reason = "bodies' types stand here for their schemas")]
mod features;
mod fitted;
mod headers;
mod known;
#[allow(dead_code, clippy::struct_field_names, reason = "bodies' types stand here for their schemas")]
mod mlflow;
#[allow(dead_code, clippy::struct_field_names, reason = "bodies' types stand here for their schemas")]
mod oip;
mod pages;
#[allow(dead_code, clippy::struct_field_names, reason = "bodies' types stand here for their schemas")]
mod predictions;
#[allow(dead_code, reason = "words of queries stand here for their schemas")]
mod queries;
#[allow(dead_code, clippy::struct_field_names, reason = "bodies' types stand here for their schemas")]
mod registry;
mod rows;
#[allow(dead_code, clippy::struct_field_names, reason = "bodies' types stand here for their schemas")]
mod server;
mod shown;
#[allow(dead_code, clippy::struct_field_names, reason = "bodies' types stand here for their schemas")]
mod tensorflow;

pub(crate) use pages::{openapi, redoc, swagger, swagger_file};

use http::Method;
use utoipa::openapi::path::{HttpMethod, PathItem, PathItemBuilder, Paths};
use utoipa::openapi::security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{
    Components, Info, License, OpenApi, OpenApiBuilder, Server as ServerUrl, tag::Tag as DocumentTag,
};

use crate::routes::{self, Route};
use described::{Described, Tag};
use known::Known;
pub(crate) use pages::Document;

/// Names of the two ways to bring a key.
const BEARER: &str = "bearer";
const API_KEY: &str = "api_key";

const SOCKET: &str = "/ws/predict";

/// The document of this server, in JSON.
fn fitted_to(known: &Known) -> serde_json::Result<Vec<u8>> {
    let mut document = serde_json::to_value(document(known.secured))?;
    fitted::fit(&mut document, known);
    serde_json::to_vec(&document)
}

/// The document of any server. `secured` says whether callers have to say who they are.
pub(crate) fn document(secured: bool) -> OpenApi {
    let mut paths = Paths::new();
    let mut components = Components::new();
    errors::add(&mut components);
    headers::add(&mut components);
    for route in routes::all() {
        let Some(described) = describe(route) else { continue };
        let (operation, schemas) = described.operation(route, secured);
        components.schemas.extend(schemas);
        let item = PathItem::new(method(&route.method), operation);
        match paths.paths.get_mut(route.path) {
            Some(known) => known.merge_operations(item),
            None => drop(paths.paths.insert(route.path.to_owned(), item)),
        }
    }
    paths.paths.insert(SOCKET.to_owned(), socket());
    if secured {
        add_security(&mut components);
    }
    let tags = Tag::ALL.map(|tag| {
        let mut told = DocumentTag::new(tag.name());
        told.description = Some(tag.about().to_owned());
        told
    });
    OpenApiBuilder::new()
        .info(info())
        .servers(Some([ServerUrl::new("/"), ServerUrl::new("/api/v1")]))
        .paths(paths)
        .components(Some(components))
        .tags(Some(tags))
        .build()
}

/// The path of the WebSocket. OpenAPI has no words for an operation that leaves HTTP: a client made from one would ask without
/// an upgrade, which is never answered with a success. So the path is there, with what it does, and without an operation.
fn socket() -> PathItem {
    PathItemBuilder::new()
        .summary(Some("Predictions on a WebSocket"))
        .description(Some(format!(
            "`GET` with an upgrade of HTTP/1.1 is 101 (RFC 6455, `Sec-WebSocket-Version: 13`, subprotocol `serve.v1`); without one it \
             is 426 with an error's body. {}",
            Tag::Live.about()
        )))
        .build()
}

fn info() -> Info {
    let mut info = Info::new("serve-server", env!("CARGO_PKG_VERSION"));
    info.description = Some(format!(
        "Predictions of tabular models: versioned, proven before they serve, swapped without losing a request. Every \
         path also answers under `/api/v1`, and `HEAD` wherever `GET` does. These headers may come with any request, or \
         stand with any answer:\n\n{}",
        headers::told()
    ));
    let mut license = License::new("MIT OR Apache-2.0");
    license.identifier = Some("MIT OR Apache-2.0".to_owned());
    info.license = Some(license);
    info
}

fn add_security(components: &mut Components) {
    let bearer = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .description(Some("An API key, or a JSON Web Token."))
        .build();
    let key = ApiKey::Header(ApiKeyValue::with_description("X-API-Key", "An API key."));
    components.add_security_scheme(BEARER, SecurityScheme::Http(bearer));
    components.add_security_scheme(API_KEY, SecurityScheme::ApiKey(key));
}

/// What the document says of a line of the table.
fn describe(route: &Route) -> Option<Described> {
    let (method, path) = (route.method.as_str(), route.path);
    // A path that differs by its last slash alone is no other path.
    if path == "/v2/" || path == "/docs/" {
        return None;
    }
    if path == SOCKET {
        return None;
    }
    server::describe(method, path)
        .or_else(|| predictions::describe(method, path))
        .or_else(|| features::describe(method, path))
        .or_else(|| registry::describe(method, path))
        .or_else(|| oip::describe(method, path))
        .or_else(|| mlflow::describe(method, path))
        .or_else(|| tensorflow::describe(method, path))
}

fn method(method: &Method) -> HttpMethod {
    match *method {
        Method::POST => HttpMethod::Post,
        Method::PUT => HttpMethod::Put,
        Method::DELETE => HttpMethod::Delete,
        _ => HttpMethod::Get,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::Value as Json;

    use super::*;

    #[test]
    fn every_path_is_in_the_document() {
        let document = serde_json::to_value(document(true)).expect("is JSON");
        assert_eq!(document["openapi"], "3.1.0");
        let documented: BTreeSet<(String, String)> = document["paths"]
            .as_object()
            .expect("is an object")
            .iter()
            .flat_map(|(path, item)| {
                let methods = item.as_object().expect("is an object").keys();
                let methods = methods.filter(|key| !matches!(key.as_str(), "summary" | "description"));
                methods.map(|method| (method.to_uppercase(), path.clone()))
            })
            .collect();
        let slashed = |path: &&str| !matches!(*path, "/v2/" | "/docs/" | "/ws/predict");
        let table: BTreeSet<(String, String)> = routes::all()
            .filter(|route| slashed(&route.path))
            .map(|route| (route.method.as_str().to_owned(), route.path.to_owned()))
            .collect();
        assert_eq!(documented, table);
        let socket = &document["paths"]["/ws/predict"]["description"];
        assert!(socket.as_str().is_some_and(|told| told.contains("101") && told.contains("426")), "{socket}");
    }

    #[test]
    fn every_operation_has_a_name_of_its_own_a_summary_and_examples() {
        let document = serde_json::to_value(document(true)).expect("is JSON");
        let mut names = BTreeSet::new();
        let paths = document["paths"].as_object().expect("is an object").iter();
        for (path, item) in paths.filter(|(path, _)| *path != "/ws/predict") {
            for (method, operation) in item.as_object().expect("is an object") {
                let name = operation["operationId"].as_str().expect("has a name");
                assert!(names.insert(name.to_owned()), "{name} names two operations");
                assert!(operation["summary"].is_string(), "{method} {path} has no summary");
                let body = &operation["requestBody"]["content"];
                // Bytes that are no text cannot be shown.
                let shown =
                    body.as_object().into_iter().flatten().filter(|(media, _)| !media.contains("parquet"));
                for (media, content) in shown {
                    let shown = content.get("example").or_else(|| content.get("examples"));
                    assert!(shown.is_some(), "{method} {path} has no example of {media}");
                }
            }
        }
    }

    #[test]
    fn every_reference_leads_somewhere() {
        let document = serde_json::to_value(document(true)).expect("is JSON");
        let mut open = vec![&document];
        while let Some(value) = open.pop() {
            match value {
                Json::Object(object) => {
                    if let Some(reference) = object.get("$ref").and_then(Json::as_str) {
                        let pointer = reference.strip_prefix('#').expect("is in this document");
                        assert!(document.pointer(pointer).is_some(), "{reference} leads nowhere");
                    }
                    open.extend(object.values());
                }
                Json::Array(list) => open.extend(list),
                _ => {}
            }
        }
    }
}
