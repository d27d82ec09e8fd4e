//! One connection to the database: its client, the task that drives it, and the statements prepared on it; and how the pool
//! makes one and sees whether it still lives.

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
}

impl Connection {
    /// The statement of this text, prepared when it is first asked for.
    pub(super) async fn statement(&mut self, sql: &'static str) -> Result<Statement, Error> {
        if let Some((_, known)) = self.statements.iter().find(|(known, _)| *known == sql) {
            return Ok(known.clone());
        }
        let statement = Box::pin(self.client.prepare(sql)).await?;
        self.statements.push((sql, statement.clone()));
        Ok(statement)
    }

    /// Has all statements prepared anew.
    pub(super) fn forget_statements(&mut self) {
        self.statements.clear();
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
    type Error = Error;

    async fn create(&self) -> Result<Box<Connection>, Error> {
        let (client, connection) = Box::pin(self.config.connect(self.tls.0.clone())).await?;
        let driving = tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::warn!(%error, "a connection to PostgreSQL broke");
            }
        });
        Ok(Box::new(Connection { client, driving, statements: Vec::new() }))
    }

    async fn recycle(&self, connection: &mut Box<Connection>, _: &Metrics) -> RecycleResult<Error> {
        if connection.client.is_closed() { Err(RecycleError::message("it is closed")) } else { Ok(()) }
    }
}
