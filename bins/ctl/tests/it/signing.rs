//! Keys, signatures, and a registry that trusts some keys.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use crate::shop::Shop;

/// Makes a key; its file, and the public key in base64.
fn key(shop: &Shop, name: &str) -> (String, String) {
    let file = shop.path(name).display().to_string();
    let told = shop.ctl(&["keygen", "--out", &file]).ok();
    let public = told.lines().nth(2).expect("the public key").trim().to_owned();
    (file, public)
}

fn trusting(shop: &Shop, keys: &str, args: &[&str]) -> crate::shop::Told {
    shop.ctl_with(args, &[("SERVE__REGISTRY__TRUSTED_KEYS", keys)])
}

#[test]
fn keygen_writes_a_private_file_and_replaces_none() {
    let shop = Shop::empty();
    let (file, public) = key(&shop, "key.pem");
    let mode = fs::metadata(&file).expect("there").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let text = fs::read_to_string(&file).expect("text");
    assert!(text.starts_with("-----BEGIN PRIVATE KEY-----\n"), "PKCS#8 PEM");
    let beside = fs::read_to_string(format!("{file}.pub")).expect("text");
    assert!(beside.starts_with("-----BEGIN PUBLIC KEY-----\n") && public.len() == 44, "{beside}{public}");
    let told = shop.ctl(&["keygen", "--out", &file]).failed(73);
    assert_eq!(told, format!("{file}.pub is there already; keys are not replaced"));
    assert_eq!(fs::read_to_string(&file).expect("text"), text);
}

#[test]
fn a_signed_import_is_trusted_and_others_are_refused_by_name() {
    let shop = Shop::empty();
    let (mine, public) = key(&shop, "mine");
    let (theirs, _) = key(&shop, "theirs");
    shop.import("v1", 1.0, &["--sign", &mine]).ok();
    shop.import("v2", 2.0, &["--sign", &theirs]).ok();
    shop.import("v3", 3.0, &[]).ok();
    shop.ctl(&["verify"]).ok();
    for keys in [format!("[\"{public}\"]"), format!("[\"{mine}.pub\"]")] {
        let told = trusting(&shop, &keys, &["verify", "m"]);
        assert_eq!(told.code, Some(65), "{told:?}");
        let lines: Vec<_> = told.out.lines().collect();
        assert!(lines[0].starts_with("m@v1 proven: ") && lines[0].contains(", signed by "), "{}", lines[0]);
        assert!(
            lines[1].starts_with("m@v2 is refused: it is not trusted: it is signed by the key "),
            "{}",
            lines[1]
        );
        assert!(lines[1].ends_with(", which is none of registry.trusted_keys"), "{}", lines[1]);
        assert_eq!(
            lines[2],
            "m@v3 is refused: it is not trusted: it is not signed, and only versions that a key of \
             registry.trusted_keys signed are served"
        );
    }
    let keys = format!("[\"{public}\"]");
    let told = trusting(&shop, &keys, &["promote", "m", "v3"]).failed(65);
    assert!(told.starts_with("m@v3 is refused: it is not trusted: "), "{told}");
    let told = shop.ctl(&["sign", "m@v3", "--key", &mine]).ok();
    assert!(told.starts_with("m@v3 is signed by "), "{told}");
    trusting(&shop, &keys, &["promote", "m", "v3"]).ok();
    let told = shop.ctl(&["sign", "m@v2", "--key", &mine]).ok();
    assert!(told.contains(", in place of "), "{told}");
    trusting(&shop, &keys, &["verify"]).ok();
    assert_eq!(shop.ctl(&["show", "m@v1"]).json()["signed_by"].as_str().map(str::len), Some(64));
}

#[test]
fn a_signature_that_is_damaged_or_another_version_s_is_refused_by_name() {
    let shop = Shop::empty();
    let (mine, public) = key(&shop, "mine");
    shop.import("v1", 1.0, &["--sign", &mine]).ok();
    shop.import("v2", 2.0, &["--sign", &mine]).ok();
    let keys = format!("[\"{public}\"]");
    let file = |version: &str| shop.path("registry/m").join(version).join("manifest.sig");
    let good = fs::read_to_string(file("v1")).expect("text");
    fs::copy(file("v2"), file("v1")).expect("copied");
    let told = trusting(&shop, &keys, &["verify", "m@v1"]);
    assert!(told.out.contains("manifest.sig is the signature of another manifest ("), "{}", told.out);
    let digit = good.find("\"signature\": \"").expect("there") + "\"signature\": \"".len();
    let other = if &good[digit..=digit] == "A" { "B" } else { "A" };
    fs::write(file("v1"), format!("{}{other}{}", &good[..digit], &good[digit + 1..])).expect("written");
    let told = trusting(&shop, &keys, &["verify", "m@v1"]);
    assert!(told.out.contains("its signature is wrong: it is damaged, or the key "), "{}", told.out);
    fs::write(file("v1"), &good[..40]).expect("written");
    let told = trusting(&shop, &keys, &["verify", "m@v1"]);
    assert!(told.out.contains("manifest.sig is damaged: "), "{}", told.out);
}

#[test]
fn keys_that_are_none_are_told_before_anything_is_done() {
    let shop = Shop::with(&["v1"]);
    let text = shop.file("notes.txt", "no key");
    let told = shop.import("v2", 2.0, &["--sign", &text]).failed(65);
    assert_eq!(told, format!("{text} is no private ed25519 key (PKCS#8 PEM)"));
    assert!(!shop.path("registry/m/v2").exists());
    let nowhere = shop.path("nowhere").display().to_string();
    shop.import("v2", 2.0, &["--sign", &nowhere]).failed(66);
    let told = trusting(&shop, "[\"nonsense\"]", &["verify"]).failed(78);
    assert_eq!(
        told,
        "\"nonsense\" is neither a public key in base64 (44 characters) nor the path of its file"
    );
}
