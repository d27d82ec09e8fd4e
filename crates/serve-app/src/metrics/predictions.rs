//! Requests for predictions, by the model and version that they meant and what came of them, and their rows. An adapter tells
//! each once, when it is answered.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicU64;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::rows::{Apart, Failed, Whose};
use super::{Latency, Page};
use crate::context::Context;
use crate::error::Fault;
use crate::service::Service;
use crate::striped::Striped;

/// In the place of a model, where a request means none that there is.
const UNKNOWN: &str = "unknown";

/// How many of something there were, by what came of them.
#[derive(Debug, Default)]
struct Outcomes {
    answered: Striped<AtomicU64>,
    /// By code. The lock is held to count those that failed, and while the page is read.
    failed: Mutex<BTreeMap<&'static str, (Fault, u64)>>,
}

impl Outcomes {
    fn count(&self, failed: Option<Failed>, count: u64) {
        match failed {
            _ if count == 0 => {}
            None => {
                self.answered.mine().add(|answered| answered, count);
            }
            Some((code, fault)) => {
                let mut counts = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
                counts.entry(code).or_insert((fault, 0)).1 += count;
            }
        }
    }

    fn failed(&self) -> Vec<(&'static str, Fault, u64)> {
        let counts = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        counts.iter().map(|(code, (fault, count))| (*code, *fault, *count)).collect()
    }

    fn answered(&self) -> u64 {
        self.answered.sum(|answered| answered)
    }

    fn is_empty(&self) -> bool {
        self.answered() == 0 && self.failed().is_empty()
    }
}

/// Requests for the predictions of one version.
#[derive(Debug, Default)]
pub(crate) struct Predictions {
    latency: Latency,
    requests: Outcomes,
    rows: Outcomes,
}

impl Predictions {
    fn observe(&self, took: Duration, failed: Option<Failed>) {
        self.latency.observe(took);
        self.requests.count(failed, 1);
    }
}

impl Service {
    /// Counts a request for a prediction that has its answer, or the code of the error that it has in its place; and its
    /// rows, each for itself where the request was answered.
    pub fn predicted(&self, context: &Context, took: Duration, failed: Option<(&'static str, Fault)>) {
        let known = context.deployment().map(|deployment| self.statistics_of(context, deployment));
        let meant = known.as_ref().map_or(&self.unknown, |known| &known.predictions);
        meant.observe(took, failed);
        let mut rows = context.rows();
        if failed.is_none() {
            for Apart { whose, failed, rows: some } in context.rows_apart() {
                rows = rows.saturating_sub(some);
                match whose {
                    Whose::Version(version) => {
                        self.statistics_of(context, &version).predictions.rows.count(failed, some);
                    }
                    Whose::Request => meant.rows.count(failed, some),
                    Whose::Nobody => self.unknown.rows.count(failed, some),
                }
            }
        }
        meant.rows.count(failed, rows);
    }
}

pub(super) fn tell(page: &mut Page, service: &Service) {
    let versions = service.statistics().all();
    let known = versions.iter().map(|one| (one.name.as_str(), one.version.as_str(), &one.predictions));
    let unknown = (UNKNOWN, UNKNOWN, &service.unknown);
    for (model, version, told) in known.chain([unknown]) {
        if told.latency.count() > 0 || !told.rows.is_empty() {
            one(page, &[("model", model), ("version", version)], told);
        }
    }
}

fn one(page: &mut Page, version: &[(&str, &str); 2], told: &Predictions) {
    let names = ("prediction_requests_total", "prediction_errors_total");
    let help = (
        "Requests for predictions, by the version that they meant and what came of them.",
        "Requests for predictions that were refused or failed, by the error's code.",
    );
    outcomes(page, version, &told.requests, names, help);
    let names = ("prediction_rows_total", "prediction_row_errors_total");
    let help = (
        "Rows that predictions were asked for, by the version that answered or was meant and what came of each.",
        "Rows that were refused or failed, alone or with their request, by the error's code.",
    );
    outcomes(page, version, &told.rows, names, help);
    let help = "Time from a request's first byte to its answer.";
    page.latency("prediction_latency_seconds", help, version, &told.latency);
}

fn outcomes(
    page: &mut Page,
    version: &[(&str, &str); 2],
    told: &Outcomes,
    (name, errors): (&str, &str),
    (help, errors_help): (&str, &str),
) {
    let with = |name: &'static str, value: &'static str| [version[0], version[1], (name, value)];
    let failed = told.failed();
    let of = |kind: fn(&Fault) -> bool| {
        failed.iter().filter(|(_, fault, _)| kind(fault)).map(|(_, _, count)| count).sum::<u64>()
    };
    let outcomes = [
        ("success", told.answered()),
        ("refused", of(|fault| matches!(fault, Fault::Client))),
        ("failed", of(|fault| matches!(fault, Fault::Upstream | Fault::Ours))),
    ];
    for (outcome, count) in outcomes {
        page.counter(name, help, &with("outcome", outcome), count);
    }
    for (code, _, count) in &failed {
        page.counter(errors, errors_help, &with("code", code), *count);
    }
}
