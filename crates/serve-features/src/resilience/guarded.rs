//! Any store, kept from hurting those who ask it. A call ends by its deadline, whether the store answers or not; what
//! failed for a moment is asked again where that is safe; a store that keeps failing is left alone; and only so many calls
//! are under way at once.
//!
//! Reads are retried, writes are not: whether a write that failed was done is not known. A call that its caller's own
//! deadline cut off tells of the store only where it had half of the store's time, so that a client's impatience cannot
//! open the breaker. Calls begin at the first poll, and need tokio's timers.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serve_core::words::with_causes;
use tokio::time::{Instant, sleep, timeout_at};

use super::breaker::{Breaker, BreakerHealth, BreakerState};
use super::bulkhead::Bulkhead;
use super::retry::{self, RetryBudget};
use crate::config::FeaturesConfig;
use crate::name::FeatureSetName;
use crate::row::FeatureRow;
use crate::store::{
    BoxFuture, FeatureStore, FetchRequest, HistoryRequest, RawStore, RetrieveError, SampledRow,
    SharedCacheCounters, Slot, StoreError, WriteError,
};

use failure::{Failure, Tells};

mod failure;
mod raw;

/// How a store does.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct StoreHealth {
    /// The store's kind.
    pub kind: &'static str,
    /// Whether the last call that told anything was answered and calls pass; a store that was never asked counts as
    /// reachable.
    pub reachable: bool,
    /// The circuit breaker.
    pub breaker: BreakerHealth,
    /// Calls under way.
    pub under_way: usize,
    /// Calls that wait for one of them to end.
    pub waiting: usize,
}

/// What happened to a store's calls since the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct StoreCounters {
    /// Calls that were let through, retries not counted.
    pub calls: u64,
    /// Those that failed in the end, time-outs included.
    pub failures: u64,
    /// Those that were not answered in time.
    pub timeouts: u64,
    /// Second and further attempts.
    pub retries: u64,
    /// Calls refused because too many were under way.
    pub refused_busy: u64,
    /// Calls refused because the breaker was open.
    pub refused_open: u64,
}

#[derive(Default)]
struct Counters {
    calls: AtomicU64,
    failures: AtomicU64,
    timeouts: AtomicU64,
    retries: AtomicU64,
    refused_busy: AtomicU64,
    refused_open: AtomicU64,
}

fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

/// How long a call may take, and how often it may be tried.
#[derive(Clone, Copy)]
struct Bounds {
    timeout: Duration,
    deadline: Option<std::time::Instant>,
    attempts: u32,
}

/// A store behind time-outs, retries, a circuit breaker and a bound on its calls.
pub struct Guarded {
    store: Arc<dyn FeatureStore>,
    kind: &'static str,
    /// For reading rows.
    timeout: Duration,
    /// For reading histories and raw rows.
    slow_timeout: Duration,
    write_timeout: Duration,
    attempts: u32,
    backoff: Duration,
    breaker: Breaker,
    budget: RetryBudget,
    bulkhead: Bulkhead,
    counters: Counters,
}

impl fmt::Debug for Guarded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guarded").field("store", &self.store).finish_non_exhaustive()
    }
}

impl Guarded {
    /// A store within the bounds of the configuration.
    #[must_use]
    pub fn new(store: Arc<dyn FeatureStore>, config: &FeaturesConfig) -> Self {
        Self {
            kind: store.kind(),
            store,
            timeout: config.timeout,
            slow_timeout: config.on_demand.timeout.max(config.timeout),
            write_timeout: config.ingest.timeout,
            attempts: config.retry.attempts.max(1),
            backoff: config.retry.backoff,
            breaker: Breaker::new(config.breaker, Instant::now().into_std(), retry::draw),
            budget: RetryBudget::new(),
            bulkhead: Bulkhead::new(config.connections, config.queue),
            counters: Counters::default(),
        }
    }

    /// How the store does, as far as its calls have told; it is not asked.
    #[must_use]
    pub fn health(&self) -> StoreHealth {
        let breaker = self.breaker.health(Instant::now().into_std());
        StoreHealth {
            kind: self.kind,
            reachable: breaker.state != BreakerState::Open && breaker.last_failed != Some(true),
            breaker,
            under_way: self.bulkhead.under_way(),
            waiting: self.bulkhead.waiting(),
        }
    }

    /// What happened to the store's calls.
    #[must_use]
    pub fn counters(&self) -> StoreCounters {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        StoreCounters {
            calls: read(&self.counters.calls),
            failures: read(&self.counters.failures),
            timeouts: read(&self.counters.timeouts),
            retries: read(&self.counters.retries),
            refused_busy: read(&self.counters.refused_busy),
            refused_open: read(&self.counters.refused_open),
        }
    }

    fn reading(&self, deadline: Option<std::time::Instant>) -> Bounds {
        Bounds { timeout: self.timeout, deadline, attempts: self.attempts }
    }

    fn reading_slowly(&self, deadline: Option<std::time::Instant>) -> Bounds {
        Bounds { timeout: self.slow_timeout, deadline, attempts: self.attempts }
    }

    fn writing(&self) -> Bounds {
        Bounds { timeout: self.write_timeout, deadline: None, attempts: 1 }
    }

    /// One call. `ask` is given the moment by which it must have ended.
    async fn call<'a, T, E: Failure>(
        &'a self,
        bounds: Bounds,
        ask: impl Fn(std::time::Instant) -> BoxFuture<'a, Result<T, E>> + Send,
    ) -> Result<T, E> {
        let latest = Instant::now() + bounds.timeout;
        let end = bounds.deadline.map_or(latest, |deadline| latest.min(Instant::from_std(deadline)));
        if let Some(retry_after) = self.breaker.refuses(Instant::now().into_std()) {
            return Err(self.refused_open(retry_after).into());
        }
        let _place = self.bulkhead.enter(end).await.map_err(|full| {
            count(&self.counters.refused_busy);
            StoreError::Busy { store: self.kind, waiting: full.waiting }
        })?;
        self.budget.pay_in();
        count(&self.counters.calls);
        let mut attempt = 1;
        loop {
            let error = match self.attempt(bounds, end, &ask).await {
                Ok(value) => return Ok(value),
                Err(error) => error,
            };
            let pause = retry::pause(self.backoff, attempt, retry::draw());
            let again = attempt < bounds.attempts && error.may_be_tried_again();
            if !again || Instant::now() + pause >= end || !self.budget.draw() {
                count(&self.counters.failures);
                return Err(error);
            }
            count(&self.counters.retries);
            sleep(pause).await;
            attempt += 1;
        }
    }

    async fn attempt<'a, T, E: Failure>(
        &'a self,
        bounds: Bounds,
        end: Instant,
        ask: &(impl Fn(std::time::Instant) -> BoxFuture<'a, Result<T, E>> + Send),
    ) -> Result<T, E> {
        let begun = Instant::now();
        let permit = self.breaker.acquire(begun.into_std()).map_err(|after| self.refused_open(after))?;
        let answer = timeout_at(end, ask(end.into_std())).await;
        let now = Instant::now();
        let had_time = (now - begun) * 2 >= bounds.timeout;
        let error = match answer {
            Ok(Ok(value)) => {
                permit.answered(now.into_std());
                return Ok(value);
            }
            Ok(Err(error)) => error,
            Err(_) => StoreError::TimedOut { store: self.kind, waited: now - begun }.into(),
        };
        let tells = error.tells();
        if tells == Tells::Late {
            count(&self.counters.timeouts);
        }
        match tells {
            Tells::Answered => permit.answered(now.into_std()),
            Tells::Failed => permit.failed(now.into_std(), with_causes(&error)),
            Tells::Late if had_time => permit.failed(now.into_std(), with_causes(&error)),
            Tells::Late | Tells::Nothing => {
                if error.is_for_good() {
                    self.breaker.noticed(now.into_std(), with_causes(&error));
                }
                drop(permit);
            }
        }
        Err(error)
    }

    fn refused_open(&self, retry_after: Duration) -> StoreError {
        count(&self.counters.refused_open);
        StoreError::BreakerOpen { store: self.kind, retry_after }
    }
}

impl FeatureStore for Guarded {
    fn kind(&self) -> &'static str {
        self.kind
    }

    fn fetch(&self, request: FetchRequest) -> BoxFuture<'_, Result<Vec<Slot>, RetrieveError>> {
        Box::pin(async move {
            let ask = |end| self.store.fetch(FetchRequest { deadline: Some(end), ..request.clone() });
            match self.call(self.reading(request.deadline), ask).await {
                Err(error @ RetrieveError::Store(StoreError::BreakerOpen { .. })) => {
                    let near = self.store.near(request).await.into_iter();
                    let known: Option<Vec<Slot>> = near.map(|row| row.map(|row| Ok(Some(row)))).collect();
                    known.ok_or(error)
                }
                answer => answer,
            }
        })
    }

    fn write(&self, set: FeatureSetName, rows: Vec<FeatureRow>) -> BoxFuture<'_, Result<(), WriteError>> {
        Box::pin(self.call(self.writing(), move |_| self.store.write(set.clone(), rows.clone())))
    }

    fn sample(
        &self,
        set: FeatureSetName,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<SampledRow>, RetrieveError>> {
        Box::pin(self.call(self.reading_slowly(None), move |_| self.store.sample(set.clone(), limit)))
    }

    fn history(&self, request: HistoryRequest) -> BoxFuture<'_, Result<Vec<FeatureRow>, RetrieveError>> {
        Box::pin(self.call(self.reading_slowly(None), move |_| self.store.history(request.clone())))
    }

    fn shared_cache(&self) -> Option<SharedCacheCounters> {
        self.store.shared_cache()
    }

    fn raw(&self) -> Option<&dyn RawStore> {
        self.store.raw().is_some().then_some(self)
    }

    fn ping(&self) -> BoxFuture<'_, Result<(), RetrieveError>> {
        Box::pin(self.call(Bounds { attempts: 1, ..self.reading(None) }, move |_| self.store.ping()))
    }
}

#[cfg(test)]
mod tests;
