//! One connection to the database: its client, the task that drives it, and the statements prepared on it; and how the pool
//! makes one and sees whether it still lives.
//!
//! One is made only in a task of its own ([`may_be_made`]). In a caller's future it would be lost when the caller leaves,
//! and so never be there where callers leave sooner than it takes.

use std::sync::Arc;

use deadpool::managed::{Manager, Metrics, RecycleError, RecycleResult};
use tokio::task::JoinHandle;
use tokio_postgres::{Client, Config, Error, Statement};
use tokio_postgres_rustls::MakeRustlsConnect;

/// A connection.
pub(super) struct Connection {
    pub(super) client: Client,
    driving: JoinHandle<()>,
    /// One for each SQL text of the program that was used. A scan finds one sooner than a hash of such a long text would.
    statements: Vec<(&'static str, Statement)>,
    /// How often tables had been altered when these were prepared.
    since: u64,
    /// Until it is of use.
    making: Option<Arc<()>>,
}

impl Connection {
    /// It was made just now, and nobody had it yet.
    pub(super) fn is_in_the_making(&self) -> bool {
        self.making.is_some()
    }

    /// It is of use now.
    pub(super) fn is_made(&mut self) {
        self.making = None;
    }

    /// The statement of this text, prepared when it is first asked for.
    pub(super) async fn statement(&mut self, sql: &'static str) -> Result<Statement, Error> {
        if let Some((_, known)) = self.statements.iter().find(|(known, _)| *known == sql) {
            return Ok(known.clone());
        }
        let statement = Box::pin(self.client.prepare(sql)).await?;
        self.statements.push((sql, statement.clone()));
        Ok(statement)
    }

    /// Prepares two statements in the time of one. One that cannot be prepared fails the call that asks it.
    pub(super) async fn prepare(&mut self, [one, other]: &[&'static str; 2]) {
        let (first, second) = tokio::join!(self.client.prepare(one), self.client.prepare(other));
        for (sql, prepared) in [(*one, first), (*other, second)] {
            self.statements.extend(prepared.ok().map(|statement| (sql, statement)));
        }
    }

    /// How often tables had been altered when its statements were prepared.
    pub(super) fn prepared_since(&self) -> u64 {
        self.since
    }

    /// Has all statements prepared anew, where tables were altered since.
    pub(super) fn keep_statements_since(&mut self, altered: u64) {
        if self.since != altered {
            self.since = altered;
            self.statements.clear();
        }
    }
}

impl Drop for Connection {
    /// What the server still has to say is of no interest.
    fn drop(&mut self) {
        self.driving.abort();
    }
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connection").field("statements", &self.statements.len()).finish_non_exhaustive()
    }
}

/// Makes connections to one database.
#[derive(Debug)]
pub(super) struct Connector {
    pub(super) config: Config,
    pub(super) tls: Tls,
    /// Connections in the making hold it too.
    pub(super) making: Arc<()>,
}

impl Connector {
    /// Whether connections are being made.
    pub(super) fn is_making(&self) -> bool {
        Arc::strong_count(&self.making) > 1
    }
}

/// Why there is no new connection.
#[derive(Debug, thiserror::Error)]
pub(super) enum NotMade {
    #[error("none is made in a caller's own future")]
    Here,
    #[error("the server, or the way to it, failed")]
    Failed(#[source] Error),
}

tokio::task_local! {
    static MAY_BE_MADE: ();
}

/// The work, which may make connections. To be spawned.
pub(super) fn may_be_made<T>(work: impl Future<Output = T>) -> impl Future<Output = T> {
    MAY_BE_MADE.scope((), work)
}

/// Says nothing of itself.
#[derive(Clone)]
pub(super) struct Tls(pub(super) MakeRustlsConnect);

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Tls")
    }
}

impl Manager for Connector {
    /// In a box, as it is handed on a dozen times between the pool and a call.
    type Type = Box<Connection>;
    type Error = NotMade;

    async fn create(&self) -> Result<Box<Connection>, NotMade> {
        if MAY_BE_MADE.try_get().is_err() {
            return Err(NotMade::Here);
        }
        let making = Some(Arc::clone(&self.making));
        let connecting = Box::pin(self.config.connect(self.tls.0.clone()));
        let (client, connection) = connecting.await.map_err(NotMade::Failed)?;
        let driving = tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::warn!(%error, "a connection to PostgreSQL broke");
            }
        });
        Ok(Box::new(Connection { client, driving, statements: Vec::new(), since: 0, making }))
    }

    async fn recycle(&self, connection: &mut Box<Connection>, _: &Metrics) -> RecycleResult<NotMade> {
        if connection.client.is_closed() { Err(RecycleError::message("it is closed")) } else { Ok(()) }
    }
}
