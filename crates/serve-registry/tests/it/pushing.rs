//! A version copied to another registry: it arrives whole and signed, or not at all.

use std::fs;

use serve_core::EngineLoader;
use serve_registry::{
    PrivateKey, PublishError, PushError, Pushed, Storage, StorageError, TrustedKeys, TrustedLoader, push,
};

use crate::shop::{Shop, bundle, model, served, version};

fn copy(from: &Shop, to: &Shop, name: &str) -> Result<Pushed, PushError> {
    push(&from.directory, &to.directory, &EngineLoader, (&model(), &version(name)), "alice@test")
}

#[test]
fn the_copy_is_the_same_and_serves_where_the_model_is_new() {
    let (from, to) = (Shop::with(&["v1", "v2"]), Shop::empty());
    assert_eq!(copy(&from, &to, "v2").expect("copied"), Pushed::Copied);
    let digest = |shop: &Shop| shop.directory.manifest(&model(), &version("v2")).expect("there").1;
    assert_eq!(digest(&from), digest(&to));
    assert_eq!(served(&to.open(), "m@champion"), "v2");
    let aliases = to.directory.aliases(&model()).expect("reads");
    assert_eq!(aliases.history("champion")[0].by, "alice@test");
    // A second one arrives and is not promoted by that.
    assert!(matches!(copy(&from, &to, "v1"), Ok(Pushed::Copied)));
    assert_eq!(served(&to.open(), "m@champion"), "v2");
}

#[test]
fn what_is_there_already_is_told_from_what_only_has_its_name() {
    let (from, to) = (Shop::with(&["v1"]), Shop::with(&["v1"]));
    assert_eq!(copy(&from, &to, "v1").expect("there"), Pushed::AlreadyThere);
    let other = Shop::empty();
    other.directory.publish(&bundle("v1", 7.0), "test").expect("published");
    let error = copy(&from, &other, "v1").expect_err("refused");
    let (ours, theirs) = (bundle("v1", 1.0).digest(), bundle("v1", 7.0).digest());
    let place = other.directory.location();
    assert_eq!(
        error.to_string(),
        format!(
            "m@v1 is another version at {place}: its digest there is {theirs}, here {ours}; a published version never \
             changes"
        )
    );
    let mixed = Shop::empty();
    mixed.directory.publish(&bundle("20260101_000000", 1.0), "test").expect("published");
    let error = copy(&from, &mixed, "v1").expect_err("refused");
    assert!(matches!(error, PushError::Publish(PublishError::MixedKinds { .. })), "{error:?}");
}

#[test]
fn the_signature_goes_along_and_is_added_where_it_was_missing() {
    let key = PrivateKey::generate().expect("random bytes");
    let (from, to, unsigned) = (Shop::with(&["v1"]), Shop::empty(), Shop::with(&["v1"]));
    let signature = key.sign(bundle("v1", 1.0).manifest_bytes());
    from.directory.sign(&model(), &version("v1"), &signature).expect("signed");
    let there = |shop: &Shop| shop.directory.signature(&model(), &version("v1")).expect("reads");
    assert_eq!(copy(&from, &to, "v1").expect("copied"), Pushed::Copied);
    assert_eq!(there(&to), Some(signature.clone()));
    assert_eq!(copy(&from, &unsigned, "v1").expect("there"), Pushed::Signed);
    assert_eq!(there(&unsigned), Some(signature));
    assert_eq!(copy(&from, &unsigned, "v1").expect("there"), Pushed::AlreadyThere);
}

#[test]
fn what_does_not_prove_here_is_not_copied() {
    let (from, to) = (Shop::with(&["v1"]), Shop::empty());
    from.flip("v1");
    let error = copy(&from, &to, "v1").expect_err("refused");
    assert!(error.to_string().starts_with("m@v1 is refused: model.bin is damaged"), "{error}");
    assert_eq!(to.directory.models().expect("reads"), []);
    let unknown = copy(&from, &to, "v2").expect_err("unknown");
    assert!(matches!(unknown, PushError::Storage(StorageError::UnknownVersion { .. })), "{unknown:?}");
    // Nor what nobody trusted signed, for who trusts keys.
    let keys = TrustedKeys::from(vec![PrivateKey::generate().expect("random bytes").public()]);
    let loader = TrustedLoader::over(Box::new(EngineLoader), keys);
    let good = Shop::with(&["v1"]);
    let refused = push(&good.directory, &to.directory, &*loader, (&model(), &version("v1")), "test");
    assert!(refused.expect_err("refused").to_string().contains("it is not signed"));
    assert_eq!(to.directory.models().expect("reads"), []);
}

#[test]
fn what_is_damaged_on_arrival_does_not_stay() {
    /// Answers like the engine until files lie in the second registry.
    struct Damaging(std::path::PathBuf);
    impl serve_core::ModelLoader for Damaging {
        fn load(&self, bundle: &serve_core::Bundle) -> Result<serve_core::Pipeline, serve_core::LoadError> {
            if self.0.join("m/v2/manifest.json").exists() {
                fs::write(self.0.join("m/v2/golden.json"), b"{}").expect("written");
                let missing = serve_core::BundleError::Missing { name: "model.bin".to_owned() };
                return Err(missing.into());
            }
            EngineLoader.load(bundle)
        }
    }
    let (from, to) = (Shop::with(&["v2"]), Shop::with(&["v1"]));
    let loader = Damaging(to.directory.root().to_owned());
    let error = push(&from.directory, &to.directory, &loader, (&model(), &version("v2")), "test");
    let error = error.expect_err("refused");
    let place = to.directory.location();
    assert_eq!(
        error.to_string(),
        format!("the copy at {place} does not prove itself and was taken away again")
    );
    assert_eq!(to.directory.versions(&model()).expect("reads"), [version("v1")]);
    assert_eq!(served(&to.open(), "m@champion"), "v1");
}
