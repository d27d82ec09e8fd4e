//! Objectives of XGBoost 3.2: which link function a model has, what its `base_score` means, and how many numbers it
//! answers. Custom objectives are saved under the name of a built-in one, as XGBoost itself then answers.

use serve_core::Task;
use serve_core::link::LinkFunction;

use super::base_score;
use super::file::{Head, count};
use crate::error::{ImportError, Place, shown};
use crate::imported::numbered_classes;

const OBJECTIVES: &str = "binary:hinge, binary:logistic, binary:logitraw, count:poisson, multi:softmax, multi:softprob, \
    rank:map, rank:ndcg, rank:pairwise, reg:absoluteerror, reg:gamma, reg:logistic, reg:pseudohubererror, \
    reg:quantileerror, reg:squarederror, reg:squaredlogerror, reg:tweedie, survival:aft, survival:cox";

/// How `base_score` becomes what sums start from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Intercept {
    Margin,
    Probability,
    Mean,
}

#[derive(Debug)]
pub(super) struct Objective {
    pub(super) link: LinkFunction,
    pub(super) intercept: Intercept,
    pub(super) outputs: usize,
    pub(super) task: Task,
    /// What a person should know.
    pub(super) note: Option<&'static str>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Value(LinkValue),
    Binary,
    Hinge,
    Classes,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum LinkValue {
    Identity,
    Sigmoid,
    Exp,
}

/// What an objective answers, and what its `base_score` is.
fn rule(name: &str, head: &Head) -> Option<(Kind, Intercept)> {
    use Intercept::{Margin, Mean, Probability};
    Some(match name {
        "binary:hinge" => (Kind::Hinge, Margin),
        "binary:logistic" => (Kind::Binary, Probability),
        // Up to version 1.2 the base score of a raw margin is a probability.
        "binary:logitraw" if !head.since([1, 3]) => (Kind::Value(LinkValue::Identity), Probability),
        "multi:softmax" | "multi:softprob" => (Kind::Classes, Margin),
        "reg:logistic" => (Kind::Value(LinkValue::Sigmoid), Probability),
        "count:poisson" | "reg:gamma" | "reg:tweedie" | "survival:aft" | "survival:cox" => {
            (Kind::Value(LinkValue::Exp), Mean)
        }
        "binary:logitraw"
        | "rank:map"
        | "rank:ndcg"
        | "rank:pairwise"
        | "reg:absoluteerror"
        | "reg:linear"
        | "reg:pseudohubererror"
        | "reg:quantileerror"
        | "reg:squarederror"
        | "reg:squaredlogerror" => (Kind::Value(LinkValue::Identity), Margin),
        _ => return None,
    })
}

impl Objective {
    /// `most_outputs` is how many the trees or weights of the file bear out; a list of base scores may bear out more.
    pub(super) fn read(head: &Head, most_outputs: usize) -> Result<Self, ImportError> {
        let name = head.learner.objective.name.as_str();
        let unsupported = |what: String, supported| {
            let place = Place::Path("learner.objective.name".to_owned());
            Err(ImportError::Unsupported { place, what, supported })
        };
        let Some((kind, intercept)) = rule(name, head) else {
            return unsupported(format!("the objective {}", shown(name)), OBJECTIVES);
        };
        let (classes, targets) = (parameter(head, "num_class")?, parameter(head, "num_target")?.max(1));
        let fits = if kind == Kind::Classes { classes >= 2 && targets == 1 } else { classes <= 1 };
        if !fits {
            let expected = format!("a number of classes that fits {name} and {targets} targets");
            let place = Place::Path("learner.learner_model_param.num_class".to_owned());
            return Err(ImportError::invalid(place, expected, classes.to_string()));
        }
        if kind == Kind::Hinge && targets > 1 {
            return unsupported(format!("the objective {name:?} with {targets} targets"), "one target");
        }
        let outputs = classes.max(targets);
        let most = most_outputs.max(base_score::scores(head)?.len());
        if outputs > most {
            let key = if classes > targets { "num_class" } else { "num_target" };
            let place = Place::Path(format!("learner.learner_model_param.{key}"));
            let expected = format!("at most {most}, for as many are borne out by the rest of the file");
            return Err(ImportError::invalid(place, expected, outputs.to_string()));
        }
        Ok(Self {
            link: link(kind, targets),
            intercept,
            outputs,
            task: task(kind, outputs, head),
            note: note(name, targets, head),
        })
    }
}

fn link(kind: Kind, targets: usize) -> LinkFunction {
    match kind {
        Kind::Value(LinkValue::Identity) => LinkFunction::Identity,
        Kind::Value(LinkValue::Exp) => LinkFunction::Exp,
        Kind::Binary if targets == 1 => LinkFunction::Logistic { scale: 1.0 },
        Kind::Value(LinkValue::Sigmoid) | Kind::Binary => {
            LinkFunction::OneVsRest { scale: 1.0, normalize: false }
        }
        Kind::Hinge => LinkFunction::Hinge,
        Kind::Classes => LinkFunction::Softmax,
    }
}

fn parameter(head: &Head, key: &'static str) -> Result<usize, ImportError> {
    let param = &head.learner.param;
    let text = if key == "num_class" {
        param.num_class.as_str()
    } else {
        param.num_target.as_deref().unwrap_or("1")
    };
    count(text, || format!("learner.learner_model_param.{key}"))
}

fn task(kind: Kind, outputs: usize, head: &Head) -> Task {
    match kind {
        Kind::Classes | Kind::Hinge => numbered_classes(outputs.max(2)),
        Kind::Binary if outputs == 1 => numbered_classes(2),
        _ if outputs == 1 => Task::Regression,
        _ => Task::MultiRegression { outputs: output_names(outputs, head) },
    }
}

/// The quantiles of a model that answers several, else numbers.
fn output_names(outputs: usize, head: &Head) -> Vec<String> {
    let numbered = || (0..outputs).map(|output| format!("output_{output}")).collect();
    let Some(param) = &head.learner.objective.quantile_loss_param else { return numbered() };
    let list = param.quantile_alpha.trim_matches(['[', ']', '(', ')']);
    let alphas: Vec<f32> = list.split(',').filter_map(|alpha| alpha.trim().parse().ok()).collect();
    let ascending = alphas.is_sorted_by(|a, b| a < b);
    if alphas.len() == outputs && ascending {
        alphas.iter().map(|alpha| format!("quantile_{alpha}")).collect()
    } else {
        numbered()
    }
}

fn note(name: &str, targets: usize, head: &Head) -> Option<&'static str> {
    match name {
        "binary:logistic" if targets > 1 => {
            Some("several labels at once: the answer is the probability of each label by itself")
        }
        "binary:logitraw" if !head.since([1, 3]) => Some(
            "the answer is the margin, without a link function; base_score is read as a probability, as versions up to 1.2 have it",
        ),
        "binary:logitraw" => Some("the answer is the margin, without a link function, as XGBoost has it"),
        "multi:softmax" => Some(
            "multi:softmax: the class answered is XGBoost's; the probabilities are those of multi:softprob",
        ),
        _ => None,
    }
}
