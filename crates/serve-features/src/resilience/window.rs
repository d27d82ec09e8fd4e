//! How many of the events of the last while were marked, in constant memory: time is cut into slices that are thrown away
//! one by one, so a sum reaches back between nine tenths of the span and all of it.

use std::time::{Duration, Instant};

const SLICES: usize = 10;

/// Counts over the last `span`.
#[derive(Debug)]
pub(crate) struct SlidingWindow {
    origin: Instant,
    slice: Duration,
    slices: [Slice; SLICES],
}

#[derive(Debug, Clone, Copy, Default)]
struct Slice {
    number: u128,
    all: u64,
    marked: u64,
}

impl SlidingWindow {
    /// Nothing counted yet.
    pub(crate) fn new(span: Duration, now: Instant) -> Self {
        let slice = (span / SLICES as u32).max(Duration::from_micros(1));
        Self { origin: now, slice, slices: [Slice::default(); SLICES] }
    }

    /// Counts `all` events, of which `marked` are marked.
    pub(crate) fn add(&mut self, now: Instant, all: u64, marked: u64) {
        let number = self.number(now);
        let slice = &mut self.slices[(number % SLICES as u128) as usize];
        if slice.number < number {
            *slice = Slice { number, ..Slice::default() };
        }
        slice.all = slice.all.saturating_add(all);
        slice.marked = slice.marked.saturating_add(marked);
    }

    /// All events and the marked ones.
    pub(crate) fn sum(&self, now: Instant) -> (u64, u64) {
        let newest = self.number(now);
        let recent = self.slices.iter().filter(|slice| slice.number + SLICES as u128 > newest);
        recent.fold((0, 0), |(all, marked), slice| {
            (slice.all.saturating_add(all), slice.marked.saturating_add(marked))
        })
    }

    /// Forgets everything.
    pub(crate) fn clear(&mut self) {
        self.slices = [Slice::default(); SLICES];
    }

    fn number(&self, now: Instant) -> u128 {
        now.saturating_duration_since(self.origin).as_nanos() / self.slice.as_nanos()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn sums_are_those_of_the_events_of_the_last_slices(
            steps in prop::collection::vec((0_u64..2_500, 0_u64..3, 0_u64..3), 1..60),
        ) {
            let start = Instant::now();
            let mut window = SlidingWindow::new(Duration::from_secs(10), start);
            let (mut at, mut events) = (0, Vec::new());
            for (pause, all, marked) in steps {
                at += pause;
                let now = start + Duration::from_millis(at);
                window.add(now, all, marked);
                events.push((at, all, marked));
                let recent = events.iter().filter(|(then, ..)| then / 1_000 + 10 > at / 1_000);
                let expected = recent.fold((0, 0), |sum, (_, all, marked)| (sum.0 + all, sum.1 + marked));
                prop_assert_eq!(window.sum(now), expected);
            }
        }
    }
}
