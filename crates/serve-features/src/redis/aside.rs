//! Redis beside something that does without it: whatever it does, nobody fails and nobody waits long. What the caches have
//! in common.

use std::future::Future;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use redis::{FromRedisValue, Pipeline, pipe};
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tracing::{info, warn};

use super::Failure;
use super::breaker::{Breaker, FAILURES};
use super::link::{Commands, Link};

/// How long work that nobody waits for may take.
const BEHIND: Duration = Duration::from_secs(1);
/// So much of it may be under way; further work is left undone.
const UNDER_WAY: usize = 64;

#[derive(Debug)]
pub(super) struct Aside {
    /// Of what, for people.
    what: &'static str,
    link: Link,
    breaker: Breaker,
    failures: AtomicU64,
    /// Since when there is no answer, and why; held to read and to write it.
    lost: Mutex<Option<(Instant, String)>>,
    under_way: Arc<Semaphore>,
    runtime: Handle,
}

impl Aside {
    pub(super) fn new(what: &'static str, link: Link, runtime: Handle) -> Self {
        let (breaker, failures, lost) = Default::default();
        let under_way = Arc::new(Semaphore::new(UNDER_WAY));
        Self { what, link, breaker, failures, lost, under_way, runtime }
    }

    /// Whether it is worth asking now.
    pub(super) fn allows(&self) -> bool {
        self.breaker.allows(Instant::now())
    }

    /// Whether Redis failed so often in a row that it is left alone.
    pub(super) fn is_lost(&self) -> bool {
        self.breaker.is_open()
    }

    /// Calls that failed or took too long.
    pub(super) fn failures(&self) -> u64 {
        self.failures.load(Ordering::Relaxed)
    }

    /// The answer, if there is one within `patience`; the breaker and the counter learn of it.
    pub(super) async fn ask<T: FromRedisValue>(
        &self,
        commands: &impl Commands,
        patience: Duration,
    ) -> Option<T> {
        match self.link.ask(commands, patience, None).await {
            Ok(answer) => {
                if self.breaker.succeeded() {
                    self.found();
                }
                Some(answer)
            }
            Err(failure) => {
                self.failures.fetch_add(1, Ordering::Relaxed);
                let now = Instant::now();
                if self.breaker.failed(now) {
                    self.lose(&failure, now);
                }
                None
            }
        }
    }

    /// Why Redis is left alone, where it is. It is asked for a sign of life first, unless it is too early for that, as
    /// often as it may fail.
    pub(super) async fn trouble(&self, patience: Duration) -> Option<String> {
        for _ in 0..FAILURES {
            if !self.allows() || self.ask::<()>(pipe().cmd("PING").ignore(), patience).await.is_some() {
                break;
            }
        }
        let lost = self.lost.lock().unwrap_or_else(PoisonError::into_inner);
        lost.as_ref().filter(|_| self.breaker.is_open()).map(|(_, why)| why.clone())
    }

    /// Told once, and not with every request that goes without.
    fn lose(&self, failure: &Failure, now: Instant) {
        let (address, error) = (self.link.address(), failure.to_string());
        warn!(redis = address, error, "the {} has lost its Redis, and goes on without", self.what);
        *self.lost.lock().unwrap_or_else(PoisonError::into_inner) = Some((now, error));
    }

    fn found(&self) {
        let lost = self.lost.lock().unwrap_or_else(PoisonError::into_inner).take();
        let seconds = lost.map(|(since, _)| since.elapsed().as_secs_f64());
        info!(redis = self.link.address(), seconds, "the {} has its Redis again", self.what);
    }

    /// Commands whose answers nobody waits for.
    pub(super) async fn tell(&self, commands: &Pipeline) {
        let _told = self.ask::<()>(commands, BEHIND).await;
    }

    /// Work that nobody waits for, if Redis is well and there is not too much of it already.
    pub(super) fn behind(&self, work: impl Future<Output = ()> + Send + 'static) {
        if !self.allows() {
            return;
        }
        if let Ok(permit) = Arc::clone(&self.under_way).try_acquire_owned() {
            self.runtime.spawn(async move {
                work.await;
                drop(permit);
            });
        }
    }
}

/// A lifetime as Redis takes it.
pub(super) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX).clamp(1, i64::MAX.cast_unsigned() / 4)
}
