//! A [`SqliteDatabase`] behind the asynchronous seam: a thread that owns the connection, and a bounded queue before it.
//!
//! A full queue refuses at once instead of making the caller's worker wait. Work whose deadline has passed, or whose caller
//! has gone, is dropped when it comes up, so a slow disk does not make the thread answer nobody. Dropping the store ends
//! the thread and waits for the job that it is at.

use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::{self, JoinHandle};

use tokio::sync::oneshot;

use super::{KIND, OpenError, SqliteDatabase, SqliteOptions};
use crate::name::FeatureSetName;
use crate::row::FeatureRow;
use crate::store::{BoxFuture, FeatureStore, FetchRequest, RetrieveError, WriteError};

type Fetched = Result<Vec<Option<FeatureRow>>, RetrieveError>;

enum Job {
    Fetch { request: FetchRequest, reply: oneshot::Sender<Fetched> },
    Write { set: FeatureSetName, rows: Vec<FeatureRow>, reply: oneshot::Sender<Result<(), WriteError>> },
    Ping { reply: oneshot::Sender<Result<(), RetrieveError>> },
}

/// Why a job was not taken.
enum Refused {
    Busy,
    Stopped,
}

/// A SQLite file as a [`FeatureStore`].
///
/// ```
/// use serve_features::{FeatureRow, FeatureStore, FetchRequest, SqliteOptions, SqliteStore, parse_timestamp};
/// # fn block_on<T>(future: impl Future<Output = T>) -> T {
/// #     let mut future = std::pin::pin!(future);
/// #     let mut context = std::task::Context::from_waker(std::task::Waker::noop());
/// #     loop {
/// #         if let std::task::Poll::Ready(value) = future.as_mut().poll(&mut context) { return value; }
/// #         std::thread::yield_now();
/// #     }
/// # }
/// let folder = tempfile::tempdir()?;
/// let store = SqliteStore::open(folder.path().join("features.db"), SqliteOptions::default())?;
/// # block_on(async {
/// for (at, mood) in [("2025-10-04", 0.25), ("2025-10-05", 0.5)] {
///     let row = FeatureRow::new("BTC/USD".parse()?, parse_timestamp(at)?, [("mood".into(), mood.into())]);
///     store.write("vader".parse()?, vec![row]).await?;
/// }
///
/// let mut request = FetchRequest::newest("vader".parse()?, ["BTC/USD".parse()?]);
/// request.as_of = Some(parse_timestamp("2025-10-04T23:59:59Z")?);
/// let rows = store.fetch(request).await?;
/// assert_eq!(rows[0].as_ref().and_then(|row| row.get("mood")), Some(&0.25.into()));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct SqliteStore {
    /// `None` only while dropping: the thread ends when the last sender is gone.
    jobs: Option<SyncSender<Job>>,
    thread: Option<JoinHandle<()>>,
    queue: usize,
}

impl SqliteStore {
    /// Opens a file, as [`SqliteDatabase::open`], and starts the thread.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn open(path: impl AsRef<Path>, options: SqliteOptions) -> Result<Self, OpenError> {
        Self::start(SqliteDatabase::open(path, options)?, options.queue)
    }

    /// Moves an open database to a thread of its own; `queue` requests may wait for it.
    ///
    /// # Errors
    /// [`OpenError::Thread`].
    pub fn start(database: SqliteDatabase, queue: usize) -> Result<Self, OpenError> {
        let (jobs, waiting) = sync_channel(queue);
        let work = move || work(database, &waiting);
        let thread = thread::Builder::new().name("feature-store".to_owned()).spawn(work);
        let thread = thread.map_err(|source| OpenError::Thread { source })?;
        Ok(Self { jobs: Some(jobs), thread: Some(thread), queue })
    }

    fn submit(&self, job: Job) -> Result<(), Refused> {
        let jobs = self.jobs.as_ref().ok_or(Refused::Stopped)?;
        jobs.try_send(job).map_err(|error| match error {
            TrySendError::Full(_) => Refused::Busy,
            TrySendError::Disconnected(_) => Refused::Stopped,
        })
    }

    fn unread(&self, refused: &Refused) -> RetrieveError {
        match refused {
            Refused::Busy => RetrieveError::Busy { store: KIND, waiting: self.queue },
            Refused::Stopped => RetrieveError::Stopped { store: KIND },
        }
    }

    fn unwritten(&self, refused: &Refused) -> WriteError {
        match refused {
            Refused::Busy => WriteError::Busy { store: KIND, waiting: self.queue },
            Refused::Stopped => WriteError::Stopped { store: KIND },
        }
    }
}

impl FeatureStore for SqliteStore {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn fetch(&self, request: FetchRequest) -> BoxFuture<'_, Fetched> {
        let (reply, answer) = oneshot::channel();
        let submitted = self.submit(Job::Fetch { request, reply });
        Box::pin(async move {
            submitted.map_err(|refused| self.unread(&refused))?;
            answer.await.unwrap_or_else(|_| Err(self.unread(&Refused::Stopped)))
        })
    }

    fn write(&self, set: FeatureSetName, rows: Vec<FeatureRow>) -> BoxFuture<'_, Result<(), WriteError>> {
        let (reply, answer) = oneshot::channel();
        let submitted = self.submit(Job::Write { set, rows, reply });
        Box::pin(async move {
            submitted.map_err(|refused| self.unwritten(&refused))?;
            answer.await.unwrap_or_else(|_| Err(self.unwritten(&Refused::Stopped)))
        })
    }

    fn ping(&self) -> BoxFuture<'_, Result<(), RetrieveError>> {
        let (reply, answer) = oneshot::channel();
        let submitted = self.submit(Job::Ping { reply });
        Box::pin(async move {
            submitted.map_err(|refused| self.unread(&refused))?;
            answer.await.unwrap_or_else(|_| Err(self.unread(&Refused::Stopped)))
        })
    }
}

impl Drop for SqliteStore {
    fn drop(&mut self) {
        self.jobs = None;
        if let Some(thread) = self.thread.take() {
            // A thread that panicked has answered its callers with `Stopped`; there is nobody left to tell.
            let _ = thread.join();
        }
    }
}

/// Answers jobs until the store is dropped. Whether somebody still listens is asked once, when a job comes up.
fn work(mut database: SqliteDatabase, waiting: &Receiver<Job>) {
    for job in waiting {
        match job {
            Job::Fetch { request, reply } if !reply.is_closed() => {
                let fetched = request.check_deadline().and_then(|()| database.fetch(&request));
                let _ = reply.send(fetched);
            }
            Job::Write { set, rows, reply } if !reply.is_closed() => {
                let _ = reply.send(database.write_features(&set, &rows));
            }
            Job::Ping { reply } if !reply.is_closed() => {
                let _ = reply.send(database.ping());
            }
            Job::Fetch { .. } | Job::Write { .. } | Job::Ping { .. } => {}
        }
    }
}
