//! Who waits for new features: tells those who asked for an entity's prediction when another row, or another version, would
//! answer it.
//!
//! One task asks the store, one query for all entities of a set that anybody waits for, every `every`, and at once when rows
//! come in, or a version is promoted, through this server. It sees what a prediction would see, the limits on age and the memory of rows included. A
//! signal says that it is worth looking, not that anything is different: several that come before somebody looks are one.

use std::collections::{BTreeMap, HashMap};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serve_core::{ModelName, Value};
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
    /// Models of which another version may come to answer.
    models: HashMap<ModelName, Watching>,
    given: u64,
}

#[derive(Debug, Default)]
struct Watching {
    /// What the store, or the registry, said last.
    seen: Option<u64>,
    who: Vec<(u64, Arc<Signal>)>,
}

/// Waits as long as it is held.
#[derive(Debug)]
pub struct Watch {
    changes: Arc<Changes>,
    on: On,
    number: u64,
}

/// What somebody waits for news of.
#[derive(Debug)]
enum On {
    Row(FeatureSetName, Entity),
    Model(ModelName),
}

impl Drop for Watch {
    fn drop(&mut self) {
        let mut watched = self.changes.lock();
        match &self.on {
            On::Model(model) => leave(&mut watched.models, model, self.number),
            On::Row(set, entity) => {
                let Some(entities) = watched.sets.get_mut(set) else { return };
                leave(entities, entity, self.number);
                if entities.is_empty() {
                    watched.sets.remove(set);
                }
            }
        }
    }
}

fn leave<K: Hash + Eq>(all: &mut HashMap<K, Watching>, key: &K, number: u64) {
    if let Some(watching) = all.get_mut(key) {
        watching.who.retain(|(other, _)| *other != number);
        if watching.who.is_empty() {
            all.remove(key);
        }
    }
}

impl Watching {
    /// Rings for all, where this is another state than the last.
    fn saw(&mut self, state: u64) {
        if self.seen.replace(state) != Some(state) {
            self.ring();
        }
    }

    fn ring(&self) {
        self.who.iter().for_each(|(_, signal)| signal.ring());
    }
}

impl Changes {
    fn lock(&self) -> MutexGuard<'_, Watched> {
        // Nothing in between panics but an allocation.
        self.watched.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn watch(self: &Arc<Self>, on: On, signal: Arc<Signal>) -> Watch {
        let mut watched = self.lock();
        watched.given += 1;
        let number = watched.given;
        let watching = match &on {
            On::Model(model) => watched.models.entry(model.clone()).or_default(),
            On::Row(set, entity) => {
                watched.sets.entry(set.clone()).or_default().entry(entity.clone()).or_default()
            }
        };
        watching.who.push((number, signal));
        drop(watched);
        self.wake.notify_one();
        Watch { changes: Arc::clone(self), on, number }
    }

    /// Has everything be looked at soon.
    pub(crate) fn wake(&self) {
        self.wake.notify_one();
    }

    fn models(&self) -> Vec<ModelName> {
        self.lock().models.keys().cloned().collect()
    }

    /// Rings for whom another version may answer now.
    fn saw_model(&self, model: &ModelName, state: u64) {
        if let Some(watching) = self.lock().models.get_mut(model) {
            watching.saw(state);
        }
    }

    /// Rings for whom another version was made to answer. By the next look it may be the one that was seen last.
    pub(crate) fn ring_model(&self, model: &ModelName) {
        if let Some(watching) = self.lock().models.get(model) {
            watching.ring();
        }
    }

    fn entities(&self) -> Vec<(FeatureSetName, Vec<Entity>)> {
        let watched = self.lock();
        watched.sets.iter().map(|(set, entities)| (set.clone(), entities.keys().cloned().collect())).collect()
    }

    /// Rings for whom the store says something new about.
    fn saw(&self, set: &FeatureSetName, entity: &Entity, state: u64) {
        let mut watched = self.lock();
        let watching = watched.sets.get_mut(set).and_then(|entities| entities.get_mut(entity));
        if let Some(watching) = watching {
            watching.saw(state);
        }
    }

    fn ring(&self, set: &FeatureSetName, entity: &Entity) {
        let watched = self.lock();
        if let Some(watching) = watched.sets.get(set).and_then(|entities| entities.get(entity)) {
            watching.ring();
        }
    }
}

impl Service {
    /// Waits for new features of whom a request is about, under every set that its model takes them from, and for another
    /// version to answer. Nothing, where the request brings all that the model needs.
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
        if asks.is_empty() {
            return Ok(Vec::new());
        }
        let rows = asks.into_iter().map(|ask| On::Row(ask.set, ask.entity));
        let model = On::Model(deployment.manifest().name.clone());
        Ok(rows.chain([model]).map(|on| self.changes.watch(on, Arc::clone(signal))).collect())
    }

    /// Ready rows of a set have come in: who waits for them is told at once.
    pub fn features_arrived(&self) {
        self.changes.wake();
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
                service.look_at_models();
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

    /// What a model's aliases lead to, and how many versions there are: other numbers than the last mean that another version
    /// may answer.
    fn look_at_models(&self) {
        for name in self.changes.models() {
            let mut hasher = DefaultHasher::new();
            if let Some(model) = self.registry().model(name.as_str()) {
                model.versions.len().hash(&mut hasher);
                for (alias, pointing) in &model.pointing {
                    (alias, &pointing.serving).hash(&mut hasher);
                }
            }
            self.changes.saw_model(&name, hasher.finish());
        }
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
        let on = |entity: &Entity| On::Row(set.clone(), entity.clone());
        let watch = changes.watch(on(&entity), Arc::clone(&one));
        let _other = changes.watch(on(&other), Arc::clone(&two));
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
        let model: ModelName = "m".parse().expect("a name");
        let watch = changes.watch(On::Model(model.clone()), Arc::clone(&two));
        [5, 5, 6].into_iter().for_each(|state| changes.saw_model(&model, state));
        assert_eq!((changes.models(), two.take()), (vec![model.clone()], 2));
        // There and back between two looks.
        changes.ring_model(&model);
        changes.saw_model(&model, 6);
        assert_eq!(two.take(), 1);
        drop(watch);
        assert!(changes.models().is_empty());
    }
}
