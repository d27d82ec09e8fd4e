//! Why a file was refused, and where in it. All of these are faults of the file; the same file again is refused again.

use std::fmt;

use thiserror::Error;

use crate::format::{FileKind, Format, SUPPORTED};

/// Where in a file something stands.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Place {
    /// In a text file.
    Line {
        /// The line, from 1.
        line: usize,
        /// The tree that it belongs to, from 0.
        tree: Option<usize>,
        /// The line's key, where it has one.
        key: String,
    },
    /// In a JSON file: a path such as `learner.objective.name`.
    Path(String),
    /// In a binary file.
    Byte {
        /// The byte, from 0.
        byte: usize,
        /// The path of keys to it, where there is one.
        path: String,
    },
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Line { line, tree, key } => {
                write!(f, "line {line}")?;
                if let Some(tree) = tree {
                    write!(f, ", tree {tree}")?;
                }
                if key.is_empty() { Ok(()) } else { write!(f, ", {key}") }
            }
            Self::Path(path) => f.write_str(path),
            Self::Byte { byte, path } if path.is_empty() => write!(f, "byte {byte}"),
            Self::Byte { byte, path } => write!(f, "byte {byte}, {path}"),
        }
    }
}

/// Why a file is not imported.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ImportError {
    /// It has no bytes.
    #[error("the file is empty")]
    Empty,
    /// Its content tells nothing.
    #[error("not a model file we know: it begins with \"{start}\"; {SUPPORTED}")]
    Unknown {
        /// The first bytes, escaped.
        start: String,
    },
    /// It is a kind of file that is not read.
    #[error("the file is {kind}: {reason}; {SUPPORTED}")]
    Kind {
        /// What it is.
        kind: FileKind,
        /// Why it is not read.
        reason: &'static str,
    },
    /// It is another kind of file than it was said to be.
    #[error("expected a file of format {expected}, the file is {got}{}", because(*.got))]
    Mismatch {
        /// What it was said to be.
        expected: Format,
        /// What it is.
        got: FileKind,
    },
    /// It uses something that cannot be answered exactly.
    #[error("{place}: {what} is not supported; supported: {supported}")]
    Unsupported {
        /// Where.
        place: Place,
        /// What it uses.
        what: String,
        /// What it could use.
        supported: &'static str,
    },
    /// Something in it is not as it must be.
    #[error("{place}: expected {expected}, got {got}")]
    Invalid {
        /// Where.
        place: Place,
        /// What must stand there.
        expected: String,
        /// What stands there.
        got: String,
    },
    /// Something that must be in it is not.
    #[error("{place}: {what} is missing")]
    Missing {
        /// Where.
        place: Place,
        /// What.
        what: String,
    },
    /// Its trees are no trees.
    #[error("{place}: {problem}")]
    Graph {
        /// Where.
        place: Place,
        /// What is wrong.
        problem: String,
    },
    /// It is no JSON, or JSON of another form than CatBoost's.
    #[error("{place}: the JSON does not read as a CatBoost model")]
    CatBoostJson {
        /// Where.
        place: Place,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
    /// It is no JSON, or JSON of another form than `tools/export_sklearn.py` writes.
    #[error("{place}: the JSON does not read as an exported scikit-learn pipeline")]
    SklearnJson {
        /// Where.
        place: Place,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
    /// It is no JSON, or JSON of another form than XGBoost's.
    #[error("{place}: the JSON does not read as an XGBoost model")]
    Json {
        /// Where.
        place: Place,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
    /// It is no UBJSON, or UBJSON of another form than XGBoost's.
    #[error("{place}: the UBJSON does not read as an XGBoost model: {problem}")]
    Ubjson {
        /// Where.
        place: Place,
        /// Why.
        problem: String,
    },
}

fn because(kind: FileKind) -> String {
    kind.refusal().map_or_else(String::new, |reason| format!(": {reason}; {SUPPORTED}"))
}

impl ImportError {
    pub(crate) fn invalid(place: Place, expected: impl Into<String>, got: impl Into<String>) -> Self {
        Self::Invalid { place, expected: expected.into(), got: got.into() }
    }
}

/// Text from a file as it may stand in a message: quoted, escaped, and cut where it is long.
pub(crate) fn shown(text: &str) -> String {
    const LONGEST: usize = 60;
    match text.char_indices().nth(LONGEST) {
        None => format!("{text:?}"),
        Some((end, _)) => format!("{:?}…", &text[..end]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_name_what_there_is() {
        let line = |tree, key: &str| Place::Line { line: 7, tree, key: key.to_owned() }.to_string();
        assert_eq!(line(None, ""), "line 7");
        assert_eq!(line(Some(2), "threshold"), "line 7, tree 2, threshold");
    }

    #[test]
    fn shown_text_is_short_and_harmless() {
        assert_eq!(shown("a\"\u{1b}"), r#""a\"\u{1b}""#);
        assert_eq!(shown(&"é".repeat(100)), format!("\"{}\"…", "é".repeat(60)));
    }
}
