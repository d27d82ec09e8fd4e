//! How stores that are reached over a network are asked.

use std::time::Duration;

/// Connections to a store, and how long to wait for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoreOptions {
    /// The most connections at once; at least one.
    pub connections: usize,
    /// How long making a connection may take, encryption and login included.
    pub connect_timeout: Duration,
    /// How long a call without a deadline may take, its wait for a connection included. No statement runs for longer,
    /// whatever becomes of its caller.
    pub timeout: Duration,
}

impl Default for StoreOptions {
    fn default() -> Self {
        Self { connections: 8, connect_timeout: Duration::from_secs(5), timeout: Duration::from_secs(60) }
    }
}
