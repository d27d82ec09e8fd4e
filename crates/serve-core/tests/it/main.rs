//! The crate from outside: against scikit-learn's numbers, against its own naive evaluator, against hostile bytes.

mod allocation;
mod bundles;
mod drift;
mod ensembles;
mod explanations;
mod forests;
mod format_one;
mod format_two;
#[allow(clippy::panic, reason = "helpers of tests do what tests may")]
mod graph_definitions;
mod graph_recipes;
mod graphs;
mod hostile_manifest;
mod hostile_model;
mod kernels;
mod linear;
mod memory;
mod models;
mod properties;
mod reference;
mod scalers;
mod signature;
mod text_hashes;
mod transforms;
