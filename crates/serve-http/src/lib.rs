//! The HTTP adapter: translates requests into calls of the prediction service and answers into JSON. No logic of
//! predicting, resolving or checking stands here.
//!
//! | module | concept |
//! |---|---|
//! | [`config`] | the `http` section |
//! | [`server`], `accepted` | listening, connections, graceful drain |
//! | `watchman`, `connection`, `owed`, `patience` | how many connections, and clients that take their time |
//! | `wire`, `transport` | the bytes of a connection, held against stricter rules than the parser's |
//! | [`tls`] | certificates, and their renewal |
//! | `doorway`, `hosts`, `origins` | what every request meets first: known hosts, pages of other origins |
//! | [`descriptors`] | how many files the process may open |
//! | [`routes`] | every path and method, in one table |
//! | `exchange` | one exchange, step by step |
//! | [`call`] | one request as handlers see it |
//! | [`failure`] | errors, and the one place that gives them a status |
//! | [`limits`] | body size and time |
//! | [`predict`], [`batch`], [`features`], [`ingest`], [`models`], [`admin`], [`health`] | handlers of our own API |
//! | [`feast`] | Feast's online features |
//! | [`oip`] | the Open Inference Protocol |

mod accepted;
pub mod admin;
pub mod batch;
pub mod call;
pub mod config;
mod connection;
pub mod descriptors;
mod doorway;
mod exchange;
pub mod failure;
pub mod feast;
pub mod features;
pub mod health;
mod hosts;
pub mod ingest;
pub mod limits;
pub mod models;
pub mod oip;
mod origins;
mod owed;
mod patience;
pub mod predict;
mod predict_body;
mod reply;
pub mod routes;
pub mod server;
pub mod tls;
mod transport;
mod watchman;
mod wire;

pub use config::HttpConfig;
pub use server::{BindError, Server};
pub use watchman::ConnectionCounts;
