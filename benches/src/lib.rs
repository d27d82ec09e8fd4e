//! What the benchmark programs share.
//!
//! | module | concept |
//! |---|---|
//! | [`timing`] | how long a call takes per row: wall time that survives preemption, and CPU time |
//! | [`histogram`] | latencies in bounded memory, and their percentiles |
//! | [`memory`] | how much of it this process has |
//! | [`bundles`] | bundles made here; one of a model so small that it costs nothing |
//! | [`programs`] | servers that are started to be measured, and their CPU time |
//! | [`matrix`] | rows in a file of raw numbers |
//! | [`subject`] | the thing measured: an imported model behind the library's own entries |

pub mod bundles;
pub mod histogram;
pub mod matrix;
pub mod memory;
pub mod programs;
pub mod subject;
pub mod timing;
