//! What readers see, and how it is replaced: one pointer store for a model, or for the list of them, by one writer at a time.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use serve_core::short::ShortMap;
use serve_core::{Alias, ModelName};

use super::Shared;
use crate::cache::Key;
use crate::deployment::{Deployment, RefusedError};
use crate::lifecycle::{Refusal, VersionState};
use crate::slot::Slot;
use crate::snapshot::ModelSnapshot;
use crate::storage::Fingerprint;

/// Model names by feature set, then by model type.
pub(super) type Index = BTreeMap<String, BTreeMap<String, Vec<ModelName>>>;

pub(super) type Slots = ShortMap<ModelName, Arc<Slot<ModelSnapshot>>>;

#[derive(Debug, Default)]
pub(super) struct Catalog {
    pub(super) models: Slots,
    pub(super) index: Index,
}

/// What only a writer touches.
#[derive(Debug, Default)]
pub(super) struct Writer {
    /// What a refused version looked like, so that polling tries it again only after it changed.
    pub(super) seen_refused: HashMap<Key, Fingerprint>,
    /// The slots of all models that there ever were, so that a handle sees its model come back.
    pub(super) slots: Slots,
}

impl Shared {
    /// Publishes a snapshot with one pointer store, and hands the deployments that it does not hold any more to the
    /// reaper. A model that is new comes into the catalog.
    pub(super) fn publish_snapshot(&self, writer: &mut Writer, snapshot: ModelSnapshot) {
        let name = snapshot.name.clone();
        let snapshot = snapshot.sealed();
        let kept: Vec<_> = snapshot.deployments.values().cloned().collect();
        let known = self.slot(&name);
        let empty = || Arc::new(Slot::new(ModelSnapshot::empty(name.clone())));
        let slot = known
            .clone()
            .unwrap_or_else(|| Arc::clone(writer.slots.entry(name.clone()).or_insert_with(empty)));
        let old = slot.store(snapshot);
        self.retire(&old, &kept);
        if known.is_none() {
            let mut models = self.catalog.with(|catalog| catalog.models.clone());
            models.insert(name, slot);
            self.publish_catalog(models);
        }
    }

    pub(super) fn retire(&self, old: &ModelSnapshot, kept: &[Arc<Deployment>]) {
        for (version, deployment) in &old.deployments {
            if !kept.iter().any(|other| Arc::ptr_eq(other, deployment)) {
                let key = (old.name.clone(), version.clone());
                self.cache.remove(&key);
                self.lifecycles.enter(&key, VersionState::Draining);
                let lifecycles = Arc::clone(&self.lifecycles);
                self.reaper.retire_then(Arc::clone(deployment), move || lifecycles.retired(&key));
            }
        }
    }

    /// Makes the index anew and publishes it with the list of models.
    pub(super) fn publish_catalog(&self, models: Slots) {
        let mut index = Index::new();
        for (name, slot) in &models {
            slot.with(|snapshot| {
                let Some(summary) = snapshot.summary() else { return };
                let set = summary.feature_set.clone().unwrap_or_default();
                let kind = summary.model_type.clone().unwrap_or_default();
                index.entry(set).or_default().entry(kind).or_default().push(name.clone());
            });
        }
        self.catalog.store(Catalog { models, index });
    }

    /// Keeps a refusal, so that a version is proven again only when asked to or after its files changed, and sends the
    /// aliases that lead to it elsewhere.
    pub(super) fn refuse(&self, error: &RefusedError, fingerprint: Fingerprint) {
        let key = (error.name.clone(), error.version.clone());
        let refusal = Refusal { reason: Arc::clone(&error.reason), at: jiff::Timestamp::now() };
        self.lifecycles.fail(&key, refusal.clone());
        let mut writer = self.writer();
        let Some(current) = self.snapshot(&error.name) else { return };
        writer.seen_refused.insert(key, fingerprint);
        let mut next = (*current).clone();
        next.refused.insert(error.version.clone(), refusal);
        for alias in current.pointing.keys() {
            let leads_here = |alias: &Alias| current.pointing[alias].serving.as_ref() == Some(&error.version);
            if leads_here(alias) {
                let elsewhere = next.fallback(alias, &next.aliases);
                if let Some(pointing) = next.pointing.get_mut(alias) {
                    pointing.serving = elsewhere;
                }
            }
        }
        self.publish_snapshot(&mut writer, next);
    }
}
