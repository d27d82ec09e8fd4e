//! Changes that somebody asks for: promote, rollback, and loading a version that was asked for by name. A version is
//! proven before an alias moves; one that fails leaves everything as it was.

use std::sync::Arc;

use serve_core::{Alias, ModelName, ModelRef, ModelVersion, Selector};
use thiserror::Error;

use super::{DeploymentError, Registry, Writer};
use crate::aliases::{Action, Aliases};
use crate::deployment::{Deployment, RefusedError};
use crate::slot::Slot;
use crate::snapshot::ModelSnapshot;
use crate::storage::{Storage, StorageError};

/// Why an alias was not moved.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum PromoteError {
    /// The version may not serve.
    #[error(transparent)]
    Refused(#[from] RefusedError),
    /// There is nothing to go back to.
    #[error("{name} has nothing to roll back to: its champion replaced no version")]
    NoPrevious {
        /// The model.
        name: ModelName,
    },
    /// The registry could not be read or changed, or has no such model or version.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

impl Registry {
    /// Points an alias to a version, once that version has proven itself here. Answers with the version that the alias
    /// pointed to before.
    ///
    /// # Errors
    /// When the model or version is unknown, the version is refused, or the alias file cannot be changed. The alias is
    /// then where it was.
    pub fn promote(
        &self,
        name: &ModelName,
        version: &ModelVersion,
        alias: &Alias,
        by: &str,
    ) -> Result<Option<ModelVersion>, PromoteError> {
        self.move_alias(name, alias, Action::Promote, by, |_| Ok(version.clone()))
    }

    /// Points the champion to the version it replaced, and answers with both: from, to.
    ///
    /// # Errors
    /// When there is none, or as [`promote`](Self::promote).
    pub fn rollback(&self, name: &ModelName, by: &str) -> Result<(ModelVersion, ModelVersion), PromoteError> {
        let nothing = || PromoteError::NoPrevious { name: name.clone() };
        let to = std::cell::RefCell::new(None);
        let from = self.move_alias(name, &Alias::champion(), Action::Rollback, by, |aliases| {
            let standing = aliases.standing("champion");
            let previous =
                standing.len().checked_sub(2).map(|at| standing[at].clone()).ok_or_else(nothing)?;
            Ok(to.borrow_mut().insert(previous).clone())
        })?;
        from.zip(to.into_inner()).ok_or_else(nothing)
    }

    /// Picks a version, proves it, moves the alias on disk, all under the model's lock, then publishes: what was read when
    /// choosing still holds when the alias moves, also where several processes move it.
    ///
    /// The order of locks is the model's, then the writer's: who waits for another process keeps no writer waiting.
    fn move_alias(
        &self,
        name: &ModelName,
        alias: &Alias,
        action: Action,
        by: &str,
        choose: impl Fn(&Aliases) -> Result<ModelVersion, PromoteError>,
    ) -> Result<Option<ModelVersion>, PromoteError> {
        let mut proof = None;
        let moved = crate::storage::change_aliases(&self.directory, name, |aliases| {
            let version = choose(aliases)?;
            let versions = self.directory.versions(name)?;
            if !versions.contains(&version) {
                return Err(StorageError::UnknownVersion { name: name.clone(), version }.into());
            }
            let mut writer = self.writer();
            let (snapshot, _) = self.proven(self.slot(name).as_deref(), name, &version, &mut writer)?;
            let before = aliases.target(alias.as_str()).cloned();
            aliases.point(alias, &version, action, by.into(), jiff::Timestamp::now());
            proof = Some((writer, snapshot, versions, before));
            Ok::<_, PromoteError>(())
        });
        let aliases = moved?;
        let Some((mut writer, snapshot, versions, before)) = proof else { return Ok(None) };
        self.publish_change(&snapshot, versions, aliases, &mut writer);
        Ok(before)
    }

    /// The model's snapshot with the version's deployment in it. A refusal is kept with the model, if it is known.
    fn proven(
        &self,
        slot: Option<&Slot<ModelSnapshot>>,
        name: &ModelName,
        version: &ModelVersion,
        writer: &mut Writer,
    ) -> Result<(ModelSnapshot, Arc<Deployment>), RefusedError> {
        let old = slot.map(Slot::load);
        let mut snapshot = old.map_or_else(|| ModelSnapshot::empty(name.clone()), |old| (*old).clone());
        if let Some(deployment) = snapshot.deployments.get(version).cloned() {
            return Ok((snapshot, deployment));
        }
        let fingerprint = self.directory.fingerprint(name, version);
        match Deployment::load(&self.directory, &*self.loader, name, version).map(Arc::new) {
            Ok(deployment) => {
                snapshot.refused.remove(version);
                snapshot.deployments.insert(version.clone(), Arc::clone(&deployment));
                Ok((snapshot, deployment))
            }
            Err(error) => {
                if let Some(slot) = slot {
                    self.refuse(slot, writer, &error, fingerprint);
                }
                Err(error)
            }
        }
    }

    fn publish_change(
        &self,
        proven: &ModelSnapshot,
        versions: Vec<ModelVersion>,
        aliases: Aliases,
        writer: &mut Writer,
    ) {
        let (snapshot, _) = self.next_snapshot(proven, versions, aliases, writer, false);
        let mut models = self.catalog.with(|catalog| catalog.models.clone());
        let fresh = || Arc::new(Slot::new(ModelSnapshot::empty(proven.name.clone())));
        let slot = models.entry(proven.name.clone()).or_insert_with(fresh);
        self.publish_snapshot(slot, snapshot);
        self.publish_catalog(models);
    }

    /// Loads a version that somebody asked for by name. Requests for the same version wait for one load, and share its
    /// refusal.
    pub(super) fn load_explicit(
        &self,
        name: &ModelName,
        version: &ModelVersion,
    ) -> Result<Arc<Deployment>, DeploymentError> {
        let mut writer = self.writer();
        // What others did while this one waited for the lock.
        let reference = ModelRef { name: name.clone(), selector: Selector::Version(version.clone()) };
        match self.resolve(&reference) {
            Err(DeploymentError::NotLoaded { .. }) => {}
            done => return done,
        }
        let unknown = || DeploymentError::UnknownModel { name: name.clone() };
        let slot = self.slot(name).ok_or_else(unknown)?;
        let (snapshot, deployment) = self.proven(Some(&*slot), name, version, &mut writer)?;
        self.publish_snapshot(&slot, snapshot);
        let evicted = self.explicit().push((name.clone(), version.clone()), ());
        if let Some((key, ())) = evicted.filter(|(key, ())| (&key.0, &key.1) != (name, version)) {
            self.evict(&key.0, &key.1);
        }
        Ok(deployment)
    }

    /// Unloads a version, unless an alias leads to it.
    fn evict(&self, name: &ModelName, version: &ModelVersion) {
        let Some(slot) = self.slot(name) else { return };
        let mut snapshot = (*slot.load()).clone();
        if snapshot.pointing.values().all(|pointing| pointing.serving.as_ref() != Some(version)) {
            snapshot.deployments.remove(version);
            self.publish_snapshot(&slot, snapshot);
        }
    }
}
