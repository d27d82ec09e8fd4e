//! The crate through its public API: stores against one contract, files, declarations and the vocabulary against golden
//! values, and the property that no feature sees the future.

use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};

use jiff::Timestamp;
use serve_core::Value;
use serve_features::{Entity, FeatureRow, FeatureSetName, Unreadable, parse_timestamp};

mod build;
mod compute;
mod contract;
mod contract_raw;
mod database;
mod declarations;
mod golden;
mod ingest;
mod lookahead;
mod online;
mod postgres;
mod postgres_down;
mod proxy;
mod redis;
mod redis_cache;
mod retrieval;
mod same_bits;
mod sqlite;
mod tables;
mod threads;
mod training;
mod vader;
mod vocabulary;

/// Waits for a future on this thread: the crate needs no runtime, so its tests have none.
fn block_on<T>(future: impl Future<Output = T>) -> T {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let (mut future, mut context) = (pin!(future), Context::from_waker(&waker));
    loop {
        match future.as_mut().poll(&mut context) {
            Poll::Ready(value) => return value,
            Poll::Pending => thread::park(),
        }
    }
}

fn at(text: &str) -> Timestamp {
    parse_timestamp(text).expect("is a timestamp")
}

fn entity(name: &str) -> Entity {
    name.parse().expect("is an entity")
}

fn set(name: &str) -> FeatureSetName {
    name.parse().expect("is a feature set's name")
}

/// All levels of an error in one line.
fn told(error: &dyn std::error::Error) -> String {
    let below = error.source().map(|source| format!(": {}", told(source)));
    format!("{error}{}", below.unwrap_or_default())
}

/// A row with the one feature `x`.
fn row(name: &str, timestamp: &str, x: f64) -> FeatureRow {
    FeatureRow::new(entity(name), at(timestamp), [("x".into(), Value::from(x))])
}

/// Every slot, none of which fails.
fn readable<T>(slots: Vec<Result<T, Unreadable>>) -> Vec<T> {
    slots.into_iter().map(|slot| slot.expect("can be read")).collect()
}

/// The feature `x`.
fn x(row: Option<&FeatureRow>) -> Option<Value<'static>> {
    row.and_then(|row| row.get("x")).cloned()
}
