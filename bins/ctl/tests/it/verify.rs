//! `verify` over one version, a model and a whole registry.

use crate::shop::{Shop, csv, model};

fn shop() -> Shop {
    let shop = Shop::with(&["v1", "v2", "v3"]);
    let file = shop.file("other.txt", &model(5.0, false));
    shop.ctl(&["import", &file, "--name", "a", "--version", "v1"]).ok();
    shop
}

/// The first words of each line.
fn heads(text: &str) -> Vec<String> {
    let head = |line: &str| line.split([':', ',']).next().unwrap_or_default().to_owned();
    text.lines().map(head).collect()
}

#[test]
fn the_whole_registry_is_proven_in_order() {
    let told = shop().ctl(&["verify"]).ok();
    let expected = ["a@v1 proven", "m@v1 proven", "m@v2 proven", "m@v3 proven", "4 of 4 version(s) proven"];
    assert_eq!(heads(&told), expected, "{told}");
    assert!(told.lines().all(|line| !line.contains("m@v1") || line.contains(" golden rows by ")), "{told}");
    assert_eq!(Shop::with(&["v1"]).ctl(&["verify", "m@v1"]).ok().lines().count(), 2);
}

#[test]
fn what_is_refused_is_told_with_its_reason_and_the_end() {
    let shop = shop();
    shop.damage("m/v2/model.bin");
    let told = shop.ctl(&["verify", "m"]);
    assert_eq!(told.code, Some(65));
    let expected = ["m@v1 proven", "m@v2 is refused", "m@v3 proven", "2 of 3 version(s) proven"];
    assert_eq!(heads(&told.out), expected, "{}", told.out);
    assert!(told.out.contains("m@v2 is refused: model.bin is damaged: its SHA-256 is "), "{}", told.out);
    assert_eq!(told.err, "serve-ctl: 1 of 3 version(s) refused\n", "and no progress bar, as nobody looks");
    shop.ctl(&["verify", "m@v3"]).ok();
    assert_eq!(shop.ctl(&["verify", "m@v9"]).failed(65), "1 of 1 version(s) refused");
    assert_eq!(shop.ctl(&["verify", "z"]).failed(66), "unknown model \"z\"");
    assert_eq!(
        shop.ctl(&["verify", "m@latest"]).failed(65),
        "verify takes NAME for all versions, or NAME@VERSION"
    );
}

#[test]
fn machines_get_json() {
    let shop = shop();
    shop.damage("m/v2/golden.json");
    let told = shop.ctl(&["verify", "--json"]);
    assert_eq!(told.code, Some(65));
    let report: serde_json::Value = serde_json::from_str(&told.out).expect("prints JSON");
    assert_eq!((&report["proven"], &report["refused"]), (&3.into(), &1.into()));
    let versions = report["versions"].as_array().expect("a list");
    assert_eq!(versions.len(), 4);
    let first = &versions[0];
    assert_eq!(
        (&first["model"], &first["version"], &first["proven"]),
        (&"a".into(), &"v1".into(), &true.into())
    );
    assert_eq!(first["golden"]["source"], "self");
    assert!(first["load_ms"].as_f64() > Some(0.0) && first["digest"].is_string(), "{first}");
    let refused = versions.iter().find(|version| version["version"] == "v2").expect("there");
    assert_eq!(refused["proven"], false);
    assert!(refused["reason"].as_str().is_some_and(|reason| reason.starts_with("golden.json is damaged")));
}

#[test]
fn another_answer_is_named_with_its_row_class_and_tolerance() {
    let shop = Shop::empty();
    let file = shop.file("m.txt", &model(1.0, true));
    let low = 1.0 - crate::shop::HIGH;
    let (good, bad) = (format!("0,0,no,{},{low}", 1.0 - low), format!("5,0,yes,{},{}", 0.3, 0.7));
    let golden = csv("rain,wind,predict,predict_proba:no,predict_proba:yes", &[&good, &bad]);
    let golden = shop.file("golden.csv", &golden);
    let told = shop.ctl(&[
        "import",
        &file,
        "--name",
        "m",
        "--classes",
        "no,yes",
        "--golden",
        &golden,
        "--version",
        "v1",
    ]);
    let told = told.failed(65);
    assert!(
        told.starts_with(
            "the golden rows are not answered as they must be: golden row 1, probability of \"no\": expected 0.3, got \
             0.268"
        ),
        "{told}"
    );
    assert!(told.contains("; they may differ by "), "{told}");
    assert!(!shop.path("registry/m/v1").exists());
}
