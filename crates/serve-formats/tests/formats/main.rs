//! Tests of the crate through its public API, on files that the training libraries wrote (`tests/golden`).

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "helpers of tests do what tests may"
)]

mod cases;
mod catboost;
mod contributions;
mod edge_cases;
mod engine_properties;
mod golden_cases;
mod golden_rows;
#[path = "../../../serve-core/tests/it/graph_definitions.rs"]
#[allow(dead_code, reason = "the tests of serve-core use all of it")]
mod graph_definitions;
mod handwritten;
mod hostile;
mod lightgbm_bad_input;
mod lightgbm_rules;
mod lightgbm_versions;
mod mlflow;
mod onnx_cases;
mod onnx_hostile;
mod onnx_random;
mod onnx_writer;
mod refused;
mod sklearn_export;
mod sklearn_refused;
mod training_data;
mod xgboost_rules;
mod xgboost_statistics;
mod xgboost_ubjson;
mod xgboost_versions;
