//! The time of day at a moment of the clock that time is measured by. A request reads that clock several times, and to read the
//! time of day as well takes as long again: so each thread compares the two clocks a few times a second.

use std::cell::Cell;
use std::time::{Duration, Instant, SystemTime};

/// For how long the two clocks are taken to go alike. Whoever sets the time of day is noticed after this.
const ALIKE: Duration = Duration::from_millis(100);

/// Reading both takes less.
const AT_ONCE: Duration = Duration::from_micros(50);

thread_local! {
    /// A moment, and what it was since 1970.
    static COMPARED: Cell<Option<(Instant, Duration)>> = const { Cell::new(None) };
}

/// What it was at this moment since 1970 began, in UTC. Moments that are long past or to come are told by the clocks as they go
/// now.
#[must_use]
pub fn at(moment: Instant) -> Duration {
    let known = COMPARED.get().and_then(|(compared, since)| {
        let later = moment.checked_duration_since(compared)?;
        (later < ALIKE).then(|| since + later)
    });
    known.unwrap_or_else(|| compare(moment))
}

#[cold]
fn compare(moment: Instant) -> Duration {
    let both = || (Instant::now(), SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default());
    // A thread that had to wait between the two looks again, a few times.
    let (now, since) = (0..4).map(|_| both()).find(|(now, _)| now.elapsed() < AT_ONCE).unwrap_or_else(both);
    COMPARED.set(Some((now, since)));
    match moment.checked_duration_since(now) {
        Some(later) => since.saturating_add(later),
        None => since.saturating_sub(now.duration_since(moment)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_told_as_the_time_of_day_is() {
        let near = |a: Duration, b: Duration| a.abs_diff(b) < Duration::from_millis(50);
        let day = || SystemTime::UNIX_EPOCH.elapsed().expect("is after 1970");
        let now = Instant::now();
        assert!(near(at(now), day()), "{:?} {:?}", at(now), day());
        let hour = Duration::from_hours(1);
        // The clocks were compared since: what is between is exact.
        let first = at(now + Duration::from_millis(1));
        assert_eq!(at(now + Duration::from_millis(4)), first + Duration::from_millis(3));
        assert!(near(at(now + hour), day() + hour));
        assert!(now.checked_sub(hour).is_none_or(|past| near(at(past) + hour, day())));
    }
}
