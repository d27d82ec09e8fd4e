//! Changes that somebody asks for: promote, rollback, pin, unload. A version is proven before an alias moves; one that fails
//! leaves everything as it was.

use std::cell::RefCell;

use serve_core::{Alias, ModelName, ModelVersion};
use thiserror::Error;

use super::{DeploymentError, Registry, Shared, Unloaded};
use crate::aliases::{Action, Aliases, Author};
use crate::deployment::RefusedError;
use crate::snapshot::ModelSnapshot;
use crate::storage::{StorageError, change_aliases};

/// Why an alias was not moved.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum PromoteError {
    /// The version may not serve.
    #[error(transparent)]
    Refused(#[from] RefusedError),
    /// The version could not be loaded here to prove it.
    #[error(transparent)]
    NotLoaded(DeploymentError),
    /// Somebody pinned the model.
    #[error("{name} is pinned to {version} by {by} since {at:.0}{}; unpin it first", because(why.as_deref()))]
    Pinned {
        /// The model.
        name: ModelName,
        /// The version that it stands on.
        version: ModelVersion,
        /// Who pinned it.
        by: String,
        /// When.
        at: jiff::Timestamp,
        /// Why, where it was said.
        why: Option<String>,
    },
    /// The model is not pinned.
    #[error("{name} is not pinned")]
    NotPinned {
        /// The model.
        name: ModelName,
    },
    /// There is nothing to go back to.
    #[error("{name} has nothing to roll back to: its champion replaced no version")]
    NoPrevious {
        /// The model.
        name: ModelName,
    },
    /// The champion is another one than was to be taken back.
    #[error("{name} stands on another version than {version} by now")]
    Moved {
        /// The model.
        name: ModelName,
        /// The version that was to be taken back.
        version: ModelVersion,
    },
    /// The registry could not be read or changed, or has no such model or version.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

fn because(why: Option<&str>) -> String {
    why.map_or_else(String::new, |why| format!(" ({why})"))
}

/// Where an alias is to go.
type Choice<'a> = &'a dyn Fn(&Aliases) -> Result<ModelVersion, PromoteError>;

impl Registry {
    /// Points an alias to a version, once that version has proven itself here. Answers with the version that the alias
    /// pointed to before.
    ///
    /// # Errors
    /// When the model or version is unknown, the version is refused, the champion is pinned, or the alias file cannot be
    /// changed. The alias is then where it was.
    pub fn promote<'a>(
        &self,
        name: &ModelName,
        version: &ModelVersion,
        alias: &Alias,
        author: impl Into<Author<'a>>,
    ) -> Result<Option<ModelVersion>, PromoteError> {
        self.shared.move_alias(name, alias, Action::Promote, author.into(), &|_| Ok(version.clone()))
    }

    /// Points the champion to the version it replaced, and answers with both: from, to.
    ///
    /// # Errors
    /// When there is none, or as [`promote`](Self::promote).
    pub fn rollback<'a>(
        &self,
        name: &ModelName,
        author: impl Into<Author<'a>>,
    ) -> Result<(ModelVersion, ModelVersion), PromoteError> {
        let nothing = || PromoteError::NoPrevious { name: name.clone() };
        let to = RefCell::new(None);
        let choose = |aliases: &Aliases| {
            let standing = aliases.standing("champion");
            let previous =
                standing.len().checked_sub(2).map(|at| standing[at].clone()).ok_or_else(nothing)?;
            to.replace(Some(previous.clone()));
            Ok(previous)
        };
        let champion = Alias::champion();
        let from = self.shared.move_alias(name, &champion, Action::Rollback, author.into(), &choose)?;
        from.zip(to.into_inner()).ok_or_else(nothing)
    }

    /// Pins a model to the version that its champion stands on, or to `version`, which is promoted first: promotions and
    /// rollbacks of the champion are refused from then on. Answers with the version.
    ///
    /// # Errors
    /// As [`promote`](Self::promote); a pinned model is not pinned again.
    pub fn pin<'a>(
        &self,
        name: &ModelName,
        version: Option<&ModelVersion>,
        author: impl Into<Author<'a>>,
    ) -> Result<ModelVersion, PromoteError> {
        let (champion, author) = (Alias::champion(), author.into());
        if let Some(version) = version
            && self.storage().aliases(name)?.target("champion") != Some(version)
        {
            self.promote(name, version, &champion, author)?;
        }
        let aliases = self
            .shared
            .note(name, Action::Pin, author, &|aliases| refuse_pinned(name, &champion, aliases))?;
        let unknown = || StorageError::UnknownModel { name: name.clone() };
        Ok(aliases.target("champion").ok_or_else(unknown)?.clone())
    }

    /// Takes a pin away.
    ///
    /// # Errors
    /// When the model is unknown or not pinned, or its aliases cannot be changed.
    pub fn unpin<'a>(&self, name: &ModelName, author: impl Into<Author<'a>>) -> Result<(), PromoteError> {
        let pinned = |aliases: &Aliases| match aliases.pinned() {
            Some(_) => Ok(()),
            None => Err(PromoteError::NotPinned { name: name.clone() }),
        };
        self.shared.note(name, Action::Unpin, author.into(), &pinned).map(drop)
    }

    /// Unloads a version; requests that use it are answered, and later ones load it again.
    pub fn unload(&self, name: &ModelName, version: &ModelVersion) -> Unloaded {
        self.shared.unload(&(name.clone(), version.clone()))
    }
}

impl Shared {
    /// Picks a version, proves it, moves the alias in the storage, and then publishes. What was read when choosing still
    /// holds when the alias moves, also where several processes move it.
    pub(super) fn move_alias(
        &self,
        name: &ModelName,
        alias: &Alias,
        action: Action,
        author: Author<'_>,
        choose: Choice<'_>,
    ) -> Result<Option<ModelVersion>, PromoteError> {
        let (before, swapping) = (RefCell::new(None), RefCell::new(None));
        let aliases = change_aliases(&*self.storage, name, |aliases| {
            refuse_pinned(name, alias, aliases)?;
            let version = choose(aliases)?;
            if !self.storage.versions(name)?.contains(&version) {
                return Err(StorageError::UnknownVersion { name: name.clone(), version }.into());
            }
            let loaded = self.load_to_swap(name, &version).map_err(|error| match error {
                DeploymentError::Refused(error) => error.into(),
                other => PromoteError::NotLoaded(other),
            })?;
            swapping.replace(Some(loaded));
            before.replace(aliases.target(alias.as_str()).cloned());
            aliases.point(alias, &version, action, author, jiff::Timestamp::now());
            Ok::<_, PromoteError>(())
        })?;
        self.publish_change(name, aliases)?;
        drop(swapping);
        Ok(before.into_inner())
    }

    /// Adds a line to the champion's history that does not move it.
    pub(super) fn note(
        &self,
        name: &ModelName,
        action: Action,
        author: Author<'_>,
        check: &dyn Fn(&Aliases) -> Result<(), PromoteError>,
    ) -> Result<Aliases, PromoteError> {
        let champion = Alias::champion();
        let aliases = change_aliases(&*self.storage, name, |aliases| {
            check(aliases)?;
            let target = aliases.target(champion.as_str()).cloned();
            let target = target.ok_or_else(|| StorageError::UnknownModel { name: name.clone() })?;
            aliases.point(&champion, &target, action, author, jiff::Timestamp::now());
            Ok::<_, PromoteError>(())
        })?;
        self.publish_change(name, aliases.clone())?;
        Ok(aliases)
    }

    /// Follows aliases that this process wrote, unless a later change was published meanwhile.
    fn publish_change(&self, name: &ModelName, aliases: Aliases) -> Result<(), StorageError> {
        let versions = self.storage.versions(name)?;
        let empty = || ModelSnapshot::empty(name.clone());
        let old = self.snapshot(name).map_or_else(empty, |old| (*old).clone());
        let versions = self.published(&old, versions);
        let mut writer = self.writer();
        let current = self.snapshot(name).map_or_else(empty, |now| (*now).clone());
        if current.aliases.continue_from(&aliases) && !current.versions.is_empty() {
            return Ok(());
        }
        let before = current.champion_deployment().cloned();
        let next = self.next_snapshot(&current, versions, aliases, &mut writer, false);
        self.publish_snapshot(&mut writer, next);
        drop(writer);
        if let Some(snapshot) = self.snapshot(name) {
            self.swapped(before.as_ref(), &snapshot);
        }
        Ok(())
    }
}

fn refuse_pinned(name: &ModelName, alias: &Alias, aliases: &Aliases) -> Result<(), PromoteError> {
    let pinned = aliases.pinned().filter(|_| *alias == Alias::champion());
    let Some((step, version)) = pinned.zip(aliases.target("champion")) else { return Ok(()) };
    Err(PromoteError::Pinned {
        name: name.clone(),
        version: version.clone(),
        by: step.by.clone(),
        at: step.at,
        why: step.why.clone(),
    })
}
