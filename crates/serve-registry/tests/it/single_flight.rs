//! However many ask at once, a version is loaded once, and those who ask for something else do not wait.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Barrier, Mutex};
use std::time::Duration;

use serve_registry::{DeploymentError, Registry, ReloadStatus};

use crate::shop::{Shop, Watched, reference, served, version};

const CROWD: usize = 100;

/// A loader that says when it begins to load `v2`, and goes on when it is told to.
fn held_back() -> (Watched, Receiver<()>, Sender<()>) {
    let ((begun, begins), (go, goes)) = (channel(), channel());
    let goes = Mutex::new(goes);
    let loader = Watched::gated(move |bundle| {
        if bundle.manifest().version.as_str() == "v2" {
            begun.send(()).expect("the test waits");
            goes.lock().expect("no panic").recv().expect("the test goes on");
        }
    });
    (loader, begins, go)
}

/// A hundred threads do the same; the first load is held back until all of them are under way. A second load would find
/// nobody to tell it to go on, and panic.
fn crowd<R: Send>(
    registry: &Registry,
    begins: &Receiver<()>,
    go: Sender<()>,
    ask: impl Fn(&Registry) -> R + Sync,
) -> Vec<R> {
    let barrier = Barrier::new(CROWD + 1);
    std::thread::scope(|scope| {
        let ask = || {
            barrier.wait();
            ask(registry)
        };
        let threads: Vec<_> = (0..CROWD).map(|_| scope.spawn(ask)).collect();
        barrier.wait();
        begins.recv().expect("one of them loads");
        assert_eq!(served(registry, "m"), "v1", "answers do not wait for the load");
        // Those who have not run since the barrier would come after the load, which nobody remembers if it is refused.
        std::thread::sleep(Duration::from_millis(200));
        go.send(()).expect("the loader waits");
        drop(go);
        threads.into_iter().map(|thread| thread.join().expect("no panic")).collect()
    })
}

#[test]
fn a_hundred_reloads_load_a_new_version_once() {
    let shop = Shop::with(&["v1", "v2"]);
    let (loader, begins, go) = held_back();
    let registry = shop.watched(&loader, 10);
    shop.point("champion", "v2");
    let outcomes = crowd(&registry, &begins, go, |registry| registry.reload().expect("reads").remove(0));
    let swapped = outcomes.iter().filter(|outcome| outcome.status == ReloadStatus::Swapped).count();
    let unchanged = outcomes.iter().filter(|outcome| outcome.status == ReloadStatus::Unchanged).count();
    assert_eq!((swapped, unchanged), (1, CROWD - 1));
    assert!(outcomes.iter().all(|outcome| outcome.to == Some(version("v2"))));
    assert_eq!(loader.loads(), ["v1", "v2"]);
    assert_eq!(served(&registry, "m"), "v2");
}

#[test]
fn a_hundred_requests_for_a_version_load_it_once() {
    let shop = Shop::with(&["v1", "v2"]);
    let (loader, begins, go) = held_back();
    let registry = shop.watched(&loader, 10);
    let ask = |registry: &Registry| registry.deployment(&reference("m@v2")).expect("loads").digest();
    let digests = crowd(&registry, &begins, go, ask);
    assert!(digests.iter().all(|digest| *digest == digests[0]));
    assert_eq!(loader.loads(), ["v1", "v2"]);
}

#[test]
fn a_hundred_requests_for_a_version_that_is_refused_prove_it_once() {
    let shop = Shop::with(&["v1", "v2"]);
    let mut golden = crate::shop::bundle("v2", 2.0).golden().expect("reads");
    golden.scores[0][0] = 0.5;
    shop.forge("v2", "golden.json", &serde_json::to_vec(&golden).expect("serialises"));
    let (loader, begins, go) = held_back();
    let registry = shop.watched(&loader, 10);
    let ask = |registry: &Registry| registry.deployment(&reference("m@v2")).expect_err("refused");
    for error in crowd(&registry, &begins, go, ask) {
        let expected = "its proof fails: golden row 0, probability of \"down\": expected 0.5, got ";
        assert!(matches!(&error, DeploymentError::Refused(refused) if refused.reason.starts_with(expected)));
    }
    assert_eq!(loader.loads(), ["v1", "v2"]);
}
