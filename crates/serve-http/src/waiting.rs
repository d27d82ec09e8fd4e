//! Waiting with a limit, without a timer for each wait.
//!
//! A timer of the runtime is entered and taken back under a lock that all threads share, and nearly every request would do
//! so for nothing: it is answered long before its limit. Over HTTP/1, where a request lives in its connection's task, a long
//! limit is held against the clock whenever the task is looked at instead, and the watchman has the task looked at on each
//! of his rounds while a request takes long ([`crate::watchman`]). Such a limit is exact to a round, other limits to a
//! millisecond.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
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

/// What `work` comes to; nothing, where it has to be waited for and that takes longer than `limit`.
pub(crate) async fn within<T>(limit: Duration, waker: Waker, work: impl Future<Output = T>) -> Option<T> {
    waited(limit, waker, work).await.0
}

/// [`within`], and how long it was waited for. What is done at once, as nearly all is, needs neither clock nor timer.
pub(crate) async fn waited<T>(
    limit: Duration,
    waker: Waker,
    work: impl Future<Output = T>,
) -> (Option<T>, Duration) {
    let mut work = pin!(work);
    let mut waiting: Option<Waiting> = None;
    poll_fn(|context| {
        let done = match work.as_mut().poll(context) {
            Poll::Ready(done) => Some(done),
            Poll::Pending => {
                let waiting = waiting.get_or_insert_with(|| Waiting::begin(limit, waker));
                std::task::ready!(waiting.poll(context));
                None
            }
        };
        Poll::Ready((done, waiting.as_ref().map_or(Duration::ZERO, |waiting| waiting.began.elapsed())))
    })
    .await
}

/// What is being waited for.
struct Waiting {
    began: Instant,
    limit: Duration,
    timer: Option<Pin<Box<tokio::time::Sleep>>>,
}

impl Waiting {
    fn begin(limit: Duration, waker: Waker) -> Self {
        let timer = waker == Waker::Timer || limit < LONG;
        Self { began: Instant::now(), limit, timer: timer.then(|| Box::pin(tokio::time::sleep(limit))) }
    }

    /// Ready once the limit is over.
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<()> {
        match &mut self.timer {
            Some(timer) => timer.as_mut().poll(context),
            None if self.began.elapsed() >= self.limit => Poll::Ready(()),
            None => Poll::Pending,
        }
    }
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
