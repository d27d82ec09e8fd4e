//! Logged features to the columns of a signature: from a struct, or from JSON text. What the log does not have is missing.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef, Float64Array, StringArray, new_null_array};
use arrow_buffer::NullBuffer;
use arrow_schema::DataType;
use serde_json::{Map, Value as Json};
use serve_core::{Datatype, Input, Signature};

use super::{FEATURES, texts};
use crate::convert;
use crate::error::ScoreError;

/// The columns of the inputs, in order.
pub(crate) fn columns(features: &ArrayRef, signature: &Signature) -> Result<Vec<ArrayRef>, ScoreError> {
    if let DataType::Struct(_) = features.data_type() {
        return signature.inputs().iter().map(|input| of_struct(features, input)).collect();
    }
    let texts = texts(features)?;
    let rows: Vec<Map<String, Json>> = texts
        .iter()
        .map(|text| text.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default())
        .collect();
    Ok(signature.inputs().iter().map(|input| of_json(&rows, input)).collect())
}

fn nothing(input: &Input, rows: usize) -> ArrayRef {
    let text = input.datatype == Datatype::Bytes;
    new_null_array(if text { &DataType::Utf8 } else { &DataType::Float64 }, rows)
}

fn of_struct(features: &ArrayRef, input: &Input) -> Result<ArrayRef, ScoreError> {
    let rows = features.as_struct();
    let Some(column) = rows.column_by_name(&input.name) else { return Ok(nothing(input, rows.len())) };
    convert::check(column.data_type(), input).map_err(|expected| {
        let (name, got) = (&input.name, column.data_type());
        ScoreError::plan(format!(
            "the log's {FEATURES:?} have {name:?} as {got}, the model expects {expected}"
        ))
    })?;
    let Some(nulls) = rows.nulls().filter(|nulls| nulls.null_count() > 0) else {
        return Ok(Arc::clone(column));
    };
    // Where a row has no features at all its columns have whatever stood there.
    let data = column.to_data().into_builder();
    let all = NullBuffer::union(Some(nulls), column.nulls());
    let data = data.nulls(all).build().map_err(ScoreError::software)?;
    Ok(arrow_array::make_array(data))
}

fn of_json(rows: &[Map<String, Json>], input: &Input) -> ArrayRef {
    let values = rows.iter().map(|row| row.get(&input.name));
    let is_number = |value: &Json| matches!(value, Json::Number(_) | Json::Bool(_) | Json::Null);
    if input.datatype != Datatype::Bytes && values.clone().flatten().all(is_number) {
        return Arc::new(values.map(|value| number(value?)).collect::<Float64Array>());
    }
    // As text it is read as everywhere: a number by its digits, and what is none rejects its row.
    let text = |value: Option<&Json>| match value? {
        Json::Null => None,
        Json::String(text) => Some(text.clone()),
        other => Some(other.to_string()),
    };
    Arc::new(values.map(text).collect::<StringArray>())
}

fn number(value: &Json) -> Option<f64> {
    match value {
        Json::Bool(truth) => Some(f64::from(u8::from(*truth))),
        other => other.as_f64(),
    }
}

#[cfg(test)]
mod tests {
    use arrow_array::StructArray;
    use arrow_array::types::Float64Type;

    use super::*;

    #[test]
    fn json_and_structs_come_to_the_same_columns() {
        let signature = Signature::of_numbers(["a", "b", "c"]).expect("valid");
        let texts =
            StringArray::from(vec![Some(r#"{"b": 2, "a": 0.5}"#), Some(r#"{"a": null, "b": true}"#), None]);
        let json = columns(&(Arc::new(texts) as ArrayRef), &signature).expect("reads");
        let fields: Vec<(&str, ArrayRef)> = vec![
            ("b", Arc::new(Float64Array::from(vec![2.0, 1.0, 9.0]))),
            ("a", Arc::new(Float64Array::from(vec![Some(0.5), None, Some(9.0)]))),
        ];
        let fields = fields.into_iter().map(|(name, column)| {
            (Arc::new(arrow_schema::Field::new(name, DataType::Float64, true)), column)
        });
        let (fields, arrays): (Vec<_>, Vec<_>) = fields.unzip();
        let nulls = NullBuffer::from(vec![true, true, false]);
        let rows: ArrayRef = Arc::new(StructArray::new(fields.into(), arrays, Some(nulls)));
        let nested = columns(&rows, &signature).expect("reads");
        for (json, nested) in json.iter().zip(&nested) {
            let numbers = |column: &ArrayRef| column.as_primitive::<Float64Type>().iter().collect::<Vec<_>>();
            assert_eq!(numbers(json), numbers(nested));
        }
        assert_eq!(nested[2].null_count(), 3);
    }
}
