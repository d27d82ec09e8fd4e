//! What only a bucket does: contested publishing without locks, a server that is gone or silent, copies on disk.

use std::fs;
use std::net::TcpListener;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use serve_core::doctest::logistic;
use serve_core::size::ByteSize;
use serve_core::{Alias, Bundle, EngineLoader};
use serve_registry::config::ObjectCacheConfig;
use serve_registry::object_store::ObjectOptions;
use serve_registry::{ObjectStorage, Options, PublishError, Registry, Storage, StorageError, create_storage};

use crate::bucket::{Bucket, KEY, SECRET, open_at};
use crate::shop::{bundle, intercept, model, served, version};

fn publish(storage: &dyn Storage, version: &str, intercept: f64) {
    storage.publish(&bundle(version, intercept), "test").expect("published");
}

fn whole(storage: &dyn Storage, of: &str) -> Result<Bundle, StorageError> {
    storage.bundle(&model(), &version(of))
}

/// An error with all its causes.
fn told(error: &dyn std::error::Error) -> String {
    let mut told = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        told = format!("{told}: {error}");
        cause = error.source();
    }
    told
}

/// A publisher came in between: it has created its files, and its manifest a moment before ours.
#[test]
fn of_two_publishers_the_loser_does_not_harm_the_winner() {
    let bucket = Bucket::start();
    let (first, second) = (bundle("v1", 1.0), bundle("v1", 2.0));
    // The first has written its files and not yet its manifest.
    let files = bucket.path().join("registry/m/v1");
    fs::create_dir_all(&files).expect("made");
    for (file, bytes) in first.files() {
        fs::write(files.join(file), bytes).expect("written");
    }
    // The second does all of it, beside those files.
    bucket.open().publish(&second, "second").expect("published");
    let won = whole(&bucket.open_with(bucket.cache(), ByteSize(0)), "v1").expect("whole");
    assert_eq!(won.digest(), second.digest());
    assert_eq!(fs::read(files.join("model.bin")).expect("there"), first.file("model.bin").expect("there"));
    // The first comes to its manifest.
    let lost = bucket.open().publish(&first, "first").expect_err("refused");
    assert!(matches!(lost, PublishError::Exists { .. }), "{lost}");
    // What was written under a digest goes with the version.
    publish(&bucket.open(), "v2", 2.0);
    let storage = bucket.open();
    serve_registry::change_aliases::<StorageError>(&storage, &model(), |aliases| {
        let (champion, v2) = (serve_core::Alias::champion(), version("v2"));
        let now = jiff::Timestamp::now();
        aliases.point(&champion, &v2, serve_registry::aliases::Action::Promote, "test".into(), now);
        Ok(())
    })
    .expect("moved");
    storage.delete(&model(), &version("v1")).expect("deleted");
    let left = |folder: PathBuf| fs::read_dir(folder).into_iter().flatten().flatten().count();
    assert_eq!(left(files.join(".files")), 0);
}

#[test]
fn several_processes_converge_by_looking_again() {
    let bucket = Bucket::start();
    let watchers: Vec<ObjectStorage> = (0..3)
        .map(|_| {
            let storage = bucket.open();
            assert_eq!(storage.models().expect("reads"), []);
            storage
        })
        .collect();
    publish(&bucket.open(), "v1", 1.0);
    for storage in &watchers {
        assert_eq!(storage.versions(&model()).expect("reads"), [], "it has not looked again");
        assert_eq!(storage.models().expect("reads"), [model()]);
        assert_eq!(storage.versions(&model()).expect("reads"), [version("v1")]);
    }
    publish(&watchers[0], "v2", 2.0);
    assert_eq!(watchers[0].versions(&model()).expect("reads").len(), 2, "its own change it knows");
    let stamps: Vec<_> = watchers[1..]
        .iter()
        .map(|storage| {
            storage.models().expect("reads");
            (storage.stamp(&model()), storage.aliases(&model()).expect("reads"))
        })
        .collect();
    assert_eq!(stamps[0], stamps[1]);
}

#[test]
fn what_was_read_once_loads_without_the_bucket_and_the_rest_is_told() {
    let mut bucket = Bucket::start();
    let storage = bucket.open();
    publish(&storage, "v1", 1.0);
    publish(&storage, "v2", 2.0);
    storage.models().expect("reads");
    let before = whole(&storage, "v1").expect("whole").digest();
    bucket.stop();
    assert_eq!(whole(&storage, "v1").expect("from the disk").digest(), before);
    let error = whole(&storage, "v2").expect_err("the bucket is gone");
    assert!(matches!(error, StorageError::Remote { action: "read", .. }), "{error}");
    let error = storage.models().expect_err("the bucket is gone");
    assert_eq!(error.to_string(), "s3://models/registry cannot be listed");
    assert_eq!(storage.versions(&model()).expect("as last seen").len(), 2);
    // A new process needs the bucket, and says so.
    let error = bucket.open().models().expect_err("the bucket is gone");
    assert!(told(&error).contains("error sending request"), "{}", told(&error));
}

#[test]
fn a_server_that_never_answers_is_given_up() {
    let silent = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
    let address = silent.local_addr().expect("bound");
    let cache = ObjectCacheConfig { dir: None, max_bytes: ByteSize(0) };
    let options = ObjectOptions { cache, timeout: Duration::from_millis(200), attempts: 2 };
    let storage = open_at(address, options, SECRET);
    let start = Instant::now();
    let error = storage.models().expect_err("no answer");
    assert!(start.elapsed() < Duration::from_secs(60), "it ends");
    assert_eq!(
        told(&error),
        "s3://models/registry cannot be listed: the object store did not answer for 200ms"
    );
    for result in [
        storage.publish(&bundle("v1", 1.0), "test").map_err(|error| told(&error)),
        storage.edit_aliases(&model(), &mut |_| true).map(drop).map_err(|error| told(&error)),
    ] {
        let error = result.expect_err("no answer");
        assert!(error.ends_with("did not answer for 200ms"), "{error}");
    }
}

#[test]
fn a_copy_on_disk_that_is_damaged_is_fetched_again() {
    let bucket = Bucket::start();
    let storage = bucket.open();
    publish(&storage, "v1", 1.0);
    let before = whole(&storage, "v1").expect("whole").digest();
    let copies = files_below(&bucket.cache().join("objects"));
    assert!(copies.len() >= 3, "manifest, model and golden rows: {copies:?}");
    for copy in &copies {
        let mut bytes = fs::read(copy).expect("there");
        bytes[0] ^= 1;
        fs::write(copy, bytes).expect("written");
    }
    assert_eq!(whole(&storage, "v1").expect("fetched again").digest(), before);
    for copy in &copies {
        let name = copy.file_name().and_then(|name| name.to_str()).expect("text");
        let bytes = fs::read(copy).expect("kept again");
        assert_eq!(serve_core::Digest::of(&bytes).to_string(), name);
    }
}

/// Manifests and aliases are kept by their tags, so that opening a large registry again reads the disk.
#[test]
fn an_unchanged_manifest_is_not_asked_for_again_by_another_process() {
    let mut bucket = Bucket::start();
    publish(&bucket.open(), "v1", 1.0);
    whole(&bucket.open(), "v1").expect("whole");
    let storage = bucket.open();
    storage.models().expect("reads");
    bucket.stop();
    storage.manifest(&model(), &version("v1")).expect("from the disk");
    whole(&storage, "v1").expect("from the disk");
}

#[test]
fn the_cache_on_disk_keeps_to_its_size() {
    let bucket = Bucket::start();
    let storage = bucket.open_with(bucket.cache(), ByteSize(2500));
    for i in 1..6 {
        publish(&storage, &format!("v{i}"), f64::from(i));
        whole(&storage, &format!("v{i}")).expect("whole");
    }
    let bytes: u64 = files_below(bucket.cache()).iter().map(|f| fs::metadata(f).map_or(0, |d| d.len())).sum();
    assert!(bytes > 0 && bytes <= 2500, "{bytes}");
}

/// What is loaded, proven and swapped is the same wherever it lies.
fn registry(storage: ObjectStorage) -> Registry {
    Registry::with(storage, Box::new(EngineLoader), Options::default()).expect("opens")
}

fn promote(registry: &Registry, to: &str) {
    registry.promote(&model(), &version(to), &Alias::champion(), "test").expect("moved");
}

#[test]
fn registries_on_one_bucket_stand_on_the_same_alias_after_a_poll() {
    let bucket = Bucket::start();
    ["v1", "v2"].iter().for_each(|version| publish(&bucket.open(), version, intercept(version)));
    let registries: Vec<Registry> = (0..3).map(|_| registry(bucket.open())).collect();
    let all = |expected: &str| {
        for registry in &registries {
            registry.poll().expect("reads");
            assert_eq!(served(registry, "m"), expected);
        }
    };
    all("v1");
    promote(&registries[0], "v2");
    all("v2");
    // A version that only one of them has seen is promoted by another one.
    publish(&bucket.open(), "v3", intercept("v3"));
    promote(&registries[1], "v3");
    all("v3");
    registries[2].rollback(&model(), "test").expect("moved back");
    all("v2");
}

#[test]
fn what_is_served_is_served_on_when_the_bucket_is_lost() {
    let mut bucket = Bucket::start();
    publish(&bucket.open(), "v1", intercept("v1"));
    let registry = registry(bucket.open());
    assert_eq!(served(&registry, "m"), "v1");
    bucket.stop();
    let error = registry.poll().expect_err("the bucket is gone");
    assert_eq!(error.to_string(), "s3://models/registry cannot be listed");
    assert_eq!(served(&registry, "m"), "v1");
    let error = registry.promote(&model(), &version("v1"), &Alias::champion(), "test").expect_err("gone");
    assert!(told(&error).contains("s3://models/registry/m cannot be listed"), "{}", told(&error));
    assert_eq!(served(&registry, "m"), "v1");
}

#[test]
fn a_poll_of_many_models_is_one_request() {
    const MODELS: usize = 30;
    let bucket = Bucket::start();
    for i in 0..MODELS {
        let bundle = logistic(&format!("m{i}"), "v1", i as f64).build().expect("proves");
        bucket.open().publish(&bundle, "test").expect("published");
    }
    let registry = registry(bucket.open());
    let before = bucket.requests();
    for _ in 0..3 {
        assert!(registry.poll().expect("reads").is_empty());
    }
    assert_eq!(bucket.requests() - before, 3);
    // Another process of this machine reads manifests and aliases from the disk.
    let before = bucket.requests();
    let again = Registry::with(bucket.open(), Box::new(EngineLoader), Options::default()).expect("opens");
    assert_eq!((again.models().len(), bucket.requests() - before), (MODELS, 1));
}

#[test]
fn secrets_are_in_no_error_and_no_debug_output() {
    let bucket = Bucket::start();
    let wrong = "not-the-secret";
    let storage = bucket.open_without_right(wrong);
    let error = storage.models().expect_err("not allowed");
    let shown = format!("{storage:?} {} {error:?}", told(&error));
    assert!(shown.contains("SignatureDoesNotMatch"), "{shown}");
    for secret in [wrong, KEY, SECRET] {
        assert!(!shown.contains(secret), "{secret} in {shown}");
    }
}

#[test]
fn a_bucket_that_is_not_there_is_told() {
    let bucket = Bucket::start();
    fs::remove_dir_all(bucket.path()).expect("removed");
    let error = told(&bucket.open().models().expect_err("no bucket"));
    assert!(error.starts_with("s3://models/registry cannot be listed: "), "{error}");
    assert!(error.contains("NoSuchBucket"), "{error}");
}

#[test]
fn a_url_that_leads_nowhere_is_told() {
    let error = create_storage("gs://models").expect_err("refused").to_string();
    assert!(error.starts_with("registry gs://…: expected a path"), "{error}");
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("new");
    let url = format!("file://{}", path.display());
    assert!(serve_registry::open_storage(&url).is_err());
    create_storage(&url).expect("made");
    assert_eq!(serve_registry::open_storage(&url).expect("opens").models().expect("reads"), []);
}

/// Callers may stand inside a runtime of their own, also one with a single thread.
#[test]
fn calls_do_not_disturb_a_callers_runtime() {
    let bucket = Bucket::start();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let storage = bucket.open();
        publish(&storage, "v1", 1.0);
        assert_eq!(storage.models().expect("reads"), [model()]);
    });
}

fn files_below(folder: &std::path::Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open = vec![folder.to_owned()];
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(folder).expect("there").flatten() {
            if entry.path().is_dir() { open.push(entry.path()) } else { found.push(entry.path()) }
        }
    }
    found
}
