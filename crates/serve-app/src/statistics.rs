//! What each version was asked and how long that took, counted as the Open Inference Protocol's statistics extension
//! counts. Whoever tells a monitoring system reads the same numbers.
//!
//! Counting takes no lock: a version's counts are found through a pointer that is swapped when a version is first asked
//! for, and are atomics, of which each thread has its own ([`crate::striped`]). They are kept by the version's digest for as
//! long as the process runs or until the registry no longer has the version, so unloading and loading again loses nothing.

use std::borrow::Cow;
use std::iter::Sum;
use std::ops::Add;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;
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
use crate::striped::Striped;

/// Batches of at most this many rows are counted by their size; larger ones by the power of two that they reach up to.
const LARGEST_EXACT: usize = 128;

/// Powers of two above [`LARGEST_EXACT`]; the last takes all that are larger.
const POWERS: usize = 24;

/// How often something happened, and how long it took all together.
#[derive(Debug, Default)]
struct Tally {
    count: AtomicU64,
    ns: AtomicU64,
}

/// How often something happened until now, and how long it took all together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Total {
    /// How often.
    pub count: u64,
    /// How long all together, in nanoseconds.
    pub ns: u64,
}

impl Add for Total {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self { count: self.count + other.count, ns: self.ns + other.ns }
    }
}

impl Sum for Total {
    fn sum<I: Iterator<Item = Self>>(totals: I) -> Self {
        totals.fold(Self::default(), Add::add)
    }
}

impl Tally {
    fn add(&self, time: Duration) {
        self.count.fetch_add(1, Ordering::Relaxed);
        // Nearly no request waits.
        if !time.is_zero() {
            self.ns.fetch_add(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
        }
    }

    fn total(&self) -> Total {
        Total { count: self.count.load(Ordering::Relaxed), ns: self.ns.load(Ordering::Relaxed) }
    }
}

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

/// What some threads counted of one version.
#[derive(Debug)]
struct Counts {
    /// In milliseconds since 1970; 0 for never.
    last_inference: AtomicU64,
    inferences: AtomicU64,
    executions: AtomicU64,
    success: Tally,
    fail: Tally,
    queue: Tally,
    compute_input: Tally,
    compute_infer: Tally,
    compute_output: Tally,
    batches: [OnceLock<Box<Stages>>; LARGEST_EXACT + POWERS],
}

/// Counts of one version at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Totals {
    /// When a row was last inferred, in milliseconds since 1970; 0 for never.
    pub last_inference_ms: u64,
    /// Rows that were inferred.
    pub inferences: u64,
    /// Executions of the model, each of one row or many.
    pub executions: u64,
    /// Requests that were answered, from their first byte to the end of their last stage until then.
    pub success: Total,
    /// Requests that reached the version and were refused or failed.
    pub fail: Total,
    /// Waiting of requests that were answered.
    pub queue: Total,
    /// Making sense of them.
    pub compute_input: Total,
    /// Inference, once an execution.
    pub compute_infer: Total,
    /// Writing answers.
    pub compute_output: Total,
    /// The batch sizes that there were, from the smallest.
    pub batches: Vec<BatchTotals>,
}

/// Stages of the executions of one batch size.
#[derive(Debug, Default)]
struct Stages {
    input: Tally,
    infer: Tally,
    output: Tally,
}

/// Stages of the executions of one batch size at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchTotals {
    /// Rows; above 128 the power of two that the batches reached up to.
    pub size: u64,
    /// Making sense of requests.
    pub input: Total,
    /// Inference.
    pub infer: Total,
    /// Writing answers.
    pub output: Total,
}

impl VersionStatistics {
    fn new(name: ModelName, version: ModelVersion) -> Self {
        Self { name, version, counts: Striped::default(), predictions: Predictions::default() }
    }

    /// What was counted until now.
    #[must_use]
    pub fn totals(&self) -> Totals {
        let sum = |of: fn(&Counts) -> &AtomicU64| {
            self.counts.all().map(|counts| of(counts).load(Ordering::Relaxed)).sum()
        };
        let total = |of: fn(&Counts) -> &Tally| self.counts.all().map(|counts| of(counts).total()).sum();
        let last = self.counts.all().map(|counts| counts.last_inference.load(Ordering::Relaxed));
        Totals {
            last_inference_ms: last.max().unwrap_or(0),
            inferences: sum(|counts| &counts.inferences),
            executions: sum(|counts| &counts.executions),
            success: total(|counts| &counts.success),
            fail: total(|counts| &counts.fail),
            queue: total(|counts| &counts.queue),
            compute_input: total(|counts| &counts.compute_input),
            compute_infer: total(|counts| &counts.compute_infer),
            compute_output: total(|counts| &counts.compute_output),
            batches: (0..LARGEST_EXACT + POWERS).filter_map(|place| self.batch_totals(place)).collect(),
        }
    }

    /// The batches that are counted at one place, where there were any.
    fn batch_totals(&self, place: usize) -> Option<BatchTotals> {
        let counted = self.counts.all().filter_map(|counts| counts.batches[place].get());
        counted.map(|stages| stages.totals(place)).reduce(|one, other| BatchTotals {
            size: one.size,
            input: one.input + other.input,
            infer: one.infer + other.infer,
            output: one.output + other.output,
        })
    }

    /// The model ran once, over `rows` rows. No rows are no execution.
    pub(crate) fn executed(&self, now: Timestamp, rows: usize, time: Duration) {
        if rows == 0 {
            return;
        }
        let now = u64::try_from(now.as_millisecond()).unwrap_or(0);
        let counts = self.counts.mine();
        counts.last_inference.store(now, Ordering::Relaxed);
        counts.inferences.fetch_add(rows as u64, Ordering::Relaxed);
        counts.executions.fetch_add(1, Ordering::Relaxed);
        counts.compute_infer.add(time);
        counts.batch(rows).infer.add(time);
    }

    /// A request of `rows` rows has its answer: it took until the end of its last stage.
    pub fn answered(&self, context: &Context, rows: usize) {
        let (input, output) = (context.spent(Stage::Parse), context.spent(Stage::Write));
        let counts = self.counts.mine();
        counts.success.add(context.lately() - context.began());
        counts.queue.add(context.spent(Stage::Queue));
        counts.compute_input.add(input);
        counts.compute_output.add(output);
        if rows > 0 {
            let batch = counts.batch(rows);
            batch.input.add(input);
            batch.output.add(output);
        }
    }

    /// A request reached the version and got no answer.
    pub fn failed(&self, context: &Context) {
        self.counts.mine().fail.add(context.began().elapsed());
    }
}

impl Default for Counts {
    fn default() -> Self {
        Self {
            last_inference: AtomicU64::default(),
            inferences: AtomicU64::default(),
            executions: AtomicU64::default(),
            success: Tally::default(),
            fail: Tally::default(),
            queue: Tally::default(),
            compute_input: Tally::default(),
            compute_infer: Tally::default(),
            compute_output: Tally::default(),
            batches: [const { OnceLock::new() }; LARGEST_EXACT + POWERS],
        }
    }
}

impl Counts {
    fn batch(&self, rows: usize) -> &Stages {
        self.batches[place(rows)].get_or_init(Box::default)
    }
}

impl Stages {
    fn totals(&self, place: usize) -> BatchTotals {
        let Self { input, infer, output } = self;
        BatchTotals { size: size(place), input: input.total(), infer: infer.total(), output: output.total() }
    }
}

/// Where a batch of `rows`, at least 1, is counted.
fn place(rows: usize) -> usize {
    if rows <= LARGEST_EXACT {
        return rows.max(1) - 1;
    }
    // 129 to 256 is the first.
    let power = (usize::BITS - (rows - 1).leading_zeros()) as usize - LARGEST_EXACT.ilog2() as usize - 1;
    LARGEST_EXACT + power.min(POWERS - 1)
}

/// The batch size that a place stands for.
fn size(place: usize) -> u64 {
    if place < LARGEST_EXACT {
        return place as u64 + 1;
    }
    (2 * LARGEST_EXACT as u64) << (place - LARGEST_EXACT)
}

/// Counts of all versions.
#[derive(Debug)]
pub struct Statistics {
    versions: Slot<ShortMap<Digest, Arc<VersionStatistics>>>,
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
    pub(crate) fn of(&self, registry: &Registry, deployment: &Deployment) -> Arc<VersionStatistics> {
        let digest = deployment.digest();
        match self.versions.with(|versions| versions.get(&digest).cloned()) {
            Some(found) => found,
            None => self.add(registry, deployment),
        }
    }

    fn add(&self, registry: &Registry, deployment: &Deployment) -> Arc<VersionStatistics> {
        let _adding = self.adding.lock().unwrap_or_else(PoisonError::into_inner);
        let mut versions = ShortMap::clone(&self.versions.load());
        let manifest = deployment.manifest();
        let published = registry.model(manifest.name.as_str());
        let known = |version: &ModelVersion| {
            published.as_ref().is_some_and(|model| model.versions.iter().any(|one| one.version == *version))
        };
        versions.retain(|_, counts| counts.name != manifest.name || known(&counts.version));
        let begin = || Arc::new(VersionStatistics::new(manifest.name.clone(), manifest.version.clone()));
        let counts = Arc::clone(versions.entry(deployment.digest()).or_insert_with(begin));
        self.versions.store(versions);
        counts
    }

    /// The counts of all versions that were asked for, by model and version.
    #[must_use]
    pub fn all(&self) -> Vec<Arc<VersionStatistics>> {
        let mut all: Vec<_> = self.versions.with(|versions| versions.values().cloned().collect());
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
        let (now, rows) = (self.now(), u32::try_from(answers.len()).unwrap_or(u32::MAX));
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
    fn batch_sizes_are_exact_and_then_powers_of_two() {
        for (rows, expected) in [
            (1, 1),
            (2, 2),
            (128, 128),
            (129, 256),
            (256, 256),
            (257, 512),
            (10_000, 16_384),
            (usize::MAX, 1 << 31),
        ] {
            assert_eq!(size(place(rows)), expected, "{rows}");
        }
        assert_eq!(place(0), 0);
    }

    #[test]
    fn an_execution_counts_its_rows_and_a_request_its_stages() {
        let version = VersionStatistics::new("m".parse().expect("a name"), "v1".parse().expect("a version"));
        let context = Context::internal();
        context.spend(Stage::Parse, Duration::from_nanos(5));
        version.executed(Timestamp::UNIX_EPOCH + Duration::from_secs(7), 3, Duration::from_nanos(11));
        version.answered(&context, 3);
        version.executed(Timestamp::UNIX_EPOCH, 0, Duration::from_nanos(11));
        version.failed(&context);
        let later = Timestamp::UNIX_EPOCH + Duration::from_secs(8);
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
