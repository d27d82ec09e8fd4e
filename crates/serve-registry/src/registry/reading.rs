//! What the storage says about models now. Many are read at the same time, since most of reading is waiting.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use serve_core::{ModelName, ModelVersion};

use super::Shared;
use crate::aliases::Aliases;
use crate::snapshot::{ModelSnapshot, Published};
use crate::storage::{Fingerprint, StorageError};

/// Threads that read at the same time.
const READERS: usize = 8;

/// Fewer models than this are read by the thread that asks.
const ALONE: usize = 8;

/// What was read about a model.
pub(super) struct Reading {
    /// What is served now, or an empty snapshot.
    pub(super) old: Arc<ModelSnapshot>,
    /// Whether the model is new.
    pub(super) new: bool,
    pub(super) versions: Vec<Published>,
    pub(super) aliases: Result<Aliases, StorageError>,
    pub(super) stamp: Option<u64>,
}

impl Reading {
    /// Whether there is no such model: nothing is published under its name.
    pub(super) fn is_absent(&self) -> bool {
        self.versions.is_empty() && self.aliases.is_ok()
    }
}

/// Ten thousand models are remembered by a number each.
fn hash(stamp: &Fingerprint) -> u64 {
    let mut hasher = DefaultHasher::new();
    stamp.hash(&mut hasher);
    hasher.finish()
}

impl Shared {
    /// Reads models; those that look as they did when they were last read are left out where `skip`.
    pub(super) fn read_all(&self, names: &[ModelName], skip: bool) -> Vec<Reading> {
        if names.len() < ALONE {
            return names.iter().filter_map(|name| self.read(name, skip)).collect();
        }
        let part = names.len().div_ceil(READERS);
        std::thread::scope(|scope| {
            let read = |names: &[ModelName]| -> Vec<Reading> {
                names.iter().filter_map(|name| self.read(name, skip)).collect()
            };
            let threads: Vec<_> = names.chunks(part).map(|names| scope.spawn(move || read(names))).collect();
            threads.into_iter().flat_map(|thread| thread.join().unwrap_or_default()).collect()
        })
    }

    fn read(&self, name: &ModelName, skip: bool) -> Option<Reading> {
        let known = self.snapshot(name);
        let new = known.is_none();
        let old = known.unwrap_or_else(|| Arc::new(ModelSnapshot::empty(name.clone())));
        // Before the rest is read: what changes meanwhile is then read again.
        let stamp = self.storage.stamp(name).map(|stamp| hash(&stamp));
        let settled = old.problem.is_none()
            && old.refused.is_empty()
            && old.versions.iter().all(|published| published.summary.is_some());
        if skip && settled && stamp.is_some() && stamp == old.stamp {
            return None;
        }
        let (versions, aliases) = match self.storage.versions(name) {
            Ok(versions) if versions.is_empty() => (Vec::new(), Ok(Aliases::default())),
            Ok(versions) => (self.published(&old, versions), self.kept_aliases(&old)),
            Err(error) => (old.versions.clone(), Err(error)),
        };
        Some(Reading { old, new, versions, aliases, stamp })
    }

    /// A model's aliases. Where they are gone that were there, so is who moved them and where to: what serves goes on, and it
    /// is told, rather than that the oldest version takes over.
    fn kept_aliases(&self, old: &ModelSnapshot) -> Result<Aliases, StorageError> {
        let aliases = self.storage.aliases(&old.name)?;
        if aliases.stand_in() && !old.versions.is_empty() && !old.aliases.stand_in() {
            let location = format!("the aliases of {}", old.name);
            let problem = "they are gone; what served goes on until somebody promotes a version".to_owned();
            return Err(StorageError::Aliases { location, problem });
        }
        Ok(aliases)
    }

    /// Published versions never change, so a manifest that was read once is not read again.
    pub(super) fn published(&self, old: &ModelSnapshot, versions: Vec<ModelVersion>) -> Vec<Published> {
        let summary = |version: &ModelVersion| {
            let known = old.summary_of(version).cloned();
            known.or_else(|| {
                let (manifest, digest) = self.storage.manifest(&old.name, version).ok()?;
                Some(Arc::new(self.names.summary(&manifest, digest)))
            })
        };
        versions.into_iter().map(|version| Published { summary: summary(&version), version }).collect()
    }
}
