//! The document made to fit one server: bodies as its models take them, and paths of its own for the first few, whose bodies
//! no schema of a path with a `{name}` could tell.
//!
//! A schema of ours promises that what it admits is answered. So a prediction is one of: a row for a model that is told, or a
//! question about stored features of somebody who has some.

use serde_json::{Map, Value as Json, json};

use super::asked::{both, compared_example, entity, moment, predict, predict_examples};
use super::known::{Known, KnownModel, KnownSet, KnownTable};
use super::rows::{list_of, ready_example, ready_values};

/// Fits the document to what is known.
pub(super) fn fit(document: &mut Json, known: &Known) {
    schemas(document, known);
    if !known.models.is_empty() {
        for path in ["/predict", "/api/ml/serve"] {
            examples(document, path, predict_examples(known));
        }
        examples(document, "/predict/both", compared_example(known));
    }
    if let Some(model) = known.default_model() {
        let (schema, shown) = invocations(model, known.rows);
        body(document, "/invocations", &schema, shown);
    }
    known.shown().for_each(|model| own_model(document, model, known.rows));
    known.sets.iter().for_each(|set| own_set(document, set, known));
    known.tables.iter().for_each(|table| own_table(document, table, known));
    for path in FITTED {
        nobody(document, path);
    }
}

/// Paths whose bodies depend on what their `{…}` names.
const FITTED: [&str; 14] = [
    "/v2/models/{name}/infer",
    "/v2/models/{name}/versions/{version}/infer",
    "/models/{name}/invocations",
    "/v1/models/{name}:predict",
    "/v1/models/{name}/versions/{version}:predict",
    "/v1/models/{name}/labels/{label}:predict",
    "/v1/models/{name}:explain",
    "/v1/models/{name}/versions/{version}:explain",
    "/v1/models/{name}/labels/{label}:explain",
    "/features/{set}",
    "/raw/{table}",
    "/models/load",
    "/models/unload",
    "/models/warmup",
];

fn schemas(document: &mut Json, known: &Known) {
    let Some(schemas) = document.pointer_mut("/components/schemas").and_then(Json::as_object_mut) else {
        return;
    };
    schemas.insert("Moment".to_owned(), moment(known.year));
    schemas.insert("RowEntity".to_owned(), entity());
    for row in ["ReadyRow", "RawRow"] {
        if let Some(place) = schemas.get_mut(row).and_then(|row| row.pointer_mut("/properties/timestamp")) {
            *place = json!({ "$ref": "#/components/schemas/Moment" });
        }
    }
    if let Some(entities) =
        schemas.get_mut("OnlineRequest").and_then(|body| body.pointer_mut("/properties/entities"))
    {
        entities["minProperties"] = json!(1);
        entities["maxProperties"] = json!(1);
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

/// Replaces schema and examples of a path's JSON body.
fn body(document: &mut Json, path: &str, schema: &Json, shown: Json) {
    if let Some(content) = json_body(document, path) {
        *content = json!({ "schema": schema, "examples": shown });
    }
}

fn json_body<'a>(document: &'a mut Json, path: &str) -> Option<&'a mut Json> {
    let operation = document.get_mut("paths")?.get_mut(path)?.get_mut("post")?;
    operation.pointer_mut("/requestBody/content/application~1json")
}

/// Takes the example of a `{…}` away from a path whose body no example could fit for all.
fn nobody(document: &mut Json, path: &str) {
    let Some(item) = document.get_mut("paths").and_then(|paths| paths.get_mut(path)) else { return };
    let parameters = item.pointer_mut("/post/parameters").and_then(Json::as_array_mut);
    for parameter in parameters.into_iter().flatten().filter_map(Json::as_object_mut) {
        if parameter.get("in").is_some_and(|place| place == "path") {
            parameter.remove("example");
        }
    }
}

/// A path as one model, set or table has it: `{parameter}` is `value`, and `fitted` is the schema and the examples of its
/// body.
fn own_path(document: &mut Json, path: &str, (parameter, value): (&str, &str), fitted: (Json, Json)) {
    let Some(mut item) = document.get("paths").and_then(|paths| paths.get(path)).cloned() else { return };
    let own = path.replace(&format!("{{{parameter}}}"), value);
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
    let (schema, shown) = fitted;
    body(document, &own, &schema, shown);
}

fn own_model(document: &mut Json, model: &KnownModel, rows: usize) {
    let named = ("name", model.name.as_str());
    own_path(document, "/v2/models/{name}/infer", named, infer(model));
    own_path(document, "/models/{name}/invocations", named, invocations(model, rows));
    own_path(document, "/v1/models/{name}:predict", named, v1(model, rows));
    own_path(document, "/v1/models/{name}:explain", named, v1(model, rows));
}

/// One row as tensors.
fn infer(model: &KnownModel) -> (Json, Json) {
    let nullable = |schema: Json| json!({ "anyOf": [schema, { "type": "null" }] });
    let tensors = if model.numeric() {
        let shape = list_of(&[json!({ "const": 1 }), json!({ "const": model.inputs.len() })]);
        json!({ "type": "array", "minItems": 1, "maxItems": 1, "items": {
            "type": "object",
            "properties": { "name": { "const": "input" }, "datatype": { "enum": ["FP64", "FP32"] }, "shape": shape,
                            "data": model.numbers() },
            "required": ["name", "datatype", "shape", "data"],
        } })
    } else {
        list_of(&model.tensors())
    };
    let schema = json!({
        "type": "object",
        "description": "One row. `GET /v2/models/{name}` tells names and datatypes; one tensor a feature is taken too.",
        "properties": {
            "id": nullable(json!({ "type": "string" })),
            "inputs": tensors,
            "outputs": nullable(json!({ "type": "array", "uniqueItems": true, "minItems": 1, "maxItems": 1, "items": {
                "type": "object", "properties": { "name": { "enum": ["predict"] } }, "required": ["name"] } })),
        },
        "required": ["inputs"],
    });
    (schema, json!({ "a_row": { "summary": "A row", "value": { "inputs": model.tensors_example() } } }))
}

/// Keys of a body of which all but the first are optional.
fn closed(key: &str, schema: &Json, others: &Json) -> Json {
    let mut properties = Map::from_iter([(key.to_owned(), schema.clone())]);
    properties.extend(others.as_object().cloned().unwrap_or_default());
    json!({ "type": "object", "properties": properties, "required": [key], "additionalProperties": false })
}

fn many(row: &Json, rows: usize) -> Json {
    json!({ "type": "array", "items": row, "minItems": 1, "maxItems": rows })
}

/// MLflow's four forms.
fn invocations(model: &KnownModel, rows: usize) -> (Json, Json) {
    let others = json!({ "params": { "type": ["object", "null"] } });
    let (by_name, by_position) = (model.by_name(), model.by_position());
    let split = json!({
        "type": "object",
        "properties": { "columns": { "const": model.names() }, "data": many(&by_position, rows) },
        "required": ["columns", "data"],
        "additionalProperties": false,
    });
    let schema = json!({ "anyOf": [
        closed("dataframe_split", &split, &others),
        closed("dataframe_records", &many(&by_name, rows), &others),
        closed("instances", &many(&by_position, rows), &others),
        closed("instances", &many(&by_name, rows), &others),
        closed("inputs", &model.by_column(), &others),
    ] });
    let split = json!({ "columns": model.names(), "data": [model.positional_example()] });
    let shown = json!({
        "split": { "summary": "As pandas splits it", "value": { "dataframe_split": split } },
        "records": { "summary": "By name", "value": { "dataframe_records": [model.named_example()] } },
    });
    (schema, shown)
}

/// TensorFlow Serving's two forms.
fn v1(model: &KnownModel, rows: usize) -> (Json, Json) {
    let others = json!({ "signature_name": { "enum": ["serving_default", null] } });
    let schema = json!({ "anyOf": [
        closed("instances", &many(&model.by_position(), rows), &others),
        closed("instances", &many(&model.by_name(), rows), &others),
        closed("inputs", &model.by_column(), &others),
    ] });
    let shown = json!({
        "by_name": { "summary": "By name", "value": { "instances": [model.named_example()] } },
        "by_position": { "summary": "By position", "value": { "instances": [model.positional_example()] } },
    });
    (schema, shown)
}

/// One row, or several under `rows`.
fn stored(field: &str, values: &Json, limit: usize) -> Json {
    let row = json!({
        "type": "object",
        "properties": { "entity": { "$ref": "#/components/schemas/RowEntity" },
                        "timestamp": { "$ref": "#/components/schemas/Moment" }, field: values },
        "required": ["entity", "timestamp", field],
        "additionalProperties": false,
    });
    json!({ "anyOf": [row, closed("rows", &many(&row, limit), &json!({}))] })
}

fn own_set(document: &mut Json, set: &KnownSet, known: &Known) {
    let schema = stored("features", &ready_values(&set.features), known.rows);
    let row = json!({ "entity": "EXAMPLE", "timestamp": "2025-10-04T13:00:00Z", "features": ready_example(&set.features) });
    let shown = json!({ "a_row": { "summary": "A row", "value": row } });
    own_path(document, "/features/{set}", ("set", &set.name), (schema, shown));
}

fn own_table(document: &mut Json, table: &KnownTable, known: &Known) {
    let schema = stored("values", &table.values(), known.rows);
    let row = json!({ "entity": "EXAMPLE", "timestamp": "2025-10-04T13:00:00Z", "values": table.example() });
    let shown = json!({ "a_row": { "summary": "A row", "value": row } });
    own_path(document, "/raw/{table}", ("table", &table.name), (schema, shown));
}
