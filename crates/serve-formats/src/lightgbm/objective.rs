//! The objective line, e.g. `binary sigmoid:1` or `multiclass num_class:3`: which link function a model has, and how
//! many trees make one round.

use serve_core::link::LinkFunction;

use super::section::Entry;
use crate::error::{ImportError, shown};

const SUPPORTED: &str = "binary, multiclass (softmax), multiclassova, and regression, regression_l1, huber, fair, \
                         quantile and mape without sqrt";

/// What the line says.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Objective {
    pub(super) text: String,
    pub(super) link: LinkFunction,
    /// Trees per round, one for each raw score.
    pub(super) outputs: usize,
}

impl Objective {
    /// `trees_per_round` is what the header says of it; a contradiction is refused.
    pub(super) fn read(entry: &Entry<'_>, trees_per_round: usize) -> Result<Self, ImportError> {
        let mut words = entry.value.split_ascii_whitespace();
        let name = words.next().unwrap_or_default();
        let words: Vec<&str> = words.collect();
        let (link, outputs) = match name {
            "binary" => (LinkFunction::Logistic { scale: sigmoid(entry, &words)? }, 1),
            "multiclass" | "softmax" => (LinkFunction::Softmax, class_count(entry, &words)?),
            "multiclassova" => {
                let function = LinkFunction::OneVsRest { scale: sigmoid(entry, &words)?, normalize: false };
                (function, class_count(entry, &words)?)
            }
            "regression" | "regression_l1" | "huber" | "fair" | "quantile" | "mape"
                if !words.contains(&"sqrt") =>
            {
                (LinkFunction::Identity, 1)
            }
            _ => {
                let what = format!("the objective {}", shown(entry.value));
                return Err(ImportError::Unsupported { place: entry.place(), what, supported: SUPPORTED });
            }
        };
        if outputs != trees_per_round {
            let expected = format!("an objective of {trees_per_round} trees a round, as in the header");
            return Err(entry.invalid(expected, shown(entry.value)));
        }
        Ok(Self { text: entry.value.trim().to_owned(), link, outputs })
    }

    /// A file without the line was trained with an objective of its owner's own, whose link function only they know.
    pub(super) fn missing(place: crate::error::Place) -> ImportError {
        let what = "a model without an objective (trained with one of your own)".to_owned();
        ImportError::Unsupported { place, what, supported: SUPPORTED }
    }
}

fn parameter<'a>(words: &[&'a str], name: &str) -> Option<&'a str> {
    words.iter().find_map(|word| word.strip_prefix(name)?.strip_prefix(':'))
}

fn sigmoid(entry: &Entry<'_>, words: &[&str]) -> Result<f64, ImportError> {
    let scale = parameter(words, "sigmoid").and_then(|text| text.parse::<f64>().ok());
    (scale.filter(|scale| *scale > 0.0 && scale.is_finite()))
        .ok_or_else(|| entry.invalid("sigmoid: and a number above 0", shown(entry.value)))
}

fn class_count(entry: &Entry<'_>, words: &[&str]) -> Result<usize, ImportError> {
    let count = parameter(words, "num_class").and_then(|text| text.parse::<usize>().ok());
    (count.filter(|count| *count >= 2))
        .ok_or_else(|| entry.invalid("num_class: and a count of at least 2", shown(entry.value)))
}
