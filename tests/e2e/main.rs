//! The programs as people run them: real processes, real sockets, a registry on disk.

mod cache;
mod encoding;
mod errors;
mod explain;
mod features;
mod guard;
mod hostile;
mod http2;
mod lifecycle;
mod load;
mod locks;
mod oip;
mod oip_binary;
mod oip_extensions;
mod outage;
mod predict;
mod registry;
mod remote;
mod server;
mod slow;
mod swap;
mod tls;
mod websocket;
