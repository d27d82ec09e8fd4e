//! What changes a bucket. Nobody holds a lock there, so every step is right whoever comes between:
//!
//! - Files are created only if absent. Where a name is taken by other bytes (another publisher of the same version, or one
//!   that died), the file gets a name made of its digest; the winner's manifest says which digest counts.
//! - The manifest is created last and only if absent: it decides.
//! - Of two publishers of a model's *first* versions both look again afterwards; if the kinds of their versions differ,
//!   each takes its own back.
//! - An alias file is replaced only if it still is what was read, else it is read and edited again.
//! - A write whose answer was lost is repeated; what is found then is held against what was written.

use std::time::Duration;

use ::object_store::path::Path;
use ::object_store::{PutMode, UpdateVersion};
use serve_core::bundle::{MANIFEST_FILE, SIGNATURE_FILE};
use serve_core::{Bundle, Digest, ModelName, ModelVersion};

use super::index::ModelEntry;
use super::remote::{Got, Written};
use super::{FILES_FOLDER, ObjectStorage, contested_signature, default_aliases, too_long, unknown};
use crate::aliases::Aliases;
use crate::arrival;
use crate::directory::{ALIASES_FILE, MAX_ALIASES_BYTES};
use crate::jitter;
use crate::storage::{DeleteError, EditAliases, PublishError, StorageError};

/// How often a change of aliases is tried against others' changes.
const ATTEMPTS: u32 = 20;

/// Between two attempts, growing with each.
const PAUSE: Duration = Duration::from_millis(20);

impl ObjectStorage {
    pub(super) fn publish_bundle(&self, bundle: &Bundle, by: &str) -> Result<(), PublishError> {
        let (name, version) = (&bundle.manifest().name, &bundle.manifest().version);
        let before = self.look(name)?;
        let published = before.versions();
        arrival::admit(name, version, &published)?;
        if !published.is_empty() && before.aliases.is_none() {
            // Without the file the champion is the oldest version, which this one may become: arriving must not promote.
            self.create_aliases(name, &default_aliases(&before))?;
        }
        for (file, bytes) in bundle.files() {
            let contested = format!("{FILES_FOLDER}/{}", Digest::of(bytes));
            self.create_under(name, version, &[file, &contested], bytes)?;
        }
        // Before the manifest: nobody ever sees a signed version without its signature.
        if let Some(signature) = bundle.signature() {
            let contested = contested_signature(bundle.manifest_bytes());
            self.create_under(name, version, &[SIGNATURE_FILE, &contested], signature)?;
        }
        self.create_manifest(bundle)?;
        if published.is_empty() {
            self.take_back_if_mixed(name, version)?;
            let first = arrival::first_aliases(version, by, jiff::Timestamp::now());
            self.create_aliases(name, &first)?;
        }
        self.look(name)?;
        Ok(())
    }

    fn create(&self, key: &Path, bytes: &[u8]) -> Result<Written, StorageError> {
        let written = self.remote.put(key, bytes.to_vec(), PutMode::Create);
        written.map_err(|error| self.failed("written", key, error))
    }

    /// Whether a key holds these bytes; `None` where it holds nothing.
    fn holds(&self, key: &Path, bytes: &[u8]) -> Result<Option<bool>, StorageError> {
        let got =
            self.remote.get(key, bytes.len() as u64).map_err(|error| self.failed("read", key, error))?;
        Ok(match got {
            Got::Absent => None,
            Got::TooLong(_) => Some(false),
            Got::Object(got, _) => Some(got == bytes),
        })
    }

    /// Creates a file of a version under the first of these names that is free, or holds the same already.
    fn create_under(
        &self,
        name: &ModelName,
        version: &ModelVersion,
        files: &[&str],
        bytes: &[u8],
    ) -> Result<(), StorageError> {
        for file in files {
            let key = self.key(name, &[version.as_str(), file]);
            let held = match self.create(&key, bytes)? {
                Written::Done => Some(true),
                Written::Conflict { .. } => self.holds(&key, bytes)?,
            };
            if held == Some(true) {
                return Ok(());
            }
        }
        let problem = "other bytes lie under every name that it can have; choose another version";
        Err(StorageError::Remote {
            action: "written",
            location: format!("{}/{name}/{version}/{}", self.url, files.first().unwrap_or(&"")),
            source: problem.into(),
        })
    }

    fn create_manifest(&self, bundle: &Bundle) -> Result<(), PublishError> {
        let (name, version) = (&bundle.manifest().name, &bundle.manifest().version);
        let key = self.key(name, &[version.as_str(), MANIFEST_FILE]);
        let exists = || PublishError::Exists { name: name.clone(), version: version.clone() };
        for attempt in 1..=ATTEMPTS {
            match self.create(&key, bundle.manifest_bytes())? {
                Written::Done => return Ok(()),
                Written::Conflict { unsure } => match self.holds(&key, bundle.manifest_bytes())? {
                    // Our own, whose answer was lost.
                    Some(true) if unsure => return Ok(()),
                    Some(_) => return Err(exists()),
                    // Two at once, and the store refused both.
                    None => pause(attempt),
                },
            }
        }
        Err(exists())
    }

    fn take_back_if_mixed(&self, name: &ModelName, version: &ModelVersion) -> Result<(), PublishError> {
        let mixed = arrival::refuse_mixed(name, version, &self.look(name)?.versions());
        if mixed.is_err() {
            self.delete_file(name, version, MANIFEST_FILE)?;
        }
        mixed
    }

    /// Writes a model's first alias file; another's that is there already is as good.
    fn create_aliases(&self, name: &ModelName, aliases: &Aliases) -> Result<(), StorageError> {
        let key = self.key(name, &[ALIASES_FILE]);
        self.create(&key, &self.aliases_bytes(name, aliases)?).map(drop)
    }

    fn aliases_bytes(&self, name: &ModelName, aliases: &Aliases) -> Result<Vec<u8>, StorageError> {
        aliases.write().map_err(|error| self.unusable(name, error.to_string()))
    }

    pub(super) fn change_aliases(
        &self,
        name: &ModelName,
        edit: &mut EditAliases<'_>,
    ) -> Result<Option<Aliases>, StorageError> {
        let entry = self.look(name)?;
        if entry.versions().is_empty() {
            return Err(StorageError::UnknownModel { name: name.clone() });
        }
        let key = self.key(name, &[ALIASES_FILE]);
        let mut lost: Option<Aliases> = None;
        for attempt in 1..=ATTEMPTS {
            let (mut aliases, mode) = self.aliases_now(name, &entry)?;
            // The answer to our own write was lost, and it stands there: what is now was made of it.
            if lost.is_some_and(|ours| continues(&aliases, &ours)) {
                self.look(name)?;
                return Ok(Some(aliases));
            }
            if !edit(&mut aliases) {
                return Ok(None);
            }
            let bytes = self.aliases_bytes(name, &aliases)?;
            let written = self.remote.put(&key, bytes, mode);
            match written.map_err(|error| self.failed("written", &key, error))? {
                Written::Done => {
                    self.look(name)?;
                    return Ok(Some(aliases));
                }
                Written::Conflict { unsure } => {
                    lost = unsure.then_some(aliases);
                    pause(attempt);
                }
            }
        }
        Err(StorageError::Contended { name: name.clone(), attempts: ATTEMPTS })
    }

    /// The alias file as it is at this moment, and the condition under which it may be replaced.
    fn aliases_now(&self, name: &ModelName, entry: &ModelEntry) -> Result<(Aliases, PutMode), StorageError> {
        let key = self.key(name, &[ALIASES_FILE]);
        let got = self.remote.get(&key, MAX_ALIASES_BYTES).map_err(|e| self.failed("read", &key, e))?;
        match got {
            Got::Absent => Ok((default_aliases(entry), PutMode::Create)),
            Got::TooLong(bytes) => Err(self.unusable(name, too_long(bytes))),
            Got::Object(bytes, meta) => {
                let version = UpdateVersion { e_tag: meta.e_tag, version: meta.version };
                Ok((self.parse_aliases(name, &bytes)?, PutMode::Update(version)))
            }
        }
    }

    /// A signature is no part of the bundle: it is replaced, and the newest one counts.
    pub(super) fn sign_version(
        &self,
        name: &ModelName,
        version: &ModelVersion,
        signature: &[u8],
    ) -> Result<(), StorageError> {
        let manifest = self.manifest_bytes(name, version)?;
        let key = self.key(name, &[version.as_str(), SIGNATURE_FILE]);
        let written = self.remote.put(&key, signature.to_vec(), PutMode::Overwrite);
        written.map_err(|error| self.failed("signed", &key, error))?;
        self.delete_file(name, version, &contested_signature(&manifest))?;
        self.look(name)?;
        Ok(())
    }

    /// The manifest first: without it there is no version, and nobody reads what is left.
    pub(super) fn delete_version(&self, name: &ModelName, version: &ModelVersion) -> Result<(), DeleteError> {
        let entry = self.look(name)?;
        if entry.file(version, MANIFEST_FILE).is_none() {
            return Err(unknown(name, version).into());
        }
        let (aliases, _) = self.aliases_now(name, &entry)?;
        arrival::refuse_aliased(name, version, &aliases)?;
        self.delete_file(name, version, MANIFEST_FILE)?;
        for file in entry.files(version).filter(|file| *file != MANIFEST_FILE) {
            self.delete_file(name, version, file)?;
        }
        self.look(name)?;
        Ok(())
    }

    fn delete_file(&self, name: &ModelName, version: &ModelVersion, file: &str) -> Result<(), StorageError> {
        let key = self.key(name, &[version.as_str(), file]);
        self.remote.delete(&key).map_err(|error| self.failed("deleted", &key, error))
    }
}

fn pause(attempt: u32) {
    std::thread::sleep(jitter::around(PAUSE * attempt.min(10), 0.9));
}

/// Whether every move of `earlier` stands in `now`: histories only grow.
fn continues(now: &Aliases, earlier: &Aliases) -> bool {
    let mut aliases = earlier.iter().map(|(alias, _)| alias.as_str());
    aliases.all(|alias| now.history(alias).starts_with(earlier.history(alias)))
}
