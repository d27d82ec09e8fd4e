//! The word lists and what is known of a word: its mean rating, whether it strengthens, weakens or negates, the phrases it
//! opens, and the emoji's descriptions.
//!
//! The files hold the lists of vaderSentiment 3.3.2 as `tests/golden/make_vader.py` writes them: tab-separated, sorted, the
//! last of rows that are there twice, and only emoji of one code point, since text is looked up by code point. The table is
//! fixed, so its hash needs no secret: no text can make a look-up slower than the fullest place of the table.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

const RATINGS: &str = include_str!("lexicon.txt");
const MODIFIERS: &str = include_str!("modifiers.txt");
const EMOJI: &str = include_str!("emoji.txt");

/// Words that a rule names and no list does.
const CUES: [&str; 6] = ["at", "but", "least", "of", "or", "this"];

/// No word in the lists is longer, in bytes.
const LONGEST: usize = 24;

/// What is known of one word, which is in lower case.
#[derive(Debug, Default)]
pub(super) struct Entry {
    pub(super) word: &'static str,
    /// The mean of ten ratings, -4 to 4; none for a word that only changes others.
    pub(super) mean: Option<f64>,
    /// What the word adds to a positive rating that follows it.
    pub(super) degree: f64,
    pub(super) negates: bool,
    pub(super) opens_phrase: bool,
}

/// Words that mean something together.
#[derive(Debug)]
pub(super) struct Phrase {
    pub(super) words: Vec<&'static str>,
    pub(super) value: f64,
}

#[derive(Debug, Default)]
pub(super) struct Lexicon {
    entries: HashMap<&'static [u8], Entry, BuildHasherDefault<Fnv>>,
    emoji: HashMap<char, &'static str, BuildHasherDefault<Fnv>>,
    /// Phrases that replace a rating.
    pub(super) idioms: Vec<Phrase>,
    /// Phrases that are added to one, such as `kind of`.
    pub(super) degrees: Vec<Phrase>,
}

impl Lexicon {
    pub(super) fn read() -> Self {
        let mut lexicon = Self::default();
        for (word, mean) in RATINGS.lines().filter_map(|line| line.split_once('\t')) {
            lexicon.entry(word).mean = mean.parse().ok();
        }
        for line in MODIFIERS.lines() {
            let mut fields = line.split('\t');
            if let (Some(word), Some(kind)) = (fields.next(), fields.next()) {
                lexicon.modifier(word, kind, fields.next().and_then(|x| x.parse().ok()).unwrap_or(0.0));
            }
        }
        CUES.iter().for_each(|word| _ = lexicon.entry(word));
        for (emoji, description) in EMOJI.lines().filter_map(|line| line.split_once('\t')) {
            lexicon.emoji.extend(emoji.chars().next().map(|c| (c, description)));
        }
        lexicon
    }

    fn modifier(&mut self, text: &'static str, kind: &str, value: f64) {
        let words: Vec<_> = text.split(' ').collect();
        match (kind, words.len()) {
            ("negation", _) => self.entry(text).negates = true,
            ("degree", 1) => self.entry(text).degree = value,
            _ => {
                words.iter().for_each(|word| _ = self.entry(word));
                self.entry(words[0]).opens_phrase = true;
                let phrases = if kind == "idiom" { &mut self.idioms } else { &mut self.degrees };
                phrases.push(Phrase { words, value });
            }
        }
    }

    fn entry(&mut self, word: &'static str) -> &mut Entry {
        self.entries.entry(word.as_bytes()).or_insert_with(|| Entry { word, ..Entry::default() })
    }

    /// What is known of a word in any case, as Unicode lowers it.
    pub(super) fn find(&self, word: &str) -> Option<&Entry> {
        let (mut lower, mut length) = ([0; LONGEST], 0);
        for c in word.chars() {
            *lower.get_mut(length)? = match c {
                // The one other character, the kelvin sign, whose lower case is in ASCII, as all words here are.
                '\u{212a}' => b'k',
                c if c.is_ascii() => c.to_ascii_lowercase() as u8,
                _ => return None,
            };
            length += 1;
        }
        self.entries.get(&lower[..length])
    }

    pub(super) fn emoji(&self, c: char) -> Option<&'static str> {
        if c.is_ascii() { None } else { self.emoji.get(&c).copied() }
    }
}

/// The hash of Fowler, Noll and Vo (1a, 64 bits).
#[derive(Debug)]
struct Fnv(u64);

impl Default for Fnv {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl Hasher for Fnv {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }

    /// The length of a slice, in one step.
    fn write_usize(&mut self, length: usize) {
        self.0 = (self.0 ^ length as u64).wrapping_mul(0x0100_0000_01b3);
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_of_the_lists_is_read() {
        let lexicon = Lexicon::read();
        let count = |f: fn(&Entry) -> bool| lexicon.entries.values().filter(|entry| f(entry)).count();
        assert_eq!(count(|e| e.mean.is_some()), RATINGS.lines().count());
        assert_eq!(count(|e| e.mean.is_some()), 7506);
        assert_eq!(
            (count(|e| e.degree > 0.0), count(|e| e.degree < 0.0), count(|e| e.negates)),
            (60, 21, 59)
        );
        assert_eq!((lexicon.idioms.len(), lexicon.degrees.len(), lexicon.emoji.len()), (9, 3, 1212));
        // A word that both has a rating and changes others would be counted twice by the rules.
        assert_eq!(count(|e| e.mean.is_some() && (e.degree != 0.0 || e.negates)), 0);
    }

    #[test]
    fn no_word_is_too_long_to_be_found() {
        let lexicon = Lexicon::read();
        assert!(lexicon.entries.keys().all(|word| word.len() <= LONGEST));
        let lower = |word: &&str| word.is_ascii() && **word == word.to_lowercase();
        for word in lexicon.entries.values().map(|entry| entry.word).filter(lower) {
            assert_eq!(lexicon.find(&word.to_uppercase()).map(|entry| entry.word), Some(word));
        }
        assert_eq!(lexicon.find("\u{212a}ISS").map(|entry| entry.word), Some("kiss"));
        assert!(lexicon.find("").is_none() && lexicon.find("goodé").is_none());
    }
}
