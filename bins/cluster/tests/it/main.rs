//! Clusters of real processes, which answer as one machine does and whose ends are told.

mod buckets;
mod ends;
mod processes;
mod sameness;
