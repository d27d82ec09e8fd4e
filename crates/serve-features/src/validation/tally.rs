//! Counts by feature. Null rates are those of the last five minutes; the other counts begin with the process.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serve_core::Value;
use tokio::time::Instant;

use super::is_missing;
use super::rule::{Violation, ViolationKind};
use crate::resilience::SlidingWindow;

/// The time over which null rates are counted.
const WINDOW: Duration = Duration::from_mins(5);

/// One set's counts.
#[derive(Debug)]
pub(crate) struct Tally(Mutex<Vec<Counts>>);

#[derive(Debug)]
struct Counts {
    counted: Tallied,
    nulls: SlidingWindow,
}

/// What was counted of one feature.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Tallied {
    pub(crate) values: u64,
    pub(crate) nulls: u64,
    pub(crate) wrong_type: u64,
    pub(crate) out_of_range: u64,
    /// Values and missing ones of the window.
    pub(crate) recent: (u64, u64),
}

/// A tally while a row is counted.
pub(crate) struct Counting<'a> {
    counts: MutexGuard<'a, Vec<Counts>>,
    now: std::time::Instant,
}

impl Tally {
    pub(crate) fn new(features: usize) -> Self {
        let now = Instant::now().into_std();
        let counts = || Counts { counted: Tallied::default(), nulls: SlidingWindow::new(WINDOW, now) };
        Self(Mutex::new((0..features).map(|_| counts()).collect()))
    }

    /// Counts a row, under one lock.
    pub(crate) fn begin(&self) -> Counting<'_> {
        Counting { counts: self.lock(), now: Instant::now().into_std() }
    }

    /// What was counted of a feature.
    pub(crate) fn read(&self, feature: usize) -> Tallied {
        let now = Instant::now().into_std();
        let read = |counts: &Counts| Tallied { recent: counts.nulls.sum(now), ..counts.counted };
        self.lock().get(feature).map(read).unwrap_or_default()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Counts>> {
        // A count is one addition.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Counting<'_> {
    /// Counts one value.
    pub(crate) fn count(&mut self, feature: usize, value: &Value<'_>, violation: Option<&Violation>) {
        let Some(Counts { counted, nulls }) = self.counts.get_mut(feature) else { return };
        let missing = is_missing(value);
        counted.values += 1;
        counted.nulls += u64::from(missing);
        nulls.add(self.now, 1, u64::from(missing));
        match violation.map(|violation| &violation.kind) {
            Some(ViolationKind::Type { .. } | ViolationKind::NumberAsText { .. }) => counted.wrong_type += 1,
            Some(ViolationKind::Range { .. }) => counted.out_of_range += 1,
            Some(ViolationKind::Missing | ViolationKind::Unknown { .. }) | None => {}
        }
    }
}
