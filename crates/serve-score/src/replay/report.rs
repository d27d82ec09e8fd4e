//! What a replay came to: as JSON, as a page, and as lines for a terminal.

use std::fmt::Write;
use std::time::Duration;

use serde::Serialize;

use super::ReplayOptions;
use super::changes::Change;
use super::compare::Part;
use super::rules::Rules;
use crate::format::Format;
use crate::plan::Plan;
use crate::report::page::{Escaped, Page, count, number, percent};
use crate::report::{FORMAT, ModelReport, PROGRAM, Speed, now};
use crate::tally::Reason;

/// Kinds of decisions and of reasons that a page lists.
const LISTED: usize = 50;

/// A report on a replay.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ReplayReport {
    /// The version of the schema.
    pub format: u32,
    /// `replay`.
    pub kind: &'static str,
    /// The program and its version.
    pub program: &'static str,
    /// When it was made, RFC 3339 UTC.
    pub created: String,
    /// The version that scored the log.
    pub model: ModelReport,
    /// The model whose predictions were replayed.
    pub logged_model: String,
    /// The log's format.
    pub log: String,
    /// Rows by what became of them.
    pub rows: ReplayRows,
    /// How far values have to lie apart so that a decision without labels counts as changed.
    pub tolerance: f64,
    /// The mean of the differences of the score that differs most, regardless of sign.
    pub mean_difference: f64,
    /// The greatest of them.
    pub greatest_difference: f64,
    /// Decisions then and now; none for a plain regression.
    pub decisions: Vec<Moved>,
    /// The versions that answered then.
    pub versions: Vec<VersionReport>,
    /// Rows that the new version rejects, by column and kind of reason, most first.
    pub reasons: Vec<Reason>,
    /// The rows whose score changes most.
    pub most: Vec<Change>,
    /// How long it took.
    pub speed: Speed,
}

/// Rows of a log by what became of them.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct ReplayRows {
    /// Rows that were read.
    pub read: u64,
    /// Rows that are no rows.
    pub broken: u64,
    /// Rows of other models or versions.
    pub skipped: u64,
    /// Rows that the new version has no answer for.
    pub rejected: u64,
    /// Rows whose logged scores are missing.
    pub without_scores: u64,
    /// Rows that were compared.
    pub compared: u64,
    /// Rows whose decision changes.
    pub changed: u64,
    /// Their share of those compared.
    pub changed_share: f64,
}

/// Rows by decision then and now.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Moved {
    /// What was decided.
    pub from: String,
    /// What is decided now.
    pub to: String,
    /// Rows.
    pub rows: u64,
}

/// A version that answered then.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct VersionReport {
    /// The model.
    pub model: String,
    /// The version.
    pub version: String,
    /// Rows.
    pub rows: u64,
    /// Whether the registry has it, so that decisions are those of its own rule; else the new version's rule stands in.
    pub own_rule: bool,
}

/// What was asked for.
pub(super) struct Asked<'a> {
    pub(super) options: &'a ReplayOptions,
    pub(super) wanted: &'a str,
    pub(super) format: Format,
    pub(super) elapsed: Duration,
}

impl ReplayReport {
    pub(super) fn new(plan: &Plan, part: Part, rules: &Rules<'_>, asked: &Asked<'_>) -> Self {
        let rows = part.rows;
        let mut reasons = part.tally.map(|tally| tally.reasons).unwrap_or_default();
        reasons.sort_by_key(|reason| std::cmp::Reverse(reason.rows));
        let mut decisions: Vec<Moved> =
            part.decisions.into_iter().map(|((from, to), rows)| Moved { from, to, rows }).collect();
        decisions.sort_by_key(|moved| (moved.from == moved.to, std::cmp::Reverse(moved.rows)));
        let version = |((model, version), rows): ((String, String), u64)| VersionReport {
            own_rule: rules.is_own(&model, &version),
            model,
            version,
            rows,
        };
        let seconds = asked.elapsed.as_secs_f64();
        Self {
            format: FORMAT,
            kind: "replay",
            program: PROGRAM,
            created: now(),
            model: ModelReport::new(plan.model()),
            logged_model: asked.wanted.to_owned(),
            log: asked.format.to_string(),
            rows: ReplayRows {
                read: rows.read,
                broken: rows.broken,
                skipped: rows.skipped,
                rejected: rows.rejected,
                without_scores: rows.without_scores,
                compared: rows.compared,
                changed: rows.changed,
                changed_share: rows.changed as f64 / rows.compared.max(1) as f64,
            },
            tolerance: asked.options.tolerance,
            mean_difference: part.sum / rows.compared.max(1) as f64,
            greatest_difference: part.greatest,
            decisions,
            versions: part.versions.into_iter().map(version).collect(),
            reasons,
            most: part.most,
            speed: Speed {
                seconds,
                rows: rows.read,
                rows_per_second: rows.read as f64 / seconds.max(1e-9),
                threads: Some(asked.options.threads),
            },
        }
    }

    fn name(&self) -> String {
        format!("{}@{}", self.model.name, self.model.version)
    }

    /// As lines for a terminal.
    #[must_use]
    pub fn text(&self) -> String {
        let ReplayRows { read, broken, skipped, rejected, without_scores, compared, changed, .. } = self.rows;
        let others = format!(
            "{} broken, {} rejected by {}, {} without logged scores",
            count(broken),
            count(rejected),
            self.name(),
            count(without_scores)
        );
        if compared == 0 {
            return format!(
                "nothing is compared: of {} rows {} are of other models or versions (--where-model NAME takes another model's), {others}\n",
                count(read),
                count(skipped)
            );
        }
        let mut text = format!(
            "{} of {} decisions change with {} ({})\n",
            count(changed),
            count(compared),
            self.name(),
            percent(self.rows.changed_share)
        );
        // A string takes what is written to it.
        let _ = writeln!(
            text,
            "scores differ by {} on average, by {} at most",
            number(self.mean_difference),
            number(self.greatest_difference)
        );
        let _ = writeln!(
            text,
            "{} rows read: {} of other models or versions, {others}",
            count(read),
            count(skipped)
        );
        for version in &self.versions {
            let rule = if version.own_rule {
                "its own rule"
            } else {
                "the new version's rule: the registry does not have it"
            };
            let _ = writeln!(
                text,
                "{} rows by {}@{}, decided by {rule}",
                count(version.rows),
                version.model,
                version.version
            );
        }
        for Moved { from, to, rows } in &self.decisions {
            let _ = writeln!(text, "  {from} -> {to}  {}", count(*rows));
        }
        for Reason { column, reason, rows } in &self.reasons {
            let _ = writeln!(text, "  rejected: {column} {reason}  {}", count(*rows));
        }
        if !self.most.is_empty() {
            text.push_str("rows that change most (row, prediction, entity, then -> now):\n");
        }
        for change in &self.most {
            let _ = writeln!(text, "  {}", line(change));
        }
        text
    }

    /// As one page of HTML that needs nothing else.
    #[must_use]
    pub fn html(&self) -> String {
        let mut page = Page::new(
            &format!("Replay with {}", self.name()),
            &format!("{}, {}", self.created, self.program),
        );
        page.tiles(&[
            ("decisions that change", count(self.rows.changed), percent(self.rows.changed_share)),
            ("rows compared", count(self.rows.compared), format!("of {} read", count(self.rows.read))),
            (
                "mean difference",
                number(self.mean_difference),
                format!("{} at most", number(self.greatest_difference)),
            ),
            ("rejected now", count(self.rows.rejected), String::new()),
            ("without logged scores", count(self.rows.without_scores), String::new()),
            ("other models or versions", count(self.rows.skipped), String::new()),
        ]);
        self.decided(&mut page);
        if !self.most.is_empty() {
            page.section("Rows that change most");
            page.table(
                &["row", "prediction", "entity", "decision", "score", "then", "now"],
                self.most.iter().map(cells),
            );
        }
        if !self.reasons.is_empty() {
            page.section("Rows that the new version rejects");
            let row = |reason: &Reason| {
                let column = if reason.column.is_empty() { "the row" } else { &reason.column };
                vec![Escaped(column).to_string(), Escaped(&reason.reason).to_string(), count(reason.rows)]
            };
            page.words(&["column", "reason", "rows"], self.reasons.iter().take(LISTED).map(row));
        }
        self.provenance(&mut page);
        page.finish("Decisions then follow from the logged scores. A difference is that of the score that differs most.")
    }

    fn decided(&self, page: &mut Page) {
        if !self.decisions.is_empty() {
            page.section("Decisions then and now");
            let compared = self.rows.compared.max(1) as f64;
            let row = |Moved { from, to, rows }: &Moved| {
                let (from_text, to) = (Escaped(from).to_string(), Escaped(to).to_string());
                vec![from_text, to, count(*rows), percent(*rows as f64 / compared)]
            };
            page.table(&["then", "now", "rows", "share"], self.decisions.iter().take(LISTED).map(row));
        }
        page.section("Versions in the log");
        let row = |version: &VersionReport| {
            let rule =
                if version.own_rule { "its own" } else { "the new version's: the registry does not have it" };
            let name = format!("{}@{}", version.model, version.version);
            vec![Escaped(&name).to_string(), count(version.rows), rule.to_owned()]
        };
        page.words(&["version", "rows", "rule"], self.versions.iter().take(LISTED).map(row));
    }

    fn provenance(&self, page: &mut Page) {
        page.section("New version");
        let model = &self.model;
        page.facts(&[
            ("name", model.name.clone()),
            ("version", model.version.clone()),
            ("digest", model.digest.to_string()),
            ("predicts", model.target.clone()),
            ("kind", model.model_type.clone().unwrap_or_default()),
            ("trained by", model.trained_by.clone()),
            ("trained", model.training_date.clone().unwrap_or_default()),
            ("log", format!("{} rows of {}, {}", count(self.rows.read), self.logged_model, self.log)),
            (
                "speed",
                format!(
                    "{} rows per second, {}",
                    count(self.speed.rows_per_second as u64),
                    self.speed.place()
                ),
            ),
        ]);
    }
}

fn decision(change: &Change) -> String {
    match (&change.old_decision, &change.new_decision) {
        (Some(old), Some(new)) if old == new => old.clone(),
        (None, None) => String::new(),
        (old, new) => {
            let shown = |decision: &Option<String>| decision.clone().unwrap_or_else(|| "-".to_owned());
            format!("{} -> {}", shown(old), shown(new))
        }
    }
}

fn line(change: &Change) -> String {
    let Change { row, prediction_id, entity, score, old_score, new_score, .. } = change;
    let told = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".to_owned());
    let (id, entity, decision) = (told(prediction_id), told(entity), decision(change));
    format!("{row}  {id}  {entity}  {score} {} -> {}  {decision}", number(*old_score), number(*new_score))
}

fn cells(change: &Change) -> Vec<String> {
    let escaped = |text: &str| Escaped(text).to_string();
    let told = |text: &Option<String>| escaped(text.as_deref().unwrap_or_default());
    vec![
        count(change.row),
        told(&change.prediction_id),
        told(&change.entity),
        escaped(&decision(change)),
        escaped(&change.score),
        number(change.old_score),
        number(change.new_score),
    ]
}
