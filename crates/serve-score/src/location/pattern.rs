//! Patterns with `*`, `?` or `[…]`: the files that they mean, and those that they would mean.

use std::path::{Path, PathBuf};
use std::{fs, io};

use super::{InputFile, below};

/// Whether what an argument means would have a file in it, were the file there; its folder is.
#[must_use]
pub fn would_read(input: &str, file: &Path) -> bool {
    let hidden = |part: &Path| {
        part.components().any(|name| name.as_os_str().to_string_lossy().starts_with(['_', '.']))
    };
    match fs::metadata(input) {
        Ok(metadata) if metadata.is_dir() => {
            let root = Path::new(input).canonicalize();
            root.is_ok_and(|root| file.strip_prefix(root).is_ok_and(|below| !hidden(below)))
        }
        Err(_) if is_pattern(input) => {
            let root = fixed(input);
            let Ok(real) = root.canonicalize() else { return false };
            let rest = Path::new(input).strip_prefix(&root).unwrap_or(Path::new(input));
            let pattern = real.join(rest);
            let options =
                glob::MatchOptions { require_literal_separator: true, ..glob::MatchOptions::default() };
            !file.strip_prefix(&real).is_ok_and(hidden)
                && glob::Pattern::new(&pattern.to_string_lossy())
                    .is_ok_and(|pattern| pattern.matches_path_with(file, options))
        }
        _ => false,
    }
}

/// Whether an argument is a pattern rather than a name.
pub(super) fn is_pattern(input: &str) -> bool {
    input.contains(['*', '?', '['])
}

/// The folders of a pattern before anything in it stands for several names.
fn fixed(pattern: &str) -> PathBuf {
    let parts = Path::new(pattern).components();
    let fixed: PathBuf = parts.take_while(|part| !is_pattern(&part.as_os_str().to_string_lossy())).collect();
    if fixed.as_os_str().is_empty() { ".".into() } else { fixed }
}

/// That nothing fits a pattern.
pub(super) fn unmatched() -> io::Error {
    io::Error::new(io::ErrorKind::NotFound, "no file's name fits the pattern")
}

/// The files that a pattern means, in order.
pub(super) fn matching(pattern: &str) -> io::Result<Vec<InputFile>> {
    let paths = glob::glob(pattern).map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
    let root = fixed(pattern);
    let mut files = Vec::new();
    for path in paths {
        let path = path.map_err(io::Error::from)?;
        let found = path.strip_prefix(&root).unwrap_or(&path).components();
        let wanted: Vec<_> = Path::new(pattern).components().collect();
        // What is hidden is left out as in a folder, unless the pattern names it.
        if found.map(|part| part.as_os_str().to_string_lossy().into_owned()).any(|name| {
            name.starts_with(['_', '.']) && !wanted.iter().any(|part| part.as_os_str() == name.as_str())
        }) {
            continue;
        }
        let metadata = fs::metadata(&path)?;
        if metadata.is_dir() {
            files.extend(below(&path)?);
        } else {
            files.push(InputFile::at(path, &metadata, &root));
        }
    }
    files.sort_by(|a, b| a.path().cmp(&b.path()));
    Ok(files)
}
