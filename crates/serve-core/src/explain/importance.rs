//! What trees make of their inputs as a whole: how often each is asked, and how much its splits lowered the loss.

use std::sync::Arc;

use serde::ser::{Serialize, Serializer};

use super::labels::Labels;
use crate::engine::InvalidEstimator;
use crate::ensemble::Model;
use crate::pipeline::Estimator;
use crate::signature::Signature;
use crate::transform::output_names;
use crate::tree::{Node, Tree};

/// A number per feature.
#[derive(Debug, Clone, PartialEq)]
pub struct Importance {
    names: Arc<[String]>,
    values: Vec<f64>,
}

impl Importance {
    pub(super) fn new(names: Arc<[String]>, values: Vec<f64>) -> Self {
        Self { names, values }
    }

    /// Features with their numbers, in the order of an explanation's names.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, f64)> {
        self.names.iter().map(String::as_str).zip(self.values.iter().copied())
    }

    /// The greatest `count` of them, greatest first; those that are 0 are left out.
    #[must_use]
    pub fn top(&self, count: usize) -> Vec<(&str, f64)> {
        let mut sorted: Vec<_> = self.iter().filter(|(_, value)| *value != 0.0).collect();
        sorted.sort_by(|a, b| b.1.total_cmp(&a.1));
        sorted.truncate(count);
        sorted
    }
}

impl Serialize for Importance {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.iter())
    }
}

/// The importances that a tree ensemble tells by itself; both `None` for other models.
#[derive(Debug, Clone, PartialEq, Default, serde::Serialize)]
pub struct Importances {
    /// Sum of the gains of a feature's splits: LightGBM's `feature_importance("gain")`, XGBoost's `total_gain`. `None`
    /// where there are splits whose gains the file does not tell.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gain: Option<Importance>,
    /// Number of a feature's splits: LightGBM's `feature_importance("split")`, XGBoost's `weight`. Where gains are
    /// known, splits that gained nothing do not count, as in LightGBM.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub split: Option<Importance>,
}

impl Importances {
    /// Counts the splits of `estimator`'s trees. `O(nodes)`.
    ///
    /// # Errors
    /// When a transform cannot be applied.
    pub fn of(signature: &Signature, estimator: &Estimator) -> Result<Self, InvalidEstimator> {
        let inside = match &estimator.model {
            Model::Graph(graph) => graph.explainable().ok(),
            _ => None,
        };
        let model = inside.as_ref().map_or(&estimator.model, |inside| &inside.model);
        let Model::Trees(trees) = model else { return Ok(Self::default()) };
        let inputs: Vec<String> = signature.names().map(str::to_owned).collect();
        let columns = output_names(signature.names(), &estimator.transforms)?;
        let mut labels = Labels::default();
        let places: Vec<u32> = inputs.iter().map(|name| labels.place(name)).collect();
        let mut places = labels.of_columns(&inputs, &places, &estimator.transforms, &columns);
        if let Some(inside) = &inside {
            places = labels.of_graph(&columns, &places, &inside.columns);
        }
        let names: Arc<[String]> = labels.into_names().into();
        let (mut gains, mut splits) = (vec![0.0; names.len()], vec![0.0; names.len()]);
        let mut known = true;
        for tree in trees.trees() {
            for (feature, gain) in gains_of(&tree) {
                let place = places.get(feature).map_or(0, |&place| place as usize);
                known &= gain.is_some();
                if gain.is_none_or(|gain| gain > 0.0) {
                    gains[place] += gain.unwrap_or(0.0);
                    splits[place] += 1.0;
                }
            }
        }
        let gain = known.then(|| Importance::new(Arc::clone(&names), gains));
        Ok(Self { gain, split: Some(Importance::new(names, splits)) })
    }
}

/// The feature of each split, and its gain where it is known.
fn gains_of(tree: &Tree) -> impl Iterator<Item = (usize, Option<f64>)> {
    tree.nodes.iter().enumerate().filter_map(|(at, node)| match node {
        Node::Split { feature, .. } => Some((*feature as usize, tree.statistics.gain.get(at).copied())),
        Node::Leaf(_) => None,
    })
}
