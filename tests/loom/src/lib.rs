//! Models of our own synchronisation, run by [loom] through every interleaving that its locks and threads allow.
//!
//! The modules are those of `crates/serve-registry/src/sync`, and `gate.rs` and `share.rs` of `crates/serve-app/src/admission`, included by path;
//! only [`primitives`] is ours. What they
//! state as invariants is what the models assert. A model asserts with counters of the standard library: loom does not see
//! those, so they neither order anything nor cost interleavings.
//!
//! ```sh
//! cargo test --manifest-path tests/loom/Cargo.toml
//! ```
//!
//! The pointer that is swapped is arc-swap's, whose own tests are its proof; `crates/serve-registry/tests/it/stress.rs`
//! runs the registry as a whole under load.
//!
//! [loom]: https://docs.rs/loom

#![cfg(test)]

#[path = "../../../crates/serve-registry/src/sync/coalesce.rs"]
mod coalesce;
#[path = "../../../crates/serve-registry/src/sync/drain.rs"]
mod drain;
#[allow(dead_code, reason = "what only shows counts, or changes bounds, is in no model")]
#[path = "../../../crates/serve-app/src/admission/gate.rs"]
mod gate;
mod models;
mod primitives;
#[allow(dead_code, reason = "what only shows counts, or changes bounds, is in no model")]
#[path = "../../../crates/serve-app/src/admission/share.rs"]
mod share;
#[path = "../../../crates/serve-registry/src/sync/single_flight.rs"]
mod single_flight;
