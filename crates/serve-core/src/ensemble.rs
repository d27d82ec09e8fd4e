//! The models there are, and the one that is made of others: a weighted average of whole estimators, each with its own
//! transforms and scaler.

use std::cell::Cell;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};
use thiserror::Error;

use crate::graph::Graph;
use crate::linear::LinearModel;
use crate::pipeline::Estimator;
use crate::tree::TreeEnsemble;

/// How deep ensembles may hold ensembles.
pub(crate) const MAX_DEPTH: usize = 4;

/// What predicts, as data. The engine compiles it when a version is loaded.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
#[allow(clippy::large_enum_variant, reason = "there is one per loaded model")]
pub enum Model {
    /// A linear model.
    Linear(LinearModel),
    /// A tree ensemble.
    Trees(TreeEnsemble),
    /// A weighted average of estimators.
    Ensemble(WeightedEnsemble),
    /// A dataflow graph.
    Graph(Graph),
}

impl Model {
    /// Number of inputs it takes.
    #[must_use]
    pub fn inputs(&self) -> Option<usize> {
        match self {
            Self::Linear(model) => Some(model.inputs()),
            Self::Trees(model) => Some(model.inputs()),
            Self::Ensemble(_) => None,
            Self::Graph(graph) => Some(graph.inputs()),
        }
    }
}

/// One part of an ensemble.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Member {
    /// Its weight, above zero.
    pub weight: f64,
    /// The estimator.
    pub estimator: Estimator,
}

/// `Σ weightᵢ · scoresᵢ / Σ weightᵢ` over the members' answers after their link functions, added in their order, as
/// scikit-learn's soft `VotingClassifier` and `VotingRegressor`.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(transparent)]
pub struct WeightedEnsemble(Vec<Member>);

/// Why members make no ensemble.
#[derive(Debug, Clone, PartialEq, Error)]
#[non_exhaustive]
pub enum InvalidEnsemble {
    /// There are none.
    #[error("an ensemble needs at least one member")]
    Empty,
    /// A weight is not a positive number.
    #[error("member {member}: expected a weight above 0, got {weight}")]
    Weight {
        /// Which member, from 0.
        member: usize,
        /// Its weight.
        weight: f64,
    },
}

impl WeightedEnsemble {
    /// An ensemble of these members.
    ///
    /// # Errors
    /// When there are none, or a weight is not a positive number.
    pub fn new(members: Vec<Member>) -> Result<Self, InvalidEnsemble> {
        if members.is_empty() {
            return Err(InvalidEnsemble::Empty);
        }
        match members.iter().position(|m| !(m.weight > 0.0 && m.weight.is_finite())) {
            Some(member) => Err(InvalidEnsemble::Weight { member, weight: members[member].weight }),
            None => Ok(Self(members)),
        }
    }

    /// The members in order.
    #[must_use]
    pub fn members(&self) -> &[Member] {
        &self.0
    }
}

/// Counts how deep in each other ensembles are while they are read, so that a hostile file cannot exhaust the stack.
pub(crate) struct Depth;

thread_local! {
    static DEPTH: Cell<usize> = const { Cell::new(0) };
}

impl Depth {
    /// One level deeper, until the value is dropped.
    pub(crate) fn enter() -> Result<Self, String> {
        let depth = DEPTH.get();
        if depth >= MAX_DEPTH {
            return Err(format!("ensembles are nested more than {MAX_DEPTH} deep"));
        }
        DEPTH.set(depth + 1);
        Ok(Self)
    }
}

impl Drop for Depth {
    fn drop(&mut self) {
        DEPTH.set(DEPTH.get() - 1);
    }
}

impl<'de> Deserialize<'de> for WeightedEnsemble {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let _depth = Depth::enter().map_err(D::Error::custom)?;
        Self::new(Vec::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}
