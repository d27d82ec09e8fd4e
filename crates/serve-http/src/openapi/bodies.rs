//! Bodies as one model, set or table of this server takes them: the schema, and examples that are answered.

use serde_json::{Map, Value as Json, json};

use super::known::KnownModel;
use super::rows::list_of;

/// The schema and the examples of a body.
pub(super) type Body = (Json, Json);

fn nullable(schema: &Json) -> Json {
    json!({ "anyOf": [schema, { "type": "null" }] })
}

/// One row as tensors.
pub(super) fn infer(model: &KnownModel) -> Body {
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
    let output =
        json!({ "type": "object", "properties": { "name": { "enum": ["predict"] } }, "required": ["name"] });
    let outputs = json!({ "type": "array", "maxItems": 1, "items": output });
    let schema = json!({
        "type": "object",
        "description": "One row. There may be more, of as many columns; one tensor a feature is taken too.",
        "properties": { "id": nullable(&json!({ "type": "string" })), "inputs": tensors, "outputs": nullable(&outputs) },
        "required": ["inputs"],
    });
    (schema, json!({ "a_row": { "summary": "A row", "value": { "inputs": model.tensors_example() } } }))
}

/// A body with a key; others beside those that are told are ignored.
fn open(key: &str, schema: &Json, others: &Json) -> Json {
    let mut properties = Map::from_iter([(key.to_owned(), schema.clone())]);
    properties.extend(others.as_object().cloned().unwrap_or_default());
    json!({ "type": "object", "properties": properties, "required": [key] })
}

fn many(row: &Json, rows: usize) -> Json {
    json!({ "type": "array", "items": row, "maxItems": rows })
}

/// MLflow's four forms.
pub(super) fn invocations(model: &KnownModel, rows: usize) -> Body {
    let (by_name, by_position) = (model.by_name(), model.by_position());
    let split = json!({
        "type": "object",
        "properties": { "columns": { "const": model.names() }, "data": many(&by_position, rows) },
        "required": ["columns", "data"],
        "additionalProperties": false,
    });
    let none = json!({});
    let schema = json!({ "anyOf": [
        open("dataframe_split", &split, &none),
        open("dataframe_records", &many(&by_name, rows), &none),
        open("instances", &many(&by_position, rows), &none),
        open("instances", &many(&by_name, rows), &none),
        open("inputs", &model.by_column(), &none),
    ] });
    let split = json!({ "columns": model.names(), "data": [model.positional_example()] });
    let shown = json!({
        "split": { "summary": "As pandas splits it", "value": { "dataframe_split": split } },
        "records": { "summary": "By name", "value": { "dataframe_records": [model.named_example()] } },
    });
    (schema, shown)
}

/// TensorFlow Serving's two forms.
pub(super) fn v1(model: &KnownModel, rows: usize) -> Body {
    let others = json!({ "signature_name": { "enum": ["serving_default", "", null] } });
    let schema = json!({ "anyOf": [
        open("instances", &many(&model.by_position(), rows), &others),
        open("instances", &many(&model.by_name(), rows), &others),
        open("inputs", &model.by_column(), &others),
    ] });
    let shown = json!({
        "by_name": { "summary": "By name", "value": { "instances": [model.named_example()] } },
        "by_position": { "summary": "By position", "value": { "instances": [model.positional_example()] } },
    });
    (schema, shown)
}

/// Rows to be stored: one, or several under `rows`.
pub(super) fn stored(field: &str, values: &Json, example: &Json, rows: usize) -> Body {
    let whole = json!({ "type": "integer", "minimum": -8_999_999_999_999_999_i64, "maximum": 8_999_999_999_999_999_i64 });
    let row = json!({
        "type": "object",
        "properties": { "entity": { "anyOf": [{ "$ref": "#/components/schemas/RowEntity" }, whole] },
                        "timestamp": { "$ref": "#/components/schemas/Moment" }, field: values },
        "required": ["entity", "timestamp", field],
        "additionalProperties": false,
    });
    let all = json!({ "type": "object", "properties": { "rows": many(&row, rows) }, "required": ["rows"],
                      "additionalProperties": false });
    let value = json!({ "entity": "SOL/USD", "timestamp": "2025-10-04T13:00:00Z", field: example });
    (json!({ "anyOf": [row, all] }), json!({ "a_row": { "summary": "A row", "value": value } }))
}
