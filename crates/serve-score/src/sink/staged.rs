//! Files and folders under another name until they are whole. One that is dropped before is deleted; what a killed process leaves
//! begins with `.` and ends in `.partial`.

use std::fs::{self, File, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, RenameFlags, renameat_with};
use tempfile::{NamedTempFile, TempDir};

use crate::error::ScoreError;

fn failed(path: &Path) -> impl Fn(io::Error) -> ScoreError + '_ {
    |error| ScoreError::output(path.display().to_string(), error)
}

/// Something in the place of an output that is not to be replaced.
pub(crate) fn check_free(path: &Path, overwrite: bool) -> Result<(), ScoreError> {
    match fs::symlink_metadata(path) {
        Ok(_) if !overwrite => Err(ScoreError::Exists { location: path.display().to_string() }),
        Ok(found) if found.is_file() || found.is_dir() || found.is_symlink() => Ok(()),
        // A device or a pipe is not written to but replaced, which nobody wants.
        Ok(_) => Err(failed(path)(io::Error::other("it is no file: expected one, or nothing"))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(failed(path)(error)),
    }
}

/// The folder that a path lies in.
fn folder(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn prefix(path: &Path) -> String {
    format!(".{}.", path.file_name().unwrap_or_default().to_string_lossy())
}

/// A file under way.
#[derive(Debug)]
pub(crate) struct StagedFile {
    staged: NamedTempFile,
    path: PathBuf,
    overwrite: bool,
}

impl StagedFile {
    pub(crate) fn create(path: &Path, overwrite: bool) -> Result<Self, ScoreError> {
        check_free(path, overwrite)?;
        if path.is_dir() {
            return Err(failed(path)(io::Error::other("it is a folder: expected a file")));
        }
        let staged = tempfile::Builder::new()
            .prefix(&prefix(path))
            .suffix(".partial")
            .permissions(Permissions::from_mode(0o666))
            .tempfile_in(folder(path))
            .map_err(failed(path))?;
        Ok(Self { staged, path: path.to_owned(), overwrite })
    }

    pub(crate) fn file(&self) -> Result<File, ScoreError> {
        self.staged.as_file().try_clone().map_err(failed(&self.path))
    }

    pub(crate) fn publish(self) -> Result<(), ScoreError> {
        let Self { staged, path, overwrite } = self;
        staged.as_file().sync_all().map_err(failed(&path))?;
        publish_file(staged.path(), &path, overwrite)?;
        // It is no longer where it would be deleted.
        drop(staged.keep());
        Ok(())
    }
}

/// Gives a whole file its name, in one step.
pub(crate) fn publish_file(staged: &Path, path: &Path, overwrite: bool) -> Result<(), ScoreError> {
    let renamed = if overwrite {
        fs::rename(staged, path)
    } else {
        match renameat_with(CWD, staged, CWD, path, RenameFlags::NOREPLACE).map_err(io::Error::from) {
            Err(error) if is_unsupported(&error) => {
                fs::hard_link(staged, path).and_then(|()| fs::remove_file(staged))
            }
            renamed => renamed,
        }
    };
    match renamed {
        Ok(()) => sync(folder(path)).map_err(failed(path)),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            Err(ScoreError::Exists { location: path.display().to_string() })
        }
        Err(error) => Err(failed(path)(error)),
    }
}

/// Whether a file system has no such way to rename.
fn is_unsupported(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported)
}

/// Gives a whole folder its name, in one step. What it replaced lies then where the folder was.
pub(crate) fn publish_folder(staged: &Path, path: &Path, overwrite: bool) -> Result<(), ScoreError> {
    let occupied = fs::symlink_metadata(path).is_ok()
        && !fs::read_dir(path).is_ok_and(|mut entries| entries.next().is_none());
    check_free(path, overwrite || !occupied)?;
    let renamed = if occupied {
        match renameat_with(CWD, staged, CWD, path, RenameFlags::EXCHANGE).map_err(io::Error::from) {
            Err(error) if is_unsupported(&error) => {
                let aside = staged.with_extension("replaced");
                fs::rename(path, &aside)
                    .and_then(|()| fs::rename(staged, path))
                    .and_then(|()| fs::rename(&aside, staged))
            }
            renamed => renamed,
        }
    } else {
        fs::rename(staged, path)
    };
    renamed.and_then(|()| sync(folder(path))).map_err(failed(path))
}

/// So that the name outlives a power cut as well.
pub(crate) fn sync(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// A folder under way.
#[derive(Debug)]
pub(crate) struct StagedFolder {
    staged: TempDir,
    path: PathBuf,
    overwrite: bool,
}

impl StagedFolder {
    pub(crate) fn create(path: &Path, overwrite: bool) -> Result<Self, ScoreError> {
        let path: PathBuf = path.components().collect();
        let empty = fs::read_dir(&path).is_ok_and(|mut entries| entries.next().is_none());
        check_free(&path, overwrite || empty)?;
        let staged = tempfile::Builder::new()
            .prefix(&prefix(&path))
            .suffix(".partial")
            .permissions(Permissions::from_mode(0o777))
            .tempdir_in(folder(&path))
            .map_err(failed(&path))?;
        Ok(Self { staged, path, overwrite: overwrite || empty })
    }

    pub(crate) fn file(&self, name: &str) -> Result<File, ScoreError> {
        File::create_new(self.staged.path().join(name)).map_err(failed(&self.path))
    }

    pub(crate) fn publish(self) -> Result<(), ScoreError> {
        let Self { staged, path, overwrite } = self;
        for entry in fs::read_dir(staged.path()).map_err(failed(&path))? {
            let file = entry.and_then(|entry| File::open(entry.path()));
            file.and_then(|file| file.sync_all()).map_err(failed(&path))?;
        }
        sync(staged.path()).map_err(failed(&path))?;
        // What was replaced is deleted with the temporary folder, in whose place it lies.
        publish_folder(staged.path(), &path, overwrite)
    }
}
