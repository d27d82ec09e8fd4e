//! Tells of changes in a registry's folder, so that they are noticed before the next poll.
//!
//! The folders of the registry, its models and their versions are watched, each by itself: what else lies there, and
//! where links lead, is not. A watch costs the kernel memory, so a registry with more folders than [`MOST_FOLDERS`] is only
//! polled. Nothing depends on a change being told: polling goes on, more slowly.

use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use notify::event::{AccessKind, AccessMode, ModifyKind};
use notify::{Config, Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use serve_core::{ModelName, ModelVersion};
use thiserror::Error;
use tokio::sync::mpsc;

/// The most folders that are watched.
const MOST_FOLDERS: usize = 4096;

/// Why a folder is not watched.
#[derive(Debug, Error)]
pub(crate) enum WatchError {
    /// There are too many folders in it.
    #[error("it has more than {MOST_FOLDERS} folders")]
    TooMany,
    /// The system refuses.
    #[error(transparent)]
    System(#[from] notify::Error),
}

/// A device and a number on it: the same path may become another folder.
type Identity = (u64, u64);

/// The watched folders of a registry.
pub(crate) struct Watch {
    root: PathBuf,
    watcher: RecommendedWatcher,
    watched: HashMap<PathBuf, Identity>,
}

impl Watch {
    /// Watches a registry's folder. The receiver is told that something changed, not what; one word stands for all that
    /// changed until it is taken.
    ///
    /// # Errors
    /// When there are too many folders, or the system does not watch them.
    pub(crate) fn start(root: &Path) -> Result<(Self, mpsc::Receiver<()>), WatchError> {
        let (tell, told) = mpsc::channel(1);
        let handler = move |event: notify::Result<Event>| {
            if event.is_ok_and(|event| matters(&event)) {
                // It was told already, and nobody has looked since.
                let _ = tell.try_send(());
            }
        };
        let watcher = RecommendedWatcher::new(handler, Config::default().with_follow_symlinks(false))?;
        // As the registry itself does: where a link to it leads later is another registry.
        let root = root.canonicalize().map_err(notify::Error::io)?;
        let mut watch = Self { root, watcher, watched: HashMap::new() };
        watch.renew()?;
        Ok((watch, told))
    }

    /// Watches the folders that are there now. Blocks; call it before the registry is read, so that a folder that is new
    /// is either watched or read when its files come.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub(crate) fn renew(&mut self) -> Result<(), WatchError> {
        // What came into a folder before it was watched is told by nobody: it is listed once more afterwards.
        while self.watch_new()? {}
        Ok(())
    }

    /// Whether a folder was there that was not watched.
    fn watch_new(&mut self) -> Result<bool, WatchError> {
        let mut new = false;
        let now = folders(&self.root)?;
        let gone = self.watched.extract_if(|path, identity| now.get(path) != Some(identity));
        for (path, _) in gone {
            // The system forgets what is deleted by itself.
            drop(self.watcher.unwatch(&path));
        }
        for (path, identity) in now {
            if !self.watched.contains_key(&path) {
                match self.watcher.watch(&path, RecursiveMode::NonRecursive) {
                    // It went between the two looks.
                    Err(error) if is_absent(&error) => continue,
                    watched => watched?,
                }
                self.watched.insert(path, identity);
                new = true;
            }
        }
        Ok(new)
    }
}

fn is_absent(error: &notify::Error) -> bool {
    match &error.kind {
        notify::ErrorKind::PathNotFound | notify::ErrorKind::WatchNotFound => true,
        notify::ErrorKind::Io(error) => error.kind() == std::io::ErrorKind::NotFound,
        _ => false,
    }
}

/// The folders of a registry, of its models and of their versions.
fn folders(root: &Path) -> Result<HashMap<PathBuf, Identity>, WatchError> {
    let mut found = HashMap::new();
    // A root that is gone may come back.
    if let Some(identity) = identity(root) {
        found.insert(root.to_owned(), identity);
    }
    for model in named::<ModelName>(root) {
        let versions: Vec<_> = named::<ModelVersion>(&model.0).collect();
        found.extend(versions.into_iter().chain([model]));
        if found.len() > MOST_FOLDERS {
            return Err(WatchError::TooMany);
        }
    }
    Ok(found)
}

/// The folders in a folder, not links to them, whose names are of a type.
fn named<T: std::str::FromStr>(folder: &Path) -> impl Iterator<Item = (PathBuf, Identity)> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.filter_map(|entry| {
        let name = entry.file_name();
        let is_one = name.to_str().is_some_and(|name| name.parse::<T>().is_ok());
        let path = entry.path();
        is_one.then(|| identity(&path)).flatten().map(|identity| (path, identity))
    })
}

fn identity(path: &Path) -> Option<Identity> {
    let data = fs::symlink_metadata(path).ok().filter(fs::Metadata::is_dir)?;
    Some((data.dev(), data.ino()))
}

/// Whether the registry may answer differently now. Reading, the registry's own most of all, changes nothing, and a file
/// that is being written is looked at when it is closed. Names with a dot in front are locks and unfinished files.
fn matters(event: &Event) -> bool {
    let kind = match event.kind {
        EventKind::Access(AccessKind::Close(AccessMode::Write)) => true,
        EventKind::Access(_) | EventKind::Modify(ModifyKind::Metadata(_)) => false,
        EventKind::Modify(ModifyKind::Data(_)) => !cfg!(target_os = "linux"),
        _ => true,
    };
    let hidden = |path: &PathBuf| {
        path.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.starts_with('.'))
    };
    kind && (event.paths.is_empty() || !event.paths.iter().all(hidden))
}

#[cfg(test)]
mod tests {
    use notify::event::{CreateKind, DataChange, RenameMode};

    use super::*;

    fn event(kind: EventKind, path: &str) -> Event {
        Event::new(kind).add_path(path.into())
    }

    #[test]
    fn reading_and_unfinished_files_are_no_changes() {
        let open = EventKind::Access(AccessKind::Open(AccessMode::Any));
        let closed = |mode| EventKind::Access(AccessKind::Close(mode));
        assert!(!matters(&event(open, "/r/m/v1/manifest.json")));
        assert!(!matters(&event(closed(AccessMode::Read), "/r/m/v1/manifest.json")));
        assert!(matters(&event(closed(AccessMode::Write), "/r/m/v1/manifest.json")));
        assert!(!matters(&event(closed(AccessMode::Write), "/r/m/.lock")));
        assert!(!matters(&event(EventKind::Create(CreateKind::File), "/r/m/v1/.writing-x")));
        assert!(matters(&event(EventKind::Create(CreateKind::Folder), "/r/m/v2")));
        let written = EventKind::Modify(ModifyKind::Data(DataChange::Any));
        assert_eq!(matters(&event(written, "/r/m/v1/model.bin")), !cfg!(target_os = "linux"));
        let renamed = EventKind::Modify(ModifyKind::Name(RenameMode::Both));
        let renamed = event(renamed, "/r/m/.writing-x").add_path("/r/m/aliases.json".into());
        assert!(matters(&renamed));
        assert!(matters(&Event::new(EventKind::Other)), "the kernel lost count");
    }
}
