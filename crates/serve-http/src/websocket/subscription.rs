//! What one socket is subscribed to.

use std::sync::Arc;
use std::time::Duration;

use serve_app::changes::{Signal, Watch, made_from};
use serve_app::{Answered, Code, PredictRequest, ServiceError};
use serve_core::Digest;
use tokio::time::Instant;

use super::message::Id;

/// Answers about some entities that a client wants again and again.
pub(super) struct Subscription {
    pub(super) id: Id,
    /// Nothing: when features change.
    pub(super) interval: Option<Duration>,
    pub(super) targets: Vec<Target>,
    /// How often something was pushed.
    pub(super) sequence: u64,
}

/// One of the entities.
pub(super) struct Target {
    pub(super) request: PredictRequest<'static>,
    pub(super) signal: Arc<Signal>,
    /// None, where there is an interval.
    pub(super) watches: Vec<Watch>,
    /// The version that answered last.
    pub(super) version: Option<Digest>,
    /// What the last push told.
    pub(super) last: Option<Last>,
    /// When it is time again, where there is an interval.
    pub(super) due: Option<Instant>,
}

/// What a push told: the same once more is nothing new.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Last {
    /// A prediction from these rows by this version, as a number.
    Answer(u64),
    /// Why there is none.
    Error(Code),
}

impl Last {
    pub(super) fn of(answered: &Result<Answered, ServiceError>) -> Self {
        match answered {
            Ok(answered) => Self::Answer(made_from(answered)),
            Err(error) => Self::Error(error.code),
        }
    }
}

/// A push that is due.
pub(super) struct Due {
    pub(super) subscription: usize,
    pub(super) target: usize,
    /// Changes, or intervals, that it stands for besides the last.
    pub(super) left_out: u64,
}

/// Subscriptions in the order in which they were made.
#[derive(Default)]
pub(super) struct Subscriptions {
    pub(super) list: Vec<Subscription>,
    /// Where to look first for what is due, so that nobody is passed over for good.
    next: usize,
}

impl Subscriptions {
    pub(super) fn targets(&self) -> usize {
        self.list.iter().map(|subscription| subscription.targets.len()).sum()
    }

    pub(super) fn remove(&mut self, id: &Id) -> bool {
        let before = self.list.len();
        self.list.retain(|subscription| subscription.id != *id);
        self.list.len() < before
    }

    /// When the next interval ends.
    pub(super) fn next_due(&self) -> Option<Instant> {
        self.list.iter().flat_map(|subscription| &subscription.targets).filter_map(|target| target.due).min()
    }

    /// The next push that is due, taken: it is due no more.
    pub(super) fn take_due(&mut self, now: Instant) -> Option<Due> {
        let places: Vec<(usize, usize)> = self
            .list
            .iter()
            .enumerate()
            .flat_map(|(at, subscription)| (0..subscription.targets.len()).map(move |target| (at, target)))
            .collect();
        for step in 0..places.len() {
            let place = (self.next + step) % places.len();
            let (subscription, target) = places[place];
            if let Some(left_out) = self.list[subscription].take(target, now) {
                self.next = place + 1;
                return Some(Due { subscription, target, left_out });
            }
        }
        None
    }
}

impl Subscription {
    /// Whether a push is due, and how many others it stands for.
    fn take(&mut self, target: usize, now: Instant) -> Option<u64> {
        let target = &mut self.targets[target];
        let Some(interval) = self.interval else {
            return target.signal.take().checked_sub(1);
        };
        let due = target.due.filter(|due| *due <= now)?;
        // Those that passed while nothing could be sent are left out, and do not come in a burst.
        let late = now.duration_since(due).as_nanos() / interval.as_nanos().max(1);
        target.due = Some(due + interval.saturating_mul(u32::try_from(late + 1).unwrap_or(u32::MAX)));
        Some(u64::try_from(late).unwrap_or(u64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_that_passed_unsent_are_left_out() {
        let start = Instant::now();
        let target = |due| Target {
            request: PredictRequest::default(),
            signal: Signal::new(Arc::default()),
            watches: Vec::new(),
            version: None,
            last: None,
            due: Some(start + Duration::from_secs(due)),
        };
        let interval = Some(Duration::from_secs(10));
        let subscription =
            Subscription { id: Id::Number(1), interval, targets: vec![target(10), target(11)], sequence: 0 };
        let mut subscriptions = Subscriptions { list: vec![subscription], next: 0 };
        assert!(subscriptions.take_due(start).is_none());
        let late = start + Duration::from_secs(35);
        let taken = |due: Option<Due>| due.map(|due| (due.target, due.left_out));
        assert_eq!(taken(subscriptions.take_due(late)), Some((0, 2)));
        assert_eq!(taken(subscriptions.take_due(late)), Some((1, 2)));
        assert_eq!(taken(subscriptions.take_due(late)), None);
        assert_eq!(subscriptions.next_due(), Some(start + Duration::from_secs(40)));
        assert!(subscriptions.remove(&Id::Number(1)) && !subscriptions.remove(&Id::Number(1)));
    }
}
