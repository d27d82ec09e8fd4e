//! The rating of each word: its mean in the lexicon, changed by capitals, by a `no` before it, by the three words before it
//! and by a `least`.
//!
//! Every sum and product is in the order of the Python package, so that the bits are its bits.

use std::ops::Range;

use super::lexicon::{Lexicon, Phrase};
use super::words::Word;

/// What capitals add to a rating, away from 0.
const SHOUTED: f64 = 0.733;
/// What a negation makes of a rating.
const NEGATED: f64 = -0.74;
/// What `never so` makes of one.
const STRENGTHENED: f64 = 1.25;
/// How much of a degree is left one, two and three words away.
const FADING: [f64; 3] = [1.0, 0.95, 0.9];

/// One rating a word; 0 for words that have none.
pub(super) fn ratings(words: &[Word<'_>], lexicon: &Lexicon) -> Vec<f64> {
    let shouted = words.iter().filter(|word| word.shouts()).count();
    let text = Text { words, lexicon, some_shout: 0 < shouted && shouted < words.len() };
    (0..words.len()).map(|at| text.rating(at)).collect()
}

struct Text<'a> {
    words: &'a [Word<'a>],
    lexicon: &'a Lexicon,
    /// Some words are in capitals and some are not.
    some_shout: bool,
}

impl Text<'_> {
    fn rating(&self, at: usize) -> f64 {
        let word = self.words[at];
        let Some(mean) = word.mean() else { return 0.0 };
        if word.is("kind") && self.is(at + 1, "of") {
            return 0.0;
        }
        let mut rating = self.after_no(at, mean);
        if self.some_shout && word.shouts() {
            rating += if rating > 0.0 { SHOUTED } else { -SHOUTED };
        }
        for (back, fading) in (1..=at.min(3)).zip(FADING) {
            let before = &self.words[at - back];
            if before.mean().is_some() {
                continue;
            }
            rating += self.degree(before, rating) * fading;
            rating *= self.negation(at, back);
            if back == 3 {
                rating = self.phrases(at, rating);
            }
        }
        if self.least(at) { rating * NEGATED } else { rating }
    }

    fn is(&self, at: usize, word: &str) -> bool {
        self.words.get(at).is_some_and(|found| found.is(word))
    }

    /// Whether the word so many places before `at` is `word`.
    fn was(&self, at: usize, back: usize, word: &str) -> bool {
        at.checked_sub(back).is_some_and(|at| self.is(at, word))
    }

    /// The mean rating, negated after a `no`. A `no` before a rated word negates it and has no rating of its own.
    fn after_no(&self, at: usize, mean: f64) -> f64 {
        let no = |back| self.was(at, back, "no");
        if no(1) || no(2) || no(3) && (self.was(at, 1, "or") || self.was(at, 1, "nor")) {
            mean * NEGATED
        } else if self.is(at, "no") && self.words.get(at + 1).is_some_and(|next| next.mean().is_some()) {
            0.0
        } else {
            mean
        }
    }

    /// What `word` adds to the rating as it is so far.
    fn degree(&self, word: &Word<'_>, rating: f64) -> f64 {
        let degree = word.degree();
        if degree == 0.0 {
            return 0.0;
        }
        let toward = if rating < 0.0 { -degree } else { degree };
        match self.some_shout && word.shouts() {
            true if rating > 0.0 => toward + SHOUTED,
            true => toward - SHOUTED,
            false => toward,
        }
    }

    /// The factor that the word `back` places before `at` gives to its rating.
    fn negation(&self, at: usize, back: usize) -> f64 {
        let stress = |back| self.was(at, back, "so") || self.was(at, back, "this");
        let doubt = |back| self.was(at, back, "doubt");
        let (never, without) = (self.was(at, back, "never"), self.was(at, back, "without"));
        let (strengthened, spared) = match back {
            1 => (false, false),
            2 => (never && stress(1), without && doubt(1)),
            // The package's `or` binds so that a stress right before the word needs no `never`.
            _ => (never && stress(2) || stress(1), without && (doubt(2) || doubt(1))),
        };
        if strengthened {
            STRENGTHENED
        } else if !spared && self.words[at - back].negates() {
            NEGATED
        } else {
            1.0
        }
    }

    /// The rating after the phrases around `at`, which has three words before it: idioms replace it, then degrees add.
    fn phrases(&self, at: usize, mut rating: f64) -> f64 {
        let ending = [at - 1..at + 1, at - 2..at + 1, at - 2..at, at - 3..at, at - 3..at - 1];
        if let Some(value) = ending.into_iter().find_map(|range| self.phrase(range, &self.lexicon.idioms)) {
            rating = value;
        }
        for range in [at..at + 2, at..at + 3] {
            rating = self.phrase(range, &self.lexicon.idioms).unwrap_or(rating);
        }
        for range in [at - 3..at - 1, at - 2..at] {
            rating += self.phrase(range, &self.lexicon.degrees).unwrap_or(0.0);
        }
        rating
    }

    fn phrase(&self, range: Range<usize>, phrases: &[Phrase]) -> Option<f64> {
        let words = self.words.get(range)?;
        if !words.first()?.opens_phrase() {
            return None;
        }
        let same = |phrase: &&Phrase| {
            phrase.words.len() == words.len()
                && phrase.words.iter().zip(words).all(|(word, found)| found.is(word))
        };
        phrases.iter().find(same).map(|phrase| phrase.value)
    }

    /// Whether a `least` that is not `at least` or `very least` stands right before.
    fn least(&self, at: usize) -> bool {
        self.was(at, 1, "least") && !self.was(at, 2, "at") && !self.was(at, 2, "very")
    }
}
