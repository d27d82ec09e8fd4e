//! The HTTP adapter: translates requests into calls of the prediction service and answers into JSON. No logic of
//! predicting, resolving or checking stands here.
//!
//! | module | concept |
//! |---|---|
//! | [`config`] | the `http` section |
//! | [`server`] | listening, connections, graceful drain |
//! | [`routes`] | every path and method, in one table |
//! | `exchange` | one exchange, step by step |
//! | `access` | what is told of an exchange: the log's line, Server-Timing, its trace |
//! | `traffic` | exchanges in numbers |
//! | [`call`] | one request as handlers see it |
//! | `doors`, [`forwarded`] | who asks, and from where |
//! | [`failure`] | errors, and the one place that gives them a status |
//! | [`limits`] | body size and time |
//! | `encoding` | gzip and deflate, both ways |
//! | [`predict`], [`batch`], [`features`], [`ingest`], [`models`], [`admin`], [`health`] | handlers of our own API |
//! | `mlflow`, `v1` | MLflow's scoring server, TensorFlow Serving's and KServe's V1; both by `table` and `scoring` |
//! | [`feast`] | Feast's online features |
//! | [`websocket`] | predictions on a socket |
//! | [`oip`] | the Open Inference Protocol |
//! | `openapi` | the OpenAPI document, and the pages that show it |

mod access;
pub mod admin;
pub mod batch;
pub mod call;
pub mod config;
mod doors;
mod encoding;
mod exchange;
pub mod failure;
pub mod feast;
pub mod features;
pub mod forwarded;
pub mod health;
pub mod ingest;
pub mod limits;
mod mlflow;
pub mod models;
pub mod oip;
mod openapi;
mod patience;
pub mod predict;
mod predict_body;
mod reference;
mod reply;
pub mod routes;
mod scoring;
pub mod server;
mod table;
mod traffic;
mod v1;
pub mod websocket;

pub use config::HttpConfig;
pub use server::{BindError, Server};
