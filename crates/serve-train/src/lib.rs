//! Training: from a data file to a proven bundle.
//!
//! A [`Dataset`] is read from CSV and ordered in time. [`train`] fits a smartcore model to the earlier part, lowers it
//! to the engine's own form, measures it on the later part through the pipeline that will serve it, beside the figures
//! of guessing, and lets smartcore answer the golden rows that the bundle has to reproduce. No file, no clock and no
//! random seed of its own: the same bytes and options give the same model.
//!
//! ```
//! use serve_train::{Algorithm, Dataset, DatasetOptions, Identity, TrainOptions, train};
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let mut csv = String::from("date,mood,move\n");
//! for day in 1..=28 {
//!     let (mood, direction) = if day % 3 == 0 { (0.8, "up") } else { (-0.4, "down") };
//!     csv += &format!("2024-02-{day:02},{mood},{direction}\n");
//! }
//! let dataset = Dataset::from_csv(csv.as_bytes(), &DatasetOptions::new("move"))?;
//! let trained = train(&dataset, &TrainOptions::new(Algorithm::LogisticRegression))?;
//! assert_eq!(trained.report().metrics.holdout["accuracy"], 1.0);
//! let created = "2026-01-01T00:00:00Z".to_owned();
//! let identity = Identity { name: "mood".parse()?, version: "v1".parse()?, feature_set: None, created };
//! let bundle = trained.into_builder(identity).build()?;
//! assert_eq!(bundle.manifest().golden.by, "smartcore 0.7.0");
//! # Ok(())
//! # }
//! ```
//!
//! | module | concept |
//! |---|---|
//! | [`dataset`] | rows, classes and times read from a file |
//! | [`settings`] | algorithms and their hyperparameters |
//! | [`smartcore`](mod@smartcore) | models that a program fitted with smartcore itself |
//! | [`training`], [`report`] | one training, and what it tells |
//! | [`metrics`] | accuracy, log loss, Brier score, ROC AUC |

mod boosting;
mod covers;
pub mod dataset;
mod error;
mod evaluation;
mod export;
mod fault;
#[cfg(test)]
mod fidelity;
mod fitted;
mod forest;
mod golden_rows;
mod logistic;
mod matrix;
pub mod metrics;
pub mod report;
pub mod settings;
pub mod smartcore;
mod split;
#[cfg(test)]
mod synthetic;
pub mod training;

pub use dataset::{Dataset, DatasetError, DatasetOptions, RowCounts};
pub use error::TrainError;
pub use fault::Fault;
pub use report::{Part, Report};
pub use settings::{Algorithm, Hyperparameters, InvalidSetting, Metric};
pub use training::{Identity, TrainOptions, Trained, train};
