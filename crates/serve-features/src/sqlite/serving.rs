//! A [`SqliteDatabase`] behind the asynchronous seam: a thread that owns the connection, and a bounded queue before it.
//!
//! Reading the newest rows of a few entities takes microseconds, less than handing the request to a thread and back. Such a
//! request is answered where the caller stands, by a second connection that only reads, if nobody else uses it at that moment
//! and it need not wait for another process (`docs/decisions/001-sqlite-reads-on-the-callers-thread.md`).
//!
//! A full queue refuses at once instead of making the caller's worker wait. Work whose deadline has passed, or whose caller
//! has gone, is dropped when it comes up, so a slow disk does not make the thread answer nobody. Dropping the store ends
//! the thread and waits for the job that it is at.

use std::future;
use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Mutex, TryLockError};
use std::thread::{self, JoinHandle};

use jiff::Timestamp;
use tokio::sync::oneshot;

use super::{KIND, OpenError, SqliteDatabase, SqliteOptions};
use crate::name::{Entity, FeatureSetName};
use crate::raw::{RawRow, RawTable};
use crate::row::FeatureRow;
use crate::store::{
    BoxFuture, FeatureStore, FetchRequest, HistoryRequest, RawRequest, RawSlot, RawStore, RetrieveError,
    SampledRow, Slot, StoreError, StoredState, WriteError,
};

/// A fetch of more entities is handed to the thread.
const FEW: usize = 16;

/// What the thread does for one caller, with the connection that it owns.
type Job = Box<dyn FnOnce(&mut SqliteDatabase) + Send>;

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
/// let rows = store.fetch(request).await?.into_iter().collect::<Result<Vec<_>, _>>()?;
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
    /// Never waited for: who finds it taken goes to the thread. `None` where no second connection could be opened.
    reader: Option<Mutex<SqliteDatabase>>,
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
        let reader = database.reader().ok().map(Mutex::new);
        let (jobs, waiting) = sync_channel(queue);
        let work = move || work(database, &waiting);
        let thread = thread::Builder::new().name("feature-store".to_owned()).spawn(work);
        let thread = thread.map_err(|source| OpenError::Thread { source })?;
        Ok(Self { jobs: Some(jobs), thread: Some(thread), queue, reader })
    }

    /// The answer, if it can be had without waiting for anybody.
    fn fetch_here(&self, request: &FetchRequest) -> Option<Result<Vec<Slot>, RetrieveError>> {
        if request.entities.len() > FEW {
            return None;
        }
        let reader = match self.reader.as_ref()?.try_lock() {
            Ok(reader) => reader,
            // It only reads, so a panic has left nothing half done.
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return None,
        };
        match request.check_deadline().and_then(|()| reader.fetch(request)) {
            Err(RetrieveError::Store(StoreError::Backend { transient: true, .. })) => None,
            answer => Some(answer),
        }
    }

    /// Hands work to the thread, at the call and not at the first poll. It is dropped where nobody waits any more when it
    /// comes up.
    fn ask<T, E>(
        &self,
        work: impl FnOnce(&mut SqliteDatabase) -> Result<T, E> + Send + 'static,
    ) -> BoxFuture<'_, Result<T, E>>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        let submitted = self.submit(Box::new(move |database| {
            if !reply.is_closed() {
                // The caller may go at any moment.
                let _ = reply.send(work(database));
            }
        }));
        Box::pin(async move {
            submitted?;
            answer.await.unwrap_or_else(|_| Err(StoreError::Stopped { store: KIND }.into()))
        })
    }

    fn submit(&self, job: Job) -> Result<(), StoreError> {
        let jobs = self.jobs.as_ref().ok_or(StoreError::Stopped { store: KIND })?;
        jobs.try_send(job).map_err(|error| match error {
            TrySendError::Full(_) => StoreError::Busy { store: KIND, waiting: self.queue },
            TrySendError::Disconnected(_) => StoreError::Stopped { store: KIND },
        })
    }
}

impl FeatureStore for SqliteStore {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn fetch(&self, request: FetchRequest) -> BoxFuture<'_, Result<Vec<Slot>, RetrieveError>> {
        if let Some(answer) = self.fetch_here(&request) {
            return Box::pin(future::ready(answer));
        }
        self.ask(move |database| {
            request.check_deadline()?;
            database.fetch(&request)
        })
    }

    fn write(&self, set: FeatureSetName, rows: Vec<FeatureRow>) -> BoxFuture<'_, Result<(), WriteError>> {
        self.ask(move |database| database.write_features(&set, &rows))
    }

    fn sample(
        &self,
        set: FeatureSetName,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<SampledRow>, RetrieveError>> {
        self.ask(move |database| database.sample(&set, limit))
    }

    fn history(&self, request: HistoryRequest) -> BoxFuture<'_, Result<Vec<FeatureRow>, RetrieveError>> {
        self.ask(move |database| database.history(&request))
    }

    fn raw(&self) -> Option<&dyn RawStore> {
        Some(self)
    }

    fn ping(&self) -> BoxFuture<'_, Result<(), RetrieveError>> {
        self.ask(|database| database.ping())
    }
}

impl RawStore for SqliteStore {
    fn read_raw(&self, request: RawRequest) -> BoxFuture<'_, Result<Vec<RawSlot>, RetrieveError>> {
        self.ask(move |database| database.read_raw(&request))
    }

    fn write_raw(&self, table: RawTable, rows: Vec<RawRow>) -> BoxFuture<'_, Result<(), WriteError>> {
        self.ask(move |database| database.write_raw(&table, &rows))
    }

    fn raw_entities(
        &self,
        table: RawTable,
        after: Option<Entity>,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<Entity>, RetrieveError>> {
        self.ask(move |database| database.raw_entities(&table, after.as_ref(), limit))
    }

    fn read_states(
        &self,
        set: FeatureSetName,
        declaration: String,
        entities: Vec<Entity>,
        as_of: Option<Timestamp>,
    ) -> BoxFuture<'_, Result<Vec<Option<StoredState>>, RetrieveError>> {
        self.ask(move |database| database.read_states(&set, &declaration, &entities, as_of))
    }

    fn write_states(
        &self,
        set: FeatureSetName,
        states: Vec<StoredState>,
    ) -> BoxFuture<'_, Result<(), WriteError>> {
        self.ask(move |database| database.write_states(&set, &states))
    }
}

impl Drop for SqliteStore {
    fn drop(&mut self) {
        // Before the thread's, so that the connection that may write is the last and puts the log back into the file.
        self.reader = None;
        self.jobs = None;
        if let Some(thread) = self.thread.take() {
            // A thread that panicked has answered its callers with `Stopped`; there is nobody left to tell.
            let _ = thread.join();
        }
    }
}

/// Does jobs until the store is dropped.
fn work(mut database: SqliteDatabase, waiting: &Receiver<Job>) {
    for job in waiting {
        job(&mut database);
    }
}

#[cfg(test)]
mod tests {
    use std::task::{Context, Poll, Waker};

    use super::*;

    #[test]
    fn a_reader_in_use_is_not_waited_for() {
        let folder = tempfile::tempdir().expect("a folder");
        let options = SqliteOptions::default();
        let store = SqliteStore::open(folder.path().join("features.db"), options).expect("opens");
        let entity: Entity = "A".parse().expect("is an entity");
        let fetch =
            || store.fetch(FetchRequest::newest("vader".parse().expect("is a set"), [entity.clone()]));
        let mut context = Context::from_waker(Waker::noop());
        let reader = store.reader.as_ref().expect("was opened").lock().expect("is not poisoned");
        let mut by_the_thread = fetch();
        while by_the_thread.as_mut().poll(&mut context).is_pending() {
            thread::yield_now();
        }
        drop(reader);
        assert!(matches!(fetch().as_mut().poll(&mut context), Poll::Ready(Ok(rows)) if rows == [Ok(None)]));
    }

    #[test]
    fn the_reader_and_the_thread_remember_the_same_rows() {
        let folder = tempfile::tempdir().expect("a folder");
        let options = SqliteOptions::default();
        let store = SqliteStore::open(folder.path().join("features.db"), options).expect("opens");
        let (set, entity): (FeatureSetName, Entity) =
            ("vader".parse().expect("is a set"), "A".parse().expect("is an entity"));
        let mut context = Context::from_waker(Waker::noop());
        let row = FeatureRow::new(entity.clone(), Timestamp::UNIX_EPOCH, [("mood".into(), 0.25.into())]);
        let mut written = store.write(set.clone(), vec![row]);
        while written.as_mut().poll(&mut context).is_pending() {
            thread::yield_now();
        }
        let mut newest = || {
            let mut asked = store.fetch(FetchRequest::newest(set.clone(), [entity.clone()]));
            loop {
                match asked.as_mut().poll(&mut context) {
                    Poll::Ready(rows) => {
                        break rows.expect("answers").remove(0).expect("is sound").expect("is there");
                    }
                    Poll::Pending => thread::yield_now(),
                }
            }
        };
        let read_here = newest();
        let _taken = store.reader.as_ref().expect("was opened").lock().expect("is not poisoned");
        assert!(std::ptr::eq(read_here.values(), newest().values()));
    }
}
