//! The newest row of each entity in Redis, in front of a store that has them all: servers share what one of them has read.
//!
//! - What Redis does not have, or has in a form that nobody wrote, is fetched from the store in one query and put into Redis
//!   behind the answer. Requests "as of then" go past it.
//! - A Redis that is down or slow costs a request `timeout` at most, or half of what its deadline leaves, and fails none. After a few failures in a row it is not
//!   asked for a while.
//! - Rows written through this cache replace what Redis has, if they are not older. Where Redis has nothing, what was just
//!   written may not be the newest row (a backfill), so readers fill such places: each takes a lease before it asks the store, and
//!   puts its row there only if the lease is still the place's. A write takes the lease away, so nobody puts a row there that was
//!   read before it (the leases of Nishtala and others, "Scaling Memcache at Facebook", NSDI 2013). A write that may or may not
//!   have come through bars the place for a moment instead. Rows written past the cache, or while Redis could not be reached, are
//!   seen after `ttl`.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use redis::{cmd, pipe};

use super::aside::{Aside, millis};
use super::key;
use super::link::Link;
use crate::location::RedisUrl;
use crate::name::{Entity, FeatureSetName};
use crate::resilience::random;
use crate::row::FeatureRow;
use crate::runtime::StoreRuntime;
use crate::store::{
    BoxFuture, Fault, FeatureStore, FetchRequest, HistoryRequest, OpenError, RawStore, RetrieveError,
    SampledRow, SharedCacheCounters, Slot, StoreError, WriteError,
};
use crate::stored::Decoders;

/// How long a lease holds, and how long an empty value bars a place: longer than a fetch takes.
const BARRED: Duration = Duration::from_secs(10);

/// What a lease begins with; a row begins with a digit or a sign.
const LEASE: u8 = b'?';

/// `ARGV`: the lifetime of a row, then a row for each key. Rows begin with digits that order as moments do.
const REPLACE: &str = "for i, key in ipairs(KEYS) do
    local old, new = redis.call('GET', key), ARGV[i + 1]
    if not old or old == '' then
    elseif #old < 16 or string.sub(old, 1, 1) == '?' then
        redis.call('DEL', key)
    elseif string.sub(old, 1, 16) <= string.sub(new, 1, 16) then
        redis.call('SET', key, new, 'PX', ARGV[1])
    end
end";

/// `ARGV`: the lifetime of a row, the lease, then a row for each key.
const FILL: &str = "for i, key in ipairs(KEYS) do
    if redis.call('GET', key) == ARGV[2] then redis.call('SET', key, ARGV[i + 2], 'PX', ARGV[1]) end
end";

/// Deletes a value that nobody wrote, unless it was replaced meanwhile.
const DISCARD: &str = "if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('DEL', KEYS[1]) end";

/// How a cache is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RedisCacheOptions {
    /// How long a row stays; also how long one that was written past the cache goes unseen. At least a millisecond.
    pub ttl: Duration,
    /// The most that a request waits for Redis.
    pub timeout: Duration,
    /// How long a connection may take. No request waits for it longer than for an answer.
    pub connect_timeout: Duration,
}

impl Default for RedisCacheOptions {
    fn default() -> Self {
        let (timeout, connect_timeout) = (Duration::from_millis(10), Duration::from_secs(1));
        Self { ttl: Duration::from_mins(1), timeout, connect_timeout }
    }
}

#[derive(Debug, Default)]
struct Counters {
    hits: AtomicU64,
    misses: AtomicU64,
    corrupt: AtomicU64,
    skipped: AtomicU64,
    failed: AtomicU64,
}

/// A store with Redis in front.
#[derive(Debug)]
pub struct RedisCache {
    inner: Arc<dyn FeatureStore>,
    near: Arc<Near>,
    runtime: StoreRuntime,
}

/// Redis' side, which tasks behind an answer share.
#[derive(Debug)]
struct Near {
    aside: Aside,
    options: RedisCacheOptions,
    prefix: String,
    decoders: Decoders,
    counters: Counters,
}

impl RedisCache {
    /// Puts the Redis of `url` in front of `inner`. Connects when it is first asked: Redis may be down now.
    ///
    /// # Errors
    /// [`OpenError::Redis`]: the client cannot use the URL.
    pub fn open(
        url: &RedisUrl,
        inner: Arc<dyn FeatureStore>,
        options: RedisCacheOptions,
    ) -> Result<Self, OpenError> {
        let link = Link::open(url, options.connect_timeout)?;
        let options = RedisCacheOptions { ttl: options.ttl.max(Duration::from_millis(1)), ..options };
        let (decoders, counters) = Default::default();
        let prefix = url.prefix().to_owned();
        let here = StoreRuntime::here().map_err(|source| OpenError::Thread { source })?;
        let aside = Aside::new("shared cache of features", link, here.handle().clone());
        let near = Near { aside, options, prefix, decoders, counters };
        Ok(Self { inner, near: Arc::new(near), runtime: here })
    }

    /// What became of requests so far.
    #[must_use]
    pub fn counts(&self) -> SharedCacheCounters {
        let Counters { hits, misses, corrupt, skipped, failed } = &self.near.counters;
        let now = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        SharedCacheCounters {
            hits: now(hits),
            misses: now(misses),
            corrupt: now(corrupt),
            skipped: now(skipped),
            failed: now(failed),
            failures: self.near.aside.failures(),
            lost: self.near.aside.is_lost(),
        }
    }

    async fn newest(&self, mut request: FetchRequest) -> Result<Vec<Slot>, RetrieveError> {
        request.check_deadline()?;
        let mut rows: Vec<Slot> = self.near.get(&request).await.into_iter().map(Ok).collect();
        let missing: Vec<usize> = (0..rows.len()).filter(|i| matches!(rows[*i], Ok(None))).collect();
        if missing.is_empty() {
            return Ok(rows);
        }
        let set = request.set.clone();
        request.entities = missing.iter().map(|i| request.entities[*i].clone()).collect();
        let lease = self.near.lease(&request).await;
        let found = self.inner.fetch(request).await?;
        if let Some(lease) = lease {
            self.near.fill(set, lease, found.iter().flatten().flatten().cloned().collect());
        }
        for (i, row) in missing.into_iter().zip(found) {
            rows[i] = row;
        }
        Ok(rows)
    }
}

impl Near {
    /// One slot an entity: what Redis has. Takes the cache's patience at most.
    async fn get(self: &Arc<Self>, request: &FetchRequest) -> Vec<Option<FeatureRow>> {
        let counted =
            |counter: &AtomicU64, entities: usize| counter.fetch_add(entities as u64, Ordering::Relaxed);
        let wanted = request.entities.len();
        if !self.aside.allows() {
            counted(&self.counters.skipped, wanted);
            return vec![None; wanted];
        }
        let key = |entity| key::cached(&self.prefix, &request.set, entity);
        let patience = self.patience(request);
        let values: Option<Vec<Option<Vec<u8>>>> = match request.entities.as_slice() {
            [entity] => {
                let value = self.aside.ask(cmd("GET").arg(key(entity)), patience).await;
                value.map(|value| vec![value])
            }
            entities => {
                let keys: Vec<String> = entities.iter().map(key).collect();
                self.aside.ask(cmd("MGET").arg(keys), patience).await
            }
        };
        let Some(values) = values else {
            counted(&self.counters.failed, wanted);
            return vec![None; wanted];
        };
        let rows = self.read(request, values);
        let hits = rows.iter().flatten().count();
        counted(&self.counters.hits, hits);
        counted(&self.counters.misses, wanted - hits);
        rows
    }

    /// Leaves the store behind at least half of the time that there is.
    fn patience(&self, request: &FetchRequest) -> Duration {
        let left = request.deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()) / 2);
        left.map_or(self.options.timeout, |left| left.min(self.options.timeout))
    }

    fn read(
        self: &Arc<Self>,
        request: &FetchRequest,
        values: Vec<Option<Vec<u8>>>,
    ) -> Vec<Option<FeatureRow>> {
        let mut decoder = self.decoders.of_newest(&request.set);
        let mut row = |(entity, value): (&Entity, Option<Vec<u8>>)| {
            let value = value.filter(|value| value.first().is_some_and(|first| *first != LEASE))?;
            let row = key::decode(&value, &request.set, entity, &mut decoder).ok();
            if row.is_none() {
                self.counters.corrupt.fetch_add(1, Ordering::Relaxed);
                self.discard(key::cached(&self.prefix, &request.set, entity), value);
            }
            row
        };
        request.entities.iter().zip(values).map(&mut row).collect()
    }

    /// Takes the places of these entities that have nothing, before the store is asked for them.
    async fn lease(self: &Arc<Self>, request: &FetchRequest) -> Option<String> {
        if !self.aside.allows() {
            return None;
        }
        let lease = format!("{}{:016x}", LEASE as char, random());
        let mut commands = pipe();
        for entity in &request.entities {
            let command =
                commands.cmd("SET").arg(key::cached(&self.prefix, &request.set, entity)).arg(&lease);
            command.arg("PX").arg(millis(BARRED)).arg("NX").ignore();
        }
        self.aside.ask::<()>(&commands, self.patience(request)).await.map(|()| lease)
    }

    /// Puts rows where the lease still is, behind the answer.
    fn fill(self: &Arc<Self>, set: FeatureSetName, lease: String, rows: Vec<FeatureRow>) {
        let near = Arc::clone(self);
        self.aside.behind(async move {
            let rows = rows.iter().filter_map(|row| Some((row, key::encode(row).ok()?)));
            let (keys, values): (Vec<String>, Vec<String>) =
                rows.map(|(row, value)| (key::cached(&near.prefix, &set, row.entity()), value)).unzip();
            if keys.is_empty() {
                return;
            }
            let mut commands = pipe();
            let command = commands.cmd("EVAL").arg(FILL).arg(keys.len()).arg(keys);
            command.arg(millis(near.options.ttl)).arg(lease).arg(values).ignore();
            near.aside.tell(&commands).await;
        });
    }

    fn discard(self: &Arc<Self>, key: String, value: Vec<u8>) {
        let near = Arc::clone(self);
        self.aside.behind(async move {
            let mut commands = pipe();
            commands.cmd("EVAL").arg(DISCARD).arg(1).arg(key).arg(value).ignore();
            near.aside.tell(&commands).await;
        });
    }

    /// Replaces what Redis has of these entities by what was just written. Where the write failed, the rows may be there
    /// nevertheless: then nothing is kept of them.
    async fn replace(&self, set: &FeatureSetName, newest: &[FeatureRow], stored: bool) {
        let rows = newest.iter().filter_map(|row| Some((row, key::encode(row).ok()?)));
        let (keys, values): (Vec<String>, Vec<String>) =
            rows.map(|(row, value)| (key::cached(&self.prefix, set, row.entity()), value)).unzip();
        if keys.is_empty() {
            return;
        }
        let mut commands = pipe();
        if stored {
            let command = commands.cmd("EVAL").arg(REPLACE).arg(keys.len()).arg(keys);
            command.arg(millis(self.options.ttl)).arg(values).ignore();
        } else {
            for key in keys {
                commands.cmd("SET").arg(key).arg("").arg("PX").arg(millis(BARRED)).ignore();
            }
        }
        self.aside.tell(&commands).await;
    }
}

/// Whether nothing can have been written.
fn refused(error: &WriteError) -> bool {
    error.fault() == Fault::Client
}

/// The newest row of each entity; of one moment the last, which is the one that a store keeps.
fn newest(rows: &[FeatureRow]) -> Vec<FeatureRow> {
    let mut newest: std::collections::HashMap<&Entity, &FeatureRow> = std::collections::HashMap::new();
    for row in rows {
        let known = newest.entry(row.entity()).or_insert(row);
        if known.timestamp() <= row.timestamp() {
            *known = row;
        }
    }
    newest.into_values().cloned().collect()
}

impl FeatureStore for RedisCache {
    /// The store's behind the cache, which has the rows.
    fn kind(&self) -> &'static str {
        self.inner.kind()
    }

    fn fetch(&self, request: FetchRequest) -> BoxFuture<'_, Result<Vec<Slot>, RetrieveError>> {
        if request.as_of.is_some() || request.entities.is_empty() {
            return self.inner.fetch(request);
        }
        self.runtime.run(self.newest(request))
    }

    fn near(&self, request: FetchRequest) -> BoxFuture<'_, Vec<Option<FeatureRow>>> {
        if request.as_of.is_some() {
            return Box::pin(std::future::ready(vec![None; request.entities.len()]));
        }
        self.runtime.run(async move { self.near.get(&request).await })
    }

    fn write(&self, set: FeatureSetName, rows: Vec<FeatureRow>) -> BoxFuture<'_, Result<(), WriteError>> {
        let newest = newest(&rows);
        let (inner, near) = (Arc::clone(&self.inner), Arc::clone(&self.near));
        let (tell, told) = tokio::sync::oneshot::channel();
        // On a task of its own, so that Redis learns of the rows although the caller goes.
        let task = self.runtime.handle().spawn(async move {
            let written = inner.write(set.clone(), rows).await;
            let (stored, refused) = (written.is_ok(), written.as_ref().is_err_and(refused));
            // The caller may have gone.
            let _ = tell.send(written);
            if !refused {
                near.replace(&set, &newest, stored).await;
            }
        });
        let patience = self.near.options.timeout;
        self.runtime.run(async move {
            let stopped = |_| Err(StoreError::Stopped { store: super::KIND }.into());
            let written = told.await.unwrap_or_else(stopped);
            // A reader finds the new row at once, unless Redis is slow.
            let _ = tokio::time::timeout(patience, task).await;
            written
        })
    }

    fn sample(
        &self,
        set: FeatureSetName,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<SampledRow>, RetrieveError>> {
        self.inner.sample(set, limit)
    }

    fn history(&self, request: HistoryRequest) -> BoxFuture<'_, Result<Vec<FeatureRow>, RetrieveError>> {
        self.inner.history(request)
    }

    fn raw(&self) -> Option<&dyn RawStore> {
        self.inner.raw()
    }

    fn shared_cache(&self) -> Option<SharedCacheCounters> {
        Some(self.counts())
    }

    fn ping(&self) -> BoxFuture<'_, Result<(), RetrieveError>> {
        self.inner.ping()
    }
}
