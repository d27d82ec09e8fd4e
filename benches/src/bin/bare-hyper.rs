//! The least that a prediction server can do: hyper reads a request, serde parses it, and a fixed answer goes back.
//! What serve-server costs beyond this is its own; `http-compare` compares the two, so both read the same and write as much.
//!
//! `bare-hyper [http2]`
#![allow(clippy::print_stdout, reason = "its address is its only output")]

use std::borrow::Cow;
use std::collections::HashMap;
use std::error::Error;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::header::{HeaderName, HeaderValue};
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper::{HeaderMap, Request, Response, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde::Deserialize;
use tokio::net::TcpListener;

type Failure = Box<dyn Error + Send + Sync>;

/// Fixed, as long as an answer of serve-server to the same row: 603 bytes.
const ANSWER: &str = r#"{"success":true,"request_id":"01a20142-9628-7180-be3f-de4f8bb83a51","prediction_id":"01a20142-9628-7180-be3f-de50bb03ebb4","prediction":{"label":"1","label_numeric":1,"probability":{"0":0.4270793297753992,"1":0.5729206702246008},"confidence":0.5729206702246008},"model_info":{"name":"bench","model_type":"lightgbm","model_version":"20261121_201604","digest":"de57e7e75c0c90c68664e6b58322bb11ee3f79d80666bfa890071e0f3d7e4161","features_used":30,"imputed_features":[]},"features":{"source":"request"},"performance":{"response_time_ms":0.267,"cached_features":false},"timestamp":"2026-11-22T03:17:50.760Z"}"#;

/// The headers that serve-server's answers have beside their type and length, fixed too: a server that writes less has less
/// to do, and so has the client that reads it.
const HEADERS: [(&str, &str); 5] = [
    ("x-request-id", "01a20142-9628-7180-be3f-de4f8bb83a51"),
    ("x-content-type-options", "nosniff"),
    ("referrer-policy", "no-referrer"),
    ("cache-control", "no-store"),
    ("server-timing", "parse;dur=0.003, infer;dur=0.002, write;dur=0.001, total;dur=0.012"),
];

/// The JSON of a fixed answer of the Open Inference Protocol.
const TENSORS: &str = r#"{"model_name":"bench","model_version":"20261121_201604","id":"01a20142-960f-70da-a1dd-9cba6c2087e3","outputs":[{"name":"predict","shape":[1,1],"datatype":"INT64","parameters":{"binary_data_size":8}},{"name":"predict_proba","shape":[1,2],"datatype":"FP64","parameters":{"binary_data_size":16}}]}"#;

/// Its elements.
const ELEMENTS: [u8; 24] = [0; 24];

const HEADER_LENGTH: &str = "inference-header-content-length";

#[derive(Deserialize)]
struct Prediction<'a> {
    #[serde(borrow)]
    model: Cow<'a, str>,
    #[serde(borrow)]
    features: HashMap<&'a str, f64>,
}

#[derive(Deserialize)]
struct Inference<'a> {
    #[serde(borrow)]
    inputs: Vec<Tensor<'a>>,
}

#[derive(Deserialize)]
struct Tensor<'a> {
    name: &'a str,
    shape: Vec<u64>,
    datatype: &'a str,
    parameters: TensorParameters,
}

#[derive(Deserialize)]
struct TensorParameters {
    binary_data_size: usize,
}

fn main() -> Result<(), Failure> {
    let two = std::env::args().nth(1).is_some_and(|argument| argument == "http2");
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?.block_on(serve(two))
}

async fn serve(two: bool) -> Result<(), Failure> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("http://{}", listener.local_addr()?);
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let stream = TokioIo::new(stream);
        // A client that goes away is no failure of the server.
        if two {
            let builder = http2::Builder::new(TokioExecutor::new());
            tokio::spawn(builder.serve_connection(stream, service_fn(answer)));
        } else {
            tokio::spawn(http1::Builder::new().serve_connection(stream, service_fn(answer)));
        }
    }
}

async fn answer(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Failure> {
    let (parts, body) = request.into_parts();
    let body = body.collect().await?.to_bytes();
    if let Some(length) = header_length(&parts.headers) {
        let status = status(row(&body, length).is_some_and(|row| !row.is_empty()));
        let answer = Bytes::from([TENSORS.as_bytes(), &ELEMENTS].concat());
        let mut answer = whole(status, "application/octet-stream", answer);
        answer.headers_mut().insert(HEADER_LENGTH, HeaderValue::from(TENSORS.len()));
        return Ok(answer);
    }
    let admitted = serde_json::from_slice(&body)
        .is_ok_and(|given: Prediction<'_>| !given.model.is_empty() && !given.features.is_empty());
    Ok(whole(status(admitted), "application/json", Bytes::from_static(ANSWER.as_bytes())))
}

fn whole(status: StatusCode, content_type: &'static str, body: Bytes) -> Response<Full<Bytes>> {
    let mut answer = Response::new(Full::new(body));
    *answer.status_mut() = status;
    for (name, value) in [("content-type", content_type)].into_iter().chain(HEADERS) {
        answer.headers_mut().insert(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    answer
}

fn status(admitted: bool) -> StatusCode {
    if admitted { StatusCode::OK } else { StatusCode::BAD_REQUEST }
}

fn header_length(headers: &HeaderMap) -> Option<usize> {
    headers.get(HEADER_LENGTH)?.to_str().ok()?.parse().ok()
}

/// The numbers of a request with one binary tensor.
fn row(body: &[u8], length: usize) -> Option<Vec<f64>> {
    let (json, binary) = body.split_at_checked(length)?;
    let request: Inference<'_> = serde_json::from_slice(json).ok()?;
    let [tensor] = &request.inputs[..] else { return None };
    let columns = tensor.shape.iter().product::<u64>();
    let fits = tensor.parameters.binary_data_size == binary.len() && columns * 8 == binary.len() as u64;
    let known = !tensor.name.is_empty() && tensor.datatype == "FP64";
    let numbers = binary.as_chunks::<8>().0.iter().map(|bytes| f64::from_le_bytes(*bytes));
    (fits && known).then(|| numbers.collect())
}
