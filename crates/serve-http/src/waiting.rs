//! Waiting with a limit, without a timer for each wait.
//!
//! A timer of the runtime is entered and taken back under a lock that all threads share, and nearly every request would do
//! so for nothing: it is answered long before its limit. Over HTTP/1, where a request lives in its connection's task, a long
//! limit is held against the clock whenever the task is looked at instead, and the watchman has the task looked at on each
//! of his rounds while a request takes long ([`crate::watchman`]). Such a limit is exact to a round, other limits to a
//! millisecond.

use std::future::Future;
use std::pin::Pin;
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

/// What `work` comes to; nothing, where it has to be waited for and that takes longer than `limit`. What is done at once, as
/// nearly all is, needs neither clock nor timer.
pub(crate) fn within<F: Future + Unpin>(limit: Duration, waker: Waker, work: F) -> Within<F> {
    Within { limit, waker, work, waiting: None }
}

/// [`within`]. Written out by hand: each request's future holds one.
#[must_use]
pub(crate) struct Within<F> {
    limit: Duration,
    waker: Waker,
    work: F,
    waiting: Option<Waiting>,
}

impl<F: Future + Unpin> Future for Within<F> {
    type Output = Option<F::Output>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        if let Poll::Ready(done) = Pin::new(&mut this.work).poll(context) {
            return Poll::Ready(Some(done));
        }
        let waiting = this.waiting.get_or_insert_with(|| Waiting::begin(this.limit, this.waker));
        waiting.poll(context).map(|()| None)
    }
}

/// A wait that has begun.
pub(crate) struct Waiting {
    began: Instant,
    limit: Duration,
    timer: Option<Pin<Box<tokio::time::Sleep>>>,
}

impl Waiting {
    pub(crate) fn begin(limit: Duration, waker: Waker) -> Self {
        let timer = waker == Waker::Timer || limit < LONG;
        Self { began: Instant::now(), limit, timer: timer.then(|| Box::pin(tokio::time::sleep(limit))) }
    }

    /// How long it has lasted.
    pub(crate) fn took(&self) -> Duration {
        self.began.elapsed()
    }

    /// Ready once the limit is over.
    pub(crate) fn poll(&mut self, context: &mut Context<'_>) -> Poll<()> {
        match &mut self.timer {
            Some(timer) => timer.as_mut().poll(context),
            None if self.began.elapsed() >= self.limit => Poll::Ready(()),
            None => Poll::Pending,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::ready;

    use super::*;

    #[tokio::test]
    async fn what_is_done_at_once_needs_no_limit() {
        for waker in [Waker::Timer, Waker::Watchman] {
            assert_eq!(within(LONG, waker, ready(7)).await, Some(7));
        }
    }

    #[tokio::test]
    async fn a_short_limit_wakes_by_itself() {
        let never = std::future::pending::<()>();
        assert_eq!(within(Duration::from_millis(1), Waker::Watchman, never).await, None);
    }
}
