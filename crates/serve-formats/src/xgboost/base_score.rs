//! What sums start from. `base_score` is a prediction, so for a probability it is turned back into a margin, in `f32`.
//! It is one number, or since version 3.1 a list in brackets, one per class.
//!
//! The logarithm is taken in `f64` and rounded, which gave the bits of XGBoost (glibc's `logf`) for every golden model;
//! `libm::logf` is one unit off for some, and with it every sum.

use serve_core::link::LinkFunction;

use super::file::Head;
use super::objective::Objective;
use crate::error::{ImportError, Place, shown};

pub(super) fn read(head: &Head, objective: &Objective) -> Result<Vec<f64>, ImportError> {
    let text = &head.learner.learner_model_param.base_score;
    let invalid = |expected: &str| {
        let place = Place::Path("learner.learner_model_param.base_score".to_owned());
        ImportError::invalid(place, expected, shown(text))
    };
    let list = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    let scores: Result<Vec<f32>, _> = list.split(',').map(|score| score.trim().parse::<f32>()).collect();
    let mut scores = scores.map_err(|_| invalid("a number, or a list of them"))?;
    if scores.len() == 1 {
        scores = vec![scores[0]; objective.outputs];
    }
    if scores.len() != objective.outputs {
        return Err(invalid(&format!("1 or {} numbers", objective.outputs)));
    }
    let logit = |score: f32| -(libm::log(f64::from(1.0 / score - 1.0)) as f32);
    let margin = |score: f32| match objective.link {
        LinkFunction::Logistic { .. } if score <= 0.0 || score >= 1.0 => Err(invalid("above 0 and below 1")),
        LinkFunction::Logistic { .. } => Ok(f64::from(logit(score))),
        _ => Ok(f64::from(score)),
    };
    let margins = scores.into_iter().map(margin).collect::<Result<Vec<f64>, _>>()?;
    if margins.iter().all(|margin| margin.is_finite()) { Ok(margins) } else { Err(invalid("finite numbers")) }
}
