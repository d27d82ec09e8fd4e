//! Guard windows of a registry: what opens them, what closes them, and what they leave in the history.

use std::sync::Arc;
use std::time::Duration;

use serve_core::Alias;
use serve_registry::aliases::{Action, Move};
use serve_registry::guard::GuardConfig;
use serve_registry::{Registry, Storage};

use crate::shop::{Shop, Watched, bundle, eventually, freed, model, reference, served, version};

/// A window that no test outlasts, and one that is over at once. Latencies are judged in `guard_judge`.
const LONG: Duration = Duration::from_secs(3600);
const SHORT: Duration = Duration::from_millis(1);

fn guarded(shop: &Shop, loader: &Watched, window: Duration) -> Registry {
    let guard = GuardConfig { window, latency_ratio: None, ..GuardConfig::default() };
    shop.with_options(loader, |options| options.guard = guard)
}

fn promote(registry: &Registry, to: &str) {
    registry.promote(&model(), &version(to), &Alias::champion(), "test").expect("moved");
}

/// The newest move of the champion.
fn newest(registry: &Registry) -> Move {
    let model = registry.model("m").expect("known");
    model.aliases.history("champion").last().expect("a history").clone()
}

/// Predicts as a program does that embeds the registry, until the guard has written into the history.
fn judged(registry: &Registry) -> Move {
    let handle = registry.handle("m").expect("known");
    eventually("the guard judges", || {
        for row in 0..100 {
            handle.predict(&[f64::from(row) / 25.0 - 2.0, 0.5]).expect("answered");
        }
        newest(registry).by == "guard"
    });
    newest(registry)
}

#[test]
fn a_breach_goes_back_to_what_is_still_loaded() {
    let shop = Shop::with(&["v1", "v5"]);
    let loader = Watched::default();
    let registry = guarded(&shop, &loader, LONG);
    promote(&registry, "v5");
    assert_eq!(served(&registry, "m"), "v5");
    let shown = registry.guard("m").expect("a window is open").snapshot();
    assert_eq!((shown.old.as_str(), shown.new.as_str()), ("v1", "v5"));
    let step = judged(&registry);
    assert_eq!((step.action, served(&registry, "m").as_str()), (Action::Rollback, "v1"));
    let why = step.why.expect("the history says why");
    assert!(why.starts_with("breach in the guard window: PSI ") && why.ends_with(" rows)"), "{why}");
    assert_eq!(loader.loads(), ["v1", "v5"], "going back loads nothing");
    assert!(registry.guard("m").is_none(), "a rollback opens no window");
}

#[test]
fn an_equal_version_is_watched_until_another_change_closes_the_window() {
    let shop = Shop::with(&["v1"]);
    ["v2", "v3"].iter().for_each(|to| shop.directory.publish(&bundle(to, 1.0), "test").expect("published"));
    let registry = guarded(&shop, &Watched::default(), LONG);
    promote(&registry, "v2");
    let first = registry.guard("m").expect("a window is open");
    let handle = registry.handle("m").expect("known");
    eventually("a thousand rows are asked", || {
        (0..100).for_each(|row| drop(handle.predict(&[f64::from(row), 0.5]).expect("answered")));
        first.snapshot().found.rows > 1000
    });
    assert!(first.is_open());
    promote(&registry, "v3");
    assert!(!first.is_open());
    let second = registry.guard("m").expect("another window").snapshot();
    assert_eq!((second.old.as_str(), second.new.as_str()), ("v2", "v3"));
    assert_eq!(newest(&registry).by, "test", "a window that was closed says nothing");
    registry.rollback(&model(), "test").expect("moved");
    assert!(registry.guard("m").is_none());
}

#[test]
fn a_version_that_nobody_asked_stays_and_the_old_one_is_let_go() {
    let shop = Shop::with(&["v1", "v5"]);
    let registry = guarded(&shop, &Watched::default(), SHORT);
    let old = Arc::downgrade(&registry.resolve(&reference("m")).expect("served"));
    promote(&registry, "v5");
    eventually("the window ends", || newest(&registry).by == "guard");
    let step = newest(&registry);
    assert_eq!((step.action, served(&registry, "m").as_str()), (Action::Keep, "v5"));
    assert_eq!(step.why.as_deref(), Some("not judged: the guard window saw 0 rows, 1000 are needed"));
    eventually("the old version is freed", || freed(&old));
}

#[test]
fn an_open_window_keeps_nothing_loaded_past_its_registry() {
    let shop = Shop::with(&["v1", "v5"]);
    let registry = guarded(&shop, &Watched::default(), LONG);
    let watched = [(); 2].map(|()| {
        let watched = Arc::downgrade(&registry.resolve(&reference("m")).expect("served"));
        promote(&registry, "v5");
        watched
    });
    assert!(watched.iter().all(|version| !freed(version)), "the old version stays loaded for the window");
    drop(registry);
    eventually("both versions are freed", || watched.iter().all(freed));
}

#[test]
fn without_a_window_nothing_is_watched() {
    let shop = Shop::with(&["v1", "v5"]);
    let registry = shop.open();
    promote(&registry, "v5");
    assert!(registry.guard("m").is_none());
}
