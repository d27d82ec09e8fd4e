//! One connection to Redis, shared by all who ask, and made again whenever it is lost.
//!
//! - It is made by a task of its own: a caller that gives up does not end the attempt for the others.
//! - After a failed attempt nobody waits for another one for a while; callers get the last error at once.
//! - Every call ends: at its deadline, or after the store's own patience.
//! - A connection that stopped answering (a peer that vanished without a word) is given up after a few calls in a row that
//!   nobody could wait for, also where the callers went first.

use std::fmt;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use redis::aio::MultiplexedConnection;
use redis::{
    AsyncConnectionConfig, Client, Cmd, FromRedisValue, Pipeline, RedisError, RedisResult, TlsCertificates,
};
use tokio::time::{timeout, timeout_at};

use super::Failure;
use crate::location::RedisUrl;
#[cfg(doc)]
use crate::runtime::StoreRuntime;
use crate::store::Cause;
use crate::store::OpenError;

/// After this many calls without an answer, one after another, a connection is given up.
const ABANDONED: u32 = 3;
/// The first pause after a failed attempt to connect; each further one is twice as long.
const PAUSE: Duration = Duration::from_millis(50);
/// The longest.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// The connection, or what is known about its absence.
pub(super) struct Link {
    shared: Arc<Shared>,
}

struct Shared {
    client: Client,
    connect_timeout: Duration,
    /// Held for a clone only. Each connection has a number, so that a late failure of an old one does not end a new one.
    current: Mutex<Option<(MultiplexedConnection, u64)>>,
    /// Held by the task that connects.
    connecting: Arc<tokio::sync::Mutex<Attempts>>,
    /// Calls in a row that nobody waited for to the end.
    abandoned: AtomicU32,
}

#[derive(Default)]
struct Attempts {
    made: u64,
    /// The last error, how long it holds, and the pause after it.
    failed: Option<(RedisError, Instant, Duration)>,
}

impl Link {
    /// Connects to nothing yet.
    pub(super) fn open(url: &RedisUrl, connect_timeout: Duration) -> Result<Self, OpenError> {
        // Fails where the program has chosen a provider already, which is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let failed = |source: Cause| OpenError::Redis { url: url.to_string(), source };
        let client = match url.ca() {
            None => Client::open(url.address()),
            Some(file) => {
                let root_cert = Some(std::fs::read(file).map_err(|error| failed(error.into()))?);
                Client::build_with_tls(url.address(), TlsCertificates { client_tls: None, root_cert })
            }
        };
        let client = client.map_err(|error| failed(error.into()))?;
        let (current, connecting, abandoned) = Default::default();
        Ok(Self { shared: Arc::new(Shared { client, connect_timeout, current, connecting, abandoned }) })
    }

    /// Where Redis is, without what it asks to be let in.
    pub(super) fn address(&self) -> String {
        self.shared.client.get_connection_info().addr().to_string()
    }

    /// Sends commands in one go and reads their answers. Has to be polled in a runtime, as by [`StoreRuntime::run`].
    pub(super) async fn ask<T: FromRedisValue>(
        &self,
        commands: &impl Commands,
        patience: Duration,
        deadline: Option<Instant>,
    ) -> Result<T, Failure> {
        let patient = Instant::now() + patience;
        let until = deadline.map_or(patient, |deadline| deadline.min(patient));
        match timeout_at(until.into(), self.answer(commands)).await {
            Ok(answer) => answer,
            Err(_) if until < patient => Err(Failure::Deadline),
            Err(_) => Err(Failure::Timeout(patience)),
        }
    }

    async fn answer<T: FromRedisValue>(&self, commands: &impl Commands) -> Result<T, Failure> {
        let (mut connection, number) = self.shared.connection().await?;
        let call = Call { shared: &self.shared, number, answered: false };
        let answer = commands.send(&mut connection).await;
        call.end(answer.as_ref().err());
        Ok(answer?)
    }
}

/// What is sent in one go. One command alone is cheaper than a pipeline of one.
pub(super) trait Commands: Sync {
    /// Sends it and reads the answer.
    fn send<T: FromRedisValue>(
        &self,
        connection: &mut MultiplexedConnection,
    ) -> impl Future<Output = RedisResult<T>> + Send;
}

impl Commands for Cmd {
    async fn send<T: FromRedisValue>(&self, connection: &mut MultiplexedConnection) -> RedisResult<T> {
        self.query_async(connection).await
    }
}

impl Commands for Pipeline {
    async fn send<T: FromRedisValue>(&self, connection: &mut MultiplexedConnection) -> RedisResult<T> {
        self.query_async(connection).await
    }
}

impl Shared {
    fn current(&self) -> std::sync::MutexGuard<'_, Option<(MultiplexedConnection, u64)>> {
        // A panic cannot leave half a connection.
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn forget(&self, number: u64) {
        self.current().take_if(|(_, current)| *current == number);
    }

    async fn connection(self: &Arc<Self>) -> RedisResult<(MultiplexedConnection, u64)> {
        if let Some(connection) = &*self.current() {
            return Ok(connection.clone());
        }
        let mut attempts = Arc::clone(&self.connecting).lock_owned().await;
        if let Some(connection) = &*self.current() {
            return Ok(connection.clone());
        }
        if let Some((error, until, _)) = &attempts.failed
            && Instant::now() < *until
        {
            return Err(error.clone());
        }
        let shared = Arc::clone(self);
        let attempt = tokio::spawn(async move { shared.connect(&mut attempts).await });
        // It neither panics nor is it cancelled, unless the runtime ends.
        attempt.await.unwrap_or_else(|error| Err(std::io::Error::other(error).into()))
    }

    async fn connect(&self, attempts: &mut Attempts) -> RedisResult<(MultiplexedConnection, u64)> {
        attempts.made += 1;
        // Calls bound themselves, which costs one timer and not two.
        let config = AsyncConnectionConfig::new().set_connection_timeout(None).set_response_timeout(None);
        let connecting = self.client.get_multiplexed_async_connection_with_config(&config);
        let late = |_| Err(std::io::Error::from(std::io::ErrorKind::TimedOut).into());
        match timeout(self.connect_timeout, connecting).await.unwrap_or_else(late) {
            Ok(connection) => {
                attempts.failed = None;
                self.abandoned.store(0, Ordering::Relaxed);
                *self.current() = Some((connection.clone(), attempts.made));
                Ok((connection, attempts.made))
            }
            Err(error) => {
                let pause = attempts.failed.as_ref().map_or(PAUSE, |(_, _, pause)| *pause * 2);
                let pause = pause.min(LONGEST_PAUSE);
                attempts.failed = Some((error.clone(), Instant::now() + pause, pause));
                Err(error)
            }
        }
    }
}

/// A call that is under way. Dropping it means that nobody waits any more.
struct Call<'a> {
    shared: &'a Shared,
    number: u64,
    answered: bool,
}

impl Call<'_> {
    fn end(mut self, error: Option<&RedisError>) {
        self.answered = true;
        self.shared.abandoned.store(0, Ordering::Relaxed);
        if error.is_some_and(RedisError::is_unrecoverable_error) {
            self.shared.forget(self.number);
        }
    }
}

impl Drop for Call<'_> {
    fn drop(&mut self) {
        if !self.answered && self.shared.abandoned.fetch_add(1, Ordering::Relaxed) + 1 >= ABANDONED {
            self.shared.abandoned.store(0, Ordering::Relaxed);
            self.shared.forget(self.number);
        }
    }
}

/// The address only; the client's own form may change.
impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link").field("address", &self.address()).finish_non_exhaustive()
    }
}
