//! What an error tells of the store that it came from.

use std::error::Error;

use crate::store::{RetrieveError, StoreError, WriteError};

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
pub(super) trait Failure: Error + From<StoreError> + Send + 'static {
    /// The store's own failure, if it is one; else what the error tells of it.
    fn of_store(&self) -> Result<&StoreError, Tells>;

    /// What it tells of the store.
    fn tells(&self) -> Tells {
        match self.of_store() {
            Ok(StoreError::TimedOut { .. }) => Tells::Late,
            Ok(StoreError::Backend { transient: true, .. } | StoreError::Stopped { .. }) => Tells::Failed,
            Ok(
                StoreError::Busy { .. }
                | StoreError::Exhausted { .. }
                | StoreError::Connecting { .. }
                | StoreError::BreakerOpen { .. }
                | StoreError::Backend { .. },
            ) => Tells::Nothing,
            Ok(StoreError::NoRaw { .. }) => Tells::Answered,
            Err(tells) => tells,
        }
    }

    /// The store refuses, and will go on refusing until somebody mends it: a wrong password, tables that are not there.
    fn is_for_good(&self) -> bool {
        matches!(self.of_store(), Ok(StoreError::Backend { transient: false, .. }))
    }

    /// Whether the next attempt may go better, and is not made by a store that has too much to do already.
    fn may_be_tried_again(&self) -> bool {
        self.tells() == Tells::Failed
    }
}

impl Failure for RetrieveError {
    fn of_store(&self) -> Result<&StoreError, Tells> {
        match self {
            Self::Store(error) => Ok(error),
            Self::Deadline { .. } | Self::RawDeadline { .. } => Err(Tells::Late),
            Self::Unreadable(_) => Err(Tells::Answered),
        }
    }
}

impl Failure for WriteError {
    fn of_store(&self) -> Result<&StoreError, Tells> {
        match self {
            Self::Store(error) => Ok(error),
            Self::NotStorable { .. } | Self::RawNotStorable { .. } => Err(Tells::Answered),
        }
    }
}
