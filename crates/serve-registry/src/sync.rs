//! The registry's own synchronisation, apart from the pointer that is swapped ([`slot`](crate::slot)).
//!
//! | module | concept |
//! |---|---|
//! | `single_flight` | many ask for the same thing, the work is done once |
//! | `coalesce` | many ask for a look at the world from now on, who waits shares the next look |
//! | `drain` | what was replaced is freed by a thread of ours once nobody reads it |
//!
//! Each takes its locks and threads from `primitives` and nothing else, so that the models in `tests/loom`, which include
//! these very files, can put loom's in their place and run every interleaving. Nothing here knows what a model is.

pub(crate) mod coalesce;
pub(crate) mod drain;
mod primitives;
pub(crate) mod single_flight;

#[cfg(test)]
mod tests;
