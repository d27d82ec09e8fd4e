//! A folder that cannot be read takes nothing away from what serves.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::process::Command;

use serve_core::Alias;
use serve_registry::{DeploymentError, PromoteError, ReloadStatus, StorageError};

use crate::shop::{Shop, model, reference, served, version};

#[test]
fn a_torn_alias_file_leaves_what_serves() {
    let shop = Shop::with(&["v1", "v2"]);
    shop.point("champion", "v2");
    let registry = shop.open();
    let whole = shop.aliases_bytes();
    fs::write(shop.path("aliases.json"), &whole[..whole.len() / 2]).expect("torn");
    let outcomes = registry.poll().expect("reads");
    assert_eq!(outcomes[0].status, ReloadStatus::Refused);
    assert_eq!((&outcomes[0].from, &outcomes[0].to), (&Some(version("v2")), &Some(version("v2"))));
    let reason = outcomes[0].reason.as_deref().expect("a reason");
    assert!(reason.contains("aliases.json cannot be used: EOF while parsing"), "{reason}");
    assert_eq!(registry.model("m").expect("known").problem.as_deref(), Some(reason));
    assert!(registry.poll().expect("reads").is_empty(), "told once");
    assert_eq!(registry.reload().expect("reads")[0].status, ReloadStatus::Refused, "and when asked to");
    assert_eq!(served(&registry, "m"), "v2");

    fs::write(shop.path("aliases.json"), whole).expect("whole again");
    assert!(registry.poll().expect("reads").is_empty());
    assert_eq!(registry.model("m").expect("known").problem, None);
}

#[test]
fn a_promotion_does_not_overwrite_an_alias_file_that_cannot_be_read() {
    let shop = Shop::with(&["v1", "v2"]);
    let registry = shop.open();
    fs::write(shop.path("aliases.json"), b"{\"format\": 2, \"canaries\": {}}").expect("written");
    let error = registry.promote(&model(), &version("v2"), &Alias::champion(), "test").expect_err("refused");
    let told = "format 2 is not the one this release reads (1)";
    assert!(
        matches!(&error, PromoteError::Storage(StorageError::Aliases { problem, .. }) if problem == told),
        "{error}"
    );
    assert_eq!(shop.aliases_bytes(), b"{\"format\": 2, \"canaries\": {}}");
    assert_eq!(served(&registry, "m"), "v1");
}

#[test]
fn at_start_a_torn_alias_file_is_told_as_what_it_is() {
    let shop = Shop::with(&["v1", "v2"]);
    fs::write(shop.path("aliases.json"), b"{").expect("torn");
    let registry = shop.open();
    let error = registry.deployment(&reference("m")).expect_err("nobody knows the champion");
    assert!(
        matches!(&error, DeploymentError::Unreadable { reason, .. } if reason.contains("aliases.json cannot be used")),
        "{error}"
    );
    let v2 = registry.deployment(&reference("m@v2")).expect("what is named is known");
    assert_eq!(v2.manifest().version, version("v2"));
}

/// Nothing is unreadable to root, so root runs this test once more as somebody else.
#[test]
fn a_model_whose_folder_is_unreadable_is_not_a_model_that_is_gone() {
    let shop = Shop::with(&["v1"]);
    if fs::metadata(shop.path("")).expect("there").uid() == 0 {
        let this = shop.directory.root().join("it");
        fs::copy(std::env::current_exe().expect("a path"), &this).expect("copied");
        fs::set_permissions(shop.directory.root(), Permissions::from_mode(0o755)).expect("opened to all");
        let name = "unreadable::a_model_whose_folder_is_unreadable_is_not_a_model_that_is_gone";
        let other =
            Command::new(this).args(["--exact", name]).uid(65_534).gid(65_534).current_dir("/").output();
        let other = other.expect("it runs");
        assert!(other.status.success(), "{}", String::from_utf8_lossy(&other.stdout));
        return;
    }
    let registry = shop.open();
    let allow = |mode| fs::set_permissions(shop.path(""), Permissions::from_mode(mode)).expect("set");
    allow(0o000);
    let outcomes = registry.poll();
    let again = registry.poll();
    let answered = served(&registry, "m");
    allow(0o755);
    let outcomes = outcomes.expect("the registry itself reads");
    assert_eq!((outcomes[0].status, answered.as_str()), (ReloadStatus::Refused, "v1"));
    let reason = outcomes[0].reason.as_deref().expect("a reason");
    assert!(reason.ends_with("/m cannot be read: Permission denied (os error 13)"), "{reason}");
    assert!(again.expect("the registry itself reads").is_empty(), "told once");
    assert!(registry.poll().expect("reads").is_empty());
    assert_eq!(registry.model("m").expect("known").problem, None);
}

#[test]
fn a_registry_that_is_gone_is_an_error_and_changes_nothing() {
    let shop = Shop::with(&["v1"]);
    let registry = shop.open();
    let root = shop.directory.root();
    let away = root.with_extension("away");
    fs::rename(root, &away).expect("moved");
    let error = registry.poll().expect_err("no folder");
    assert!(matches!(&error, StorageError::Io { action: "read", path, .. } if path == root), "{error}");
    assert_eq!(served(&registry, "m"), "v1");
    fs::rename(&away, root).expect("moved back");
    assert!(registry.poll().expect("reads").is_empty());
}
