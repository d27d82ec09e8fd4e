//! The files that authentication reads, and whether one has changed since.

use std::fs::{self, File};
use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::SystemTime;

/// The longest file that is read.
const MOST_BYTES: u64 = 8 << 20;

/// What a file was when it was looked at; nothing, where it was not there. A link is followed, so that the link of a
/// mounted secret that moves is a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stamp(Option<(u64, u64, u64, Option<SystemTime>)>);

impl Stamp {
    pub(super) fn of(path: &Path) -> Self {
        let data = fs::metadata(path).ok();
        Self(data.map(|data| (data.dev(), data.ino(), data.len(), data.modified().ok())))
    }
}

/// The bytes of a file, in words why not.
pub(super) fn read(path: &Path) -> Result<Vec<u8>, String> {
    let cannot = |error: std::io::Error| format!("cannot be read: {error}");
    let file = File::open(path).map_err(cannot)?;
    let mut bytes = Vec::new();
    file.take(MOST_BYTES + 1).read_to_end(&mut bytes).map_err(cannot)?;
    if bytes.len() as u64 > MOST_BYTES {
        return Err(format!("is longer than {} MiB", MOST_BYTES >> 20));
    }
    Ok(bytes)
}
