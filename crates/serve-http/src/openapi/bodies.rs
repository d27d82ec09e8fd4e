//! Bodies as one model, set or table of this server takes them: the schema, and examples that are answered.

use serde_json::{Map, Value as Json, json};
use serve_core::MissingPolicy;

use super::asked::a_moment;
use super::known::{Known, KnownModel};
use super::rows::{list_of, value_of};

/// The schema and the examples of a body.
pub(super) type Body = (Json, Json);

fn nullable(schema: &Json) -> Json {
    json!({ "anyOf": [schema, { "type": "null" }] })
}

/// One row as tensors.
pub(super) fn infer(model: &KnownModel) -> Body {
    let tensors = if model.numeric() {
        let (one, width) = (json!({ "const": 1 }), json!({ "const": model.inputs.len() }));
        // A row may be one of a matrix, or the tensor itself.
        let shape = json!({ "anyOf": [list_of(&[one, width.clone()]), list_of(&[width])] });
        json!({ "type": "array", "minItems": 1, "maxItems": 1, "items": {
            "type": "object",
            "properties": { "name": { "type": "string", "description": "Any name, such as `input`." }, "datatype": { "enum": ["FP64", "FP32"] }, "shape": shape,
                            "data": model.numbers() },
            "required": ["name", "datatype", "shape", "data"],
        } })
    } else {
        let mut list = list_of(&model.tensors());
        // A feature that has no tensor is missing.
        let needed = model.inputs.iter().rposition(|one| one.missing == MissingPolicy::Reject);
        list["minItems"] = json!(needed.map_or(1, |last| last + 1));
        list
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

/// Rows. (`maxItems` would promise that as many of any size fit into a body.)
fn many(row: &Json) -> Json {
    json!({ "type": "array", "items": row })
}

/// How many rows there may be.
fn most(rows: usize) -> String {
    format!("At most {rows} rows (`limits.batch_rows`), in a body of at most `http.max_body_bytes`.")
}

/// A row by position; of one input its bare value too.
fn positional(model: &KnownModel) -> Json {
    let row = model.by_position();
    match &model.inputs[..] {
        [input] => json!({ "anyOf": [row, value_of(input)] }),
        _ => row,
    }
}

/// MLflow's four forms.
pub(super) fn invocations(model: &KnownModel, rows: usize) -> Body {
    let (record, by_position) = (model.record(), model.by_position());
    let split = json!({
        "type": "object",
        "properties": { "columns": { "enum": [model.names(), null] }, "index": {}, "data": many(&by_position) },
        "required": ["data"],
        "additionalProperties": false,
    });
    let none = json!({});
    let schema = json!({ "description": most(rows), "anyOf": [
        open("dataframe_split", &split, &none),
        open("dataframe_records", &many(&record), &none),
        open("instances", &many(&positional(model)), &none),
        open("instances", &many(&record), &none),
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
    let schema = json!({ "description": most(rows), "anyOf": [
        open("instances", &many(&positional(model)), &others),
        open("instances", &many(&model.record()), &others),
        open("inputs", &model.by_column(), &others),
    ] });
    let shown = json!({
        "by_name": { "summary": "By name", "value": { "instances": [model.named_example()] } },
        "by_position": { "summary": "By position", "value": { "instances": [model.positional_example()] } },
    });
    (schema, shown)
}

/// Rows to be stored: one, or several under `rows`.
pub(super) fn stored(field: &str, values: &Json, example: &Json, known: &Known) -> Body {
    let whole = json!({ "type": "integer", "minimum": -8_999_999_999_999_999_i64, "maximum": 8_999_999_999_999_999_i64 });
    let row = json!({
        "type": "object",
        "properties": { "entity": { "anyOf": [{ "$ref": "#/components/schemas/RowEntity" }, whole] },
                        "timestamp": { "$ref": "#/components/schemas/Moment" }, field: values },
        "required": ["entity", "timestamp", field],
        "additionalProperties": false,
    });
    let all = json!({ "type": "object", "description": most(known.rows), "properties": { "rows": many(&row) }, "required": ["rows"],
                      "additionalProperties": false });
    let value = json!({ "entity": "SOL/USD", "timestamp": a_moment(known.year), field: example });
    (json!({ "anyOf": [row, all] }), json!({ "a_row": { "summary": "A row", "value": value } }))
}
