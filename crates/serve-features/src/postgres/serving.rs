//! PostgreSQL behind the stores' seam.

use std::pin::pin;
use std::thread;

use jiff::Timestamp;
use tokio::runtime::Builder;

use super::failure::Failure;
use super::pool::Connections;
use super::raw_write::Batch;
use super::url::PostgresUrl;
use super::{KIND, failing, failing_or, feature, raw, schema, state};
use crate::name::{Entity, FeatureSetName};
use crate::options::StoreOptions;
use crate::raw::{RawRow, RawTable};
use crate::row::FeatureRow;
use crate::store::{
    BoxFuture, FeatureStore, FetchRequest, HistoryRequest, OpenError, RawRequest, RawSlot, RawStore,
    RetrieveError, SampledRow, Slot, StoredState, WriteError,
};
use crate::stored::Decoders;

/// A PostgreSQL database as a [`FeatureStore`].
///
/// ```no_run
/// use serve_features::{FeatureStore, FetchRequest, PostgresStore, StoreOptions};
/// # async fn read() -> Result<(), Box<dyn std::error::Error>> {
/// let url = "postgres://serve:secret@db.example/features?sslmode=verify-full".parse()?;
/// let store = PostgresStore::open(&url, StoreOptions::default())?;
/// let rows = store.fetch(FetchRequest::newest("vader".parse()?, ["BTC/USD".parse()?])).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct PostgresStore {
    connections: Connections,
    decoders: Decoders,
}

impl PostgresStore {
    /// A store that connects when it is first asked. A database whose schema is not this program's is refused then, with the
    /// command that migrates it.
    ///
    /// # Errors
    /// [`OpenError`]: the file of authorities cannot be read, or the store can have no thread.
    pub fn open(url: &PostgresUrl, options: StoreOptions) -> Result<Self, OpenError> {
        Ok(Self { connections: Connections::new(url, options)?, decoders: Decoders::default() })
    }

    /// Brings the database's schema to this program's version. Blocks; several programs may do so at once. Tables of others
    /// are left alone: where one has a name of ours, nothing is changed, and `?schema=` names another place.
    ///
    /// # Errors
    /// [`OpenError`]: also for a database of a newer schema.
    pub fn migrate(url: &PostgresUrl, options: StoreOptions) -> Result<(), OpenError> {
        let failed = |source| OpenError::Server { operation: "migrate", url: url.to_string(), source };
        let migrate = async {
            let connections = Connections::new(url, options)?;
            let call = connections.call(None);
            let work = pin!(async {
                let mut lent = connections.lend_unchecked(&call).await?;
                let found = schema::migrate(&mut lent.connection().client, url.schema.as_deref()).await;
                lent.done(found)
            });
            let found = connections.until(&call, work).await.map_err(|failure| match failure {
                Failure::Backend { source, .. } | Failure::Lost(source) => failed(source),
                Failure::Late | Failure::Connecting | Failure::Exhausted { .. } => {
                    failed("no answer in time".into())
                }
            })?;
            if found == schema::CURRENT {
                return Ok(());
            }
            Err(OpenError::other_version(url.to_string(), found, schema::CURRENT))
        };
        // A thread of its own may block, whatever it is called from.
        let blocking = || {
            let runtime = Builder::new_current_thread().enable_all().build();
            runtime.map_err(|source| OpenError::Thread { source })?.block_on(migrate)
        };
        let joined = thread::scope(|scope| scope.spawn(blocking).join());
        joined.unwrap_or_else(|_| Err(failed("the migration's thread panicked".into())))
    }
}

/// A read's answer, asked anew where the connection turned out to have ended in the pool. A macro, since a function cannot say that
/// what a closure awaits may go to another thread.
macro_rules! read {
    ($store:expr, $call:expr, |$connection:ident| $ask:expr) => {
        async {
            loop {
                let mut lent = $store.connections.lend(&$call).await?;
                let $connection = lent.connection();
                let answer = $ask.await;
                if let Some(answer) = lent.read(answer) {
                    break answer;
                }
            }
        }
    };
}

impl FeatureStore for PostgresStore {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn fetch(&self, request: FetchRequest) -> BoxFuture<'_, Result<Vec<Slot>, RetrieveError>> {
        let call = self.connections.call(request.deadline);
        self.connections.runtime().run(async move {
            request.check_deadline()?;
            let work = pin!(read!(self, call, |connection| feature::query(connection, &request)));
            let late = || RetrieveError::Deadline { set: request.set.clone() };
            let rows =
                self.connections.until(&call, work).await.map_err(failing_or("fetch features", late))?;
            Ok(feature::slots(&request, &rows, &self.decoders))
        })
    }

    fn write(&self, set: FeatureSetName, rows: Vec<FeatureRow>) -> BoxFuture<'_, Result<(), WriteError>> {
        let call = self.connections.call(None);
        self.connections.runtime().run(async move {
            let columns = feature::columns(&rows)?;
            let work = pin!(async {
                let mut lent = self.connections.lend(&call).await?;
                let written = feature::write(&mut lent, &set, &columns).await;
                lent.done(written)
            });
            Ok(self.connections.until(&call, work).await.map_err(failing("write feature rows"))?)
        })
    }

    fn sample(
        &self,
        set: FeatureSetName,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<SampledRow>, RetrieveError>> {
        let call = self.connections.call(None);
        self.connections.runtime().run(async move {
            let work = pin!(read!(self, call, |connection| feature::sample(connection, &set, limit)));
            let rows = self.connections.until(&call, work).await.map_err(failing("sample features"))?;
            feature::sampled(&set, &rows, &self.decoders)
        })
    }

    fn history(&self, request: HistoryRequest) -> BoxFuture<'_, Result<Vec<FeatureRow>, RetrieveError>> {
        const OPERATION: &str = "read the history of features";
        let call = self.connections.call(None);
        self.connections.runtime().run(async move {
            let work = pin!(read!(self, call, |connection| feature::history(connection, &request)));
            let rows = self.connections.until(&call, work).await.map_err(failing(OPERATION))?;
            Ok(feature::past(&request, &rows, &self.decoders)?)
        })
    }

    fn raw(&self) -> Option<&dyn RawStore> {
        Some(self)
    }

    fn ping(&self) -> BoxFuture<'_, Result<(), RetrieveError>> {
        let call = self.connections.call(None);
        self.connections.runtime().run(async move {
            let work = pin!(read!(self, call, |connection| feature::ping(connection)));
            Ok(self.connections.until(&call, work).await.map_err(failing("answer a ping"))?)
        })
    }
}

impl RawStore for PostgresStore {
    fn read_raw(&self, request: RawRequest) -> BoxFuture<'_, Result<Vec<RawSlot>, RetrieveError>> {
        let call = self.connections.call(request.deadline);
        self.connections.runtime().run(async move {
            request.check_deadline()?;
            let work = pin!(read!(self, call, |connection| raw::query(connection, &request)));
            let late = || RetrieveError::RawDeadline { table: request.table.clone() };
            let rows =
                self.connections.until(&call, work).await.map_err(failing_or("read raw rows", late))?;
            Ok(raw::slots(&request, &rows))
        })
    }

    fn write_raw(&self, table: RawTable, rows: Vec<RawRow>) -> BoxFuture<'_, Result<(), WriteError>> {
        let call = self.connections.call(None);
        self.connections.runtime().run(async move {
            let batch = Batch::new(&table, &rows)?;
            let work = pin!(async {
                let mut lent = self.connections.lend(&call).await?;
                let written = batch.write(&mut lent).await;
                lent.done(written)
            });
            Ok(self.connections.until(&call, work).await.map_err(failing("write raw rows"))?)
        })
    }

    fn raw_entities(
        &self,
        table: RawTable,
        after: Option<Entity>,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<Entity>, RetrieveError>> {
        let call = self.connections.call(None);
        self.connections.runtime().run(async move {
            let work = pin!(read!(self, call, |connection| raw::entities(
                connection,
                &table,
                after.as_ref(),
                limit
            )));
            let rows = self.connections.until(&call, work).await.map_err(failing("list entities"))?;
            rows.iter().map(|row| super::entity("list entities", row, 0)).collect()
        })
    }

    fn read_states(
        &self,
        set: FeatureSetName,
        declaration: String,
        entities: Vec<Entity>,
        as_of: Option<Timestamp>,
    ) -> BoxFuture<'_, Result<Vec<Option<StoredState>>, RetrieveError>> {
        let call = self.connections.call(None);
        self.connections.runtime().run(async move {
            let work = pin!(read!(self, call, |connection| state::query(
                connection,
                &set,
                &declaration,
                &entities,
                as_of
            )));
            let rows = self.connections.until(&call, work).await.map_err(failing("read states"))?;
            Ok(state::slots(&declaration, &entities, &rows))
        })
    }

    fn write_states(
        &self,
        set: FeatureSetName,
        states: Vec<StoredState>,
    ) -> BoxFuture<'_, Result<(), WriteError>> {
        let call = self.connections.call(None);
        self.connections.runtime().run(async move {
            let work = pin!(async {
                let mut lent = self.connections.lend(&call).await?;
                let written = state::write(&mut lent, &set, &states).await;
                lent.done(written)
            });
            Ok(self.connections.until(&call, work).await.map_err(failing("write states"))?)
        })
    }
}
