//! Redis as a place that keeps feature rows: per set and entity a sorted set of rows in order of time, and per set the
//! entities in order of their names.
//!
//! A batch of entities is one round trip, a batch of rows one transaction. Of each entity the newest rows are kept, as many as
//! the URL's `history` says: older ones are gone, and so are rows that are already older than those when they are
//! written. Raw rows are not kept.

use std::time::Duration;

use redis::{Pipeline, cmd, pipe};

use super::link::Link;
use super::{Failure, KIND, failing, key};
use crate::location::RedisUrl;
use crate::name::{Entity, FeatureSetName};
use crate::options::StoreOptions;
use crate::row::FeatureRow;
use crate::runtime::StoreRuntime;
use crate::store::{
    BoxFuture, FeatureStore, FetchRequest, HistoryRequest, OpenError, RetrieveError, SampledRow, Slot,
    WriteError,
};
use crate::stored::{self, Decoders};

/// One command's answer: members of a sorted set.
type Members = Vec<Vec<u8>>;

/// Feature rows in Redis.
///
/// ```no_run
/// use serve_features::{FeatureStore, FetchRequest, StoreOptions, RedisStore, StoreUrl};
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// let StoreUrl::Redis(url) = "redis://localhost/0?prefix=team-a&history=50".parse()? else { return Ok(()) };
/// let store = RedisStore::open(&url, StoreOptions::default())?;
/// let rows = store.fetch(FetchRequest::newest("vader".parse()?, ["BTC/USD".parse()?])).await?;
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct RedisStore {
    link: Link,
    runtime: StoreRuntime,
    timeout: Duration,
    prefix: String,
    history: u32,
    decoders: Decoders,
}

impl RedisStore {
    /// A store that connects when it is first asked: Redis may be down now. It has one connection, which all calls share.
    ///
    /// # Errors
    /// [`OpenError::Redis`]: the client cannot use the URL.
    pub fn open(url: &RedisUrl, options: StoreOptions) -> Result<Self, OpenError> {
        let link = Link::open(url, options.connect_timeout)?;
        let runtime = StoreRuntime::here().map_err(|source| OpenError::Thread { source })?;
        let (timeout, prefix, history) = (options.timeout, url.prefix().to_owned(), url.history());
        Ok(Self { link, runtime, timeout, prefix, history, decoders: Decoders::default() })
    }

    async fn newest(&self, request: &FetchRequest) -> Result<Vec<Slot>, RetrieveError> {
        request.check_deadline()?;
        if request.entities.is_empty() {
            return Ok(Vec::new());
        }
        let latest = request.as_of.map_or_else(|| "+".to_owned(), |at| format!("({}", key::stamp(at, 1)));
        let command = |entity| {
            let mut command = cmd("ZRANGE");
            command.arg(key::rows(&self.prefix, &request.set, entity)).arg(&latest).arg("-");
            command.arg("BYLEX").arg("REV").arg("LIMIT").arg(0).arg(1);
            command
        };
        let answer = match request.entities.as_slice() {
            [entity] => {
                let answer = self.link.ask(&command(entity), self.timeout, request.deadline).await;
                answer.map(|members| vec![members])
            }
            entities => {
                let mut commands = Pipeline::with_capacity(entities.len());
                for entity in entities {
                    commands.add_command(command(entity));
                }
                self.link.ask(&commands, self.timeout, request.deadline).await
            }
        };
        let found: Vec<Members> = answer.map_err(|failure| match failure {
            Failure::Deadline => RetrieveError::Deadline { set: request.set.clone() },
            other => failing("fetch features")(other).into(),
        })?;
        let mut decoder = self.decoders.of_newest(&request.set);
        let mut row = |(entity, members): (&Entity, &Members)| {
            let member = members.first();
            member.map(|member| key::decode(member, &request.set, entity, &mut decoder)).transpose()
        };
        Ok(request.entities.iter().zip(&found).map(&mut row).collect())
    }

    async fn insert(&self, set: &FeatureSetName, rows: &[FeatureRow]) -> Result<(), WriteError> {
        rows.iter().try_for_each(stored::check)?;
        let failed = failing("write feature rows");
        let commands = self.insertion(set, rows).map_err(|error| failed(Failure::NotJson(error)))?;
        if rows.is_empty() {
            return Ok(());
        }
        Ok(self.link.ask(&commands, self.timeout, None).await.map_err(failed)?)
    }

    fn insertion(&self, set: &FeatureSetName, rows: &[FeatureRow]) -> serde_json::Result<Pipeline> {
        let mut commands = pipe();
        commands.atomic();
        for row in rows {
            let key = key::rows(&self.prefix, set, row.entity());
            let (at, next) = (key::stamp(row.timestamp(), 0), key::stamp(row.timestamp(), 1));
            commands.cmd("ZREMRANGEBYLEX").arg(&key).arg(format!("[{at}")).arg(format!("({next}")).ignore();
            commands.cmd("ZADD").arg(&key).arg(0).arg(key::encode(row)?).ignore();
            commands.cmd("ZREMRANGEBYRANK").arg(&key).arg(0).arg(-1 - i64::from(self.history)).ignore();
            let entities = key::entities(&self.prefix, set);
            commands.cmd("ZADD").arg(entities).arg(0).arg(row.entity().as_str()).ignore();
        }
        Ok(commands)
    }

    async fn first(&self, set: FeatureSetName, limit: usize) -> Result<Vec<SampledRow>, RetrieveError> {
        let failed = failing("sample features");
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let mut commands = pipe();
        let command = commands.cmd("ZRANGE").arg(key::entities(&self.prefix, &set)).arg("-").arg("+");
        command.arg("BYLEX").arg("LIMIT").arg(0).arg(limit);
        let answer = self.link.ask(&commands, self.timeout, None).await;
        let (names,): (Vec<String>,) = answer.map_err(failed)?;
        // A name that is no entity was not written by us.
        let entities = names.iter().filter_map(|name| name.parse().ok());
        let rows = self.newest(&FetchRequest::newest(set, entities)).await?;
        Ok(rows.into_iter().filter_map(Result::transpose).collect())
    }

    async fn between(&self, request: &HistoryRequest) -> Result<Vec<FeatureRow>, RetrieveError> {
        let failed = failing("read the history of features");
        let HistoryRequest { set, entity, from, to, limit } = request;
        let from = from.map_or_else(|| "-".to_owned(), |from| format!("[{}", key::stamp(from, 0)));
        let to = to.map_or_else(|| "+".to_owned(), |to| format!("({}", key::stamp(to, 0)));
        let limit = i64::try_from(*limit).unwrap_or(i64::MAX);
        let mut commands = pipe();
        let command = commands.cmd("ZRANGE").arg(key::rows(&self.prefix, set, entity)).arg(from).arg(to);
        command.arg("BYLEX").arg("LIMIT").arg(0).arg(limit);
        let answer = self.link.ask(&commands, self.timeout, None).await;
        let (members,): (Members,) = answer.map_err(failed)?;
        let mut decoder = self.decoders.of(set);
        let rows = members.iter().map(|member| key::decode(member, set, entity, &mut decoder));
        Ok(rows.collect::<Result<_, _>>()?)
    }
}

impl FeatureStore for RedisStore {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn fetch(&self, request: FetchRequest) -> BoxFuture<'_, Result<Vec<Slot>, RetrieveError>> {
        self.runtime.run(async move { self.newest(&request).await })
    }

    fn write(&self, set: FeatureSetName, rows: Vec<FeatureRow>) -> BoxFuture<'_, Result<(), WriteError>> {
        self.runtime.run(async move { self.insert(&set, &rows).await })
    }

    fn sample(
        &self,
        set: FeatureSetName,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<SampledRow>, RetrieveError>> {
        self.runtime.run(self.first(set, limit))
    }

    fn history(&self, request: HistoryRequest) -> BoxFuture<'_, Result<Vec<FeatureRow>, RetrieveError>> {
        self.runtime.run(async move { self.between(&request).await })
    }

    fn ping(&self) -> BoxFuture<'_, Result<(), RetrieveError>> {
        self.runtime.run(async move {
            let mut commands = pipe();
            commands.cmd("PING").ignore();
            let answer = self.link.ask(&commands, self.timeout, None).await;
            Ok(answer.map_err(failing("answer a ping"))?)
        })
    }
}
