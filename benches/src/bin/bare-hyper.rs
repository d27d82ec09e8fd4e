//! The least that a prediction server can do: hyper reads a request, serde parses it, and a fixed answer goes back.
//! What serve-server costs beyond this is its own; `http-compare` compares the two.
//!
//! `bare-hyper [http2]`
#![allow(clippy::print_stdout, reason = "its address is its only output")]

use std::borrow::Cow;
use std::collections::HashMap;
use std::error::Error;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper::{HeaderMap, Request, Response, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde::Deserialize;
use tokio::net::TcpListener;

type Failure = Box<dyn Error + Send + Sync>;

/// Fixed, 445 bytes; an answer of serve-server to the same row has 603.
const ANSWER: &str = r#"{"model":"bench","version":"20250331_000000","alias":"champion","prediction":"1","prediction_index":1,"confidence":0.7312345678901234,"probabilities":{"0":0.2687654321098766,"1":0.7312345678901234},"decision":{"policy":"argmax"},"imputed":[],"ignored":0,"request_id":"01890a5d-ac96-774b-bcce-b302099a8057","digest":"62979e85bdf61284386065bfb5078de56f0c68f0765407dffb264314421e3ace","created":"2025-03-31T00:00:00Z","latency_us":12,"warnings":[]}"#;

/// The JSON of a fixed answer of the Open Inference Protocol.
const TENSORS: &str = r#"{"model_name":"bench","model_version":"20250331_000000","id":"01890a5d-ac96-774b-bcce-b302099a8057","outputs":[{"name":"predict","shape":[1,1],"datatype":"INT64","parameters":{"binary_data_size":8}},{"name":"predict_proba","shape":[1,2],"datatype":"FP64","parameters":{"binary_data_size":16}}]}"#;

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
        let answer = Response::builder().status(status).header(HEADER_LENGTH, TENSORS.len()).body(answer)?;
        return Ok(answer.map(Full::new));
    }
    let admitted = serde_json::from_slice(&body)
        .is_ok_and(|given: Prediction<'_>| !given.model.is_empty() && !given.features.is_empty());
    let answer = Full::new(Bytes::from_static(ANSWER.as_bytes()));
    Ok(Response::builder()
        .status(status(admitted))
        .header("content-type", "application/json")
        .body(answer)?)
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
