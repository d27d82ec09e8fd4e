//! Connections to the database: a bounded pool of them, made when they are asked for.
//!
//! - A connection is lent to one call. One that ended its call goes back; one whose caller left in the middle is cancelled
//!   and closed, for what it answers next would be another call's; if the caller had waited for it and had little time left,
//!   it goes back after that answer.
//! - Making a connection goes on when its caller leaves, so that short deadlines do not keep a store from ever having one.
//!   What every new connection needs before it is of use belongs to its making.
//! - A connection that broke is found out when it is next lent, or by the call that it was lent to, and thrown away. A read
//!   that met one that had been there before is made again, on another: once for each, so never many times.
//! - A table that is altered makes the statements useless that were prepared before, on every connection. Who meets that first
//!   has all of them prepared anew, and reads again.
//! - The schema's version is read with the first connection that there is; nothing is asked of another one's tables.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use deadpool::Runtime;
use deadpool::managed::{Object, Pool, PoolError, TimeoutType, Timeouts};
use tokio::time::{timeout, timeout_at};

use super::connection::{self, Connection, Connector, NotMade, Tls};
use super::failure::Failure;
use super::url::PostgresUrl;
use super::{feature, schema, tls};
use crate::options::StoreOptions;
use crate::runtime::StoreRuntime;
use crate::store::{Cause, OpenError};

/// A connection that is made within this time tells nothing bad of the server, however little time its callers had.
const PATIENCE: Duration = Duration::from_secs(1);

/// So long before the deadline we stop waiting for a connection, to say that this is what we waited for.
const TO_TELL: Duration = Duration::from_millis(2);

/// What the pool gives.
type Got = Result<Object<Connector>, PoolError<NotMade>>;

/// The pool, and what its connections need.
#[derive(Debug)]
pub(super) struct Connections {
    pool: Pool<Connector>,
    tls: Tls,
    options: StoreOptions,
    runtime: StoreRuntime,
    known: Arc<Known>,
    /// Since when connections are made and none was had.
    connecting: Mutex<Option<Instant>>,
    /// `connecting` is set.
    is_connecting: AtomicBool,
}

/// What is known of the server.
#[derive(Debug)]
struct Known {
    /// The store's URL.
    shown: String,
    /// The schema was found to be this program's. Read twice where two calls are the first; both find the same.
    checked: AtomicBool,
    /// A call had a connection for most of its time and no answer, and the server has not been heard of since.
    silent: AtomicBool,
    /// How often tables were altered under statements: those of before do not work any more.
    altered: AtomicU64,
}

impl Known {
    fn is_heard_of(&self) {
        if self.silent.load(Ordering::Relaxed) {
            self.silent.store(false, Ordering::Relaxed);
        }
    }

    async fn check(&self, connection: &Connection) -> Result<(), Failure> {
        if self.checked.load(Ordering::Relaxed) {
            return Ok(());
        }
        let found = schema::version(&connection.client).await?;
        if found != schema::CURRENT {
            return Err(OpenError::other_version(self.shown.clone(), found, schema::CURRENT).into());
        }
        self.checked.store(true, Ordering::Relaxed);
        Ok(())
    }
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
        let connector = Connector { config, tls: tls.clone(), making: Arc::default() };
        let pool =
            Pool::builder(connector).max_size(options.connections.max(1)).runtime(Runtime::Tokio1).build();
        let pool = pool.map_err(|error| failed(Box::new(error)))?;
        let (checked, silent) = (AtomicBool::new(false), AtomicBool::new(false));
        let altered = AtomicU64::new(0);
        let known = Arc::new(Known { shown: url.to_string(), checked, silent, altered });
        let (connecting, is_connecting) = (Mutex::new(None), AtomicBool::new(false));
        Ok(Self { pool, tls, options, runtime, known, connecting, is_connecting })
    }

    /// A call, which is given up at its deadline, or when it took as long as any may.
    pub(super) fn call(&self, deadline: Option<Instant>) -> Call {
        let began = Instant::now();
        let give_up = deadline.unwrap_or(began + self.options.timeout);
        let (waited, prepared_anew) = (AtomicBool::new(false), AtomicBool::new(false));
        Call { began, give_up, waited, prepared_anew }
    }

    /// What futures of this store are polled in.
    pub(super) fn runtime(&self) -> &StoreRuntime {
        &self.runtime
    }

    /// The work's answer, if it comes before the call is given up. It stays where it is pinned: moving it into one future after
    /// the other would cost more than the timer.
    pub(super) async fn until<T>(
        &self,
        call: &Call,
        work: Pin<&mut impl Future<Output = Result<T, Failure>>>,
    ) -> Result<T, Failure> {
        match timeout_at(call.give_up.into(), work).await {
            Ok(answer) => answer,
            Err(_) if call.waited.load(Ordering::Relaxed) => Err(self.still_connecting()),
            Err(_) => Err(Failure::Late),
        }
    }

    /// A connection to a database with our tables.
    pub(super) async fn lend<'a>(&'a self, call: &'a Call) -> Result<Lent<'a>, Failure> {
        let lent = self.lend_unchecked(call).await?;
        // Boxed, as is the wait below: what is rare takes no room in every call's future.
        if self.known.checked.load(Ordering::Relaxed) { Ok(lent) } else { Box::pin(self.check(lent)).await }
    }

    async fn check<'a>(&self, mut lent: Lent<'a>) -> Result<Lent<'a>, Failure> {
        match self.known.check(lent.connection()).await {
            Ok(()) => Ok(lent),
            Err(failure) => lent.done(Err(failure)),
        }
    }

    /// A connection, whatever is in the database.
    pub(super) async fn lend_unchecked<'a>(&'a self, call: &'a Call) -> Result<Lent<'a>, Failure> {
        let got = self.pool.timeout_get(&self.timeouts(Duration::ZERO)).await;
        let got = match got {
            // None that lives is free: one has to be waited for, or made.
            Err(PoolError::Timeout(TimeoutType::Wait) | PoolError::Backend(NotMade::Here)) => {
                Box::pin(self.wait(call)).await?
            }
            got => got,
        };
        match got {
            Ok(mut connection) => {
                connection.keep_statements_since(self.known.altered.load(Ordering::Relaxed));
                if self.is_connecting.load(Ordering::Relaxed) {
                    self.is_connecting.store(false, Ordering::Relaxed);
                    *self.connecting() = None;
                }
                Ok(Lent { connection: Some(connection), of: self, call })
            }
            Err(error) => Err(self.not_lent(error)),
        }
    }

    /// A connection that another call gives back, or a new one.
    async fn wait(&self, call: &Call) -> Result<Got, Failure> {
        let timeouts = self.timeouts(call.left().saturating_sub(2 * TO_TELL));
        let (pool, known) = (self.pool.clone(), Arc::clone(&self.known));
        let patience = self.options.connect_timeout;
        let making = connection::may_be_made(async move {
            let mut got = pool.timeout_get(&timeouts).await?;
            if got.is_in_the_making() {
                known.is_heard_of();
                if timeout(patience, prepare(&mut got, &known)).await.is_err() {
                    drop(Object::take(got));
                    return Err(PoolError::Timeout(TimeoutType::Create));
                }
                got.is_made();
            }
            Ok(got)
        });
        let told = call.give_up.checked_sub(TO_TELL).unwrap_or(call.give_up);
        let made = timeout_at(told.into(), self.runtime.handle().spawn(making)).await;
        let made = made.map_err(|_| self.still_connecting())?;
        if call.left() < (call.give_up - call.began) / 2 {
            call.waited.store(true, Ordering::Relaxed);
        }
        Ok(made.unwrap_or(Err(PoolError::Closed)))
    }

    fn timeouts(&self, wait: Duration) -> Timeouts {
        Timeouts { wait: Some(wait), create: Some(self.options.connect_timeout), recycle: None }
    }

    /// No connection was made in the caller's time: that is the server's fault only after a while, or where it left those
    /// without an answer who had a connection.
    fn still_connecting(&self) -> Failure {
        let since = *self.connecting().get_or_insert_with(Instant::now);
        self.is_connecting.store(true, Ordering::Relaxed);
        if since.elapsed() < PATIENCE && !self.known.silent.load(Ordering::Relaxed) {
            Failure::Connecting
        } else {
            Failure::Late
        }
    }

    fn connecting(&self) -> MutexGuard<'_, Option<Instant>> {
        self.connecting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn not_lent(&self, error: PoolError<NotMade>) -> Failure {
        match error {
            // All places are taken by connections in the making.
            PoolError::Timeout(TimeoutType::Wait) if self.pool.manager().is_making() => {
                self.still_connecting()
            }
            PoolError::Timeout(TimeoutType::Wait) => {
                let status = self.pool.status();
                Failure::Exhausted { connections: status.max_size, waiting: status.waiting }
            }
            PoolError::Timeout(TimeoutType::Create | TimeoutType::Recycle) => Failure::Backend {
                transient: true,
                source: format!("no connection within {:?}", self.options.connect_timeout).into(),
            },
            PoolError::Backend(NotMade::Failed(error)) => Failure::not_connected(error),
            error => Failure::Backend { transient: true, source: Box::new(error) },
        }
    }
}

/// What belongs to the making of a connection, so that no call has to have the time for it: whether the tables are ours, and
/// the statements that requests ask. What fails here, the call meets again and tells.
async fn prepare(connection: &mut Connection, known: &Known) {
    connection.keep_statements_since(known.altered.load(Ordering::Relaxed));
    if known.check(connection).await.is_ok() {
        connection.prepare(&feature::OFTEN_ASKED).await;
    }
}

/// One call's time.
pub(super) struct Call {
    began: Instant,
    give_up: Instant,
    /// The better half of it went by before there was a connection, or some of it with one that had ended.
    waited: AtomicBool,
    /// It met a statement from before a table was altered. Once is enough: what else the server does not do, it will not do
    /// the next time.
    prepared_anew: AtomicBool,
}

impl Call {
    fn left(&self) -> Duration {
        self.give_up.saturating_duration_since(Instant::now())
    }
}

/// A connection that one call has for itself.
pub(super) struct Lent<'a> {
    /// `None` only while dropping.
    connection: Option<Object<Connector>>,
    of: &'a Connections,
    call: &'a Call,
}

impl Lent<'_> {
    pub(super) fn connection(&mut self) -> &mut Connection {
        self.connection.as_mut().expect("is there until it is dropped")
    }

    /// As [`Lent::done`], for a call that changes nothing; without an answer where it is to be made again, because the
    /// connection, or what was prepared on it, had been there before and turned out to be of no use any more.
    pub(super) fn read<T>(self, answer: Result<T, Failure>) -> Option<Result<T, Failure>> {
        let was_there = |connection| Object::metrics(connection).recycle_count > 0;
        let again = match &answer {
            Err(Failure::Lost(_)) => self.connection.as_ref().is_some_and(was_there),
            Err(failure) => {
                failure.is_of_an_old_plan() && !self.call.prepared_anew.swap(true, Ordering::Relaxed)
            }
            Ok(_) => false,
        };
        if again {
            self.call.waited.store(true, Ordering::Relaxed);
        }
        let answer = self.done(answer);
        (!again).then_some(answer)
    }

    /// The call has its answer: nothing is under way on the connection any more.
    pub(super) fn done<T>(mut self, answer: Result<T, Failure>) -> Result<T, Failure> {
        let connection = self.connection.take();
        match &answer {
            Ok(_) => self.of.known.is_heard_of(),
            // Its driver may not know yet that it ended.
            Err(Failure::Lost(_)) => {
                self.of.known.is_heard_of();
                drop(connection.map(Object::take));
            }
            Err(failure) if failure.is_of_an_old_plan() => {
                // Once for all connections that were prepared as this one.
                let since = connection.map(|connection| connection.prepared_since()).unwrap_or_default();
                let altered = &self.of.known.altered;
                let _ = altered.compare_exchange(since, since + 1, Ordering::Relaxed, Ordering::Relaxed);
            }
            Err(_) => {}
        }
        answer
    }
}

impl Drop for Lent<'_> {
    fn drop(&mut self) {
        let Some(connection) = self.connection.take() else { return };
        let (tls, patience) = (self.of.tls.0.clone(), self.of.options.connect_timeout);
        let waited = self.call.waited.load(Ordering::Relaxed);
        if !waited && Instant::now() >= self.call.give_up {
            self.of.known.silent.store(true, Ordering::Relaxed);
        }
        self.of.runtime.handle().spawn(async move {
            // It had too little time for a connection that is sound. What is asked last is answered last.
            if waited && matches!(timeout(patience, connection.client.simple_query("")).await, Ok(Ok(_))) {
                return drop(connection);
            }
            // Only this connection can be hit: it is kept out of the pool, and closed after the request to cancel.
            let connection = Object::take(connection);
            let cancel = connection.client.cancel_token();
            // One that fails leaves the statement to its timeout; there is nobody left to tell.
            let _ = timeout(patience, cancel.cancel_query(tls)).await;
            drop(connection);
        });
    }
}
