//! Noticing that files changed which the configuration is made of, and what came of reading them again.
//!
//! Files are looked at, not watched: a configuration is often replaced by moving a link some folders above it, which no
//! watch of the file sees.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;

/// How often files are looked at.
pub const PERIOD: Duration = Duration::from_secs(1);

/// What came of reading the configuration again.
#[derive(Debug, Default)]
pub struct Reloads(Mutex<State>);

/// When the configuration was read, and why not again.
#[derive(Debug, Clone, Default)]
pub struct State {
    /// How often it was read again and taken.
    pub taken: u64,
    /// How often it was read again and refused.
    pub refused: u64,
    /// When it was taken last.
    pub last: Option<Timestamp>,
    /// Why the newest one is not used, where it is not.
    pub error: Option<String>,
    /// Settings that changed and take effect at the next start.
    pub waiting: Vec<String>,
}

impl Reloads {
    /// The configuration was read again and is used, but for settings that wait for the next start.
    pub fn taken(&self, at: Timestamp, waiting: Vec<String>) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *state = State { taken: state.taken + 1, last: Some(at), error: None, waiting, ..*state };
    }

    /// The configuration was read again and is not used; the old one is.
    pub fn refused(&self, why: String) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.refused += 1;
        state.error = Some(why);
    }

    /// What came of it until now.
    #[must_use]
    pub fn state(&self) -> State {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// What tells one state of a file from another; nothing, where there is none.
type Look = Option<(u64, u64, i64, i64)>;

/// Files, and how they were when they were last looked at.
#[derive(Debug)]
pub struct Files(Vec<(PathBuf, Look)>);

impl Files {
    /// Looks at files for the first time.
    #[must_use]
    pub fn new(files: impl IntoIterator<Item = PathBuf>) -> Self {
        Self(files.into_iter().map(|path| (path.clone(), look(&path))).collect())
    }

    /// Other files from now on. Those that are known already are compared with how they were at the last look.
    #[must_use]
    pub fn with(mut self, files: impl IntoIterator<Item = PathBuf>) -> Self {
        let known = std::mem::take(&mut self.0);
        let seen = |path: PathBuf| match known.iter().find(|(other, _)| *other == path) {
            Some((_, last)) => (path, *last),
            None => (path.clone(), look(&path)),
        };
        Self(files.into_iter().map(seen).collect())
    }

    /// Whether any is not as it was at the last look.
    pub fn changed(&mut self) -> bool {
        let mut changed = false;
        for (path, last) in &mut self.0 {
            let now = look(path);
            changed |= now != *last;
            *last = now;
        }
        changed
    }
}

fn look(path: &PathBuf) -> Look {
    let about = fs::metadata(path).ok()?;
    Some((about.ino(), about.len(), about.mtime(), about.mtime_nsec()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_written_replaced_or_gone_has_changed() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let at = |name: &str| folder.path().join(name);
        fs::write(at("a"), "1").expect("can be written");
        let mut files = Files::new([at("a"), at("none")]);
        assert!(!files.changed());
        fs::write(at("a"), "12").expect("can be written");
        assert!(files.changed() && !files.changed());
        fs::write(at("b"), "21").expect("can be written");
        fs::rename(at("b"), at("a")).expect("can be renamed");
        assert!(files.changed() && !files.changed());
        fs::remove_file(at("a")).expect("can be removed");
        assert!(files.changed() && !files.changed());
    }

    #[test]
    fn what_was_refused_is_told_until_one_is_taken() {
        let reloads = Reloads::default();
        reloads.refused("line 3".to_owned());
        assert_eq!(reloads.state().error.as_deref(), Some("line 3"));
        reloads.taken(Timestamp::UNIX_EPOCH, vec!["http.port".to_owned()]);
        let state = reloads.state();
        assert_eq!((state.taken, state.refused, state.error), (1, 1, None));
        assert_eq!(state.waiting, ["http.port"]);
    }
}
