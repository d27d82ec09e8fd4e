//! Bytes under keys in Redis, for a while: what servers share that each of them could make again by itself. Nothing here
//! fails: who asks is told what is there, or nothing, within `timeout`. What the bytes mean, and whether they are what was
//! put there, is for the caller to check.

use std::sync::Arc;
use std::time::Instant;

use redis::pipe;

use super::aside::{Aside, millis};
use super::cache::RedisCacheOptions;
use super::link::Link;
use crate::location::RedisUrl;
use crate::runtime::StoreRuntime;
use crate::store::OpenError;

/// Bytes that servers share through a Redis.
#[derive(Debug)]
pub struct RedisBytes {
    aside: Arc<Aside>,
    prefix: String,
    options: RedisCacheOptions,
    runtime: StoreRuntime,
}

impl RedisBytes {
    /// Connects when it is first asked: Redis may be down now. `what` it is for stands in the log when it is lost.
    ///
    /// # Errors
    /// [`OpenError::Redis`]: the client cannot use the URL.
    pub fn open(what: &'static str, url: &RedisUrl, options: RedisCacheOptions) -> Result<Self, OpenError> {
        let link = Link::open(url, options.connect_timeout)?;
        let runtime = StoreRuntime::here().map_err(|source| OpenError::Thread { source })?;
        let aside = Arc::new(Aside::new(what, link, runtime.handle().clone()));
        Ok(Self { aside, prefix: url.prefix().to_owned(), options, runtime })
    }

    /// What is under a key; nothing also where Redis does not say in time, which is half of what is left until `deadline` at
    /// most.
    pub async fn get(&self, key: &str, deadline: Option<Instant>) -> Option<Vec<u8>> {
        let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()) / 2);
        let patience = left.map_or(self.options.timeout, |left| left.min(self.options.timeout));
        if patience.is_zero() || !self.aside.allows() {
            return None;
        }
        let mut commands = pipe();
        commands.cmd("GET").arg(self.key(key));
        let (found,) = self.runtime.run(self.aside.ask::<(Option<Vec<u8>>,)>(&commands, patience)).await?;
        found
    }

    /// Puts bytes under a key for `ttl`. Nobody waits for it, and where Redis is not well it does not happen.
    pub fn put(&self, key: &str, value: Vec<u8>) {
        let (aside, key, ttl) = (Arc::clone(&self.aside), self.key(key), millis(self.options.ttl));
        self.aside.behind(async move {
            let mut commands = pipe();
            commands.cmd("SET").arg(key).arg(value).arg("PX").arg(ttl).ignore();
            aside.tell(&commands).await;
        });
    }

    /// Calls that failed or took too long.
    #[must_use]
    pub fn failures(&self) -> u64 {
        self.aside.failures()
    }

    /// Why nothing is asked of Redis now, where that is so. Redis is asked for a sign of life first, and given a few times
    /// `timeout`.
    pub async fn trouble(&self) -> Option<String> {
        self.runtime.run(self.aside.trouble(self.options.timeout)).await
    }

    fn key(&self, key: &str) -> String {
        format!("{}:b:{key}", self.prefix)
    }
}
