//! What goes with a request whatever it asks for: who asks, until when an answer is worth having, how urgent it is, and
//! where its time went. An adapter makes one for each request; everything that the service does is done in one.

use std::borrow::Cow;
use std::future::Future;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use serve_registry::Deployment;

use crate::admission::gate::Permit;
use crate::caller::Caller;
use crate::error::{Code, Fault, ServiceError};
use crate::metrics::rows::{Apart, Failed, Rows, Whose};
use crate::statistics::VersionStatistics;
use crate::striped::Owner;

pub use stage::Stage;

mod stage;

/// How urgent a request is: 1 before 2, and so on. Nothing said is [`Priority::USUAL`]. Who waits longest is not passed
/// without end, whatever the others' priority.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Priority(pub u8);

impl Priority {
    /// Of a request that says nothing.
    pub const USUAL: Self = Self(5);

    /// As protocols write it: 0 is nothing said, 1 the most urgent.
    #[must_use]
    pub fn of(said: u8) -> Self {
        if said == 0 { Self::USUAL } else { Self(said) }
    }
}

impl Default for Priority {
    fn default() -> Self {
        Self::USUAL
    }
}

/// Where a request came from, for the audit trail.
#[derive(Debug, Clone, Default)]
pub struct Origin {
    /// The client's address, where it came over a network.
    pub address: Option<IpAddr>,
    /// The subject of the certificate that its connection showed, verified, where it showed one.
    pub certificate: Option<Arc<str>>,
    /// The request's id.
    pub request: Arc<str>,
    /// What it asks for: a method, and the line of the adapter's table.
    pub asked: Option<(&'static str, &'static str)>,
}

/// No deadline.
const NEVER: u64 = u64::MAX;

/// What goes with one request. With it goes the permit that its work took ([`crate::admission`]), so a context ends with its
/// request.
#[derive(Debug)]
pub struct Context {
    caller: Arc<Caller>,
    origin: Origin,
    began: Instant,
    /// When the clock was read last, in nanoseconds since it began; 0, where it was not.
    read: AtomicU64,
    /// In nanoseconds since it began; [`NEVER`], where there is none.
    deadline: AtomicU64,
    priority: AtomicU8,
    spent: [AtomicU64; Stage::ALL.len()],
    deployment: OnceLock<Arc<Deployment>>,
    /// The deployment's, once they were looked for.
    statistics: OnceLock<Owner<VersionStatistics>>,
    rows: Rows,
    audited: AtomicBool,
    kept_from: AtomicBool,
    /// The permit for its work. Held to take it or give it back.
    permit: Mutex<Option<Permit>>,
    /// Whether it ever had one.
    held: AtomicBool,
}

impl Context {
    /// A request that begins now, without a deadline.
    #[must_use]
    pub fn new(caller: Arc<Caller>) -> Self {
        Self::begun(caller, Instant::now())
    }

    /// A request that began earlier, without a deadline.
    #[must_use]
    pub fn begun(caller: Arc<Caller>, began: Instant) -> Self {
        Self {
            caller,
            origin: Origin::default(),
            began,
            read: AtomicU64::new(0),
            deadline: AtomicU64::new(NEVER),
            priority: AtomicU8::new(Priority::USUAL.0),
            spent: Default::default(),
            deployment: OnceLock::new(),
            statistics: OnceLock::new(),
            rows: Rows::default(),
            audited: AtomicBool::new(false),
            kept_from: AtomicBool::new(false),
            permit: Mutex::default(),
            held: AtomicBool::new(false),
        }
    }

    /// A request of this process itself: everything is allowed, and it may take its time.
    #[must_use]
    pub fn internal() -> Self {
        Self::new(Arc::new(Caller::anyone()))
    }

    /// The same request, from somewhere.
    #[must_use]
    pub fn sent_from(self, origin: Origin) -> Self {
        Self { origin, ..self }
    }

    /// The same request with a moment after which nobody waits for its answer.
    #[must_use]
    pub fn until(self, deadline: Instant) -> Self {
        self.tighten(deadline);
        self
    }

    /// Sets a deadline that was read later, where it is earlier than the one that holds.
    pub fn tighten(&self, deadline: Instant) {
        let nanoseconds = deadline.saturating_duration_since(self.began).as_nanos();
        let nanoseconds = u64::try_from(nanoseconds).unwrap_or(NEVER);
        self.deadline.fetch_min(nanoseconds, Ordering::Relaxed);
    }

    /// How urgent it is.
    #[must_use]
    pub fn priority(&self) -> Priority {
        Priority(self.priority.load(Ordering::Relaxed))
    }

    /// Sets how urgent it is, which is read with the request.
    pub fn set_priority(&self, priority: Priority) {
        self.priority.store(priority.0, Ordering::Relaxed);
    }

    /// Who asks.
    #[must_use]
    pub fn caller(&self) -> &Arc<Caller> {
        &self.caller
    }

    /// Where it came from.
    #[must_use]
    pub fn origin(&self) -> &Origin {
        &self.origin
    }

    /// When it began.
    #[must_use]
    pub fn began(&self) -> Instant {
        self.began
    }

    /// After which nobody waits for the answer.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        match self.deadline.load(Ordering::Relaxed) {
            NEVER => None,
            nanoseconds => self.began.checked_add(Duration::from_nanos(nanoseconds)),
        }
    }

    /// Notes which version the request means; the first, where it means several.
    pub(crate) fn resolved(&self, deployment: &Arc<Deployment>) {
        if self.deployment.get().is_none() {
            // Another part of the same request was faster.
            drop(self.deployment.set(Arc::clone(deployment)));
        }
    }

    /// Which version the request means, once that is known.
    #[must_use]
    pub fn deployment(&self) -> Option<&Arc<Deployment>> {
        self.deployment.get()
    }

    /// The statistics of a version: those of the one that the request means are found once, though they are counted in at
    /// several of its steps.
    pub(crate) fn statistics(
        &self,
        deployment: &Deployment,
        find: impl FnOnce() -> Owner<VersionStatistics>,
    ) -> Cow<'_, Arc<VersionStatistics>> {
        if self.deployment().is_some_and(|meant| std::ptr::eq(Arc::as_ptr(meant), deployment)) {
            let found: &Arc<VersionStatistics> = self.statistics.get_or_init(find);
            Cow::Borrowed(found)
        } else {
            Cow::Owned(Arc::clone(&*find()))
        }
    }

    /// Notes that predictions of so many rows were asked for. The service does for what it is asked; an adapter does for rows
    /// that it refuses with their request.
    pub fn add_rows(&self, rows: usize) {
        self.rows.ask(rows);
    }

    /// Of how many rows predictions were asked for.
    #[must_use]
    pub fn rows(&self) -> u64 {
        self.rows.asked()
    }

    /// How many of them were refused or failed while the request as a whole was answered.
    #[must_use]
    pub fn failed_rows(&self) -> u64 {
        self.rows.failed()
    }

    /// Notes a row that an adapter could not read, in a request that it could: it is asked for and refused.
    pub fn refuse_row(&self, code: &'static str, fault: Fault) {
        self.rows.ask(1);
        self.rows.set_apart(Whose::Request, Some((code, fault)));
    }

    /// Notes a row that does not share its request's fate, or its version.
    pub(crate) fn set_row_apart(&self, whose: Whose, failed: Option<Failed>) {
        self.rows.set_apart(whose, failed);
    }

    pub(crate) fn rows_apart(&self) -> Vec<Apart> {
        self.rows.apart()
    }

    /// Notes that the request asked for what its caller may not use; says whether it did before.
    pub(crate) fn keep_from(&self) -> bool {
        self.kept_from.swap(true, Ordering::Relaxed)
    }

    /// Notes that an administrative act of the request stands in the audit trail; says whether one stood there before.
    pub(crate) fn audit(&self) -> bool {
        self.audited.swap(true, Ordering::Relaxed)
    }

    /// Keeps the permit for the request's work in the place of one for an earlier part of it. It is given back with the
    /// context, when the answer is written or nobody wants one any more.
    pub(crate) fn hold(&self, permit: Option<Permit>) {
        if permit.is_none() && !self.held.load(Ordering::Acquire) {
            return;
        }
        self.held.store(true, Ordering::Release);
        let mut held = self.permit.lock().unwrap_or_else(PoisonError::into_inner);
        let before = std::mem::replace(&mut *held, permit);
        drop(held);
        drop(before);
    }

    /// Refuses work that nobody waits for any more. Called before each costly step.
    ///
    /// # Errors
    /// [`Code::DeadlineExceeded`].
    pub fn check_deadline(&self) -> Result<(), ServiceError> {
        self.check_deadline_at(Instant::now())
    }

    /// [`check_deadline`](Self::check_deadline), for who knows the time.
    pub(crate) fn check_deadline_at(&self, now: Instant) -> Result<(), ServiceError> {
        match self.deadline() {
            Some(deadline) if now >= deadline => Err(self.expired(deadline)),
            _ => Ok(()),
        }
    }

    /// Waits for `work` until the deadline, and drops it then.
    ///
    /// # Errors
    /// [`Code::DeadlineExceeded`].
    pub async fn within<T>(&self, work: impl Future<Output = T>) -> Result<T, ServiceError> {
        let Some(deadline) = self.deadline() else { return Ok(work.await) };
        tokio::time::timeout_at(deadline.into(), work).await.map_err(|_| self.expired(deadline))
    }

    fn expired(&self, deadline: Instant) -> ServiceError {
        Self::deadline_passed(deadline.saturating_duration_since(self.began))
    }

    /// The refusal of work for which a request has no time any more.
    #[must_use]
    pub fn deadline_passed(limit: Duration) -> ServiceError {
        let limit = serve_core::duration::format(limit);
        ServiceError::new(Code::DeadlineExceeded, format!("the request's deadline of {limit} has passed"))
    }

    /// Reads the clock.
    pub(crate) fn now(&self) -> Instant {
        let now = Instant::now();
        let nanoseconds = now.saturating_duration_since(self.began).as_nanos();
        self.read.store(u64::try_from(nanoseconds).unwrap_or(u64::MAX), Ordering::Relaxed);
        now
    }

    /// When the clock was read last, which was at the end of the stage before: for a step that follows it without waiting. To
    /// read the clock takes as long as some steps do.
    pub(crate) fn lately(&self) -> Instant {
        match self.read.load(Ordering::Relaxed) {
            0 => self.now(),
            nanoseconds => self.began + Duration::from_nanos(nanoseconds),
        }
    }

    /// Notes that `stage` took a further `time`.
    pub fn spend(&self, stage: Stage, time: Duration) {
        if time.is_zero() {
            return;
        }
        let nanoseconds = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        self.spent[stage as usize].fetch_add(nanoseconds, Ordering::Relaxed);
    }

    /// Does `work` and notes how long it took.
    pub fn timed<T>(&self, stage: Stage, work: impl FnOnce() -> T) -> T {
        self.timed_since(self.now(), stage, work)
    }

    /// [`timed`](Self::timed), for who knows when it begins.
    pub(crate) fn timed_since<T>(&self, began: Instant, stage: Stage, work: impl FnOnce() -> T) -> T {
        let done = work();
        self.spend(stage, self.now().saturating_duration_since(began));
        done
    }

    /// Waits for `work` and notes how long that took.
    pub async fn timed_async<T>(&self, stage: Stage, work: impl Future<Output = T>) -> T {
        let began = self.now();
        let done = work.await;
        self.spend(stage, self.now().saturating_duration_since(began));
        done
    }

    /// How long a stage took until now.
    #[must_use]
    pub fn spent(&self, stage: Stage) -> Duration {
        Duration::from_nanos(self.spent[stage as usize].load(Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_adds_up_by_stage() {
        let context = Context::internal();
        context.spend(Stage::Infer, Duration::from_micros(3));
        context.spend(Stage::Infer, Duration::from_micros(4));
        assert_eq!(context.spent(Stage::Infer), Duration::from_micros(7));
        assert_eq!(context.spent(Stage::Write), Duration::ZERO);
        assert_eq!(context.timed(Stage::Parse, || 5), 5);
        assert!(Stage::ALL.iter().enumerate().all(|(at, stage)| *stage as usize == at));
    }

    #[test]
    fn expired_work_is_refused() {
        let began = Instant::now();
        let open = Context::begun(Arc::new(Caller::anyone()), began).until(began + Duration::from_mins(1));
        assert!(open.check_deadline().is_ok());
        assert!(Context::internal().check_deadline().is_ok());
        let passed = Context::begun(Arc::new(Caller::anyone()), began).until(began);
        assert_eq!(passed.check_deadline().expect_err("has passed").code, Code::DeadlineExceeded);
        let told = |micros| Context::deadline_passed(Duration::from_micros(micros)).message;
        assert_eq!(told(1), "the request's deadline of 1us has passed");
        assert_eq!(told(250_000), "the request's deadline of 250ms has passed");
        open.tighten(began + Duration::from_hours(1));
        assert!(open.check_deadline().is_ok());
        open.tighten(began);
        assert!(open.check_deadline().is_err());
        open.tighten(began + Duration::from_hours(1));
        assert!(open.check_deadline().is_err(), "a deadline is never put off");
    }
}
