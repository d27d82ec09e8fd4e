//! A set as it is now: the newest rows of some entities, and what was counted since the start.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use serve_core::Value;

use super::{MaxAge, Retriever, Unavailable};
use crate::declaration::FeatureSet;
use crate::freshness::{check_declaration, check_freshness};
use crate::name::FeatureSetName;
use crate::row::FeatureRow;
use crate::store::FeatureStore;
use crate::validation::{FeatureReport, SetReport};

/// The entities that are looked at.
const SAMPLE: usize = 1_000;

impl Retriever {
    /// A set as it is now. Where the store fails, a declared set is reported without its rows, with a warning.
    ///
    /// # Errors
    /// [`Unavailable`] where there is no store, or it cannot answer for a set that is not declared. A set that is neither
    /// declared nor stored has an empty report.
    pub async fn report(&self, set: &FeatureSetName) -> Result<SetReport, Unavailable> {
        let store = self.guarded(set)?;
        let mut report = self.counted(set);
        let now = (self.clock)();
        match store.sample(set.clone(), SAMPLE).await {
            Ok(sampled) => {
                report.looked = true;
                let unreadable = sampled.iter().filter(|row| row.is_err()).count();
                let rows: Vec<FeatureRow> = sampled.into_iter().flatten().collect();
                ages(&mut report, &rows, now, self.latest(now), self.limit(set));
                nulls(&mut report, &rows);
                let computed_by = self.declared(set).and_then(FeatureSet::digest);
                let outdated = |row: &&FeatureRow| check_declaration(set, row, computed_by).is_err();
                report.outdated = rows.iter().filter(outdated).count();
                warn(&mut report, self.limit(set), unreadable);
            }
            Err(error) if report.declaration.is_some() => {
                report.warnings.push(format!("its rows cannot be looked at: {error}"));
            }
            Err(error) => return Err(Unavailable::Store { set: set.clone(), source: Arc::new(error) }),
        }
        Ok(report)
    }

    /// What was counted of every declared set since the start, without asking the store: for a metrics page.
    #[must_use]
    pub fn tallies(&self) -> Vec<SetReport> {
        self.declarations.sets().iter().map(|set| self.counted(set.name())).collect()
    }

    fn counted(&self, set: &FeatureSetName) -> SetReport {
        let mut report = SetReport::new(set.clone(), self.declared(set).cloned());
        if let Some(validator) = self.validators.get(set) {
            validator.report(&mut report);
        }
        report
    }
}

fn ages(report: &mut SetReport, rows: &[FeatureRow], now: Timestamp, latest: Timestamp, limit: MaxAge) {
    report.sampled = rows.len();
    for row in rows {
        if row.timestamp() > latest {
            // It is not believed, so it has no age.
            report.in_future += 1;
            continue;
        }
        let age = match check_freshness(&report.set, row, now, limit) {
            Ok(freshness) => freshness.age_seconds,
            Err(stale) => {
                report.stale += 1;
                stale.age_seconds
            }
        };
        let newest = report.newest_age_seconds.map_or(age, |newest| newest.min(age));
        let oldest = report.oldest_age_seconds.map_or(age, |oldest| oldest.max(age));
        (report.newest_age_seconds, report.oldest_age_seconds) = (Some(newest), Some(oldest));
    }
}

/// The share of missing values among the sampled rows; a row that lacks a feature misses it.
fn nulls(report: &mut SetReport, rows: &[FeatureRow]) {
    if rows.is_empty() {
        return;
    }
    let mut present: BTreeMap<&Arc<str>, usize> = BTreeMap::new();
    for (name, value) in rows.iter().flat_map(FeatureRow::features) {
        let missing = matches!(value, Value::Missing) || matches!(value, Value::Number(x) if x.is_nan());
        *present.entry(name).or_default() += usize::from(!missing);
    }
    let rate = |present: usize| Some(1.0 - present as f64 / rows.len() as f64);
    let declared = report.declaration.as_ref().is_some_and(|set| !set.features().is_empty());
    if !declared {
        let feature = |name: &Arc<str>| FeatureReport { name: Arc::clone(name), ..FeatureReport::default() };
        report.features = present.keys().map(|name| feature(name)).collect();
    }
    for feature in &mut report.features {
        feature.sampled_null_rate = rate(present.get(&feature.name).copied().unwrap_or_default());
    }
}

fn warn(report: &mut SetReport, limit: MaxAge, unreadable: usize) {
    let SetReport { sampled, stale, in_future, outdated, .. } = *report;
    if unreadable > 0 {
        report.warnings.push(format!("{unreadable} entities have a newest row that cannot be read"));
    }
    if sampled == 0 && unreadable == 0 {
        report.warnings.push("the set has no rows".to_owned());
    }
    if stale > 0 {
        report.warnings.push(format!("{stale} of {sampled} entities have no row younger than {limit}"));
    }
    if outdated > 0 {
        report.warnings.push(format!(
            "{outdated} of {sampled} entities have a row that an older declaration computed; `serve-ctl features build` with \
             `--store` computes them anew"
        ));
    }
    if in_future > 0 {
        report.warnings.push(format!("{in_future} of {sampled} entities have a row from the future"));
    }
    for feature in report.features.iter().filter(|_| report.declaration.is_some()) {
        let over = feature.sampled_null_rate.zip(feature.max_null_rate).filter(|(rate, limit)| rate > limit);
        if let Some((rate, limit)) = over {
            report.warnings.push(format!(
                "`{}` is missing in {:.1} % of the {sampled} rows looked at, more than {:.1} %",
                feature.name,
                100.0 * rate,
                100.0 * limit
            ));
        } else if feature.sampled_null_rate == Some(1.0) {
            report
                .warnings
                .push(format!("`{}` has no value in any of the {sampled} rows looked at", feature.name));
        }
    }
    for feature in &report.features {
        let offending = feature.wrong_type + feature.out_of_range;
        if offending > 0 {
            let FeatureReport { name, wrong_type, out_of_range, .. } = feature;
            report.warnings.push(format!(
                "`{name}`: {wrong_type} values of another type than declared, {out_of_range} out of range"
            ));
        }
    }
}
