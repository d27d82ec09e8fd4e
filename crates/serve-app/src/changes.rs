//! Who waits for new features: tells those who asked for an entity's prediction when another row would answer it.
//!
//! One task asks the store, one query for all entities of a set that anybody waits for, every `every`, and at once when rows
//! come in through this server. It sees what a prediction would see, the limits on age and the memory of rows included. A
//! signal says that it is worth looking, not that anything is different: several that come before somebody looks are one.

use std::collections::{BTreeMap, HashMap};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serve_core::Value;
use serve_features::{Entity, FeatureSetName, RawTable, RetrieveRequest, Retrieved, Unavailable};
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use crate::context::Context;
use crate::error::ServiceError;
use crate::predict::Answered;
use crate::request::PredictRequest;
use crate::service::Service;

/// The most entities of one query.
const AT_ONCE: usize = 1_000;
/// The shortest time between two queries.
const PAUSE: Duration = Duration::from_millis(10);

/// Told when it is worth looking again.
#[derive(Debug)]
pub struct Signal {
    rung: AtomicU64,
    bell: Arc<Notify>,
}

impl Signal {
    /// A signal that rings `bell`, which several may share.
    #[must_use]
    pub fn new(bell: Arc<Notify>) -> Arc<Self> {
        Arc::new(Self { rung: AtomicU64::new(0), bell })
    }

    /// How often it rang since this was last asked.
    pub fn take(&self) -> u64 {
        self.rung.swap(0, Ordering::Relaxed)
    }

    fn ring(&self) {
        self.rung.fetch_add(1, Ordering::Relaxed);
        self.bell.notify_one();
    }
}

/// Entities that somebody waits for.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    /// Held for look-ups only.
    watched: Mutex<Watched>,
    /// Rings when rows came in, or somebody began to wait.
    wake: Notify,
}

#[derive(Debug, Default)]
struct Watched {
    sets: BTreeMap<FeatureSetName, HashMap<Entity, Watching>>,
    given: u64,
}

#[derive(Debug, Default)]
struct Watching {
    /// What the store said last.
    seen: Option<u64>,
    who: Vec<(u64, Arc<Signal>)>,
}

/// Waits as long as it is held.
#[derive(Debug)]
pub struct Watch {
    changes: Arc<Changes>,
    set: FeatureSetName,
    entity: Entity,
    number: u64,
}

impl Drop for Watch {
    fn drop(&mut self) {
        let mut watched = self.changes.lock();
        let Some(entities) = watched.sets.get_mut(&self.set) else { return };
        if let Some(watching) = entities.get_mut(&self.entity) {
            watching.who.retain(|(number, _)| *number != self.number);
            if watching.who.is_empty() {
                entities.remove(&self.entity);
            }
        }
        if entities.is_empty() {
            watched.sets.remove(&self.set);
        }
    }
}

impl Changes {
    fn lock(&self) -> MutexGuard<'_, Watched> {
        // Nothing in between panics but an allocation.
        self.watched.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn watch(self: &Arc<Self>, set: FeatureSetName, entity: Entity, signal: Arc<Signal>) -> Watch {
        let mut watched = self.lock();
        watched.given += 1;
        let number = watched.given;
        let entities = watched.sets.entry(set.clone()).or_default();
        entities.entry(entity.clone()).or_default().who.push((number, signal));
        drop(watched);
        self.wake.notify_one();
        Watch { changes: Arc::clone(self), set, entity, number }
    }

    fn entities(&self) -> Vec<(FeatureSetName, Vec<Entity>)> {
        let watched = self.lock();
        watched.sets.iter().map(|(set, entities)| (set.clone(), entities.keys().cloned().collect())).collect()
    }

    /// Rings for whom the store says something new about.
    fn saw(&self, set: &FeatureSetName, entity: &Entity, state: u64) {
        let mut watched = self.lock();
        let watching = watched.sets.get_mut(set).and_then(|entities| entities.get_mut(entity));
        let Some(watching) = watching else { return };
        if watching.seen.replace(state) != Some(state) {
            watching.who.iter().for_each(|(_, signal)| signal.ring());
        }
    }

    fn ring(&self, set: &FeatureSetName, entity: &Entity) {
        let watched = self.lock();
        if let Some(watching) = watched.sets.get(set).and_then(|entities| entities.get(entity)) {
            watching.who.iter().for_each(|(_, signal)| signal.ring());
        }
    }
}

impl Service {
    /// Waits for new features of whom a request is about, under every set that its model takes them from. Nothing, where the
    /// request brings all that the model needs.
    ///
    /// # Errors
    /// As for a prediction that cannot be asked for.
    pub async fn watch(
        &self,
        context: &Context,
        request: &PredictRequest<'_>,
        signal: &Arc<Signal>,
    ) -> Result<Vec<Watch>, ServiceError> {
        let deployment = self.deployment(context, &request.model).await?;
        let asks = self.wanted(&deployment, request)?;
        let watch = |ask: crate::gather::Ask| self.changes.watch(ask.set, ask.entity, Arc::clone(signal));
        Ok(asks.into_iter().map(watch).collect())
    }

    /// Ready rows of a set have come in: who waits for them is told at once.
    pub fn features_arrived(&self) {
        self.changes.wake.notify_one();
    }

    /// Raw rows have come in, from which features are computed.
    pub(crate) fn raw_arrived<'e>(&self, table: &RawTable, entities: impl IntoIterator<Item = &'e Entity>) {
        let entities: Vec<&Entity> = entities.into_iter().collect();
        let sets = self.retriever().declarations().sets().iter();
        for set in sets.filter(|set| set.sources().iter().any(|source| source.table == *table)) {
            entities.iter().for_each(|entity| self.changes.ring(set.name(), entity));
        }
    }

    /// Asks the store for what somebody waits for, every so often and when rows come in, until the task is aborted. While
    /// nobody waits, nothing is asked.
    pub fn follow_features(self: &Arc<Self>, every: Duration) -> JoinHandle<()> {
        let service = Arc::clone(self);
        tokio::spawn(async move {
            loop {
                for (set, entities) in service.changes.entities() {
                    for some in entities.chunks(AT_ONCE) {
                        service.look(&set, some).await;
                    }
                }
                // Rows that come one by one are looked at together.
                tokio::time::sleep(PAUSE).await;
                let woken = service.changes.wake.notified();
                if service.changes.lock().sets.is_empty() {
                    woken.await;
                } else {
                    // Woken or not, it is time to look.
                    let _ = tokio::time::timeout(every, woken).await;
                }
            }
        })
    }

    async fn look(&self, set: &FeatureSetName, entities: &[Entity]) {
        let request = RetrieveRequest::cached(set.clone(), entities.iter().cloned());
        match self.retriever().retrieve(request).await {
            Ok(rows) => entities
                .iter()
                .zip(rows)
                .for_each(|(entity, row)| self.changes.saw(set, entity, self.state(row.as_ref()))),
            Err(error) => {
                let state = self.state(Err(&error));
                entities.iter().for_each(|entity| self.changes.saw(set, entity, state));
            }
        }
    }

    /// A number that is another one when a row is; of why there is none only the kind, since ages grow all the time.
    fn state(&self, row: Result<&Retrieved, &Unavailable>) -> u64 {
        let mut hasher = DefaultHasher::new();
        match row {
            Ok(row) => content(row, &mut hasher),
            Err(error) => self.unavailable(error).code.hash(&mut hasher),
        }
        hasher.finish()
    }
}

/// A number that is another one when a prediction was made from other rows or by another version.
#[must_use]
pub fn made_from(answered: &Answered) -> u64 {
    let mut hasher = DefaultHasher::new();
    answered.deployment.digest().hash(&mut hasher);
    answered.gathered.fetched.iter().for_each(|fetched| content(&fetched.retrieved, &mut hasher));
    hasher.finish()
}

fn content(retrieved: &Retrieved, hasher: &mut DefaultHasher) {
    retrieved.row.timestamp().hash(hasher);
    retrieved.degraded.is_some().hash(hasher);
    for (name, value) in retrieved.row.features() {
        name.hash(hasher);
        match value {
            Value::Missing | Value::Other(_) => 0_u8.hash(hasher),
            Value::Number(x) => x.to_bits().hash(hasher),
            Value::Bool(x) => x.hash(hasher),
            Value::Text(text) => text.hash(hasher),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_waits_is_told_of_what_is_new_and_of_nothing_else() {
        let changes = Arc::new(Changes::default());
        let (set, entity): (FeatureSetName, Entity) =
            ("s".parse().expect("a set"), "BTC/USD".parse().expect("an entity"));
        let other: Entity = "ETH/USD".parse().expect("an entity");
        let (one, two) = (Signal::new(Arc::default()), Signal::new(Arc::default()));
        let watch = changes.watch(set.clone(), entity.clone(), Arc::clone(&one));
        let _other = changes.watch(set.clone(), other.clone(), Arc::clone(&two));
        for state in [1, 1, 2, 2] {
            changes.saw(&set, &entity, state);
        }
        assert_eq!((one.take(), one.take(), two.take()), (2, 0, 0));
        changes.ring(&set, &other);
        assert_eq!((one.take(), two.take()), (0, 1));
        drop(watch);
        changes.saw(&set, &entity, 3);
        assert_eq!(one.take(), 0);
        assert_eq!(changes.entities(), [(set, vec![other])]);
    }
}
