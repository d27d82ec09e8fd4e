//! The least that a prediction server can do: hyper reads a request, serde parses it, and a fixed answer goes back.
//! What serve-server costs beyond this is its own; `benches/http.sh` compares the two.
#![allow(clippy::print_stdout, reason = "its address is its only output")]

use std::borrow::Cow;
use std::collections::HashMap;
use std::error::Error;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use tokio::net::TcpListener;

type Failure = Box<dyn Error + Send + Sync>;

/// Fixed, 445 bytes; an answer of serve-server to the same row has 603.
const ANSWER: &str = r#"{"model":"bench","version":"20250331_000000","alias":"champion","prediction":"1","prediction_index":1,"confidence":0.7312345678901234,"probabilities":{"0":0.2687654321098766,"1":0.7312345678901234},"decision":{"policy":"argmax"},"imputed":[],"ignored":0,"request_id":"01890a5d-ac96-774b-bcce-b302099a8057","digest":"62979e85bdf61284386065bfb5078de56f0c68f0765407dffb264314421e3ace","created":"2025-03-31T00:00:00Z","latency_us":12,"warnings":[]}"#;

#[derive(Deserialize)]
struct Prediction<'a> {
    #[serde(borrow)]
    model: Cow<'a, str>,
    #[serde(borrow)]
    features: HashMap<&'a str, f64>,
}

fn main() -> Result<(), Failure> {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?.block_on(serve())
}

async fn serve() -> Result<(), Failure> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("http://{}", listener.local_addr()?);
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        // A client that goes away is no failure of the server.
        tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service_fn(answer)));
    }
}

async fn answer(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Failure> {
    let body = request.into_body().collect().await?.to_bytes();
    let admitted = serde_json::from_slice(&body)
        .is_ok_and(|given: Prediction<'_>| !given.model.is_empty() && !given.features.is_empty());
    let status = if admitted { StatusCode::OK } else { StatusCode::BAD_REQUEST };
    let answer = Full::new(Bytes::from_static(ANSWER.as_bytes()));
    Ok(Response::builder().status(status).header("content-type", "application/json").body(answer)?)
}
