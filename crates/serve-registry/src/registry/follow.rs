//! Following the storage: new models and versions are noticed, aliases followed, what they lead to is loaded and proven,
//! and only then served. A model that nobody asked for costs its summary.
//!
//! Where an alias serves, its new target is loaded and proven before the alias is followed. Where it serves nothing yet,
//! it is followed at once, and its target is loaded when it is preloaded or asked for.

use std::collections::HashSet;
use std::sync::{Arc, MutexGuard, PoisonError};

use serve_core::words::with_causes;
use serve_core::{Alias, ModelName};

use super::load::Swapping;
use super::outcome::{ReloadOutcome, ReloadStatus, outcome};
use super::reading::Reading;
use super::{DeploymentError, Registry, Shared};
use crate::aliases::Aliases;
use crate::slot::Slot;
use crate::snapshot::ModelSnapshot;
use crate::storage::StorageError;

/// How the storage is followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum How {
    /// At the start: everything is read, and what is preloaded is loaded in an order of its own.
    Open,
    /// Because somebody said so: refused versions are tried again.
    Reload,
    /// Every few seconds: what did not change is left alone.
    Poll,
}

impl Registry {
    /// Reads the folder again and follows it. Blocks callers that change the registry while versions load; what serves
    /// meanwhile is not touched. Refused versions are tried again. Of many callers at once, those who come while one reads
    /// share the next reading.
    ///
    /// # Errors
    /// When the folder cannot be read at all; then nothing changes.
    pub fn reload(&self) -> Result<Vec<ReloadOutcome>, StorageError> {
        let run = || self.shared.follow(None, How::Reload).map(Arc::new).map_err(Arc::new);
        match self.shared.reloading.run(run) {
            Ok(outcomes) => Ok((*outcomes).clone()),
            Err(error) => Err(Arc::try_unwrap(error).unwrap_or_else(StorageError::Shared)),
        }
    }

    /// [`reload`](Self::reload) of one model.
    ///
    /// # Errors
    /// When the folder cannot be read, or has no such model and none is served.
    pub fn reload_model(&self, name: &ModelName) -> Result<ReloadOutcome, StorageError> {
        let outcomes = self.shared.follow(Some(name), How::Reload)?;
        outcomes.into_iter().next().ok_or_else(|| StorageError::UnknownModel { name: name.clone() })
    }

    /// [`reload`](Self::reload), but a refused version is tried again only after its files changed, and what looks as it
    /// did is not read. Cheap when nothing changed; meant to be called every few seconds. Outcomes that changed nothing are
    /// left out.
    ///
    /// # Errors
    /// As [`reload`](Self::reload).
    pub fn poll(&self) -> Result<Vec<ReloadOutcome>, StorageError> {
        let mut outcomes = self.shared.follow(None, How::Poll)?;
        outcomes.retain(|outcome| outcome.status != ReloadStatus::Unchanged);
        Ok(outcomes)
    }

    /// What a reload would do: champions that differ from what serves, and those that are refused, are loaded and proven,
    /// and nothing is published. One model, or all.
    ///
    /// # Errors
    /// As [`reload_model`](Self::reload_model).
    pub fn rehearse(&self, only: Option<&ModelName>) -> Result<Vec<ReloadOutcome>, StorageError> {
        self.shared.rehearse(only)
    }
}

impl Shared {
    /// Reads everything and loads what is preloaded.
    pub(super) fn open(&self) -> Result<(), StorageError> {
        self.follow(None, How::Open)?;
        let mut preloads: Vec<(Option<jiff::Timestamp>, ModelName, Alias)> = Vec::new();
        for snapshot in self.catalog.load().models.values().map(|slot| slot.load()) {
            let preloaded = snapshot.pointing.keys().filter(|alias| self.options.preload.contains(alias));
            preloads.extend(preloaded.map(|alias| {
                (snapshot.aliases.moved_at(alias.as_str()), snapshot.name.clone(), alias.clone())
            }));
        }
        preloads.sort_by(|a, b| b.0.cmp(&a.0).then_with(|| a.1.cmp(&b.1)));
        self.preload_all(&preloads);
        Ok(())
    }

    /// Loads in this order, several at a time, until the cache is as full as preloading may make it.
    fn preload_all(&self, preloads: &[(Option<jiff::Timestamp>, ModelName, Alias)]) {
        let next = std::sync::atomic::AtomicUsize::new(0);
        let work = || {
            while self.cache.has_room_to_preload() {
                let at = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                let Some((_, name, alias)) = preloads.get(at) else { return };
                drop(self.preload(name, alias));
            }
        };
        let threads = std::thread::available_parallelism().map_or(1, usize::from).min(preloads.len());
        std::thread::scope(|scope| (0..threads).for_each(|_| drop(scope.spawn(work))));
    }

    /// Loads what an alias leads to; where that is refused, what it then leads to, and so on. The error is the first
    /// refusal's reason.
    fn preload(&self, name: &ModelName, alias: &Alias) -> Result<(), Arc<str>> {
        let mut reason = None;
        while let Some(snapshot) = self.snapshot(name) {
            let Some(pointing) = snapshot.pointing.get(alias) else { break };
            let Some(serving) = pointing.serving.as_ref().filter(|_| pointing.deployment().is_none()) else {
                break;
            };
            match self.load_now(name, serving) {
                Ok(_) => break,
                Err(DeploymentError::Refused(refused)) => drop(reason.get_or_insert(refused.reason)),
                Err(other) => {
                    reason.get_or_insert_with(|| other.to_string().into());
                    break;
                }
            }
        }
        reason.map_or(Ok(()), Err)
    }

    fn follow(&self, only: Option<&ModelName>, how: How) -> Result<Vec<ReloadOutcome>, StorageError> {
        let _following = self.following();
        let candidates = self.storage.candidates();
        let trouble = candidates.as_ref().err().map(|error| Arc::from(with_causes(error)));
        *self.trouble.lock().unwrap_or_else(PoisonError::into_inner) = trouble;
        let mut present = candidates?;
        let wanted: Vec<_> =
            present.iter().filter(|name| only.is_none_or(|only| only == *name)).cloned().collect();
        let readings = self.read_all(&wanted, how == How::Poll).into_iter();
        let (absent, readings): (Vec<_>, Vec<_>) = readings.partition(Reading::is_absent);
        let absent: HashSet<_> = absent.into_iter().map(|reading| reading.old.name.clone()).collect();
        present.retain(|name| !absent.contains(name));
        let (fresh, known): (Vec<_>, Vec<_>) = readings.into_iter().partition(|reading| reading.new);
        let old: Vec<_> = fresh.iter().map(|reading| Arc::clone(&reading.old)).collect();
        self.register(fresh);
        let mut outcomes: Vec<_> = known.into_iter().map(|reading| self.follow_model(reading, how)).collect();
        if how != How::Open {
            outcomes.extend(old.iter().map(|old| self.finish(old, None, how)));
        }
        self.remove_absent(&present, only, &mut outcomes);
        self.names.prune();
        outcomes.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(outcomes)
    }

    fn following(&self) -> MutexGuard<'_, ()> {
        self.following.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes many models into the catalog in one step. Nothing is loaded yet.
    fn register(&self, readings: Vec<Reading>) {
        if readings.is_empty() {
            return;
        }
        let mut writer = self.writer();
        let mut models = self.catalog.with(|catalog| catalog.models.clone());
        for reading in readings {
            let old = Arc::clone(&reading.old);
            let next = self.compose(&old, reading, &mut writer, How::Open).sealed();
            let empty = || Arc::new(Slot::new(ModelSnapshot::empty(old.name.clone())));
            let slot = Arc::clone(writer.slots.entry(old.name.clone()).or_insert_with(empty));
            slot.store(next);
            models.insert(old.name.clone(), slot);
        }
        self.publish_catalog(models);
    }

    fn remove_absent(
        &self,
        present: &[ModelName],
        only: Option<&ModelName>,
        outcomes: &mut Vec<ReloadOutcome>,
    ) {
        let mut writer = self.writer();
        let gone: Vec<_> = self.catalog.with(|catalog| {
            let wanted = catalog.models.keys().filter(|name| only.is_none_or(|only| only == *name));
            wanted.filter(|name| present.binary_search(name).is_err()).cloned().collect()
        });
        if gone.is_empty() {
            return;
        }
        let mut models = self.catalog.with(|catalog| catalog.models.clone());
        for name in gone {
            if let Some(slot) = models.remove(&name) {
                let old = slot.store(ModelSnapshot::empty(name.clone()));
                outcomes.push(outcome(&name, old.champion().cloned(), None, ReloadStatus::Removed, None));
                self.retire(&old, &[]);
            }
            writer.seen_refused.retain(|key, _| key.0 != name);
            self.lifecycles.forget(&name, &[]);
        }
        self.publish_catalog(models);
    }

    fn follow_model(&self, reading: Reading, how: How) -> ReloadOutcome {
        let old = Arc::clone(&reading.old);
        let mut swapping = Vec::new();
        let told = match &reading.aliases {
            Ok(aliases) => self.load_targets(&reading, aliases, how, &mut swapping),
            Err(error) => Some(Arc::<str>::from(with_causes(error)))
                .filter(|problem| how == How::Reload || old.problem.as_ref() != Some(problem)),
        };
        let published = self.publish_reading(reading, how);
        drop(swapping);
        if published.is_none() {
            // Somebody of this process moved an alias meanwhile; the next look sees it.
            let stays = old.champion().cloned();
            return outcome(&old.name, stays.clone(), stays, ReloadStatus::Unchanged, None);
        }
        self.finish(&old, told, how)
    }

    /// What comes after a model's snapshot was published: preloading, the guard window, and what to tell.
    fn finish(&self, old: &ModelSnapshot, told: Option<Arc<str>>, how: How) -> ReloadOutcome {
        let told = told.or(self.preload_new(old, how));
        let Some(snapshot) = self.snapshot(&old.name) else {
            return outcome(&old.name, old.champion().cloned(), None, ReloadStatus::Removed, told);
        };
        self.swapped(old.champion_deployment(), &snapshot);
        let told = told.or_else(|| {
            let problem = snapshot.problem.clone();
            problem.filter(|_| old.problem.is_none() && old.versions.is_empty())
        });
        let (from, to) = (old.champion().cloned(), snapshot.champion().cloned());
        let loaded = snapshot.champion_deployment().is_some();
        let status = match (&from, &to) {
            _ if told.is_some() => ReloadStatus::Refused,
            (from, to) if from == to => ReloadStatus::Unchanged,
            _ if !loaded => ReloadStatus::Registered,
            (None, _) => ReloadStatus::Loaded,
            _ => ReloadStatus::Swapped,
        };
        outcome(&old.name, from, to, status, told)
    }

    /// Loads the targets of aliases that serve something else. The answer is why one was refused now, if one was.
    fn load_targets<'a>(
        &'a self,
        reading: &Reading,
        aliases: &Aliases,
        how: How,
        swapping: &mut Vec<Swapping<'a>>,
    ) -> Option<Arc<str>> {
        let Reading { old, .. } = reading;
        let mut reason = None;
        for (alias, target) in aliases.iter() {
            let serves = old.pointing.get(alias).is_some_and(|pointing| pointing.deployment().is_some());
            let there = reading.versions.iter().any(|published| published.version == *target);
            let wanted = (serves || !there) && !old.deployments.contains_key(target);
            if !wanted || (how != How::Reload && self.is_as_refused(old, target)) {
                continue;
            }
            let refused = match self.load_to_swap(&old.name, target) {
                Ok(loaded) => {
                    swapping.push(loaded);
                    continue;
                }
                Err(DeploymentError::Refused(refused)) => refused.reason,
                Err(other) => other.to_string().into(),
            };
            reason.get_or_insert(refused);
        }
        reason
    }

    /// Loads what aliases lead to that are preloaded and serve nothing yet, as far as there is room.
    fn preload_new(&self, old: &ModelSnapshot, how: How) -> Option<Arc<str>> {
        let preloaded = self.options.preload.iter().filter(|_| how != How::Open);
        let mut reasons = preloaded.filter_map(|alias| {
            let room = self.cache.has_room_to_preload();
            if room { self.preload(&old.name, alias).err() } else { None }
        });
        reasons.next()
    }

    /// Publishes what was read. `None` where an alias was moved meanwhile, so that the reading is old.
    fn publish_reading(&self, reading: Reading, how: How) -> Option<()> {
        let mut writer = self.writer();
        let name = reading.old.name.clone();
        let current = self.snapshot(&name).unwrap_or_else(|| Arc::clone(&reading.old));
        if current.aliases != reading.old.aliases {
            return None;
        }
        let next = self.compose(&current, reading, &mut writer, how);
        self.publish_snapshot(&mut writer, next);
        Some(())
    }
}
