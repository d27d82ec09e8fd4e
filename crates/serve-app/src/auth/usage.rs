//! How often each caller asked and what came of it, and why callers were turned away, for a monitoring system. Labels
//! are the ids of configured keys; all tokens are one label together, as their names are not ours to bound.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use prometheus::core::Collector as _;
use prometheus::proto::MetricFamily;
use prometheus::{IntCounterVec, Opts};

use crate::caller::Permission;
use crate::error::Code;
use crate::striped::Striped;

/// The label of all callers with tokens.
pub(super) const TOKENS: &str = "(tokens)";

/// What came of a request at the door.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    Admitted,
    NotPermitted,
    RateLimited,
}

impl Outcome {
    const ALL: [Self; 3] = [Self::Admitted, Self::NotPermitted, Self::RateLimited];

    fn as_str(self) -> &'static str {
        match self {
            Self::Admitted => "admitted",
            Self::NotPermitted => "not_permitted",
            Self::RateLimited => "rate_limited",
        }
    }
}

/// One caller's counts.
#[derive(Debug, Default)]
pub(super) struct Usage(Striped<[[AtomicU64; Outcome::ALL.len()]; Permission::ALL.len()]>);

impl Usage {
    pub(super) fn count(&self, permission: Permission, outcome: Outcome) {
        self.0.mine().add(|counts| &counts[permission as usize][outcome as usize], 1);
    }

    fn counted(&self, permission: Permission, outcome: Outcome) -> u64 {
        self.0.sum(|counts| &counts[permission as usize][outcome as usize])
    }
}

/// Why somebody was turned away.
const REASONS: [Code; 9] = [
    Code::Unauthenticated,
    Code::InvalidKey,
    Code::KeyExpired,
    Code::InvalidToken,
    Code::TokenExpired,
    Code::AmbiguousCredentials,
    Code::TooManyFailures,
    Code::NotPermitted,
    Code::RateLimited,
];

/// The counts of all callers, from the start on: a key that is gone keeps its count, so that no counter goes backwards.
#[derive(Debug, Default)]
pub(super) struct Usages {
    /// Written when keys are read and read by the page of metrics; no request waits for it.
    by_name: Mutex<BTreeMap<Arc<str>, Arc<Usage>>>,
    refused: [AtomicU64; REASONS.len()],
}

impl Usages {
    pub(super) fn of(&self, name: &Arc<str>) -> Arc<Usage> {
        let mut by_name = self.by_name.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(by_name.entry(Arc::clone(name)).or_default())
    }

    pub(super) fn refused(&self, code: Code) {
        if let Some(at) = REASONS.iter().position(|reason| *reason == code) {
            self.refused[at].fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(super) fn families(&self) -> Vec<MetricFamily> {
        let mut families = Vec::new();
        let asked = Opts::new(
            "auth_requests_total",
            "Requests of known callers, by what was asked for and what came of it at the door.",
        );
        if let Ok(family) = IntCounterVec::new(asked, &["caller", "permission", "outcome"]) {
            let by_name = self.by_name.lock().unwrap_or_else(PoisonError::into_inner);
            for (name, usage) in &*by_name {
                for permission in Permission::ALL {
                    for outcome in Outcome::ALL {
                        let labels = [&**name, permission.as_str(), outcome.as_str()];
                        family.with_label_values(&labels).inc_by(usage.counted(permission, outcome));
                    }
                }
            }
            families.extend(family.collect());
        }
        let refused = Opts::new("auth_refusals_total", "Requests that were turned away, by why.");
        if let Ok(family) = IntCounterVec::new(refused, &["reason"]) {
            for (reason, count) in REASONS.iter().zip(&self.refused) {
                family.with_label_values(&[reason.as_str()]).inc_by(count.load(Ordering::Relaxed));
            }
            families.extend(family.collect());
        }
        families
    }
}
