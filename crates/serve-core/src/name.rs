//! Identifiers: [`ModelName`], [`ModelVersion`], [`Alias`] and [`ModelRef`]. Text becomes one of these types once, at
//! the edge; a value of the type is always well formed, and always one safe segment of a path and of a URL.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use thiserror::Error;

const MAX_LENGTH: usize = 64;

/// Words that select a version without being an alias.
const RESERVED: [&str; 3] = ["latest", "previous", "best"];

/// Text that is not the identifier it should be.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{text:?} is no {what}: expected {expected}")]
#[non_exhaustive]
pub struct InvalidName {
    /// What was being read, e.g. `model name`.
    pub what: &'static str,
    /// The text, cut to 80 characters.
    pub text: String,
    /// The rule it breaks.
    pub expected: &'static str,
}

impl InvalidName {
    fn new(what: &'static str, text: &str, expected: &'static str) -> Self {
        Self { what, text: text.chars().take(80).collect(), expected }
    }
}

fn is_segment(text: &str) -> bool {
    let mut bytes = text.bytes();
    let first = bytes.next().is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    first
        && text.len() <= MAX_LENGTH
        && bytes.all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'.' | b'_' | b'-'))
}

macro_rules! text_type {
    ($type:ident) => {
        impl $type {
            /// The text of the identifier.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }
        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
        /// As text in quotes, which is how errors name it.
        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&*self.0, f)
            }
        }
        impl AsRef<str> for $type {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }
        impl std::borrow::Borrow<str> for $type {
            fn borrow(&self) -> &str {
                &self.0
            }
        }
        impl TryFrom<String> for $type {
            type Error = InvalidName;
            fn try_from(text: String) -> Result<Self, InvalidName> {
                text.parse()
            }
        }
        impl From<$type> for String {
            fn from(name: $type) -> Self {
                name.0.as_ref().to_owned()
            }
        }
    };
}

/// A model's name: one URL-safe segment, `[a-z0-9][a-z0-9._-]*`, at most 64 bytes, e.g. `vader-random-forest`.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ModelName(Arc<str>);

text_type!(ModelName);

impl FromStr for ModelName {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, InvalidName> {
        if is_segment(text) {
            Ok(Self(text.into()))
        } else {
            Err(InvalidName::new(
                "model name",
                text,
                "1 to 64 of a-z, 0-9, '.', '_' and '-', starting with a letter or digit",
            ))
        }
    }
}

/// An immutable version: a timestamp (`20251003_211954`) or numbers with dots and an optional `v` (`v1.2.3`).
///
/// Versions of one kind are ordered by time or by number, so the newest is the greatest. The kinds never mix within
/// a model; between kinds the order is by kind, timestamps last.
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ModelVersion(Arc<str>);

text_type!(ModelVersion);

/// The two ways to count versions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum VersionKind {
    /// `v1`, `1.2.3`.
    Numbered,
    /// `20251003_211954`, in UTC.
    Timestamp,
}

impl ModelVersion {
    /// How this version is counted.
    #[must_use]
    pub fn kind(&self) -> VersionKind {
        if self.0.as_bytes().get(8) == Some(&b'_') { VersionKind::Timestamp } else { VersionKind::Numbered }
    }

    fn numbers(&self) -> impl Iterator<Item = u64> + '_ {
        let digits = self.0.strip_prefix('v').unwrap_or(&self.0);
        digits.split(['.', '_']).map(|part| part.parse().unwrap_or(u64::MAX))
    }
}

fn is_timestamp(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes.len() == 15
        && bytes.iter().enumerate().all(|(i, b)| if i == 8 { *b == b'_' } else { b.is_ascii_digit() })
}

fn is_numbered(text: &str) -> bool {
    let digits = text.strip_prefix('v').unwrap_or(text);
    let part = |p: &str| (1..=18).contains(&p.len()) && p.bytes().all(|b| b.is_ascii_digit());
    text.len() <= MAX_LENGTH && digits.split('.').all(part)
}

impl FromStr for ModelVersion {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, InvalidName> {
        if is_timestamp(text) || is_numbered(text) {
            Ok(Self(text.into()))
        } else {
            Err(InvalidName::new(
                "model version",
                text,
                "a timestamp such as 20251003_211954 or numbers such as v1.2.3",
            ))
        }
    }
}

impl Ord for ModelVersion {
    fn cmp(&self, other: &Self) -> Ordering {
        self.kind()
            .cmp(&other.kind())
            .then_with(|| self.numbers().cmp(other.numbers()))
            .then_with(|| self.0.cmp(&other.0))
    }
}

impl PartialOrd for ModelVersion {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// A movable pointer to a version: `champion`, `challenger`. It can never be read as a version.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Alias(Arc<str>);

text_type!(Alias);

thread_local! {
    /// Nearly every request asks for it, and threads that shared one would wait for each other to count it.
    static CHAMPION: Alias = Alias("champion".into());
}

impl Alias {
    /// The alias that answers where a request names no version.
    #[must_use]
    pub fn champion() -> Self {
        CHAMPION.with(Self::clone)
    }
}

impl FromStr for Alias {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, InvalidName> {
        let version = text.parse::<ModelVersion>().is_ok();
        if is_segment(text) && !version && !RESERVED.contains(&text) {
            Ok(Self(text.into()))
        } else {
            Err(InvalidName::new(
                "alias",
                text,
                "a word such as champion, which is neither a version nor latest, previous or best",
            ))
        }
    }
}

/// Which version of a model is meant.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Selector {
    /// The version that an alias points to.
    Alias(Alias),
    /// Exactly this version.
    Version(ModelVersion),
    /// The newest version that is ready to answer.
    Latest,
    /// The version that the champion replaced.
    Previous,
    /// The version with the best held-out metric.
    Best,
}

impl Default for Selector {
    fn default() -> Self {
        Self::Alias(Alias::champion())
    }
}

impl FromStr for Selector {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, InvalidName> {
        Ok(match text {
            "latest" => Self::Latest,
            "previous" => Self::Previous,
            "best" => Self::Best,
            _ => match text.parse() {
                Ok(version) => Self::Version(version),
                Err(_) => Self::Alias(text.parse().map_err(|_| {
                    InvalidName::new(
                        "version or alias",
                        text,
                        "a version such as 20251003_211954 or v1.2.3, an alias such as champion, latest, previous or best",
                    )
                })?),
            },
        })
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Alias(alias) => alias.fmt(f),
            Self::Version(version) => version.fmt(f),
            Self::Latest => f.write_str("latest"),
            Self::Previous => f.write_str("previous"),
            Self::Best => f.write_str("best"),
        }
    }
}

/// A model and which of its versions: `name`, `name@version`, `name@alias`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ModelRef {
    /// The model.
    pub name: ModelName,
    /// Which version; without `@` it is the champion.
    pub selector: Selector,
}

impl FromStr for ModelRef {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, InvalidName> {
        match text.split_once('@') {
            None => Ok(Self { name: text.parse()?, selector: Selector::default() }),
            Some((name, selector)) => Ok(Self { name: name.parse()?, selector: selector.parse()? }),
        }
    }
}

impl TryFrom<String> for ModelRef {
    type Error = InvalidName;

    fn try_from(text: String) -> Result<Self, InvalidName> {
        text.parse()
    }
}

impl From<ModelRef> for String {
    fn from(reference: ModelRef) -> Self {
        reference.to_string()
    }
}

impl fmt::Display for ModelRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.name, self.selector)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_and_odd_text_are_no_model_names() {
        for text in ["", "../../etc/passwd", "a/b", "A", ".hidden", "-x", "a b", "é", &"a".repeat(65)] {
            assert!(text.parse::<ModelName>().is_err(), "{text:?}");
        }
        assert_eq!(
            "vader-random_forest.2".parse::<ModelName>().map(String::from).as_deref(),
            Ok("vader-random_forest.2")
        );
    }

    #[test]
    fn versions_are_ordered_by_number_and_time() {
        let version = |text: &str| text.parse::<ModelVersion>().expect("a version");
        assert!(version("v1.10") > version("v1.9"));
        assert!(version("v2") > version("v1.99"));
        assert!(version("20251003_211954") < version("20251003_211955"));
        for text in ["", "v", "v1.", "1..2", "vv1", "2025_1", "champion", "20251003-211954", "v1.x"] {
            assert!(text.parse::<ModelVersion>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn an_alias_is_never_a_version_or_a_reserved_word() {
        for text in ["v1", "1.2", "20251003_211954", "latest", "best", "previous"] {
            assert!(text.parse::<Alias>().is_err(), "{text:?}");
        }
        assert_eq!(
            "vader@v1".parse::<ModelRef>().map(|r| r.selector),
            Ok(Selector::Version("v1".parse().expect("v1")))
        );
        assert_eq!("vader".parse::<ModelRef>().map(|r| r.to_string()).as_deref(), Ok("vader@champion"));
        assert!("vader@".parse::<ModelRef>().is_err());
    }
}
