//! Reading the folder again: new models and versions are noticed, aliases followed, what they point to is loaded and
//! proven, and only then served.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use serve_core::{Alias, ModelName, ModelVersion};

use super::{Registry, Writer};
use crate::aliases::Aliases;
use crate::deployment::{Deployment, with_causes};
use crate::slot::Slot;
use crate::snapshot::{ModelSnapshot, Pointing, Published, Refusal};
use crate::storage::{Storage, StorageError};

/// What a reload did to a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ReloadStatus {
    /// The same version answers as before.
    Unchanged,
    /// The model answers for the first time.
    Loaded,
    /// Another version answers.
    Swapped,
    /// A version was refused; what answered before, if anything did, still does.
    Refused,
    /// The model is gone.
    Removed,
}

impl ReloadStatus {
    /// The status as it is written in answers.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unchanged => "unchanged",
            Self::Loaded => "loaded",
            Self::Swapped => "swapped",
            Self::Refused => "refused",
            Self::Removed => "removed",
        }
    }
}

/// What a reload did to one model.
#[derive(Debug, Clone)]
pub struct ReloadOutcome {
    /// The model.
    pub name: ModelName,
    /// The champion that answered before.
    pub from: Option<ModelVersion>,
    /// The champion that answers now.
    pub to: Option<ModelVersion>,
    /// What happened.
    pub status: ReloadStatus,
    /// Why, where a version was refused.
    pub reason: Option<Arc<str>>,
}

impl Registry {
    /// Reads the folder again and serves what it says now, model by model. Blocks while versions load; what serves
    /// meanwhile is not touched. Refused versions are tried again.
    ///
    /// # Errors
    /// When the folder cannot be read at all; then nothing changes.
    pub fn reload(&self) -> Result<Vec<ReloadOutcome>, StorageError> {
        self.refresh(None, true)
    }

    /// [`reload`](Self::reload) of one model.
    ///
    /// # Errors
    /// When the folder cannot be read, or has no such model and none is served.
    pub fn reload_model(&self, name: &ModelName) -> Result<ReloadOutcome, StorageError> {
        let outcomes = self.refresh(Some(name), true)?;
        outcomes.into_iter().next().ok_or_else(|| StorageError::UnknownModel { name: name.clone() })
    }

    /// [`reload`](Self::reload), but a refused version is tried again only after its files changed. Cheap when nothing
    /// did; meant to be called every few seconds. Outcomes that changed nothing are left out.
    ///
    /// # Errors
    /// As [`reload`](Self::reload).
    pub fn poll(&self) -> Result<Vec<ReloadOutcome>, StorageError> {
        let mut outcomes = self.refresh(None, false)?;
        outcomes.retain(|outcome| outcome.status != ReloadStatus::Unchanged);
        Ok(outcomes)
    }

    fn refresh(&self, only: Option<&ModelName>, retry: bool) -> Result<Vec<ReloadOutcome>, StorageError> {
        let mut writer = self.writer();
        let present = self.directory.models()?;
        let mut models = self.catalog.with(|catalog| catalog.models.clone());
        let mut outcomes = Vec::new();
        for name in present.iter().filter(|name| only.is_none_or(|only| only == *name)) {
            outcomes.push(self.refresh_model(name, &mut models, &mut writer, retry));
        }
        let gone: Vec<_> =
            models.keys().filter(|name| present.binary_search(name).is_err()).cloned().collect();
        for name in gone.into_iter().filter(|name| only.is_none_or(|only| only == name)) {
            if let Some(slot) = models.remove(&name) {
                let old = slot.load();
                outcomes.push(outcome(&name, old.champion().cloned(), None, ReloadStatus::Removed, None));
                self.retire(&old, &[]);
            }
            self.forget_explicit(&name, &[]);
            writer.seen_refused.retain(|key, _| key.0 != name);
        }
        self.publish_catalog(models);
        outcomes.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(outcomes)
    }

    fn refresh_model(
        &self,
        name: &ModelName,
        models: &mut HashMap<ModelName, Arc<Slot<ModelSnapshot>>>,
        writer: &mut Writer,
        retry: bool,
    ) -> ReloadOutcome {
        let slot = models.get(name).cloned();
        let old =
            slot.as_ref().map_or_else(|| Arc::new(ModelSnapshot::empty(name.clone())), |slot| slot.load());
        let (snapshot, reason) = self.reread(&old, writer, retry);
        let (from, to) = (old.champion().cloned(), snapshot.champion().cloned());
        match slot {
            Some(slot) => self.publish_snapshot(&slot, snapshot),
            None => drop(models.insert(name.clone(), Arc::new(Slot::new(snapshot)))),
        }
        let status = match (&from, &to) {
            _ if reason.is_some() => ReloadStatus::Refused,
            (from, to) if from == to => ReloadStatus::Unchanged,
            (None, _) => ReloadStatus::Loaded,
            _ => ReloadStatus::Swapped,
        };
        outcome(name, from, to, status, reason)
    }

    /// What the folder says now. Where it cannot be read, everything stays as it was, with the problem noted; the reason is
    /// then told once, or whenever `retry`.
    fn reread(
        &self,
        old: &ModelSnapshot,
        writer: &mut Writer,
        retry: bool,
    ) -> (ModelSnapshot, Option<Arc<str>>) {
        let read = (self.directory.versions(&old.name), self.directory.aliases(&old.name));
        let (versions, error) = match read {
            (Ok(versions), Ok(aliases)) => return self.next_snapshot(old, versions, aliases, writer, retry),
            (Ok(versions), Err(error)) => (self.published(old, versions), error),
            (Err(error), _) => (old.versions.clone(), error),
        };
        let problem = Some(Arc::from(with_causes(&error)));
        let reason = problem.clone().filter(|_| retry || problem != old.problem);
        (ModelSnapshot { versions, problem, ..old.clone() }, reason)
    }

    /// The snapshot that follows `old`, and why a version was refused now, if one was.
    pub(super) fn next_snapshot(
        &self,
        old: &ModelSnapshot,
        versions: Vec<ModelVersion>,
        aliases: Aliases,
        writer: &mut Writer,
        retry: bool,
    ) -> (ModelSnapshot, Option<Arc<str>>) {
        let mut next =
            ModelSnapshot { refused: old.refused.clone(), ..ModelSnapshot::empty(old.name.clone()) };
        let targets: Vec<_> = aliases.iter().map(|(alias, target)| (alias.clone(), target.clone())).collect();
        next.refused.retain(|version, _| {
            let target = targets.iter().any(|(_, target)| target == version);
            // What no alias leads to is tried again when it is next asked for.
            target || (versions.contains(version) && !retry && self.is_as_refused(&old.name, version, writer))
        });
        let mut reason = None;
        for (alias, target) in targets {
            let serving = match self.obtain(&target, old, &mut next, writer, retry) {
                Ok(()) => Some(target.clone()),
                Err(refused) => {
                    reason = reason.or(refused);
                    self.fall_back(&alias, &target, old, &aliases, &mut next, writer)
                }
            };
            next.pointing.insert(alias, Pointing { target, serving });
        }
        writer.seen_refused.retain(|key, _| key.0 != old.name || next.refused.contains_key(&key.1));
        self.forget_explicit(&old.name, &versions);
        self.keep_explicit(old, &mut next);
        next.versions = self.published(old, versions);
        next.aliases = aliases;
        (next, reason)
    }

    /// Puts a version's deployment into `next`: the one that is loaded, or one loaded now. The error holds the reason
    /// where the version was refused now rather than earlier.
    fn obtain(
        &self,
        version: &ModelVersion,
        old: &ModelSnapshot,
        next: &mut ModelSnapshot,
        writer: &mut Writer,
        retry: bool,
    ) -> Result<(), Option<Arc<str>>> {
        if next.deployments.contains_key(version) {
            return Ok(());
        }
        if let Some(deployment) = old.deployments.get(version) {
            next.deployments.insert(version.clone(), Arc::clone(deployment));
            return Ok(());
        }
        if !retry && next.refused.contains_key(version) && self.is_as_refused(&old.name, version, writer) {
            return Err(None);
        }
        let key = (old.name.clone(), version.clone());
        let fingerprint = self.directory.fingerprint(&old.name, version);
        match Deployment::load(&self.directory, &*self.loader, &old.name, version) {
            Ok(deployment) => {
                next.refused.remove(version);
                writer.seen_refused.remove(&key);
                next.deployments.insert(version.clone(), Arc::new(deployment));
                Ok(())
            }
            Err(error) => {
                writer.seen_refused.insert(key, fingerprint);
                let refusal = Refusal { reason: Arc::clone(&error.reason), at: jiff::Timestamp::now() };
                next.refused.insert(version.clone(), refusal);
                Err(Some(error.reason))
            }
        }
    }

    /// Whether a refused version's files are still those that were refused.
    fn is_as_refused(&self, name: &ModelName, version: &ModelVersion, writer: &Writer) -> bool {
        let seen = writer.seen_refused.get(&(name.clone(), version.clone()));
        seen.is_some_and(|seen| *seen == self.directory.fingerprint(name, version))
    }

    /// What an alias serves whose target is refused: what it serves now, else the newest earlier target that proves.
    fn fall_back(
        &self,
        alias: &Alias,
        target: &ModelVersion,
        old: &ModelSnapshot,
        aliases: &Aliases,
        next: &mut ModelSnapshot,
        writer: &mut Writer,
    ) -> Option<ModelVersion> {
        let now = old.pointing.get(alias).and_then(|pointing| pointing.serving.clone());
        let earlier = aliases.standing(alias.as_str()).into_iter().rev().cloned();
        let candidates: Vec<_> = now.into_iter().chain(earlier).filter(|version| version != target).collect();
        candidates.into_iter().find(|version| self.obtain(version, old, next, writer, false).is_ok())
    }

    /// Versions that were asked for by name stay loaded while they are in the list.
    fn keep_explicit(&self, old: &ModelSnapshot, next: &mut ModelSnapshot) {
        let explicit = self.explicit();
        for (version, deployment) in &old.deployments {
            if explicit.contains(&(old.name.clone(), version.clone())) {
                next.deployments.entry(version.clone()).or_insert_with(|| Arc::clone(deployment));
            }
        }
    }

    /// Versions that are gone take no place among those that were asked for by name.
    fn forget_explicit(&self, name: &ModelName, versions: &[ModelVersion]) {
        let mut explicit = self.explicit();
        let gone = |key: &&(ModelName, ModelVersion)| key.0 == *name && !versions.contains(&key.1);
        let gone: Vec<_> = explicit.iter().map(|(key, ())| key).filter(gone).cloned().collect();
        for key in &gone {
            explicit.pop(key);
        }
    }

    /// Published versions never change, so a manifest that was read once is not read again.
    fn published(&self, old: &ModelSnapshot, versions: Vec<ModelVersion>) -> Vec<Published> {
        let known: BTreeMap<_, _> = old.versions.iter().map(|p| (&p.version, &p.manifest)).collect();
        let manifest = |version: &ModelVersion| match known.get(version) {
            Some(Some(manifest)) => Some(Arc::clone(manifest)),
            _ => self.directory.manifest(&old.name, version).ok().map(|(manifest, _)| Arc::new(manifest)),
        };
        versions.into_iter().map(|version| Published { manifest: manifest(&version), version }).collect()
    }
}

fn outcome(
    name: &ModelName,
    from: Option<ModelVersion>,
    to: Option<ModelVersion>,
    status: ReloadStatus,
    reason: Option<Arc<str>>,
) -> ReloadOutcome {
    ReloadOutcome { name: name.clone(), from, to, status, reason }
}
