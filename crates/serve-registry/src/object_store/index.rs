//! What a list of the bucket tells: models, their versions and alias files, with what tells two states of an object apart.
//! What is neither is not kept, so that a bucket with other things in it costs only the listing.

use std::collections::BTreeMap;
use std::sync::Arc;

use ::object_store::ObjectMeta;
use ::object_store::path::Path;
use serve_core::bundle::MANIFEST_FILE;
use serve_core::{ModelName, ModelVersion};

use crate::directory::ALIASES_FILE;
use crate::storage::Fingerprint;

/// What one object looks like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) bytes: u64,
    /// The entity tag; the time of the last change where the store lists none.
    pub(super) tag: String,
    /// The entity tag alone.
    pub(super) e_tag: Option<String>,
    pub(super) modified: jiff::Timestamp,
}

/// What there is of one model.
#[derive(Debug, Clone, Default)]
pub(super) struct ModelEntry {
    pub(super) aliases: Option<Seen>,
    /// The files of every version, also of those without a manifest.
    folders: BTreeMap<ModelVersion, BTreeMap<String, Seen>>,
}

impl ModelEntry {
    /// The published versions, oldest first.
    pub(super) fn versions(&self) -> Vec<ModelVersion> {
        let published = self.folders.iter().filter(|(_, files)| files.contains_key(MANIFEST_FILE));
        published.map(|(version, _)| version.clone()).collect()
    }

    pub(super) fn file(&self, version: &ModelVersion, file: &str) -> Option<&Seen> {
        self.folders.get(version)?.get(file)
    }

    /// The names of a version's files.
    pub(super) fn files(&self, version: &ModelVersion) -> impl Iterator<Item = &str> {
        self.folders.get(version).into_iter().flatten().map(|(file, _)| file.as_str())
    }

    pub(super) fn fingerprint(&self, version: &ModelVersion) -> Fingerprint {
        let files = self.folders.get(version).into_iter().flatten();
        files.map(|(file, seen)| (file.clone(), seen.bytes, seen.tag.clone())).collect()
    }

    /// Aliases and manifests: what decides which version answers.
    pub(super) fn stamp(&self) -> Fingerprint {
        let of = |name: String, seen: &Seen| (name, seen.bytes, seen.tag.clone());
        let manifests = self.folders.iter().filter_map(|(version, files)| {
            files.get(MANIFEST_FILE).map(|seen| of(version.as_str().to_owned(), seen))
        });
        self.aliases.iter().map(|seen| of(ALIASES_FILE.to_owned(), seen)).chain(manifests).collect()
    }
}

/// What there is below a prefix.
#[derive(Debug, Clone, Default)]
pub(super) struct Index {
    prefix: Path,
    pub(super) models: BTreeMap<ModelName, Arc<ModelEntry>>,
}

impl Index {
    pub(super) fn below(prefix: Path) -> Self {
        Self { prefix, models: BTreeMap::new() }
    }

    /// Takes an object in, if it belongs to a registry.
    pub(super) fn add(&mut self, object: ObjectMeta) {
        let Some(mut parts) = object.location.prefix_match(&self.prefix) else { return };
        let Some(name) = parts.next().and_then(|part| part.as_ref().parse::<ModelName>().ok()) else {
            return;
        };
        let rest: Vec<String> = parts.map(|part| part.as_ref().to_owned()).collect();
        let aliases = matches!(&*rest, [file] if file == ALIASES_FILE);
        let version = rest.first().and_then(|part| part.parse::<ModelVersion>().ok());
        if !aliases && (version.is_none() || rest.len() < 2) {
            return;
        }
        let seen = seen(object);
        let entry = Arc::make_mut(self.models.entry(name).or_default());
        match version {
            _ if aliases => entry.aliases = Some(seen),
            Some(version) => {
                entry.folders.entry(version).or_default().insert(rest[1..].join("/"), seen);
            }
            None => {}
        }
    }
}

fn seen(object: ObjectMeta) -> Seen {
    let modified = object.last_modified;
    let modified =
        jiff::Timestamp::new(modified.timestamp(), modified.timestamp_subsec_nanos().min(999_999_999) as i32);
    let modified = modified.unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    let tag = object.e_tag.clone().unwrap_or_else(|| modified.to_string());
    Seen { bytes: object.size, tag, e_tag: object.e_tag, modified }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn index(keys: &[&str]) -> Index {
        let mut index = Index::below(Path::from("a/b"));
        for key in keys {
            let last_modified = std::time::SystemTime::UNIX_EPOCH.into();
            index.add(ObjectMeta {
                location: Path::from(*key),
                last_modified,
                size: 7,
                e_tag: Some("\"t\"".to_owned()),
                version: None,
            });
        }
        index
    }

    #[test]
    fn only_models_and_versions_are_kept() {
        let index = index(&[
            "a/b/m/v2/manifest.json",
            "a/b/m/v2/source/model.txt",
            "a/b/m/v10/manifest.json",
            "a/b/m/v1/model.bin",
            "a/b/m/aliases.json",
            "a/b/m/notes.txt",
            "a/b/Readme.md",
            "a/b/n/aliases.json",
            "a/bc/o/v1/manifest.json",
            "other/p/v1/manifest.json",
        ]);
        assert_eq!(index.models.keys().map(ModelName::as_str).collect::<Vec<_>>(), ["m", "n"]);
        let entry = index.models.values().next().expect("there");
        assert_eq!(entry.versions().iter().map(ModelVersion::as_str).collect::<Vec<_>>(), ["v2", "v10"]);
        let v2 = "v2".parse().expect("a version");
        assert_eq!(entry.files(&v2).collect::<Vec<_>>(), ["manifest.json", "source/model.txt"]);
        assert_eq!(entry.stamp().len(), 3);
    }
}
