//! The OpenAPI document is true: every operation that it tells is called on a real server, with the document's own examples
//! and with typical mistakes, and every answer must have a status, a media type and a body that the document tells. Objects
//! are closed for that, so that a field which is not documented fails.

use std::collections::BTreeMap;

use serde_json::{Map, Value as Json, json};

use crate::locks::{key, locked};
use crate::server::{Client, Reply, Server};

/// What stands for the `{…}` of paths.
const PLACES: [(&str, &str); 9] = [
    ("name", "vader-random-forest"),
    ("served", "vader-random-forest"),
    ("version", "20250331_000000"),
    ("alias", "champion"),
    ("label", "champion"),
    ("set", "vader"),
    ("entity", "BTC%2FUSD"),
    ("table", "price_data"),
    ("file", "index.html"),
];

/// What is not answered with a success here: nothing was promoted.
const REFUSED: [(&str, u16); 1] = [("/models/{name}/rollback", 409)];

struct Document {
    json: Json,
    /// The schemas with closed objects.
    components: Json,
}

impl Document {
    fn of(server: &Server) -> Self {
        let json = server.get("/openapi.json").ok();
        let components = json!({ "schemas": closed(&json["components"]["schemas"], &json) });
        Self { json, components }
    }

    fn operations(&self) -> Vec<(String, String)> {
        let paths = self.json["paths"].as_object().expect("paths");
        let methods = |(path, item): (&String, &Json)| {
            let methods = item.as_object().expect("an item").iter().filter(|(_, value)| value.is_object());
            let methods: Vec<String> = methods.map(|(method, _)| method.clone()).collect();
            methods.into_iter().map(move |method| (method, path.clone())).collect::<Vec<_>>()
        };
        paths.iter().flat_map(methods).collect()
    }

    /// JSON examples of an operation's body; of a path with a `{name}` those of the same path with that name.
    fn examples(&self, method: &str, path: &str) -> Vec<Json> {
        let paths = &self.json["paths"];
        let own = paths[filled(path)][method].get("requestBody");
        let unversioned = filled(&path.replace("/versions/{version}", "").replace("/labels/{label}", ""));
        let own = own.or_else(|| paths[unversioned][method].get("requestBody"));
        let Some(body) = own.or_else(|| paths[path][method].get("requestBody")) else { return Vec::new() };
        let shown = body["content"]["application/json"]["examples"].as_object();
        shown.into_iter().flat_map(Map::values).map(|example| example["value"].clone()).collect()
    }

    /// Whether the answer is as the document tells.
    fn check(&self, method: &str, path: &str, reply: &Reply) {
        let operation = format!("{method} {path} → {}", reply.status);
        let answer = &self.json["paths"][path][method]["responses"][reply.status.to_string()];
        let shared = answer["$ref"].as_str().and_then(|reference| self.json.pointer(&reference[1..]));
        let answer = shared.unwrap_or(answer);
        assert!(answer.is_object(), "{operation} is not documented: {}", reply.body);
        let essence = |media: &str| media.split(';').next().unwrap_or_default().trim().to_owned();
        let media = essence(reply.header("content-type").unwrap_or_default());
        let content = answer["content"].as_object().cloned().unwrap_or_default();
        let content: BTreeMap<String, &Json> = content
            .iter()
            .map(|(key, one)| (essence(key), one))
            .map(|(key, _)| {
                let one = answer["content"].as_object().into_iter().flatten();
                let mut one = one.filter(|(other, _)| essence(other) == key).map(|(_, one)| one);
                (key.clone(), one.next().expect("is there"))
            })
            .collect();
        let told = content.get(&media);
        assert!(told.is_some() || reply.bytes.is_empty(), "{operation}: {media:?} is not documented");
        let Some(schema) = told.and_then(|told| told.get("schema")).filter(|_| media == "application/json")
        else {
            return;
        };
        let mut schema = closed(schema, &self.json);
        schema["components"] = self.components.clone();
        let validator = jsonschema::draft202012::new(&schema).expect("is a schema");
        let problems: Vec<String> = validator
            .iter_errors(&reply.body)
            .map(|problem| {
                format!(
                    "{}: {}",
                    problem.instance_path(),
                    problem.to_string().chars().take(400).collect::<String>()
                )
            })
            .collect();
        assert!(problems.is_empty(), "{operation}: {problems:#?}");
    }
}

/// A schema whose objects have no other fields than are told. Objects that are put together of several are closed as a whole.
fn closed(schema: &Json, document: &Json) -> Json {
    match schema {
        Json::Array(list) => list.iter().map(|one| closed(one, document)).collect(),
        Json::Object(object) if object.contains_key("allOf") => {
            let parts = object["allOf"].as_array().expect("a list").iter().map(|part| {
                let target =
                    part.get("$ref").and_then(Json::as_str).and_then(|path| document.pointer(&path[1..]));
                open(target.unwrap_or(part), document)
            });
            json!({ "allOf": parts.collect::<Vec<_>>(), "unevaluatedProperties": false })
        }
        Json::Object(_) => {
            let mut closed = open(schema, document);
            let object = closed.as_object_mut().expect("is one");
            if object.contains_key("properties") && object.get("type").is_some_and(|kind| kind == "object") {
                object.entry("additionalProperties").or_insert(json!(false));
            }
            closed
        }
        other => other.clone(),
    }
}

/// The same, with fields of this object that are not told.
fn open(schema: &Json, document: &Json) -> Json {
    let parts =
        schema.as_object().into_iter().flatten().map(|(key, part)| (key.clone(), closed(part, document)));
    Json::Object(parts.collect())
}

/// A path without `{…}`.
fn filled(path: &str) -> String {
    PLACES.iter().fold(path.to_owned(), |path, (name, value)| path.replace(&format!("{{{name}}}"), value))
}

fn call(client: &mut Client, method: &str, path: &str, body: &str) -> Reply {
    let headers: &[(&str, &str)] =
        if body.is_empty() { &[] } else { &[("content-type", "application/json")] };
    client.text(&method.to_uppercase(), path, headers, body)
}

#[test]
fn every_documented_operation_answers_as_the_document_tells() {
    let server = Server::demo();
    let document = Document::of(&server);
    let mut client = server.connect();
    let operations = document.operations();
    assert!(operations.len() > 70, "{operations:?}");
    for (method, path) in &operations {
        let examples = document.examples(method, path);
        let bodies: Vec<String> = if examples.is_empty() {
            vec![String::new()]
        } else {
            examples.iter().map(Json::to_string).collect()
        };
        let expected = REFUSED.iter().find(|(refused, _)| refused == path).map_or(200, |(_, status)| *status);
        for body in bodies {
            let reply = call(&mut client, method, &filled(path), &body);
            assert_eq!(reply.status, expected, "{method} {path} {body}: {}", reply.body);
            document.check(method, path, &reply);
        }
    }
}

#[test]
fn what_is_shown_is_what_the_schemas_admit() {
    let server = Server::demo();
    let document = Document::of(&server);
    let mut shown = 0;
    for (method, path) in document.operations() {
        let operation = &document.json["paths"][&path][&method];
        let contents = operation["requestBody"]["content"].as_object().into_iter().flatten();
        for (media, content) in contents.filter(|(_, content)| content.get("schema").is_some()) {
            let several = content["examples"].as_object().into_iter().flat_map(Map::values);
            let values = several.map(|example| &example["value"]).chain(content.get("example"));
            let mut schema = content["schema"].clone();
            schema["components"] = document.json["components"].clone();
            let validator = jsonschema::draft202012::new(&schema).expect("is a schema");
            for value in values {
                assert!(validator.is_valid(value), "{method} {path} {media}: {value}");
                shown += 1;
            }
        }
    }
    assert!(shown > 50, "{shown}");
    let schemas = &document.json["components"]["schemas"];
    let moment = jsonschema::draft202012::new(&schemas["Moment"]).expect("is a schema");
    // The demonstration's newest rows are of March 2025.
    for (text, admitted) in [
        ("2024-12-31T23:59:59.5-13:59", true),
        ("2025-01-01T00:00:00Z", false),
        ("2024-02-30T00:00:00Z", false),
    ] {
        assert_eq!(moment.is_valid(&json!(text)), admitted, "{text}");
    }
    let list = jsonschema::draft202012::new(&schemas["AnyList"]).expect("is a schema");
    for (value, is_one) in [
        (json!([[{}]]), true),
        (json!([0.5, "x"]), true),
        (json!([1, [2]]), false),
        (json!([[1], [2]]), false),
    ] {
        let told = server
            .post("/predict/batch", &json!({"model": "vader-random-forest", "instances": [value]}))
            .ok();
        let is_read = told["predictions"][0]["code"] != "invalid_request";
        assert_eq!((is_read, list.is_valid(&value)), (is_one, is_one), "{value}: {told}");
    }
}

#[test]
fn what_stands_before_the_handlers_is_told_with_its_headers() {
    let server = Server::demo();
    let document = Document::of(&server);
    let mut client = server.connect();
    let long = format!("/predict?{}", "x".repeat(20_000));
    for (status, target, headers) in
        [(403, "/predict", &[("origin", "http://elsewhere.example")][..]), (414, &long, &[])]
    {
        let reply = client.text("POST", target, headers, "");
        assert_eq!(reply.status, status, "{}", reply.body);
        document.check("post", "/predict", &reply);
        client = server.connect();
    }
    let other = server.connect().text("DELETE", "/v1/models/vader-random-forest:predict", &[], "");
    assert_eq!((other.status, other.header("allow")), (405, Some("POST")));
    let socket = &document.json["paths"]["/ws/predict"];
    assert!(socket["description"].as_str().is_some_and(|told| told.contains("426")), "{socket}");
    for name in ["X-Request-Timeout", "X-Request-Priority", "X-Request-Id", "traceparent"] {
        assert_eq!(document.json["components"]["parameters"][name]["in"], "header", "{name}");
    }
    let status = server.get("/v1/models/vader-random-forest/versions/champion").ok();
    assert_eq!(status["model_version_status"][0]["version"], "20250331_000000");
}

#[test]
fn mistakes_are_answered_as_the_document_tells() {
    let server = Server::demo();
    let document = Document::of(&server);
    let mut client = server.connect();
    for (method, path) in document.operations() {
        let mut tries = Vec::new();
        if path.contains('{') {
            let nobody = PLACES
                .iter()
                .fold(path.clone(), |path, (name, _)| path.replace(&format!("{{{name}}}"), "nobody"));
            let example = document.examples(&method, &path).first().map(Json::to_string).unwrap_or_default();
            tries.push((nobody, example));
        }
        if method != "get" {
            for body in ["{", "[]", "[null]", "{\"no_such_key\": [{}]}", "\"\u{1}\""] {
                tries.push((filled(&path), body.to_owned()));
            }
        }
        tries.push((format!("{}?no_such_parameter=1", filled(&path)), String::new()));
        for (address, body) in tries {
            let reply = call(&mut client, &method, &address, &body);
            assert!(!body.starts_with('[') || reply.status >= 400, "{method} {path} takes a list");
            document.check(&method, &path, &reply);
        }
    }
}

#[test]
fn a_caller_with_some_models_sees_those_alone() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (key, line) = key("some", "predict,read", &["--models", "finbert-random-forest"]);
    let server = locked(folder.path(), &format!("mode: keys\npublic: [/docs]\nkeys:\n{line}"));
    let mut client = server.connect();
    let bearer = format!("Bearer {key}");
    let document = client.text("GET", "/openapi.json", &[("authorization", &bearer)], "").ok();
    let paths: Vec<&String> = document["paths"].as_object().expect("paths").keys().collect();
    assert!(document.to_string().contains("finbert-random-forest"));
    assert!(paths.iter().all(|path| !path.contains("vader")), "{paths:?}");
    assert!(document["paths"]["/predict"]["post"]["security"].is_array());
    assert!(document["paths"]["/docs"]["get"].get("security").is_none(), "is public");
    assert!(document["paths"]["/redoc"]["get"]["security"].is_array());
    assert_eq!(client.text("GET", "/docs", &[], "").status, 200);
    let refused = client.text("GET", "/redoc", &[], "");
    let (status, code, message) = refused.error();
    assert_eq!((status, code), (401, "unauthenticated"));
    assert!(message.contains("auth.public: [/docs, /redoc, /openapi.json]"), "{message}");
}

#[test]
fn every_path_of_the_table_is_told_in_the_http_api_page_and_the_other_way_round() {
    let server = Server::demo();
    let index = server.get("/").ok();
    let page = std::fs::read_to_string(crate::server::repository().join("docs/http-api.md")).expect("a page");
    let endpoints = index["endpoints"].as_array().expect("a list").iter().filter_map(Json::as_str);
    let known: Vec<String> =
        endpoints.map(|line| line.split_once(' ').expect("two words").1.to_owned()).collect();
    let told = told_paths(&page);
    let untold: Vec<&String> = known
        .iter()
        .filter(|path| !matches!(path.as_str(), "/v2/" | "/docs/") && !told.contains(path))
        .collect();
    assert!(untold.is_empty(), "docs/http-api.md does not tell {untold:?}");
    let unknown: Vec<&String> = told.iter().filter(|path| !known.contains(path)).collect();
    assert!(unknown.is_empty(), "docs/http-api.md tells {unknown:?}");
}

/// The paths in the first two columns of the page's tables of methods and paths, each of `/a[/b]` twice.
fn told_paths(page: &str) -> Vec<String> {
    let mut told = Vec::new();
    for line in page.lines() {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let [_, method, paths, ..] = cells[..] else { continue };
        if !matches!(method, "GET" | "POST" | "PUT" | "DELETE") {
            continue;
        }
        for path in paths.split('`').skip(1).step_by(2) {
            match path.split_once('[').and_then(|(start, rest)| Some((start, rest.split_once(']')?))) {
                Some((start, (inner, end))) => {
                    told.push(format!("{start}{end}"));
                    inner.split(" or ").for_each(|inner| told.push(format!("{start}{inner}{end}")));
                }
                None => told.push(path.to_owned()),
            }
        }
    }
    told
}
