//! Publishing is all or nothing, and a published version never changes.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::sync::Barrier;

use serve_core::doctest::logistic;
use serve_registry::{Directory, PublishError, Registry, Storage, StorageError};

use crate::shop::{Shop, bundle, model, served, version};

#[test]
fn a_missing_registry_is_an_error_and_an_empty_one_is_ready() {
    let shop = Shop::empty();
    let missing = shop.directory.root().join("nowhere");
    assert!(matches!(Directory::open(&missing), Err(StorageError::NoRegistry { path }) if path == missing));
    let told = Registry::open(&missing).expect_err("refused").to_string();
    assert!(told.starts_with("there is no registry at "), "{told}");
    assert!(shop.open().models().is_empty());
    assert_eq!(Directory::create(&missing).expect("created").models().expect("reads"), []);
}

#[test]
fn a_version_exists_from_the_moment_its_manifest_does() {
    let shop = Shop::with(&["v1"]);
    let bundle = bundle("v2", 2.0);
    fs::create_dir(shop.path("v2")).expect("made");
    for (name, bytes) in bundle.files() {
        fs::write(shop.path("v2").join(name), bytes).expect("written");
    }
    assert_eq!(shop.directory.versions(&model()).expect("reads"), [version("v1")]);
    let unknown = shop.directory.bundle(&model(), &version("v2")).expect_err("unknown");
    assert!(matches!(unknown, StorageError::UnknownVersion { .. }), "{unknown}");
    fs::write(shop.path("v2/manifest.json"), bundle.manifest_bytes()).expect("written");
    assert_eq!(shop.directory.versions(&model()).expect("reads"), [version("v1"), version("v2")]);
}

#[test]
fn what_a_dead_publisher_left_is_replaced() {
    let shop = Shop::with(&["v1"]);
    fs::create_dir_all(shop.path("v2/source")).expect("made");
    for left in ["v2/model.bin", "v2/.writing-abc", "v2/reference.json", "v2/source/old.txt"] {
        fs::write(shop.path(left), b"half").expect("written");
    }
    shop.publish("v2");
    let whole = shop.directory.bundle(&model(), &version("v2")).expect("whole");
    assert_eq!(whole.digest(), bundle("v2", 2.0).digest());
    let mut names: Vec<_> =
        fs::read_dir(shop.path("v2")).expect("there").map(|e| e.expect("reads").file_name()).collect();
    names.sort();
    assert_eq!(names, ["golden.json", "manifest.json", "model.bin"], "nothing else is left");
}

#[test]
fn a_version_is_published_once_even_with_equal_bytes() {
    let shop = Shop::with(&["v1"]);
    let before = shop.directory.bundle(&model(), &version("v1")).expect("whole").digest();
    for again in [bundle("v1", 1.0), bundle("v1", 9.0)] {
        let error = shop.directory.publish(&again, "test").expect_err("refused");
        assert!(
            matches!(&error, PublishError::Exists { name, version: v } if (name, v) == (&model(), &version("v1")))
        );
    }
    assert_eq!(shop.directory.bundle(&model(), &version("v1")).expect("whole").digest(), before);
}

#[test]
fn a_damaged_version_is_still_a_published_one() {
    let shop = Shop::with(&["v1"]);
    fs::write(shop.path("v1/manifest.json"), b"garbage").expect("written");
    let error = shop.directory.publish(&bundle("v1", 1.0), "test").expect_err("refused");
    assert!(matches!(error, PublishError::Exists { .. }), "{error}");
}

#[test]
fn kinds_of_versions_never_mix() {
    let shop = Shop::with(&["v1"]);
    let stamped = bundle("20251003_211954", 0.0);
    let error = shop.directory.publish(&stamped, "test").expect_err("refused");
    assert!(
        matches!(&error, PublishError::MixedKinds { version: v, existing, .. }
            if *v == version("20251003_211954") && *existing == version("v1")),
        "{error}"
    );
    assert_eq!(shop.directory.versions(&model()).expect("reads"), [version("v1")]);
}

#[test]
fn the_first_published_version_is_champion_and_later_ones_are_not() {
    let shop = Shop::with(&["v5", "v2", "v9"]);
    assert_eq!(served(&shop.open(), "m"), "v5");
}

#[test]
fn without_an_alias_file_the_champion_is_the_oldest_version() {
    let shop = Shop::with(&["v5", "v2", "v9"]);
    fs::remove_file(shop.path("aliases.json")).expect("removed");
    assert_eq!(served(&shop.open(), "m"), "v2");
}

/// Even where no alias file says so, since its publisher died before it was written.
#[test]
fn a_version_never_becomes_champion_by_arriving() {
    let shop = Shop::with(&["v5"]);
    fs::remove_file(shop.path("aliases.json")).expect("removed");
    shop.publish("v2");
    assert_eq!(served(&shop.open(), "m"), "v5");
}

#[test]
fn others_may_read_what_was_published() {
    let shop = Shop::empty();
    let mut builder = logistic("m", "v1", 1.0);
    builder.source.file = Some("model.txt".to_owned());
    builder.source_bytes = Some(b"source".to_vec());
    shop.directory.publish(&builder.build().expect("proves"), "test").expect("published");
    let probe = shop.directory.root().join("probe");
    fs::write(&probe, b"").expect("written");
    let mode = |path: std::path::PathBuf| fs::metadata(path).expect("there").permissions().mode() & 0o444;
    for file in ["v1/manifest.json", "v1/model.bin", "v1/golden.json", "v1/source/model.txt", "aliases.json"]
    {
        assert_eq!(mode(shop.path(file)), mode(probe.clone()), "{file}");
    }
}

#[test]
fn of_racing_threads_exactly_one_publishes_a_version() {
    const THREADS: usize = 8;
    let shop = Shop::with(&["v1"]);
    for round in 2..12 {
        let barrier = Barrier::new(THREADS);
        let name = format!("v{round}");
        let publish = |thread: usize| {
            let bundle = bundle(&name, thread as f64);
            barrier.wait();
            (bundle.digest(), shop.directory.publish(&bundle, "test"))
        };
        let results: Vec<_> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..THREADS).map(|i| scope.spawn(move || publish(i))).collect();
            threads.into_iter().map(|thread| thread.join().expect("no panic")).collect()
        });
        let (won, lost): (Vec<_>, Vec<_>) = results.into_iter().partition(|(_, result)| result.is_ok());
        assert_eq!((won.len(), lost.len()), (1, THREADS - 1), "{name}");
        for (_, result) in lost {
            assert!(matches!(result, Err(PublishError::Exists { .. })), "{result:?}");
        }
        let survivor = shop.directory.bundle(&model(), &version(&name)).expect("it verifies");
        assert_eq!(survivor.digest(), won[0].0);
    }
}
