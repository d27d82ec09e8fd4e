//! Threads for work that takes long, so that it stands in nobody's way: not in that of connections, and not in each other's.
//! Work comes in [parts](crate::parts); whose turn it was goes to the end of the line, so a single row waits for the parts
//! before it and not for a batch. Whoever drops the wait, or whose deadline passes, has no further part computed.
//!
//! There is no bound on what waits here: [`admission`](crate::admission) has let it in.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serve_features::Threads;
use tokio::sync::mpsc;
use tracing::{error, warn};

use crate::context::{Context, Stage};
use crate::error::{Code, ServiceError};
use lent::Lent;
use line::{Part, Shared};

mod lent;
mod line;

/// Work that is expected to take longer than this leaves the thread that serves connections.
pub(crate) const LONGEST_ON_WORKER: Duration = Duration::from_micros(200);

/// Whether work is still wanted.
pub(crate) struct Wanted {
    no_more: AtomicBool,
    deadline: Option<Instant>,
    shared: Arc<Shared>,
}

impl Wanted {
    fn new(shared: &Arc<Shared>, context: &Context) -> Self {
        let shared = Arc::clone(shared);
        Self { no_more: AtomicBool::new(false), deadline: context.deadline(), shared }
    }

    /// Counts rows that were computed.
    pub(crate) fn count(&self, rows: usize) {
        self.shared.rows.mine().add(|computed| computed, rows as u64);
    }

    /// Asked before each row that takes long.
    pub(crate) fn still(&self) -> bool {
        !self.no_more.load(Ordering::Relaxed)
            && self.deadline.is_none_or(|deadline| Instant::now() < deadline)
    }
}

/// The threads. They end with this.
pub(crate) struct Workers {
    shared: Arc<Shared>,
    threads: usize,
}

impl std::fmt::Debug for Workers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Workers").field("threads", &self.threads).finish_non_exhaustive()
    }
}

impl Workers {
    /// So many threads, or as many of them as the system starts.
    pub(crate) fn new(threads: usize) -> Self {
        let shared = Arc::new(Shared::default());
        let start = |number: usize| {
            let shared = Arc::clone(&shared);
            let started =
                thread::Builder::new().name(format!("predict-{number}")).spawn(move || shared.work());
            started.inspect_err(|error| warn!(%error, "a thread for predictions cannot be started")).is_ok()
        };
        let threads = (0..threads).filter(|number| start(*number)).count();
        Self { shared, threads }
    }

    /// Rows that were computed.
    pub(crate) fn rows(&self) -> u64 {
        self.shared.rows.sum(|rows| rows)
    }

    /// Does short work on so many rows where it is.
    pub(crate) fn here<T>(
        &self,
        context: &Context,
        rows: usize,
        work: impl FnOnce() -> T,
    ) -> Result<T, ServiceError> {
        self.here_since(context.now(), context, rows, work)
    }

    /// [`here`](Self::here), for who knows when it begins.
    pub(crate) fn here_since<T>(
        &self,
        began: Instant,
        context: &Context,
        rows: usize,
        work: impl FnOnce() -> T,
    ) -> Result<T, ServiceError> {
        context.check_deadline_at(began)?;
        let done = context.timed_since(began, Stage::Infer, || alone(work))?;
        self.shared.rows.mine().add(|computed| computed, rows as u64);
        Ok(done)
    }

    /// Infers on the threads, part by part, and answers with the results in order. `work` says nothing once it finds
    /// that it is not wanted, and counts the rows that it computes.
    pub(crate) async fn run<T: Send + 'static, U: Send + 'static>(
        &self,
        context: &Context,
        parts: Vec<T>,
        work: impl Fn(T, &Wanted) -> Option<U> + Send + Sync + 'static,
    ) -> Result<Vec<U>, ServiceError> {
        self.run_as(Stage::Infer, context, parts, work).await
    }

    /// [`run`](Self::run), for work of any stage.
    pub(crate) async fn run_as<T: Send + 'static, U: Send + 'static>(
        &self,
        stage: Stage,
        context: &Context,
        parts: Vec<T>,
        work: impl Fn(T, &Wanted) -> Option<U> + Send + Sync + 'static,
    ) -> Result<Vec<U>, ServiceError> {
        context.check_deadline()?;
        if self.threads == 0 {
            let wanted = Wanted::new(&self.shared, context);
            let all = || parts.into_iter().map(|part| work(part, &wanted)).collect::<Option<Vec<U>>>();
            return self.here(context, 0, all)?.ok_or_else(|| unfinished(context));
        }
        let count = parts.len();
        let (results, _abandon) = self.begin(context, parts, work);
        let gathered = context.within(gather(results, count));
        let gathered = context.timed_async(stage, gathered).await?;
        gathered.ok_or_else(|| unfinished(context))
    }

    /// The same threads, for others who have work.
    pub(crate) fn shared(&self) -> Arc<dyn Threads> {
        Arc::new(Lent { shared: Arc::clone(&self.shared), threads: self.threads })
    }

    fn begin<T: Send + 'static, U: Send + 'static>(
        &self,
        context: &Context,
        parts: Vec<T>,
        work: impl Fn(T, &Wanted) -> Option<U> + Send + Sync + 'static,
    ) -> (mpsc::UnboundedReceiver<(usize, U)>, Abandon) {
        let wanted = Arc::new(Wanted::new(&self.shared, context));
        let (sender, results) = mpsc::unbounded_channel();
        let work = Arc::new(work);
        let part = |(at, part): (usize, T)| -> Part {
            let (work, wanted, sender) = (Arc::clone(&work), Arc::clone(&wanted), sender.clone());
            Box::new(move || {
                let _fuse = Fuse(&wanted);
                if wanted.still()
                    && let Some(result) = work(part, &wanted)
                {
                    // Where nobody waits any more it is lost.
                    drop(sender.send((at, result)));
                }
            })
        };
        let parts: VecDeque<Part> = parts.into_iter().enumerate().map(part).collect();
        let number = self.shared.line_up(parts, self.threads);
        (results, Abandon { shared: Arc::clone(&self.shared), number, wanted })
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        let mut line = self.shared.lock();
        line.closed = true;
        let undone = std::mem::take(&mut line.jobs);
        drop(line);
        drop(undone);
        self.shared.more.notify_all();
    }
}

/// All results in order, or nothing where one is missing.
async fn gather<U>(mut results: mpsc::UnboundedReceiver<(usize, U)>, count: usize) -> Option<Vec<U>> {
    let mut found: Vec<Option<U>> = Vec::with_capacity(count);
    found.resize_with(count, || None);
    for _ in 0..count {
        let (at, result) = results.recv().await?;
        found[at] = Some(result);
    }
    found.into_iter().collect()
}

/// Where one part panics, the others are not wanted.
struct Fuse<'a>(&'a Wanted);

impl Drop for Fuse<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.no_more.store(true, Ordering::Relaxed);
        }
    }
}

/// Takes the rest of a job out of the line once nobody waits for it.
struct Abandon {
    shared: Arc<Shared>,
    number: u64,
    wanted: Arc<Wanted>,
}

impl Drop for Abandon {
    fn drop(&mut self) {
        self.wanted.no_more.store(true, Ordering::Relaxed);
        let mut line = self.shared.lock();
        let rest = line.jobs.iter().position(|job| job.number == self.number);
        let rest = rest.and_then(|at| line.jobs.remove(at));
        drop(line);
        drop(rest);
    }
}

/// Why a part has no result: it was not wanted any more, or it panicked.
fn unfinished(context: &Context) -> ServiceError {
    context.check_deadline().err().unwrap_or_else(broken)
}

/// Does work whose panic is an error of its own. The panic hook has logged it by then.
pub(crate) fn alone<T>(work: impl FnOnce() -> T) -> Result<T, ServiceError> {
    catch_unwind(AssertUnwindSafe(work)).map_err(|_| broken())
}

fn broken() -> ServiceError {
    error!("a model's work panicked");
    ServiceError::new(Code::Internal, "the server failed on this request; its log has the cause")
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::sync::atomic::AtomicUsize;
    use std::sync::mpsc as blocking;

    use futures_util::FutureExt;

    use super::*;
    use crate::parts::cut;

    /// One thread, and what holds it until it is told to go on.
    async fn held(workers: &Arc<Workers>) -> (blocking::Sender<()>, tokio::task::JoinHandle<()>) {
        let (go, wait) = blocking::channel::<()>();
        let (begun, has_begun) = tokio::sync::oneshot::channel();
        let (wait, begun) = (Mutex::new(wait), Mutex::new(Some(begun)));
        let workers = Arc::clone(workers);
        let task = tokio::spawn(async move {
            let work = move |(), _: &Wanted| {
                if let Some(begun) = begun.lock().expect("whole").take() {
                    begun.send(()).expect("is waited for");
                }
                wait.lock().expect("whole").recv().ok()
            };
            workers.run(&Context::internal(), vec![()], work).await.map(drop).expect("ends");
        });
        has_begun.await.expect("begins");
        (go, task)
    }

    #[tokio::test]
    async fn parts_are_answered_in_order() {
        let workers = Workers::new(3);
        let work = |part: Vec<usize>, _: &Wanted| Some(part.iter().sum::<usize>());
        let parts = cut((0..1_000).collect(), |_| Duration::from_micros(50));
        assert_eq!(parts.len(), 100);
        let sums = workers.run(&Context::internal(), parts, work).await.expect("no part fails");
        assert_eq!((sums[0], sums[99]), (45, 9_945));
    }

    #[tokio::test]
    async fn time_goes_to_the_stage_and_lent_pieces_are_done() {
        let (workers, context) = (Workers::new(1), Context::internal());
        let work = |part: u8, _: &Wanted| {
            thread::sleep(Duration::from_millis(1));
            Some(part)
        };
        assert_eq!(workers.run_as(Stage::Write, &context, vec![1, 2], work).await.expect("ends"), [1, 2]);
        assert!(context.spent(Stage::Write) >= Duration::from_millis(2));
        assert_eq!(context.spent(Stage::Infer), Duration::ZERO);
        let lent = workers.shared();
        let (done, wait) = tokio::sync::oneshot::channel();
        lent.run(vec![Box::new(move || done.send(thread::current().id()).expect("is waited for"))]);
        assert_ne!(wait.await.expect("is done"), thread::current().id());
        drop(workers);
        let (done, wait) = tokio::sync::oneshot::channel::<()>();
        lent.run(vec![Box::new(move || drop(done))]);
        assert!(wait.await.is_err(), "nobody waits for threads that ended");
    }

    #[tokio::test]
    async fn jobs_take_turns() {
        let workers = Arc::new(Workers::new(1));
        let (go, blocker) = held(&workers).await;
        let order = Arc::new(Mutex::new(Vec::new()));
        let job = |name: char, parts: usize| {
            let (workers, order) = (Arc::clone(&workers), Arc::clone(&order));
            async move {
                let work = move |(), _: &Wanted| {
                    order.lock().expect("whole").push(name);
                    Some(())
                };
                workers.run(&Context::internal(), vec![(); parts], work).await.map(drop)
            }
        };
        let (mut batch, mut single) = (Box::pin(job('b', 4)), Box::pin(job('s', 1)));
        assert!(batch.as_mut().now_or_never().is_none());
        assert!(single.as_mut().now_or_never().is_none());
        go.send(()).expect("waits");
        blocker.await.expect("ends");
        batch.await.expect("ends");
        single.await.expect("ends");
        assert_eq!(*order.lock().expect("whole"), ['b', 's', 'b', 'b', 'b']);
    }

    #[tokio::test]
    async fn nothing_is_computed_for_those_who_left() {
        let workers = Arc::new(Workers::new(1));
        let (go, blocker) = held(&workers).await;
        let computed = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&computed);
        let work = move |(), _: &Wanted| Some(counted.fetch_add(1, Ordering::SeqCst));
        let context = Context::internal();
        let mut job = Box::pin(workers.run(&context, vec![(); 100], work.clone()));
        assert!(job.as_mut().now_or_never().is_none());
        drop(job);
        assert!(workers.shared.lock().jobs.is_empty());
        let soon = Context::internal().until(Instant::now() + Duration::from_millis(5));
        let late = workers.run(&soon, vec![(); 100], work).await;
        assert_eq!(late.expect_err("the thread is held").code, Code::DeadlineExceeded);
        go.send(()).expect("waits");
        blocker.await.expect("ends");
        assert_eq!(computed.load(Ordering::SeqCst), 0);
    }

    #[tokio::test]
    async fn a_panic_is_the_request_s_alone() {
        let workers = Workers::new(1);
        let fails = |part: usize| {
            assert_ne!(part, 1, "this is a test's");
            part
        };
        let work = move |part: usize, _: &Wanted| Some(fails(part));
        let failed = workers.run(&Context::internal(), vec![0, 1, 2], work).await;
        assert_eq!(failed.expect_err("a part panicked").code, Code::Internal);
        let failed = workers.here(&Context::internal(), 1, || fails(1));
        assert_eq!(failed.expect_err("it panicked").code, Code::Internal);
        assert_eq!(workers.rows(), 0);
        let done = workers.run(&Context::internal(), vec![2, 3], work).await;
        assert_eq!(done.expect("the thread lives").len(), 2);
    }
}
