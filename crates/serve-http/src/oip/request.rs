//! An inference request as it comes: JSON alone, JSON followed by binary tensors, or binary data alone. The header
//! `Inference-Header-Content-Length` tells them apart: none, the length of the JSON, or 0.

use std::borrow::Cow;
use std::time::Duration;

use http::{HeaderMap, HeaderName};
use serde::Deserialize;
use serde::de::IgnoredAny;
use serve_core::Signature;

use super::datatype::Datatype;
use super::plain;
use super::tensor::Tensor;
use crate::call::{maybe_object, maybe_objects, object, objects};
use crate::failure::Failure;

/// The length of the JSON of a body that goes on after it.
pub(super) const HEADER_LENGTH: HeaderName = HeaderName::from_static("inference-header-content-length");

#[derive(Debug, Default, PartialEq, Deserialize)]
pub(super) struct InferRequest<'a> {
    pub(super) id: Option<String>,
    #[serde(default, deserialize_with = "maybe_object")]
    pub(super) parameters: Option<RequestParameters>,
    #[serde(borrow, deserialize_with = "objects")]
    pub(super) inputs: Vec<Tensor<'a>>,
    #[serde(borrow, default, deserialize_with = "maybe_objects")]
    pub(super) outputs: Option<Vec<RequestedOutput<'a>>>,
}

/// The parameters of a request that mean something here; others are ignored.
#[derive(Debug, Clone, Copy, Default, PartialEq, Deserialize)]
pub(super) struct RequestParameters {
    pub(super) binary_data_output: Option<bool>,
    /// Microseconds; 0 is none.
    pub(super) timeout: Option<u64>,
    /// 1 is the most urgent; 0 says nothing.
    pub(super) priority: Option<u64>,
}

#[derive(Debug, PartialEq, Deserialize)]
pub(super) struct RequestedOutput<'a> {
    #[serde(borrow)]
    pub(super) name: Cow<'a, str>,
    #[serde(default, deserialize_with = "maybe_object")]
    pub(super) parameters: Option<OutputParameters>,
}

/// The parameters of a requested output that mean something here; others are ignored.
#[derive(Debug, Default, PartialEq, Deserialize)]
pub(super) struct OutputParameters {
    pub(super) binary_data: Option<bool>,
    pub(super) classification: Option<u64>,
    pub(super) shared_memory_region: Option<IgnoredAny>,
}

/// What a body is made of.
#[derive(Debug, Clone, Copy)]
pub(super) enum Parts<'a> {
    Json(&'a [u8]),
    Both { json: &'a [u8], binary: &'a [u8] },
    Raw(&'a [u8]),
}

impl<'a> Parts<'a> {
    /// As the request's header says.
    pub(super) fn of(headers: &HeaderMap, body: &'a [u8]) -> Result<Self, Failure> {
        Ok(match header_length(headers, body.len())? {
            None => Self::Json(body),
            Some(0) => Self::Raw(body),
            Some(length) => {
                let (json, binary) = body.split_at(length);
                Self::Both { json, binary }
            }
        })
    }
}

impl RequestParameters {
    /// How long the client waits, from the beginning of the request, where it says so.
    pub(super) fn wait(&self) -> Option<Duration> {
        self.timeout.filter(|timeout| *timeout > 0).map(Duration::from_micros)
    }

    /// How urgent it is, where it says so.
    pub(super) fn urgency(&self) -> Option<u8> {
        self.priority.map(|priority| u8::try_from(priority).unwrap_or(u8::MAX))
    }
}

impl<'a> InferRequest<'a> {
    /// Reads a body. `signature` says what a raw request's one input is.
    pub(super) fn read(parts: Parts<'a>, signature: &'a Signature) -> Result<Self, Failure> {
        match parts {
            Parts::Json(json) => Self::parse(json, &[]),
            Parts::Both { json, binary } => Self::parse(json, binary),
            Parts::Raw(body) => Self::raw(body, signature),
        }
    }

    fn parse(json: &'a [u8], binary: &'a [u8]) -> Result<Self, Failure> {
        let plain = str::from_utf8(json).ok().and_then(plain::read);
        let mut request: Self = plain.map_or_else(|| object(json), Ok)?;
        let mut rest = binary;
        for tensor in &mut request.inputs {
            rest = tensor.take_binary(rest)?;
        }
        if rest.is_empty() {
            return Ok(request);
        }
        let message = format!(
            "{} of {} bytes after the JSON belong to no input: their binary_data_size says so",
            rest.len(),
            binary.len()
        );
        Err(Failure::invalid("invalid_tensor", message))
    }

    /// A body that is one row of the model's one input, of the datatype that the metadata tells.
    fn raw(body: &'a [u8], signature: &'a Signature) -> Result<Self, Failure> {
        let inputs = signature.inputs();
        let text = |input: &serve_core::Input| input.datatype == serve_core::Datatype::Bytes;
        let tensor = match inputs {
            [input] if text(input) => {
                // The whole body is the text, without the length that texts have else.
                let length = u32::try_from(body.len()).unwrap_or(u32::MAX).to_le_bytes();
                let element = [&length[..], body].concat();
                Tensor::raw(&input.name, vec![1, 1], Datatype::Bytes, Cow::Owned(element))
            }
            _ if inputs.iter().any(text) => {
                let message = "a raw request is for a model of one input; send one tensor per feature";
                return Err(Failure::invalid("invalid_request", message));
            }
            _ => {
                let columns = i64::try_from(inputs.len()).unwrap_or(i64::MAX);
                Tensor::raw("input", vec![1, columns], Datatype::Fp64, Cow::Borrowed(body))
            }
        };
        let parameters =
            Some(RequestParameters { binary_data_output: Some(true), ..RequestParameters::default() });
        Ok(Self { parameters, inputs: vec![tensor], ..Self::default() })
    }

    /// Whether outputs are binary that do not say so themselves.
    pub(super) fn binary_output(&self) -> bool {
        self.parameters.as_ref().is_some_and(|parameters| parameters.binary_data_output == Some(true))
    }
}

/// The length of the JSON in a body of `longest` bytes, where the request says it.
fn header_length(headers: &HeaderMap, longest: usize) -> Result<Option<usize>, Failure> {
    let mut values = headers.get_all(HEADER_LENGTH).iter();
    let Some(value) = values.next() else { return Ok(None) };
    let others = values.count();
    let digits = value.to_str().ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
    match digits.and_then(|text| text.parse::<usize>().ok()).filter(|length| *length <= longest) {
        Some(length) if others == 0 => Ok(Some(length)),
        _ => {
            let got = if others > 0 { format!("{} such headers", others + 1) } else { format!("{value:?}") };
            let message = format!(
                "Inference-Header-Content-Length: expected one number of at most the body's {longest} bytes, got {got}"
            );
            Err(Failure::unreadable("invalid_header_length", message))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(values: &[&str]) -> Result<Option<usize>, String> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(HEADER_LENGTH, value.parse().expect("a header"));
        }
        header_length(&headers, 10).map_err(|failure| failure.entry()["error"].to_string())
    }

    #[test]
    fn the_header_length_is_one_number_within_the_body() {
        assert_eq!((of(&[]), of(&["0"]), of(&["10"])), (Ok(None), Ok(Some(0)), Ok(Some(10))));
        for wrong in [
            &["11"][..],
            &["99999999999"],
            &["99999999999999999999999"],
            &["+5"],
            &["-1"],
            &["x"],
            &[""],
            &["5", "5"],
        ] {
            assert!(of(wrong).is_err_and(|told| told.contains("at most the body's 10 bytes")), "{wrong:?}");
        }
        assert!(of(&["5", "5"]).is_err_and(|told| told.contains("got 2 such headers")));
    }
}
