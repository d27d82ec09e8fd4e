//! Who may go on, who waits and who is refused when more is asked than can be done. A permit is for the work on one request
//! (features, inference and the writing of its answer), taken once the request is read and its model is known, and held by
//! its [`Context`] until that is dropped. Adapters do nothing for it: the service takes permits itself, in
//! [`Service::predict`](crate::Service::predict) and its siblings.
//!
//! Permits are counted in all and for each model, so that one slow model leaves something for the others; see `gate`.
//! Dynamic batching would stand between a permit and the inference: `workers` is its place.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::Serialize;
use serve_core::ModelName;
use serve_core::short::ShortMap;
use serve_registry::Slot;

use crate::context::{Context, Stage};
use crate::error::{Code, ServiceError};
use gate::{Entry, Full, Gate};
use share::{Share, Shares};

pub use config::{LimitsConfig, ShareConfig};

mod config;
pub(crate) mod gate;
#[cfg(test)]
mod gate_tests;
mod primitives;
pub(crate) mod share;

/// When whoever was refused may come again. Most of what is under way has ended by then, and what has not would be waited
/// for in vain.
const COME_AGAIN: Duration = Duration::from_secs(1);

/// Permits for predictions, by one configuration.
#[derive(Debug)]
pub struct Admission {
    gate: Arc<Gate>,
    /// What each model that was asked may take.
    shares: Slot<ShortMap<ModelName, Arc<Share>>>,
    /// Invariant: held while `shares` is replaced or its bounds are set, so that both have one writer.
    limits: Mutex<LimitsConfig>,
    batch_rows: AtomicUsize,
    expired: AtomicU64,
}

/// How much is under way, waits and was refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Load {
    /// Requests for predictions under way.
    pub in_flight: u64,
    /// How many may be.
    pub max_in_flight: u32,
    /// Requests that wait.
    pub queued: u64,
    /// How many may.
    pub queue: u32,
    /// Requests that were refused because there was no room, since the start.
    pub refused_total: u64,
    /// Requests whose deadline passed before there was room for them, since the start.
    pub expired_total: u64,
    /// Requests that left the queue before it was their turn, because they expired or their client hung up, since the
    /// start.
    pub left_queue_total: u64,
    /// Rows that models have computed, since the start.
    pub rows_total: u64,
    /// Models that were asked, in order of their names.
    pub models: Vec<ModelLoad>,
}

/// The same for one model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ModelLoad {
    /// The model.
    pub name: ModelName,
    /// Requests for it under way.
    pub in_flight: u64,
    /// How many may be.
    pub max_in_flight: u32,
    /// Requests that wait for it.
    pub queued: usize,
    /// How many may.
    pub queue: u32,
    /// Requests that were refused because this model's share was full, since the start.
    pub refused_total: u64,
}

impl Load {
    /// The same without models of which nothing is under way, waits or was refused.
    #[must_use]
    pub fn without_idle(mut self) -> Self {
        self.models.retain(|model| (model.in_flight, model.queued, model.refused_total) != (0, 0, 0));
        self
    }
}

impl Admission {
    /// Permits by these limits.
    #[must_use]
    pub fn new(limits: LimitsConfig) -> Self {
        Self {
            gate: Arc::new(Gate::new(limits.whole())),
            batch_rows: AtomicUsize::new(limits.batch_rows),
            shares: Slot::new(ShortMap::default()),
            limits: Mutex::new(limits),
            expired: AtomicU64::new(0),
        }
    }

    /// Other limits from now on. What is under way or waits beyond them goes on; `threads` stays as it is.
    pub fn reconfigure(&self, limits: LimitsConfig) {
        let mut held = self.limits.lock().unwrap_or_else(PoisonError::into_inner);
        for (name, share) in &*self.shares.load() {
            share.set_bounds(limits.share(name));
        }
        self.batch_rows.store(limits.batch_rows, Ordering::Relaxed);
        self.gate.set_bounds(limits.whole());
        *held = limits;
    }

    /// Rows of one batch, at most.
    #[must_use]
    pub fn batch_rows(&self) -> usize {
        self.batch_rows.load(Ordering::Relaxed)
    }

    /// How much is under way, waits and was refused.
    #[must_use]
    pub fn load(&self) -> Load {
        let shares = self.shares.load();
        let model = |(name, share): (&ModelName, &Arc<Share>)| {
            let bounds = share.bounds();
            ModelLoad {
                name: name.clone(),
                in_flight: share.taken(),
                max_in_flight: bounds.most,
                queued: self.gate.waiting_for(share),
                queue: bounds.queue,
                refused_total: share.refused(),
            }
        };
        let mut models: Vec<_> = shares.iter().map(model).collect();
        models.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        let bounds = self.gate.bounds();
        Load {
            in_flight: self.gate.taken(),
            max_in_flight: bounds.most,
            queued: self.gate.waiting(),
            queue: bounds.queue,
            refused_total: self.gate.refused(),
            expired_total: self.expired.load(Ordering::Relaxed),
            left_queue_total: self.gate.left(),
            rows_total: 0,
            models,
        }
    }

    /// Takes a permit for work on these models, waited for where that is allowed, which the context holds from then on in the
    /// place of the one that it held: nobody waits for a permit with another in hand. Whoever drops the future leaves the
    /// queue.
    pub(crate) async fn admit(&self, context: &Context, models: &[&ModelName]) -> Result<(), ServiceError> {
        context.check_deadline_at(context.lately()).inspect_err(|_| self.expire())?;
        context.hold(None);
        let Some(shares) = self.shares(models) else { return Ok(()) };
        let permit = match self.gate.enter(shares, context.priority().0) {
            Ok(Entry::Admitted(permit)) => permit,
            Ok(Entry::Waits(place)) => {
                let permit = Box::pin(context.timed_async(Stage::Queue, context.within(place))).await;
                permit.inspect_err(|_| self.expire())?
            }
            Err(full) => return Err(self.overloaded(&full, models)),
        };
        context.hold(Some(permit));
        Ok(())
    }

    fn expire(&self) {
        self.expired.fetch_add(1, Ordering::Relaxed);
    }

    /// Each model's share once; none where there are no models.
    fn shares(&self, models: &[&ModelName]) -> Option<Shares> {
        match models {
            [] => None,
            [model] => Some(Shares::One(self.share(model))),
            several => {
                // In one order, so that no two requests wait for each other.
                let mut names = several.to_vec();
                names.sort_unstable();
                names.dedup();
                Some(match &names[..] {
                    [model] => Shares::One(self.share(model)),
                    names => Shares::Several(names.iter().map(|name| self.share(name)).collect()),
                })
            }
        }
    }

    fn share(&self, model: &ModelName) -> Arc<Share> {
        let known = self.shares.with(|shares| shares.get(model).cloned());
        known.unwrap_or_else(|| self.add_share(model))
    }

    /// The share of a model that is asked for the first time.
    fn add_share(&self, model: &ModelName) -> Arc<Share> {
        let limits = self.limits.lock().unwrap_or_else(PoisonError::into_inner);
        let mut shares = ShortMap::clone(&self.shares.load());
        let (id, bounds) = (shares.len() as u64, limits.share(model));
        let new = || Arc::new(Share::new(id, bounds));
        let share = Arc::clone(shares.entry(model.clone()).or_insert_with(new));
        self.shares.store(shares);
        share
    }

    fn overloaded(&self, full: &Full, models: &[&ModelName]) -> ServiceError {
        let message = match full {
            Full::Whole(bounds) => format!(
                "the server is overloaded: {} requests are under way and {} wait (limits.max_in_flight, limits.queue)",
                bounds.most, bounds.queue
            ),
            Full::Share(share) => {
                let is = |name: &&&ModelName| Arc::ptr_eq(&self.share(name), share);
                let name = models.iter().find(is).map_or("", |name| name.as_str());
                let bounds = share.bounds();
                format!(
                    "model {name:?} is overloaded: {} requests for it are under way and {} wait (limits.per_model, \
                     limits.models)",
                    bounds.most, bounds.queue
                )
            }
        };
        ServiceError { retry_after: Some(COME_AGAIN), ..ServiceError::new(Code::Overloaded, message) }
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;
    use std::time::Instant;

    use futures_util::FutureExt;

    use super::*;
    use crate::context::Priority;

    fn limits(most: u32, queue: u32) -> LimitsConfig {
        let max_in_flight = NonZeroU32::new(most).expect("is not 0");
        LimitsConfig { max_in_flight, queue, ..LimitsConfig::default() }
    }

    fn name(name: &str) -> ModelName {
        name.parse().expect("a name")
    }

    #[tokio::test]
    async fn expired_requests_take_no_place() {
        let (admission, m) = (Admission::new(limits(1, 5)), name("m"));
        let past = Context::internal().until(Instant::now());
        let error = admission.admit(&past, &[&m]).await.expect_err("has passed");
        assert_eq!(error.code, Code::DeadlineExceeded);
        let held = Context::internal();
        admission.admit(&held, &[&m]).await.expect("there is room");
        let soon = Context::internal().until(Instant::now() + Duration::from_millis(5));
        let error = admission.admit(&soon, &[&m]).await.expect_err("nobody goes");
        assert_eq!(error.code, Code::DeadlineExceeded);
        assert!(soon.spent(Stage::Queue) >= Duration::from_millis(5));
        let load = admission.load();
        assert_eq!((load.in_flight, load.queued, load.expired_total, load.left_queue_total), (1, 0, 2, 1));
        drop(held);
        assert_eq!(admission.load().in_flight, 0);
    }

    #[tokio::test]
    async fn who_is_refused_is_told_what_is_full() {
        let (admission, m, other) = (Admission::new(limits(4, 0)), name("m"), name("other"));
        let mut held = Vec::new();
        for _ in 0..3 {
            held.push(Context::internal());
            admission.admit(&held[held.len() - 1], &[&m]).await.expect("there is room");
        }
        let context = Context::internal();
        let error = admission.admit(&context, &[&m]).await.expect_err("its share is full");
        assert_eq!((error.code, error.retry_after), (Code::Overloaded, Some(COME_AGAIN)));
        assert!(error.message.starts_with("the server is overloaded: 4 requests"), "{}", error.message);
        let both = [&other, &m, &other];
        assert!(admission.admit(&context, &both).await.is_err());
        admission.admit(&context, &[&other]).await.expect("others have room");
        held.push(context);
        admission.reconfigure(limits(16, 4));
        held.push(Context::internal());
        admission.admit(&held[held.len() - 1], &both).await.expect("there is room now");
        let told = |load: Load| {
            load.without_idle().models.into_iter().map(|m| (m.name, m.in_flight)).collect::<Vec<_>>()
        };
        assert_eq!(told(admission.load()), [(m.clone(), 4), (other.clone(), 2)]);
        drop(held);
        let load = admission.load();
        assert_eq!((load.in_flight, load.refused_total, load.models.len()), (0, 2, 2));
        assert!(load.without_idle().models.is_empty(), "the server was full, no share of it was");
    }

    #[tokio::test]
    async fn a_request_holds_one_permit_until_it_ends() {
        let (admission, m, other) = (Admission::new(limits(1, 5)), name("m"), name("other"));
        let context = Context::internal();
        admission.admit(&context, &[&m]).await.expect("there is room");
        // The next part of the same request does not wait for the one before.
        let next = admission.admit(&context, &[&other]).now_or_never();
        next.expect("nothing is waited for").expect("there is room");
        let load = admission.load();
        assert_eq!((load.in_flight, load.without_idle().models[0].name.as_str()), (1, "other"));
        drop(context);
        assert_eq!(admission.load().in_flight, 0);
    }

    #[tokio::test]
    async fn a_request_goes_by_its_priority() {
        let (admission, m) = (Arc::new(Admission::new(limits(1, 5))), name("m"));
        let held = Context::internal();
        admission.admit(&held, &[&m]).await.expect("there is room");
        let (usual, urgent) = (Context::internal(), Context::internal());
        urgent.set_priority(Priority(1));
        let models = [&m];
        let mut later = std::pin::pin!(admission.admit(&usual, &models));
        assert!(later.as_mut().now_or_never().is_none());
        let mut sooner = std::pin::pin!(admission.admit(&urgent, &models));
        assert!(sooner.as_mut().now_or_never().is_none());
        drop(held);
        assert!(later.as_mut().now_or_never().is_none());
        assert!(sooner.as_mut().now_or_never().is_some());
    }
}
