//! The `http` section of the configuration.

use std::net::IpAddr;
use std::net::Ipv4Addr;
use std::num::NonZero;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serve_core::ByteSize;

use crate::forwarded::Network;
use crate::hosts::Hosts;
use crate::origins::Origins;
use crate::tls::{Tls, TlsConfig};
use crate::websocket::WebSocketConfig;

/// Where the server listens, and what it allows a client.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct HttpConfig {
    /// The address to listen on.
    pub host: IpAddr,
    /// The port; 0 takes a free one.
    pub port: u16,
    /// Threads that connections live on; nothing said, as many as the process may use cores.
    pub threads: Option<NonZero<usize>>,
    /// The longest body that is read.
    pub max_body_bytes: ByteSize,
    /// What all bodies that are under way may take together.
    pub max_bodies_bytes: ByteSize,
    /// The longest head: the request line and all headers.
    pub max_header_bytes: ByteSize,
    /// The longest path with its query.
    pub max_uri_bytes: ByteSize,
    /// How long a request may take from its first byte to its answer.
    #[serde(with = "serve_core::duration")]
    pub request_timeout: Duration,
    /// How long a client may take to send a request's head.
    #[serde(with = "serve_core::duration")]
    pub header_timeout: Duration,
    /// How long a stop waits for requests that are under way.
    #[serde(with = "serve_core::duration")]
    pub drain_timeout: Duration,
    /// How many connections, and how long they may keep the server waiting.
    pub connections: ConnectionsConfig,
    /// Limits of HTTP/2.
    pub http2: Http2Config,
    /// TLS; without it the server speaks plain HTTP.
    pub tls: Option<TlsConfig>,
    /// The names under which clients may ask; none means loopback's names on a loopback address, and every name elsewhere.
    pub trusted_hosts: Vec<String>,
    /// The name that `GET /v2` tells.
    pub server_name: String,
    /// The feature sets that `/predict/both` compares.
    pub compare: Vec<String>,
    /// Whether answers say, as `Server-Timing`, where their time went.
    pub server_timing: bool,
    /// Proxies whose `X-Forwarded-For` and `X-Forwarded-Proto` are believed.
    pub trusted_proxies: Vec<Network>,
    /// Which pages of other origins may call from a browser.
    pub cors: CorsConfig,
    /// Sockets.
    pub websocket: WebSocketConfig,
}

/// Connections, and clients that take their time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ConnectionsConfig {
    /// How many there may be; one more is refused with 503.
    pub max: usize,
    /// How many of them one address may have; nothing said, all of them.
    pub max_per_address: Option<usize>,
    /// How long a connection without a request is kept.
    #[serde(with = "serve_core::duration")]
    pub idle_timeout: Duration,
    /// How long in all a client may keep the server waiting for a body, or for an answer to be taken. What it sends or takes
    /// at `min_bytes_per_second` buys the time back.
    #[serde(with = "serve_core::duration")]
    pub patience: Duration,
    /// The rate at which a client that is waited for does not lose patience.
    pub min_bytes_per_second: u32,
}

/// What an HTTP/2 connection may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Http2Config {
    /// Requests at a time on one connection.
    pub max_streams: u32,
    /// How often a silent client is asked for a sign of life, which it has as long again to give.
    #[serde(with = "serve_core::duration")]
    pub ping_interval: Duration,
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
            threads: None,
            max_body_bytes: ByteSize(10 << 20),
            max_bodies_bytes: ByteSize(256 << 20),
            max_header_bytes: ByteSize(32 << 10),
            max_uri_bytes: ByteSize(8 << 10),
            request_timeout: Duration::from_secs(30),
            header_timeout: Duration::from_secs(10),
            drain_timeout: Duration::from_secs(30),
            connections: ConnectionsConfig::default(),
            http2: Http2Config::default(),
            tls: None,
            trusted_hosts: Vec::new(),
            server_name: "serve".to_owned(),
            compare: Vec::new(),
            server_timing: true,
            trusted_proxies: Vec::new(),
            cors: CorsConfig::default(),
            websocket: WebSocketConfig::default(),
        }
    }
}

impl Default for ConnectionsConfig {
    fn default() -> Self {
        Self {
            max: 16_384,
            max_per_address: None,
            idle_timeout: Duration::from_secs(75),
            patience: Duration::from_secs(10),
            min_bytes_per_second: 1_024,
        }
    }
}

impl Default for Http2Config {
    fn default() -> Self {
        Self { max_streams: 128, ping_interval: Duration::from_secs(20) }
    }
}

impl HttpConfig {
    /// Holds the section against the world: names, origins, and the files of `tls`, which are read.
    ///
    /// # Errors
    /// Every mistake. What is no mistake and should be known all the same, such as an expired certificate, is returned.
    pub fn check(&self) -> Result<Vec<String>, Vec<String>> {
        let mut mistakes = self.limits_that_nothing_fits();
        if let [only] = &self.compare[..] {
            mistakes.push(format!("http.compare: {only:?} alone; expected two sets or more, or none"));
        }
        mistakes.extend(Hosts::new(&self.trusted_hosts, self.host).err());
        mistakes.extend(Origins::new(&self.cors.allowed_origins).err());
        let mut warnings = Vec::new();
        match self.tls.as_ref().map(Tls::load).transpose() {
            Ok(tls) => warnings.extend(tls.and_then(|tls| tls.status().trouble)),
            Err(error) => mistakes.push(error.to_string()),
        }
        if mistakes.is_empty() { Ok(warnings) } else { Err(mistakes) }
    }

    fn limits_that_nothing_fits(&self) -> Vec<String> {
        let sizes = [
            ("max_header_bytes", self.max_header_bytes.0, 1 << 10, 1 << 20),
            // Less than one body may be long would refuse it always.
            ("max_bodies_bytes", self.max_bodies_bytes.0, self.max_body_bytes.0, u64::MAX),
            ("max_uri_bytes", self.max_uri_bytes.0, 256, 60 << 10),
            ("threads", self.threads.map_or(1, NonZero::get) as u64, 1, 1024),
            ("connections.max", self.connections.max as u64, 1, 1 << 24),
            ("connections.max_per_address", self.connections.max_per_address.unwrap_or(1) as u64, 1, 1 << 24),
            (
                "connections.min_bytes_per_second",
                u64::from(self.connections.min_bytes_per_second),
                1,
                1 << 30,
            ),
            ("http2.max_streams", u64::from(self.http2.max_streams), 1, 1 << 16),
        ];
        let wrong = sizes.into_iter().filter(|(_, got, least, most)| got < least || got > most);
        let sizes = wrong.map(|(name, got, least, most)| match most {
            u64::MAX => format!("http.{name} is {got}; expected {least} or more"),
            _ => format!("http.{name} is {got}; expected {least} to {most}"),
        });
        let times = [
            ("request_timeout", self.request_timeout),
            ("header_timeout", self.header_timeout),
            ("connections.idle_timeout", self.connections.idle_timeout),
            ("connections.patience", self.connections.patience),
            ("websocket.min_interval", self.websocket.min_interval),
            ("http2.ping_interval", self.http2.ping_interval),
        ];
        let none = times.into_iter().filter(|(_, time)| time.is_zero());
        sizes
            .chain(
                none.map(|(name, _)| format!("http.{name} is 0s, in which nothing happens; expected more")),
            )
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_mistake_of_the_section_is_told() {
        assert_eq!(HttpConfig::default().check(), Ok(Vec::new()));
        let wrong = HttpConfig {
            max_uri_bytes: ByteSize(3),
            max_bodies_bytes: ByteSize(1 << 20),
            compare: vec!["vader".to_owned()],
            header_timeout: Duration::ZERO,
            trusted_hosts: vec!["https://a".to_owned()],
            cors: CorsConfig { allowed_origins: vec!["b".to_owned()] },
            tls: Some(TlsConfig {
                cert: "no/such.pem".into(),
                key: "no/such.key".into(),
                ..TlsConfig::default()
            }),
            ..HttpConfig::default()
        };
        let mistakes = wrong.check().expect_err("seven mistakes");
        let starts = [
            "http.max_bodies_bytes is 1048576; expected 10485760 or more",
            "http.max_uri_bytes is 3; expected 256 to 61440",
            "http.header_timeout is 0s",
            "http.compare: \"vader\" alone; expected two sets or more, or none",
            "http.trusted_hosts: \"https://a\"",
            "http.cors.allowed_origins: \"b\"",
            "http.tls.cert no/such.pem cannot be read",
        ];
        assert_eq!(mistakes.len(), starts.len(), "{mistakes:?}");
        for (mistake, start) in mistakes.iter().zip(starts) {
            assert!(mistake.starts_with(start), "{mistake}");
        }
    }
}
