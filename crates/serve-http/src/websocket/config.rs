//! The `http.websocket` section of the configuration.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serve_core::ByteSize;

/// What a socket may do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct WebSocketConfig {
    /// Sockets that are open at once.
    pub sockets: usize,
    /// Those of one key; where nobody is asked who they are, of all.
    pub sockets_per_key: usize,
    /// Entities that one socket is subscribed to.
    pub subscriptions: usize,
    /// The longest message that is read.
    pub max_message_bytes: ByteSize,
    /// Messages that one socket may send in a second, on average over a few.
    pub messages_per_second: u32,
    /// The shortest interval of a subscription.
    #[serde(with = "serve_core::duration")]
    pub min_interval: Duration,
    /// How often the store is asked for features that others wrote. What comes in through this server is seen at once.
    #[serde(with = "serve_core::duration")]
    pub poll: Duration,
    /// How often a client is pinged. Who says nothing for two of these is gone.
    #[serde(with = "serve_core::duration")]
    pub ping_interval: Duration,
    /// How long a message may take to be sent. Who takes longer is cut off.
    #[serde(with = "serve_core::duration")]
    pub send_timeout: Duration,
}

impl Default for WebSocketConfig {
    fn default() -> Self {
        Self {
            sockets: 1_000,
            sockets_per_key: 100,
            subscriptions: 100,
            max_message_bytes: ByteSize(256 << 10),
            messages_per_second: 100,
            min_interval: Duration::from_millis(100),
            poll: Duration::from_secs(1),
            ping_interval: Duration::from_secs(20),
            send_timeout: Duration::from_secs(10),
        }
    }
}
