//! Signed versions and a registry that trusts some keys: who is refused, why, and when a signature is there.

use std::fs;

use serve_core::EngineLoader;
use serve_registry::signature::UntrustedError;
use serve_registry::{Options, PrivateKey, Registry, Storage, StorageError, TrustedKeys, TrustedLoader};

use crate::shop::{Shop, bundle, model, reference, version};

fn key() -> PrivateKey {
    PrivateKey::generate().expect("random bytes")
}

/// A shop of `v1`, signed by this key or by nobody.
fn shop(key: Option<&PrivateKey>) -> Shop {
    let shop = Shop::empty();
    let bundle = bundle("v1", 1.0);
    let bundle = match key {
        Some(key) => key.sign_bundle(bundle),
        None => bundle,
    };
    shop.directory.publish(&bundle, "test").expect("published");
    shop
}

fn trusting(shop: &Shop, key: &PrivateKey) -> Registry {
    let loader = TrustedLoader::over(Box::new(EngineLoader), TrustedKeys::from(vec![key.public()]));
    Registry::with(shop.directory.clone(), loader, Options::default()).expect("opens")
}

fn refusal(registry: &Registry) -> String {
    registry.deployment(&reference("m@v1")).expect_err("refused").to_string()
}

#[test]
fn a_signature_is_published_with_its_version_and_read_back() {
    let key = key();
    let signed = key.sign_bundle(bundle("v1", 1.0));
    let shop = shop(Some(&key));
    let file = fs::read(shop.path("v1/manifest.sig")).expect("there");
    assert_eq!(Some(&file[..]), signed.signature());
    let back = shop.directory.bundle(&model(), &version("v1")).expect("reads");
    assert_eq!(back.signature(), signed.signature());
    assert_eq!(shop.directory.signature(&model(), &version("v1")).expect("reads"), Some(file));
    assert!(trusting(&shop, &key).deployment(&reference("m@champion")).is_ok());
    assert_eq!(shop.open().models()[0].refused.len(), 0, "who trusts no keys asks for no signature");
}

#[test]
fn without_a_trusted_signature_a_version_is_refused_with_the_reason() {
    let (mine, theirs) = (key(), key());
    assert_eq!(
        refusal(&trusting(&shop(None), &mine)),
        format!("m@v1 is refused: it is not trusted: {}", UntrustedError::Unsigned)
    );
    let told = refusal(&trusting(&shop(Some(&theirs)), &mine));
    let other = UntrustedError::Key { key: theirs.public().id() };
    assert_eq!(told, format!("m@v1 is refused: it is not trusted: {other}"));
    let forged = shop(Some(&mine));
    let other_version = bundle("v2", 2.0);
    fs::write(forged.path("v1/manifest.sig"), mine.sign(other_version.manifest_bytes())).expect("written");
    let told = refusal(&trusting(&forged, &mine));
    let (signed, manifest) = (other_version.digest(), bundle("v1", 1.0).digest());
    let moved = UntrustedError::OtherManifest { signed, manifest };
    assert_eq!(told, format!("m@v1 is refused: it is not trusted: {moved}"));
    fs::write(forged.path("v1/manifest.sig"), b"not JSON").expect("written");
    assert!(refusal(&trusting(&forged, &mine)).contains("manifest.sig is damaged: "));
}

#[test]
fn a_signature_of_a_changed_manifest_is_worth_nothing() {
    let key = key();
    let shop = shop(Some(&key));
    // Whoever may write to the registry makes the digests agree, and has no key.
    let golden = fs::read(shop.path("v1/golden.json")).expect("there");
    shop.forge("v1", "golden.json", &golden);
    let told = refusal(&trusting(&shop, &key));
    assert!(told.contains("manifest.sig is the signature of another manifest"), "{told}");
}

#[test]
fn a_version_is_signed_later_and_then_tried_again() {
    let key = key();
    let shop = shop(None);
    let registry = trusting(&shop, &key);
    refusal(&registry);
    let manifest = shop.directory.bundle(&model(), &version("v1")).expect("reads");
    shop.directory.sign(&model(), &version("v1"), &key.sign(manifest.manifest_bytes())).expect("signed");
    registry.poll().expect("polled");
    assert!(registry.deployment(&reference("m@v1")).is_ok());
    let unknown = shop.directory.sign(&model(), &version("v9"), b"").expect_err("refused");
    assert!(matches!(unknown, StorageError::UnknownVersion { .. }), "{unknown:?}");
}

#[test]
fn a_promotion_does_not_bring_in_what_nobody_trusted_signed() {
    let key = key();
    let shop = shop(Some(&key));
    let registry = trusting(&shop, &key);
    shop.publish("v2");
    let refused = registry.promote(&model(), &version("v2"), &serve_core::Alias::champion(), "test");
    let told = refused.expect_err("refused").to_string();
    assert!(
        told.contains("it is not signed, and only versions that a key of registry.trusted_keys"),
        "{told}"
    );
    let served = registry.deployment(&reference("m@champion")).expect("served");
    assert_eq!(served.manifest().version, version("v1"));
}

#[test]
fn an_endless_signature_file_is_not_read() {
    let key = key();
    let shop = shop(Some(&key));
    fs::write(shop.path("v1/manifest.sig"), vec![b' '; 1 << 20]).expect("written");
    let error = shop.directory.signature(&model(), &version("v1")).expect_err("refused");
    let source = std::error::Error::source(&error).expect("a cause").to_string();
    assert_eq!(source, "it has 1048576 bytes, expected at most 16384");
}
