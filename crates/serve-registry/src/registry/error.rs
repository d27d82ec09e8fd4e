//! Why a registry does not open, or a reference leads to nothing that answers.

use std::sync::Arc;

use serve_core::{Alias, InvalidName, ModelName, ModelVersion};
use thiserror::Error;

use crate::deployment::RefusedError;
use crate::storage::StorageError;

/// Why a reference leads to no deployment.
#[derive(Debug, Clone, Error)]
#[non_exhaustive]
pub enum DeploymentError {
    /// The reference cannot be read.
    #[error(transparent)]
    InvalidName(#[from] InvalidName),
    /// There is no such model.
    #[error("unknown model {name:?}")]
    UnknownModel {
        /// The model.
        name: ModelName,
    },
    /// The model has no such version.
    #[error("model {name:?} has no version {version:?}")]
    UnknownVersion {
        /// The model.
        name: ModelName,
        /// The version.
        version: ModelVersion,
    },
    /// The model has no such alias.
    #[error("model {name:?} has no alias {alias:?}")]
    UnknownAlias {
        /// The model.
        name: ModelName,
        /// The alias.
        alias: Alias,
    },
    /// `latest`, `previous` or `best` means no version of this model.
    #[error("model {name:?} has no such version: {reason}")]
    Nothing {
        /// The model.
        name: ModelName,
        /// Why not.
        reason: &'static str,
    },
    /// The model's folder cannot be read, so nobody knows what it has.
    #[error("model {name:?} cannot be read: {reason}")]
    Unreadable {
        /// The model.
        name: ModelName,
        /// Why, with every cause.
        reason: Arc<str>,
    },
    /// The version is there and not loaded; [`Registry::deployment`](crate::Registry::deployment) loads it, off the request path.
    #[error("{name}@{version} is not loaded yet")]
    NotLoaded {
        /// The model.
        name: ModelName,
        /// The version.
        version: ModelVersion,
    },
    /// So many wait for the version to load that no more may.
    #[error("{name}@{version} is loading, and {waiting} requests wait for it already; try again")]
    Busy {
        /// The model.
        name: ModelName,
        /// The version.
        version: ModelVersion,
        /// How many wait.
        waiting: usize,
    },
    /// The version was not loaded in time. Loading goes on.
    #[error("{name}@{version} was not loaded within {seconds} s; it is still loading")]
    TimedOut {
        /// The model.
        name: ModelName,
        /// The version.
        version: ModelVersion,
        /// How long was waited.
        seconds: f64,
    },
    /// Every loaded version is in use, so none can leave for this one.
    #[error(
        "{name}@{version} has no room: it needs {bytes} bytes, and all that is loaded is in use or pinned; \
         registry.cache.max_bytes is {max_bytes}, registry.cache.max_models {max_models}"
    )]
    NoRoom {
        /// The model.
        name: ModelName,
        /// The version.
        version: ModelVersion,
        /// What it needs.
        bytes: u64,
        /// What all together may have.
        max_bytes: u64,
        /// How many there may be.
        max_models: usize,
    },
    /// The registry is being closed.
    #[error("the registry is closed")]
    Closed,
    /// The version may not serve.
    #[error(transparent)]
    Refused(#[from] RefusedError),
}

/// Why a registry does not open.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum OpenError {
    /// Its folder cannot be read.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// A thread of the registry does not start.
    #[error("a thread cannot be started")]
    Thread(#[source] std::io::Error),
}

impl DeploymentError {
    /// Whether the registry has no such model, version or alias.
    #[must_use]
    pub fn is_unknown(&self) -> bool {
        matches!(self, Self::UnknownModel { .. } | Self::UnknownVersion { .. } | Self::UnknownAlias { .. })
    }
}
