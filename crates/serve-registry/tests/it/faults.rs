//! Real faults: a disk that is full or read-only, publishers that are killed at every step, clocks that jump, bundles that
//! arrive in pieces. What serves goes on, nothing is lost, and the error says what happened.

use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, SystemTime};

use serve_core::Alias;
use serve_registry::{Directory, Registry, ReloadStatus, Storage};

use crate::shop::{Shop, bundle, model, reference, served, version};

const TASK: &str = "SERVE_REGISTRY_TEST_FAULT";
const FOLDER: &str = "SERVE_REGISTRY_TEST_FAULT_FOLDER";

/// What another process does. Without a task it is no test at all.
#[test]
fn does_what_it_is_told() {
    let Ok(task) = std::env::var(TASK) else { return };
    let folder = std::env::var(FOLDER).expect("a folder");
    match task.as_str() {
        "publish" => drop(Directory::open(folder).expect("opens").publish(&bundle("v2", 2.0), "test")),
        "full" => on_a_full_disk(&folder),
        "read-only" => on_a_read_only_disk(&folder),
        other => unreachable!("{other} is no task"),
    }
}

/// A command that runs this binary for a task, behind `before`.
fn task(before: &[&str], task: &str, folder: &Path) -> Command {
    let binary = std::env::current_exe().expect("a path");
    let arguments = ["--exact", "faults::does_what_it_is_told", "--nocapture"];
    let mut command = match before.split_first() {
        None => Command::new(binary),
        Some((program, more)) => {
            let mut command = Command::new(program);
            command.args(more).arg(binary);
            command
        }
    };
    command.args(arguments).env(TASK, task).env(FOLDER, folder).stdin(Stdio::null());
    command
}

fn succeeded(output: &Output) {
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{told}{}", String::from_utf8_lossy(&output.stdout));
}

/// The system calls by which a publisher changes the file system; a question mark where not every system has it.
const CHANGES: [&str; 12] = [
    "?mkdir",
    "mkdirat",
    "?rename",
    "?renameat",
    "renameat2",
    "?link",
    "linkat",
    "?unlink",
    "unlinkat",
    "?rmdir",
    "fsync",
    "write",
];

/// More calls of a kind than a publisher makes.
const MOST_STEPS: usize = 1000;

/// Kills a publisher at its n-th call of each kind, for every n that there is.
#[test]
fn a_publisher_killed_at_any_step_leaves_a_whole_version_or_none() {
    if Command::new("strace").arg("--version").output().is_err() {
        eprintln!("skipped: strace is not installed, so no publisher can be killed at a step of its own");
        return;
    }
    let steps = |change: &str| (1..MOST_STEPS).take_while(|step| killed_at(change, *step)).count();
    let killed: usize = CHANGES.into_iter().map(steps).sum();
    assert!(killed > 20, "a publisher has more steps than {killed}");
}

/// Whether a publisher was killed at this step rather than done before it. What it left is one or the other: a version that
/// is whole, or none, and the next publisher succeeds.
fn killed_at(change: &str, step: usize) -> bool {
    let shop = Shop::with(&["v1"]);
    let registry = shop.open();
    let inject = format!("inject={change}:signal=SIGKILL:when={step}");
    let before = ["strace", "-f", "-qq", "-o", "/dev/null", "-e", &inject];
    let output = task(&before, "publish", shop.directory.root()).output().expect("it starts");
    if shop.directory.versions(&model()).expect("reads").contains(&version("v2")) {
        shop.directory.bundle(&model(), &version("v2")).expect("it is whole");
    } else {
        shop.publish("v2");
    }
    registry.poll().expect("reads");
    assert_eq!(served(&registry, "m"), "v1");
    registry.promote(&model(), &version("v2"), &Alias::champion(), "test").expect("it proves");
    assert_eq!(served(&registry, "m"), "v2");
    assert_eq!(shop.directory.models().expect("reads"), [model()]);
    !output.status.success()
}

/// Runs a task in a namespace with a small file system of its own at `folder`. Where the system does not let us, the test is
/// skipped by name.
fn on_a_disk_of_its_own(name: &str, bytes: &str) {
    let folder = tempfile::tempdir().expect("a folder");
    let mount = format!("mount -t tmpfs -o size={bytes} none \"$1\" && shift && exec \"$@\"");
    let own = folder.path().display().to_string();
    let before = ["unshare", "--map-root-user", "--mount", "sh", "-c", &mount, "sh", &own];
    let may = Command::new("unshare")
        .args(["--map-root-user", "--mount", "sh", "-c", "mount -t tmpfs none \"$0\"", &own])
        .output();
    if !may.is_ok_and(|output| output.status.success()) {
        eprintln!("skipped: {name}: this system mounts nothing for us");
        return;
    }
    succeeded(&task(&before, name, folder.path()).output().expect("it starts"));
}

#[test]
fn a_full_disk_is_told_and_what_serves_goes_on() {
    on_a_disk_of_its_own("full", "256k");
}

fn on_a_full_disk(folder: &str) {
    let directory = Directory::open(folder).expect("opens");
    for (name, intercept) in [("v1", 1.0), ("v2", 2.0)] {
        directory.publish(&bundle(name, intercept), "test").expect("there is room");
    }
    let registry = Registry::open(folder).expect("opens");
    let filler = Path::new(folder).join("filler");
    let mut bytes = 256 << 10;
    while bytes > 0 {
        let all = fs::read(&filler).unwrap_or_default();
        let more = [all, vec![0; bytes]].concat();
        if fs::write(&filler, more).is_err() {
            bytes /= 2;
        }
    }
    let aliases = directory.aliases(&model()).expect("reads");
    let told = |error: &dyn std::error::Error| {
        let cause = error.source().map(ToString::to_string).unwrap_or_default();
        assert!(
            cause.contains("No space left") || error.to_string().contains("No space left"),
            "{error}: {cause}"
        );
    };
    told(&directory.publish(&bundle("v3", 3.0), "test").expect_err("no room"));
    let refused =
        registry.promote(&model(), &version("v2"), &Alias::champion(), "test").expect_err("no room");
    told(&refused);
    assert_eq!(directory.aliases(&model()).expect("reads"), aliases, "the alias stayed whole, where it was");
    registry.poll().expect("reads");
    assert_eq!(served(&registry, "m"), "v1");
    fs::remove_file(filler).expect("removed");
    directory.publish(&bundle("v3", 3.0), "test").expect("there is room again");
    registry.promote(&model(), &version("v3"), &Alias::champion(), "test").expect("and again");
    assert_eq!(served(&registry, "m"), "v3");
}

#[test]
fn a_read_only_registry_serves_and_says_that_it_cannot_be_changed() {
    on_a_disk_of_its_own("read-only", "1m");
}

fn on_a_read_only_disk(folder: &str) {
    let directory = Directory::open(folder).expect("opens");
    for (name, intercept) in [("v1", 1.0), ("v2", 2.0)] {
        directory.publish(&bundle(name, intercept), "test").expect("writable still");
    }
    let remount = |how: &str| {
        let options = format!("remount,{how}");
        let mounted = Command::new("mount").args(["-o", &options, folder]).status().expect("mount starts");
        assert!(mounted.success());
    };
    remount("ro");
    let registry = Registry::open(folder).expect("opens");
    assert_eq!(served(&registry, "m"), "v1");
    registry.deployment(&reference("m@v2")).expect("versions load");
    let error = registry.promote(&model(), &version("v2"), &Alias::champion(), "test").expect_err("refused");
    let cause = std::error::Error::source(&error).map(ToString::to_string);
    assert_eq!(cause.as_deref(), Some("Read-only file system (os error 30)"), "{error}");
    let error = directory.publish(&bundle("v3", 3.0), "test").expect_err("refused");
    assert!(error.to_string().contains("cannot be"), "{error}");
    registry.reload().expect("reads");
    assert_eq!(served(&registry, "m"), "v1");
    remount("rw");
    registry.promote(&model(), &version("v2"), &Alias::champion(), "test").expect("moved");
    assert_eq!(served(&registry, "m"), "v2");
}

#[test]
fn a_bundle_that_arrives_in_pieces_is_served_once_it_is_whole() {
    let shop = Shop::with(&["v1"]);
    let other = Shop::with(&["v2"]);
    let registry = shop.open();
    fs::create_dir(shop.path("v2")).expect("made");
    let copy = |file: &str, bytes: usize| {
        let whole = fs::read(other.path(&format!("v2/{file}"))).expect("there");
        fs::write(shop.path(&format!("v2/{file}")), &whole[..bytes.min(whole.len())]).expect("written");
        registry.poll().expect("reads");
        assert_eq!(served(&registry, "m"), "v1");
    };
    copy("manifest.json", 100);
    copy("manifest.json", usize::MAX);
    shop.point("champion", "v2");
    let outcomes = registry.poll().expect("reads");
    assert_eq!(outcomes[0].status, ReloadStatus::Refused, "{outcomes:?}");
    copy("model.bin", 50);
    copy("model.bin", usize::MAX);
    let whole = fs::read(other.path("v2/golden.json")).expect("there");
    fs::write(shop.path("v2/golden.json"), whole).expect("written");
    assert_eq!(registry.poll().expect("reads")[0].status, ReloadStatus::Swapped);
    assert_eq!(served(&registry, "m"), "v2");
    assert!(registry.model("m").expect("known").refused.is_empty());
}

#[test]
fn aliases_that_are_deleted_while_they_serve_move_nothing_until_somebody_promotes() {
    let shop = Shop::with(&["v1", "v2", "v3"]);
    let registry = shop.open();
    registry.promote(&model(), &version("v2"), &Alias::champion(), "test").expect("moved");
    fs::remove_file(shop.path("aliases.json")).expect("removed");
    let told = registry.poll().expect("reads")[0].reason.clone().expect("told");
    assert!(told.contains("the aliases of m cannot be used: they are gone"), "{told}");
    registry.reload().expect("reads");
    assert_eq!(served(&registry, "m"), "v2");
    assert!(registry.model("m").expect("known").problem.is_some());
    registry.promote(&model(), &version("v3"), &Alias::champion(), "test").expect("moved");
    registry.poll().expect("reads");
    assert_eq!(served(&registry, "m"), "v3");
    assert!(registry.model("m").expect("known").problem.is_none());
}

#[test]
fn a_clock_that_jumps_hides_no_change() {
    let shop = Shop::with(&["v1", "v2", "v3"]);
    let registry = shop.open();
    let year = Duration::from_secs(365 * 86_400);
    for (to, time) in
        [("v2", SystemTime::now() + year), ("v3", SystemTime::now() - year), ("v1", SystemTime::now())]
    {
        shop.point("champion", to);
        for path in [shop.path("aliases.json"), shop.path("")] {
            fs::File::open(path).and_then(|file| file.set_modified(time)).expect("set");
        }
        let outcomes = registry.poll().expect("reads");
        assert_eq!(outcomes[0].to, Some(version(to)), "{outcomes:?}");
        assert_eq!(served(&registry, "m"), to);
    }
}

#[test]
fn a_bundle_of_a_newer_format_is_refused_by_its_number() {
    let shop = Shop::with(&["v1", "v2"]);
    let registry = shop.open();
    let path = shop.path("v2/manifest.json");
    let mut manifest: serde_json::Value =
        serde_json::from_slice(&fs::read(&path).expect("there")).expect("JSON");
    manifest["format"] = serde_json::json!(99);
    fs::write(&path, manifest.to_string()).expect("written");
    let error = registry.promote(&model(), &version("v2"), &Alias::champion(), "test").expect_err("refused");
    assert!(
        error.to_string().contains("manifest.json has format 99, newer than this release reads"),
        "{error}"
    );
    registry.reload().expect("reads");
    assert_eq!(served(&registry, "m"), "v1");
}

#[test]
fn a_registry_that_is_removed_while_it_serves_and_put_back_is_followed_again() {
    let shop = Shop::with(&["v1", "v2"]);
    let registry = shop.open();
    let (here, away) = (shop.directory.root().to_owned(), shop.directory.root().with_extension("away"));
    fs::rename(&here, &away).expect("moved");
    let error = registry.poll().expect_err("gone").to_string();
    assert!(error.contains("cannot be read"), "{error}");
    assert_eq!(served(&registry, "m"), "v1");
    fs::rename(&away, &here).expect("moved back");
    shop.point("champion", "v2");
    assert_eq!(registry.poll().expect("reads")[0].status, ReloadStatus::Swapped);
    assert_eq!(served(&registry, "m"), "v2");
}
