//! Calls to an object store, synchronous from outside: a thread of its own runs the requests, so that callers need no
//! runtime and none of theirs is disturbed.
//!
//! Every request ends: no answer, or no byte more, for the timeout counts as a failure. What may be repeated is, up to the
//! attempts, with a pause that grows and differs between processes: reads and deletions, and conditional writes, whose
//! second attempt cannot overwrite what the first one wrote.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::mpsc as blocking;
use std::time::Duration;

use ::object_store::path::Path;
use ::object_store::{
    Error as StoreError, GetResult, ObjectMeta, ObjectStore, ObjectStoreExt, PutMode, PutOptions, PutPayload,
};
use futures_util::TryStreamExt;
use thiserror::Error;
use tokio::sync::mpsc;
use tokio::task::LocalSet;
use tokio::time::timeout;

use crate::jitter;

/// Before the second attempt; each further pause is twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(100);

/// The slowest upload that counts as alive.
const SLOWEST_UPLOAD_BYTES_PER_SECOND: u64 = 128 << 10;

/// Why the object store did not do what it was asked to.
#[derive(Debug, Clone, Error)]
pub(super) enum CallError {
    /// It answered with an error, or could not be reached.
    #[error("{0}")]
    Store(String),
    /// It did not answer.
    #[error("the object store did not answer for {0:?}")]
    Timeout(Duration),
    /// The thread that runs the requests is gone.
    #[error("the thread for the object store has ended")]
    Ended,
}

/// What there is at a key.
pub(super) enum Got {
    Absent,
    /// More bytes than the caller wants.
    TooLong(u64),
    Object(Vec<u8>, ObjectMeta),
}

/// What became of a conditional write.
pub(super) enum Written {
    Done,
    /// Another write came first; `unsure` where that may have been an attempt of our own, whose answer was lost.
    Conflict {
        unsure: bool,
    },
}

/// Makes a request's future on the thread that runs it, where it stays.
type Job = Box<dyn FnOnce() -> Pin<Box<dyn Future<Output = ()>>> + Send>;

/// The store and the thread that talks to it.
pub(super) struct Remote {
    calls: Calls,
    jobs: mpsc::UnboundedSender<Job>,
}

#[derive(Clone)]
struct Calls {
    store: Arc<dyn ObjectStore>,
    secrets: Arc<[String]>,
    timeout: Duration,
    attempts: u32,
}

impl Remote {
    /// Starts the thread. Error texts never hold any of the `secrets`.
    pub(super) fn start(
        store: Arc<dyn ObjectStore>,
        secrets: Vec<String>,
        timeout: Duration,
        attempts: u32,
    ) -> std::io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (jobs, mut queue) = mpsc::unbounded_channel::<Job>();
        let run = async move {
            while let Some(job) = queue.recv().await {
                tokio::task::spawn_local(job());
            }
        };
        let thread = std::thread::Builder::new().name("registry-objects".to_owned());
        thread.spawn(move || LocalSet::new().block_on(&runtime, run))?;
        Ok(Self { calls: Calls { store, secrets: secrets.into(), timeout, attempts: attempts.max(1) }, jobs })
    }

    /// Runs a call on the thread and waits for its outcome.
    fn wait<T, F>(&self, call: impl FnOnce(Calls) -> F + Send + 'static) -> Result<T, CallError>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, CallError>> + 'static,
    {
        let (done, outcome) = blocking::sync_channel(1);
        let calls = self.calls.clone();
        let job: Job = Box::new(|| Box::pin(async move { drop(done.send(call(calls).await)) }));
        self.jobs.send(job).map_err(|_| CallError::Ended)?;
        outcome.recv().unwrap_or(Err(CallError::Ended))
    }

    /// Every object under a prefix, one request per thousand. `seen` is given each, on the thread.
    pub(super) fn list<S: Clone + Send + 'static>(
        &self,
        prefix: Option<Path>,
        into: S,
        seen: fn(&mut S, ObjectMeta),
    ) -> Result<S, CallError> {
        self.wait(move |calls| async move {
            calls.repeat(async || calls.list_once(prefix.as_ref(), into.clone(), seen).await).await
        })
    }

    /// What lies at a key, if it is no longer than `limit`.
    pub(super) fn get(&self, key: &Path, limit: u64) -> Result<Got, CallError> {
        let key = key.clone();
        self.wait(move |calls| async move { calls.repeat(async || calls.get_once(&key, limit).await).await })
    }

    /// Writes on a condition.
    pub(super) fn put(&self, key: &Path, bytes: Vec<u8>, mode: PutMode) -> Result<Written, CallError> {
        let (key, payload) = (key.clone(), PutPayload::from(bytes));
        self.wait(move |calls| async move { calls.put(&key, payload, mode).await })
    }

    /// Deletes what lies at a key, if anything does.
    pub(super) fn delete(&self, key: &Path) -> Result<(), CallError> {
        let key = key.clone();
        self.wait(move |calls| async move {
            calls
                .repeat(async || match calls.answer(calls.timeout, calls.store.delete(&key)).await {
                    Err(Failure::Definite(StoreError::NotFound { .. })) => Ok(()),
                    other => other,
                })
                .await
        })
    }
}

/// Whether to try again.
enum Failure {
    /// The store said no.
    Definite(StoreError),
    /// It may work the next time.
    Passing(StoreError),
    Timeout,
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Generic { .. } | StoreError::JoinError { .. } => Self::Passing(error),
            _ => Self::Definite(error),
        }
    }
}

impl Calls {
    async fn answer<T>(
        &self,
        limit: Duration,
        call: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, Failure> {
        match timeout(limit, call).await {
            Ok(answer) => Ok(answer?),
            Err(_) => Err(Failure::Timeout),
        }
    }

    async fn repeat<T>(&self, once: impl AsyncFn() -> Result<T, Failure>) -> Result<T, CallError> {
        let mut attempt = 1;
        loop {
            match once().await {
                Ok(value) => return Ok(value),
                Err(Failure::Definite(error)) => return Err(self.told(&error)),
                Err(failure) if attempt == self.attempts => return Err(self.failed(&failure)),
                Err(_) => self.pause(&mut attempt).await,
            }
        }
    }

    async fn pause(&self, attempt: &mut u32) {
        tokio::time::sleep(jitter::around(FIRST_PAUSE * 2_u32.saturating_pow(*attempt - 1), 0.5)).await;
        *attempt += 1;
    }

    fn failed(&self, failure: &Failure) -> CallError {
        match failure {
            Failure::Definite(error) | Failure::Passing(error) => self.told(error),
            Failure::Timeout => CallError::Timeout(self.timeout),
        }
    }

    /// An error with those of its causes that it does not tell itself.
    fn told(&self, error: &StoreError) -> CallError {
        let mut told = error.to_string();
        let mut cause = std::error::Error::source(error);
        while let Some(error) = cause {
            let text = error.to_string();
            if !told.contains(&text) {
                told = format!("{told}: {text}");
            }
            cause = error.source();
        }
        for secret in self.secrets.iter() {
            told = told.replace(secret.as_str(), "…");
        }
        CallError::Store(told.split_whitespace().collect::<Vec<_>>().join(" "))
    }

    async fn list_once<S>(
        &self,
        prefix: Option<&Path>,
        mut into: S,
        seen: fn(&mut S, ObjectMeta),
    ) -> Result<S, Failure> {
        let mut objects = self.store.list(prefix);
        while let Some(object) = self.answer(self.timeout, objects.try_next()).await? {
            seen(&mut into, object);
        }
        Ok(into)
    }

    async fn get_once(&self, key: &Path, limit: u64) -> Result<Got, Failure> {
        let got: GetResult = match self.answer(self.timeout, self.store.get(key)).await {
            Err(Failure::Definite(StoreError::NotFound { .. })) => return Ok(Got::Absent),
            other => other?,
        };
        let meta = got.meta.clone();
        if meta.size > limit {
            return Ok(Got::TooLong(meta.size));
        }
        let mut bytes = Vec::new();
        let mut chunks = got.into_stream();
        while let Some(chunk) = self.answer(self.timeout, chunks.try_next()).await? {
            bytes.extend_from_slice(&chunk);
            if bytes.len() as u64 > limit {
                return Ok(Got::TooLong(bytes.len() as u64));
            }
        }
        Ok(Got::Object(bytes, meta))
    }

    async fn put(&self, key: &Path, payload: PutPayload, mode: PutMode) -> Result<Written, CallError> {
        let bytes = payload.content_length() as u64;
        let limit = self.timeout + Duration::from_secs(bytes / SLOWEST_UPLOAD_BYTES_PER_SECOND);
        let mut attempt = 1;
        loop {
            let options = PutOptions::from(mode.clone());
            match self.answer(limit, self.store.put_opts(key, payload.clone(), options)).await {
                Ok(_) => return Ok(Written::Done),
                Err(Failure::Definite(
                    StoreError::AlreadyExists { .. }
                    | StoreError::Precondition { .. }
                    | StoreError::NotModified { .. },
                )) => return Ok(Written::Conflict { unsure: attempt > 1 }),
                Err(Failure::Definite(error)) => return Err(self.told(&error)),
                Err(failure) if attempt == self.attempts => return Err(self.failed(&failure)),
                Err(_) => self.pause(&mut attempt).await,
            }
        }
    }
}
