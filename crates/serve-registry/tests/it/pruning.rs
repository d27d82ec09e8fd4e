//! What prune takes and what it leaves.

use std::time::Duration;

use serve_core::doctest::logistic;
use serve_registry::prune::{Fate, Reason};
use serve_registry::{PruneOptions, Storage, StorageError, prune};

use crate::shop::{Shop, model, version};

const DAY: Duration = Duration::from_hours(24);

/// Versions `v1` to `v6`, made on the first six days of 2026; the champion went from `v1` to `v2` to `v4`.
fn shop() -> Shop {
    let shop = Shop::empty();
    for day in 1..=6 {
        let mut builder = logistic("m", &format!("v{day}"), f64::from(day));
        builder.created = format!("2026-01-0{day}T00:00:00Z");
        shop.directory.publish(&builder.build().expect("proves"), "test").expect("published");
    }
    shop.point("champion", "v2");
    shop.point("champion", "v4");
    shop
}

/// As on 7 January 2026.
fn rules(keep: Option<usize>, older_than: Option<Duration>, dry_run: bool) -> PruneOptions {
    let now = "2026-01-07T00:00:00Z".parse().expect("a time");
    PruneOptions { keep, older_than, now, dry_run }
}

fn fates(shop: &Shop, options: &PruneOptions) -> Vec<(String, String)> {
    let pruned = prune(&shop.directory, &model(), options).expect("pruned");
    let fate = |fate: &Fate| match fate {
        Fate::Goes => "goes".to_owned(),
        Fate::Stays(reason) => reason.to_string(),
    };
    pruned.iter().map(|pruned| (pruned.version.to_string(), fate(&pruned.fate))).collect()
}

fn left(shop: &Shop) -> Vec<String> {
    shop.directory.versions(&model()).expect("reads").iter().map(ToString::to_string).collect()
}

#[test]
fn what_serves_and_what_a_rollback_needs_stays() {
    let shop = shop();
    let told = fates(&shop, &rules(Some(1), None, false));
    let expected = [
        ("v1", "goes"),
        ("v2", "a rollback would return to it"),
        ("v3", "goes"),
        ("v4", "the alias champion points to it"),
        ("v5", "goes"),
        ("v6", "it is the newest"),
    ];
    assert_eq!(told, expected.map(|(version, fate)| (version.to_owned(), fate.to_owned())));
    assert_eq!(left(&shop), ["v2", "v4", "v6"]);
}

#[test]
fn a_dry_run_says_the_same_and_deletes_nothing() {
    let shop = shop();
    let dry = fates(&shop, &rules(Some(2), Some(3 * DAY), true));
    assert_eq!(left(&shop), ["v1", "v2", "v3", "v4", "v5", "v6"]);
    assert_eq!(dry, fates(&shop, &rules(Some(2), Some(3 * DAY), false)));
    assert_eq!(left(&shop), ["v2", "v4", "v5", "v6"]);
}

#[test]
fn both_rules_keep_and_no_rule_keeps_everything() {
    let told = |keep, older_than| {
        let goes = fates(&shop(), &rules(keep, older_than, true));
        goes.into_iter().filter(|(_, fate)| fate == "goes").map(|(version, _)| version).collect::<Vec<_>>()
    };
    assert_eq!(told(None, Some(2 * DAY)), ["v1", "v3"], "v5 is two days old, which is not more");
    assert_eq!(told(Some(5), Some(2 * DAY)), ["v1"]);
    assert_eq!(told(Some(0), None), ["v1", "v3", "v5", "v6"]);
    assert_eq!(told(None, None), [""; 0]);
}

#[test]
fn what_is_loaded_or_of_unknown_age_stays() {
    let shop = shop();
    let lease = shop.directory.lease(&model(), &version("v1"));
    std::fs::write(shop.path("v3/manifest.json"), b"{").expect("written");
    for dry_run in [true, false] {
        let told = fates(&shop, &rules(None, Some(DAY / 2), dry_run));
        assert_eq!(told[0].1, Reason::InUse.to_string());
        assert_eq!(told[2].1, Reason::AgeUnknown.to_string());
    }
    drop(lease);
    assert_eq!(left(&shop), ["v1", "v2", "v3", "v4"]);
    let unknown = prune(&shop.directory, &"other".parse().expect("a name"), &rules(Some(1), None, false));
    assert!(matches!(unknown, Err(StorageError::UnknownModel { .. })), "{unknown:?}");
}

#[test]
fn a_version_of_the_future_is_young() {
    let shop = Shop::empty();
    for version in ["v1", "v2"] {
        let mut builder = logistic("m", version, 1.0);
        builder.created = "2030-01-01T00:00:00Z".to_owned();
        shop.directory.publish(&builder.build().expect("proves"), "test").expect("published");
    }
    assert_eq!(fates(&shop, &rules(None, Some(DAY), false))[1].1, Reason::Young.to_string());
}
