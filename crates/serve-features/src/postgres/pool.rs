//! Connections to the database: a bounded pool of them, made when they are asked for.
//!
//! - A connection is lent to one call. One that ended its call goes back; one whose caller left in the middle is cancelled
//!   and closed, for what it answers next would be another call's.
//! - Making a connection goes on when its caller leaves, so that short deadlines do not keep a store from ever having one.
//! - A connection that broke is found out when it is next lent, and thrown away.
//! - The schema's version is read with the first connection that there is; nothing is asked of another one's tables.

use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use deadpool::Runtime;
use deadpool::managed::{Object, Pool, PoolError, TimeoutType, Timeouts};
use tokio::time::timeout_at;
use tokio_postgres::error::{DbError, SqlState};

use super::connection::{Connection, Connector, Tls};
use super::url::PostgresUrl;
use super::{schema, tls};
use crate::options::StoreOptions;
use crate::runtime::StoreRuntime;
use crate::store::{Cause, OpenError};

/// Why a call failed.
#[derive(Debug)]
pub(super) enum Failure {
    /// All connections were in use until the deadline, and none is being made.
    Exhausted { connections: usize, waiting: usize },
    /// The deadline passed.
    Late,
    /// The deadline passed while a connection was being made, and not for long yet.
    Connecting,
    /// What `Backend` errors carry.
    Backend { transient: bool, source: Cause },
}

impl From<tokio_postgres::Error> for Failure {
    fn from(error: tokio_postgres::Error) -> Self {
        let transient = is_transient(&error);
        // The server's own words, without "db error" before them.
        let source: Cause = if error.as_db_error().is_some() {
            error.into_source().unwrap_or_else(|| "the server gave no reason".into())
        } else {
            Box::new(error)
        };
        Self::Backend { transient, source }
    }
}

impl Failure {
    /// A table was altered since the statement was prepared ("cached plan must not change result type"); prepared anew it works.
    fn is_of_an_old_plan(&self) -> bool {
        let Self::Backend { source, .. } = self else { return false };
        source.downcast_ref::<DbError>().is_some_and(|error| *error.code() == SqlState::FEATURE_NOT_SUPPORTED)
    }
}

impl From<OpenError> for Failure {
    fn from(error: OpenError) -> Self {
        Self::Backend { transient: false, source: Box::new(error) }
    }
}

/// The next try may succeed: the connection broke or was never there, or the server was not able to just now.
fn is_transient(error: &tokio_postgres::Error) -> bool {
    let Some(code) = error.code() else {
        return !is_about_certificates(error);
    };
    let now_and_then = [
        SqlState::T_R_SERIALIZATION_FAILURE,
        SqlState::T_R_DEADLOCK_DETECTED,
        SqlState::LOCK_NOT_AVAILABLE,
        SqlState::QUERY_CANCELED,
        // a standby that is about to become the primary
        SqlState::READ_ONLY_SQL_TRANSACTION,
        // a table that was altered under a prepared statement
        SqlState::FEATURE_NOT_SUPPORTED,
    ];
    // Lost connections, want of resources, the operator's intervention, the system's errors.
    ["08", "53", "57P", "58"].iter().any(|class| code.code().starts_with(class))
        || now_and_then.contains(code)
}

fn is_about_certificates(error: &tokio_postgres::Error) -> bool {
    let mut level: Option<&dyn std::error::Error> = Some(error);
    while let Some(error) = level {
        let inner = error.downcast_ref::<std::io::Error>().and_then(|error| error.get_ref());
        if inner.and_then(|error| error.downcast_ref::<rustls::Error>()).is_some() {
            return true;
        }
        level = error.source();
    }
    false
}

/// A connection that is made within this time tells nothing bad of the server, however little time its callers had.
const PATIENCE: Duration = Duration::from_secs(1);

/// So long before the deadline we stop waiting for a connection, to say that this is what we waited for.
const TO_TELL: Duration = Duration::from_millis(2);

/// What the pool gives.
type Got = Result<Object<Connector>, PoolError<tokio_postgres::Error>>;

/// The pool, and what its connections need.
#[derive(Debug)]
pub(super) struct Connections {
    pool: Pool<Connector>,
    tls: Tls,
    options: StoreOptions,
    runtime: StoreRuntime,
    shown: String,
    /// The schema was found to be this program's. Read twice where two calls are the first; both find the same.
    checked: AtomicBool,
    /// Since when connections are made and none was had.
    connecting: Mutex<Option<Instant>>,
}

impl Connections {
    /// A pool without a connection. What the URL names is read from the disk, and nothing asked of the network.
    pub(super) fn new(url: &PostgresUrl, options: StoreOptions) -> Result<Self, OpenError> {
        let failed = |source: Cause| OpenError::Server { operation: "set up", url: url.to_string(), source };
        let tls = Tls(tls::connector(url).map_err(failed)?);
        let runtime = StoreRuntime::here().map_err(|source| OpenError::Thread { source })?;
        let mut config = url.config.clone();
        // A server that went away without a word is noticed, also while we wait for its answer.
        config
            .keepalives_idle(Duration::from_secs(15))
            .keepalives_interval(Duration::from_secs(5))
            .keepalives_retries(3)
            .tcp_user_timeout(Duration::from_secs(30));
        if config.get_connect_timeout().is_none() {
            config.connect_timeout(options.connect_timeout);
        }
        if config.get_application_name().is_none() {
            config.application_name("serve-features");
        }
        let asked = config.get_options().unwrap_or_default();
        let path = url.schema.as_ref().map(|schema| format!(" -c search_path={schema}")).unwrap_or_default();
        let session = format!("{asked} -c statement_timeout={}{path}", options.timeout.as_millis().max(1));
        config.options(session.trim());
        let connector = Connector { config, tls: tls.clone() };
        let pool =
            Pool::builder(connector).max_size(options.connections.max(1)).runtime(Runtime::Tokio1).build();
        let pool = pool.map_err(|error| failed(Box::new(error)))?;
        let (shown, checked, connecting) = (url.to_string(), AtomicBool::new(false), Mutex::new(None));
        Ok(Self { pool, tls, options, runtime, shown, checked, connecting })
    }

    /// When a call is given up: at its deadline, or when it took as long as any may.
    pub(super) fn give_up(&self, deadline: Option<Instant>) -> Instant {
        deadline.unwrap_or_else(|| Instant::now() + self.options.timeout)
    }

    /// What futures of this store are polled in.
    pub(super) fn runtime(&self) -> &StoreRuntime {
        &self.runtime
    }

    /// The work's answer, if it comes before `give_up`. It stays where it is pinned: moving it into one future after the other
    /// would cost more than the timer.
    pub(super) async fn until<T>(
        &self,
        give_up: Instant,
        work: Pin<&mut impl Future<Output = Result<T, Failure>>>,
    ) -> Result<T, Failure> {
        timeout_at(give_up.into(), work).await.unwrap_or(Err(Failure::Late))
    }

    /// A connection to a database with our tables.
    pub(super) async fn lend(&self, give_up: Instant) -> Result<Lent<'_>, Failure> {
        let lent = self.lend_unchecked(give_up).await?;
        // Boxed, as is the wait below: what is rare takes no room in every call's future.
        if self.checked.load(Ordering::Relaxed) { Ok(lent) } else { Box::pin(self.check(lent)).await }
    }

    async fn check<'a>(&self, mut lent: Lent<'a>) -> Result<Lent<'a>, Failure> {
        let found = match schema::version(&lent.connection().client).await {
            Ok(found) => found,
            Err(error) => return lent.done(Err(error)),
        };
        if found != schema::CURRENT {
            let error = OpenError::other_version(self.shown.clone(), found, schema::CURRENT);
            return lent.done(Err(error.into()));
        }
        self.checked.store(true, Ordering::Relaxed);
        Ok(lent)
    }

    /// A connection, whatever is in the database.
    pub(super) async fn lend_unchecked(&self, give_up: Instant) -> Result<Lent<'_>, Failure> {
        let mut got = Err(PoolError::Timeout(TimeoutType::Wait));
        if self.pool.status().available > 0 {
            got = self.pool.timeout_get(&self.timeouts(Duration::ZERO)).await;
        }
        // None was free, or another call was faster.
        if matches!(got, Err(PoolError::Timeout(TimeoutType::Wait))) {
            got = Box::pin(self.wait(give_up)).await?;
        }
        match got {
            Ok(connection) => {
                *self.connecting() = None;
                Ok(Lent { connection: Some(connection), of: self })
            }
            Err(error) => Err(self.not_lent(error)),
        }
    }

    /// A connection that another call gives back, or a new one.
    async fn wait(&self, give_up: Instant) -> Result<Got, Failure> {
        let wait = give_up.saturating_duration_since(Instant::now()).saturating_sub(2 * TO_TELL);
        let (pool, timeouts) = (self.pool.clone(), self.timeouts(wait));
        let making = self.runtime.handle().spawn(async move { pool.timeout_get(&timeouts).await });
        let told = give_up.checked_sub(TO_TELL).unwrap_or(give_up);
        match timeout_at(told.into(), making).await {
            Ok(made) => Ok(made.unwrap_or(Err(PoolError::Closed))),
            Err(_) => Err(self.still_connecting()),
        }
    }

    fn timeouts(&self, wait: Duration) -> Timeouts {
        Timeouts { wait: Some(wait), create: Some(self.options.connect_timeout), recycle: None }
    }

    /// No connection was made in the caller's time: that is the server's fault only after a while.
    fn still_connecting(&self) -> Failure {
        let since = *self.connecting().get_or_insert_with(Instant::now);
        if since.elapsed() < PATIENCE { Failure::Connecting } else { Failure::Late }
    }

    fn connecting(&self) -> MutexGuard<'_, Option<Instant>> {
        self.connecting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn not_lent(&self, error: PoolError<tokio_postgres::Error>) -> Failure {
        match error {
            // All places are taken by connections in the making.
            PoolError::Timeout(TimeoutType::Wait) if self.connecting().is_some() => self.still_connecting(),
            PoolError::Timeout(TimeoutType::Wait) => {
                let status = self.pool.status();
                Failure::Exhausted { connections: status.max_size, waiting: status.waiting }
            }
            PoolError::Timeout(TimeoutType::Create | TimeoutType::Recycle) => Failure::Backend {
                transient: true,
                source: format!("no connection within {:?}", self.options.connect_timeout).into(),
            },
            PoolError::Backend(error) => error.into(),
            error => Failure::Backend { transient: true, source: Box::new(error) },
        }
    }
}

/// A connection that one call has for itself.
pub(super) struct Lent<'a> {
    /// `None` only while dropping.
    connection: Option<Object<Connector>>,
    of: &'a Connections,
}

impl Lent<'_> {
    pub(super) fn connection(&mut self) -> &mut Connection {
        self.connection.as_mut().expect("is there until it is dropped")
    }

    /// The call has its answer: nothing is under way on the connection any more.
    pub(super) fn done<T>(mut self, answer: Result<T, Failure>) -> Result<T, Failure> {
        if matches!(&answer, Err(failure) if failure.is_of_an_old_plan()) {
            self.connection().forget_statements();
        }
        drop(self.connection.take());
        answer
    }
}

impl Drop for Lent<'_> {
    fn drop(&mut self) {
        let Some(connection) = self.connection.take() else { return };
        let connection = Object::take(connection);
        let (tls, patience) = (self.of.tls.0.clone(), self.of.options.connect_timeout);
        // Only this connection can be hit: it is kept out of the pool, and closed after the request to cancel.
        self.of.runtime.handle().spawn(async move {
            let cancel = connection.client.cancel_token();
            // One that fails leaves the statement to its timeout; there is nobody left to tell.
            let _ = tokio::time::timeout(patience, cancel.cancel_query(tls)).await;
            drop(connection);
        });
    }
}
