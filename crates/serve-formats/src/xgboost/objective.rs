//! Booster and objective: which link function a model has, and how many raw scores.

use serve_core::link::LinkFunction;

use super::file::{Head, count};
use crate::error::{ImportError, Place, shown};

const BOOSTERS: &str = "gbtree";
const OBJECTIVES: &str = "binary:logistic, multi:softprob, multi:softmax, reg:squarederror";

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Objective {
    pub(super) link: LinkFunction,
    pub(super) outputs: usize,
}

impl Objective {
    pub(super) fn read(head: &Head) -> Result<Self, ImportError> {
        let learner = &head.learner;
        let unsupported = |path: &str, what: String, supported| {
            let place = Place::Path(format!("learner.{path}"));
            Err(ImportError::Unsupported { place, what, supported })
        };
        let (booster, name) = (&learner.gradient_booster.name, &learner.objective.name);
        if booster != "gbtree" {
            let what = format!("the booster {}", shown(booster));
            return unsupported("gradient_booster.name", what, BOOSTERS);
        }
        let targets = learner.learner_model_param.num_target.as_deref().unwrap_or("1");
        if count(targets, || "learner.learner_model_param.num_target".to_owned())? > 1 {
            let what = format!("a model of {targets} targets");
            return unsupported("learner_model_param.num_target", what, "models of one target");
        }
        let path = "learner.learner_model_param.num_class";
        let classes = count(&learner.learner_model_param.num_class, || path.to_owned())?;
        let (link, outputs, fits) = match name.as_str() {
            "binary:logistic" => (LinkFunction::Logistic { scale: 1.0 }, 1, classes <= 1),
            "reg:squarederror" | "reg:linear" => (LinkFunction::Identity, 1, classes <= 1),
            "multi:softprob" | "multi:softmax" => (LinkFunction::Softmax, classes, classes >= 2),
            _ => return unsupported("objective.name", format!("the objective {}", shown(name)), OBJECTIVES),
        };
        if fits {
            return Ok(Self { link, outputs });
        }
        let expected = format!("a number of classes that fits {name}");
        Err(ImportError::invalid(Place::Path(path.to_owned()), expected, classes.to_string()))
    }
}
