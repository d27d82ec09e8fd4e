//! Whether values are what their set declares: of the right type, in range, and not missing more often than they may be.
//!
//! On ingest a row with any offending value is refused, with all of them at once. On read an offending value counts as
//! missing and follows the feature's policy: the store holds what it holds, and a request is answered from the rest. Both
//! are counted by feature, where [`SetReport`] shows them; null rates are those of the last five minutes.
//!
//! A set that declares no features takes rows as they are.

use std::sync::Arc;

use serve_core::Value;

pub use report::{FeatureReport, SetReport};
pub(crate) use rule::{Rule, rules};
pub use rule::{Violation, ViolationKind};
pub(crate) use tally::{Tallied, Tally};

use crate::declaration::{FeatureSet, MissingPolicy};
use crate::row::FeatureRow;

mod report;
mod rule;
mod tally;

/// One set's rules, and what was counted by them.
#[derive(Debug)]
pub(crate) struct Validator {
    rules: Vec<Rule>,
    /// Their names, as messages list them.
    known: Arc<str>,
    tally: Tally,
}

/// A row as it may be used.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Checked {
    /// Values that offend are missing, or what their policy says.
    pub(crate) row: FeatureRow,
    /// Features for which their set's constant stands.
    pub(crate) filled: Arc<[Arc<str>]>,
    /// What offended.
    pub(crate) invalid: Arc<[Violation]>,
    /// The first feature without a value whose policy rejects the row.
    pub(crate) rejected: Option<Arc<str>>,
}

/// So many names that the set lacks are told of a row: what is sent wrong must not come back many times as long.
const MOST_UNKNOWN: usize = 10;

impl Checked {
    /// A row of a set that declares nothing.
    pub(crate) fn unchecked(row: FeatureRow) -> Self {
        Self { row, filled: Arc::default(), invalid: Arc::default(), rejected: None }
    }

    /// The feature for which the row cannot be used, and why.
    pub(crate) fn rejected(&self) -> Option<(Arc<str>, Arc<str>)> {
        let feature = self.rejected.as_ref()?;
        let offends = self.invalid.iter().find(|violation| violation.feature == *feature);
        let what = offends.map_or_else(|| format!("`{feature}` has no value"), ToString::to_string);
        Some((Arc::clone(feature), format!("{what}, and it is declared with `missing: reject`").into()))
    }
}

impl Validator {
    pub(crate) fn new(set: &FeatureSet) -> Self {
        let rules = rules(set);
        let tally = Tally::new(rules.len());
        let known = rules.iter().map(|rule| &*rule.name).collect::<Vec<_>>().join(", ").into();
        Self { rules, known, tally }
    }

    /// Everything that is wrong with a row to be stored.
    pub(crate) fn on_ingest(&self, row: &FeatureRow) -> Vec<Violation> {
        if self.rules.is_empty() {
            return Vec::new();
        }
        let mut violations = Vec::new();
        let mut tallied = self.tally.begin();
        for (i, rule) in self.rules.iter().enumerate() {
            let value = row.get_near(i, &rule.name).unwrap_or(&Value::Missing);
            let violation = rule.check(value);
            tallied.count(i, value, violation.as_ref());
            violations.extend(violation);
            if is_missing(value) && rule.missing == MissingPolicy::Reject {
                violations.push(rule.violation(ViolationKind::Missing));
            }
        }
        let known = |i: usize, name: &Arc<str>| {
            self.rules.get(i).is_some_and(|rule| rule.name == *name)
                || self.rules.iter().any(|rule| rule.name == *name)
        };
        let unknown = row.names().iter().enumerate().filter(|(i, name)| !known(*i, name));
        violations.extend(unknown.take(MOST_UNKNOWN).map(|(_, name)| self.unknown(name)));
        violations
    }

    /// The row as it may be used, with what is wrong with it.
    pub(crate) fn on_read(&self, row: &FeatureRow) -> Checked {
        let mut checked = Checked::unchecked(row.clone());
        let (mut changes, mut filled, mut invalid) = (Vec::new(), Vec::new(), Vec::new());
        let mut tallied = self.tally.begin();
        for (i, rule) in self.rules.iter().enumerate() {
            let value = row.get_near(i, &rule.name).unwrap_or(&Value::Missing);
            let violation = rule.check(value);
            tallied.count(i, value, violation.as_ref());
            if violation.is_none() && !is_missing(value) {
                continue;
            }
            match rule.missing {
                MissingPolicy::Constant(x) => {
                    filled.push(Arc::clone(&rule.name));
                    changes.push((Arc::clone(&rule.name), Value::Number(x)));
                }
                MissingPolicy::Nan if violation.is_some() => {
                    changes.push((Arc::clone(&rule.name), Value::Missing));
                }
                MissingPolicy::Nan => {}
                MissingPolicy::Reject => {
                    checked.rejected.get_or_insert_with(|| Arc::clone(&rule.name));
                }
            }
            invalid.extend(violation);
        }
        drop(tallied);
        if !changes.is_empty() {
            checked.row = changed(row, changes);
        }
        checked.filled = filled.into();
        checked.invalid = invalid.into();
        checked
    }

    /// Adds what was counted to a report.
    pub(crate) fn report(&self, report: &mut SetReport) {
        for (i, rule) in self.rules.iter().enumerate() {
            report.add(rule, self.tally.read(i));
        }
    }

    fn unknown(&self, name: &Arc<str>) -> Violation {
        let kind = ViolationKind::Unknown { known: Arc::clone(&self.known) };
        Violation { feature: Arc::clone(name), kind }
    }
}

fn is_missing(value: &Value<'_>) -> bool {
    match value {
        Value::Missing => true,
        Value::Number(x) => x.is_nan(),
        Value::Bool(_) | Value::Text(_) | Value::Other(_) => false,
    }
}

/// The row with other values; names that it lacks come last.
fn changed(row: &FeatureRow, changes: Vec<(Arc<str>, Value<'static>)>) -> FeatureRow {
    let cloned = |(name, value): (&Arc<str>, &Value<'static>)| (Arc::clone(name), value.clone());
    let mut features: Vec<_> = row.features().map(cloned).collect();
    for (name, value) in changes {
        match features.iter_mut().find(|(known, _)| *known == name) {
            Some((_, old)) => *old = value,
            None => features.push((name, value)),
        }
    }
    FeatureRow::new(row.entity().clone(), row.timestamp(), features).computed_by(row.declaration())
}

#[cfg(test)]
mod tests;
