//! The rules for versions that arrive and leave, shared by every storage.

use serve_core::{Alias, ModelName, ModelVersion};

use crate::aliases::{Action, Aliases, Author};
use crate::storage::{DeleteError, PublishError};

/// Whether a version may arrive beside those that are published.
pub(crate) fn admit(
    name: &ModelName,
    version: &ModelVersion,
    published: &[ModelVersion],
) -> Result<(), PublishError> {
    if published.contains(version) {
        return Err(PublishError::Exists { name: name.clone(), version: version.clone() });
    }
    refuse_mixed(name, version, published)
}

/// Whether all versions of a model count in one way.
pub(crate) fn refuse_mixed(
    name: &ModelName,
    version: &ModelVersion,
    published: &[ModelVersion],
) -> Result<(), PublishError> {
    match published.iter().find(|existing| existing.kind() != version.kind()) {
        Some(existing) => {
            let (name, version, existing) = (name.clone(), version.clone(), existing.clone());
            Err(PublishError::MixedKinds { name, version, existing })
        }
        None => Ok(()),
    }
}

/// The aliases of a model with its first version, which is the champion; also what a model has without an alias file.
pub(crate) fn first_aliases(first: &ModelVersion, by: &str, at: jiff::Timestamp) -> Aliases {
    let mut aliases = Aliases::default();
    aliases.point(&Alias::champion(), first, Action::Publish, Author::from(by), at);
    aliases
}

/// Whether no alias leads to a version that is to go.
pub(crate) fn refuse_aliased(
    name: &ModelName,
    version: &ModelVersion,
    aliases: &Aliases,
) -> Result<(), DeleteError> {
    match aliases.iter().find(|(_, target)| *target == version) {
        Some((alias, _)) => {
            let (name, version, alias) = (name.clone(), version.clone(), alias.clone());
            Err(DeleteError::Aliased { name, version, alias })
        }
        None => Ok(()),
    }
}
