//! Mistakes in declarations: collected, not thrown, so that a file is mended in one go.

use std::fmt;
use std::path::{Path, PathBuf};

/// Why declarations could not be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DeclarationError {
    /// The file cannot be read.
    #[error("cannot read the feature declarations {path:?}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// The text is not YAML.
    #[error("the feature declarations are not YAML: {problem}")]
    Yaml {
        /// What the parser says, with the place.
        problem: String,
    },
    /// The text is YAML with mistakes, one a line.
    #[error("{}", lines(.mistakes))]
    Invalid {
        /// Every mistake, in the file's order.
        mistakes: Vec<Mistake>,
    },
    /// A file's text is one of these; each line says which file.
    #[error("{}", within(.path, .mistakes))]
    InFile {
        /// The file.
        path: PathBuf,
        /// What is wrong with its text.
        mistakes: Box<DeclarationError>,
    },
}

/// One mistake in a declaration.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Mistake {
    /// The line in the file, from 1.
    pub line: u64,
    /// The feature set.
    pub set: Option<String>,
    /// The feature or source within it.
    pub part: Option<String>,
    /// What is wrong, and what was expected.
    pub problem: String,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: ", self.line)?;
        if let Some(set) = &self.set {
            write!(f, "feature set \"{set}\": ")?;
        }
        if let Some(part) = &self.part {
            write!(f, "{part}: ")?;
        }
        f.write_str(&self.problem)
    }
}

fn lines(mistakes: &[Mistake]) -> String {
    let lines: Vec<String> = mistakes.iter().map(Mistake::to_string).collect();
    lines.join("\n")
}

fn within(path: &Path, mistakes: &DeclarationError) -> String {
    let told = mistakes.to_string();
    let lines: Vec<String> = told.lines().map(|line| format!("{}: {line}", path.display())).collect();
    lines.join("\n")
}

/// Mistakes as they are found, and where the reader is.
#[derive(Debug, Default)]
pub(super) struct Mistakes {
    found: Vec<Mistake>,
    pub(super) set: Option<String>,
    pub(super) part: Option<String>,
}

impl Mistakes {
    pub(super) fn add(&mut self, line: u64, problem: impl Into<String>) {
        let (set, part) = (self.set.clone(), self.part.clone());
        self.found.push(Mistake { line, set, part, problem: problem.into() });
    }

    /// The value of a result, or a mistake in that line.
    pub(super) fn check<T, E: fmt::Display>(&mut self, line: u64, result: Result<T, E>) -> Option<T> {
        result.map_err(|error| self.add(line, error.to_string())).ok()
    }

    /// Nothing, if nothing was found.
    pub(super) fn finish(mut self) -> Result<(), DeclarationError> {
        if self.found.is_empty() {
            return Ok(());
        }
        self.found.sort_by_key(|mistake| mistake.line);
        Err(DeclarationError::Invalid { mistakes: self.found })
    }
}
