//! Hundreds of swaps under load: no request fails, none sees two versions, nothing is left behind.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serve_core::{Alias, ModelVersion};
use serve_registry::{Deployment, Registry};

use crate::shop::{Shop, answer_of, bundle, eventually, freed, intercept, model, reference, up, version};

const SWAPS: usize = 300;

/// One request: a version, and what it answers before and after the thread let others run.
type Answer = (ModelVersion, [f64; 2]);

fn ask(deployment: &Deployment) -> Answer {
    let before = up(deployment.pipeline());
    std::thread::yield_now();
    (deployment.manifest().version.clone(), [before, up(deployment.pipeline())])
}

/// Asks until told to stop, and holds every answer against the version that it names. Answers with how many answers it
/// got and of how many versions.
fn predict(
    ask: impl Fn() -> Answer,
    expected: &HashMap<ModelVersion, f64>,
    stop: &AtomicBool,
) -> (usize, usize) {
    let (mut answers, mut versions) = (0, 0);
    let mut last: Option<ModelVersion> = None;
    while !stop.load(Ordering::Acquire) {
        let (now, got) = ask();
        assert_eq!(got, [expected[&now]; 2], "{now}");
        if last.as_ref() != Some(&now) {
            assert!(
                last.is_none_or(|last| last < now),
                "no request sees an older version than the one before it"
            );
            last = Some(now);
            versions += 1;
        }
        answers += 1;
    }
    (answers, versions)
}

/// The ways to a deployment, by the number of the thread that goes it.
fn ask_by(way: usize, registry: &Registry) -> Box<dyn Fn() -> Answer + '_> {
    let handle = registry.handle("m").expect("there");
    match way % 4 {
        0 => Box::new(|| ask(&registry.resolve(&reference("m")).expect("no request fails"))),
        1 => Box::new(|| ask(&registry.deployment("m").expect("no request fails"))),
        2 => Box::new(move || handle.with(ask).expect("no request fails")),
        _ => Box::new(move || ask(&handle.current().expect("no request fails"))),
    }
}

/// Tells the other threads to stop, also where the test fails.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

#[test]
fn three_hundred_swaps_under_load_lose_and_leave_nothing() {
    let shop = Shop::with(&["v0"]);
    let registry = shop.open();
    let names: Vec<String> = (0..=SWAPS).map(|i| format!("v{i}")).collect();
    let expected: HashMap<_, _> =
        names.iter().map(|name| (version(name), answer_of(&bundle(name, intercept(name))))).collect();
    let stop = AtomicBool::new(false);
    let mut replaced = Vec::new();
    let counts: Vec<_> = std::thread::scope(|scope| {
        let (registry, expected, stop) = (&registry, &expected, &stop);
        let client = |way| scope.spawn(move || predict(ask_by(way, registry), expected, stop));
        let clients: Vec<_> = (0..8).map(client).collect();
        // Somebody reads the folder all the while, which must change nothing that a promotion has changed.
        let follower = scope.spawn(move || {
            while !stop.load(Ordering::Acquire) {
                drop(registry.reload().expect("reads"));
                drop(registry.poll().expect("reads"));
            }
        });
        let stop = Stop(stop);
        for name in &names[1..] {
            replaced.push(Arc::downgrade(&registry.resolve(&reference("m")).expect("served")));
            shop.publish(name);
            let (to, champion) = (version(name), Alias::champion());
            let from = registry.promote(&model(), &to, &champion, "test").expect("moved");
            assert!(from < Some(to.clone()));
            let now = registry.resolve(&reference("m")).expect("served");
            assert_eq!(now.manifest().version, to, "what was promoted answers from then on");
        }
        drop(stop);
        follower.join().expect("the folder reads");
        clients.into_iter().map(|thread| thread.join().expect("no request failed")).collect()
    });
    assert_eq!(replaced.len(), SWAPS);
    for (answers, versions) in counts {
        assert!(answers >= versions && versions > 1, "{answers} answers of {versions} versions");
    }
    eventually("every replaced version is freed", || replaced.iter().all(freed));
    assert_eq!(crate::shop::served(&registry, "m"), format!("v{SWAPS}"));
}
