//! Pruning: which old versions of a model may go. What an alias points to, what a rollback would return to and what a
//! running process has loaded stays, whatever was asked.

use std::fmt;
use std::time::Duration;

use jiff::Timestamp;
use serve_core::words::with_causes;
use serve_core::{Alias, ModelName, ModelVersion};

use crate::aliases::Aliases;
use crate::storage::{DeleteError, Storage, StorageError};

/// Which versions are old. One that either rule keeps stays.
#[derive(Debug, Clone, Copy)]
pub struct PruneOptions {
    /// So many of the newest stay.
    pub keep: Option<usize>,
    /// Versions made within this time stay.
    pub older_than: Option<Duration>,
    /// The time to count from.
    pub now: Timestamp,
    /// Nothing is deleted.
    pub dry_run: bool,
}

/// What becomes of a version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fate {
    /// It goes; after a dry run, it would.
    Goes,
    /// It stays.
    Stays(Reason),
}

/// Why a version stays.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reason {
    /// An alias points to it.
    Aliased(Alias),
    /// A rollback would return to it.
    Previous,
    /// It is one of the newest.
    Newest(usize),
    /// It is not old enough.
    Young,
    /// Its manifest does not read, so nobody knows how old it is.
    AgeUnknown,
    /// A running process has it loaded.
    InUse,
    /// It could not be deleted.
    Failed(String),
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Aliased(alias) => write!(f, "the alias {alias} points to it"),
            Self::Previous => f.write_str("a rollback would return to it"),
            Self::Newest(1) => f.write_str("it is the newest"),
            Self::Newest(keep) => write!(f, "it is one of the newest {keep}"),
            Self::Young => f.write_str("it is not old enough"),
            Self::AgeUnknown => f.write_str("its age is unknown: its manifest does not read"),
            Self::InUse => f.write_str("a running process has it loaded"),
            Self::Failed(problem) => write!(f, "it could not be deleted: {problem}"),
        }
    }
}

/// One version and what becomes of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pruned {
    /// The version.
    pub version: ModelVersion,
    /// When it was made, where its manifest tells.
    pub created: Option<Timestamp>,
    /// What becomes of it.
    pub fate: Fate,
}

/// Deletes a model's old versions, and tells what became of each, oldest first. Without any rule nothing is old.
///
/// # Errors
/// When the model is unknown, or its versions or aliases cannot be read. A version that cannot be deleted stays, with the
/// reason.
pub fn prune(
    storage: &dyn Storage,
    name: &ModelName,
    options: &PruneOptions,
) -> Result<Vec<Pruned>, StorageError> {
    let versions = storage.versions(name)?;
    if versions.is_empty() {
        return Err(StorageError::UnknownModel { name: name.clone() });
    }
    let aliases = storage.aliases(name)?;
    let count = versions.len();
    let pruned = versions.into_iter().enumerate().map(|(at, version)| {
        let manifest = storage.manifest(name, &version).ok();
        let created = manifest.and_then(|(manifest, _)| manifest.created.parse().ok());
        let kept = needed(&aliases, &version).or_else(|| options.keeps(count - at, created));
        let kept = kept.or_else(|| delete(storage, name, &version, options.dry_run));
        Pruned { version, created, fate: kept.map_or(Fate::Goes, Fate::Stays) }
    });
    Ok(pruned.collect())
}

fn needed(aliases: &Aliases, version: &ModelVersion) -> Option<Reason> {
    if let Some((alias, _)) = aliases.iter().find(|(_, target)| *target == version) {
        return Some(Reason::Aliased(alias.clone()));
    }
    let standing = aliases.standing("champion");
    let previous = standing.len().checked_sub(2).map(|at| standing[at]);
    (previous == Some(version)).then_some(Reason::Previous)
}

impl PruneOptions {
    /// `rank` is 1 for the newest version.
    fn keeps(&self, rank: usize, created: Option<Timestamp>) -> Option<Reason> {
        match self.keep {
            Some(keep) if rank <= keep => return Some(Reason::Newest(keep)),
            None if self.older_than.is_none() => return Some(Reason::Young),
            _ => {}
        }
        let limit = self.older_than?;
        let Some(created) = created else { return Some(Reason::AgeUnknown) };
        // A version of the future, by a clock that went back, is young.
        let old = Duration::try_from(self.now.duration_since(created)).is_ok_and(|age| age > limit);
        (!old).then_some(Reason::Young)
    }
}

/// Why the version could not be deleted, or would not.
fn delete(storage: &dyn Storage, name: &ModelName, version: &ModelVersion, dry_run: bool) -> Option<Reason> {
    if dry_run {
        return storage.in_use(name, version).then_some(Reason::InUse);
    }
    match storage.delete(name, version) {
        Ok(()) => None,
        // Somebody was faster.
        Err(DeleteError::Storage(StorageError::UnknownVersion { .. })) => None,
        Err(DeleteError::Aliased { alias, .. }) => Some(Reason::Aliased(alias)),
        Err(DeleteError::InUse { .. }) => Some(Reason::InUse),
        Err(DeleteError::Storage(error)) => Some(Reason::Failed(with_causes(&error))),
    }
}
