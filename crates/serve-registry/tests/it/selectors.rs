//! Which version answers.

use serve_core::doctest::logistic;
use serve_core::{Alias, Direction, ModelName};
use serve_registry::{DeploymentError, PromoteError, Storage, StorageError};

use crate::shop::{Shop, Watched, model, reference, served, version};

#[test]
fn promote_moves_the_champion_and_rollback_goes_back_one_at_a_time() {
    let shop = Shop::with(&["v1", "v2", "v3"]);
    let registry = shop.open();
    let promote =
        |to: &str| registry.promote(&model(), &version(to), &Alias::champion(), "test").expect("moved");
    assert_eq!(served(&registry, "m"), "v1");
    assert_eq!(promote("v2"), Some(version("v1")));
    assert_eq!(promote("v3"), Some(version("v2")));
    assert_eq!(served(&registry, "m"), "v3");
    let back = || registry.rollback(&model(), "test").expect("went back");
    assert_eq!(back(), (version("v3"), version("v2")));
    assert_eq!(served(&registry, "m"), "v2");
    assert_eq!(back(), (version("v2"), version("v1")));
    assert_eq!(served(&registry, "m"), "v1");
    let error = registry.rollback(&model(), "test").expect_err("nothing left");
    assert!(matches!(&error, PromoteError::NoPrevious { name } if *name == model()), "{error}");
    assert_eq!(served(&shop.open(), "m"), "v1", "another process sees the same");
}

#[test]
fn aliases_are_independent_of_each_other() {
    let shop = Shop::with(&["v1", "v2"]);
    let registry = shop.open();
    let challenger: Alias = "challenger".parse().expect("an alias");
    assert_eq!(registry.promote(&model(), &version("v2"), &challenger, "test").expect("moved"), None);
    assert_eq!(served(&registry, "m"), "v1");
    assert_eq!(served(&registry, "m@challenger"), "v2");
}

#[test]
fn previous_is_what_a_rollback_would_bring_back() {
    let shop = Shop::with(&["v1", "v2", "v3"]);
    let registry = shop.open();
    let error = registry.resolve(&reference("m@previous")).expect_err("none yet");
    assert!(
        matches!(error, DeploymentError::Nothing { reason, .. } if reason == "the champion replaced no version")
    );
    for to in ["v2", "v3"] {
        registry.promote(&model(), &version(to), &Alias::champion(), "test").expect("moved");
    }
    let previous = registry.deployment(&reference("m@previous")).expect("loads");
    assert_eq!(previous.manifest().version, version("v2"));
    assert_eq!(served(&registry, "m@previous"), "v2");
}

#[test]
fn latest_is_the_newest_that_is_not_refused_without_losing_the_request() {
    let shop = Shop::with(&["v1", "v9", "v10", "v11"]);
    shop.flip("v11");
    shop.flip("v10");
    let loader = Watched::default();
    let registry = shop.watched(&loader, 10);
    let latest = registry.deployment(&reference("m@latest")).expect("an older one answers");
    assert_eq!(latest.manifest().version, version("v9"));
    assert_eq!(served(&registry, "m@latest"), "v9");
    assert_eq!(loader.loads(), ["v1", "v9"], "damaged files do not come as far as the loader");
}

#[test]
fn best_has_the_best_held_out_metric_measured_on_enough_rows() {
    let shop = Shop::empty();
    let publish = |version: &str, primary: &str, metric: &str, value: f64, rows: Option<u64>| {
        let mut builder = logistic("m", version, crate::shop::intercept(version));
        builder.metrics.primary = Some(primary.to_owned());
        builder.metrics.holdout.insert(metric.to_owned(), value);
        builder.metrics.holdout_rows = rows;
        shop.directory.publish(&builder.build().expect("proves"), "test").expect("published");
    };
    publish("v1", "log_loss", "log_loss", 0.6, Some(100));
    publish("v2", "log_loss", "log_loss", 0.4, Some(100));
    publish("v3", "log_loss", "log_loss", 0.1, Some(29));
    publish("v4", "log_loss", "log_loss", 0.1, None);
    publish("v5", "accuracy", "accuracy", 0.99, Some(100));
    publish("v6", "log_loss", "log_loss", f64::MAX, Some(100));
    let registry = shop.open();
    registry.deployment(&reference("m@best")).expect("loads");
    assert_eq!(registry.model("m").expect("known").best(), Some(&version("v2")));
    let deployment = registry.resolve(&reference("m@best")).expect("loaded");
    assert_eq!(deployment.manifest().version, version("v2"));
    shop.flip("v2");
    let again = shop.open();
    let best = again.deployment(&reference("m@best")).expect("the next best answers");
    assert_eq!(best.manifest().version, version("v1"));
}

#[test]
fn best_goes_by_what_the_champion_s_manifest_says() {
    let shop = Shop::empty();
    for (version, surprise, rows) in [("v1", 3.0, 10), ("v2", 1.0, 10), ("v3", 1.0, 10), ("v4", 0.5, 9)] {
        let mut builder = logistic("m", version, crate::shop::intercept(version));
        builder.metrics.primary = Some("surprise".to_owned());
        builder.metrics.direction = Some(Direction::Minimize);
        builder.metrics.min_rows = Some(10);
        builder.metrics.holdout.insert("surprise".to_owned(), surprise);
        builder.metrics.holdout_rows = Some(rows);
        shop.directory.publish(&builder.build().expect("proves"), "test").expect("published");
    }
    let registry = shop.open();
    assert_eq!(registry.model("m").expect("known").best(), Some(&version("v3")), "the newer of two equals");
}

#[test]
fn best_without_metrics_says_so() {
    let registry = Shop::with(&["v1"]).open();
    let error = registry.resolve(&reference("m@best")).expect_err("none").to_string();
    assert_eq!(
        error,
        "model \"m\" has no such version: no version has a primary metric measured on enough held-out rows"
    );
}

#[test]
fn what_is_not_there_is_told_apart() {
    let shop = Shop::with(&["v1"]);
    let registry = shop.open();
    let error = |text: &str| registry.deployment(&reference(text)).expect_err("unknown");
    assert!(matches!(error("x"), DeploymentError::UnknownModel { name } if name.as_str() == "x"));
    assert!(
        matches!(error("m@v7"), DeploymentError::UnknownVersion { version: v, .. } if v == version("v7"))
    );
    assert!(
        matches!(error("m@challenger"), DeploymentError::UnknownAlias { alias, .. } if alias.as_str() == "challenger")
    );
    let promote = |name: &str, to: &str| {
        let name: ModelName = name.parse().expect("a name");
        registry.promote(&name, &version(to), &Alias::champion(), "test").expect_err("refused")
    };
    assert!(matches!(promote("x", "v1"), PromoteError::Storage(StorageError::UnknownModel { .. })));
    assert!(matches!(promote("m", "v7"), PromoteError::Storage(StorageError::UnknownVersion { .. })));
    let unknown = registry.reload_model(&"x".parse().expect("a name")).expect_err("unknown");
    assert!(matches!(unknown, StorageError::UnknownModel { .. }));
}

#[test]
fn models_are_found_by_feature_set_and_type() {
    let shop = Shop::empty();
    for (name, set) in [("a", Some("vader")), ("b", Some("finbert")), ("c", None)] {
        let mut builder = logistic(name, "v1", 0.0);
        builder.feature_set = set.map(str::to_owned);
        shop.directory.publish(&builder.build().expect("proves"), "test").expect("published");
    }
    let registry = shop.open();
    let found = |set, kind| registry.find(set, kind).iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(found(Some("vader"), None), ["a"]);
    assert_eq!(found(None, Some("logistic_regression")), ["a", "b", "c"]);
    assert_eq!(found(Some("finbert"), Some("logistic_regression")), ["b"]);
    assert!(found(Some("vader"), Some("random_forest")).is_empty());
}
