//! The JSON form as types; `docs/importing/sklearn.md` describes it. A key that is not known is a mistake.

use serde::Deserialize;

use super::number::Number;
use super::tree::TreeFile;

/// What tells whether the rest can be read.
#[derive(Debug, Deserialize)]
pub(super) struct Head {
    pub(super) format: String,
    pub(super) version: u64,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct File {
    #[serde(rename = "format")]
    _format: String,
    #[serde(rename = "version")]
    _version: u64,
    pub(super) sklearn: String,
    pub(super) model: String,
    pub(super) task: TaskName,
    pub(super) classes: Option<Vec<String>>,
    pub(super) outputs: Option<usize>,
    pub(super) answer: Answer,
    pub(super) features: Vec<FeatureFile>,
    pub(super) refuse: Vec<usize>,
    pub(super) nodes: Vec<NodeFile>,
    pub(super) output: usize,
    pub(super) golden: GoldenFile,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum TaskName {
    Classification,
    Regression,
}

/// Which method of the pipeline the scores are of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Answer {
    PredictProba,
    Predict,
    Value,
    DecisionFunction,
}

impl Answer {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::PredictProba => "predict_proba",
            Self::Predict | Self::Value => "predict",
            Self::DecisionFunction => "decision_function",
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FeatureFile {
    pub(super) name: String,
    pub(super) required: bool,
    pub(super) vocabulary: Option<Vec<String>>,
    pub(super) unknown: Option<f64>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct GoldenFile {
    pub(super) rows: Vec<Vec<Number>>,
    pub(super) scores: Vec<Vec<Number>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NodeFile {
    /// Where in the pipeline it comes from, for people.
    pub(super) from: String,
    pub(super) op: OpFile,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum OpFile {
    Columns(Columns),
    Constant(Constant),
    Take(Take),
    Concat(Parts),
    Unary(Apply),
    Binary(Join),
    Where(Parts),
    Reduce(Apply),
    Argmax(One),
    Link(Link),
    Scale(Scale),
    Linear(Linear),
    Trees(Trees),
    Kernel(Kernel),
    Coupling(Coupling),
    Encode(Encode),
    WeightedMedian(WeightedMedian),
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Columns {
    pub(super) columns: Vec<u32>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Constant {
    pub(super) values: Vec<Number>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Take {
    pub(super) of: usize,
    pub(super) columns: Vec<usize>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Parts {
    pub(super) of: Vec<usize>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct One {
    pub(super) of: usize,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Apply {
    pub(super) of: usize,
    pub(super) function: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Join {
    pub(super) of: [usize; 2],
    pub(super) function: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Link {
    pub(super) of: usize,
    pub(super) function: LinkName,
    pub(super) scale: Option<f64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum LinkName {
    Logistic,
    Softmax,
    Exp,
    Hinge,
    Complement,
    Normalize,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Scale {
    pub(super) of: usize,
    pub(super) kind: ScaleKind,
    pub(super) center: Option<Vec<f64>>,
    pub(super) scale: Option<Vec<f64>>,
    pub(super) min: Option<Vec<f64>>,
    pub(super) clip: Option<(f64, f64)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum ScaleKind {
    Standard,
    Robust,
    MaxAbs,
    MinMax,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Linear {
    pub(super) of: usize,
    pub(super) weights: Vec<Vec<f64>>,
    pub(super) intercept: Vec<f64>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Trees {
    pub(super) of: usize,
    pub(super) outputs: u32,
    pub(super) aggregation: Aggregation,
    pub(super) base: Vec<f64>,
    pub(super) input: InputPrecision,
    pub(super) trees: Vec<TreeFile>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Aggregation {
    Sum,
    Average,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum InputPrecision {
    F32,
    F64,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Kernel {
    pub(super) of: usize,
    pub(super) kind: KernelKind,
    pub(super) gamma: f64,
    pub(super) coef0: f64,
    pub(super) degree: f64,
    pub(super) vectors: Vec<Vec<f64>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum KernelKind {
    Linear,
    Poly,
    Rbf,
    Sigmoid,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Coupling {
    pub(super) of: usize,
    pub(super) classes: u32,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Encode {
    pub(super) of: usize,
    pub(super) columns: Vec<Table>,
}

/// What an encoder makes of one column.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Table {
    pub(super) keys: Vec<Number>,
    pub(super) values: Vec<Vec<Number>>,
    pub(super) otherwise: Vec<Number>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WeightedMedian {
    pub(super) of: usize,
    pub(super) weights: Vec<f64>,
}
