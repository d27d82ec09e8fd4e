//! What sums start from. `base_score` is a prediction, so it is turned back into a margin, in `f32`. It is one number, or
//! since version 3.1 a list in brackets, one per output.
//!
//! Since version 3.1 a probability may be 0 or 1, and is moved away from both by 1e-6.
//!
//! A model without a round of training starts from 0.5, whatever its base score, if that was to be estimated: that is
//! what XGBoost 3.2 computes, where older versions use the base score.

use super::file::Head;
use super::logarithm::ln;
use super::objective::{Intercept, Objective};
use crate::error::{ImportError, Place, shown};

const NEAREST: f32 = 1e-6;
const UNFITTED: f64 = 0.5;

/// The numbers that the file has: one for all outputs, or one per output.
pub(super) fn scores(head: &Head) -> Result<Vec<f32>, ImportError> {
    let text = &head.learner.param.base_score;
    let list = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    let scores = list.split(',').map(|score| score.trim().parse::<f32>());
    scores.collect::<Result<_, _>>().map_err(|_| invalid(head, "a number, or a list of them"))
}

/// What the sum of each output starts from. `fitted` is whether there was a round of training.
pub(super) fn margins(head: &Head, objective: &Objective, fitted: bool) -> Result<Vec<f64>, ImportError> {
    let estimated = head.learner.param.boost_from_average.as_deref().is_some_and(|flag| flag.trim() != "0");
    if !fitted && estimated && head.since([3, 1]) {
        return Ok(vec![UNFITTED; objective.outputs]);
    }
    let mut scores = scores(head)?;
    if scores.len() == 1 {
        scores = vec![scores[0]; objective.outputs];
    }
    if scores.len() != objective.outputs {
        return Err(invalid(head, &format!("1 or {} numbers", objective.outputs)));
    }
    let margin = |score: f32| match objective.intercept {
        Intercept::Margin => Ok(score),
        Intercept::Mean => Ok(ln(score)),
        Intercept::Probability if head.since([3, 1]) && (0.0..=1.0).contains(&score) => {
            Ok(-ln(1.0 / score.clamp(NEAREST, 1.0 - NEAREST) - 1.0))
        }
        Intercept::Probability if score > 0.0 && score < 1.0 => Ok(-ln(1.0 / score - 1.0)),
        Intercept::Probability => Err(invalid(head, "above 0 and below 1")),
    };
    let margins = scores.into_iter().map(margin).collect::<Result<Vec<f32>, _>>()?;
    match margins.iter().all(|margin| margin.is_finite()) {
        true => Ok(margins.into_iter().map(f64::from).collect()),
        false if objective.intercept == Intercept::Mean => Err(invalid(head, "finite numbers above 0")),
        false => Err(invalid(head, "finite numbers")),
    }
}

fn invalid(head: &Head, expected: &str) -> ImportError {
    let place = Place::Path("learner.learner_model_param.base_score".to_owned());
    ImportError::invalid(place, expected, shown(&head.learner.param.base_score))
}
