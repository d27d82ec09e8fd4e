//! A version that cannot prove itself here does not serve; the old one goes on, and the reason can be acted upon.

use std::fs;
use std::sync::Arc;

use serve_core::{Alias, EngineLoader};
use serve_registry::{Deployment, PromoteError, Registry, ReloadStatus};

use crate::shop::{Shop, Watched, bundle, model, served, version};

/// Promotes `v2` as another process would, and tells why this one refuses it. `v1` must go on.
#[track_caller]
fn reason(shop: &Shop, registry: &Registry) -> String {
    shop.point("champion", "v2");
    let outcome = registry.reload_model(&model()).expect("reads");
    assert_eq!(outcome.status, ReloadStatus::Refused);
    assert_eq!((outcome.from, outcome.to), (Some(version("v1")), Some(version("v1"))));
    assert_eq!(served(registry, "m"), "v1");
    let snapshot = registry.model("m").expect("known");
    let pointing = &snapshot.pointing["champion"];
    assert!(pointing.degraded());
    assert_eq!((&pointing.target, &pointing.serving), (&version("v2"), &Some(version("v1"))));
    let reason = outcome.reason.expect("a reason").to_string();
    assert_eq!(*snapshot.refused[&version("v2")].reason, reason);
    reason
}

#[test]
fn a_flipped_bit_is_refused_with_both_digests() {
    let shop = Shop::with(&["v1", "v2"]);
    let registry = shop.open();
    shop.flip("v2");
    let whole = bundle("v2", 2.0);
    let expected = whole.manifest().files["model.bin"].sha256;
    let got = serve_core::Digest::of(&fs::read(shop.path("v2/model.bin")).expect("there"));
    assert_eq!(
        reason(&shop, &registry),
        format!("model.bin is damaged: its SHA-256 is {got}, the manifest says {expected}")
    );
}

#[test]
fn a_truncated_file_is_refused_with_both_lengths() {
    let shop = Shop::with(&["v1", "v2"]);
    let registry = shop.open();
    let bytes = fs::read(shop.path("v2/model.bin")).expect("there");
    fs::write(shop.path("v2/model.bin"), &bytes[..40]).expect("written");
    assert_eq!(
        reason(&shop, &registry),
        format!("model.bin has 40 bytes, the manifest says {}", bytes.len())
    );
}

#[test]
fn a_missing_file_is_refused_by_name() {
    let shop = Shop::with(&["v1", "v2"]);
    let registry = shop.open();
    fs::remove_file(shop.path("v2/golden.json")).expect("removed");
    assert_eq!(reason(&shop, &registry), "golden.json is missing");
}

#[test]
fn a_manifest_of_garbage_is_refused() {
    let shop = Shop::with(&["v1", "v2"]);
    let registry = shop.open();
    fs::write(shop.path("v2/manifest.json"), b"\x00garbage").expect("written");
    assert_eq!(reason(&shop, &registry), "manifest.json cannot be read: expected value at line 1 column 1");
}

#[test]
fn a_version_under_another_name_is_refused() {
    let shop = Shop::with(&["v1", "v2"]);
    let registry = shop.open();
    fs::copy(shop.path("v1/manifest.json"), shop.path("v2/manifest.json")).expect("copied");
    fs::copy(shop.path("v1/model.bin"), shop.path("v2/model.bin")).expect("copied");
    fs::copy(shop.path("v1/golden.json"), shop.path("v2/golden.json")).expect("copied");
    assert_eq!(reason(&shop, &registry), "the folder says m@v2, the manifest says m@v1");
}

#[test]
fn an_answer_that_differs_is_refused_with_row_expected_and_got() {
    let shop = Shop::with(&["v1", "v2"]);
    let registry = shop.open();
    let bundle = bundle("v2", 2.0);
    let mut golden = bundle.golden().expect("reads");
    let got = golden.scores[1][0];
    golden.scores[1][0] = 0.25;
    shop.forge("v2", "golden.json", &serde_json::to_vec(&golden).expect("serialises"));
    assert_eq!(
        reason(&shop, &registry),
        format!(
            "its proof fails: golden row 1, probability of \"down\": expected 0.25, got {got}; they may differ by 1.25e-12"
        )
    );
}

#[test]
fn a_row_with_too_few_scores_is_refused_with_both_counts() {
    let shop = Shop::with(&["v1", "v2"]);
    let registry = shop.open();
    let mut golden = bundle("v2", 2.0).golden().expect("reads");
    golden.scores[1].pop();
    shop.forge("v2", "golden.json", &serde_json::to_vec(&golden).expect("serialises"));
    assert_eq!(reason(&shop, &registry), "its proof fails: golden row 1: expected 1 scores, got 2");
}

#[test]
fn a_version_without_proof_is_refused() {
    let shop = Shop::with(&["v1", "v2"]);
    let registry = shop.open();
    let mut golden = bundle("v2", 2.0).golden().expect("reads");
    golden.rows.clear();
    golden.scores.clear();
    shop.forge("v2", "golden.json", &serde_json::to_vec(&golden).expect("serialises"));
    assert_eq!(reason(&shop, &registry), "its proof fails: there are no golden rows");
}

#[test]
fn a_loader_that_panics_refuses_its_version_and_nothing_else() {
    let shop = Shop::with(&["v1", "v2", "v3"]);
    let loader = Watched::gated(|bundle| {
        assert!(bundle.manifest().version.as_str() != "v2", "the loader has a bug");
    });
    let registry = shop.watched(&loader, 10);
    assert_eq!(reason(&shop, &registry), "its loader panicked: the loader has a bug");
    registry.promote(&model(), &version("v3"), &Alias::champion(), "test").expect("the registry still works");
    assert_eq!(served(&registry, "m"), "v3");
}

#[test]
fn a_refused_promotion_leaves_the_alias_file_as_it_was() {
    let shop = Shop::with(&["v1", "v2"]);
    let registry = shop.open();
    shop.flip("v2");
    let before = shop.aliases_bytes();
    let error = registry.promote(&model(), &version("v2"), &Alias::champion(), "test").expect_err("refused");
    let PromoteError::Refused(refused) = &error else { unreachable!("{error}") };
    assert_eq!((&refused.name, &refused.version), (&model(), &version("v2")));
    assert!(error.to_string().starts_with("m@v2 is refused: model.bin is damaged: "), "{error}");
    assert_eq!(shop.aliases_bytes(), before);
    let snapshot = registry.model("m").expect("known");
    assert_eq!(snapshot.state(&version("v2")).as_str(), "refused");
    assert!(!snapshot.pointing["champion"].degraded());
    assert_eq!(served(&registry, "m"), "v1");
}

#[test]
fn a_repaired_version_can_be_promoted() {
    let shop = Shop::with(&["v1", "v2"]);
    let registry = shop.open();
    let promote = || registry.promote(&model(), &version("v2"), &Alias::champion(), "test");
    shop.flip("v2");
    promote().expect_err("refused");
    shop.flip("v2");
    promote().expect("whole again");
    assert_eq!(served(&registry, "m"), "v2");
}

#[test]
fn a_version_can_be_proven_without_a_registry() {
    let shop = Shop::with(&["v1"]);
    let load = || Deployment::load(&shop.directory, &EngineLoader, &model(), &version("v1"));
    let deployment = Arc::new(load().expect("proves"));
    assert_eq!(deployment.digest(), bundle("v1", 1.0).digest());
    shop.flip("v1");
    assert!(load().expect_err("refused").reason.starts_with("model.bin is damaged"));
}
