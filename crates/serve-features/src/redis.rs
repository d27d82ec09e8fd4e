//! Redis, in three ways on one kind of connection:
//!
//! - [`RedisStore`] keeps rows there, the newest of each entity.
//! - [`RedisCache`] keeps the newest row of each entity for a while, in front of another store that has them all.
//! - [`RedisBytes`] keeps whatever bytes servers share for a while.
//!
//! All talk through a [`link`] that connects when it is first needed and again after every failure, so a Redis that is down
//! when the program starts, dies or hangs is found again without anybody's help. A single server (or one primary) is meant: the keys of a batch lie in different slots of a cluster.
//! Only this folder knows the crate `redis`.

use ::redis::RedisError;

use crate::store::StoreError;

pub use bytes::RedisBytes;
pub use cache::{RedisCache, RedisCacheOptions};
pub use store::RedisStore;

mod aside;
mod breaker;
mod bytes;
mod cache;
mod key;
mod link;
mod store;

/// The store's kind in errors and on the health page.
const KIND: &str = "redis";

/// Why Redis gave no answer.
#[derive(Debug, thiserror::Error)]
enum Failure {
    /// The request's own deadline passed.
    #[error("the deadline passed")]
    Deadline,
    /// It took longer than the store waits.
    #[error("no answer within {0:?}")]
    Timeout(std::time::Duration),
    /// The row has no form to be sent in.
    #[error("a row cannot be encoded")]
    NotJson(#[source] serde_json::Error),
    /// The client or the server said no.
    #[error(transparent)]
    Redis(#[from] RedisError),
}

impl Failure {
    /// The failure may be gone at the next try.
    fn is_transient(&self) -> bool {
        match self {
            Self::Deadline | Self::Timeout(_) => true,
            Self::NotJson(_) => false,
            Self::Redis(error) => {
                let loses = ["LOADING", "BUSY", "TRYAGAIN", "MASTERDOWN", "READONLY", "OOM", "MISCONF"];
                error.is_io_error()
                    || error.is_timeout()
                    || error.is_connection_dropped()
                    || error.code().is_some_and(|code| loses.contains(&code))
            }
        }
    }
}

/// For `map_err`, without a deadline of its own.
fn failing(operation: &'static str) -> impl Fn(Failure) -> StoreError {
    move |failure| StoreError::Backend {
        store: KIND,
        operation,
        transient: failure.is_transient(),
        source: Box::new(failure),
    }
}
