//! What an error tells of the store that it came from.

use std::error::Error;
use std::time::Duration;

use crate::store::{RetrieveError, WriteError};

/// What an error tells of the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tells {
    /// It works: it said what is wrong with the request or the row.
    Answered,
    /// It does not.
    Failed,
    /// It took longer than its caller would wait.
    Late,
    /// It has too much to do, or something that no other request need meet.
    Nothing,
}

/// An error that can also be made here.
pub(super) trait Failure: Error + Send {
    /// Too many calls.
    fn busy(store: &'static str, waiting: usize) -> Self;
    /// No answer in time.
    fn timed_out(store: &'static str, waited: Duration) -> Self;
    /// The breaker is open.
    fn open(store: &'static str, retry_after: Duration) -> Self;
    /// What it tells of the store.
    fn tells(&self) -> Tells;

    /// The store refuses, and will go on refusing until somebody mends it: a wrong password, tables that are not there.
    fn is_for_good(&self) -> bool;

    /// Whether the next attempt may go better, and is not made by a store that has too much to do already.
    fn may_be_tried_again(&self) -> bool {
        self.tells() == Tells::Failed
    }

    /// The error with its causes, for the health page.
    fn chain(&self) -> String
    where
        Self: Sized,
    {
        let mut text = self.to_string();
        let mut cause = self.source();
        while let Some(error) = cause {
            text = format!("{text}: {error}");
            cause = error.source();
        }
        text
    }
}

impl Failure for RetrieveError {
    fn busy(store: &'static str, waiting: usize) -> Self {
        Self::Busy { store, waiting }
    }

    fn timed_out(store: &'static str, waited: Duration) -> Self {
        Self::TimedOut { store, waited }
    }

    fn open(store: &'static str, retry_after: Duration) -> Self {
        Self::BreakerOpen { store, retry_after }
    }

    fn is_for_good(&self) -> bool {
        matches!(self, Self::Backend { transient: false, .. })
    }

    fn tells(&self) -> Tells {
        match self {
            Self::Deadline { .. } | Self::RawDeadline { .. } | Self::TimedOut { .. } => Tells::Late,
            Self::Backend { transient: true, .. } | Self::Stopped { .. } => Tells::Failed,
            Self::Busy { .. }
            | Self::Exhausted { .. }
            | Self::Connecting { .. }
            | Self::BreakerOpen { .. }
            | Self::Backend { .. } => Tells::Nothing,
            Self::NoRaw { .. } | Self::Corrupt { .. } => Tells::Answered,
        }
    }
}

impl Failure for WriteError {
    fn busy(store: &'static str, waiting: usize) -> Self {
        Self::Busy { store, waiting }
    }

    fn timed_out(store: &'static str, waited: Duration) -> Self {
        Self::TimedOut { store, waited }
    }

    fn open(store: &'static str, retry_after: Duration) -> Self {
        Self::BreakerOpen { store, retry_after }
    }

    fn is_for_good(&self) -> bool {
        matches!(self, Self::Backend { transient: false, .. })
    }

    fn tells(&self) -> Tells {
        match self {
            Self::TimedOut { .. } => Tells::Late,
            Self::Backend { transient: true, .. } | Self::Stopped { .. } => Tells::Failed,
            Self::Busy { .. }
            | Self::Exhausted { .. }
            | Self::Connecting { .. }
            | Self::BreakerOpen { .. }
            | Self::Backend { .. } => Tells::Nothing,
            Self::NoRaw { .. } | Self::NotStorable { .. } | Self::RawNotStorable { .. } => Tells::Answered,
        }
    }
}
