//! Spans of requests for a collector of OpenTelemetry: OTLP over HTTP as JSON. Off unless an endpoint is configured.
//!
//! What is sent is one object of a fixed form (`telemetry/otlp.rs`) to a collector that stands beside the server, over a
//! connection without TLS. That needs no crate; OpenTelemetry's own would bring protobuf, a second HTTP client and a runtime of
//! their own into every build. Spans that come faster than they are sent are dropped and counted.

mod otlp;
mod post;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::sync::oneshot;
use tracing::warn;

use crate::trace::Trace;

pub use otlp::{Attribute, Span};
use post::Endpoint;

/// Spans that are sent at once.
const BATCH: usize = 512;

/// How long a collector may take for them, and the end of the program waits for it.
const PATIENCE: Duration = Duration::from_secs(2);

/// Where spans go, and which.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TelemetryConfig {
    /// Where a collector takes traces, e.g. `http://127.0.0.1:4318/v1/traces`.
    pub otlp: Option<String>,
    /// The share of requests that begin a trace here, from 0 to 1. Of a request that is part of one its caller decides.
    pub sample: f64,
    /// What this server is called there.
    pub service_name: String,
    /// How often spans are sent, unless they are many.
    #[serde(with = "serve_core::duration")]
    pub interval: Duration,
    /// Spans that wait to be sent.
    pub queue: usize,
}

impl Default for TelemetryConfig {
    fn default() -> Self {
        Self {
            otlp: None,
            sample: 0.1,
            service_name: "serve".to_owned(),
            interval: Duration::from_secs(5),
            queue: 2_048,
        }
    }
}

impl TelemetryConfig {
    /// What is wrong with the section.
    #[must_use]
    pub fn mistakes(&self) -> Vec<(&'static str, String)> {
        let mut found = Vec::new();
        if let Some(Err(problem)) = self.otlp.as_deref().map(Endpoint::of) {
            found.push(("telemetry.otlp", problem));
        }
        if !(0.0..=1.0).contains(&self.sample) {
            found.push(("telemetry.sample", format!("expected a share from 0 to 1, got {}", self.sample)));
        }
        if self.interval.is_zero() {
            found.push(("telemetry.interval", "is 0s; expected more".to_owned()));
        }
        if self.queue == 0 {
            found.push(("telemetry.queue", "is 0; expected 1 or more".to_owned()));
        }
        found
    }
}

/// What is handed to the task that sends.
enum Message {
    Span(Box<Span>),
    /// Send what there is, and say when that is done.
    Flush(oneshot::Sender<()>),
}

/// Takes spans.
#[derive(Debug, Default)]
pub struct Telemetry {
    sender: OnceLock<Sender<Message>>,
    /// Requests without a parent whose number is below begin a trace that is kept.
    below: AtomicU64,
    exported: AtomicU64,
    lost: AtomicU64,
}

impl Telemetry {
    /// Sends spans from now on, where the configuration says to whom. The task ends with the runtime that this is called in.
    pub fn start(self: &Arc<Self>, config: &TelemetryConfig) {
        let Some(Ok(endpoint)) = config.otlp.as_deref().map(Endpoint::of) else { return };
        let (sender, spans) = channel(config.queue.max(1));
        if self.sender.set(sender).is_ok() {
            // Saturates: a share of 1 is all but one in 2^64.
            self.below.store((config.sample.clamp(0.0, 1.0) * u64::MAX as f64) as u64, Ordering::Relaxed);
            tokio::spawn(send(Arc::clone(self), endpoint, config.clone(), spans));
        }
    }

    /// Whether spans are sent.
    #[must_use]
    pub fn is_on(&self) -> bool {
        self.sender.get().is_some()
    }

    /// A trace for a request that is part of none, where it is picked.
    #[must_use]
    pub fn begin(&self) -> Option<Trace> {
        let below = self.below.load(Ordering::Relaxed);
        if below == 0 {
            return None;
        }
        let trace = Trace::begin(true);
        (trace.span_id < below).then_some(trace)
    }

    /// Takes a span, if there is room.
    pub fn record(&self, span: Span) {
        if let Some(sender) = self.sender.get()
            && sender.try_send(Message::Span(Box::new(span))).is_err()
        {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Sends what there is. Waits for it, but not for long.
    pub async fn flush(&self) {
        let Some(sender) = self.sender.get() else { return };
        let (done, flushed) = oneshot::channel();
        if sender.try_send(Message::Flush(done)).is_ok() {
            drop(tokio::time::timeout(PATIENCE, flushed).await);
        }
    }

    /// Spans that a collector took.
    #[must_use]
    pub fn exported(&self) -> u64 {
        self.exported.load(Ordering::Relaxed)
    }

    /// Spans for which there was no room, or that no collector took.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }
}

async fn send(
    telemetry: Arc<Telemetry>,
    endpoint: Endpoint,
    config: TelemetryConfig,
    mut spans: Receiver<Message>,
) {
    let mut batch: Vec<Span> = Vec::new();
    let mut ticks = tokio::time::interval(config.interval);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut failing = false;
    loop {
        let flushed = tokio::select! {
            _ = ticks.tick() => None,
            message = spans.recv() => match message {
                Some(Message::Span(span)) => {
                    batch.push(*span);
                    if batch.len() < BATCH {
                        continue;
                    }
                    None
                }
                Some(Message::Flush(done)) => Some(done),
                None => return,
            },
        };
        if !batch.is_empty() {
            let body = otlp::body(&batch, &config.service_name);
            let sent = match tokio::time::timeout(PATIENCE, endpoint.post(&body)).await {
                Ok(sent) => sent,
                Err(_) => Err(format!("no answer within {} s", PATIENCE.as_secs())),
            };
            let counted = if sent.is_ok() { &telemetry.exported } else { &telemetry.lost };
            counted.fetch_add(batch.len() as u64, Ordering::Relaxed);
            if let (Err(error), false) = (&sent, failing) {
                warn!(%error, "spans cannot be sent to telemetry.otlp; they are lost until they can");
            }
            failing = sent.is_err();
            batch.clear();
        }
        if let Some(done) = flushed {
            // Who asked may have left.
            let _ = done.send(());
        }
    }
}

/// When a span that took `took` and ends now began.
#[must_use]
pub fn began(took: Duration) -> Timestamp {
    let now = Timestamp::now();
    jiff::SignedDuration::try_from(took).ok().and_then(|took| now.checked_sub(took).ok()).unwrap_or(now)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_work_is_told() {
        assert!(TelemetryConfig::default().mistakes().is_empty());
        let config = TelemetryConfig {
            otlp: Some("https://collector:4318/v1/traces".to_owned()),
            sample: 2.0,
            interval: Duration::ZERO,
            queue: 0,
            ..TelemetryConfig::default()
        };
        let settings: Vec<&str> = config.mistakes().iter().map(|(setting, _)| *setting).collect();
        assert_eq!(settings, ["telemetry.otlp", "telemetry.sample", "telemetry.interval", "telemetry.queue"]);
    }

    #[test]
    fn nothing_is_picked_where_nothing_is_sent() {
        let telemetry = Telemetry::default();
        assert!(!telemetry.is_on() && telemetry.begin().is_none());
    }
}
