//! Polling follows what others do to the folder, and tells and does nothing twice.

use std::fs;
use std::sync::Arc;

use serve_registry::Storage;
use serve_registry::{DeploymentError, ReloadStatus};

use crate::shop::{Shop, Watched, eventually, freed, model, reference, served, version};

#[test]
fn polling_follows_what_another_process_published_and_promoted() {
    let shop = Shop::with(&["v1"]);
    let loader = Watched::default();
    let registry = shop.watched(&loader, 10);
    assert!(registry.poll().expect("reads").is_empty());
    shop.publish("v2");
    assert!(registry.poll().expect("reads").is_empty(), "arriving changes nothing that answers");
    assert_eq!(registry.model("m").expect("known").versions.len(), 2);
    shop.point("champion", "v2");
    let outcomes = registry.poll().expect("reads");
    assert_eq!(outcomes.len(), 1);
    assert_eq!(outcomes[0].status, ReloadStatus::Swapped);
    assert_eq!((&outcomes[0].from, &outcomes[0].to), (&Some(version("v1")), &Some(version("v2"))));
    assert_eq!(served(&registry, "m"), "v2");
    assert_eq!(loader.loads(), ["v1", "v2"], "each was loaded once");
}

#[test]
fn a_first_model_is_loaded_and_a_deleted_one_removed_and_freed() {
    let shop = Shop::empty();
    let registry = shop.open();
    shop.publish("v1");
    let outcomes = registry.poll().expect("reads");
    assert_eq!((outcomes[0].status, &outcomes[0].to), (ReloadStatus::Loaded, &Some(version("v1"))));
    let deployment = Arc::downgrade(&registry.resolve(&reference("m")).expect("served"));
    fs::remove_dir_all(shop.path("")).expect("removed");
    let outcomes = registry.poll().expect("reads");
    assert_eq!((outcomes[0].status, &outcomes[0].from), (ReloadStatus::Removed, &Some(version("v1"))));
    let error = registry.resolve(&reference("m")).expect_err("gone");
    assert!(matches!(error, DeploymentError::UnknownModel { .. }), "{error}");
    assert!(registry.find(None, None).is_empty());
    eventually("the deployment is freed", || freed(&deployment));
    assert!(registry.poll().expect("reads").is_empty(), "told once");
    shop.publish("v1");
    registry.poll().expect("reads");
    assert_eq!(served(&registry, "m"), "v1");
}

#[test]
fn a_refused_version_is_proven_again_only_after_its_files_changed() {
    let shop = Shop::with(&["v1", "v2"]);
    let loader = Watched::gated(|bundle| {
        assert!(
            bundle.manifest().created != "2026-01-01T00:00:00Z" || bundle.manifest().version.as_str() == "v1"
        );
    });
    let registry = shop.watched(&loader, 10);
    shop.point("champion", "v2");
    let refused = registry.poll().expect("reads");
    assert_eq!((refused[0].status, loader.loads()), (ReloadStatus::Refused, vec!["v1".into(), "v2".into()]));
    for _ in 0..3 {
        assert!(registry.poll().expect("reads").is_empty(), "told once");
    }
    assert!(loader.loads().is_empty(), "and not proven again");
    assert_eq!(registry.reload().expect("reads")[0].status, ReloadStatus::Refused, "but when asked to");
    assert_eq!(loader.loads(), ["v2"]);
    let manifest = fs::read_to_string(shop.path("v2/manifest.json")).expect("there");
    fs::write(shop.path("v2/manifest.json"), manifest.replace("2026-01-01", "2026-02-01")).expect("written");
    let golden = fs::read(shop.path("v2/golden.json")).expect("there");
    shop.forge("v2", "golden.json", &golden);
    assert_eq!(registry.poll().expect("reads")[0].status, ReloadStatus::Swapped);
    assert_eq!(loader.loads(), ["v2"]);
    assert_eq!(served(&registry, "m"), "v2");
}

#[test]
fn an_alias_to_a_version_that_is_not_there_is_told_once() {
    let shop = Shop::with(&["v1"]);
    let registry = shop.open();
    shop.point("champion", "v7");
    let outcomes = registry.poll().expect("reads");
    assert_eq!(outcomes[0].reason.as_deref(), Some("model \"m\" has no version \"v7\""));
    assert!(registry.poll().expect("reads").is_empty());
    assert_eq!(served(&registry, "m"), "v1");
    shop.publish("v7");
    assert_eq!(registry.poll().expect("reads")[0].status, ReloadStatus::Swapped);
    assert_eq!(served(&registry, "m"), "v7");
}

#[test]
fn a_champion_whose_folder_is_deleted_goes_on_until_another_is_promoted() {
    let shop = Shop::with(&["v1", "v2"]);
    let registry = shop.open();
    fs::remove_dir_all(shop.path("v1")).expect("removed");
    assert!(registry.poll().expect("reads").is_empty());
    assert_eq!(served(&registry, "m"), "v1");
    shop.point("champion", "v2");
    registry.poll().expect("reads");
    assert_eq!(served(&registry, "m"), "v2");
}

#[test]
fn reloading_one_model_leaves_the_others() {
    let shop = Shop::with(&["v1", "v2"]);
    let other = serve_core::doctest::logistic("other", "v1", 0.0).build().expect("proves");
    shop.directory.publish(&other, "test").expect("published");
    let registry = shop.open();
    shop.point("champion", "v2");
    let outcome = registry.reload_model(&"other".parse().expect("a name")).expect("reads");
    assert_eq!(outcome.status, ReloadStatus::Unchanged);
    assert_eq!(served(&registry, "m"), "v1");
    assert_eq!(registry.reload_model(&model()).expect("reads").status, ReloadStatus::Swapped);
    assert_eq!(served(&registry, "m"), "v2");
}
