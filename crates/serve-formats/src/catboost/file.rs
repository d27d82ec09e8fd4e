//! The JSON file as types. Only what changes an answer is read, the rest is skipped. CatBoost writes an empty list as
//! `null` or leaves it out.

use serde::Deserialize;
use serde_json::Value;

use crate::error::{ImportError, Place};

#[derive(Debug, Deserialize)]
pub(super) struct File {
    #[serde(default)]
    pub(super) model_info: ModelInfo,
    pub(super) features_info: FeaturesInfo,
    pub(super) oblivious_trees: Option<Vec<SymmetricTree>>,
    pub(super) trees: Option<Vec<TreeNode>>,
    #[serde(default = "identity")]
    pub(super) scale_and_bias: (f64, Vec<f64>),
}

fn identity() -> (f64, Vec<f64>) {
    (1.0, vec![0.0])
}

#[derive(Debug, Default, Deserialize)]
pub(super) struct ModelInfo {
    catboost_version_info: Option<String>,
    #[serde(default)]
    params: Value,
    /// In place of `params` where models were added up.
    pub(super) loss_function: Option<Value>,
    #[serde(default)]
    pub(super) class_params: Option<ClassParams>,
}

#[derive(Debug, Deserialize)]
pub(super) struct ClassParams {
    #[serde(default, rename = "class_label_type")]
    pub(super) label_type: String,
    #[serde(rename = "class_names")]
    pub(super) names: Option<Vec<Value>>,
    #[serde(rename = "class_to_label")]
    pub(super) labels: Option<Vec<Value>>,
}

impl ModelInfo {
    /// The trainer's parameters; some versions write them as a text.
    pub(super) fn parameters(&self) -> Value {
        match &self.params {
            Value::String(text) => serde_json::from_str(text).unwrap_or_default(),
            other => other.clone(),
        }
    }

    /// From a line such as `Branch: tags/v1.2.10` in the description of the build.
    pub(super) fn version(&self) -> Option<String> {
        let (_, rest) = self.catboost_version_info.as_deref()?.split_once("tags/v")?;
        let version: String = rest.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '.').collect();
        (1..=20).contains(&version.len()).then_some(version)
    }
}

#[derive(Debug, Deserialize)]
pub(super) struct FeaturesInfo {
    pub(super) float_features: Option<Vec<FloatFeature>>,
    pub(super) categorical_features: Option<Vec<CategoricalFeature>>,
    pub(super) ctrs: Option<Vec<serde::de::IgnoredAny>>,
    pub(super) cat_features_hash: Option<Vec<HashedText>>,
}

#[derive(Debug, Deserialize)]
pub(super) struct FloatFeature {
    pub(super) feature_index: usize,
    pub(super) flat_feature_index: usize,
    #[serde(default)]
    pub(super) feature_id: String,
    pub(super) feature_name: Option<String>,
    #[serde(default)]
    pub(super) has_nans: bool,
    pub(super) nan_value_treatment: String,
}

#[derive(Debug, Deserialize)]
pub(super) struct CategoricalFeature {
    pub(super) feature_index: usize,
    pub(super) flat_feature_index: usize,
    #[serde(default)]
    pub(super) feature_id: String,
    pub(super) feature_name: Option<String>,
    /// The hashes that splits ask for, as signed numbers.
    pub(super) values: Option<Vec<i32>>,
}

/// A hash and its text, written where the model was saved with `pool`.
#[derive(Debug, Deserialize)]
pub(super) struct HashedText {
    pub(super) hash: u32,
    pub(super) value: String,
}

#[derive(Debug, Deserialize)]
pub(super) struct SymmetricTree {
    pub(super) splits: Option<Vec<Split>>,
    /// `[leaves, outputs]`
    pub(super) leaf_values: Vec<f64>,
    pub(super) leaf_weights: Option<Vec<f64>>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Split {
    #[serde(rename = "split_type")]
    pub(super) kind: String,
    pub(super) float_feature_index: Option<usize>,
    pub(super) border: Option<f32>,
    pub(super) cat_feature_index: Option<usize>,
    pub(super) value: Option<i32>,
}

/// A split with both children, or a leaf with its value. How deep they may nest is bounded by the JSON reader.
#[derive(Debug, Deserialize)]
pub(super) struct TreeNode {
    pub(super) split: Option<Split>,
    pub(super) left: Option<Box<TreeNode>>,
    pub(super) right: Option<Box<TreeNode>>,
    pub(super) value: Option<LeafValue>,
    pub(super) weight: Option<f64>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum LeafValue {
    One(f64),
    Several(Vec<f64>),
}

impl LeafValue {
    pub(super) fn values(&self) -> &[f64] {
        match self {
            Self::One(value) => std::slice::from_ref(value),
            Self::Several(values) => values,
        }
    }
}

/// Reads twice where it fails: the second reading knows the path, which the first would pay for at every number.
pub(super) fn parse(bytes: &[u8]) -> Result<File, ImportError> {
    if let Ok(parsed) = serde_json::from_slice(bytes) {
        return Ok(parsed);
    }
    let failed = |path: String, source: serde_json::Error| {
        let place = if path == "." { format!("line {}", source.line()) } else { path };
        ImportError::CatBoostJson { place: Place::Path(place), source }
    };
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let parsed = serde_path_to_error::deserialize(&mut deserializer).map_err(|error| {
        // Keys come from the file.
        let path = error.path().to_string().escape_debug().take(200).collect();
        failed(path, error.into_inner())
    })?;
    deserializer.end().map_err(|source| failed(".".to_owned(), source))?;
    Ok(parsed)
}
