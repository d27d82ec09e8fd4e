//! Versions that are asked for by name: loaded on demand, kept while they are used, dropped when others are.

use std::fs;
use std::sync::Arc;

use serve_registry::{DeploymentError, ModelConfig, Registry, Unloaded, VersionState};

use crate::shop::{Shop, Watched, eventually, freed, model, reference, served, version};

fn load(registry: &Registry, text: &str) -> Arc<serve_registry::Deployment> {
    registry.deployment(&reference(text)).expect("loads")
}

fn state(registry: &Registry, text: &str) -> VersionState {
    registry.model("m").expect("known").state(&version(text))
}

#[test]
fn a_version_is_loaded_when_it_is_first_asked_for() {
    let shop = Shop::with(&["v1", "v2"]);
    let loader = Watched::default();
    let registry = shop.watched(&loader, 10);
    assert_eq!(loader.loads(), ["v1"], "what no alias leads to is not loaded");
    assert_eq!(state(&registry, "v2"), VersionState::Available);
    let error = registry.resolve(&reference("m@v2")).expect_err("resolving never loads");
    assert!(matches!(error, DeploymentError::NotLoaded { version: v, .. } if v == version("v2")));
    load(&registry, "m@v2");
    assert_eq!(served(&registry, "m@v2"), "v2");
    assert_eq!(state(&registry, "v2"), VersionState::Live);
    load(&registry, "m@v2");
    registry.poll().expect("reads");
    registry.reload().expect("reads");
    assert_eq!((served(&registry, "m@v2").as_str(), loader.loads()), ("v2", vec!["v2".to_owned()]));
}

#[test]
fn the_least_recently_used_version_goes_first_and_is_freed() {
    let shop = Shop::with(&["v1", "v2", "v3", "v4", "v5"]);
    let registry = shop.watched(&Watched::default(), 3);
    load(&registry, "m@v2");
    let third = Arc::downgrade(&load(&registry, "m@v3"));
    served(&registry, "m@v2");
    served(&registry, "m@v1");
    load(&registry, "m@v4");
    let states = ["v1", "v2", "v3", "v4"].map(|version| state(&registry, version));
    assert_eq!(states, [VersionState::Live, VersionState::Live, VersionState::Available, VersionState::Live],);
    eventually("the evicted version is freed", || freed(&third));
}

#[test]
fn what_is_asked_for_as_latest_counts_as_used() {
    let shop = Shop::with(&["v1", "v2", "v3", "v9"]);
    let registry = shop.watched(&Watched::default(), 3);
    load(&registry, "m@latest");
    load(&registry, "m@v2");
    served(&registry, "m@v1");
    served(&registry, "m@latest");
    load(&registry, "m@v3");
    assert_eq!(state(&registry, "v9"), VersionState::Live);
    assert_eq!(state(&registry, "v2"), VersionState::Available);
}

#[test]
fn a_champion_that_nobody_asks_for_goes_and_comes_back_at_the_next_request() {
    let shop = Shop::with(&["v1", "v2", "v3"]);
    let registry = shop.watched(&Watched::default(), 2);
    load(&registry, "m@v2");
    load(&registry, "m@v3");
    assert_eq!(state(&registry, "v1"), VersionState::Available);
    let error = registry.resolve(&reference("m")).expect_err("resolving never loads");
    assert!(matches!(error, DeploymentError::NotLoaded { .. }), "{error}");
    load(&registry, "m");
    assert_eq!(served(&registry, "m"), "v1");
    assert_eq!(state(&registry, "v2"), VersionState::Available, "the least recently used made room");
}

#[test]
fn a_pinned_model_is_never_evicted() {
    let shop = Shop::with(&["v1", "v2", "v3"]);
    let registry = shop.with_options(&Watched::default(), |options| {
        options.cache.max_models = 2.try_into().expect("not zero");
        options.models.insert(model(), ModelConfig { pin: true, ..ModelConfig::default() });
    });
    load(&registry, "m@v2");
    let error = registry.deployment("m@v3").expect_err("no room");
    assert!(matches!(error, DeploymentError::NoRoom { .. }), "{error}");
    assert_eq!(served(&registry, "m"), "v1");
}

#[test]
fn a_version_in_use_is_not_evicted_and_outlives_its_unloading() {
    let shop = Shop::with(&["v1", "v2", "v3"]);
    let registry = shop.watched(&Watched::default(), 2);
    let (first, held) = (load(&registry, "m"), load(&registry, "m@v2"));
    let error = registry.deployment("m@v3").expect_err("both are in use");
    assert!(matches!(error, DeploymentError::NoRoom { max_models: 2, .. }), "{error}");
    drop(first);
    load(&registry, "m@v3");
    assert_eq!(
        (state(&registry, "v1"), state(&registry, "v2")),
        (VersionState::Available, VersionState::Live)
    );
    for expected in [Unloaded::Done, Unloaded::WasNot] {
        assert_eq!(registry.unload(&model(), &version("v2")), expected);
    }
    assert_eq!(crate::shop::up(held.pipeline()), crate::shop::answer_of(&crate::shop::bundle("v2", 2.0)));
}

#[test]
fn a_refused_version_is_tried_again_after_it_changed_or_on_reload() {
    let shop = Shop::with(&["v1", "v2"]);
    let registry = shop.open();
    let refused = || {
        let error = registry.deployment(&reference("m@v2")).expect_err("refused");
        assert!(matches!(error, DeploymentError::Refused(_)), "{error}");
    };
    shop.flip("v2");
    refused();
    registry.poll().expect("reads");
    assert_eq!(state(&registry, "v2"), VersionState::Refused, "nothing changed");
    registry.reload().expect("reads");
    assert_eq!(state(&registry, "v2"), VersionState::Available, "tried again when it is next asked for");
    refused();
    shop.flip("v2");
    registry.poll().expect("reads");
    load(&registry, "m@v2");
    assert_eq!(served(&registry, "m@v2"), "v2");
}

#[test]
fn a_version_deleted_from_the_folder_is_unloaded() {
    let shop = Shop::with(&["v1", "v2", "v3"]);
    let registry = shop.watched(&Watched::default(), 2);
    let second = Arc::downgrade(&load(&registry, "m@v2"));
    fs::remove_dir_all(shop.path("v2")).expect("removed");
    registry.poll().expect("reads");
    let error = registry.deployment(&reference("m@v2")).expect_err("gone");
    assert!(matches!(error, DeploymentError::UnknownVersion { .. }), "{error}");
    eventually("the deleted version is freed", || freed(&second));
}
