//! The document made to fit one server: bodies as its models, sets and tables take them. Where a path with a `{…}` has a body
//! that depends on what it names, it tells those that take the same, and others get a path of their own.
//!
//! A schema of ours promises that what it admits is answered. So a prediction is one of: a row for a model that is told, or a
//! question about stored features of somebody who has some.

use serde_json::{Map, Value as Json, json};

use super::asked::{
    answers_nothing, any_list, asked_models, both, compared_example, entity, moment, predict,
    predict_examples,
};
use super::bodies::{Body, infer, invocations, stored, v1};
use super::known::{Group, Known, KnownModel};
use super::rows::{literal, ready_example, ready_values};
use super::shown;

/// Fits the document to what is known.
pub(super) fn fit(document: &mut Json, known: &Known) {
    schemas(document, known);
    if !known.models.is_empty() {
        for path in ["/predict", "/api/ml/serve"] {
            examples(document, path, predict_examples(known));
        }
        examples(document, "/predict/both", compared_example(known));
        for path in ["/predict", "/api/ml/serve"] {
            required(document, path, !answers_nothing(known));
        }
    }
    if let Some(group) = known.groups().first() {
        let fitted = shared(document, INVOCATIONS, group.model, known.rows);
        body(document, "/invocations", group.model, fitted);
        let told = "A model that takes the same, such as these; `name@version` and `name@alias` too.";
        let names = json!({ "type": "string", "enum": group.names });
        parameter(document, "/invocations", "model", names, Some(json!(group.names[0])), told);
    }
    if known.default.is_none() {
        // The model has to be told, by its name as far as a schema can say that.
        named(document, "/invocations", "post");
        named(document, "/model/info", "get");
    }
    for path in ["/models/load", "/models/unload"] {
        required(document, path, known.default.is_none());
    }
    let (asked, explained): (Vec<Fitted>, Vec<Fitted>) =
        OF_MODELS.into_iter().partition(|(path, _)| !path.ends_with(EXPLAIN));
    for (paths, groups) in [(asked, known.groups()), (explained, known.explained())] {
        for (at, group) in groups.iter().enumerate() {
            models(document, &paths, group, known.rows, at > 0);
        }
    }
    if known.explained().is_empty() && !known.models.is_empty() {
        document["paths"]
            .as_object_mut()
            .into_iter()
            .for_each(|paths| paths.retain(|path, _| !path.ends_with(EXPLAIN)));
    }
    rows_to_store(document, known);
    stores(document, known);
    for path in &known.public {
        let methods = document["paths"].get_mut(*path).and_then(Json::as_object_mut).into_iter().flatten();
        methods.filter_map(|(_, one)| one.as_object_mut()).for_each(|one| drop(one.remove("security")));
    }
    shown::fit(document, known);
    OF_MODELS.iter().for_each(|(path, _)| of_these(document, path));
    plain(document);
}

/// A path that tells some models' bodies has another `{…}` than those of all models: a program that fills in a name that it
/// read elsewhere would send that model what these take.
fn of_these(document: &mut Json, path: &str) {
    let Some(paths) = document.get_mut("paths").and_then(Json::as_object_mut) else { return };
    let Some(mut item) = paths.remove(path) else { return };
    let parameters = item.pointer_mut("/post/parameters").and_then(Json::as_array_mut);
    for one in parameters.into_iter().flatten().filter(|one| one["name"] == "name") {
        one["name"] = json!("served");
    }
    paths.insert(path.replace("{name}", "{served}"), item);
}

/// Whether a path's body has to be there.
fn required(document: &mut Json, path: &str, needed: bool) {
    let required = document["paths"][path]["post"].pointer_mut("/requestBody/required");
    required.into_iter().for_each(|required| *required = json!(needed));
}

/// Leaves out what is never answered here for want of a feature store, and says so.
fn stores(document: &mut Json, known: &Known) {
    let (store, raw) = known.stores;
    let Some(paths) = document.get_mut("paths").and_then(Json::as_object_mut) else { return };
    let before = paths.len();
    paths.retain(|path, _| {
        let rows =
            path.starts_with("/features/") || path == "/get-online-features" || path == "/predict/both";
        (store || !rows) && (raw || !path.starts_with("/raw/"))
    });
    if paths.len() < before {
        let tags = document.get_mut("tags").and_then(Json::as_array_mut).into_iter().flatten();
        for tag in tags.filter(|tag| tag["name"] == "Features") {
            let about = tag["description"].as_str().unwrap_or_default();
            let lacks = if store { "keeps no raw rows" } else { "has no feature store" };
            tag["description"] =
                json!(format!("{about} This server {lacks}; what needs that is left out here."));
        }
    }
}

/// The name of a kind of body, and what makes it for a model.
type Fitting = (&'static str, fn(&KnownModel, usize) -> Body);

/// A path, and what makes its body.
type Fitted = (&'static str, Fitting);

const INFER: Fitting = ("Infer", |model, _| infer(model));
const INVOCATIONS: Fitting = ("Invocations", invocations);
const V1: Fitting = ("V1", v1);

/// How paths end that explain.
const EXPLAIN: &str = ":explain";

/// Paths whose bodies depend on the model.
const OF_MODELS: [Fitted; 9] = [
    ("/v2/models/{name}/infer", INFER),
    ("/models/{name}/invocations", INVOCATIONS),
    ("/v1/models/{name}:predict", V1),
    ("/v1/models/{name}:explain", V1),
    ("/v2/models/{name}/versions/{version}/infer", INFER),
    ("/v1/models/{name}/versions/{version}:predict", V1),
    ("/v1/models/{name}/labels/{label}:predict", V1),
    ("/v1/models/{name}/versions/{version}:explain", V1),
    ("/v1/models/{name}/labels/{label}:explain", V1),
];

/// A body for a model, whose schema all its paths share: it is told once.
fn shared(document: &mut Json, (kind, make): Fitting, model: &KnownModel, rows: usize) -> Body {
    let (name, (schema, shown)) = (format!("{kind}.{}", model.name), make(model, rows));
    let reference = json!({ "$ref": format!("#/components/schemas/{name}") });
    let schemas = document.pointer_mut("/components/schemas").and_then(Json::as_object_mut);
    schemas.into_iter().for_each(|schemas| drop(schemas.insert(name.clone(), schema.clone())));
    (reference, shown)
}

/// Tells the paths of models that take the same. The first such group has those with a `{name}`, each other one has paths of
/// its first model's own.
fn models(document: &mut Json, paths: &[Fitted], group: &Group<'_>, rows: usize, own: bool) {
    for (path, fitting) in paths {
        let fitted = shared(document, *fitting, group.model, rows);
        if own {
            let path = own_path(document, path, ("name", group.names[0]));
            if let [_, others @ ..] = &group.names[..]
                && !others.is_empty()
            {
                let operation = &mut document["paths"][&path]["post"];
                let told = operation["description"].as_str().unwrap_or_default();
                operation["description"] =
                    json!(format!("{told} These take the same: {}.", others.join(", ")).trim());
            }
            body(document, &path, group.model, fitted);
            continue;
        }
        let told = "Models that take the features told here. `GET /models/{name}` tells what others take.";
        let schema = json!({ "type": "string", "enum": group.names });
        parameter(document, path, "name", schema, Some(json!(group.names[0])), told);
        body(document, path, group.model, fitted);
    }
}

fn rows_to_store(document: &mut Json, known: &Known) {
    let set = |name: &str| format!("^(?!(?:{name})$)[a-z0-9][a-z0-9._-]{{0,63}}$");
    let others = |names: Vec<&str>| match &names[..] {
        [] => "^[a-z0-9][a-z0-9._-]{0,63}$".to_owned(),
        names => set(&names.iter().map(|name| literal(name)).collect::<Vec<_>>().join("|")),
    };
    for (path, name, key) in [("/features/{set}", "set", "features"), ("/raw/{table}", "table", "values")] {
        let scalar = json!({ "type": "object", "additionalProperties": { "$ref": "#/components/schemas/FeatureValue" } });
        let names: Vec<&str> = if name == "set" {
            known.sets.iter().map(|set| set.name.as_str()).collect()
        } else {
            known.tables.iter().map(|table| table.name.as_str()).collect()
        };
        for own in &names {
            own_path(document, path, (name, own));
        }
        let (schema, rows) = stored(key, &scalar, &json!({ "a": 0.5 }), known);
        json_body(document, path)
            .into_iter()
            .for_each(|content| *content = json!({ "schema": schema, "examples": rows }));
        // Raw rows are taken for tables that something reads: these are known to every server.
        let tables = ["price_data", "sentiment_data"].into_iter().find(|table| !names.contains(table));
        let example = if name == "set" { Some("moods") } else { tables };
        let schema = json!({ "type": "string", "pattern": others(names) });
        let told = "One that is not declared; those have paths of their own.";
        parameter(document, path, name, schema, example.map(Json::from), told);
    }
    let sets = known.sets.iter().map(|set| {
        let fitted = stored("features", &ready_values(&set.features), &ready_example(&set.features), known);
        (format!("/features/{}", set.name), fitted)
    });
    let tables = known.tables.iter().map(|table| {
        (format!("/raw/{}", table.name), stored("values", &table.values(), &table.example(), known))
    });
    for (path, (schema, shown)) in sets.chain(tables) {
        json_body(document, &path)
            .into_iter()
            .for_each(|content| *content = json!({ "schema": schema, "examples": shown }));
    }
}

fn schemas(document: &mut Json, known: &Known) {
    let Some(schemas) = document.pointer_mut("/components/schemas").and_then(Json::as_object_mut) else {
        return;
    };
    schemas.insert("Moment".to_owned(), moment(known.year));
    schemas.insert("RowEntity".to_owned(), entity());
    schemas.insert("AnyList".to_owned(), any_list());
    for (name, schema) in asked_models(known.default.is_some()) {
        schemas.insert(name.to_owned(), schema);
    }
    if let Some(entities) =
        schemas.get_mut("OnlineRequest").and_then(|body| body.pointer_mut("/properties/entities"))
    {
        entities["minProperties"] = json!(1);
        entities["maxProperties"] = json!(1);
    }
    // A row of a batch may be anything: where it is wrong, it fails alone.
    for (batch, rows) in
        [("BatchOfRequests", "requests"), ("BatchOfInstances", "instances"), ("BatchOfSymbols", "symbols")]
    {
        let row =
            schemas.get_mut(batch).and_then(|batch| batch.pointer_mut(&format!("/properties/{rows}/items")));
        row.into_iter().for_each(|row| *row = json!({ "anyOf": [row.take(), {}] }));
    }
    if !known.models.is_empty() {
        schemas.insert("PredictRequest".to_owned(), predict(known));
        schemas.insert("BothRequest".to_owned(), both(known));
    }
}

/// Replaces the examples of a path's JSON body.
fn examples(document: &mut Json, path: &str, examples: Json) {
    if let Some(content) = json_body(document, path).and_then(Json::as_object_mut) {
        content.insert("examples".to_owned(), examples);
    }
}

/// Replaces schema and examples of a path's JSON body, and the example of its CSV.
fn body(document: &mut Json, path: &str, model: &KnownModel, (schema, shown): Body) {
    if let Some(content) = json_body(document, path) {
        *content = json!({ "schema": schema, "examples": shown });
    }
    let csv = document["paths"][path]["post"].pointer_mut("/requestBody/content/text~1csv");
    csv.into_iter()
        .for_each(|csv| *csv = json!({ "schema": { "type": "string", "pattern": model.csv_pattern() }, "example": model.csv_example() }));
}

fn json_body<'a>(document: &'a mut Json, path: &str) -> Option<&'a mut Json> {
    let operation = document.get_mut("paths")?.get_mut(path)?.get_mut("post")?;
    operation.pointer_mut("/requestBody/content/application~1json")
}

/// What a `{…}` of a path may be where a body comes with it; without an example where none would be answered.
fn parameter(document: &mut Json, path: &str, name: &str, schema: Json, example: Option<Json>, text: &str) {
    let item = document.get_mut("paths").and_then(|paths| paths.get_mut(path));
    let parameters = item.and_then(|item| item.pointer_mut("/post/parameters")).and_then(Json::as_array_mut);
    let mut named = parameters.into_iter().flatten().filter(|one| one["name"] == name);
    let Some(told) = named.next().and_then(Json::as_object_mut) else { return };
    told.insert("schema".to_owned(), schema);
    told.insert("description".to_owned(), json!(text));
    match example {
        Some(example) => drop(told.insert("example".to_owned(), example)),
        None => drop(told.remove("example")),
    }
}

fn parameters<'a>(document: &'a mut Json, path: &str, method: &str) -> Option<&'a mut Vec<Json>> {
    document.get_mut("paths")?.get_mut(path)?.get_mut(method)?.get_mut("parameters")?.as_array_mut()
}

/// The query has to name a model.
fn named(document: &mut Json, path: &str, method: &str) {
    let parameters = parameters(document, path, method).into_iter().flatten();
    parameters.filter(|one| one["name"] == "model").for_each(|one| one["required"] = json!(true));
}

/// A path as one model, set or table has it: its `{parameter}` is `value`.
fn own_path(document: &mut Json, path: &str, (parameter, value): (&str, &str)) -> String {
    let own = path.replace(&format!("{{{parameter}}}"), value);
    let Some(mut item) = document.get("paths").and_then(|paths| paths.get(path)).cloned() else { return own };
    for operation in item.as_object_mut().into_iter().flat_map(Map::values_mut) {
        if let Some(parameters) = operation.get_mut("parameters").and_then(Json::as_array_mut) {
            parameters.retain(|one| one["name"] != parameter);
        }
        for (key, mark) in [("operationId", "_"), ("summary", ": ")] {
            let told = operation.get(key).and_then(Json::as_str).map(|text| format!("{text}{mark}{value}"));
            if let Some(told) = told {
                operation[key] = json!(told);
            }
        }
    }
    if let Some(paths) = document.get_mut("paths").and_then(Json::as_object_mut) {
        paths.insert(own.clone(), item);
    }
    own
}

/// What may be anything, or any value of a feature, may be `null` too, so that "that or null" is told as that: `null` would be
/// both.
fn plain(document: &mut Json) {
    let open_to_null = ["#/components/schemas/Value", "#/components/schemas/FeatureValue"];
    let mut open = vec![document];
    while let Some(value) = open.pop() {
        let either = value.get("oneOf").and_then(Json::as_array);
        let same = either.filter(|list| list.contains(&json!({ "type": "null" })));
        let mut parts = same.into_iter().flatten();
        let same = parts.find(|part| part["$ref"].as_str().is_some_and(|name| open_to_null.contains(&name)));
        if let Some(same) = same.cloned() {
            *value = same;
        }
        match value {
            Json::Object(object) => open.extend(object.values_mut()),
            Json::Array(list) => open.extend(list),
            _ => {}
        }
    }
}
