//! Counts of connections, and how they are shown.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// How many connections came and went.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    pub(crate) accepted: AtomicU64,
    pub(crate) refused: AtomicU64,
    pub(crate) heads_refused: AtomicU64,
    pub(crate) cut_off: AtomicU64,
    /// Put to rest, or ended, since memory was given back last.
    pub(crate) freed: AtomicU64,
    pub(crate) handshakes_failed: AtomicU64,
}

impl Counts {
    /// These, with how many are open, and how many of them are at rest.
    pub(super) fn with(&self, open: u64, at_rest: u64) -> ConnectionCounts {
        ConnectionCounts {
            open,
            at_rest,
            accepted: self.accepted.load(Relaxed),
            refused: self.refused.load(Relaxed),
            heads_refused: self.heads_refused.load(Relaxed),
            cut_off: self.cut_off.load(Relaxed),
            handshakes_failed: self.handshakes_failed.load(Relaxed),
        }
    }
}

/// How many connections there are, and were.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConnectionCounts {
    /// Open now.
    pub open: u64,
    /// Those of them that hold no parser: nothing was asked on them for long, or not yet.
    pub at_rest: u64,
    /// Taken since the start.
    pub accepted: u64,
    /// Refused for want of a place.
    pub refused: u64,
    /// Heads that were refused, or did not come in time.
    pub heads_refused: u64,
    /// Cut off: clients that did not take their answer.
    pub cut_off: u64,
    /// TLS handshakes that came to nothing.
    pub handshakes_failed: u64,
}

impl ConnectionCounts {
    /// As lines of Prometheus' text format.
    #[must_use]
    pub fn page(&self) -> String {
        let lines = [
            ("http_connections", "gauge", "Connections that are open.", self.open),
            (
                "http_connections_at_rest",
                "gauge",
                "Connections that are silent and hold no parser.",
                self.at_rest,
            ),
            ("http_connections_accepted_total", "counter", "Connections taken.", self.accepted),
            (
                "http_connections_refused_total",
                "counter",
                "Connections refused for want of a place.",
                self.refused,
            ),
            (
                "http_connections_cut_off_total",
                "counter",
                "Connections cut off: the client did not take its answer, or did not end a frame or agree on TLS in time, or only pinged.",
                self.cut_off,
            ),
            (
                "http_heads_refused_total",
                "counter",
                "Requests whose head is not HTTP, too large or too slow.",
                self.heads_refused,
            ),
            (
                "http_tls_handshakes_failed_total",
                "counter",
                "TLS handshakes that came to nothing.",
                self.handshakes_failed,
            ),
        ];
        let line = |(name, kind, help, value): (&str, &str, &str, u64)| {
            format!("# HELP {name} {help}\n# TYPE {name} {kind}\n{name} {value}\n")
        };
        lines.into_iter().map(line).collect()
    }
}
