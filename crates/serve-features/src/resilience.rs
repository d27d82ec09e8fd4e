//! What stands between a request and a store that fails: a bound on time and on calls under way, retries where they are
//! safe, and a circuit breaker. [`Guarded`] puts them around any [`crate::FeatureStore`], so that no other code has to
//! think of them.

pub use breaker::{BreakerHealth, BreakerState};
pub use guarded::{Guarded, StoreCounters, StoreHealth};
#[cfg(feature = "redis")]
pub(crate) use retry::random;
pub(crate) use window::SlidingWindow;

mod breaker;
mod bulkhead;
mod guarded;
mod retry;
mod window;
