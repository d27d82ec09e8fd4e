//! The seam by which a registry turns a bundle into something that predicts. The registry is given loaders; it never
//! learns what is inside a bundle.

use thiserror::Error;

use crate::bundle::{Bundle, BundleError, MODEL_FILE};
use crate::envelope::{self, EnvelopeError};
use crate::pipeline::{Estimator, InvalidPipeline, Pipeline};

/// Turns a bundle into a pipeline. Called off the serving path, on any thread.
pub trait ModelLoader: Send + Sync {
    /// Loads what the bundle holds.
    ///
    /// # Errors
    /// When the bundle cannot be loaded; the reason is told to people.
    fn load(&self, bundle: &Bundle) -> Result<Pipeline, LoadError>;
}

/// Why a bundle does not load.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum LoadError {
    /// A file of the bundle is missing.
    #[error(transparent)]
    Bundle(#[from] BundleError),
    /// `model.bin` cannot be read.
    #[error("{MODEL_FILE} cannot be read")]
    Envelope(#[from] EnvelopeError),
    /// The parts do not fit together.
    #[error("the bundle's parts do not fit together")]
    Pipeline(#[from] InvalidPipeline),
}

/// Loads models of the native engine.
#[derive(Debug, Clone, Copy, Default)]
pub struct EngineLoader;

impl ModelLoader for EngineLoader {
    fn load(&self, bundle: &Bundle) -> Result<Pipeline, LoadError> {
        let (model, link) = envelope::open_model(bundle.file(MODEL_FILE)?)?;
        let manifest = bundle.manifest();
        let estimator = Estimator {
            transforms: manifest.transforms.clone(),
            scaler: manifest.scaler.clone(),
            model,
            link,
        };
        let (signature, target) = (manifest.signature.clone(), manifest.target.clone());
        Ok(Pipeline::new(signature, &estimator, target, manifest.decision.clone())?)
    }
}
