//! The cache's limits, and requests that wait: bounded in number and in time, whatever a load does.

use std::sync::Mutex;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use serve_core::{ByteSize, ModelName};
use serve_registry::{DeploymentError, ModelConfig, Options, Registry, Storage, VersionState};

use crate::shop::{Shop, Watched, eventually, freed, model, reference, served, version};

/// A loader that says when it begins to load a version other than `v1`, and goes on when it is told to.
fn held_back() -> (Watched, Receiver<()>, Sender<()>) {
    let ((begun, begins), (go, goes)) = (channel(), channel::<()>());
    let goes = Mutex::new(goes);
    let loader = Watched::gated(move |bundle| {
        if bundle.manifest().version.as_str() != "v1" {
            let _ = begun.send(());
            // Told, or the test is over.
            drop(goes.lock().map(|goes| goes.recv()));
        }
    });
    (loader, begins, go)
}

fn request(registry: &Registry, text: &str) -> Receiver<Result<String, DeploymentError>> {
    let (sender, receiver) = channel();
    registry.request(reference(text), move |outcome| {
        drop(sender.send(outcome.map(|deployment| deployment.manifest().version.to_string())));
    });
    receiver
}

#[test]
fn waiting_is_bounded_in_number() {
    let shop = Shop::with(&["v1", "v2"]);
    let (loader, begins, go) = held_back();
    let registry = shop.with_options(&loader, |options| options.cache.max_waiting = 10);
    let first = request(&registry, "m@v2");
    begins.recv().expect("it loads");
    let waiting: Vec<_> = (0..10).map(|_| request(&registry, "m@v2")).collect();
    for _ in 0..10_000 {
        let refused = request(&registry, "m@v2").try_recv().expect("told at once").expect_err("refused");
        assert!(matches!(refused, DeploymentError::Busy { waiting: 10, .. }), "{refused}");
    }
    assert_eq!(served(&registry, "m"), "v1", "others are answered meanwhile");
    go.send(()).expect("it waits");
    for receiver in [first].into_iter().chain(waiting) {
        assert_eq!(receiver.recv().expect("told").expect("loaded"), "v2");
    }
}

#[test]
fn waiting_is_bounded_in_time_and_loading_goes_on() {
    let shop = Shop::with(&["v1", "v2"]);
    let (loader, begins, go) = held_back();
    let registry =
        shop.with_options(&loader, |options| options.cache.load_timeout = Duration::from_millis(20));
    let error = registry.deployment("m@v2").expect_err("it takes too long");
    assert_eq!(error.to_string(), "m@v2 was not loaded within 0.02 s; it is still loading");
    begins.recv().expect("it loads");
    assert_eq!(
        registry.lifecycle(&model(), &version("v2")).map(|life| life.state()),
        Some(VersionState::Loading)
    );
    go.send(()).expect("it waits");
    eventually("the version is loaded", || registry.resolve(&reference("m@v2")).is_ok());
}

#[test]
fn a_registry_that_is_closed_while_it_loads_ends_and_tells_who_waits() {
    let shop = Shop::with(&["v1", "v2", "v3", "v4", "v5", "v6"]);
    let (loader, begins, go) = held_back();
    let registry = shop.with_options(&loader, |_| {});
    let waiting: Vec<_> =
        ["v2", "v3", "v4", "v5", "v6"].map(|version| request(&registry, &format!("m@{version}"))).into();
    begins.recv().expect("one loads");
    drop(go);
    drop(registry);
    for receiver in waiting {
        // Loaded before the end, or never told: the channel is closed, nobody hangs.
        if let Ok(outcome) = receiver.recv() {
            outcome.expect("loaded");
        }
    }
}

#[test]
fn a_hundred_versions_asked_at_once_all_answer_from_a_cache_of_three() {
    let versions: Vec<String> = (1..=40).map(|number| format!("v{number}")).collect();
    let shop = Shop::with(&versions.iter().map(String::as_str).collect::<Vec<_>>());
    let registry = shop.watched(&Watched::default(), 3);
    std::thread::scope(|scope| {
        for at in 0..8 {
            let (registry, versions) = (&registry, &versions);
            scope.spawn(move || {
                for turn in 0..40 {
                    let asked = &versions[(at * 11 + turn * 7) % versions.len()];
                    // A cache of three cannot hold what eight hold at once; whoever is refused may ask again.
                    let loaded = loop {
                        match registry.deployment(&format!("m@{asked}")[..]) {
                            Err(DeploymentError::NoRoom { .. }) => {}
                            other => break other.expect("loads"),
                        }
                    };
                    assert_eq!(loaded.manifest().version.as_str(), asked);
                }
            });
        }
    });
    let stats = registry.cache_stats();
    assert!(stats.entries <= 3 && stats.evictions > 30, "{stats:?}");
}

#[test]
fn a_model_over_the_limit_is_refused_before_it_is_read_and_what_serves_goes_on() {
    let shop = Shop::with(&["v1", "v2"]);
    let needed = shop.open().deployment("m").expect("served").memory_bytes();
    let loader = Watched::default();
    let registry = shop.with_options(&loader, |options| options.cache.max_bytes = ByteSize(needed + 10));
    assert_eq!((served(&registry, "m").as_str(), loader.loads()), ("v1", vec!["v1".to_owned()]));
    let small = shop.with_options(&loader, |options| options.cache.max_bytes = ByteSize(10));
    let error = small.deployment("m").expect_err("refused").to_string();
    assert!(
        error.starts_with("m@v1 is refused: it needs ")
            && error.ends_with("registry.cache.max_bytes allows 10B"),
        "{error}"
    );
    assert!(loader.loads().is_empty(), "the file alone is too long");
}

#[test]
fn what_nobody_asks_for_is_unloaded_after_a_while_and_loads_again() {
    let shop = Shop::with(&["v1", "v2"]);
    let registry =
        shop.with_options(&Watched::default(), |options| options.cache.idle_ttl = Duration::from_millis(300));
    let idle = std::sync::Arc::downgrade(&registry.deployment("m@v2").expect("loads"));
    eventually("it is unloaded", || freed(&idle));
    eventually("so is the champion", || registry.cache_stats().entries == 0);
    eventually("both are counted", || registry.cache_stats().expirations >= 2);
    registry.deployment("m").expect("loads again");
    assert_eq!(served(&registry, "m"), "v1");
}

#[test]
fn a_pinned_model_is_never_idle() {
    let shop = Shop::with(&["v1"]);
    let registry = shop.with_options(&Watched::default(), |options: &mut Options| {
        options.cache.idle_ttl = Duration::from_millis(100);
        options.models.insert(model(), ModelConfig { pin: true, ..ModelConfig::default() });
    });
    std::thread::sleep(Duration::from_millis(600));
    assert_eq!(served(&registry, "m"), "v1");
}

#[test]
fn preloading_stops_at_four_fifths_of_the_limits_most_recently_promoted_first() {
    let shop = Shop::empty();
    for number in 0..10 {
        let bundle = serve_core::doctest::logistic(&format!("m{number}"), "v1", 1.0).build().expect("proves");
        shop.directory.publish(&bundle, "test").expect("published");
    }
    let registry = shop.watched(&Watched::default(), 5);
    let loaded: Vec<ModelName> = registry
        .models()
        .iter()
        .filter(|model| model.champion_deployment().is_some())
        .map(|model| model.name.clone())
        .collect();
    // Loaded by several threads at once, so one more may have been under way.
    assert!((4..=5).contains(&loaded.len()), "{loaded:?}");
    assert!(loaded.iter().all(|name| name.as_str() >= "m5"), "{loaded:?}");
    assert_eq!(registry.models().len(), 10);
    assert_eq!(registry.deployment("m0").expect("loads").manifest().name.as_str(), "m0");
}
