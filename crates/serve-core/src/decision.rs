//! From scores to an answer. The policy stands in the manifest, so every adapter gives the same answer.

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::manifest::{Target, Task};
use crate::prediction::Answer;

/// How probabilities (or a value) become an answer.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind", deny_unknown_fields)]
#[non_exhaustive]
pub enum DecisionPolicy {
    /// The most probable class, the first of equals; for regression, the value itself.
    #[default]
    Argmax,
    /// The most probable of the classes that reach their threshold; where none does, `otherwise`.
    Thresholds {
        /// One threshold per class, in class order.
        thresholds: Vec<f64>,
        /// The class answered where none reaches its threshold.
        otherwise: String,
    },
    /// A label by which band the probability of one class (or the value of a regression) falls into.
    Bands {
        /// The class whose probability is looked at; left out for regression.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        class: Option<String>,
        /// Ascending cuts; a score on a cut belongs to the band above it.
        cuts: Vec<f64>,
        /// One label per band, one more than cuts, e.g. `SELL`, `HOLD`, `BUY`.
        labels: Vec<String>,
        /// The label that means "no answer", if one does.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        abstain: Option<String>,
    },
}

/// A policy that does not fit its target.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("decision policy: {problem}")]
#[non_exhaustive]
pub struct InvalidPolicy {
    /// What is wrong.
    pub problem: String,
}

/// Decides about scores that came from elsewhere, such as a log of predictions.
#[derive(Debug)]
pub struct Decider {
    decide: Decide,
    scores: usize,
}

impl Decider {
    /// By a policy for a target.
    ///
    /// # Errors
    /// When the policy does not fit the target.
    ///
    /// ```
    /// use serve_core::decision::Decider;
    /// use serve_core::{Answer, DecisionPolicy, Target, Task};
    /// let task = Task::Classification { classes: vec!["down".to_owned(), "up".to_owned()] };
    /// let decider = Decider::new(&DecisionPolicy::Argmax, &Target { name: "direction".to_owned(), task })?;
    /// assert_eq!(decider.decide(&[0.4, 0.6]), Some(Answer::Class(1)));
    /// # Ok::<(), serve_core::decision::InvalidPolicy>(())
    /// ```
    pub fn new(policy: &DecisionPolicy, target: &Target) -> Result<Self, InvalidPolicy> {
        Ok(Self { decide: policy.resolve(target)?, scores: target.task.scores() })
    }

    /// The answer for one row's scores, in their order; none where they are too few or too many.
    #[must_use]
    pub fn decide(&self, scores: &[f64]) -> Option<Answer> {
        (scores.len() == self.scores).then(|| self.decide.answer(scores).0)
    }
}

/// A policy with its names resolved to positions.
#[derive(Debug)]
pub(crate) enum Decide {
    Value,
    Argmax,
    Thresholds(Vec<f64>, usize),
    Bands { class: Option<usize>, cuts: Vec<f64>, abstain: Option<usize> },
}

fn argmax(scores: impl Iterator<Item = (usize, f64)>) -> Option<usize> {
    let mut best: Option<(usize, f64)> = None;
    for (class, score) in scores {
        if best.is_none_or(|(_, greatest)| score > greatest) {
            best = Some((class, score));
        }
    }
    best.map(|(class, _)| class)
}

impl DecisionPolicy {
    /// The labels that an answer can have, in order; none for a plain regression.
    #[must_use]
    pub fn labels<'a>(&'a self, target: &'a Target) -> &'a [String] {
        match self {
            Self::Bands { labels, .. } => labels,
            Self::Argmax | Self::Thresholds { .. } => target.task.classes(),
        }
    }

    pub(crate) fn resolve(&self, target: &Target) -> Result<Decide, InvalidPolicy> {
        let invalid = |problem: String| InvalidPolicy { problem };
        let classes = target.task.classes();
        let class_number = |name: &String| {
            let found = classes.iter().position(|class| class == name);
            found.ok_or_else(|| invalid(format!("there is no class {name:?}")))
        };
        match self {
            Self::Argmax if !target.task.is_classification() => Ok(Decide::Value),
            Self::Argmax => Ok(Decide::Argmax),
            Self::Thresholds { thresholds, otherwise } => {
                if thresholds.len() != classes.len() {
                    let (expected, got) = (classes.len(), thresholds.len());
                    return Err(invalid(format!("expected {expected} thresholds, one per class, got {got}")));
                }
                if let Some(class) = thresholds.iter().position(|t| t.is_nan()) {
                    return Err(invalid(format!(
                        "the threshold of class {:?} is not a number",
                        classes[class]
                    )));
                }
                Ok(Decide::Thresholds(thresholds.clone(), class_number(otherwise)?))
            }
            Self::Bands { .. } if matches!(target.task, Task::MultiRegression { .. }) => {
                Err(invalid("bands need one score, the target has several".to_owned()))
            }
            Self::Bands { class, cuts, labels, abstain } => {
                let numbers = !cuts.iter().any(|cut| cut.is_nan());
                if labels.len() != cuts.len() + 1 || !numbers || !cuts.is_sorted_by(|a, b| a < b) {
                    return Err(invalid("expected ascending cuts and one label more than cuts".to_owned()));
                }
                if class.is_some() == classes.is_empty() {
                    return Err(invalid(
                        "bands need a class for classification, and none for regression".to_owned(),
                    ));
                }
                let abstain = abstain.as_ref().map(|name| {
                    let found = labels.iter().position(|label| label == name);
                    found.ok_or_else(|| invalid(format!("there is no band {name:?} to abstain with")))
                });
                let class = class.as_ref().map(class_number).transpose()?;
                Ok(Decide::Bands { class, cuts: cuts.clone(), abstain: abstain.transpose()? })
            }
        }
    }
}

impl Decide {
    /// The answer for one row's scores, and its confidence.
    pub(crate) fn answer(&self, scores: &[f64]) -> (Answer, Option<f64>) {
        let numbered = || scores.iter().copied().enumerate();
        match self {
            Self::Value => (Answer::Value, None),
            Self::Argmax => {
                let class = match scores {
                    // Without a branch: of two classes either may win, and the next row would wait for a wrong guess.
                    [first, second] => usize::from(second > first),
                    _ => argmax(numbered()).unwrap_or_default(),
                };
                (Answer::Class(class), Some(scores[class]))
            }
            Self::Thresholds(thresholds, otherwise) => {
                let class = argmax(numbered().filter(|(i, p)| *p >= thresholds[*i])).unwrap_or(*otherwise);
                (Answer::Class(class), Some(scores[class]))
            }
            Self::Bands { class, cuts, abstain } => {
                let score = scores[class.unwrap_or(0)];
                let band = cuts.partition_point(|cut| *cut <= score);
                let confidence = class.map(|_| score.max(1.0 - score));
                (Answer::Band { band, abstains: *abstain == Some(band) }, confidence)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target() -> Target {
        let classes = vec!["down".to_owned(), "up".to_owned()];
        Target { name: "direction".to_owned(), task: Task::Classification { classes } }
    }

    #[test]
    fn the_first_of_equals_wins() {
        let decide = DecisionPolicy::Argmax.resolve(&target()).expect("valid");
        assert_eq!(decide.answer(&[0.5, 0.5]), (Answer::Class(0), Some(0.5)));
    }

    #[test]
    fn thresholds_fall_back_to_the_named_class() {
        let policy = DecisionPolicy::Thresholds { thresholds: vec![0.8, 0.7], otherwise: "down".to_owned() };
        let decide = policy.resolve(&target()).expect("valid");
        assert_eq!(decide.answer(&[0.35, 0.65]), (Answer::Class(0), Some(0.35)));
        assert_eq!(decide.answer(&[0.3, 0.7]), (Answer::Class(1), Some(0.7)));
    }

    #[test]
    fn bands_abstain_in_the_middle() {
        let policy = DecisionPolicy::Bands {
            class: Some("up".to_owned()),
            cuts: vec![0.4, 0.6],
            labels: ["SELL", "HOLD", "BUY"].map(str::to_owned).to_vec(),
            abstain: Some("HOLD".to_owned()),
        };
        let decide = policy.resolve(&target()).expect("valid");
        assert_eq!(decide.answer(&[0.5, 0.5]).0, Answer::Band { band: 1, abstains: true });
        assert_eq!(decide.answer(&[0.4, 0.6]), (Answer::Band { band: 2, abstains: false }, Some(0.6)));
        assert_eq!(policy.labels(&target())[2], "BUY");
    }

    #[test]
    fn policies_that_do_not_fit_are_refused() {
        let policy = DecisionPolicy::Thresholds { thresholds: vec![0.5], otherwise: "down".to_owned() };
        let error = policy.resolve(&target()).expect_err("refused");
        assert_eq!(error.to_string(), "decision policy: expected 2 thresholds, one per class, got 1");
    }
}
