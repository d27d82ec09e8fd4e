//! The objective, e.g. `binary sigmoid:1` or `multiclass num_class:3`: what a model answers, which link function makes
//! it of the raw scores, and how many trees make one round.
//!
//! Only the words that LightGBM writes there, and its aliases of them, are known. `sqrt` stands behind the objectives of
//! regression that were trained on square roots. Without an objective the trainer had one of its own, and LightGBM
//! answers with the raw scores.

use serve_core::Task;
use serve_core::link::LinkFunction;

use crate::error::{ImportError, Place, shown};
use crate::imported::numbered_classes;

const SUPPORTED: &str = "binary, cross_entropy, cross_entropy_lambda, multiclass (softmax), multiclassova, regression, \
                         regression_l1, huber, fair, quantile, mape, poisson, gamma, tweedie, lambdarank, rank_xendcg, \
                         custom";

/// What the objective says.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Objective {
    pub(super) text: String,
    pub(super) link: LinkFunction,
    pub(super) task: Task,
    /// Trees per round, one for each raw score.
    pub(super) outputs: usize,
    pub(super) note: Option<String>,
}

impl Objective {
    /// `trees_per_round` is what the header says of it; a contradiction is refused.
    pub(super) fn read(text: &str, place: &Place, trees_per_round: usize) -> Result<Self, ImportError> {
        let mut words = text.split_ascii_whitespace();
        let name = words.next().unwrap_or_default();
        let words: Vec<&str> = words.collect();
        let line = Line { text, place, words: &words };
        let outputs = match name {
            "custom" | "none" | "null" | "na" => return Ok(Self::custom(text, trees_per_round)),
            "multiclass" | "softmax" | "multiclassova" | "multiclass_ova" | "ova" | "ovr" => {
                line.class_count()?
            }
            _ => 1,
        };
        if outputs != trees_per_round {
            return Err(
                line.invalid(format!("an objective of {trees_per_round} trees a round, as in the header"))
            );
        }
        let classes = |link| (link, numbered_classes(outputs.max(2)));
        let value = |link| (link, Task::Regression);
        let (link, task) = match name {
            "binary" => classes(LinkFunction::Logistic { scale: line.sigmoid()? }),
            "cross_entropy" | "xentropy" => classes(LinkFunction::Logistic { scale: 1.0 }),
            "multiclass" | "softmax" => classes(LinkFunction::Softmax),
            "multiclassova" | "multiclass_ova" | "ova" | "ovr" => {
                classes(LinkFunction::OneVsRest { scale: line.sigmoid()?, normalize: false })
            }
            "cross_entropy_lambda" | "xentlambda" => value(LinkFunction::Softplus),
            "poisson" | "gamma" | "tweedie" => value(LinkFunction::Exp),
            "regression" | "regression_l1" | "fair" | "quantile" | "mape" if words.contains(&"sqrt") => {
                value(LinkFunction::SignedSquare)
            }
            "regression" | "regression_l1" | "huber" | "fair" | "quantile" | "mape" | "lambdarank"
            | "rank_xendcg" => value(LinkFunction::Identity),
            _ => {
                let what = format!("the objective {}", shown(text));
                return Err(ImportError::Unsupported { place: place.clone(), what, supported: SUPPORTED });
            }
        };
        Ok(Self { text: text.trim().to_owned(), link, task, outputs, note: None })
    }

    /// The objective of a file that names none.
    pub(super) fn custom(text: &str, trees_per_round: usize) -> Self {
        let task = match trees_per_round {
            1 => Task::Regression,
            _ => Task::MultiRegression { outputs: (0..trees_per_round).map(|k| k.to_string()).collect() },
        };
        let note = "the model was trained with an objective of its owner's own, which the file does not hold: the \
                    answers are raw scores";
        Self {
            text: text.trim().to_owned(),
            link: LinkFunction::Identity,
            task,
            outputs: trees_per_round,
            note: Some(note.to_owned()),
        }
    }
}

/// The words behind the objective's name, and where they stand.
struct Line<'a> {
    text: &'a str,
    place: &'a Place,
    words: &'a [&'a str],
}

impl Line<'_> {
    fn invalid(&self, expected: impl Into<String>) -> ImportError {
        ImportError::invalid(self.place.clone(), expected, shown(self.text))
    }

    fn parameter(&self, name: &str) -> Option<&str> {
        self.words.iter().find_map(|word| word.strip_prefix(name)?.strip_prefix(':'))
    }

    fn sigmoid(&self) -> Result<f64, ImportError> {
        let scale = self.parameter("sigmoid").and_then(|text| text.parse::<f64>().ok());
        (scale.filter(|scale| *scale > 0.0 && scale.is_finite()))
            .ok_or_else(|| self.invalid("sigmoid: and a number above 0"))
    }

    fn class_count(&self) -> Result<usize, ImportError> {
        let count = self.parameter("num_class").and_then(|text| text.parse::<usize>().ok());
        (count.filter(|count| *count >= 2))
            .ok_or_else(|| self.invalid("num_class: and a count of at least 2"))
    }
}
