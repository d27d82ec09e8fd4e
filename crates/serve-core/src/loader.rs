//! The seam by which a registry turns a bundle into something that predicts. The registry is given loaders; it never
//! learns what is inside a bundle.

use thiserror::Error;

use crate::bundle::{Bundle, BundleError, MODEL_FILE};
use crate::envelope::{self, EnvelopeError};
use crate::explain::{ExplainOptions, Explainer, Importances, Unexplainable};
use crate::pipeline::{Estimator, InvalidPipeline, Pipeline};

/// Turns a bundle into a pipeline. Called off the serving path, on any thread.
pub trait ModelLoader: Send + Sync {
    /// Loads what the bundle holds.
    ///
    /// # Errors
    /// When the bundle cannot be loaded; the reason is told to people.
    fn load(&self, bundle: &Bundle) -> Result<Pipeline, LoadError>;

    /// What explains the model that the bundle holds. Called at most once for a loaded version, and only if somebody asks.
    ///
    /// # Errors
    /// When the bundle cannot be read. A model that has no explanations is no error here.
    fn insight(&self, bundle: &Bundle) -> Result<Insight, LoadError> {
        let reason = format!("the loader of {} makes none", bundle.manifest().name);
        Ok(Insight { importances: Importances::default(), explainer: Err(Unexplainable::Kind { reason }) })
    }
}

/// What can be told about a model beside its predictions.
#[derive(Debug)]
pub struct Insight {
    /// What it makes of its inputs as a whole.
    pub importances: Importances,
    /// What explains its predictions.
    pub explainer: Result<Explainer, Unexplainable>,
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
    /// The loader does not trust the bundle, whatever it holds.
    #[error("it is not trusted")]
    Untrusted(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// Loads models of the native engine.
#[derive(Debug, Clone, Copy, Default)]
pub struct EngineLoader;

impl ModelLoader for EngineLoader {
    fn load(&self, bundle: &Bundle) -> Result<Pipeline, LoadError> {
        let (estimator, manifest) = (estimator(bundle)?, bundle.manifest());
        let (signature, target) = (manifest.signature.clone(), manifest.target.clone());
        Ok(Pipeline::new(signature, &estimator, target, manifest.decision.clone())?)
    }

    fn insight(&self, bundle: &Bundle) -> Result<Insight, LoadError> {
        let (estimator, manifest) = (estimator(bundle)?, bundle.manifest());
        let importances = Importances::of(&manifest.signature, &estimator).map_err(InvalidPipeline::from)?;
        // An imported model is explained as its own library does.
        let options = ExplainOptions { sums_of_averages: manifest.source.library == "lightgbm" };
        let explainer = Explainer::new(&manifest.signature, &estimator, &manifest.target, options);
        Ok(Insight { importances, explainer })
    }
}

fn estimator(bundle: &Bundle) -> Result<Estimator, LoadError> {
    let (model, link) = envelope::open_model(bundle.file(MODEL_FILE)?)?;
    let manifest = bundle.manifest();
    Ok(Estimator { transforms: manifest.transforms.clone(), scaler: manifest.scaler.clone(), model, link })
}
