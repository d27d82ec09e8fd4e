//! The two identifiers of this crate: which group of features, and whom they describe. Both are checked once, where they
//! enter, so that no other code has to ask whether a name is sound. Clones share the text.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// The longest feature set name, in bytes.
const SET_NAME_BYTES: usize = 64;
/// The longest name of a raw table, in bytes: that of an identifier of PostgreSQL.
const TABLE_NAME_BYTES: usize = 63;
/// The longest entity, in bytes.
const ENTITY_BYTES: usize = 256;

/// Why a name was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NameError {
    /// Not a URL-safe segment.
    #[error(
        "feature set name {got:?}: expected 1 to {SET_NAME_BYTES} of `a-z`, `0-9`, `.`, `_`, `-`, beginning with a letter or a digit"
    )]
    FeatureSet {
        /// The refused text, cut off when long.
        got: String,
    },
    /// Not a plain word.
    #[error(
        "table {got:?}: expected `price_data`, `sentiment_data` or 1 to {TABLE_NAME_BYTES} of `a-z`, `0-9`, `_`, beginning with a letter"
    )]
    Table {
        /// The refused text, cut off when long.
        got: String,
    },
    /// Empty, too long, or with control characters.
    #[error("entity {got:?}: expected 1 to {ENTITY_BYTES} bytes without control characters")]
    Entity {
        /// The refused text, cut off when long.
        got: String,
    },
}

/// The name of a feature set: `[a-z0-9][a-z0-9._-]*`, 64 bytes at most, as for a model's name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct FeatureSetName(Arc<str>);

/// What features describe, e.g. `BTC/USD`: 1 to 256 bytes without control characters.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Entity(Arc<str>);

impl FromStr for FeatureSetName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let alphanumeric = |b: &u8| b.is_ascii_lowercase() || b.is_ascii_digit();
        let first = text.as_bytes().first().is_some_and(alphanumeric);
        let rest = text.bytes().all(|b| alphanumeric(&b) || matches!(b, b'.' | b'_' | b'-'));
        if first && rest && text.len() <= SET_NAME_BYTES {
            Ok(Self(text.into()))
        } else {
            Err(NameError::FeatureSet { got: beginning(text) })
        }
    }
}

impl FromStr for Entity {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        if text.is_empty() || text.len() > ENTITY_BYTES || text.chars().any(char::is_control) {
            Err(NameError::Entity { got: beginning(text) })
        } else {
            Ok(Self(text.into()))
        }
    }
}

/// Whether a text can name a raw table.
pub(crate) fn is_table_name(text: &str) -> bool {
    let word = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
    text.starts_with(|c: char| c.is_ascii_lowercase())
        && text.bytes().all(word)
        && text.len() <= TABLE_NAME_BYTES
}

impl NameError {
    /// A text that names no raw table.
    pub(crate) fn table(text: &str) -> Self {
        Self::Table { got: beginning(text) }
    }
}

/// Enough of a refused text to recognise it.
fn beginning(text: &str) -> String {
    text.chars().take(SET_NAME_BYTES + 1).collect()
}

macro_rules! text_newtype {
    ($name:ident) => {
        impl $name {
            /// The name as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl TryFrom<String> for $name {
            type Error = NameError;

            fn try_from(text: String) -> Result<Self, NameError> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> Self {
                name.as_str().to_owned()
            }
        }
    };
}

text_newtype!(FeatureSetName);
text_newtype!(Entity);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn set_names_are_url_safe_segments() {
        for good in ["vader", "0", "btc_hourly", "a.b-c", &"x".repeat(64)] {
            assert_eq!(good.parse::<FeatureSetName>().map(String::from), Ok(good.to_owned()));
        }
        for bad in ["", "Vader", ".a", "-a", "a/b", "a b", "é", &"x".repeat(65)] {
            assert!(matches!(bad.parse::<FeatureSetName>(), Err(NameError::FeatureSet { .. })), "{bad:?}");
        }
    }

    #[test]
    fn entities_are_free_text_without_control_characters() {
        for good in ["BTC/USD", "user 7", "é", &"x".repeat(256)] {
            assert_eq!(good.parse::<Entity>().map(String::from), Ok(good.to_owned()));
        }
        for bad in ["", "a\nb", "\u{7f}", &"x".repeat(257)] {
            assert!(matches!(bad.parse::<Entity>(), Err(NameError::Entity { .. })), "{bad:?}");
        }
    }

    #[test]
    fn a_refused_name_is_quoted_only_in_part() {
        let error = "!".repeat(10_000).parse::<FeatureSetName>().expect_err("is refused");
        assert!(error.to_string().len() < 300);
    }
}
