//! The programs as people run them: real processes, real sockets, a registry on disk.

mod errors;
mod explain;
mod features;
mod guard;
mod lifecycle;
mod load;
mod oip;
mod outage;
mod predict;
mod registry;
mod remote;
mod seen;
mod server;
mod swap;
