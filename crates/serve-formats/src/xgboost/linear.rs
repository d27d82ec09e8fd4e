//! `gblinear`: a weight per feature and output, features outside, and then a bias per output. A score starts from bias
//! plus base score, in `f32`; missing features are left out. Every output starts from the first number of `base_score`,
//! whatever the file gives the others: that is what XGBoost 3.2 computes.

use serve_core::LinearModel;
use serve_core::ensemble::Model;
use serve_core::link::Precision;

use super::file::LinearBooster;
use super::forest::FREE_OUTPUTS;
use crate::error::{ImportError, Place};

const WEIGHTS: &str = "learner.gradient_booster.model.weights";
/// A model that was never trained has no weights, and claims as many as its features.
const FREE_WEIGHTS: usize = 1 << 20;

impl LinearBooster {
    /// Numbers in the file that bear out a number of outputs.
    pub(super) fn most_outputs(&self) -> usize {
        FREE_OUTPUTS.max(self.model.weights.len())
    }

    /// `base` has a number per output.
    pub(super) fn lower(&self, base: &[f64], features: usize) -> Result<Model, ImportError> {
        let outputs = base.len();
        let weights: Vec<f32> = self.model.weights.iter().map(|weight| weight.0).collect();
        let expected = (features + 1).checked_mul(outputs);
        let weights = match expected {
            Some(count) if weights.len() == count => weights,
            Some(count) if weights.is_empty() && count <= FREE_WEIGHTS => vec![0.0; count],
            _ => {
                let expected = format!("{features} features and a bias times {outputs} outputs");
                let got = weights.len().to_string();
                return Err(ImportError::invalid(Place::Path(WEIGHTS.to_owned()), expected, got));
            }
        };
        if let Some(place) = weights.iter().position(|weight| !weight.is_finite()) {
            let place_name = Place::Path(format!("{WEIGHTS}[{place}]"));
            return Err(ImportError::invalid(place_name, "a finite number", weights[place].to_string()));
        }
        let (slopes, biases) = weights.split_at(features * outputs);
        let of = |output: usize| slopes.iter().skip(output).step_by(outputs).map(|&weight| f64::from(weight));
        let intercept = biases.iter().map(|bias| f64::from(bias + base[0] as f32)).collect();
        LinearModel::new(features, (0..outputs).flat_map(of).collect(), intercept)
            .map(|model| Model::Linear(model.with_precision(Precision::F32)))
            .map_err(|error| ImportError::Graph {
                place: Place::Path(WEIGHTS.to_owned()),
                problem: error.to_string(),
            })
    }
}
