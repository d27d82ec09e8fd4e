//! The loss function: which link function a model has, and what its outputs mean. The answer is that of CatBoost's own
//! `predict_proba` for classifiers, and of `CatBoostRegressor.predict` and `CatBoostRanker.predict` for the others:
//! raw values, but exponentials for Poisson and Tweedie.

use serde_json::Value;
use serve_core::Task;
use serve_core::link::LinkFunction;

use super::file::{ClassParams, ModelInfo};
use crate::error::{ImportError, Place, shown};
use crate::imported::{numbered_classes, unusable};

const SUPPORTED: &str = "CatBoost's own loss functions, but for those of text and embeddings";
const RAW: [&str; 23] = [
    "RMSE",
    "MAE",
    "MAPE",
    "Quantile",
    "LogLinQuantile",
    "Lq",
    "Huber",
    "Expectile",
    "LogCosh",
    "GroupQuantile",
    "Cox",
    "SurvivalAft",
    "QueryRMSE",
    "QuerySoftMax",
    "QueryCrossEntropy",
    "PairLogit",
    "PairLogitPairwise",
    "YetiRank",
    "YetiRankPairwise",
    "LambdaMart",
    "StochasticFilter",
    "StochasticRank",
    "PythonUserDefinedPerObject",
];
const RAW_SEVERAL: [&str; 4] =
    ["MultiRMSE", "MultiRMSEWithMissingValues", "MultiQuantile", "PythonUserDefinedMultiTarget"];

#[derive(Debug)]
pub(super) struct Objective {
    /// With its parameters, as CatBoost's users write it: `Quantile:alpha=0.3`.
    pub(super) name: String,
    pub(super) link: LinkFunction,
    pub(super) task: Task,
    pub(super) notes: Vec<String>,
}

impl Objective {
    pub(super) fn read(info: &ModelInfo, outputs: usize) -> Result<Self, ImportError> {
        let name = name(info)?;
        let kind = name.split(':').next().unwrap_or_default().to_owned();
        let several = || Task::MultiRegression { outputs: (0..outputs).map(|k| k.to_string()).collect() };
        let mut notes = Vec::new();
        let (link, task, fits) = match kind.as_str() {
            "Logloss" | "CrossEntropy" | "Focal" => {
                (LinkFunction::Logistic { scale: 1.0 }, classes(info, 2), outputs == 1)
            }
            "MultiClass" => (LinkFunction::Softmax, classes(info, outputs), outputs >= 2),
            "MultiClassOneVsAll" => (one_vs_rest(), classes(info, outputs), outputs >= 2),
            "MultiLogloss" | "MultiCrossEntropy" => {
                notes.push("each output is the probability of one label by itself".to_owned());
                (one_vs_rest(), several(), outputs >= 2)
            }
            "Poisson" | "Tweedie" => (LinkFunction::Exp, Task::Regression, outputs == 1),
            "RMSEWithUncertainty" => {
                notes.push("the second output is the logarithm of the standard deviation".to_owned());
                let names = ["mean", "log_standard_deviation"].map(str::to_owned).to_vec();
                (LinkFunction::Identity, Task::MultiRegression { outputs: names }, outputs == 2)
            }
            _ if RAW.contains(&kind.as_str()) => (LinkFunction::Identity, Task::Regression, outputs == 1),
            _ if RAW_SEVERAL.contains(&kind.as_str()) => (LinkFunction::Identity, several(), outputs >= 2),
            _ => {
                let (place, what) = (place(), format!("the loss function {}", shown(&name)));
                return Err(ImportError::Unsupported { place, what, supported: SUPPORTED });
            }
        };
        if fits {
            return Ok(Self { name, link, task, notes });
        }
        let place = Place::Path("scale_and_bias[1]".to_owned());
        Err(ImportError::invalid(place, format!("a number of outputs that fits {kind}"), outputs.to_string()))
    }
}

fn place() -> Place {
    Place::Path("model_info.params.loss_function".to_owned())
}

fn one_vs_rest() -> LinkFunction {
    LinkFunction::OneVsRest { scale: 1.0, normalize: false }
}

/// The loss function is an object of type and parameters, or its text where models were added up.
fn name(info: &ModelInfo) -> Result<String, ImportError> {
    let parameters = info.parameters();
    let function = parameters.get("loss_function").or(info.loss_function.as_ref());
    let parsed = function.and_then(Value::as_str).and_then(|text| serde_json::from_str::<Value>(text).ok());
    let function = parsed.as_ref().or(function);
    let missing = || ImportError::Missing { place: place(), what: "the loss function".to_owned() };
    match function {
        Some(Value::String(name)) => Ok(name.clone()),
        Some(Value::Object(function)) => {
            let kind = function.get("type").and_then(Value::as_str).ok_or_else(missing)?;
            let own = |(name, value): (&String, &Value)| {
                let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
                (!name.starts_with("__")).then(|| format!("{name}={value}"))
            };
            let given: Vec<String> = function
                .get("params")
                .and_then(Value::as_object)
                .into_iter()
                .flatten()
                .filter_map(own)
                .collect();
            let colon = if given.is_empty() { "" } else { ":" };
            Ok(format!("{kind}{colon}{}", given.join(";")))
        }
        _ => Err(missing()),
    }
}

/// The labels, as Python prints them; numbered where the file has none that fit.
fn classes(info: &ModelInfo, count: usize) -> Task {
    let label = |params: &ClassParams, value: &Value| match (value, params.label_type.as_str()) {
        (Value::String(text), _) => text.clone(),
        (Value::Bool(true), _) => "True".to_owned(),
        (Value::Bool(false), _) => "False".to_owned(),
        (Value::Number(number), "Float") => format!("{:?}", number.as_f64().unwrap_or(f64::NAN)),
        (other, _) => other.to_string(),
    };
    let named = info.class_params.as_ref().and_then(|params| {
        let named = params.names.as_ref().filter(|names| names.len() == count);
        let values = named.or(params.labels.as_ref()).filter(|values| values.len() == count)?;
        Some(values.iter().map(|value| label(params, value)).collect::<Vec<String>>())
    });
    match named.filter(|labels| unusable(labels.iter().map(String::as_str)).is_none()) {
        Some(classes) => Task::Classification { classes },
        None => numbered_classes(count),
    }
}
