//! A model resolved once. What follows asks the registry for nothing, so a job answers from one version whatever is promoted
//! meanwhile.

use std::sync::Arc;

use serve_core::reference::Reference;
use serve_core::{Digest, Explainer, Manifest, ModelName, ModelVersion, Pipeline};
use serve_registry::registry::ToReference;
use serve_registry::{Deployment, Explanations, Registry};

use crate::error::ScoreError;

/// One version of one model, loaded and proven.
#[derive(Debug, Clone)]
pub struct PinnedModel {
    deployment: Arc<Deployment>,
    reference: Option<Arc<Reference>>,
}

impl PinnedModel {
    /// Resolves `N`, `N@V` or `N@alias`, and loads and proves what it leads to.
    ///
    /// # Errors
    /// [`ScoreError::Model`].
    pub fn resolve(registry: &Registry, reference: impl ToReference) -> Result<Self, ScoreError> {
        Ok(Self { deployment: registry.deployment(reference)?, reference: None })
    }

    /// As [`resolve`](Self::resolve), with what explains its answers.
    ///
    /// # Errors
    /// Also [`ScoreError::Unexplainable`].
    pub fn resolve_explained(registry: &Registry, reference: impl ToReference) -> Result<Self, ScoreError> {
        let model = Self::resolve(registry, reference)?;
        let made = registry.explanations(&model.deployment);
        let made = made.map_err(|error| ScoreError::Registry { reason: error.to_string() })?;
        match made.explainer() {
            Ok(_) => Ok(model),
            Err(source) => {
                Err(ScoreError::Unexplainable { model: model.to_string(), source: source.clone() })
            }
        }
    }

    /// The same model with its training window, where its bundle has one; the bundle is read once more for it.
    ///
    /// # Errors
    /// [`ScoreError::Registry`].
    pub fn with_reference(self, registry: &Registry) -> Result<Self, ScoreError> {
        let failed = |reason: String| ScoreError::Registry { reason };
        let bundle = registry.storage().bundle(self.name(), self.version());
        let bundle = bundle.map_err(|error| failed(error.to_string()))?;
        if bundle.digest() != self.digest() {
            return Err(failed("they have changed since they were loaded".to_owned()));
        }
        let reference = bundle.reference().map_err(|error| failed(error.to_string()))?;
        Ok(Self { reference: reference.map(Arc::new), ..self })
    }

    /// How its training data was distributed, where that is known and was asked for.
    #[must_use]
    pub fn reference(&self) -> Option<&Reference> {
        self.reference.as_deref()
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &ModelName {
        &self.manifest().name
    }

    /// Its version.
    #[must_use]
    pub fn version(&self) -> &ModelVersion {
        &self.manifest().version
    }

    /// The identity of its content.
    #[must_use]
    pub fn digest(&self) -> Digest {
        self.deployment.digest()
    }

    /// Its description.
    #[must_use]
    pub fn manifest(&self) -> &Manifest {
        self.deployment.manifest()
    }

    /// What predicts.
    #[must_use]
    pub fn pipeline(&self) -> &Pipeline {
        self.deployment.pipeline()
    }

    /// What explains, where it was resolved with that.
    #[must_use]
    pub fn explainer(&self) -> Option<&Explainer> {
        self.deployment.explanations().and_then(|made: &Explanations| made.explainer().ok())
    }
}

/// `name@version`.
impl std::fmt::Display for PinnedModel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}@{}", self.name(), self.version())
    }
}

/// Two are equal where name, version and content are.
impl PartialEq for PinnedModel {
    fn eq(&self, other: &Self) -> bool {
        (self.name(), self.version(), self.digest()) == (other.name(), other.version(), other.digest())
    }
}

impl Eq for PinnedModel {}
