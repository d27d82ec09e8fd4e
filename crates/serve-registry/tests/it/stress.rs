//! Hundreds of swaps under load: no request fails, none sees two versions, nothing is left behind.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serve_core::{Alias, ModelVersion};
use serve_registry::Registry;

use crate::shop::{Shop, answer_of, bundle, eventually, freed, intercept, model, reference, up, version};

const SWAPS: usize = 300;

/// Predicts until told to stop; answers with how many answers it got and of how many versions.
fn predict(registry: &Registry, expected: &HashMap<ModelVersion, f64>, stop: &AtomicBool) -> (usize, usize) {
    let (mut answers, mut versions) = (0, 0);
    let mut last: Option<ModelVersion> = None;
    while !stop.load(Ordering::Acquire) {
        let deployment = registry.resolve(&reference("m")).expect("no request fails");
        let now = &deployment.manifest().version;
        assert_eq!(up(deployment.pipeline()), expected[now], "{now}");
        if last.as_ref() != Some(now) {
            assert!(
                last.is_none_or(|last| last < *now),
                "no request sees an older version than the one before it"
            );
            last = Some(now.clone());
            versions += 1;
        }
        answers += 1;
    }
    (answers, versions)
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
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(|| predict(&registry, &expected, &stop))).collect();
        for name in &names[1..] {
            replaced.push(Arc::downgrade(&registry.resolve(&reference("m")).expect("served")));
            shop.publish(name);
            let (to, champion) = (version(name), Alias::champion());
            let from = registry.promote(&model(), &to, &champion, "test").expect("moved");
            assert!(from < Some(to));
        }
        stop.store(true, Ordering::Release);
        threads.into_iter().map(|thread| thread.join().expect("no request failed")).collect()
    });
    assert_eq!(replaced.len(), SWAPS);
    for (answers, versions) in counts {
        assert!(answers >= versions && versions > 1, "{answers} answers of {versions} versions");
    }
    eventually("every replaced version is freed", || replaced.iter().all(freed));
    assert_eq!(crate::shop::served(&registry, "m"), format!("v{SWAPS}"));
}
