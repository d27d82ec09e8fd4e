//! A text as words: emoji described, split at white space, punctuation taken off.

use std::borrow::Cow;

use super::lexicon::{Entry, Lexicon};

/// One word of a text, as written.
#[derive(Debug, Clone, Copy)]
pub(super) struct Word<'a> {
    text: &'a str,
    entry: Option<&'a Entry>,
}

impl Word<'_> {
    /// Whether this is `word`, which is in lower case and in the lexicon, in any case.
    pub(super) fn is(&self, word: &str) -> bool {
        self.entry.is_some_and(|entry| entry.word == word)
    }

    /// The mean rating of a word of the lexicon.
    pub(super) fn mean(&self) -> Option<f64> {
        self.entry.and_then(|entry| entry.mean)
    }

    /// What the word adds to a positive rating that follows it; 0 for most.
    pub(super) fn degree(&self) -> f64 {
        self.entry.map_or(0.0, |entry| entry.degree)
    }

    pub(super) fn opens_phrase(&self) -> bool {
        self.entry.is_some_and(|entry| entry.opens_phrase)
    }

    /// Whether the word turns what follows around: one of a list, or any with `n't` in it.
    pub(super) fn negates(&self) -> bool {
        let contracted = |three: &[u8]| three.eq_ignore_ascii_case(b"n't");
        self.entry.is_some_and(|entry| entry.negates) || self.text.as_bytes().windows(3).any(contracted)
    }

    /// Whether the word is in capitals: it has letters with case, and all of those are capitals.
    pub(super) fn shouts(&self) -> bool {
        let mut capitals = false;
        for c in self.text.chars() {
            if c.is_lowercase() || is_title(c) {
                return false;
            }
            capitals |= c.is_uppercase();
        }
        capitals
    }
}

/// Letters that are a capital and a small one at once, such as `ǅ`: Unicode's category Lt.
fn is_title(c: char) -> bool {
    matches!(c,
        '\u{1c5}' | '\u{1c8}' | '\u{1cb}' | '\u{1f2}' | '\u{1f88}'..='\u{1f8f}' | '\u{1f98}'..='\u{1f9f}'
        | '\u{1fa8}'..='\u{1faf}' | '\u{1fbc}' | '\u{1fcc}' | '\u{1ffc}')
}

/// The text with each emoji as a space and its description.
pub(super) fn describe_emoji<'a>(text: &'a str, lexicon: &Lexicon) -> Cow<'a, str> {
    let (mut described, mut copied) = (String::new(), 0);
    if !text.is_ascii() {
        for (at, emoji) in text.char_indices() {
            if let Some(description) = lexicon.emoji(emoji) {
                described.extend([&text[copied..at], " ", description]);
                copied = at + emoji.len_utf8();
            }
        }
    }
    if copied == 0 {
        return Cow::Borrowed(text);
    }
    described.push_str(&text[copied..]);
    Cow::Owned(described)
}

pub(super) fn split<'a>(text: &'a str, lexicon: &'a Lexicon) -> Vec<Word<'a>> {
    let tokens = text.split(is_space).filter(|token| !token.is_empty());
    tokens.map(strip).map(|text| Word { text, entry: lexicon.find(text) }).collect()
}

/// Python's white space, which has four separators of ASCII more than Unicode's.
fn is_space(c: char) -> bool {
    c.is_whitespace() || matches!(c, '\u{1c}'..='\u{1f}')
}

/// The token without punctuation around it, or all of it where that leaves two characters or fewer: it may be an emoticon.
fn strip(token: &str) -> &str {
    let word = token.trim_matches(|c: char| c.is_ascii_punctuation());
    if word.chars().nth(2).is_some() { word } else { token }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(text: &str) -> Vec<String> {
        let lexicon = Lexicon::read();
        let text = describe_emoji(text, &lexicon);
        split(&text, &lexicon).iter().map(|word| word.text.to_owned()).collect()
    }

    #[test]
    fn emoticons_and_short_words_keep_their_punctuation() {
        assert_eq!(
            texts(" \"good,\" :) (ok) no!\u{1f}don't-- ...\n"),
            ["good", ":)", "(ok)", "no!", "don't", "..."]
        );
        assert!(texts(" \t\u{a0}\u{1c}").is_empty());
    }

    #[test]
    fn emoji_begin_a_word_and_do_not_end_one() {
        assert_eq!(texts("so😁good"), ["so", "beaming", "face", "with", "smiling", "eyesgood"]);
        assert_eq!(texts("💋💋"), ["kiss", "mark", "kiss", "mark"]);
        assert_eq!(texts("❤\u{fe0f}"), ["red", "heart\u{fe0f}"]);
    }

    #[test]
    fn words_shout_whose_letters_are_all_capitals() {
        let lexicon = Lexicon::read();
        let shouts = |text| split(text, &lexicon).iter().map(Word::shouts).collect::<Vec<_>>();
        assert_eq!(
            shouts("GOOD Good B4 123 ÀÉ ÀÉß ⅷ Ⅷ Ⓐb"),
            [true, false, true, false, true, false, false, true, false]
        );
        assert_eq!(shouts("ABǄ ABǅ ABǆ AB中"), [true, false, false, true]);
    }
}
