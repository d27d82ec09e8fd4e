//! What marks the rows that a declaration computed, so that rows of an older one are told from those of today's.
//!
//! It names what a stored value depends on: the sources and each feature's expression. How an expression is spaced, the order of
//! the features, what stands for a missing value, and what only validation asks (ranges, null rates) are left out: rows are told
//! by name, and a row is out of date only where a value may be.

use std::fmt;

use sha2::{Digest, Sha256};

use super::{Feature, Source};
use crate::duration;
use crate::expression::token::{Token, Tokens};

/// The mark of a declaration: 16 hexadecimal digits, the beginning of a SHA-256.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct DeclarationDigest(u64);

/// How many digits it has as a text.
pub(crate) const DIGITS: usize = 16;

impl DeclarationDigest {
    /// Of a set; `None` without sources, where nothing is computed. A change of what the text means must change the first
    /// word.
    pub(super) fn of(sources: &[Source], features: &[Feature]) -> Option<Self> {
        if sources.is_empty() {
            return None;
        }
        let mut sha = Sha256::new();
        sha.update("rows 2\n");
        for Source { name, table, columns, max_age, delay } in sources {
            let max_age = max_age.map(|limit| limit.to_string()).unwrap_or_default();
            // A column takes a plain name away from a feature that is called the same.
            let taken =
                columns.iter().filter(|(column, _)| features.iter().any(|known| known.name == *column));
            let taken: Vec<_> = taken.collect();
            sha.update(format!("{name} {table} {taken:?} {max_age} {}\n", duration::format(*delay)));
        }
        let mut lines: Vec<String> = features.iter().map(line).collect();
        lines.sort_unstable();
        sha.update(lines.concat());
        let bytes = sha.finalize();
        bytes.first_chunk().map(|first| Self(u64::from_be_bytes(*first)))
    }

    /// The digest that a store has as a text.
    pub(crate) fn parse(text: &str) -> Result<Self, &'static str> {
        let expected = "the declaration is not 16 hexadecimal digits";
        if text.len() != DIGITS || !text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b)) {
            return Err(expected);
        }
        u64::from_str_radix(text, 16).map(Self).map_err(|_| expected)
    }

    /// What stands in a row's column, if anything.
    pub(crate) fn parse_if_any(text: Option<&str>) -> Result<Option<Self>, &'static str> {
        text.map(Self::parse).transpose()
    }
}

impl fmt::Display for DeclarationDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

fn line(feature: &Feature) -> String {
    let mut words = vec![format!("{:?}", feature.name)];
    let mut tokens = Tokens::new(feature.text.as_deref().unwrap_or_default());
    // A set that was declared has no words that cannot be read.
    while let Ok((_, token)) = tokens.next()
        && token != Token::End
    {
        words.push(token.shown());
    }
    words.join(" ") + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::declaration::Declarations;

    fn digest(features: &str, source: &str) -> Option<DeclarationDigest> {
        let text = format!(
            "feature_sets: {{ a: {{ entity: symbol, sources: {{ price: {{ table: price_data{source} }} }}, \
             features: {{ {features} }} }} }}"
        );
        Declarations::parse(&text).expect("is a declaration").sets()[0].digest()
    }

    #[test]
    fn what_a_value_depends_on_makes_another_digest() {
        let plain = digest("x: 'return(close, 1)', y: close / open", "");
        assert!(plain.is_some());
        for (features, source) in [
            ("x: 'return(close, 2)', y: close / open", ""),
            ("x: 'return(close, 1)'", ""),
            ("x: 'return(close, 1)', z: close / open", ""),
            ("x: 'return(close, 1)', y: close / open", ", delay: 1d"),
        ] {
            assert_ne!(digest(features, source), plain, "{features}{source}");
        }
    }

    #[test]
    fn what_no_value_depends_on_does_not() {
        let plain = digest("x: 'return(close, 1)', y: close / open", "");
        for features in [
            "x: 'return( close,1 )', y: close/open",
            "y: close / open, x: 'return(close, 1)'",
            "x: { expr: 'return(close, 1)', range: { min: 0 }, missing: reject }, y: close / open",
            "x: { expr: 'return(close, 1)', missing: { constant: 0 } }, y: close / open",
        ] {
            assert_eq!(digest(features, ""), plain, "{features}");
        }
    }

    #[test]
    fn a_digest_is_read_from_its_own_text_and_from_no_other() {
        let digest = digest("x: close", "").expect("is computed");
        assert_eq!(DeclarationDigest::parse(&digest.to_string()), Ok(digest));
        for bad in ["", "0", "+000000000000000", "000000000000000G", "00000000000000000", "ABCDEFABCDEFABCD"]
        {
            assert!(DeclarationDigest::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn ready_sets_have_none() {
        let text = "feature_sets: { a: { entity: symbol, features: { x: number } } }";
        assert_eq!(Declarations::parse(text).expect("is a declaration").sets()[0].digest(), None);
    }
}
