//! Redis beside something that does without it: whatever it does, nobody fails and nobody waits long. What the caches have
//! in common.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use redis::{FromRedisValue, Pipeline};
use tokio::runtime::Handle;
use tokio::sync::Semaphore;

use super::breaker::Breaker;
use super::link::Link;

/// How long work that nobody waits for may take.
const BEHIND: Duration = Duration::from_secs(1);
/// So much of it may be under way; further work is left undone.
const UNDER_WAY: usize = 64;

#[derive(Debug)]
pub(super) struct Aside {
    link: Link,
    breaker: Breaker,
    failures: AtomicU64,
    under_way: Arc<Semaphore>,
    runtime: Handle,
}

impl Aside {
    pub(super) fn new(link: Link, runtime: Handle) -> Self {
        let (breaker, failures) = Default::default();
        Self { link, breaker, failures, under_way: Arc::new(Semaphore::new(UNDER_WAY)), runtime }
    }

    /// Whether it is worth asking now.
    pub(super) fn allows(&self) -> bool {
        self.breaker.allows(Instant::now())
    }

    /// Calls that failed or took too long.
    pub(super) fn failures(&self) -> u64 {
        self.failures.load(Ordering::Relaxed)
    }

    /// The answer, if there is one within `patience`; the breaker and the counter learn of it.
    pub(super) async fn ask<T: FromRedisValue>(&self, commands: &Pipeline, patience: Duration) -> Option<T> {
        match self.link.ask(commands, patience, None).await {
            Ok(answer) => {
                self.breaker.succeeded();
                Some(answer)
            }
            Err(_) => {
                self.breaker.failed(Instant::now());
                self.failures.fetch_add(1, Ordering::Relaxed);
                None
            }
        }
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
