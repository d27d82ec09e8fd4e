//! Waiting with a limit, without a timer for each wait.
//!
//! A timer of the runtime is entered and taken back under a lock that all threads share, and nearly every request would do
//! so for nothing: it is answered long before its limit. Over HTTP/1, where a request lives in its connection's task, a long
//! limit is held against the clock whenever the task is looked at instead, and the watchman has the task looked at on each
//! of his rounds while a request takes long ([`crate::watchman`]). Such a limit is exact to a round, other limits to a
//! millisecond.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;
use std::time::{Duration, Instant};

/// From this limit on a round more or less does not matter.
const LONG: Duration = Duration::from_secs(5);

/// Who sees to it that a limit is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Waker {
    /// A timer of the runtime.
    Timer,
    /// The watchman, where the limit is long.
    Watchman,
}

/// What `work` comes to; nothing, where that takes longer than `limit`.
pub(crate) async fn within<T>(limit: Duration, waker: Waker, work: impl Future<Output = T>) -> Option<T> {
    if waker == Waker::Timer || limit < LONG {
        return tokio::time::timeout(limit, work).await.ok();
    }
    let began = Instant::now();
    let mut work = pin!(work);
    poll_fn(|cx| match work.as_mut().poll(cx) {
        Poll::Ready(done) => Poll::Ready(Some(done)),
        Poll::Pending if began.elapsed() >= limit => Poll::Ready(None),
        Poll::Pending => Poll::Pending,
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_done_at_once_needs_no_limit() {
        for waker in [Waker::Timer, Waker::Watchman] {
            assert_eq!(within(LONG, waker, async { 7 }).await, Some(7));
        }
    }

    #[tokio::test]
    async fn a_short_limit_wakes_by_itself() {
        let never = std::future::pending::<()>();
        assert_eq!(within(Duration::from_millis(1), Waker::Watchman, never).await, None);
    }
}
