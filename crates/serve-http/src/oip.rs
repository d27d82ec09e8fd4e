//! The Open Inference Protocol (version 2) over REST, for a model or an explicit version of it, with these of its
//! extensions: binary tensors, classification, statistics, the model's configuration, the model repository, and of the
//! schedule policy `priority` and `timeout`.
//!
//! | module | concept |
//! |---|---|
//! | [`metadata`], [`config`] | what the server and its models are |
//! | [`infer`] | inference: `request`, `plain`, `tensor`, `datatype`, `flat` read it, `known` remembers it, `matrix` makes rows of tensors, `answer` and `outputs` answer |
//! | [`statistics`] | what was asked, and how long that took |
//! | [`repository`] | what there is; load and unload |
//!
//! A model whose inputs are all numbers shows one input `input`, FP64, `[-1, n]`; one with text inputs shows an input per
//! feature. `infer` takes either form for every model: one two-dimensional numeric tensor of any name, or one tensor per
//! feature. `null` and NaN are missing values.

mod answer;
pub mod config;
pub(crate) mod datatype;
mod flat;
mod guarded;
pub mod infer;
mod known;
mod matrix;
pub mod metadata;
mod outputs;
mod plain;
pub mod repository;
mod request;
pub mod statistics;
mod tensor;

use serve_app::{Code, ModelQuery, ServiceError};
use serve_core::{DecisionPolicy, Manifest, ModelName, Selector, Task};

use crate::call::Call;
use crate::failure::Failure;

/// The model and version that a path names. Health checkers look for the words of the message.
fn query(call: &Call) -> Result<ModelQuery, Failure> {
    let text = call.path("name");
    let name: ModelName = text.parse().map_err(|_| unknown(text, None))?;
    let version = call.path("version");
    if version.is_empty() {
        return Ok(ModelQuery::named(name, None));
    }
    let selector: Selector = version.parse().map_err(|_| unknown(text, Some(version)))?;
    Ok(ModelQuery::named(name, Some(selector)))
}

fn unknown(name: &str, version: Option<&str>) -> Failure {
    let message = match version {
        None => format!("Request for unknown model: {name:?} is not found"),
        Some(version) => format!("Request for unknown model: {name:?} version {version:?} is not found"),
    };
    ServiceError::new(Code::UnknownModel, message).into()
}

/// A service's error in the protocol's words.
fn failure(call: &Call, error: ServiceError) -> Failure {
    match error.code {
        Code::UnknownModel => unknown(call.path("name"), None),
        Code::UnknownVersion | Code::UnknownAlias => unknown(call.path("name"), Some(call.path("version"))),
        _ => Failure::from(error),
    }
}

/// What made the model, as the protocol's `platform`.
fn platform(manifest: &Manifest) -> String {
    format!("serve_{}", manifest.source.library)
}

/// What the output `predict` holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(test, derive(Default))]
enum Labels {
    /// Values of a regression: FP64.
    #[cfg_attr(test, default)]
    Values,
    /// Labels that are all whole numbers: INT64.
    Numbers,
    /// Labels: BYTES.
    Words,
}

impl Labels {
    fn of(manifest: &Manifest) -> Self {
        let labels = manifest.decision.labels(&manifest.target);
        match (&manifest.target.task, &manifest.decision) {
            (Task::Regression | Task::MultiRegression { .. }, DecisionPolicy::Argmax) => Self::Values,
            _ if labels.iter().all(|label| label.parse::<i64>().is_ok()) => Self::Numbers,
            _ => Self::Words,
        }
    }

    fn datatype(self) -> &'static str {
        match self {
            Self::Values => "FP64",
            Self::Numbers => "INT64",
            Self::Words => "BYTES",
        }
    }
}
