//! What answers where the version that an alias names may not.

use serve_registry::DeploymentError;

use crate::shop::{Shop, Watched, model, reference, served, version};

/// `v1` to `v4` published, promoted in order; of the last ones, some are damaged.
fn damaged(versions: &[&str]) -> Shop {
    let shop = Shop::with(&["v1", "v2", "v3", "v4"]);
    for to in ["v2", "v3", "v4"] {
        shop.point("champion", to);
    }
    versions.iter().for_each(|version| shop.flip(version));
    shop
}

#[test]
fn at_start_the_newest_earlier_target_that_proves_answers() {
    for (broken, serves) in [(&["v4"][..], "v3"), (&["v4", "v3"], "v2"), (&["v4", "v3", "v2"], "v1")] {
        let registry = damaged(broken).open();
        assert_eq!(served(&registry, "m"), serves, "{broken:?}");
        let snapshot = registry.model("m").expect("known");
        let pointing = &snapshot.pointing["champion"];
        assert_eq!((&pointing.target, pointing.degraded()), (&version("v4"), true));
        assert!(snapshot.refused[&version("v4")].reason.starts_with("model.bin is damaged"));
    }
}

#[test]
fn a_version_that_was_rolled_back_from_is_no_fallback() {
    let shop = Shop::with(&["v1", "v2", "v3"]);
    let registry = shop.open();
    for to in ["v2", "v3"] {
        registry.promote(&model(), &version(to), &serve_core::Alias::champion(), "test").expect("moved");
        registry.rollback(&model(), "test").expect("went back");
    }
    registry.promote(&model(), &version("v3"), &serve_core::Alias::champion(), "test").expect("moved");
    shop.flip("v3");
    assert_eq!(served(&shop.open(), "m"), "v1", "not v2, which was taken back");
}

#[test]
fn where_nothing_proves_the_champion_is_refused_with_its_reason() {
    let registry = damaged(&["v1", "v2", "v3", "v4"]).open();
    let error = registry.resolve(&reference("m")).expect_err("refused");
    let DeploymentError::Refused(refused) = &error else { unreachable!("{error}") };
    assert_eq!(refused.version, version("v4"));
    assert!(error.to_string().starts_with("m@v4 is refused: model.bin is damaged"), "{error}");
    assert!(registry.model("m").expect("known").champion().is_none());
}

#[test]
fn the_target_answers_once_it_is_repaired() {
    let shop = damaged(&["v4"]);
    let loader = Watched::default();
    let registry = shop.watched(&loader, 10);
    assert_eq!(served(&registry, "m"), "v3");
    shop.flip("v4");
    let outcomes = registry.poll().expect("reads");
    assert_eq!((&outcomes[0].from, &outcomes[0].to), (&Some(version("v3")), &Some(version("v4"))));
    assert_eq!(served(&registry, "m"), "v4");
    assert!(!registry.model("m").expect("known").pointing["champion"].degraded());
    assert_eq!(loader.loads(), ["v3", "v4"]);
}

#[test]
fn what_serves_goes_on_rather_than_what_stood_before_it() {
    let shop = Shop::with(&["v1", "v2", "v3"]);
    shop.point("champion", "v2");
    let registry = shop.open();
    shop.flip("v3");
    shop.point("champion", "v1");
    shop.point("champion", "v3");
    registry.reload().expect("reads");
    assert_eq!(served(&registry, "m"), "v2", "it served, though v1 stood in between");
}
