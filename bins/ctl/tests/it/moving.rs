//! `push`: from one registry to another.

use std::fs;

use crate::shop::Shop;

#[test]
fn a_version_goes_to_another_registry_and_serves_there() {
    let (from, to) = (Shop::with(&["v1", "v2"]), Shop::empty());
    let place = to.path("registry");
    let url = place.display().to_string();
    let told = from.ctl(&["push", "m@v2", "--to", &url]).failed(66);
    assert!(told.starts_with("there is no registry at "), "{told}");
    fs::create_dir(&place).expect("made");
    let place = place.canonicalize().expect("there").display().to_string();
    let told = from.ctl(&["push", "m@v2", "--to", &url]).ok();
    assert_eq!(told, format!("m@v2 is at {place}, proven there\n"));
    assert_eq!(from.ctl(&["push", "m@v2", "--to", &url]).ok(), format!("m@v2 is at {place} already\n"));
    for file in ["manifest.json", "model.bin", "golden.json", "source/v2.txt"] {
        let read = |shop: &Shop| fs::read(shop.path("registry/m/v2").join(file)).expect("there");
        assert_eq!(read(&from), read(&to), "{file}");
    }
    assert!(to.ctl(&["history", "m"]).ok().contains("publish"), "the first one is the champion");
    let told = from.ctl(&["push", "m@champion", "--to", &url, "--promote", "--why", "tested"]).ok();
    assert_eq!(told, format!("m@v1 is at {place}, proven there\nm: champion moved from v2 to v1\n"));
    assert!(to.ctl(&["history", "m"]).ok().contains("tested"));
}

#[test]
fn what_differs_is_refused_with_both_digests() {
    let (from, to) = (Shop::with(&["v1"]), Shop::empty());
    to.import("v1", 9.0, &[]).ok();
    let url = to.path("registry").display().to_string();
    let told = from.ctl(&["push", "m@v1", "--to", &url]).failed(65);
    assert!(told.starts_with("m@v1 is another version at "), "{told}");
    assert!(told.ends_with("; a published version never changes"), "{told}");
    assert_eq!(from.ctl(&["push", "m@v7", "--to", &url]).failed(66), "model \"m\" has no version \"v7\"");
    let told = from.ctl(&["push", "m@nobody", "--to", &url]).failed(66);
    assert_eq!(told, "model \"m\" has no alias \"nobody\"");
    from.damage("m/v1/model.bin");
    let told = from.ctl(&["push", "m@v1", "--to", &url]).failed(65);
    assert!(told.starts_with("m@v1 is refused: model.bin is damaged: "), "{told}");
}
