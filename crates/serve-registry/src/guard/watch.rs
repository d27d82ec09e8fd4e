//! The thread that puts questions to both versions.
//!
//! Invariants: [`Guard::offer`] never waits. A guard keeps no version in memory: its thread holds both only while it asks
//! them. The thread ends at the end of the window, at the first breach, when the guard is closed or dropped, or when one
//! of the versions is gone.
//!
//! The thread works for at most a quarter of the time, so that a window does not slow the requests that it watches.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use serve_core::{ModelVersion, Prediction};

use super::config::GuardConfig;
use super::judge::{Comparison, Verdict, compare, judge};
use super::tally::Tally;
use crate::deployment::Deployment;

/// Questions that may wait. More are not asked.
const QUEUE: usize = 256;

/// After a question that took t, the thread rests for three times t.
const REST: u32 = 3;

/// Rests are taken once they have come to this much.
const SHORTEST_REST: Duration = Duration::from_millis(1);

/// How long the thread may fail to notice that it was closed.
const NOTICE: Duration = Duration::from_millis(50);

/// What a version makes of a question.
#[derive(Debug)]
pub enum Reply {
    /// A prediction.
    Answer(Prediction),
    /// What the client would have been told is an error.
    Error,
    /// It would have been answered, as far as can be told, but not with what: a row without an error, and no more.
    Unseen,
    /// It cannot be told what the client would have got, e.g. because the version reads features that are not at hand.
    /// The row then counts for neither version.
    Unknown,
}

/// One row of a request, which either version can be asked. Called on the guard's thread, once per version.
pub type Question = Box<dyn Fn(&Deployment) -> Reply + Send>;

/// What a guard shows.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct GuardSnapshot {
    /// The version that was replaced.
    pub old: ModelVersion,
    /// The version that is watched.
    pub new: ModelVersion,
    /// When the window ends.
    pub until: jiff::Timestamp,
    /// Whether it is still watched.
    pub open: bool,
    /// How many questions found no room, or no thread, and were not asked.
    pub dropped: usize,
    /// What was found so far.
    pub found: Comparison,
}

/// Watches a version that replaced another; see the module.
#[derive(Debug)]
pub struct Guard {
    shared: Arc<Shared>,
    /// Dropped with the guard, which ends the thread.
    questions: SyncSender<Question>,
}

#[derive(Debug)]
struct Shared {
    versions: (ModelVersion, ModelVersion),
    until: jiff::Timestamp,
    open: AtomicBool,
    waiting: AtomicUsize,
    dropped: AtomicUsize,
    /// What the old and the new version answered. Locked by the thread after it asked, never while a version answers.
    tallies: Mutex<(Tally, Tally)>,
}

impl Guard {
    /// Opens the window of `config` on versions that others keep loaded: a thread asks both what is
    /// [offered](Self::offer), and calls `on_verdict` once, at the first breach or at the end of the window. It is not
    /// called when the guard is [closed](Self::close) or dropped before. A close that comes while it is being called does
    /// not stop it, so the callee checks, under its own lock, that `new` still stands where it stood.
    ///
    /// # Errors
    /// When the thread does not start.
    pub fn start(
        config: GuardConfig,
        old: &Arc<Deployment>,
        new: &Arc<Deployment>,
        on_verdict: Box<dyn FnOnce(Verdict) + Send>,
    ) -> std::io::Result<Arc<Self>> {
        let (questions, receiver) = sync_channel(QUEUE);
        let tallies = (Tally::new(&old.manifest().target), Tally::new(&new.manifest().target));
        let until = jiff::Timestamp::now().saturating_add(config.window).unwrap_or(jiff::Timestamp::MAX);
        let shared = Arc::new(Shared {
            versions: (old.manifest().version.clone(), new.manifest().version.clone()),
            until,
            open: AtomicBool::new(true),
            waiting: AtomicUsize::new(0),
            dropped: AtomicUsize::new(0),
            tallies: Mutex::new(tallies),
        });
        let versions = (Arc::downgrade(old), Arc::downgrade(new));
        let watch = Watch::new(config, Arc::clone(&shared), receiver, versions);
        let run = move || {
            if let Some(verdict) = watch.run() {
                on_verdict(verdict);
            }
        };
        // Nobody joins the thread: it holds no guard, ends soon after the last one is gone, and stops no process.
        std::thread::Builder::new().name("registry-guard".to_owned()).spawn(run)?;
        Ok(Arc::new(Self { shared, questions }))
    }

    /// Has a row asked, if there is room for it. Never waits; where there is no room, `question` is not called.
    ///
    /// Answers whether there was room, so that somebody with many rows can stop.
    pub fn offer(&self, question: impl FnOnce() -> Question) -> bool {
        let shared = &*self.shared;
        if !self.is_open() {
            return false;
        }
        // The count may run ahead of the queue, never behind it: a place is taken before it is used.
        let taken = shared.waiting.fetch_add(1, Ordering::Relaxed) < QUEUE
            && self.questions.try_send(question()).is_ok();
        if !taken {
            shared.waiting.fetch_sub(1, Ordering::Relaxed);
            shared.dropped.fetch_add(1, Ordering::Relaxed);
        }
        taken
    }

    /// Whether questions are still asked.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.shared.open.load(Ordering::Relaxed)
    }

    /// Ends the window without a verdict: another version was promoted. Does not wait for the thread.
    pub fn close(&self) {
        self.shared.open.store(false, Ordering::Relaxed);
    }

    /// What is known at this moment.
    #[must_use]
    pub fn snapshot(&self) -> GuardSnapshot {
        let shared = &*self.shared;
        let (old, new) = shared.versions.clone();
        // Copied out, so that sorting does not keep the thread waiting.
        let (asked_old, asked_new) = shared.tallies().clone();
        GuardSnapshot {
            old,
            new,
            until: shared.until,
            open: self.is_open(),
            dropped: shared.dropped.load(Ordering::Relaxed),
            found: compare(&asked_old, &asked_new),
        }
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.close();
    }
}

impl Shared {
    fn tallies(&self) -> MutexGuard<'_, (Tally, Tally)> {
        // Nothing that can panic runs while a tally is half changed.
        self.tallies.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The thread's own state.
struct Watch {
    config: GuardConfig,
    shared: Arc<Shared>,
    questions: Receiver<Question>,
    versions: (Weak<Deployment>, Weak<Deployment>),
    end: Option<Instant>,
    /// Rests until then.
    rested: Instant,
    asked: u64,
    looks: u32,
    next_look: u64,
}

impl Watch {
    fn new(
        config: GuardConfig,
        shared: Arc<Shared>,
        questions: Receiver<Question>,
        versions: (Weak<Deployment>, Weak<Deployment>),
    ) -> Self {
        let now = Instant::now();
        let (end, next_look) = (now.checked_add(config.window), config.min_rows.get());
        Self { config, shared, questions, versions, end, rested: now, asked: 0, looks: 0, next_look }
    }

    /// Asks until there is a verdict, or nobody wants one any more.
    fn run(mut self) -> Option<Verdict> {
        let verdict = self.watch();
        let wanted = self.shared.open.swap(false, Ordering::Relaxed);
        verdict.filter(|_| wanted)
    }

    fn watch(&mut self) -> Option<Verdict> {
        // A version with other scores needs no question to be found.
        if let breach @ Verdict::Breach { .. } = self.look(0) {
            return Some(breach);
        }
        while self.shared.open.load(Ordering::Relaxed) {
            let now = Instant::now();
            let left = self.end.map_or(NOTICE, |end| end.saturating_duration_since(now));
            if left.is_zero() {
                return Some(self.look(self.looks + 1));
            }
            let rest = self.rested.saturating_duration_since(now);
            if rest >= SHORTEST_REST {
                std::thread::sleep(rest.min(left).min(NOTICE));
                continue;
            }
            match self.questions.recv_timeout(left.min(NOTICE)) {
                Ok(question) => {
                    let (old, new) = (self.versions.0.upgrade()?, self.versions.1.upgrade()?);
                    self.ask(&*question, &old, &new);
                }
                Err(RecvTimeoutError::Timeout) if self.versions_are_there() => {}
                Err(_) => return None,
            }
            if let breach @ Some(_) = self.look_if_due() {
                return breach;
            }
        }
        None
    }

    fn versions_are_there(&self) -> bool {
        self.versions.0.strong_count() > 0 && self.versions.1.strong_count() > 0
    }

    /// Puts a question to both versions, the old one first every other time.
    fn ask(&mut self, question: &(dyn Fn(&Deployment) -> Reply + Send), old: &Deployment, new: &Deployment) {
        self.shared.waiting.fetch_sub(1, Ordering::Relaxed);
        let start = Instant::now();
        self.asked += 1;
        let (old, new) = if self.asked.is_multiple_of(2) {
            let new = timed(question, new);
            (timed(question, old), new)
        } else {
            (timed(question, old), timed(question, new))
        };
        self.rested = self.rested.max(start) + start.elapsed() * (1 + REST);
        if !matches!((&old.0, &new.0), (Reply::Unknown, _) | (_, Reply::Unknown)) {
            let mut tallies = self.shared.tallies();
            record(&mut tallies.0, old);
            record(&mut tallies.1, new);
        }
    }

    fn look_if_due(&mut self) -> Option<Verdict> {
        if self.shared.tallies().0.rows() < self.next_look {
            return None;
        }
        self.looks += 1;
        self.next_look = self.next_look.saturating_mul(2);
        Some(self.look(self.looks)).filter(|verdict| matches!(verdict, Verdict::Breach { .. }))
    }

    fn look(&self, look: u32) -> Verdict {
        let (old, new) = self.shared.tallies().clone();
        judge(&self.config, look, &old, &new)
    }
}

/// A panic would have been an error to the client as well.
fn timed(question: &(dyn Fn(&Deployment) -> Reply + Send), deployment: &Deployment) -> (Reply, Duration) {
    let start = Instant::now();
    let reply = catch_unwind(AssertUnwindSafe(|| question(deployment))).unwrap_or(Reply::Error);
    (reply, start.elapsed())
}

fn record(tally: &mut Tally, (reply, latency): (Reply, Duration)) {
    match reply {
        Reply::Answer(prediction) => tally.answered(latency, prediction.scores()),
        Reply::Error => tally.failed(),
        Reply::Unseen => tally.unseen(),
        Reply::Unknown => {}
    }
}
