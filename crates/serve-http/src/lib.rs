//! The HTTP adapter: translates requests into calls of the prediction service and answers into JSON. No logic of
//! predicting, resolving or checking stands here.
//!
//! | module | concept |
//! |---|---|
//! | [`config`] | the `http` section |
//! | [`server`], `event_loops`, `accepted`, `conversation` | listening, the threads of connections, what is spoken on them, graceful drain |
//! | `watchman`, `connection`, `owed`, `allowance`, `waiting` | how many connections, and clients that take their time |
//! | `wire`, `transport` | the bytes of a connection, held against stricter rules than the parser's |
//! | [`tls`] | certificates, and their renewal |
//! | `doorway`, `hosts`, `origins` | what every request meets first: known hosts, pages of other origins |
//! | [`descriptors`] | how many files the process may open |
//! | [`routes`] | every path and method, in one table |
//! | `exchange` | one exchange, step by step |
//! | `access` | what is told of an exchange: the log's line, Server-Timing, its trace |
//! | `traffic` | exchanges in numbers |
//! | [`call`], `id` | one request as handlers see it, and its id |
//! | `present`, `plain`, `short` | which headers a request has; its JSON, where that is plain; an answer's short values |
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

mod accepted;
mod access;
pub mod admin;
mod allowance;
pub mod batch;
mod bodies;
pub mod call;
pub mod config;
mod connection;
mod conversation;
pub mod descriptors;
mod doors;
mod doorway;
mod encoding;
mod event_loops;
mod exchange;
pub mod failure;
pub mod feast;
pub mod features;
pub mod forwarded;
pub mod health;
mod hosts;
mod id;
pub mod ingest;
pub mod limits;
mod mlflow;
pub mod models;
pub mod oip;
mod openapi;
mod origins;
mod owed;
mod patience;
mod plain;
pub mod predict;
mod predict_body;
mod present;
mod reference;
mod reply;
pub mod routes;
mod scoring;
pub mod server;
mod short;
mod table;
pub mod tls;
mod traffic;
mod transport;
mod v1;
mod waiting;
mod watchman;
pub mod websocket;
mod wire;

pub use config::HttpConfig;
pub use server::{BindError, Server};
pub use watchman::ConnectionCounts;
