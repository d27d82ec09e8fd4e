//! A registry that is followed: what others publish and promote is served, without waiting for the next poll.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serve_app::poll::follow;
use serve_core::doctest::logistic;
use serve_core::{Alias, ModelName};
use serve_registry::aliases::Action;
use serve_registry::{Directory, Registry, Storage, StorageError, change_aliases};

/// Longer than any test: what is noticed was told.
const NEVER: Duration = Duration::from_secs(100_000);

fn publish(registry: &Directory, version: &str) {
    let bundle = logistic("m", version, 1.0).build().expect("proves");
    registry.publish(&bundle, "test").expect("published");
}

fn promote(registry: &Directory, version: &str) {
    let name: ModelName = "m".parse().expect("a name");
    let version = version.parse().expect("a version");
    change_aliases::<StorageError>(registry, &name, |aliases| {
        let now = jiff::Timestamp::now();
        aliases.point(&Alias::champion(), &version, Action::Promote, "test".into(), now);
        Ok(())
    })
    .expect("moved");
}

fn champion(registry: &Registry) -> Option<String> {
    registry.model("m")?.champion().map(ToString::to_string)
}

async fn eventually(what: &str, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !condition() {
        assert!(Instant::now() < deadline, "in vain: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn open(root: &Path) -> Arc<Registry> {
    Arc::new(Registry::open(root).expect("opens"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn changes_in_a_folder_are_served_without_polling() {
    let folder = tempfile::tempdir().expect("a folder");
    let directory = Directory::create(folder.path()).expect("made");
    let registry = open(folder.path());
    let task = follow(Arc::clone(&registry), NEVER, Some(folder.path().to_owned()));
    publish(&directory, "v1");
    eventually("a new model", || champion(&registry).as_deref() == Some("v1")).await;
    publish(&directory, "v2");
    eventually("a new version", || registry.model("m").is_some_and(|m| m.versions.len() == 2)).await;
    promote(&directory, "v2");
    eventually("a promotion", || champion(&registry).as_deref() == Some("v2")).await;
    task.abort();
}

/// What changed before the folder was watched, and after it went and came back.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn nothing_is_missed_around_the_watch() {
    let folder = tempfile::tempdir().expect("a folder");
    let root = folder.path().join("registry");
    let directory = Directory::create(&root).expect("made");
    publish(&directory, "v1");
    let registry = open(&root);
    publish(&directory, "v2");
    promote(&directory, "v2");
    let task = follow(Arc::clone(&registry), Duration::from_secs(1), Some(root.clone()));
    eventually("what came before", || champion(&registry).as_deref() == Some("v2")).await;
    let away = folder.path().join("away");
    std::fs::rename(&root, &away).expect("moved");
    assert!(directory.models().is_err(), "it is gone");
    std::fs::rename(&away, &root).expect("moved back");
    promote(&directory, "v1");
    eventually("what came after", || champion(&registry).as_deref() == Some("v1")).await;
    task.abort();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn without_a_folder_to_watch_it_is_polled() {
    let folder = tempfile::tempdir().expect("a folder");
    let directory = Directory::create(folder.path()).expect("made");
    let registry = open(folder.path());
    let task = follow(Arc::clone(&registry), Duration::from_millis(20), None);
    publish(&directory, "v1");
    eventually("a new model", || champion(&registry).as_deref() == Some("v1")).await;
    task.abort();
}
