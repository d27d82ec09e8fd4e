//! Copying a version to another registry, as a model goes from test to production. The copy has the same bytes, so the
//! same digest, and the same signature; it counts once it was read back from where it arrived and proven here.

use serve_core::{Digest, ModelLoader, ModelName, ModelVersion};
use thiserror::Error;

use crate::deployment::{Deployment, RefusedError};
use crate::storage::{DeleteError, PublishError, Storage, StorageError};

/// What a push did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pushed {
    /// The version was copied.
    Copied,
    /// The same version was there; its signature was not, and was added.
    Signed,
    /// The same version was there.
    AlreadyThere,
}

/// Why a version was not copied.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum PushError {
    /// It does not prove where it is.
    #[error(transparent)]
    Refused(#[from] RefusedError),
    /// Another version has its name there.
    #[error(
        "{version} is another version at {location}: its digest there is {theirs}, here {ours}; a published version never changes"
    )]
    Differs {
        /// `name@version`.
        version: String,
        /// The other registry.
        location: String,
        /// The digest here.
        ours: Digest,
        /// The digest there.
        theirs: Digest,
    },
    /// It did not arrive whole.
    #[error("the copy at {location} {kept}")]
    Arrival {
        /// The other registry.
        location: String,
        /// What became of the copy.
        kept: String,
        /// Why.
        #[source]
        source: RefusedError,
    },
    /// It could not be published there.
    #[error(transparent)]
    Publish(#[from] PublishError),
    /// A registry could not be read or changed.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

/// Copies a version. It is proven here first, so that nothing arrives that would be refused; what does not prove itself
/// on arrival is taken away again, unless it is the only version of its model there.
///
/// # Errors
/// When it is unknown or refused here, another version has its name there, or it does not arrive.
pub fn push(
    from: &dyn Storage,
    to: &dyn Storage,
    loader: &dyn ModelLoader,
    (name, version): (&ModelName, &ModelVersion),
    by: &str,
) -> Result<Pushed, PushError> {
    // What is not there is told apart from what is refused.
    from.manifest(name, version)?;
    Deployment::load(from, loader, name, version)?;
    let bundle = from.bundle(name, version)?;
    if to.versions(name)?.contains(version) {
        let (_, theirs) = to.manifest(name, version)?;
        if theirs != bundle.digest() {
            let (version, ours) = (format!("{name}@{version}"), bundle.digest());
            return Err(PushError::Differs { version, location: to.location(), ours, theirs });
        }
        let unsigned =
            bundle.signature().filter(|_| to.signature(name, version).is_ok_and(|old| old.is_none()));
        if let Some(signature) = unsigned {
            to.sign(name, version, signature)?;
        }
        Deployment::load(to, loader, name, version)?;
        return Ok(if unsigned.is_some() { Pushed::Signed } else { Pushed::AlreadyThere });
    }
    to.publish(&bundle, by)?;
    match Deployment::load(to, loader, name, version) {
        Ok(_) => Ok(Pushed::Copied),
        Err(source) => Err(taken_away(to, source)),
    }
}

fn taken_away(to: &dyn Storage, source: RefusedError) -> PushError {
    let kept = match to.delete(&source.name, &source.version) {
        Ok(()) => "does not prove itself and was taken away again".to_owned(),
        Err(DeleteError::Aliased { alias, .. }) => {
            format!(
                "does not prove itself and stays, as the first of its model: the alias {alias} points to it"
            )
        }
        Err(error) => format!("does not prove itself and could not be taken away: {error}"),
    };
    PushError::Arrival { location: to.location(), kept, source }
}
