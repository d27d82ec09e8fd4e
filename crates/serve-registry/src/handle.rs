//! A handle on what one reference means: the model is looked up once, and every read after that sees what serves at that
//! moment. For a service that predicts in a loop.

use std::sync::Arc;

use serve_core::{ModelRef, PredictError, Prediction, Selector};
use thiserror::Error;

use crate::deployment::Deployment;
use crate::registry::{DeploymentError, Shared};
use crate::slot::Slot;
use crate::snapshot::ModelSnapshot;

/// Why a handle gives no prediction.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum HandleError {
    /// Nothing answers.
    #[error(transparent)]
    Deployment(#[from] DeploymentError),
    /// The row has no answer.
    #[error(transparent)]
    Predict(#[from] PredictError),
}

/// See the module. Cheap to clone; it keeps what it needs of the registry alive, but a registry that is closed loads
/// nothing any more.
#[derive(Clone)]
pub struct Handle {
    shared: Arc<Shared>,
    slot: Arc<Slot<ModelSnapshot>>,
    reference: ModelRef,
}

impl std::fmt::Debug for Handle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Handle").field(&self.reference).finish()
    }
}

impl Handle {
    pub(crate) fn new(shared: Arc<Shared>, slot: Arc<Slot<ModelSnapshot>>, reference: ModelRef) -> Self {
        Self { shared, slot, reference }
    }

    /// Calls `read` with what serves now, which cannot be freed meanwhile: do not block in it. Loads nothing.
    ///
    /// # Errors
    /// When nothing is loaded that the reference means; [`Registry::deployment`](crate::Registry::deployment) loads it.
    pub fn with<R>(&self, read: impl FnOnce(&Deployment) -> R) -> Result<R, DeploymentError> {
        let now = self.shared.now();
        let Selector::Alias(alias) = &self.reference.selector else {
            return self.current().map(|deployment| read(&deployment));
        };
        let mut read = Some(read);
        let done = self.slot.with(|snapshot| {
            let deployment = snapshot.pointing.get(alias)?.deployment()?;
            deployment.touch(now);
            read.take().map(|read| read(deployment))
        });
        match (done, read) {
            (Some(done), _) => Ok(done),
            // Why nothing is loaded; or it was loaded between the two looks.
            (None, Some(read)) => self.current().map(|deployment| read(&deployment)),
            (None, None) => Err(DeploymentError::Closed),
        }
    }

    /// What serves now. Loads nothing.
    ///
    /// # Errors
    /// As [`with`](Self::with).
    pub fn current(&self) -> Result<Arc<Deployment>, DeploymentError> {
        let resolution = self.slot.with(|snapshot| snapshot.resolve(&self.reference.selector));
        self.shared.outcome(&self.reference, resolution)
    }

    /// Predicts one row of numbers in the signature's order with what serves now; NaN means missing.
    ///
    /// # Errors
    /// When nothing is loaded, or the row has no answer.
    pub fn predict(&self, row: &[f64]) -> Result<Prediction, HandleError> {
        Ok(self.with(|deployment| deployment.predict(row))??)
    }
}
