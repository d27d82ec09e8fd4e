//! The contract of a storage, held against every one: a folder, and a bucket.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use serve_core::doctest::logistic;
use serve_core::{Alias, BundleError, Digest};
use serve_registry::aliases::Action;
use serve_registry::{DeleteError, Directory, PublishError, Storage, StorageError, change_aliases};
use tempfile::TempDir;

use crate::bucket::Bucket;
use crate::shop::{bundle, model, version};

/// A registry, and its files from behind.
struct Place {
    kind: &'static str,
    folder: PathBuf,
    keeps: Keeps,
}

enum Keeps {
    Folder(#[expect(dead_code, reason = "removed when it is dropped")] TempDir),
    Bucket(Box<Bucket>),
}

impl Place {
    fn all() -> [Self; 2] {
        let folder = tempfile::tempdir().expect("a folder");
        let bucket = Bucket::start();
        [
            Self { kind: "folder", folder: folder.path().to_owned(), keeps: Keeps::Folder(folder) },
            Self {
                kind: "bucket",
                folder: bucket.path().join("registry"),
                keeps: Keeps::Bucket(Box::new(bucket)),
            },
        ]
    }

    /// As another process would open it, that has seen nothing yet.
    fn open(&self) -> Arc<dyn Storage> {
        match &self.keeps {
            Keeps::Folder(_) => Arc::new(Directory::open(&self.folder).expect("opens")),
            // Without copies on disk: what is looked at is the bucket.
            Keeps::Bucket(bucket) => {
                Arc::new(bucket.open_with(bucket.cache(), serve_core::size::ByteSize(0)))
            }
        }
    }

    fn with(self, versions: &[&str]) -> (Self, Arc<dyn Storage>) {
        let storage = self.open();
        versions.iter().for_each(|version| publish(&*storage, version).expect("published"));
        (self, storage)
    }

    fn path(&self, inside: &str) -> PathBuf {
        self.folder.join("m").join(inside)
    }
}

fn publish(storage: &dyn Storage, version: &str) -> Result<(), PublishError> {
    storage.publish(&bundle(version, version.len() as f64), "test")
}

fn each(versions: &[&str], test: impl Fn(&Place, &dyn Storage)) {
    for place in Place::all() {
        eprintln!("in a {}", place.kind);
        let (place, storage) = place.with(versions);
        test(&place, &*storage);
    }
}

fn point(storage: &dyn Storage, alias: &str, to: &str) -> Result<(), StorageError> {
    let alias: Alias = alias.parse().expect("an alias");
    let now = jiff::Timestamp::now();
    change_aliases(storage, &model(), |aliases| {
        aliases.point(&alias, &version(to), Action::Promote, "test".into(), now);
        Ok(())
    })
    .map(drop)
}

#[test]
fn what_was_published_is_there_for_everybody() {
    each(&["v1", "v2"], |place, storage| {
        for storage in [storage, &*place.open()] {
            assert_eq!(storage.models().expect("reads"), [model()]);
            assert_eq!(storage.versions(&model()).expect("reads"), [version("v1"), version("v2")]);
            let whole = storage.bundle(&model(), &version("v2")).expect("whole");
            assert_eq!(whole.digest(), bundle("v2", 2.0).digest());
            let (manifest, digest) = storage.manifest(&model(), &version("v2")).expect("reads");
            assert_eq!((manifest.version, digest), (version("v2"), whole.digest()));
        }
    });
}

#[test]
fn a_version_with_a_source_comes_back_whole() {
    each(&[], |place, storage| {
        let mut builder = logistic("m", "v1", 1.0);
        builder.source.file = Some("my model+1.txt".to_owned());
        builder.source_bytes = Some(b"source".to_vec());
        storage.publish(&builder.build().expect("proves"), "test").expect("published");
        let whole = place.open().bundle(&model(), &version("v1")).expect("whole");
        assert_eq!(whole.file("source/my model+1.txt").expect("there"), b"source");
        assert!(place.path("v1/source/my model+1.txt").is_file(), "under its own name");
    });
}

#[test]
fn a_signature_comes_with_its_version_or_later() {
    each(&["v1"], |place, storage| {
        let signature = |version: &str| {
            let version = crate::shop::version(version);
            let read = place.open().signature(&model(), &version).expect("reads");
            let whole = place.open().bundle(&model(), &version).expect("whole");
            assert_eq!(read.as_deref(), whole.signature());
            read
        };
        assert_eq!(signature("v1"), None);
        storage.sign(&model(), &version("v1"), b"later").expect("signed");
        assert_eq!(signature("v1").as_deref(), Some(&b"later"[..]));
        // A publisher that died left another one.
        fs::create_dir_all(place.path("v2")).expect("made");
        fs::write(place.path("v2/manifest.sig"), b"left behind").expect("written");
        let signed = bundle("v2", 2.0).with_signature(Some(b"at once".to_vec()));
        storage.publish(&signed, "test").expect("published");
        assert_eq!(signature("v2").as_deref(), Some(&b"at once"[..]));
        storage.sign(&model(), &version("v2"), b"again").expect("signed");
        assert_eq!(signature("v2").as_deref(), Some(&b"again"[..]));
        let before = storage.fingerprint(&model(), &version("v2"));
        storage.sign(&model(), &version("v2"), b"once more").expect("signed");
        assert_ne!(storage.fingerprint(&model(), &version("v2")), before);
        let unknown = storage.sign(&model(), &version("v9"), b"none").expect_err("unknown");
        assert!(matches!(unknown, StorageError::UnknownVersion { .. }), "{unknown}");
    });
}

#[test]
fn an_empty_registry_has_no_models() {
    each(&[], |_, storage| {
        assert_eq!(storage.models().expect("reads"), []);
        assert_eq!(storage.versions(&model()).expect("reads"), []);
    });
}

#[test]
fn a_published_version_never_changes() {
    each(&["v1"], |place, storage| {
        for again in [bundle("v1", 2.0), bundle("v1", 9.0)] {
            let error = place.open().publish(&again, "test").expect_err("refused");
            assert!(matches!(&error, PublishError::Exists { .. }), "{error}");
            assert!(matches!(storage.publish(&again, "test"), Err(PublishError::Exists { .. })));
        }
        let whole = storage.bundle(&model(), &version("v1")).expect("whole");
        assert_eq!(whole.digest(), bundle("v1", 2.0).digest());
    });
}

#[test]
fn kinds_of_versions_never_mix() {
    each(&["v1"], |_, storage| {
        let error = publish(storage, "20251003_211954").expect_err("refused");
        assert!(matches!(&error, PublishError::MixedKinds { .. }), "{error}");
        assert_eq!(storage.versions(&model()).expect("reads"), [version("v1")]);
    });
}

#[test]
fn the_first_version_is_champion_and_arriving_does_not_promote() {
    each(&["v5", "v2"], |place, storage| {
        let aliases = place.open().aliases(&model()).expect("reads");
        assert_eq!(aliases.target("champion"), Some(&version("v5")));
        assert_eq!(aliases.history("champion")[0].by, "test");
        fs::remove_file(place.path("aliases.json")).expect("removed");
        let aliases = place.open().aliases(&model()).expect("reads");
        assert_eq!(aliases.target("champion"), Some(&version("v2")), "the oldest, where nothing is said");
        publish(storage, "v1").expect("published");
        let aliases = place.open().aliases(&model()).expect("reads");
        assert_eq!(aliases.target("champion"), Some(&version("v2")), "not the one that arrived");
    });
}

#[test]
fn what_a_dead_publisher_left_does_not_harm() {
    each(&["v1"], |place, storage| {
        fs::create_dir_all(place.path("v2/source")).expect("made");
        for left in ["v2/model.bin", "v2/golden.json", "v2/source/old.txt"] {
            fs::write(place.path(left), b"left behind").expect("written");
        }
        assert_eq!(place.open().versions(&model()).expect("reads"), [version("v1")]);
        let unknown = place.open().bundle(&model(), &version("v2")).expect_err("unknown");
        assert!(matches!(unknown, StorageError::UnknownVersion { .. }), "{unknown}");
        publish(storage, "v2").expect("published");
        let whole = place.open().bundle(&model(), &version("v2")).expect("whole");
        assert_eq!(whole.digest(), bundle("v2", 2.0).digest());
    });
}

#[test]
fn aliases_change_as_a_whole_and_keep_their_history() {
    each(&["v1", "v2"], |place, storage| {
        point(storage, "champion", "v2").expect("moved");
        point(&*place.open(), "challenger", "v1").expect("moved");
        point(storage, "champion", "v1").expect("moved by one that has not seen the other's move");
        let aliases = place.open().aliases(&model()).expect("reads");
        assert_eq!(aliases.target("challenger"), Some(&version("v1")));
        let targets: Vec<_> =
            aliases.history("champion").iter().map(|step| step.target[0].version.to_string()).collect();
        assert_eq!(targets, ["v1", "v2", "v1"]);
    });
}

#[test]
fn an_edit_that_decides_against_it_writes_nothing() {
    each(&["v1"], |place, storage| {
        let before = fs::read(place.path("aliases.json")).expect("there");
        let edited = storage.edit_aliases(&model(), &mut |_| false).expect("reads");
        assert!(edited.is_none());
        let refused: Result<_, StorageError> = change_aliases(storage, &model(), |_| {
            Err(StorageError::UnknownVersion { name: model(), version: version("v9") })
        });
        assert!(matches!(refused, Err(StorageError::UnknownVersion { .. })));
        assert_eq!(fs::read(place.path("aliases.json")).expect("there"), before);
    });
}

#[test]
fn an_edit_between_reading_and_writing_is_not_lost() {
    let places = Place::all();
    // A folder's edit holds a lock: there is no between.
    let (place, storage) = places.into_iter().next_back().expect("the bucket").with(&["v1", "v2", "v3"]);
    let mut calls = 0;
    let champion = Alias::champion();
    let edited = storage.edit_aliases(&model(), &mut |aliases| {
        calls += 1;
        if calls == 1 {
            point(&*place.open(), "challenger", "v2").expect("moved");
        }
        aliases.point(&champion, &version("v3"), Action::Promote, "test".into(), jiff::Timestamp::now());
        true
    });
    let edited = edited.expect("written").expect("decided for it");
    assert_eq!(calls, 2, "it was asked again with what the other wrote");
    assert_eq!(edited.target("challenger"), Some(&version("v2")));
    assert_eq!(place.open().aliases(&model()).expect("reads"), edited);
}

#[test]
fn what_is_unknown_is_told_by_name() {
    each(&["v1"], |_, storage| {
        let other = "other".parse().expect("a name");
        let unknown = storage.bundle(&other, &version("v1")).expect_err("unknown");
        assert_eq!(unknown.to_string(), "unknown model \"other\"");
        let unknown = storage.manifest(&model(), &version("v7")).expect_err("unknown");
        assert_eq!(unknown.to_string(), "model \"m\" has no version \"v7\"");
        let unknown = storage.edit_aliases(&other, &mut |_| true).expect_err("unknown");
        assert!(matches!(unknown, StorageError::UnknownModel { .. }), "{unknown}");
        let unknown = storage.delete(&model(), &version("v7")).expect_err("unknown");
        assert_eq!(unknown.to_string(), "model \"m\" has no version \"v7\"");
    });
}

#[test]
fn a_version_goes_only_where_no_alias_leads_to_it() {
    each(&["v1", "v2"], |place, storage| {
        let error = storage.delete(&model(), &version("v1")).expect_err("refused");
        assert!(matches!(error, DeleteError::Aliased { .. }), "{error}");
        storage.delete(&model(), &version("v2")).expect("deleted");
        for storage in [storage, &*place.open()] {
            assert_eq!(storage.versions(&model()).expect("reads"), [version("v1")]);
        }
        assert!(!place.path("v2/model.bin").exists(), "its files are gone");
        publish(storage, "v2").expect("the name is free again");
    });
}

#[test]
fn damage_is_told_by_file() {
    each(&["v1"], |place, _| {
        let wrong = |place: &Place| match place.open().bundle(&model(), &version("v1")) {
            Err(StorageError::Bundle(error)) => error,
            other => unreachable!("{other:?}"),
        };
        let path = place.path("v1/model.bin");
        let whole = fs::read(&path).expect("there");
        let mut flipped = whole.clone();
        flipped[60] ^= 1;
        fs::write(&path, &flipped).expect("written");
        let error = wrong(place);
        let got = Digest::of(&flipped);
        assert!(
            matches!(&error, BundleError::Digest { name, got: g, .. } if name == "model.bin" && *g == got)
        );
        fs::write(&path, &whole[..whole.len() - 1]).expect("written");
        let (expected, got) = (whole.len() as u64, whole.len() as u64 - 1);
        let error = wrong(place);
        assert!(
            matches!(&error, BundleError::Length { expected: e, got: g, .. } if (*e, *g) == (expected, got)),
            "{error}"
        );
        fs::write(&path, [&whole[..], b"more"].concat()).expect("written");
        assert!(matches!(wrong(place), BundleError::Length { .. }));
        fs::remove_file(&path).expect("removed");
        assert!(matches!(wrong(place), BundleError::Missing { name } if name == "model.bin"));
        fs::write(&path, &whole).expect("written");
        place.open().bundle(&model(), &version("v1")).expect("whole again");
    });
}

#[test]
fn a_newer_format_and_a_damaged_manifest_are_told_apart() {
    each(&["v1"], |place, _| {
        let path = place.path("v1/manifest.json");
        let text = fs::read_to_string(&path).expect("there");
        fs::write(&path, text.replacen("\"format\": 2", "\"format\": 3000", 1)).expect("written");
        let error = place.open().manifest(&model(), &version("v1")).expect_err("refused");
        assert!(matches!(error, StorageError::Bundle(BundleError::Format { got: 3000 })), "{error}");
        fs::write(&path, &text[..text.len() / 2]).expect("torn");
        let error = place.open().manifest(&model(), &version("v1")).expect_err("refused");
        assert!(matches!(error, StorageError::Bundle(BundleError::Manifest(_))), "{error}");
        assert!(matches!(publish(&*place.open(), "v1"), Err(PublishError::Exists { .. })));
    });
}

#[test]
fn a_torn_alias_file_is_told_and_not_overwritten() {
    each(&["v1"], |place, storage| {
        let whole = fs::read(place.path("aliases.json")).expect("there");
        fs::write(place.path("aliases.json"), &whole[..whole.len() / 2]).expect("torn");
        let error = place.open().aliases(&model()).expect_err("refused");
        assert!(matches!(error, StorageError::Aliases { .. }), "{error}");
        let error = point(storage, "champion", "v1").expect_err("refused");
        assert!(error.to_string().contains("m/aliases.json cannot be used"), "{error}");
        assert_eq!(fs::read(place.path("aliases.json")).expect("there").len(), whole.len() / 2);
    });
}

#[test]
fn fingerprints_and_stamps_change_with_what_they_stand_for() {
    each(&["v1", "v2"], |place, storage| {
        let fingerprint = |version: &str| place.open().fingerprint(&model(), &crate::shop::version(version));
        let before = (fingerprint("v1"), fingerprint("v2"));
        assert!(!before.0.is_empty());
        fs::write(place.path("v1/model.bin"), b"shorter").expect("written");
        assert_ne!(fingerprint("v1"), before.0);
        assert_eq!(fingerprint("v2"), before.1);
        let looked = place.open();
        looked.models().expect("reads");
        let stamp = looked.stamp(&model());
        point(storage, "champion", "v2").expect("moved");
        publish(storage, "v3").expect("published");
        looked.models().expect("reads");
        let after = looked.stamp(&model());
        assert!(after.is_none() || after != stamp, "{after:?}");
    });
}

#[test]
fn what_is_neither_model_nor_version_is_ignored() {
    each(&["v1"], |place, storage| {
        for stray in [
            "notes.txt",
            "m/notes/readme.md",
            "m/v7/source/only.txt",
            "n/aliases.json",
            "Upper/v1/manifest.json",
        ] {
            let path = place.folder.join(stray);
            fs::create_dir_all(path.parent().expect("it has one")).expect("made");
            fs::write(path, b"{}").expect("written");
        }
        assert_eq!(storage.models().expect("reads"), [model()]);
        assert_eq!(place.open().versions(&model()).expect("reads"), [version("v1")]);
    });
}
