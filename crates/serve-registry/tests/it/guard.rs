//! The thread of a guard: what it asks, when it ends, and that it keeps nobody waiting and nothing loaded.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Barrier, Weak};
use std::time::Duration;

use serve_core::EngineLoader;
use serve_registry::guard::{Guard, GuardConfig, Question, Reply, Verdict};
use serve_registry::{Deployment, Storage};

use crate::shop::{Shop, bundle, eventually, freed, model, version};

/// A window that no test outlasts.
const LONG: Duration = Duration::from_secs(3600);

fn config() -> GuardConfig {
    // Latencies are judged in `guard_judge`, where no other test takes the processor away.
    GuardConfig { window: LONG, latency_ratio: None, ..GuardConfig::default() }
}

/// The versions `v1`, and `v2` that answers as its intercept says.
fn versions(intercept: f64) -> (Arc<Deployment>, Arc<Deployment>) {
    let shop = Shop::with(&["v1"]);
    shop.directory.publish(&bundle("v2", intercept), "test").expect("published");
    let load = |text| {
        let loaded = Deployment::load(&shop.directory, &EngineLoader, &model(), &version(text));
        Arc::new(loaded.expect("loads"))
    };
    (load("v1"), load("v2"))
}

fn start(
    config: GuardConfig,
    old: &Arc<Deployment>,
    new: &Arc<Deployment>,
) -> (Arc<Guard>, Receiver<Verdict>) {
    let (sender, verdicts) = channel();
    let tell = move |verdict| sender.send(verdict).expect("heard");
    (Guard::start(config, old, new, Box::new(tell)).expect("a thread"), verdicts)
}

fn predicted(deployment: &Deployment, row: [f64; 2]) -> Reply {
    deployment.pipeline().predict(&row).map_or(Reply::Error, Reply::Answer)
}

fn is_new(deployment: &Deployment) -> bool {
    deployment.manifest().version.as_str() == "v2"
}

/// Offers rows, every one until there is room for it, until there is a verdict.
fn verdict(guard: &Guard, verdicts: &Receiver<Verdict>, ask: fn(&Deployment, [f64; 2]) -> Reply) -> Verdict {
    let mut next = 0u32;
    loop {
        let row = [f64::from(next % 100) / 25.0 - 2.0, f64::from(next % 7) / 7.0];
        if guard.offer(|| Box::new(move |deployment| ask(deployment, row))) {
            next += 1;
        } else {
            std::thread::yield_now();
        }
        if let Ok(verdict) = verdicts.try_recv() {
            return verdict;
        }
    }
}

#[track_caller]
fn breach(verdict: Verdict) -> String {
    match verdict {
        Verdict::Breach { reason } => reason,
        other => unreachable!("no breach: {other}"),
    }
}

#[test]
fn a_version_that_answers_otherwise_is_in_breach() {
    let (old, new) = versions(5.0);
    let (guard, verdicts) = start(config(), &old, &new);
    let reason = breach(verdict(&guard, &verdicts, predicted));
    assert!(reason.starts_with("PSI ") && reason.contains(" of up is above 0.25"), "{reason}");
    assert!(!guard.is_open());
    let shown = guard.snapshot();
    assert_eq!((shown.old.as_str(), shown.new.as_str(), shown.open), ("v1", "v2", false));
    assert!(shown.found.rows >= 1000 && shown.found.psi.is_some_and(|psi| psi > 0.25), "{shown:?}");
}

#[test]
fn a_version_that_refuses_rows_or_panics_is_in_breach() {
    let refusing = |deployment: &Deployment, row: [f64; 2]| {
        if is_new(deployment) && row[1] == 0.0 { Reply::Error } else { predicted(deployment, row) }
    };
    let panicking = |deployment: &Deployment, row: [f64; 2]| {
        if is_new(deployment) && row[1] == 0.0 {
            // As `panic!`, without the hook that prints.
            std::panic::resume_unwind(Box::new("the new version panics"));
        }
        predicted(deployment, row)
    };
    for ask in [refusing as fn(&Deployment, [f64; 2]) -> Reply, panicking] {
        let (old, new) = versions(1.0);
        let (guard, verdicts) = start(config(), &old, &new);
        let reason = breach(verdict(&guard, &verdicts, ask));
        // 143 of the first thousand numbers are divisible by seven.
        assert!(reason.starts_with("errors 14.30 % (before 0.00 %, z = "), "{reason}");
    }
}

/// 2,500 rows are looked at twice.
#[test]
fn an_equal_version_is_watched_on() {
    let (old, new) = versions(1.0);
    let (guard, verdicts) = start(config(), &old, &new);
    let offer = |ask: fn(&Deployment) -> Reply| guard.offer(|| Box::new(ask));
    while guard.snapshot().found.rows < 2500 {
        offer(|deployment| predicted(deployment, [0.5, 1.0]));
        offer(|deployment| if is_new(deployment) { Reply::Unknown } else { Reply::Error });
    }
    let shown = guard.snapshot();
    assert_eq!((shown.found.psi, shown.found.old_error_rate), (Some(0.0), 0.0), "unknown rows do not count");
    assert!(shown.open && verdicts.try_recv().is_err());
}

/// On a machine that is busy a short window may pass before anything was asked, so longer ones are tried.
#[test]
fn an_equal_version_is_kept_at_the_end_of_the_window() {
    let kept = [50, 500, 5000, 50_000].into_iter().find_map(|millis| {
        let (old, new) = versions(1.0);
        let window = Duration::from_millis(millis);
        let short = GuardConfig { window, min_rows: 10.try_into().expect("not zero"), ..config() };
        let (guard, verdicts) = start(short, &old, &new);
        match verdict(&guard, &verdicts, predicted) {
            Verdict::Keep(found) => Some(found),
            Verdict::TooFew { .. } => None,
            other => unreachable!("{other}"),
        }
    });
    let kept = kept.expect("something is asked in 50 seconds");
    assert!(kept.rows >= 10 && kept.psi == Some(0.0) && kept.new_error_rate == 0.0, "{kept}");
}

#[test]
fn a_window_that_nobody_asks_in_ends_unjudged() {
    let (old, new) = versions(1.0);
    let (guard, verdicts) = start(GuardConfig { window: Duration::from_millis(1), ..config() }, &old, &new);
    assert_eq!(verdicts.recv(), Ok(Verdict::TooFew { rows: 0, needed: 1000 }));
    assert!(!guard.offer(|| unreachable!("nobody asks")));
}

/// The thread is held in a question while the queue fills up.
#[test]
fn what_finds_no_room_is_not_even_made() {
    let (old, new) = versions(1.0);
    let (guard, _verdicts) = start(config(), &old, &new);
    let (entered, held) = (Arc::new(Barrier::new(2)), Arc::new(Barrier::new(2)));
    let barriers = (Arc::clone(&entered), Arc::clone(&held));
    assert!(guard.offer(|| {
        Box::new(move |deployment| {
            if is_new(deployment) {
                barriers.0.wait();
                barriers.1.wait();
            }
            predicted(deployment, [0.0, 0.0])
        })
    }));
    entered.wait();
    let made = AtomicUsize::new(0);
    let question = || -> Question {
        made.fetch_add(1, Ordering::Relaxed);
        Box::new(|deployment| predicted(deployment, [0.0, 0.0]))
    };
    let taken = (0..1000).filter(|_| guard.offer(question)).count();
    assert_eq!((taken, made.load(Ordering::Relaxed)), (256, 256));
    assert_eq!((guard.snapshot().dropped, guard.snapshot().found.rows), (744, 0));
    held.wait();
    eventually("the questions are asked", || guard.snapshot().found.rows == 257);
    assert!(guard.offer(question));
}

#[test]
fn a_guard_that_is_closed_or_dropped_says_nothing() {
    for close in [true, false] {
        let (old, new) = versions(9.0);
        let (guard, verdicts) = start(config(), &old, &new);
        assert!(guard.offer(|| Box::new(|deployment| predicted(deployment, [0.0, 0.0]))));
        if close {
            guard.close();
        }
        let kept = close.then_some(guard);
        assert!(verdicts.recv().is_err(), "the callback is gone, and was not called");
        assert!(kept.is_none_or(|guard| !guard.is_open()));
    }
}

#[test]
fn a_guard_keeps_no_version_loaded() {
    let (old, new) = versions(1.0);
    let watched: [Weak<Deployment>; 2] = [Arc::downgrade(&old), Arc::downgrade(&new)];
    let (guard, verdicts) = start(config(), &old, &new);
    guard.offer(|| Box::new(|deployment| predicted(deployment, [0.0, 0.0])));
    drop((old, new));
    eventually("both versions are freed", || watched.iter().all(freed));
    assert!(verdicts.recv().is_err(), "there is nobody left to judge");
    assert!(!guard.is_open());
}
