//! What each version was asked and how long that took, counted as the Open Inference Protocol's statistics extension
//! counts. Whoever tells a monitoring system reads the same numbers.
//!
//! Counting takes no lock: a version's counts are found through a pointer that is swapped when a version is first asked
//! for, and are atomics, of which each thread has its own ([`crate::striped`]). They are kept by the version's digest for as
//! long as the process runs or until the registry no longer has the version, so unloading and loading again loses nothing.

use std::borrow::Cow;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serve_core::short::ShortMap;
use serve_core::{Digest, ModelName, ModelVersion};
use serve_registry::{Deployment, Registry, Slot};

use crate::context::{Context, Stage};
use crate::error::ServiceError;
use crate::metrics::Predictions;
use crate::metrics::rows::Whose;
use crate::predict::Answered;
use crate::request::PredictRequest;
use crate::service::Service;
use crate::striped::{Owned, Owner, Striped};
use crate::wall;
use counts::Counts;

pub use counts::{BatchTotals, Total, Totals};

mod counts;

/// Counts of one version.
#[derive(Debug)]
pub struct VersionStatistics {
    /// The model.
    pub name: ModelName,
    /// The version.
    pub version: ModelVersion,
    counts: Striped<Counts>,
    pub(crate) predictions: Predictions,
}

impl VersionStatistics {
    fn new(name: ModelName, version: ModelVersion) -> Self {
        Self { name, version, counts: Striped::default(), predictions: Predictions::default() }
    }

    /// What was counted until now.
    #[must_use]
    pub fn totals(&self) -> Totals {
        Totals::of(&self.counts)
    }

    /// The model ran once, over `rows` rows. No rows are no execution.
    pub(crate) fn executed(&self, since: Duration, rows: usize, time: Duration) {
        if rows == 0 {
            return;
        }
        let now = u64::try_from(since.as_millis()).unwrap_or(u64::MAX);
        let counts = self.counts.mine();
        counts.last_inference.store(now, Ordering::Relaxed);
        counts.add(|counts| &counts.inferences, rows as u64);
        counts.add(|counts| &counts.executions, 1);
        counts.part(|counts| &counts.compute_infer).happened(time);
        counts.part(|counts| &counts.batch(rows).infer).happened(time);
    }

    /// A request of `rows` rows has its answer: it took until the end of its last stage.
    pub fn answered(&self, context: &Context, rows: usize) {
        let (input, output) = (context.spent(Stage::Parse), context.spent(Stage::Write));
        let counts = self.counts.mine();
        counts.part(|counts| &counts.success).happened(context.lately() - context.began());
        counts.part(|counts| &counts.queue).happened(context.spent(Stage::Queue));
        counts.part(|counts| &counts.compute_input).happened(input);
        counts.part(|counts| &counts.compute_output).happened(output);
        if rows > 0 {
            let batch = counts.part(|counts| counts.batch(rows));
            batch.part(|batch| &batch.input).happened(input);
            batch.part(|batch| &batch.output).happened(output);
        }
    }

    /// A request reached the version and got no answer.
    pub fn failed(&self, context: &Context) {
        self.counts.mine().part(|counts| &counts.fail).happened(context.began().elapsed());
    }
}

/// Counts of all versions.
#[derive(Debug)]
pub struct Statistics {
    versions: Slot<ShortMap<Digest, Arc<Owned<VersionStatistics>>>>,
    /// Invariant: held while `versions` is replaced, so that it has one writer.
    adding: Mutex<()>,
}

impl Default for Statistics {
    fn default() -> Self {
        Self { versions: Slot::new(ShortMap::default()), adding: Mutex::default() }
    }
}

impl Statistics {
    /// The counts of a version, found or begun. `registry` says which versions of the model need none any more.
    pub(crate) fn of(&self, registry: &Registry, deployment: &Deployment) -> Owner<VersionStatistics> {
        let digest = deployment.digest();
        match self.versions.with(|versions| versions.get(&digest).map(|counts| counts.mine())) {
            Some(found) => found,
            None => self.add(registry, deployment),
        }
    }

    fn add(&self, registry: &Registry, deployment: &Deployment) -> Owner<VersionStatistics> {
        let _adding = self.adding.lock().unwrap_or_else(PoisonError::into_inner);
        let mut versions = ShortMap::clone(&self.versions.load());
        let manifest = deployment.manifest();
        let published = registry.model(manifest.name.as_str());
        let known = |version: &ModelVersion| {
            published.as_ref().is_some_and(|model| model.versions.iter().any(|one| one.version == *version))
        };
        versions.retain(|_, counts| {
            let counts = counts.shared();
            counts.name != manifest.name || known(&counts.version)
        });
        let new = || VersionStatistics::new(manifest.name.clone(), manifest.version.clone());
        let begin = || Arc::new(Owned::new(new()));
        let counts = versions.entry(deployment.digest()).or_insert_with(begin).mine();
        self.versions.store(versions);
        counts
    }

    /// The counts of all versions that were asked for, by model and version.
    #[must_use]
    pub fn all(&self) -> Vec<Arc<VersionStatistics>> {
        let mut all: Vec<_> = self
            .versions
            .with(|versions| versions.values().map(|counts| Arc::clone(counts.shared())).collect());
        all.sort_by(|a, b| (&a.name, &a.version).cmp(&(&b.name, &b.version)));
        all
    }
}

impl Service {
    /// Counts rows that a model answers one by one, each as a request of one row.
    pub(crate) fn count_rows(
        &self,
        context: &Context,
        requests: &[PredictRequest<'_>],
        answers: &[Result<Answered, ServiceError>],
    ) {
        let (now, rows) = (wall::at(context.lately()), u32::try_from(answers.len()).unwrap_or(u32::MAX));
        let time = context.spent(Stage::Infer) / rows.max(1);
        let mut last: Option<(&Arc<Deployment>, Cow<'_, Arc<VersionStatistics>>)> = None;
        for (request, answer) in requests.iter().zip(answers) {
            let Ok(Answered { deployment, .. }) = answer else {
                self.count_failure(context, request);
                continue;
            };
            let counts = match &last {
                Some((known, counts)) if Arc::ptr_eq(known, deployment) => counts,
                _ => &last.insert((deployment, self.statistics_of(context, deployment))).1,
            };
            counts.executed(now, 1, time);
            counts.answered(context, 1);
        }
    }

    /// Counts a request that was refused, where a version was there to refuse it.
    fn count_failure(&self, context: &Context, request: &PredictRequest<'_>) {
        if let Some(deployment) = self.meant(context, request) {
            self.statistics_of(context, &deployment).failed(context);
        }
    }

    /// The version that a request means, where it is loaded and the caller may use it.
    fn meant(&self, context: &Context, request: &PredictRequest<'_>) -> Option<Arc<Deployment>> {
        let reference = self.reference(context, &request.model).ok()?;
        let may = context.caller().may_use(&reference.name);
        may.then(|| self.registry().resolve(&reference).ok()).flatten()
    }

    /// Notes which rows of an answered batch failed, and which are another version's than the first.
    pub(crate) fn set_rows_apart(
        &self,
        context: &Context,
        requests: &[PredictRequest<'_>],
        answers: &[Result<Answered, ServiceError>],
    ) {
        let mut last: Option<(&PredictRequest<'_>, Whose)> = None;
        for (request, answer) in requests.iter().zip(answers) {
            match answer {
                Ok(answered) => {
                    let deployment = &answered.deployment;
                    if context.deployment().is_none_or(|first| !Arc::ptr_eq(first, deployment)) {
                        context.set_row_apart(Whose::Version(Arc::clone(deployment)), None);
                    }
                }
                Err(error) => {
                    let whose = match &last {
                        Some((known, whose)) if known.model == request.model => whose.clone(),
                        _ => self.meant(context, request).map_or(Whose::Nobody, Whose::Version),
                    };
                    last = Some((request, whose.clone()));
                    context.set_row_apart(whose, Some((error.code.as_str(), error.code.fault())));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::striped;

    #[test]
    fn an_execution_counts_its_rows_and_a_request_its_stages() {
        let version = VersionStatistics::new("m".parse().expect("a name"), "v1".parse().expect("a version"));
        let context = Context::internal();
        context.spend(Stage::Parse, Duration::from_nanos(5));
        version.executed(Duration::from_secs(7), 3, Duration::from_nanos(11));
        version.answered(&context, 3);
        version.executed(Duration::ZERO, 0, Duration::from_nanos(11));
        version.failed(&context);
        let later = Duration::from_secs(8);
        striped::by_two_threads(|| version.executed(later, 3, Duration::from_nanos(1)));
        let totals = version.totals();
        assert_eq!((totals.inferences, totals.executions, totals.last_inference_ms), (9, 3, 8_000));
        assert_eq!(totals.compute_infer, Total { count: 3, ns: 13 });
        assert_eq!((totals.success.count, totals.fail.count), (1, 1));
        let (input, infer) = (Total { count: 1, ns: 5 }, Total { count: 3, ns: 13 });
        let batch = BatchTotals { size: 3, input, infer, output: Total { count: 1, ns: 0 } };
        assert_eq!(totals.batches, [batch]);
    }
}
