//! The registry: where versions of models lie, which of them answer, and how one replaces another without losing a
//! request. Synchronous, no runtime needed; a service embeds it as it is.
//!
//! ```
//! use serve_registry::Registry;
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let folder = tempfile::tempdir()?;
//! # let dir = folder.path();
//! # serve_registry::Storage::publish(&serve_registry::Directory::create(dir)?, &serve_core::doctest::logistic_bundle(), "doctest")?;
//! let registry = Registry::open(dir)?;
//! let deployment = registry.deployment("doctest")?;
//! let prediction = deployment.predict(&[0.5, 1.0])?;
//! assert_eq!(deployment.pipeline().label(&prediction), Some("up"));
//! # Ok(())
//! # }
//! ```
//!
//! | module | concept |
//! |---|---|
//! | [`storage`] | the seam to where bundles and aliases lie |
//! | [`directory`] | the storage that is a folder: atomic publish, locked alias changes |
//! | `object_store` | the storage that is a bucket, with the feature `s3`: conditional writes, copies on disk |
//! | [`url`] | from a path or `s3://…` to a storage |
//! | [`aliases`] | movable pointers to versions, with their history |
//! | [`deployment`] | one version loaded, proven and warmed |
//! | [`handle`] | one reference, looked up once and read many times |
//! | [`lifecycle`] | what versions are going through |
//! | [`cache`] | which versions stay loaded |
//! | [`summary`] | what is kept of a version that is not loaded |
//! | [`explanations`] | what explains a deployment, made at its first use |
//! | [`guard`] | a new champion held against the version it replaced, and taken back if it is worse |
//! | [`snapshot`] | what one model serves at one moment, and which version a request means |
//! | [`registry`] | all models: loading beside the serving path, the swap, reload, promote, rollback |
//! | [`push`](mod@push) | a version copied to another registry, proven on arrival |
//! | [`prune`](mod@prune) | which old versions may go |
//! | [`signature`] | who vouches for a version, and whom a server trusts |
//! | [`slot`] | the pointer that is swapped |

pub mod aliases;
mod arrival;
pub mod cache;
pub mod config;
pub mod deployment;
pub mod directory;
pub mod explanations;
pub mod guard;
pub mod handle;
pub mod jitter;
pub mod lifecycle;
#[cfg(feature = "s3")]
pub mod object_store;
pub mod prune;
pub mod push;
mod reaper;
pub mod registry;
pub mod signature;
pub mod slot;
pub mod snapshot;
pub mod storage;
pub mod summary;
mod sync;
pub mod url;

pub use aliases::{Aliases, Author};
pub use cache::CacheStats;
pub use config::{CacheConfig, ModelConfig, ObjectCacheConfig, Options, RegistryConfig};
pub use deployment::{Deployment, RefusedError};
pub use directory::Directory;
pub use explanations::Explanations;
pub use guard::{Guard, GuardConfig, Verdict};
pub use handle::Handle;
pub use lifecycle::{Lifecycle, Refusal, VersionState};
#[cfg(feature = "s3")]
pub use object_store::ObjectStorage;
pub use prune::{PruneOptions, prune};
pub use push::{PushError, Pushed, push};
pub use registry::{
    DeploymentError, PromoteError, Registry, ReloadOutcome, ReloadStatus, ToReference, Unloaded,
};
pub use signature::{PrivateKey, PublicKey, TrustedKeys, TrustedLoader};
pub use slot::Slot;
pub use snapshot::ModelSnapshot;
pub use storage::{DeleteError, PublishError, Storage, StorageError, change_aliases};
pub use url::{InvalidRegistryUrl, RegistryUrl, create_storage, open_storage};
