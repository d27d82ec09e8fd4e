//! What was decided then: the rules of the versions that a log names.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use serve_core::decision::Decider;
use serve_core::{Answer, DecisionPolicy, Target, Task};
use serve_registry::Registry;

use crate::error::ScoreError;
use crate::log::LoggedScores;
use crate::model::PinnedModel;
use crate::tally::score_names;

/// How a version decides.
#[derive(Debug)]
pub(super) struct Rule {
    decider: Decider,
    labels: Vec<String>,
    /// The names of its scores, in order.
    pub(super) scores: Vec<String>,
    /// Its classes, sorted, where it has any.
    classes: Option<Vec<String>>,
    /// Whether it is the version's own, rather than the new one's in its place.
    pub(super) is_own: bool,
}

impl Rule {
    fn new(policy: &DecisionPolicy, target: &Target, is_own: bool) -> Option<Self> {
        let decider = Decider::new(policy, target).ok()?;
        let classes = match &target.task {
            Task::Classification { classes } => {
                let mut classes = classes.clone();
                classes.sort_unstable();
                Some(classes)
            }
            _ => None,
        };
        let (labels, scores) = (policy.labels(target).to_vec(), score_names(target));
        Some(Self { decider, labels, scores, classes, is_own })
    }

    /// What it answers, in a message.
    fn answers(&self) -> String {
        match &self.classes {
            Some(classes) => format!("the classes {}", classes.join(", ")),
            None if self.scores.len() == 1 => "one value".to_owned(),
            None => format!("{} values", self.scores.len()),
        }
    }

    /// The logged scores of a row, in order; none where one is missing. Of two classes one number is the second's.
    pub(super) fn logged(&self, scores: &LoggedScores, row: usize) -> Option<Vec<f64>> {
        let only = self.scores.len() == 1;
        let named: Option<Vec<f64>> = self.scores.iter().map(|name| scores.get(row, name, only)).collect();
        named.or_else(|| {
            let second = scores.unnamed(row).filter(|_| self.scores.len() == 2 && !self.labels.is_empty())?;
            Some(vec![1.0 - second, second])
        })
    }

    /// The label that they lead to; none for a plain value.
    pub(super) fn label(&self, scores: &[f64]) -> Option<&str> {
        match self.decider.decide(scores)? {
            Answer::Class(label) | Answer::Band { band: label, .. } => {
                self.labels.get(label).map(String::as_str)
            }
            _ => None,
        }
    }
}

/// The rules by model and version, each looked up once.
pub(super) struct Rules<'a> {
    registry: &'a Registry,
    new: Arc<Rule>,
    known: Mutex<BTreeMap<(String, String), Arc<Rule>>>,
}

impl<'a> Rules<'a> {
    pub(super) fn new(registry: &'a Registry, model: &PinnedModel) -> Result<Self, ScoreError> {
        let manifest = model.manifest();
        let rule = Rule::new(&manifest.decision, &manifest.target, false);
        let new = rule.ok_or_else(|| ScoreError::software("the model's own decision does not fit it"))?;
        Ok(Self { registry, new: Arc::new(new), known: Mutex::default() })
    }

    pub(super) fn of(&self, model: &str, version: &str) -> Arc<Rule> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (model.to_owned(), version.to_owned());
        Arc::clone(
            known.entry(key).or_insert_with(|| self.look_up(model, version).unwrap_or(Arc::clone(&self.new))),
        )
    }

    fn look_up(&self, model: &str, version: &str) -> Option<Arc<Rule>> {
        let manifest = self.registry.manifest(&model.parse().ok()?, &version.parse().ok()?).ok()?;
        Rule::new(&manifest.decision, &manifest.target, true).map(Arc::new)
    }

    /// Refuses a version whose answers are of another kind than the new one's: no decision could be the same.
    pub(super) fn check(&self, model: &str, version: &str, rule: &Rule) -> Result<(), ScoreError> {
        if rule.classes == self.new.classes && rule.scores.len() == self.new.scores.len() {
            return Ok(());
        }
        let (then, now) = (rule.answers(), self.new.answers());
        Err(ScoreError::plan(format!(
            "the log's {model}@{version} answered {then}, --model answers {now}: expected the same"
        )))
    }

    /// Whether a version decided by its own rule.
    pub(super) fn is_own(&self, model: &str, version: &str) -> bool {
        self.of(model, version).is_own
    }
}
