//! Digests of a job's files, for its report. The input is read once more for them, by a thread of its own beside the job.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use serde::Serialize;
use serve_core::Digest;
use sha2::{Digest as _, Sha256};

use crate::location::InputFile;
use crate::sink::{Output, OutputPlace};

/// Bytes that are read at once.
const READ: usize = 1 << 20;

/// A file as a report tells it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct FileDigest {
    /// Its name below the folder that all files of its kind lie in.
    pub name: String,
    /// How long it is, where that is known.
    pub bytes: Option<u64>,
    /// Digest of its bytes; none of what can be read only once, lies in a bucket, or could not be read again.
    pub sha256: Option<Digest>,
}

/// The files of an input, in order, with digests unless `stop` says that nobody waits for them (any more).
#[must_use]
pub fn of_input(files: &[InputFile], stop: &AtomicBool) -> Vec<FileDigest> {
    let names: Vec<String> = files.iter().map(InputFile::name).collect();
    let digest = |(file, name): (&InputFile, String)| FileDigest {
        name,
        bytes: file.bytes(),
        sha256: file.path().and_then(|path| sha256(path, stop).ok()),
    };
    files.iter().zip(without_folders(names)).map(digest).collect()
}

/// The files of an output that has its name, in order.
#[must_use]
pub fn of_output(output: &Output, stop: &AtomicBool) -> Vec<FileDigest> {
    let paths = match &output.place {
        OutputPlace::File(path) => vec![path.clone()],
        OutputPlace::Folder(path) => files_in(path).unwrap_or_default(),
        _ => return vec![FileDigest { name: output.name(), bytes: None, sha256: None }],
    };
    let name = |path: &Path| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let digest = |path: &PathBuf| FileDigest {
        name: name(path),
        bytes: fs::metadata(path).ok().map(|metadata| metadata.len()),
        sha256: sha256(path, stop).ok(),
    };
    paths.iter().map(digest).collect()
}

fn files_in(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut paths =
        fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<PathBuf>>>()?;
    paths.sort();
    Ok(paths)
}

fn sha256(path: &Path, stop: &AtomicBool) -> io::Result<Digest> {
    let (mut file, mut sha256, mut buffer) = (File::open(path)?, Sha256::new(), vec![0; READ]);
    while !stop.load(Ordering::Relaxed) {
        match file.read(&mut buffer)? {
            0 => return Ok(Digest::from_bytes(sha256.finalize().into())),
            read => sha256.update(&buffer[..read]),
        }
    }
    Err(io::ErrorKind::Interrupted.into())
}

/// Names without the folders that all of them have in front.
fn without_folders(names: Vec<String>) -> Vec<String> {
    let folder = |name: &String| name.rfind('/').map_or(0, |at| at + 1);
    let Some(first) = names.first().cloned() else { return names };
    let mut common = folder(&first);
    for name in &names {
        let same = first.bytes().zip(name.bytes()).take_while(|(a, b)| a == b).count();
        // By bytes: two characters may begin with the same ones.
        let shared = &first.as_bytes()[..common.min(same)];
        common = shared.iter().rposition(|byte| *byte == b'/').map_or(0, |at| at + 1);
    }
    names.into_iter().map(|name| name[common..].to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lose_the_folders_that_they_share() {
        let short = |names: &[&str]| without_folders(names.iter().map(|name| (*name).to_owned()).collect());
        assert_eq!(
            short(&["/home/me/rows/day=1/a.csv", "/home/me/rows/day=2/a.csv"]),
            ["day=1/a.csv", "day=2/a.csv"]
        );
        assert_eq!(short(&["/home/me/a.csv"]), ["a.csv"]);
        assert_eq!(short(&["abc/x.csv", "abd/x.csv"]), ["abc/x.csv", "abd/x.csv"]);
        assert_eq!(short(&["s3://bucket/é/x", "s3://bucket/è/x"]), ["é/x", "è/x"]);
    }
}
