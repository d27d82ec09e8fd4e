//! Changes that somebody asks for: promote, rollback, and loading a version that was asked for by name. A version is
//! proven before an alias moves; one that fails leaves everything as it was.

use std::sync::Arc;

use serve_core::{Alias, ModelName, ModelVersion};
use thiserror::Error;

use super::{DeploymentError, Registry, Writer};
use crate::aliases::{Action, Aliases};
use crate::deployment::{Deployment, RefusedError};
use crate::directory::StorageError;
use crate::snapshot::{ModelSnapshot, Refusal};

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
        self.move_alias(name, alias, Action::Promote, by, |_, _| Ok(version.clone()))
    }

    /// Points the champion to the version it replaced, and answers with both: from, to.
    ///
    /// # Errors
    /// When there is none, or as [`promote`](Self::promote).
    pub fn rollback(&self, name: &ModelName, by: &str) -> Result<(ModelVersion, ModelVersion), PromoteError> {
        let nothing = || PromoteError::NoPrevious { name: name.clone() };
        let mut to = None;
        let from = self.move_alias(name, &Alias::champion(), Action::Rollback, by, |aliases, _| {
            let standing = aliases.standing("champion");
            let previous =
                standing.len().checked_sub(2).map(|at| standing[at].clone()).ok_or_else(nothing)?;
            Ok(to.insert(previous).clone())
        })?;
        from.zip(to).ok_or_else(nothing)
    }

    /// Proves the version that `choose` picks, moves the alias on disk, then publishes.
    fn move_alias(
        &self,
        name: &ModelName,
        alias: &Alias,
        action: Action,
        by: &str,
        choose: impl FnOnce(&Aliases, &ModelSnapshot) -> Result<ModelVersion, PromoteError>,
    ) -> Result<Option<ModelVersion>, PromoteError> {
        let mut writer = self.writer();
        let versions = self.directory.versions(name)?;
        if versions.is_empty() {
            return Err(StorageError::UnknownModel { name: name.clone() }.into());
        }
        let slot = self.slot(name);
        let old =
            slot.as_ref().map_or_else(|| Arc::new(ModelSnapshot::empty(name.clone())), |slot| slot.load());
        let version = choose(&self.directory.aliases(name)?, &old)?;
        if !versions.contains(&version) {
            return Err(StorageError::UnknownVersion { name: name.clone(), version }.into());
        }
        let mut proven = (*old).clone();
        self.prove(&version, &mut proven)?;
        let mut before = None;
        let aliases = self.directory.change_aliases(name, |aliases| {
            before = aliases.target(alias.as_str()).cloned();
            aliases.point(alias, &version, action, by, jiff::Timestamp::now());
            Ok::<_, StorageError>(())
        })?;
        self.publish_change(&old, proven, versions, aliases, &mut writer);
        Ok(before)
    }

    /// Makes sure that `snapshot` holds the version's deployment.
    fn prove(
        &self,
        version: &ModelVersion,
        snapshot: &mut ModelSnapshot,
    ) -> Result<Arc<Deployment>, RefusedError> {
        if let Some(deployment) = snapshot.deployments.get(version) {
            return Ok(Arc::clone(deployment));
        }
        let deployment = Arc::new(Deployment::load(&self.directory, &*self.loader, &snapshot.name, version)?);
        snapshot.refused.remove(version);
        snapshot.deployments.insert(version.clone(), Arc::clone(&deployment));
        Ok(deployment)
    }

    fn publish_change(
        &self,
        old: &ModelSnapshot,
        proven: ModelSnapshot,
        versions: Vec<ModelVersion>,
        aliases: Aliases,
        writer: &mut Writer,
    ) {
        let (snapshot, _) = self.next_snapshot(&proven, versions, aliases, writer, false);
        let mut models = self.catalog.with(|catalog| catalog.models.clone());
        let fresh = || Arc::new(crate::slot::Slot::new(ModelSnapshot::empty(old.name.clone())));
        let slot = models.entry(old.name.clone()).or_insert_with(fresh);
        self.publish_snapshot(slot, snapshot);
        self.publish_catalog(models);
    }

    /// Loads a version that somebody asked for by name. Requests for the same version wait for one load.
    pub(super) fn load_explicit(
        &self,
        name: &ModelName,
        version: &ModelVersion,
    ) -> Result<Arc<Deployment>, DeploymentError> {
        let _writer = self.writer();
        let Some(slot) = self.slot(name) else {
            return Err(DeploymentError::UnknownModel { name: name.clone() });
        };
        let mut snapshot = (*slot.load()).clone();
        let deployment = match self.prove(version, &mut snapshot) {
            Ok(deployment) => deployment,
            Err(error) => {
                let refusal = Refusal { reason: Arc::clone(&error.reason), at: jiff::Timestamp::now() };
                snapshot.refused.insert(version.clone(), refusal);
                self.publish_snapshot(&slot, snapshot);
                return Err(error.into());
            }
        };
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
