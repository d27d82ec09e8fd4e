//! Foreign model files lowered to the engine of serve-core: LightGBM's text models and dumps, XGBoost's JSON and UBJSON,
//! CatBoost's JSON, ONNX of tabular models, and scikit-learn pipelines as `tools/export_sklearn.py` writes them; each as it
//! is or in a folder of MLflow's.
//!
//! A file is read as hostile: nothing in it is executed, no count in it is believed before the data bears it out, and
//! whatever is wrong is told with its place. What cannot be answered exactly as the training library answers it is
//! refused, with a sentence that says what is supported.
//!
//! ```
//! use serve_core::{Pipeline, Target};
//! use serve_formats::{Format, import};
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let file = b"tree\nversion=v4\nnum_class=1\nnum_tree_per_iteration=1\nmax_feature_idx=0\n\
//!     objective=regression\nfeature_names=rain\nfeature_infos=[0:9]\n\n\
//!     Tree=0\nnum_leaves=2\nnum_cat=0\nsplit_feature=0\nthreshold=0.5\ndecision_type=2\n\
//!     left_child=-1\nright_child=-2\nleaf_value=10 20\n\nend of trees\n";
//! let model = import(file, Format::Auto)?;
//! let target = Target { name: "umbrellas".to_owned(), task: model.task.clone() };
//! let pipeline = Pipeline::new(model.signature()?, &model.estimator, target, Default::default())?;
//! assert_eq!(pipeline.predict(&[0.5])?.value(), Some(10.0));
//! assert_eq!(pipeline.predict(&[0.6])?.value(), Some(20.0));
//! # Ok(())
//! # }
//! ```
//!
//! | module | concept |
//! |---|---|
//! | [`format`](mod@format) | which formats there are, and what a file is by its content |
//! | [`imported`] | what a foreign file says |
//! | [`summary`] | what of it is worth telling a person |
//! | [`mlflow`] | which file a folder of MLflow holds |
//! | [`golden`] | proof for an imported model: the reference's own answers, or sampled rows |
//! | [`training_data`] | the rows that an imported model learned from, for its reference window |
//! | [`error`] | why a file was refused, and where in it |

mod catboost;
pub mod error;
pub mod format;
pub mod golden;
mod import;
pub mod imported;
mod lightgbm;
pub mod mlflow;
mod onnx;
mod sklearn;
pub mod summary;
pub mod training_data;
mod xgboost;

pub use error::{ImportError, Place};
pub use format::{FileKind, Format, UnknownFormat};
pub use golden::{GoldenError, read_golden, sample_golden};
pub use import::import;
pub use imported::{Feature, ImportedModel, InvalidOverride};
pub use mlflow::{MlflowError, MlflowModel};
pub use summary::{FeatureSummary, Summary};
pub use training_data::{TrainingData, TrainingDataError};
