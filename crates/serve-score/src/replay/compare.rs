//! Logged answers against new ones, row by row.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::Float64Type;
use arrow_array::{Array, StringArray};

use super::changes::{Change, keep_most};
use super::rules::{Rule, Rules};
use crate::error::ScoreError;
use crate::log::{Logged, text};
use crate::plan::Plan;
use crate::scorer::Scored;
use crate::tally::{Tally, score_names};

/// Rows by what became of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Rows {
    pub(super) read: u64,
    /// That are no rows.
    pub(super) broken: u64,
    /// Of other models or versions.
    pub(super) skipped: u64,
    pub(super) rejected: u64,
    pub(super) without_scores: u64,
    pub(super) compared: u64,
    pub(super) changed: u64,
}

/// What is known of some rows.
#[derive(Debug, Default)]
pub(super) struct Part {
    pub(super) rows: Rows,
    pub(super) sum: f64,
    pub(super) greatest: f64,
    /// Decisions then and now.
    pub(super) decisions: BTreeMap<(String, String), u64>,
    /// Rows by logged model and version.
    pub(super) versions: BTreeMap<(String, String), u64>,
    /// The rows that change most.
    pub(super) most: Vec<Change>,
    /// By how much a row has to change more than which, to be one of them.
    least: Option<f64>,
    /// All rows whose decision changes, where they are wanted.
    pub(super) changes: Vec<Change>,
    pub(super) tally: Option<Tally>,
}

impl Part {
    fn keep_most(&mut self, top: usize) {
        keep_most(&mut self.most, top);
        let full = self.most.len() == top;
        self.least = self.most.last().filter(|_| full).map(|change| change.difference.abs());
    }

    fn count_version(&mut self, version: Option<Ruled<'_>>, rows: u64) {
        if let Some((model, version, _)) = version {
            *self.versions.entry((model.to_owned(), version.to_owned())).or_default() += rows;
        }
    }

    pub(super) fn merge(&mut self, other: Self, top: usize) {
        let (mine, more) = (&mut self.rows, other.rows);
        mine.read += more.read;
        mine.broken += more.broken;
        mine.skipped += more.skipped;
        mine.rejected += more.rejected;
        mine.without_scores += more.without_scores;
        mine.compared += more.compared;
        mine.changed += more.changed;
        self.sum += other.sum;
        self.greatest = self.greatest.max(other.greatest);
        for (mine, others) in [(&mut self.decisions, other.decisions), (&mut self.versions, other.versions)] {
            others.into_iter().for_each(|(key, rows)| *mine.entry(key).or_default() += rows);
        }
        self.most.extend(other.most);
        self.keep_most(top);
        Tally::add(&mut self.tally, other.tally.as_ref());
    }
}

/// A model and version with its rule.
type Ruled<'a> = (&'a str, &'a str, Arc<Rule>);

/// How rows are compared.
pub(super) struct Comparison<'a> {
    pub(super) plan: &'a Plan,
    pub(super) rules: &'a Rules<'a>,
    pub(super) tolerance: f64,
    pub(super) top: usize,
    /// Whether all changes are wanted.
    pub(super) all: bool,
}

/// The answers of a batch.
struct Answers<'a> {
    labels: Option<&'a StringArray>,
    scores: Vec<&'a [f64]>,
    names: Vec<String>,
}

impl Comparison<'_> {
    /// Adds the rows of a batch.
    pub(super) fn add(&self, logged: &Logged, scored: &Scored, part: &mut Part) -> Result<(), ScoreError> {
        Tally::add(&mut part.tally, scored.tally.as_ref());
        part.rows.rejected += scored.rejects.len() as u64;
        let answers = self.answers(scored)?;
        let mut rejected = scored.rejects.iter().map(|reject| reject.row).peekable();
        let mut answered = 0;
        // Rows of one version mostly follow each other.
        let (mut last, mut alike): (Option<Ruled<'_>>, u64) = (None, 0);
        for (row, number) in logged.numbers.iter().enumerate() {
            let (model, version) = (text(&logged.model, row), text(&logged.version, row));
            if last.as_ref().is_none_or(|(known, of, _)| (*known, *of) != (model, version)) {
                let rule = self.rules.of(model, version);
                self.rules.check(model, version, &rule)?;
                let before = last.replace((model, version, rule));
                part.count_version(before, std::mem::take(&mut alike));
            }
            alike += 1;
            let Some((_, _, rule)) = &last else { continue };
            let rule = Arc::clone(rule);
            if rejected.next_if_eq(number).is_some() {
                continue;
            }
            let (answer, before) = (answered, rule.logged(&logged.scores, row));
            answered += 1;
            match before {
                Some(before) => self.compare(logged, row, &rule, &before, (&answers, answer), part),
                None => part.rows.without_scores += 1,
            }
        }
        part.count_version(last.take(), alike);
        part.keep_most(self.top);
        Ok(())
    }

    fn answers<'a>(&self, scored: &'a Scored) -> Result<Answers<'a>, ScoreError> {
        let manifest = self.plan.model().manifest();
        let names = score_names(&manifest.target);
        let labelled = !manifest.decision.labels(&manifest.target).is_empty();
        let columns = scored.answers.columns();
        let labels =
            if labelled { columns.first().and_then(|column| column.as_string_opt::<i32>()) } else { None };
        let scores = columns.iter().skip(usize::from(labelled)).take(names.len());
        let scores: Option<Vec<&[f64]>> =
            scores.map(|column| Some(&column.as_primitive_opt::<Float64Type>()?.values()[..])).collect();
        match scores {
            Some(scores) if scores.len() == names.len() && labelled == labels.is_some() => {
                Ok(Answers { labels, scores, names })
            }
            _ => Err(ScoreError::software("the answers are not those of the plan")),
        }
    }

    fn compare(
        &self,
        logged: &Logged,
        row: usize,
        rule: &Rule,
        before: &[f64],
        (answers, answer): (&Answers<'_>, usize),
        part: &mut Part,
    ) {
        let (score, old, new) = differing(rule, before, answers, answer);
        let difference = new - old;
        let old_decision = rule.label(before);
        let new_decision = answers.labels.map(|labels| labels.value(answer));
        let changed = match (old_decision, new_decision) {
            (None, None) => difference.abs() > self.tolerance,
            (old, new) => old != new,
        };
        part.rows.compared += 1;
        part.rows.changed += u64::from(changed);
        part.sum += difference.abs();
        part.greatest = part.greatest.max(difference.abs());
        if let (Some(old), Some(new)) = (old_decision, new_decision) {
            count(&mut part.decisions, old, new);
        }
        // Most rows change less than those that are told already.
        let among_most =
            self.top > 0 && difference != 0.0 && part.least.is_none_or(|least| difference.abs() > least);
        if !(among_most || changed && self.all) {
            return;
        }
        let told = |column: &Option<StringArray>| {
            column.as_ref().filter(|column| !column.is_null(row)).map(|column| column.value(row).to_owned())
        };
        let change = Change {
            row: logged.numbers[row],
            prediction_id: told(&logged.prediction_id),
            entity: told(&logged.entity),
            version: text(&logged.version, row).to_owned(),
            old_decision: old_decision.map(str::to_owned),
            new_decision: new_decision.map(str::to_owned),
            score: score.to_owned(),
            old_score: old,
            new_score: new,
            difference,
        };
        if changed && self.all {
            part.changes.push(change.clone());
        }
        if among_most {
            part.most.push(change);
            if part.most.len() >= 2 * self.top.max(64) {
                part.keep_most(self.top);
            }
        }
    }
}

fn count(decisions: &mut BTreeMap<(String, String), u64>, old: &str, new: &str) {
    let known = decisions.iter_mut().find(|((from, to), _)| from == old && to == new);
    match known {
        Some((_, rows)) => *rows += 1,
        None => drop(decisions.insert((old.to_owned(), new.to_owned()), 1)),
    }
}

/// The score that both have and that differs most, the last of equals, since of two classes the last is the one that is asked for.
fn differing<'a>(
    rule: &Rule,
    before: &[f64],
    answers: &'a Answers<'_>,
    answer: usize,
) -> (&'a str, f64, f64) {
    let mut most = ("", 0.0, 0.0);
    for (name, scores) in answers.names.iter().zip(&answers.scores) {
        let place = match rule.scores.iter().position(|known| known == name) {
            None if rule.scores.len() == 1 && answers.names.len() == 1 => Some(0),
            place => place,
        };
        let Some(old) = place.map(|place| before[place]) else { continue };
        let new = scores[answer];
        let (difference, greatest): (f64, f64) = (new - old, most.2 - most.1);
        // Of two classes the differences are the same but for rounding.
        if difference.abs() + 1e-12 >= greatest.abs() {
            most = (name.as_str(), old, new);
        }
    }
    most
}
