//! Sending the answers of one turn of a loop together.
//!
//! A loop takes all requests that have come, and answers one after the other. The first answer wakes its client, and a client
//! on the same core comes in between at once, and goes back to sleep after it, and so at each answer: two switches of a core take
//! half as long as an answer. So where turns have several requests their answers wait until all are made, and go out one after
//! the other. Where a turn has one there is nothing to wait for, and where it has very many the first would wait for long.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

/// How many requests a turn has, where its answers wait for each other.
const SEVERAL: std::ops::RangeInclusive<u64> = 2..=64;

/// The turns of one loop.
#[derive(Debug, Default)]
pub(super) struct Turns {
    /// Requests until the last turn ended.
    before: AtomicU64,
    together: AtomicBool,
}

impl Turns {
    /// A turn ends; until now so many requests have come.
    pub(super) fn end(&self, begun: u64) {
        let some = begun - self.before.swap(begun, Relaxed);
        // A turn without any is one of a timer, and says nothing.
        if some > 0 {
            self.together.store(SEVERAL.contains(&some), Relaxed);
        }
    }

    /// Whether the answers of this turn wait for each other, as far as the last one tells.
    pub(super) fn are_together(&self) -> bool {
        self.together.load(Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_wait_where_the_turn_before_had_several() {
        let turns = Turns::default();
        assert!(!turns.are_together(), "nothing is known");
        for (begun, together) in
            [(1, false), (3, true), (3, true), (4, false), (4, false), (68, true), (133, false), (135, true)]
        {
            turns.end(begun);
            assert_eq!(turns.are_together(), together, "{begun}");
        }
    }
}
