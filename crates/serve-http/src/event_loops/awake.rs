//! Keeping a thread awake between the requests of who asks one after the other.
//!
//! A thread that has nothing to do goes to sleep, and its core with it. To wake both takes longer than to answer, on a virtual
//! machine several times as long. So where requests are seen to follow each other closely the thread goes on looking for
//! events for a moment, and lets others have the core meanwhile. Whether that pays is measured: nearly always a request has to
//! come within the moment and not at once, else nobody looks but for a trial now and then. One that comes at once would have
//! found the thread awake anyway: there is enough to do.

use std::future::poll_fn;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::task::Poll;
use std::thread;
use std::time::{Duration, Instant};

use futures_util::task::AtomicWaker;

/// How long a thread looks for the next request.
const MOMENT: Duration = Duration::from_micros(50);

/// Of so many requests that come while nobody looks, one is a trial.
const TRIAL: u64 = 32;

/// Requests of one thread, and who waits for the next.
#[derive(Debug, Default)]
pub(super) struct Requests {
    begun: AtomicU64,
    waits: AtomicBool,
    task: AtomicWaker,
}

impl Requests {
    /// One more has come.
    pub(super) fn begin(&self) {
        self.begun.fetch_add(1, Relaxed);
        if self.waits.load(Relaxed) {
            self.waits.store(false, Relaxed);
            self.task.wake();
        }
    }

    /// How many have come.
    pub(super) fn begun(&self) -> u64 {
        self.begun.load(Relaxed)
    }

    /// Waits until more than so many have come.
    async fn beyond(&self, seen: u64) {
        poll_fn(|context| {
            if self.begun.load(Relaxed) > seen {
                return Poll::Ready(());
            }
            self.task.register(context.waker());
            self.waits.store(true, Relaxed);
            Poll::Pending
        })
        .await;
    }

    /// Keeps the thread that runs this awake where that pays. Without end.
    pub(super) async fn stay_awake(&self) {
        let mut worth = Worth::default();
        loop {
            let mut seen = self.begun.load(Relaxed);
            let next = if worth.pays() { seen } else { seen + TRIAL - 1 };
            self.beyond(next).await;
            loop {
                seen = self.begun.load(Relaxed);
                let found = self.look(seen).await;
                worth.learn(found);
                let goes_on = match found {
                    Found::InTime => true,
                    Found::AtOnce => worth.pays(),
                    Found::None => false,
                };
                if !goes_on {
                    break;
                }
            }
        }
    }

    /// Whether more than so many come within a moment.
    async fn look(&self, seen: u64) -> Found {
        tokio::task::yield_now().await;
        if self.begun.load(Relaxed) > seen {
            return Found::AtOnce;
        }
        let began = Instant::now();
        while began.elapsed() < MOMENT {
            // First who else wants the core, then what has come.
            thread::yield_now();
            tokio::task::yield_now().await;
            if self.begun.load(Relaxed) > seen {
                return Found::InTime;
            }
        }
        Found::None
    }
}

/// When a request that was looked for came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Found {
    AtOnce,
    InTime,
    None,
}

/// How often looking for a request found one for which the thread would have slept.
#[derive(Debug, Default)]
struct Worth(u8);

impl Worth {
    const MOST: u8 = 16;
    /// From here on it pays.
    const ENOUGH: u8 = 8;

    fn pays(&self) -> bool {
        self.0 >= Self::ENOUGH
    }

    fn learn(&mut self, found: Found) {
        self.0 = match found {
            Found::InTime => (self.0 + 1).min(Self::MOST),
            Found::AtOnce => self.0.saturating_sub(1),
            Found::None => self.0.saturating_sub(4),
        };
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[tokio::test]
    async fn a_request_that_comes_is_found() {
        let requests = Arc::new(Requests::default());
        assert_eq!(requests.look(0).await, Found::None);
        let comes_after = |turns: usize| {
            let requests = Arc::clone(&requests);
            tokio::spawn(async move {
                for _ in 0..turns {
                    tokio::task::yield_now().await;
                }
                requests.begin();
            })
        };
        let asking = comes_after(0);
        assert_eq!(requests.look(0).await, Found::AtOnce);
        asking.await.expect("asked");
        let asking = comes_after(1);
        assert_eq!(requests.look(1).await, Found::InTime);
        asking.await.expect("asked");
        assert_eq!(requests.look(1).await, Found::AtOnce, "it came before");
        assert_eq!(requests.look(2).await, Found::None);
    }

    #[tokio::test]
    async fn who_waits_is_woken_by_the_request_that_is_waited_for() {
        let requests = Arc::new(Requests::default());
        let theirs = Arc::clone(&requests);
        let waiting = tokio::spawn(async move { theirs.beyond(2).await });
        for _ in 0..3 {
            tokio::task::yield_now().await;
            assert!(!waiting.is_finished());
            requests.begin();
        }
        waiting.await.expect("woken");
    }

    #[test]
    fn it_pays_where_nearly_every_look_finds_one() {
        let mut worth = Worth::default();
        let mut learn = |found: Found, times: usize| {
            (0..times).for_each(|_| worth.learn(found));
            worth.pays()
        };
        assert!(!learn(Found::InTime, 7));
        assert!(learn(Found::InTime, 1));
        assert!(!learn(Found::None, 1));
        assert!(learn(Found::InTime, 100));
        assert!(learn(Found::None, 2));
        assert!(!learn(Found::None, 1));
        // Three of four are too few, and where work never ends there is nothing to wait for.
        let mostly = [Found::InTime, Found::InTime, Found::InTime, Found::None];
        let busy = [Found::AtOnce, Found::InTime];
        let mut often = false;
        for at in 0..1_000 {
            often |= learn(mostly[at % mostly.len()], 1);
        }
        for at in 0..1_000 {
            often |= learn(busy[at % busy.len()], 1);
        }
        assert!(!often);
    }
}
