//! The JSON of an inference request as clients write it, read in one pass without serde. What is of another form is left to
//! serde; what is read here, serde reads to the same (a test holds the two together).

use std::borrow::Cow;

use serve_core::Value;

use super::datatype::Datatype;
use super::flat::Flat;
use super::request::{InferRequest, OutputParameters, RequestParameters, RequestedOutput};
use super::tensor::{Tensor, TensorParameters};
use crate::plain::{Reader, once};

/// What a request says; nothing, where it is not of this form.
pub(super) fn read(text: &str) -> Option<InferRequest<'_>> {
    let mut reader = Reader::new(text);
    let (mut request, mut inputs) = (InferRequest::default(), None);
    reader.members(|reader, key| match key {
        "inputs" => once(&mut inputs, list(reader, tensor)?),
        "outputs" => once(&mut request.outputs, list(reader, requested)?),
        "parameters" => once(&mut request.parameters, parameters(reader)?),
        "id" => once(&mut request.id, reader.string()?.to_owned()),
        _ => None,
    })?;
    request.inputs = inputs?;
    reader.ends().then_some(request)
}

fn list<'a, T>(reader: &mut Reader<'a>, item: impl Fn(&mut Reader<'a>) -> Option<T>) -> Option<Vec<T>> {
    let mut items = Vec::new();
    reader.items(|reader| item(reader).map(|item| items.push(item)))?;
    Some(items)
}

fn parameters(reader: &mut Reader<'_>) -> Option<RequestParameters> {
    let mut parameters = RequestParameters::default();
    reader.members(|reader, key| match key {
        "binary_data_output" => once(&mut parameters.binary_data_output, reader.switch()?),
        "timeout" => once(&mut parameters.timeout, reader.whole()?),
        "priority" => once(&mut parameters.priority, reader.whole()?),
        _ => None,
    })?;
    Some(parameters)
}

fn tensor<'a>(reader: &mut Reader<'a>) -> Option<Tensor<'a>> {
    let (mut name, mut shape, mut datatype, mut data, mut parameters) = (None, None, None, None, None);
    reader.members(|reader, key| match key {
        "name" => once(&mut name, Cow::Borrowed(reader.string()?)),
        "shape" => once(&mut shape, list(reader, |reader| i64::try_from(reader.whole()?).ok())?),
        "datatype" => once(&mut datatype, Datatype::named(reader.string()?)?),
        "data" => once(&mut data, Flat(flat(reader)?)),
        "parameters" => once(&mut parameters, tensor_parameters(reader)?),
        _ => None,
    })?;
    Some(Tensor { name: name?, shape: shape?, datatype: datatype?, data, parameters, binary: None })
}

fn tensor_parameters(reader: &mut Reader<'_>) -> Option<TensorParameters> {
    let mut size = None;
    reader.members(|reader, key| match key {
        "binary_data_size" => once(&mut size, reader.whole()?),
        _ => None,
    })?;
    Some(TensorParameters { binary_data_size: size, shared_memory_region: None })
}

/// Elements, or lists of elements; what is nested deeper is left to serde.
fn flat<'a>(reader: &mut Reader<'a>) -> Option<Vec<Value<'a>>> {
    let mut elements = Vec::with_capacity(64);
    reader.items(|reader| {
        if reader.peek() != Some(b'[') {
            return reader.value().map(|value| elements.push(value));
        }
        reader.items(|reader| reader.value().map(|value| elements.push(value)))
    })?;
    Some(elements)
}

fn requested<'a>(reader: &mut Reader<'a>) -> Option<RequestedOutput<'a>> {
    let (mut name, mut parameters) = (None, None);
    reader.members(|reader, key| match key {
        "name" => once(&mut name, Cow::Borrowed(reader.string()?)),
        "parameters" => once(&mut parameters, output_parameters(reader)?),
        _ => None,
    })?;
    Some(RequestedOutput { name: name?, parameters })
}

fn output_parameters(reader: &mut Reader<'_>) -> Option<OutputParameters> {
    let mut parameters = OutputParameters::default();
    reader.members(|reader, key| match key {
        "binary_data" => once(&mut parameters.binary_data, reader.switch()?),
        "classification" => once(&mut parameters.classification, reader.whole()?),
        _ => None,
    })?;
    Some(parameters)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::plain::strategies::{changed, scalar};

    fn by_serde(text: &str) -> Option<InferRequest<'_>> {
        serde_json::from_str(text).ok()
    }

    #[test]
    fn what_clients_send_is_read_here() {
        for text in [
            r#"{"inputs":[{"name":"input","shape":[1,30],"datatype":"FP64","parameters":{"binary_data_size":240}}],"parameters":{"binary_data_output":true}}"#,
            r#"{"id": "", "inputs": [{"name": "a", "shape": [2, 1], "datatype": "BYTES", "data": ["x", "ü"]}, {"name": "b", "shape": [2], "datatype": "INT64", "data": [[1], [-2]]}], "outputs": [{"name": "predict", "parameters": {"binary_data": false}}, {"name": "predict_proba", "parameters": {"classification": 2}}, {"name": "x"}]}"#,
            r#" { "parameters" : { "timeout" : 5000 , "priority" : 0 } , "inputs" : [ ] , "outputs" : [] } "#,
            r#"{"inputs":[{"name":"a","shape":[],"datatype":"BOOL","data":[true,false,null,-0.0,1e3,0.1,12345678901234567890]}]}"#,
        ] {
            let read = read(text);
            assert!(read.is_some(), "{text}");
            assert_eq!(read, by_serde(text), "{text}");
        }
    }

    #[test]
    fn all_else_is_left_to_serde() {
        let tensor = |members: &str| format!("{{\"inputs\":[{{{members}}}]}}");
        for text in [
            "",
            "[]",
            "{}",
            r#"{"inputs":[]}{"#,
            r#"{"inputs":[],"inputs":[]}"#,
            r#"{"inputs":[],"id":null}"#,
            r#"{"inputs":[],"id":"\u0041"}"#,
            r#"{"inputs":[],"other":1}"#,
            r#"{"inputs":[],"parameters":{"sequence_id":1}}"#,
            r#"{"inputs":[],"parameters":{"timeout":1.0}}"#,
            r#"{"inputs":[],"parameters":{"timeout":01}}"#,
            r#"{"inputs":[],"parameters":{"timeout":18446744073709551615}}"#,
            r#"{"inputs":[],"outputs":[{"parameters":{}}]}"#,
            &tensor(r#""name":"a","shape":[-1],"datatype":"FP64""#),
            &tensor(r#""name":"a","shape":[1e1],"datatype":"FP64""#),
            &tensor(r#""name":"a","shape":[1],"datatype":"fp64""#),
            &tensor(r#""name":"a","shape":[1]"#),
            &tensor(r#""name":"a","shape":[1],"datatype":"FP64","parameters":{"shared_memory_region":"r"}"#),
            &tensor(r#""name":"a","shape":[1],"datatype":"FP64","data":[[[1]]]"#),
            &tensor(r#""name":"a","shape":[1],"datatype":"FP64","data":[1e999]"#),
            &tensor(r#""name":"a","shape":[1],"datatype":"FP64","data":1"#),
        ] {
            assert_eq!(read(text), None, "{text}");
        }
    }

    /// Pieces of requests, and what breaks them.
    fn pieces() -> impl Strategy<Value = String> {
        let piece = prop_oneof![
            Just("{"),
            Just("}"),
            Just("["),
            Just("]"),
            Just(","),
            Just(" "),
            Just("{\"inputs\":["),
            Just("{\"name\":\"a\",\"shape\":[1,2],\"datatype\":\"FP64\""),
            Just(",\"data\":[1,[2.5],null,\"x\"]"),
            Just(",\"parameters\":{\"binary_data_size\":16}"),
            Just("\"outputs\":[{\"name\":\"predict\"}]"),
            Just(",\"parameters\":{\"binary_data_output\":true}"),
            Just("\"id\":\"é\""),
            Just("\"id\":\"\\n\""),
            Just("}]}"),
            Just("-1"),
            Just("\"data\":"),
        ];
        proptest::collection::vec(piece, 0..8).prop_map(|pieces| pieces.concat())
    }

    /// Whole requests, some of them with a character changed.
    fn requests() -> impl Strategy<Value = String> {
        let element = prop_oneof![5 => scalar(), 1 => Just("[true,1]".to_owned())];
        let elements = proptest::collection::vec(element, 0..5).prop_map(|elements| elements.join(", "));
        let whole = (elements, any::<u64>(), any::<i64>(), any::<bool>()).prop_map(|(elements, size, rows, binary)| {
            let data = if binary {
                format!("\"parameters\":{{\"binary_data_size\":{size}}}")
            } else {
                format!("\"data\":[{elements}]")
            };
            format!(
                "{{\"inputs\":[{{\"name\":\"a\",\"shape\":[{rows},1],\"datatype\":\"FP32\",{data}}}],\"parameters\":{{\"timeout\":{size}}}}}"
            )
        });
        changed(whole, 0.5)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4096))]

        #[test]
        fn what_is_read_here_serde_reads_to_the_same(text in prop_oneof![pieces(), requests()]) {
            if let Some(request) = read(&text) {
                prop_assert_eq!(Some(request), by_serde(&text), "{}", text);
            }
        }
    }
}
