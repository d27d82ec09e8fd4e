//! The breaker by itself, its clock moved by hand, and against a naive model that keeps every event.

use proptest::prelude::*;

use super::*;
use crate::config::Share;

fn config() -> BreakerConfig {
    BreakerConfig {
        window: Duration::from_secs(10),
        minimum_calls: 4,
        failure_rate: Share::HALF,
        consecutive_failures: 3,
        cooldown: Duration::from_secs(1),
        max_cooldown: Duration::from_secs(5),
        probes: 2,
    }
}

fn breaker(now: Instant) -> Breaker {
    Breaker::new(config(), now, || 0.0)
}

fn call(breaker: &Breaker, now: Instant, failed: bool) {
    let permit = breaker.acquire(now).expect("passes");
    if failed { permit.failed(now, "refused".to_owned()) } else { permit.answered(now) }
}

fn fail(breaker: &Breaker, now: Instant, times: usize) {
    (0..times).for_each(|_| call(breaker, now, true));
}

#[test]
fn failures_in_a_row_open_it_and_a_success_between_them_does_not() {
    let now = Instant::now();
    let breaker = breaker(now);
    fail(&breaker, now, 2);
    call(&breaker, now, false);
    assert_eq!(breaker.health(now).state, BreakerState::Closed);
    assert_eq!(breaker.health(now).last_failed, Some(false));
    let breaker = super::tests::breaker(now);
    fail(&breaker, now, 3);
    let health = breaker.health(now + Duration::from_millis(400));
    assert_eq!((health.state, health.opened), (BreakerState::Open, 1));
    assert_eq!(health.retry_after, Some(Duration::from_millis(600)));
    assert_eq!(health.since, Duration::from_millis(400));
    assert_eq!(health.last_error, Some(("refused".to_owned(), Duration::from_millis(400))));
    assert_eq!(breaker.acquire(now).err(), Some(Duration::from_secs(1)));
}

#[test]
fn a_share_of_failures_opens_it_once_there_were_enough_calls() {
    let now = Instant::now();
    let breaker = breaker(now);
    for failed in [true, false, true] {
        call(&breaker, now, failed);
    }
    // Two of three are more than half, and three calls are too few.
    assert_eq!(breaker.health(now).state, BreakerState::Closed);
    call(&breaker, now, false);
    assert_eq!(breaker.health(now).state, BreakerState::Closed, "a success opens nothing");
    call(&breaker, now, true);
    assert_eq!(breaker.health(now).state, BreakerState::Open);
}

#[test]
fn what_is_older_than_the_window_does_not_count() {
    let start = Instant::now();
    let breaker = breaker(start);
    fail(&breaker, start, 2);
    call(&breaker, start, false);
    let later = start + Duration::from_secs(10);
    assert_eq!(breaker.health(later).calls, 0);
    for failed in [false, false, false, true] {
        call(&breaker, later, failed);
    }
    let health = breaker.health(later);
    assert_eq!((health.state, health.calls, health.failures), (BreakerState::Closed, 4, 1));
}

#[test]
fn probes_are_few_and_close_it_when_all_succeed() {
    let start = Instant::now();
    let breaker = breaker(start);
    fail(&breaker, start, 3);
    let now = start + Duration::from_secs(1);
    assert_eq!(breaker.refuses(now), None);
    let (one, two) = (breaker.acquire(now).expect("probes"), breaker.acquire(now).expect("probes"));
    assert_eq!(breaker.health(now).state, BreakerState::HalfOpen);
    assert!(breaker.acquire(now).is_err() && breaker.refuses(now).is_some());
    one.answered(now);
    assert_eq!(breaker.health(now).state, BreakerState::HalfOpen);
    two.answered(now);
    let health = breaker.health(now);
    assert_eq!((health.state, health.calls), (BreakerState::Closed, 0));
}

#[test]
fn a_probe_that_is_given_up_makes_room_for_another() {
    let start = Instant::now();
    let breaker = breaker(start);
    fail(&breaker, start, 3);
    let now = start + Duration::from_secs(1);
    let (one, two) = (breaker.acquire(now).expect("probes"), breaker.acquire(now).expect("probes"));
    drop(one);
    let three = breaker.acquire(now).expect("takes the place");
    two.answered(now);
    three.answered(now);
    assert_eq!(breaker.health(now).state, BreakerState::Closed);
}

#[test]
fn the_cooldown_doubles_up_to_its_cap_and_begins_anew_once_closed() {
    let mut now = Instant::now();
    let breaker = breaker(now);
    fail(&breaker, now, 3);
    for seconds in [1, 2, 4, 5, 5] {
        let wait = Duration::from_secs(seconds);
        assert_eq!(breaker.health(now).retry_after, Some(wait));
        let before = Duration::from_nanos(1_000_000_000 * seconds - 1);
        assert_eq!(breaker.acquire(now + before).err(), Some(Duration::from_nanos(1)));
        now += wait;
        call(&breaker, now, true);
    }
    now += Duration::from_secs(5);
    call(&breaker, now, false);
    call(&breaker, now, false);
    fail(&breaker, now, 3);
    assert_eq!(breaker.health(now).retry_after, Some(Duration::from_secs(1)));
}

#[test]
fn chance_takes_a_quarter_of_the_cooldown_at_most() {
    let now = Instant::now();
    let breaker = Breaker::new(config(), now, || 1.0);
    fail(&breaker, now, 3);
    assert_eq!(breaker.health(now).retry_after, Some(Duration::from_millis(750)));
}

#[test]
fn a_call_that_began_before_it_opened_says_nothing_any_more() {
    let start = Instant::now();
    let breaker = breaker(start);
    let old = breaker.acquire(start).expect("passes");
    let older = breaker.acquire(start).expect("passes");
    fail(&breaker, start, 3);
    old.answered(start);
    assert_eq!(breaker.health(start).state, BreakerState::Open);
    let now = start + Duration::from_secs(1);
    let _probe = breaker.acquire(now).expect("probes");
    older.failed(now, "late".to_owned());
    assert_eq!(breaker.health(now).state, BreakerState::HalfOpen);
}

/// What can happen to a breaker.
#[derive(Debug, Clone, Copy)]
enum Step {
    Pause(u64),
    Begin,
    Answer(usize),
    Fail(usize),
    GiveUp(usize),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => prop_oneof![0_u64..300, 900_u64..6_000].prop_map(Step::Pause),
        6 => Just(Step::Begin),
        2 => any::<usize>().prop_map(Step::Answer),
        5 => any::<usize>().prop_map(Step::Fail),
        1 => any::<usize>().prop_map(Step::GiveUp),
    ]
}

/// The same rules over a list of all that happened. Milliseconds since the start.
#[derive(Default)]
struct Model {
    /// When calls ended since it was last closed, and whether they failed.
    ended: Vec<(u64, bool)>,
    open_until: Option<u64>,
    half_open: Option<(u32, u32)>,
    trips: u32,
    era: u32,
}

impl Model {
    fn acquire(&mut self, at: u64) -> Option<u32> {
        if let Some(until) = self.open_until {
            if at < until {
                return None;
            }
            (self.open_until, self.half_open) = (None, Some((0, 0)));
            self.era += 1;
        }
        if let Some((under_way, succeeded)) = &mut self.half_open {
            if *under_way + *succeeded == 2 {
                return None;
            }
            *under_way += 1;
        }
        Some(self.era)
    }

    fn end(&mut self, era: u32, at: u64, failed: Option<bool>) {
        if era != self.era {
            return;
        }
        let Some(failed) = failed else {
            if let Some((under_way, _)) = &mut self.half_open {
                *under_way -= 1;
            }
            return;
        };
        self.ended.push((at, failed));
        let recent: Vec<bool> = self
            .ended
            .iter()
            .filter(|(then, _)| then / 1_000 + 10 > at / 1_000)
            .map(|(_, failed)| *failed)
            .collect();
        let failures = recent.iter().filter(|failed| **failed).count();
        let in_a_row = self.ended.iter().rev().take_while(|(_, failed)| *failed).count();
        let opens = match &mut self.half_open {
            Some(_) => failed,
            None => failed && (in_a_row >= 3 || (recent.len() >= 4 && 2 * failures >= recent.len())),
        };
        if opens {
            self.open_until = Some(at + (1_000 << self.trips).min(5_000));
            (self.half_open, self.trips, self.era) = (None, self.trips + 1, self.era + 1);
        } else if let Some((under_way, succeeded)) = &mut self.half_open {
            (*under_way, *succeeded) = (*under_way - 1, *succeeded + 1);
            if *succeeded == 2 {
                *self = Self { era: self.era + 1, ..Self::default() };
            }
        }
    }
}

proptest! {
    #[test]
    fn it_lets_through_what_the_model_does(steps in prop::collection::vec(step(), 1..200)) {
        let start = Instant::now();
        let breaker = breaker(start);
        let (mut model, mut at, mut under_way) = (Model::default(), 0, Vec::new());
        for step in steps {
            let now = start + Duration::from_millis(at);
            let pick = |i: usize, calls: &mut Vec<(Permit<'_>, u32)>| {
                (!calls.is_empty()).then(|| i % calls.len())
            };
            match step {
                Step::Pause(pause) => at += pause,
                Step::Begin => {
                    let permit = breaker.acquire(now).ok();
                    let expected = model.acquire(at);
                    prop_assert_eq!(permit.is_some(), expected.is_some(), "at {} ms", at);
                    under_way.extend(permit.zip(expected));
                }
                Step::Answer(i) => if let Some(i) = pick(i, &mut under_way) {
                    let (permit, era) = under_way.swap_remove(i);
                    permit.answered(now);
                    model.end(era, at, Some(false));
                }
                Step::Fail(i) => if let Some(i) = pick(i, &mut under_way) {
                    let (permit, era) = under_way.swap_remove(i);
                    permit.failed(now, String::new());
                    model.end(era, at, Some(true));
                }
                Step::GiveUp(i) => if let Some(i) = pick(i, &mut under_way) {
                    let (permit, era) = under_way.swap_remove(i);
                    drop(permit);
                    model.end(era, at, None);
                }
            }
            let state = match (&model.half_open, model.open_until) {
                (Some(_), _) => BreakerState::HalfOpen,
                (None, Some(_)) => BreakerState::Open,
                (None, None) => BreakerState::Closed,
            };
            prop_assert_eq!(breaker.health(now).state, state);
        }
    }
}
