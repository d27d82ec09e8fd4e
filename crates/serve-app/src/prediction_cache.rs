//! Answers to rows that were asked before, in this process and, if so configured, in a Redis that servers share. Off unless
//! configured.
//!
//! - A row is known by every bit of what the model is given, by the digest of the version and by whether an explanation is
//!   asked for; keys are compared in full, so no two rows share an answer.
//! - Only what depends on nothing else is kept: scores, decision, contributions. Where features came from, how old they are
//!   and what was missing is told from each request's own row.
//! - Bounded by bytes, where what was not asked for longest goes first, and by time. What is kept of a version goes with the
//!   version.
//! - Who finds nothing leads; who comes while the answer is made joins. A leader that goes away, or runs into its own
//!   deadline, tells nobody anything: one of those who joined leads then.
//! - A Redis that is down, slow or full of other things costs a request `redis_timeout` at most, and fails none.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde::Serialize;
use serve_core::{Digest, Explanation, Prediction};
use serve_features::OpenError;
use serve_registry::Deployment;
use tokio::sync::watch;

use crate::context::Context;
use crate::error::{Code, ServiceError};

pub use config::{CacheConfig, PredictionsConfig};
pub(crate) use key::Key;
use shards::Shards;
use shared::SharedAnswers;

mod answer;
mod config;
mod key;
mod shards;
mod shared;

/// What a model said of a row.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Outcome {
    pub(crate) prediction: Prediction,
    pub(crate) explanation: Option<Explanation>,
}

impl Outcome {
    /// Memory that it takes besides its own size, as estimated.
    fn bytes(&self) -> usize {
        let contributions = self.explanation.iter().flat_map(Explanation::outputs);
        let contributions: usize = contributions.map(|output| output.contributions.len() + 1).sum();
        (self.prediction.scores().len() + contributions) * size_of::<f64>()
    }
}

/// An outcome as it is shared with those who wait for it.
type Landed = Option<Result<Outcome, ServiceError>>;

/// Waits for what another request makes.
pub(crate) struct Joining(watch::Receiver<Landed>);

impl Joining {
    /// The outcome; nothing, where the leader left without one.
    pub(crate) async fn outcome(
        mut self,
        context: &Context,
    ) -> Result<Option<Result<Outcome, ServiceError>>, ServiceError> {
        let landed = context.within(self.0.wait_for(Option::is_some)).await?;
        Ok(landed.ok().and_then(|landed| landed.clone()))
    }
}

/// Makes an outcome that others may wait for. Dropped without one it is over, and they are told nothing.
#[derive(Debug)]
pub(crate) struct Lead {
    shards: Arc<Shards>,
    key: Key,
    flight: u64,
    sender: watch::Sender<Landed>,
}

impl Lead {
    /// Keeps an outcome and tells those who wait. That this request's own time is over is nothing to tell.
    pub(crate) fn land(self, outcome: &Result<Outcome, ServiceError>) {
        if let Ok(outcome) = outcome {
            self.shards.keep(&self.key, outcome, Instant::now());
        }
        let own = outcome.as_ref().is_err_and(|error| error.code == Code::DeadlineExceeded);
        if !own {
            // Who comes from now on finds it kept, or leads.
            let sender = self.sender.clone();
            let outcome = outcome.clone();
            drop(self);
            sender.send_replace(Some(outcome));
        }
    }
}

impl Drop for Lead {
    fn drop(&mut self) {
        self.shards.landed(&self.key, self.flight);
    }
}

/// How an answer is to be had.
pub(crate) enum Found {
    /// It is there.
    Kept(Outcome),
    /// Another request makes it.
    UnderWay(Joining),
    /// The caller makes it.
    Lead(Lead),
}

/// What the cache holds and what happened to it since the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[non_exhaustive]
pub struct PredictionCacheStats {
    /// Rows answered from memory.
    pub hits: u64,
    /// Rows that were not there.
    pub misses: u64,
    /// Rows answered with what another request was making at that time.
    pub joined: u64,
    /// Answers that left for others.
    pub evicted: u64,
    /// Answers that left because their time was over.
    pub expired: u64,
    /// Answers that left with their version.
    pub retired: u64,
    /// Answers held.
    pub entries: u64,
    /// Bytes that they take, as estimated.
    pub bytes: u64,
    /// The limit on them.
    pub max_bytes: u64,
    /// The Redis that servers share, where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shared: Option<SharedStats>,
}

/// What came of asking Redis.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[non_exhaustive]
pub struct SharedStats {
    /// Rows answered from Redis.
    pub hits: u64,
    /// Rows that Redis did not have, or did not tell in time.
    pub misses: u64,
    /// Rows for which Redis had what this server or one like it did not write.
    pub corrupt: u64,
    /// Calls that failed or took too long.
    pub failures: u64,
}

#[derive(Debug, Default)]
struct Counters {
    hits: AtomicU64,
    misses: AtomicU64,
    joined: AtomicU64,
    evicted: AtomicU64,
    expired: AtomicU64,
    retired: AtomicU64,
}

fn add(counter: &AtomicU64, count: usize) {
    counter.fetch_add(count as u64, Ordering::Relaxed);
}

/// Answers that are kept for a while.
#[derive(Debug)]
pub struct PredictionCache {
    shards: Arc<Shards>,
    shared: Option<SharedAnswers>,
    min_cost: Duration,
}

impl PredictionCache {
    /// The cache that a configuration asks for, if it asks for one. Redis is reached for when it is first needed.
    ///
    /// # Errors
    /// When `redis` is no Redis, or one that the client cannot use.
    pub fn open(config: &CacheConfig) -> Result<Option<Self>, OpenError> {
        let predictions = &config.predictions;
        if !predictions.enabled {
            return Ok(None);
        }
        let shared = config.redis.as_ref().map(|url| SharedAnswers::open(url, config)).transpose()?;
        let bytes = usize::try_from(predictions.max_bytes.0).unwrap_or(usize::MAX);
        let shards = Arc::new(Shards::new(bytes, predictions.ttl));
        Ok(Some(Self { shards, shared, min_cost: predictions.min_cost }))
    }

    /// What it holds and what happened to it.
    #[must_use]
    pub fn stats(&self) -> PredictionCacheStats {
        PredictionCacheStats { shared: self.shared.as_ref().map(SharedAnswers::stats), ..self.shards.stats() }
    }

    /// Why servers do not share answers now, where they should: Redis does not answer. It is asked for a sign of life first.
    pub async fn trouble(&self) -> Option<String> {
        match &self.shared {
            Some(shared) => shared.trouble().await,
            None => None,
        }
    }

    /// Whether rows that take so long are looked up.
    pub(crate) fn takes(&self, cost: Duration) -> bool {
        cost >= self.min_cost
    }

    pub(crate) fn shared(&self) -> Option<&SharedAnswers> {
        self.shared.as_ref()
    }

    /// How the answer of a row is to be had.
    pub(crate) fn find(&self, deployment: &Deployment, key: &Key) -> Found {
        self.follow(deployment);
        match self.shards.find(key, Instant::now()) {
            shards::Slot::Kept(outcome) => Found::Kept(outcome),
            shards::Slot::UnderWay(receiver) => Found::UnderWay(Joining(receiver)),
            shards::Slot::Lead(flight, sender) => {
                Found::Lead(Lead { shards: Arc::clone(&self.shards), key: key.clone(), flight, sender })
            }
        }
    }

    /// The answer of a row, if it is kept.
    pub(crate) fn kept(&self, deployment: &Deployment, key: &Key) -> Option<Outcome> {
        self.follow(deployment);
        self.shards.kept(key, Instant::now())
    }

    pub(crate) fn keep(&self, key: &Key, outcome: &Outcome) {
        self.shards.keep(key, outcome, Instant::now());
    }

    /// Has what is kept of a version go with it.
    fn follow(&self, deployment: &Deployment) {
        deployment.tie(|| {
            Box::new(Retirement { shards: Arc::downgrade(&self.shards), digest: deployment.digest() })
        });
    }
}

/// Held by a deployment; dropped, it takes what is kept of it along.
struct Retirement {
    shards: std::sync::Weak<Shards>,
    digest: Digest,
}

impl Drop for Retirement {
    fn drop(&mut self) {
        if let Some(shards) = self.shards.upgrade() {
            shards.retire(&self.digest);
        }
    }
}

#[cfg(test)]
mod tests;
