//! How a new version is judged: what is found, and what is not found where there is nothing.

use std::time::Duration;

use serve_core::{Target, Task};
use serve_registry::guard::{GuardConfig, Tally, Verdict, judge};

fn classes(names: &[&str]) -> Target {
    let classes = names.iter().map(|name| (*name).to_owned()).collect();
    Target { name: "target".to_owned(), task: Task::Classification { classes } }
}

fn regression() -> Target {
    Target { name: "target".to_owned(), task: Task::Regression }
}

/// Uniform numbers in [0, 1), the same in every run: SplitMix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut x = self.0;
        x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((x ^ (x >> 31)) >> 11) as f64 / (1u64 << 53) as f64
    }
}

/// A version that fails a share of its rows, takes ten microseconds times `slow` or, once in a hundred, up to a
/// millisecond, and scores uniformly above `least`.
struct Version {
    errors: f64,
    slow: f64,
    least: f64,
}

const GOOD: Version = Version { errors: 0.0, slow: 1.0, least: 0.0 };

impl Version {
    fn asked(&self, rows: usize, random: &mut Random) -> Tally {
        let mut tally = Tally::new(&classes(&["down", "up"]));
        for _ in 0..rows {
            if random.next() < self.errors {
                tally.failed();
                continue;
            }
            let hiccup = if random.next() < 0.01 { 1e-3 * random.next() } else { 0.0 };
            let seconds = self.slow * (1e-5 * (1.0 + 0.1 * random.next()) + hiccup);
            let up = self.least + (1.0 - self.least) * random.next();
            tally.answered(Duration::from_secs_f64(seconds), &[1.0 - up, up]);
        }
        tally
    }
}

fn judged(old: &Version, new: &Version, rows: usize) -> Verdict {
    let mut random = Random(7);
    judge(&GuardConfig::default(), 1, &old.asked(rows, &mut random), &new.asked(rows, &mut random))
}

#[track_caller]
fn breach(verdict: Verdict) -> String {
    match verdict {
        Verdict::Breach { reason } => reason,
        other => unreachable!("no breach: {other}"),
    }
}

/// Independent samples, which is harder than the same rows for both. The exact size of the first look's test of errors
/// here is 0.00047 (a sum over both binomials of 1,000 rows at 5 %), so 4.7 breaches are expected of it; latencies that
/// hang on the rarest rows add less than that, and scores nothing.
#[test]
fn equal_versions_are_hardly_ever_taken_for_worse() {
    let same = Version { errors: 0.05, ..GOOD };
    let (config, mut random) = (GuardConfig::default(), Random(1));
    let mut found: Vec<String> = Vec::new();
    for _ in 0..10_000 {
        let verdict = judge(&config, 1, &same.asked(1000, &mut random), &same.asked(1000, &mut random));
        match verdict {
            Verdict::Breach { reason } => found.push(reason),
            other => assert!(matches!(other, Verdict::Keep(_)), "{other}"),
        }
    }
    let errors = found.iter().filter(|reason| reason.starts_with("errors")).count();
    assert!((1..=14).contains(&errors) && found.len() <= 20, "{found:#?}");
}

/// Five looks, at 1,000 rows and their doublings, at a confidence of 0.9.
#[test]
fn looking_again_and_again_does_not_find_more_than_one_look_may() {
    let config =
        GuardConfig { error_confidence: Some(0.9), latency_ratio: None, psi: None, ..GuardConfig::default() };
    let mut random = Random(2);
    let same = Version { errors: 0.3, ..GOOD };
    let breached = (0..400).filter(|_| {
        let (mut old, mut new) = (same.asked(0, &mut random), same.asked(0, &mut random));
        (1..=5).any(|look| {
            while old.rows() < 1000 << (look - 1) {
                for tally in [&mut old, &mut new] {
                    if random.next() < same.errors {
                        tally.failed();
                    } else {
                        tally.answered(Duration::from_micros(10), &[0.5, 0.5]);
                    }
                }
            }
            matches!(judge(&config, look, &old, &new), Verdict::Breach { .. })
        })
    });
    // 6.5 % of 400 are expected (simulated with NumPy), which is 26 with a standard deviation of 5; it would be 27.5 % if
    // each look were allowed 10 %.
    let breached = breached.count();
    assert!((6..=46).contains(&breached), "{breached}");
}

#[test]
fn a_version_that_errs_more_often_is_found() {
    let reason = breach(judged(&GOOD, &Version { errors: 0.05, ..GOOD }, 1000));
    assert!(reason.starts_with("errors ") && reason.contains("(before 0.00 %, z = "), "{reason}");
    assert!(matches!(judged(&Version { errors: 0.05, ..GOOD }, &GOOD, 1000), Verdict::Keep(_)));
    let refuses_all = breach(judged(&GOOD, &Version { errors: 1.0, ..GOOD }, 1000));
    assert_eq!(refuses_all, "errors 100.00 % (before 0.00 %, z = 44.72) (of 1000 rows)");
}

#[test]
fn a_slower_version_is_found_and_a_little_slower_one_is_not() {
    let reason = breach(judged(&GOOD, &Version { slow: 50.0, ..GOOD }, 1000));
    assert!(reason.contains(" is above 2 times "), "{reason}");
    assert!(matches!(judged(&GOOD, &Version { slow: 1.5, ..GOOD }, 1000), Verdict::Keep(_)));
    assert!(matches!(judged(&Version { slow: 50.0, ..GOOD }, &GOOD, 1000), Verdict::Keep(_)));
}

/// The p99 of a thousand rows hangs on ten of them: eleven slow rows make a ratio of a hundred and no breach, 40 do.
#[test]
fn a_ratio_that_hangs_on_a_few_rows_is_no_breach() {
    let tally = |slow: usize| {
        let mut tally = Tally::new(&regression());
        for row in 0..1000 {
            let micros = if row < slow { 1000 } else { 10 };
            tally.answered(Duration::from_micros(micros), &[f64::from(u16::try_from(row).expect("small"))]);
        }
        tally
    };
    let config = GuardConfig::default();
    let Verdict::Keep(found) = judge(&config, 1, &tally(10), &tally(11)) else { panic!("a breach") };
    assert_eq!((found.old_p99_seconds, found.new_p99_seconds), (Some(1e-5), Some(1e-3)));
    let reason = breach(judge(&config, 1, &tally(10), &tally(40)));
    assert_eq!(reason, "p99 1000.0 µs is above 2 times 10.0 µs of the version before (of 1000 rows)");
}

#[test]
fn nanoseconds_are_not_compared() {
    let tally = |nanos: u64| {
        let mut tally = Tally::new(&regression());
        (0..1000).for_each(|_| tally.answered(Duration::from_nanos(nanos), &[1.0]));
        tally
    };
    let verdict = |old, new| judge(&GuardConfig::default(), 1, &tally(old), &tally(new));
    assert!(matches!(verdict(40, 1900), Verdict::Keep(_)));
    assert!(matches!(verdict(40, 2100), Verdict::Breach { .. }));
}

#[test]
fn a_version_that_scores_otherwise_is_found() {
    let reason = breach(judged(&GOOD, &Version { least: 0.5, ..GOOD }, 1000));
    assert!(reason.starts_with("PSI ") && reason.contains(" of up is above 0.25"), "{reason}");
    let Verdict::Keep(found) = judged(&GOOD, &Version { least: 0.05, ..GOOD }, 1000) else {
        panic!("a breach")
    };
    assert!(found.psi.is_some_and(|psi| psi > 0.0 && psi < 0.25), "{found}");
}

#[test]
fn of_several_classes_the_one_that_moved_most_is_told() {
    let tally = |moved: f64| {
        let (mut tally, mut random) = (Tally::new(&classes(&["a", "b", "c"])), Random(3));
        for _ in 0..1000 {
            let (a, b) = (0.3 * random.next(), 0.3 * random.next() + moved);
            tally.answered(Duration::from_micros(5), &[a, b, 1.0 - a - b]);
        }
        tally
    };
    let reason = breach(judge(&GuardConfig::default(), 1, &tally(0.0), &tally(0.2)));
    assert!(reason.contains(" of b is above "), "{reason}");
}

#[test]
fn another_number_of_scores_is_a_breach_by_itself() {
    let judged =
        |old: &Target, new: &Target| judge(&GuardConfig::default(), 1, &Tally::new(old), &Tally::new(new));
    let reason = breach(judged(&classes(&["a", "b"]), &classes(&["a", "b", "c"])));
    assert_eq!(
        reason,
        "it is a classification with 3 scores, the version before a classification with 2 scores"
    );
    breach(judged(&regression(), &classes(&["a"])));
    let same = judged(&classes(&["a", "b"]), &classes(&["c", "d"]));
    assert_eq!(same, Verdict::TooFew { rows: 0, needed: 1000 });
}

#[test]
fn too_few_rows_are_not_judged_and_every_breach_is_told() {
    let bad = Version { errors: 0.5, slow: 50.0, least: 0.9 };
    assert_eq!(judged(&GOOD, &bad, 999), Verdict::TooFew { rows: 999, needed: 1000 });
    let reason = breach(judged(&GOOD, &bad, 1000));
    for part in ["errors ", "p99 ", "PSI "] {
        assert!(reason.contains(part), "{reason}");
    }
    let off =
        GuardConfig { error_confidence: None, latency_ratio: None, psi: None, ..GuardConfig::default() };
    let (old, new) = (GOOD.asked(1000, &mut Random(4)), bad.asked(1000, &mut Random(4)));
    assert!(matches!(judge(&off, 1, &old, &new), Verdict::Keep(_)));
}

#[test]
fn scores_that_are_no_numbers_are_errors() {
    let mut tally = Tally::new(&classes(&["a", "b"]));
    for scores in [&[0.5, f64::NAN][..], &[f64::INFINITY, 0.0], &[1.0]] {
        tally.answered(Duration::from_micros(1), scores);
    }
    assert_eq!((tally.rows(), tally.errors()), (3, 3));
}
