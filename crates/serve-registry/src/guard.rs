//! The guard window: for a while after a version took another one's place, both answer the same rows, and the new one is
//! taken back if it answers worse.
//!
//! While the window is open, a bounded sample of the requests that were answered (or refused) is put once more to both
//! versions, off the request's path, on a thread of the guard, in alternating order: the same rows in the same minutes on
//! the same thread, so what differs is the version. [`judge`] compares errors, latency and scores; the formulas stand in
//! `docs/registry.md`. The registry keeps the replaced version loaded meanwhile, so taking the new one back is one pointer
//! store.
//!
//! Invariant: whoever answers requests never waits for a guard. A question for which there is no room is not even made.

mod config;
mod judge;
mod proportions;
mod reservoir;
mod stability;
mod tally;
mod watch;

pub use config::GuardConfig;
pub use judge::{Comparison, Verdict, judge};
pub use tally::Tally;
pub use watch::{Guard, GuardSnapshot, Question, Reply};
