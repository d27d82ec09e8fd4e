//! Publishing: every file first, each under a temporary name until it is whole and on disk, the manifest last and only
//! if absent. A publisher that dies on the way leaves files without a manifest, which nobody serves and the next
//! publisher of that version replaces.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;

use serve_core::Bundle;
use serve_core::bundle::{MANIFEST_FILE, SIGNATURE_FILE, SOURCE_FOLDER};
use tempfile::Builder;

use super::{Directory, io_at};
use crate::arrival;
use crate::storage::{PublishError, Storage, StorageError};

impl Directory {
    pub(super) fn publish_bundle(&self, bundle: &Bundle, by: &str) -> Result<(), PublishError> {
        let (name, version) = (&bundle.manifest().name, &bundle.manifest().version);
        let model = self.model_folder(name);
        self.make_folder(&model)?;
        let _lock = self.lock(name)?;
        let versions = self.versions(name)?;
        arrival::admit(name, version, &versions)?;
        if !versions.is_empty() && self.aliases_file(name)?.is_none() {
            // Without the file the champion is the oldest version, which this one may become: arriving must not promote.
            self.write_aliases(name, &self.default_aliases(name)?)?;
        }
        self.write_version(bundle)?;
        if versions.is_empty() {
            let aliases = arrival::first_aliases(version, by, jiff::Timestamp::now());
            self.write_aliases(name, &aliases)?;
        }
        Ok(())
    }

    fn write_version(&self, bundle: &Bundle) -> Result<(), PublishError> {
        let (name, version) = (&bundle.manifest().name, &bundle.manifest().version);
        let folder = self.version_folder(name, version);
        let source = folder.join(SOURCE_FOLDER);
        self.make_folder(&folder)?;
        // What is there has no manifest: the model's lock is held, so its publisher is gone.
        fs::remove_dir_all(&folder).map_err(io_at("replaced", &folder))?;
        self.make_folder(&folder)?;
        if bundle.files().any(|(file, _)| file.starts_with(SOURCE_FOLDER)) {
            self.make_folder(&source)?;
        }
        for (file, bytes) in bundle.files() {
            let path = folder.join(file);
            write_file(path.parent().unwrap_or(&folder), &path, bytes, true)?;
        }
        // Before the manifest: nobody ever sees a signed version without its signature.
        if let Some(signature) = bundle.signature() {
            write_file(&folder, &folder.join(SIGNATURE_FILE), signature, true)?;
        }
        let manifest = folder.join(MANIFEST_FILE);
        write_file(&folder, &manifest, bundle.manifest_bytes(), false).map_err(|error| match error {
            StorageError::Io { source, .. } if source.kind() == std::io::ErrorKind::AlreadyExists => {
                PublishError::Exists { name: name.clone(), version: version.clone() }
            }
            other => other.into(),
        })
    }
}

impl Directory {
    /// A folder that is there now and after a crash, and lies inside the root.
    fn make_folder(&self, path: &Path) -> Result<(), StorageError> {
        match fs::create_dir(path) {
            Ok(()) => path.parent().map_or(Ok(()), sync_folder).map_err(io_at("written", path))?,
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(io_at("created", path)(error)),
        }
        self.inside(path.to_owned()).map(drop)
    }
}

/// Forces a folder's entries to disk.
pub(super) fn sync_folder(folder: &Path) -> std::io::Result<()> {
    File::open(folder)?.sync_all()
}

/// Writes a file under a temporary name in `folder`, forces it to disk, and gives it its name: by rename where
/// `replace`, else only if the name is free.
pub(super) fn write_file(
    folder: &Path,
    path: &Path,
    bytes: &[u8],
    replace: bool,
) -> Result<(), StorageError> {
    let written = || -> std::io::Result<()> {
        let mut file = Builder::new().prefix(".writing-").permissions(readable()).tempfile_in(folder)?;
        file.write_all(bytes)?;
        file.as_file().sync_all()?;
        if replace {
            file.persist(path)?;
        } else {
            file.persist_noclobber(path)?;
        }
        sync_folder(folder)
    };
    written().map_err(io_at("written", path))
}

/// Temporary files are private by default; a registry is read by other users too.
fn readable() -> fs::Permissions {
    use std::os::unix::fs::PermissionsExt;
    fs::Permissions::from_mode(0o644)
}
