//! The programs as people run them: real processes, real sockets, a registry on disk.

mod cache;
mod encoding;
mod errors;
mod explain;
mod features;
mod guard;
mod lifecycle;
mod load;
mod locks;
mod mlflow;
mod oip;
mod oip_binary;
mod oip_extensions;
mod outage;
mod predict;
mod reference;
mod registry;
mod remote;
mod seen;
mod server;
mod stores;
mod swap;
mod v1;
mod websocket;
