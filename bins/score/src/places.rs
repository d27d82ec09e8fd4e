//! The files that arguments name: nothing is written over what is read, and no two things go to one place. Told before the first row.

use std::path::{Path, PathBuf};

use serve_app::{Exit, ExitReason};
use serve_score::{InputFile, Output, location};

/// A file, and what the arguments call it.
pub(crate) struct Place<'a> {
    argument: &'a str,
    path: PathBuf,
    folder: bool,
}

impl<'a> Place<'a> {
    /// A file.
    pub(crate) fn file(argument: &'a str, path: &Path) -> Self {
        Self { argument, path: path.to_owned(), folder: false }
    }

    /// Where an output goes, if that is a place of this machine.
    pub(crate) fn output(output: &Output) -> Option<Self> {
        let path = output.path()?.to_owned();
        Some(Self { argument: "--output", path, folder: output.is_folder() })
    }
}

/// Holds what is written against what is read and against each other.
///
/// # Errors
/// Code 2 where two of them are one, an output's folder holds what is read, or lies where the next run would read it; code 73 where a folder that a file should go into is
/// not there.
pub(crate) fn check<'a>(
    (read, input, files): (&str, &str, &[InputFile]),
    registry: Option<&Path>,
    written: impl IntoIterator<Item = Place<'a>>,
) -> Result<(), Exit> {
    let mut known: Vec<(&str, PathBuf, bool)> = Vec::new();
    let registry = registry.and_then(|registry| registry.canonicalize().ok());
    let inputs: Vec<PathBuf> = files.iter().filter_map(|file| file.path()?.canonicalize().ok()).collect();
    for Place { argument, path, folder } in written {
        let path = real(&path, argument)?;
        if location::would_read(input, &path) {
            let problem = format!(
                "{argument} {} lies where {read} {input} reads: the next run would take it for rows; write it elsewhere",
                path.display()
            );
            return Err(Exit::told(ExitReason::Usage, problem));
        }
        if registry.as_ref().is_some_and(|registry| path.starts_with(registry)) {
            let problem = format!("{argument} {} lies in the registry: write it elsewhere", path.display());
            return Err(Exit::told(ExitReason::Usage, problem));
        }
        let twice = |other: &str| {
            let problem = format!("{argument} and {other} are both {}", path.display());
            Err(Exit::told(ExitReason::Usage, problem))
        };
        if inputs.contains(&path) {
            return twice(read);
        }
        if let Some(input) = inputs.iter().find(|input| folder && input.starts_with(&path)) {
            let (path, input) = (path.display(), input.display());
            return Err(Exit::told(
                ExitReason::Usage,
                format!("{argument} {path} holds what {read} reads: {input}"),
            ));
        }
        if let Some((other, ..)) = known.iter().find(|(_, known, _)| *known == path) {
            return twice(other);
        }
        if let Some((other, ..)) = known.iter().find(|(_, known, folder)| *folder && path.starts_with(known))
        {
            let problem = format!(
                "{argument} {} lies in the folder of {other}, which is replaced as a whole",
                path.display()
            );
            return Err(Exit::told(ExitReason::Usage, problem));
        }
        known.push((argument, path, folder));
    }
    Ok(())
}

/// A path without links and dots; its last name need not be there.
fn real(path: &Path, argument: &str) -> Result<PathBuf, Exit> {
    let path: PathBuf = path.components().collect();
    if let Ok(there) = path.canonicalize() {
        return Ok(there);
    }
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let folder = folder.canonicalize().map_err(|error| {
        Exit::told(
            ExitReason::CannotCreate,
            format!("{} cannot be written ({argument}): {error}", path.display()),
        )
    })?;
    Ok(path.file_name().map_or(folder.clone(), |name| folder.join(name)))
}
