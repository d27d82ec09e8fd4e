//! The `http` section of the configuration.

use std::net::IpAddr;
use std::net::Ipv4Addr;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serve_core::ByteSize;

use crate::forwarded::Network;
use crate::websocket::WebSocketConfig;

/// Where the server listens, and what it allows a client.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct HttpConfig {
    /// The address to listen on.
    pub host: IpAddr,
    /// The port; 0 takes a free one.
    pub port: u16,
    /// The longest body that is read.
    pub max_body_bytes: ByteSize,
    /// How long a request may take from its first byte to its answer.
    #[serde(with = "serve_core::duration")]
    pub request_timeout: Duration,
    /// How long a client may take to send a request's head.
    #[serde(with = "serve_core::duration")]
    pub header_timeout: Duration,
    /// How long a stop waits for requests that are under way.
    #[serde(with = "serve_core::duration")]
    pub drain_timeout: Duration,
    /// The name that `GET /v2` tells.
    pub server_name: String,
    /// The feature sets that `/predict/both` compares.
    pub compare: Vec<String>,
    /// Whether answers say, as `Server-Timing`, where their time went.
    pub server_timing: bool,
    /// Proxies whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<Network>,
    /// Which pages of other origins may call from a browser.
    pub cors: CorsConfig,
    /// Sockets.
    pub websocket: WebSocketConfig,
}

/// Cross-origin requests.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CorsConfig {
    /// Origins such as `https://app.example.com`; `*` is every origin.
    pub allowed_origins: Vec<String>,
}

impl Default for HttpConfig {
    fn default() -> Self {
        Self {
            host: IpAddr::V4(Ipv4Addr::LOCALHOST),
            port: 8000,
            max_body_bytes: ByteSize(10 << 20),
            request_timeout: Duration::from_secs(30),
            header_timeout: Duration::from_secs(10),
            drain_timeout: Duration::from_secs(30),
            server_name: "serve".to_owned(),
            compare: Vec::new(),
            server_timing: true,
            trusted_proxies: Vec::new(),
            cors: CorsConfig::default(),
            websocket: WebSocketConfig::default(),
        }
    }
}
