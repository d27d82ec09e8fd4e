//! What was replaced is freed when its last request ends, and never on a request's thread.

use std::sync::Arc;

use serve_core::Alias;

use crate::memory::freed_by;
use crate::shop::{Shop, answer_of, bundle, eventually, freed, model, reference, up, version};

#[test]
fn a_replaced_version_is_freed_once_nobody_uses_it() {
    let shop = Shop::with(&["v1", "v2"]);
    let registry = shop.open();
    let held = registry.resolve(&reference("m")).expect("served");
    let watched = Arc::downgrade(&held);
    registry.promote(&model(), &version("v2"), &Alias::champion(), "test").expect("moved");
    assert_eq!(
        up(held.pipeline()),
        answer_of(&bundle("v1", 1.0)),
        "a request keeps the version that it began with"
    );
    assert!(!freed(&watched));
    drop(held);
    eventually("the replaced version is freed", || freed(&watched));
}

/// The last request to end holds the last reference but the reaper's, so its thread frees nothing.
#[test]
fn a_request_never_frees_a_model() {
    let shop = Shop::with(&["v1", "v2", "v3"]);
    let registry = shop.open();
    for to in ["v2", "v3"] {
        let held = registry.resolve(&reference("m")).expect("served");
        let snapshot = registry.model("m").expect("known");
        let (kept, watched) = (Arc::downgrade(&snapshot), Arc::downgrade(&held));
        registry.promote(&model(), &version(to), &Alias::champion(), "test").expect("moved");
        drop(snapshot);
        assert_eq!(kept.strong_count(), 0, "the old snapshot is gone, and with it all references but two");
        assert_eq!(freed_by(|| drop(held)), 0);
        eventually("the reaper frees it", || freed(&watched));
    }
}

#[test]
fn what_serves_is_freed_with_the_registry() {
    let shop = Shop::with(&["v1"]);
    let registry = shop.open();
    let watched = Arc::downgrade(&registry.resolve(&reference("m")).expect("served"));
    drop(registry);
    assert!(freed(&watched));
}
