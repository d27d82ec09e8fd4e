//! The part of the model server that everything else stands on: what a model takes, what is done to a row on its
//! way to a prediction, and how a model with its proof becomes bytes and comes back.
//!
//! The crate does no I/O, starts no thread but those of an [`engine::Pool`] that the caller makes, reads no clock and no
//! environment. A service embeds it by reading the
//! files of a bundle and calling [`Pipeline::predict`]:
//!
//! ```
//! use serve_core::{EngineLoader, ModelLoader};
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let bundle = serve_core::doctest::logistic_bundle();
//! // `bundle` came from `Bundle::open`, or from a registry.
//! let pipeline = EngineLoader.load(&bundle)?;
//! let prediction = pipeline.predict(&[0.5, 1.0])?;
//! assert_eq!(pipeline.label(&prediction), Some("up"));
//! assert_eq!(prediction.probabilities().map(<[f64]>::len), Some(2));
//! # Ok(())
//! # }
//! ```
//!
//! | module | concept |
//! |---|---|
//! | [`signature`] | what a model takes: ordered inputs, their types, ranges and missing-value policies |
//! | [`value`], [`number`], [`cell`] | one input value as it arrives at the edge, before it is a number; reading one from JSON; as the cell of a CSV |
//! | [`transform`], [`scaler`] | what is done to a row before inference, as data |
//! | [`linear`], [`tree`], [`ensemble`], [`graph`] | the engine's models |
//! | [`engine`] | the models compiled for speed; the bare engine, its kernels and its pool of threads |
//! | [`link`] | from raw scores to probabilities |
//! | [`decision`] | from probabilities to an answer |
//! | [`pipeline`], [`prediction`] | all of the above in order, and what comes out |
//! | [`explain`] | what each input added to a score, and what a model makes of its inputs as a whole |
//! | [`response`] | the answer as adapters write it |
//! | [`manifest`], [`bundle`], [`golden`], [`envelope`] | one version of one model as bytes, with its proof |
//! | [`reference`](mod@reference), [`drift`] | how the training data was distributed, and how far other values are from that |
//! | [`duration`], [`size`], [`name`], [`digest`] | values that configuration and files share |
//! | [`words`] | what a parser says of a value that does not fit, in plain words |
//! | [`short`] | maps by such names and digests |
//! | [`naive`] | a slow evaluator that shares no code with the engine, to prove it |

pub mod bundle;
pub mod cell;
pub mod decision;
pub mod digest;
#[doc(hidden)]
pub mod doctest;
pub mod drift;
pub mod duration;
pub mod engine;
pub mod ensemble;
pub mod envelope;
pub mod explain;
pub mod golden;
pub mod graph;
pub mod linear;
pub mod link;
pub mod loader;
pub mod manifest;
pub mod naive;
pub mod name;
pub mod number;
pub mod pipeline;
pub mod prediction;
pub mod reference;
pub mod response;
pub mod scaler;
pub mod short;
pub mod signature;
pub mod size;
pub mod transform;
pub mod tree;
mod unit;
pub mod value;
pub mod words;

pub use bundle::{Bundle, BundleBuilder, BundleError};
pub use decision::DecisionPolicy;
pub use digest::Digest;
pub use ensemble::{Member, Model, WeightedEnsemble};
pub use explain::{Explainer, Explanation};
pub use golden::{Golden, GoldenSource, ProofError, Tolerance};
pub use graph::Graph;
pub use linear::LinearModel;
pub use link::Link;
pub use loader::{EngineLoader, Insight, LoadError, ModelLoader};
pub use manifest::{Direction, Manifest, Metrics, SourceInfo, Target, Task};
pub use name::{Alias, InvalidName, ModelName, ModelRef, ModelVersion, Selector};
pub use pipeline::{Estimator, Pipeline, PredictError};
pub use prediction::{Answer, BatchPrediction, Prediction};
pub use scaler::Scaler;
pub use signature::{CheckedRow, Datatype, Input, InvalidInput, MissingPolicy, Range, Signature, Violation};
pub use size::ByteSize;
pub use transform::Transform;
pub use tree::{Node, Tree, TreeEnsemble};
pub use value::Value;
