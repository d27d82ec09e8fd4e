//! What explains the predictions of a deployment. It is made at its first use and not before, from the bundle's files,
//! which are read once more: whoever never explains pays neither memory nor time. It lives as long as its deployment.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use serve_core::explain::{Importance, Importances, Unexplainable};
use serve_core::words::with_causes;
use serve_core::{Bundle, Explainer, LoadError, ModelLoader};
use thiserror::Error;

use crate::deployment::Deployment;
use crate::storage::Storage;

/// Why explanations could not be made this time.
#[derive(Debug, Clone, Error)]
#[error("the files of {model} cannot be read again to explain it: {reason}")]
#[non_exhaustive]
pub struct ReadAgainError {
    /// `name@version`.
    pub model: String,
    /// Why, with every cause.
    pub reason: Arc<str>,
}

/// What explains a deployment.
#[derive(Debug)]
pub struct Explanations {
    explainer: Result<Explainer, Unexplainable>,
    importances: Importances,
    mean_abs_shap: Option<Importance>,
    row_cost: Duration,
}

impl Explanations {
    /// What explains a row.
    ///
    /// # Errors
    /// When the model has no explanations.
    pub fn explainer(&self) -> Result<&Explainer, &Unexplainable> {
        self.explainer.as_ref()
    }

    /// Importances that the model tells by itself.
    #[must_use]
    pub fn importances(&self) -> &Importances {
        &self.importances
    }

    /// The mean magnitude of each feature's contributions over the golden rows.
    #[must_use]
    pub fn mean_abs_shap(&self) -> Option<&Importance> {
        self.mean_abs_shap.as_ref()
    }

    /// What explaining one golden row cost, on average.
    #[must_use]
    pub fn row_cost(&self) -> Duration {
        self.row_cost
    }
}

#[derive(Debug, Error)]
enum ReadAgain {
    #[error(transparent)]
    Storage(#[from] crate::storage::StorageError),
    #[error(transparent)]
    Bundle(#[from] serve_core::BundleError),
    #[error(transparent)]
    Load(#[from] LoadError),
    #[error("they have changed since they were loaded")]
    Changed,
}

/// A place for explanations, empty at first.
#[derive(Debug, Default)]
pub(crate) struct Lazy {
    made: OnceLock<Explanations>,
    /// Invariant: whoever makes them holds it, so that many first requests make them once. It guards no data.
    making: Mutex<()>,
}

impl Lazy {
    pub(crate) fn get(&self) -> Option<&Explanations> {
        self.made.get()
    }

    /// The explanations, made now if need be. A model that cannot be explained is an outcome and kept; files that cannot
    /// be read are not.
    pub(crate) fn get_or_make(
        &self,
        deployment: &Deployment,
        storage: &dyn Storage,
        loader: &dyn ModelLoader,
    ) -> Result<&Explanations, ReadAgainError> {
        let _making = self.making.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(made) = self.made.get() {
            return Ok(made);
        }
        let made = read_again(deployment, storage).and_then(|bundle| make(&bundle, loader));
        let made = made.map_err(|error| {
            let manifest = deployment.manifest();
            ReadAgainError {
                model: format!("{}@{}", manifest.name, manifest.version),
                reason: with_causes(&error).into(),
            }
        })?;
        Ok(self.made.get_or_init(|| made))
    }
}

fn read_again(deployment: &Deployment, storage: &dyn Storage) -> Result<Bundle, ReadAgain> {
    let manifest = deployment.manifest();
    let bundle = storage.bundle(&manifest.name, &manifest.version)?;
    if bundle.digest() == deployment.digest() { Ok(bundle) } else { Err(ReadAgain::Changed) }
}

fn make(bundle: &Bundle, loader: &dyn ModelLoader) -> Result<Explanations, ReadAgain> {
    let insight = loader.insight(bundle)?;
    let golden = bundle.golden()?;
    let start = Instant::now();
    let mean_abs_shap = match &insight.explainer {
        Ok(explainer) => explainer.mean_magnitudes(golden.rows.iter().map(Vec::as_slice)),
        Err(_) => None,
    };
    let rows = u32::try_from(golden.rows.len()).unwrap_or(u32::MAX).max(1);
    Ok(Explanations {
        explainer: insight.explainer,
        importances: insight.importances,
        mean_abs_shap,
        row_cost: start.elapsed() / rows,
    })
}
