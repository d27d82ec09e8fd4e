//! The file as types, JSON and UBJSON alike. Only what changes an answer is read, the rest is skipped. Parameters are
//! texts that hold numbers. Missing keys that older versions did not write have defaults.

use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, Error, Visitor};
use serde_json::Value;

use crate::error::{ImportError, Place, shown};

/// What tells whether the rest can be read at all; the booster's own keys differ by its kind.
#[derive(Debug, Deserialize)]
pub(super) struct Head {
    pub(super) learner: HeadLearner,
    #[serde(default)]
    version: Vec<u32>,
}

#[derive(Debug, Deserialize)]
pub(super) struct HeadLearner {
    #[serde(default)]
    pub(super) attributes: BTreeMap<String, Value>,
    #[serde(default)]
    pub(super) feature_names: Vec<String>,
    #[serde(default)]
    pub(super) feature_types: Vec<String>,
    pub(super) gradient_booster: Named,
    #[serde(rename = "learner_model_param")]
    pub(super) param: LearnerParam,
    pub(super) objective: NamedObjective,
}

#[derive(Debug, Deserialize)]
pub(super) struct Named {
    pub(super) name: String,
}

#[derive(Debug, Deserialize)]
pub(super) struct NamedObjective {
    pub(super) name: String,
    pub(super) quantile_loss_param: Option<QuantileParam>,
}

#[derive(Debug, Deserialize)]
pub(super) struct QuantileParam {
    pub(super) quantile_alpha: String,
}

#[derive(Debug, Deserialize)]
pub(super) struct LearnerParam {
    pub(super) base_score: String,
    pub(super) boost_from_average: Option<String>,
    pub(super) num_class: String,
    pub(super) num_feature: String,
    pub(super) num_target: Option<String>,
}

impl Head {
    pub(super) fn version(&self) -> Option<String> {
        let digits: Vec<String> = self.version.iter().map(ToString::to_string).collect();
        (!digits.is_empty()).then(|| digits.join("."))
    }

    /// Whether a version from this one on wrote the file; one that does not say is taken for a new one.
    pub(super) fn since(&self, version: [u32; 2]) -> bool {
        self.version.is_empty() || self.version.as_slice() >= version.as_slice()
    }
}

/// The file again, for a booster of one kind.
#[derive(Debug, Deserialize)]
pub(super) struct Body<B> {
    pub(super) learner: BodyLearner<B>,
}

#[derive(Debug, Deserialize)]
pub(super) struct BodyLearner<B> {
    pub(super) gradient_booster: B,
}

#[derive(Debug, Deserialize)]
pub(super) struct TreeBooster {
    pub(super) model: TreeModel,
}

/// Its weights stand beside the trees, or since version 3.3 in their model.
#[derive(Debug, Deserialize)]
pub(super) struct DartBooster {
    pub(super) gbtree: TreeBooster,
    #[serde(default)]
    pub(super) weight_drop: Vec<Float>,
}

#[derive(Debug, Deserialize)]
pub(super) struct LinearBooster {
    pub(super) model: LinearWeights,
}

#[derive(Debug, Deserialize)]
pub(super) struct LinearWeights {
    pub(super) weights: Vec<Float>,
}

#[derive(Debug, Deserialize)]
pub(super) struct TreeModel {
    pub(super) gbtree_model_param: TreeModelParam,
    /// Where each round's trees begin, and the end; written since version 1.8.
    #[serde(default)]
    pub(super) iteration_indptr: Vec<i64>,
    pub(super) tree_info: Vec<i64>,
    pub(super) trees: Vec<FileTree>,
    #[serde(default)]
    pub(super) cats: Categories,
    #[serde(default)]
    pub(super) weight_drop: Vec<Float>,
}

#[derive(Debug, Deserialize)]
pub(super) struct TreeModelParam {
    pub(super) num_trees: String,
    pub(super) num_parallel_tree: Option<String>,
}

/// The categories that pandas columns were trained with, one entry per feature; written since version 3.1.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Categories {
    #[serde(default)]
    pub(super) enc: Vec<Encoding>,
}

/// Texts as one array of UTF-8 bytes with the offsets between them, or numbers. Both empty: the feature is a number.
#[derive(Debug, Deserialize)]
pub(super) struct Encoding {
    pub(super) offsets: Option<Vec<usize>>,
    pub(super) values: Vec<Number>,
}

/// Arrays with an element per node, unless they say otherwise.
#[derive(Debug, Deserialize)]
pub(super) struct FileTree {
    /// The tree's place among the others.
    pub(super) id: Option<i64>,
    pub(super) tree_param: TreeParam,
    pub(super) left_children: Vec<i64>,
    /// For a leaf of several values since version 3.1, their place in `leaf_weights`.
    pub(super) right_children: Vec<i64>,
    pub(super) split_indices: Vec<i64>,
    /// A split's threshold, or the value of a leaf that has one.
    pub(super) split_conditions: Vec<Float>,
    pub(super) default_left: Vec<Flag>,
    #[serde(default)]
    pub(super) sum_hessian: Vec<Float>,
    #[serde(default)]
    pub(super) loss_changes: Vec<Float>,
    /// `size_leaf_vector` values per node; those of leaves are what they answer before version 3.1.
    #[serde(default)]
    pub(super) base_weights: Vec<Float>,
    /// `size_leaf_vector` values per leaf.
    #[serde(default)]
    pub(super) leaf_weights: Vec<Float>,
    #[serde(default)]
    pub(super) split_type: Vec<u8>,
    #[serde(default)]
    pub(super) categories: Vec<i64>,
    #[serde(default)]
    pub(super) categories_nodes: Vec<i64>,
    #[serde(default)]
    pub(super) categories_segments: Vec<usize>,
    #[serde(default)]
    pub(super) categories_sizes: Vec<usize>,
}

#[derive(Debug, Deserialize)]
pub(super) struct TreeParam {
    pub(super) num_nodes: String,
    pub(super) num_deleted: Option<String>,
    pub(super) size_leaf_vector: Option<String>,
}

/// A number in single precision, rounded once from its text. `null` stands for one that is not finite, which JSON
/// cannot say.
#[derive(Debug, Clone, Copy)]
pub(super) struct Float(pub(super) f32);

impl<'de> Deserialize<'de> for Float {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let number = Option::<f32>::deserialize(deserializer)?;
        Ok(Self(number.unwrap_or(f32::NAN)))
    }
}

/// A number as its shortest text has it, so that a category of `0.1` in single precision is 0.1 in both forms of file.
#[derive(Debug, Clone)]
pub(super) struct Number(pub(super) serde_json::Number);

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct NumberVisitor;
        impl Visitor<'_> for NumberVisitor {
            type Value = Number;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number")
            }

            fn visit_i64<E: Error>(self, number: i64) -> Result<Number, E> {
                Ok(Number(number.into()))
            }

            fn visit_u64<E: Error>(self, number: u64) -> Result<Number, E> {
                Ok(Number(number.into()))
            }

            fn visit_f32<E: Error>(self, number: f32) -> Result<Number, E> {
                self.visit_f64(number.to_string().parse().unwrap_or(f64::NAN))
            }

            fn visit_f64<E: Error>(self, number: f64) -> Result<Number, E> {
                let finite = serde_json::Number::from_f64(number);
                finite.map(Number).ok_or_else(|| E::custom(format!("expected a finite number, got {number}")))
            }
        }
        deserializer.deserialize_any(NumberVisitor)
    }
}

/// `true` and `false`, or 1 and 0: both have been written.
#[derive(Debug, Clone, Copy)]
pub(super) struct Flag(pub(super) bool);

impl<'de> Deserialize<'de> for Flag {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct FlagVisitor;
        impl Visitor<'_> for FlagVisitor {
            type Value = Flag;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("true, false, 0 or 1")
            }

            fn visit_bool<E: Error>(self, flag: bool) -> Result<Flag, E> {
                Ok(Flag(flag))
            }

            fn visit_u64<E: Error>(self, flag: u64) -> Result<Flag, E> {
                match flag {
                    0 | 1 => Ok(Flag(flag == 1)),
                    other => Err(E::custom(format!("expected 0 or 1, got {other}"))),
                }
            }
        }
        deserializer.deserialize_any(FlagVisitor)
    }
}

/// A parameter's text as a count.
pub(super) fn count(text: &str, path: impl FnOnce() -> String) -> Result<usize, ImportError> {
    text.trim().parse().map_err(|_| ImportError::invalid(Place::Path(path()), "a count", shown(text)))
}
