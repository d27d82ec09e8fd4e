//! New ids of requests and predictions: UUIDs of version 7, of which the first 60 bits are the time in 4096ths of a millisecond
//! (RFC 9562, section 6.2, method 3) and the rest is chance. Those of one thread rise; threads share nothing, since every
//! request takes an id or two.

use std::cell::Cell;
use std::time::Instant;

use serve_app::wall;
use uuid::{Builder, Uuid};

thread_local! {
    /// The time in this thread's last id.
    static LAST: Cell<u64> = const { Cell::new(0) };
}

/// An id that nothing else has.
pub(crate) fn new() -> Uuid {
    at(Instant::now())
}

/// An id of this moment that nothing else has.
pub(crate) fn at(moment: Instant) -> Uuid {
    let since = wall::at(moment);
    let milliseconds = since.as_secs() * 1_000 + u64::from(since.subsec_millis());
    let fraction = u64::from(since.subsec_nanos() % 1_000_000) * 4_096 / 1_000_000;
    let time = (milliseconds << 12 | fraction).max(LAST.get() + 1);
    LAST.set(time);
    let [.., first, second] = time.to_be_bytes();
    let mut rest = [0; 10];
    rest[..2].copy_from_slice(&[first, second]);
    rest[2..].copy_from_slice(&fastrand::u64(..).to_ne_bytes());
    Builder::from_unix_timestamp_millis(time >> 12, &rest).into_uuid()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn ids_of_a_thread_rise_and_those_of_others_differ() {
        let mine: Vec<Uuid> = (0..1000).map(|_| new()).collect();
        assert!(mine.is_sorted_by(|a, b| a < b));
        assert!(mine.iter().all(|id| id.get_version_num() == 7));
        let other = std::thread::spawn(new).join().expect("it ends");
        assert!(!mine.contains(&other));
    }

    #[test]
    fn an_id_tells_when_it_was_made() {
        let milliseconds = |id: Uuid| (id.as_u128() >> 80) as u64;
        let clock = || u64::try_from(jiff::Timestamp::now().as_millisecond()).expect("is after 1970");
        let (before, id, after) = (clock(), new(), clock());
        assert!((before.saturating_sub(1)..=after + 1).contains(&milliseconds(id)), "{before} {id} {after}");
        // The order of a thread's ids goes before their times.
        let earlier = at(Instant::now().checked_sub(Duration::from_secs(1)).expect("is after the start"));
        assert!(earlier > id);
    }
}
