//! Requests for predictions, by the model and version that they meant and what came of them. An adapter tells each once,
//! when it is answered.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::{Latency, Page};
use crate::context::Context;
use crate::error::Fault;
use crate::service::Service;

/// In the place of a model, where a request means none that there is.
const UNKNOWN: &str = "unknown";

/// Requests for the predictions of one version.
#[derive(Debug, Default)]
pub(crate) struct Predictions {
    latency: Latency,
    answered: AtomicU64,
    rows: AtomicU64,
    /// By code. The lock is held to count one that failed, and while the page is read.
    failed: Mutex<BTreeMap<&'static str, (Fault, u64)>>,
}

impl Predictions {
    fn observe(&self, context: &Context, took: Duration, failed: Option<(&'static str, Fault)>) {
        self.latency.observe(took);
        match failed {
            None => {
                self.answered.fetch_add(1, Ordering::Relaxed);
                self.rows.fetch_add(context.rows(), Ordering::Relaxed);
            }
            Some((code, fault)) => {
                let mut counts = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
                counts.entry(code).or_insert((fault, 0)).1 += 1;
            }
        }
    }

    fn failed(&self) -> Vec<(&'static str, Fault, u64)> {
        let counts = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        counts.iter().map(|(code, (fault, count))| (*code, *fault, *count)).collect()
    }
}

impl Service {
    /// Counts a request for a prediction that has its answer, or the code of the error that it has in its place.
    pub fn predicted(&self, context: &Context, took: Duration, failed: Option<(&'static str, Fault)>) {
        match context.deployment() {
            Some(deployment) => self.statistics_of(deployment).predictions.observe(context, took, failed),
            None => self.unknown.observe(context, took, failed),
        }
    }
}

pub(super) fn tell(page: &mut Page, service: &Service) {
    let versions = service.statistics().all();
    let known = versions.iter().map(|one| (one.name.as_str(), one.version.as_str(), &one.predictions));
    let unknown = (UNKNOWN, UNKNOWN, &service.unknown);
    for (model, version, told) in known.chain([unknown]) {
        if told.latency.count() > 0 {
            one(page, &[("model", model), ("version", version)], told);
        }
    }
}

fn one(page: &mut Page, version: &[(&str, &str); 2], told: &Predictions) {
    let with = |name: &'static str, value: &'static str| [version[0], version[1], (name, value)];
    let failed = told.failed();
    let of = |kind: fn(&Fault) -> bool| {
        failed.iter().filter(|(_, fault, _)| kind(fault)).map(|(_, _, count)| count).sum::<u64>()
    };
    let outcomes = [
        ("success", told.answered.load(Ordering::Relaxed)),
        ("refused", of(|fault| matches!(fault, Fault::Client))),
        ("failed", of(|fault| matches!(fault, Fault::Upstream | Fault::Ours))),
    ];
    for (outcome, count) in outcomes {
        let help = "Requests for predictions, by the version that they meant and what came of them.";
        page.counter("prediction_requests_total", help, &with("outcome", outcome), count);
    }
    for (code, _, count) in &failed {
        let help = "Requests for predictions that were refused or failed, by the error's code.";
        page.counter("prediction_errors_total", help, &with("code", code), *count);
    }
    let help = "Rows of requests for predictions that were answered.";
    page.counter("prediction_rows_total", help, version, told.rows.load(Ordering::Relaxed));
    let help = "Time from a request's first byte to its answer.";
    page.latency("prediction_latency_seconds", help, version, &told.latency);
}
