//! A row that a model's signature admits, made from what `GET /models/{name}` says of it.

use serde_json::{Map, Value as Json, json};

/// One value for each input, by name; `None` where the answer has no signature.
pub(crate) fn named(model: &Json) -> Option<Json> {
    let row: Map<String, Json> = inputs(model)?
        .map(|input| Some((input["name"].as_str()?.to_owned(), value(input))))
        .collect::<Option<_>>()?;
    Some(Json::Object(row))
}

/// The same values in the signature's order; `None` also where some are no numbers.
pub(crate) fn numbers(model: &Json) -> Option<Vec<f64>> {
    inputs(model)?.map(|input| value(input).as_f64()).collect()
}

fn inputs(model: &Json) -> Option<impl Iterator<Item = &Json>> {
    model["signature"]["inputs"].as_array().map(|inputs| inputs.iter())
}

/// A value of the vocabulary or in the range, where there is one.
fn value(input: &Json) -> Json {
    if let Some(word) = input["vocabulary"].as_array().and_then(|words| words.first()) {
        return word.clone();
    }
    let datatype = input["datatype"].as_str().unwrap_or_default();
    let range = &input["range"];
    let number = match (range["min"].as_f64(), range["max"].as_f64()) {
        (Some(min), Some(max)) => f64::midpoint(min, max),
        (Some(bound), None) | (None, Some(bound)) => bound,
        (None, None) => 0.5,
    };
    match datatype {
        "BYTES" => json!("a"),
        "BOOL" => json!(true),
        whole if whole.contains("INT") => json!(number.ceil()),
        _ => json!(number),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_keeps_to_vocabulary_range_and_datatype() {
        let input = |name: &str, rest: Json| {
            let mut input = json!({ "name": name, "datatype": "FP64" });
            let pairs = rest.as_object().expect("an object").clone();
            input.as_object_mut().expect("an object").extend(pairs);
            input
        };
        let model = json!({ "signature": { "inputs": [
            input("a", json!({})),
            input("b", json!({ "range": { "min": 2.0, "max": 4.0 } })),
            input("c", json!({ "datatype": "INT64" })),
        ] } });
        assert_eq!(named(&model).expect("is a signature"), json!({ "a": 0.5, "b": 3.0, "c": 1.0 }));
        assert_eq!(numbers(&model), Some(vec![0.5, 3.0, 1.0]));
        let worded = json!({ "signature": { "inputs": [input("d", json!({ "datatype": "BYTES", "vocabulary": ["x", "y"] }))] } });
        assert_eq!((named(&worded), numbers(&worded)), (Some(json!({ "d": "x" })), None));
        assert_eq!(named(&json!({ "error": "no" })), None);
    }
}
