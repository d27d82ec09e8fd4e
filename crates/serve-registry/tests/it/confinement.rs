//! Nothing outside the registry's folder is read or written, and what lies in it without being a model is not seen.

use std::fs;
use std::os::unix::fs::symlink;

use serve_core::{ModelName, ModelRef, ModelVersion};
use serve_registry::{PublishError, Storage, StorageError};

use crate::shop::{Shop, bundle, model, served, version};

#[test]
fn a_name_that_would_leave_the_folder_cannot_be_made() {
    for text in ["../../etc/passwd", "..", ".", "/etc", "m/../x", "m\0", "m%2f..", "C:\\m"] {
        assert_eq!(text.parse::<ModelName>().expect_err("refused").what, "model name", "{text}");
        assert_eq!(text.parse::<ModelVersion>().expect_err("refused").what, "model version", "{text}");
        assert!(format!("m@{text}").parse::<ModelRef>().is_err(), "{text}");
    }
}

/// Another registry, which links in the first one lead to.
fn elsewhere() -> Shop {
    Shop::with(&["v1"])
}

#[test]
fn a_model_behind_a_link_out_of_the_registry_does_not_exist() {
    let (shop, other) = (Shop::empty(), elsewhere());
    symlink(other.directory.root().join("m"), shop.directory.root().join("m")).expect("linked");
    assert!(shop.open().models().is_empty());
    assert!(shop.directory.versions(&model()).expect("reads").is_empty());
    assert!(shop.directory.bundle(&model(), &version("v1")).is_err());
}

#[test]
fn a_version_behind_a_link_out_of_the_registry_does_not_exist() {
    let (shop, other) = (Shop::with(&["v1"]), elsewhere());
    symlink(other.path("v1"), shop.path("v2")).expect("linked");
    assert_eq!(shop.directory.versions(&model()).expect("reads"), [version("v1")]);
    let error = shop.directory.bundle(&model(), &version("v2")).expect_err("refused");
    assert!(matches!(error, StorageError::Outside { .. }), "{error}");
}

#[test]
fn a_file_behind_a_link_out_of_the_registry_is_not_read() {
    let (shop, other) = (Shop::with(&["v1"]), elsewhere());
    for file in ["model.bin", "manifest.json"] {
        let path = shop.path("v1").join(file);
        fs::remove_file(&path).expect("removed");
        symlink(other.path("v1").join(file), &path).expect("linked");
        let error = shop.directory.bundle(&model(), &version("v1")).expect_err("refused");
        assert!(matches!(error, StorageError::Outside { .. }), "{error}");
    }
    fs::remove_file(shop.path("aliases.json")).expect("removed");
    symlink(other.path("aliases.json"), shop.path("aliases.json")).expect("linked");
    let error = shop.directory.aliases(&model()).expect_err("refused");
    assert!(matches!(error, StorageError::Outside { .. }), "{error}");
}

#[test]
fn nothing_is_published_through_a_link_out_of_the_registry() {
    let (shop, other) = (Shop::empty(), Shop::empty());
    let outside = other.directory.root().to_owned();
    let publish = || match shop.directory.publish(&bundle("v1", 1.0), "test").expect_err("refused") {
        PublishError::Storage(StorageError::Outside { path }) => path,
        other => unreachable!("{other}"),
    };
    symlink(&outside, shop.directory.root().join("m")).expect("linked");
    assert_eq!(publish(), shop.directory.root().join("m"));
    fs::remove_file(shop.directory.root().join("m")).expect("removed");
    fs::create_dir(shop.directory.root().join("m")).expect("made");
    symlink(&outside, shop.path("v1")).expect("linked");
    assert_eq!(publish(), shop.path("v1"));
    assert_eq!(fs::read_dir(outside).expect("there").count(), 0, "nothing was written");
}

#[test]
fn what_is_neither_a_model_nor_a_version_is_ignored() {
    let shop = Shop::with(&["v1"]);
    let root = shop.directory.root();
    for folder in ["lost+found", "Upper", ".git", "empty", "m/notes", "m/v1.x", "m/v2"] {
        fs::create_dir(root.join(folder)).expect("made");
    }
    for file in ["README.md", "model", "m/v3", "m/.lock~", "m/v1/.writing-xyz", "m/v1/notes.txt"] {
        fs::write(root.join(file), b"x").expect("written");
    }
    symlink("circle", root.join("circle")).expect("linked");
    symlink("nowhere", shop.path("v7")).expect("linked");
    assert_eq!(shop.directory.models().expect("reads"), [model()]);
    assert_eq!(shop.directory.versions(&model()).expect("reads"), [version("v1")]);
    assert_eq!(served(&shop.open(), "m"), "v1");
    let error = shop.directory.bundle(&model(), &version("v3")).expect_err("a file is no version");
    assert!(matches!(error, StorageError::UnknownVersion { .. }), "{error}");
}

#[test]
fn what_is_no_regular_file_is_not_read_for_ever() {
    let shop = Shop::with(&["v1"]);
    fs::remove_file(shop.path("v1/model.bin")).expect("removed");
    let made = std::process::Command::new("mkfifo").arg(shop.path("v1/model.bin")).status().expect("it runs");
    assert!(made.success());
    let error = shop.directory.bundle(&model(), &version("v1")).expect_err("refused");
    assert!(
        matches!(&error, StorageError::Io { source, .. } if source.to_string() == "it is no regular file")
    );
}

#[test]
fn a_giant_manifest_is_not_read() {
    let shop = Shop::with(&["v1"]);
    let file = fs::OpenOptions::new().write(true).open(shop.path("v1/manifest.json")).expect("there");
    file.set_len((64 << 20) + 1).expect("a hole");
    let error = shop.directory.bundle(&model(), &version("v1")).expect_err("refused").to_string();
    assert_eq!(error, "manifest.json has 67108865 bytes, expected at most 67108864");
    let file = fs::OpenOptions::new().write(true).open(shop.path("aliases.json")).expect("there");
    file.set_len((16 << 20) + 1).expect("a hole");
    let error = shop.directory.aliases(&model()).expect_err("refused").to_string();
    assert!(error.ends_with("cannot be used: it has 16777217 bytes, expected at most 16777216"), "{error}");
}
