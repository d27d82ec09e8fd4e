//! The JSON file as types. Only what changes an answer is read, the rest is skipped. Parameters are texts that hold
//! numbers. Missing keys that older versions did not write have defaults.

use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, Error, Visitor};
use serde_json::Value;

use super::MODEL;
use crate::error::{ImportError, Place, shown};

/// What tells whether the rest can be read at all; the booster's and the objective's own keys differ by kind.
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
    pub(super) gradient_booster: Named,
    pub(super) learner_model_param: LearnerParam,
    pub(super) objective: Named,
}

#[derive(Debug, Deserialize)]
pub(super) struct Named {
    pub(super) name: String,
}

#[derive(Debug, Deserialize)]
pub(super) struct LearnerParam {
    pub(super) base_score: String,
    pub(super) num_class: String,
    pub(super) num_target: Option<String>,
}

impl Head {
    pub(super) fn version(&self) -> Option<String> {
        let digits: Vec<String> = self.version.iter().map(ToString::to_string).collect();
        (!digits.is_empty()).then(|| digits.join("."))
    }
}

#[derive(Debug, Deserialize)]
pub(super) struct File {
    pub(super) learner: Learner,
}

#[derive(Debug, Deserialize)]
pub(super) struct Learner {
    #[serde(default)]
    pub(super) feature_names: Vec<String>,
    #[serde(default)]
    pub(super) feature_types: Vec<String>,
    pub(super) gradient_booster: Booster,
    #[serde(rename = "learner_model_param")]
    pub(super) param: FeatureParam,
}

#[derive(Debug, Deserialize)]
pub(super) struct FeatureParam {
    pub(super) num_feature: String,
}

#[derive(Debug, Deserialize)]
pub(super) struct Booster {
    pub(super) model: BoosterModel,
}

#[derive(Debug, Deserialize)]
pub(super) struct BoosterModel {
    pub(super) gbtree_model_param: BoosterParam,
    pub(super) tree_info: Vec<i64>,
    pub(super) trees: Vec<FileTree>,
    #[serde(default)]
    pub(super) cats: Categories,
}

#[derive(Debug, Deserialize)]
pub(super) struct BoosterParam {
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
    pub(super) values: Vec<serde_json::Number>,
}

/// Arrays with an element per node.
#[derive(Debug, Deserialize)]
pub(super) struct FileTree {
    pub(super) tree_param: TreeParam,
    pub(super) left_children: Vec<i64>,
    pub(super) right_children: Vec<i64>,
    pub(super) split_indices: Vec<i64>,
    /// A split's threshold, or a leaf's value.
    pub(super) split_conditions: Vec<f32>,
    pub(super) default_left: Vec<Flag>,
    #[serde(default)]
    pub(super) sum_hessian: Vec<f32>,
    #[serde(default)]
    pub(super) loss_changes: Vec<f32>,
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

impl BoosterModel {
    /// Holds the counts against the arrays. Every class has a tree at least, so none of them can run away.
    pub(super) fn check(&self, outputs: usize) -> Result<(), ImportError> {
        let trees = self.trees.len();
        let invalid = |key: &str, expected: String, got: String| {
            Err(ImportError::invalid(Place::Path(format!("{MODEL}.{key}")), expected, got))
        };
        let told = &self.gbtree_model_param.num_trees;
        if count(told, || format!("{MODEL}.gbtree_model_param.num_trees"))? != trees {
            return invalid("gbtree_model_param.num_trees", trees.to_string(), shown(told));
        }
        if self.tree_info.len() != trees {
            return invalid("tree_info", format!("{trees} values"), self.tree_info.len().to_string());
        }
        if trees < outputs {
            return invalid("trees", format!("at least {outputs}, one per class"), trees.to_string());
        }
        let known = |class: i64| usize::try_from(class).is_ok_and(|class| class < outputs);
        match self.tree_info.iter().position(|&class| !known(class)) {
            Some(tree) => {
                let (key, last) = (format!("tree_info[{tree}]"), outputs - 1);
                invalid(&key, format!("0 to {last}"), self.tree_info[tree].to_string())
            }
            None => Ok(()),
        }
    }
}
