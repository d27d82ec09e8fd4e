//! VADER: how positive or negative a text reads, by a lexicon of words and rules for what stands around them.
//!
//! The rules are those of Hutto and Gilbert, *VADER: A Parsimonious Rule-based Model for Sentiment Analysis of Social Media
//! Text* (ICWSM 2014), written anew; where the paper leaves room, the Python package vaderSentiment 3.3.2 decides. Scores
//! are that package's to the last bit (`tests/golden/make_vader.py`). The word lists in `vader/` are the package's and under
//! its licence (`vader/LICENSE-vader`, MIT).
//!
//! A text becomes words; each word of the lexicon gets its mean rating, changed by capitals and by the three words before
//! it; a `but` shifts weight; the sum, with exclamation and question marks added, is squeezed into -1..1. What of the
//! package one would not expect, and what is the same here:
//!
//! - An emoji becomes its description, a word apart from what precedes it but not from what follows: `😁good` ends in
//!   `eyesgood`. Only emoji of one code point are known; a variation selector stays on the description's last word.
//! - Words lose ASCII punctuation on both sides unless two or fewer characters are left, so `(ok)` is not `ok`, and `no!` is
//!   not `no`. Curly apostrophes and quotes stay, so `isn’t` negates nothing.
//! - Rows of the lexicon in capitals (`:D`) or of two words (`can't stand`) never match.
//! - Words in capitals weigh more if other words are not; digits and marks count among the others.
//! - The idioms and `kind of` need three words before the rated one, the first of them not in the lexicon.
//! - `so` or `this` right before a word, with three words before it, strengthens it as `never so` does.
//! - `kind of` lowers a rating also where it is negative, unlike `kinda`.
//! - `but` halves and raises not each rating but the first equal one, which may stand on the other side (see `contrast`).
//! - The whole text's marks count, also those within words and links.
//! - Ratings are added from left to right, as CPython does up to 3.11. From 3.12 on it adds with less rounding, and ratings
//!   that cancel out may leave 0 in one and 1e-16 in the other; marks then weigh in one of them only: `good fine hate!` has
//!   the compound 0 here, and -0.0752 there.
//! - Capitals are those of the Unicode tables that Rust has; six rare letters had another case in Python 3.11's.
//!
//! Time is linear in the text but for a logarithm after `but`; memory is a small multiple of the text. Nothing recurses.

use std::sync::LazyLock;

use lexicon::Lexicon;

mod contrast;
mod lexicon;
mod summary;
mod valence;
mod words;

/// What [`Analyzer::scores`] says of a text. All 0 for a text without words.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Scores {
    /// The share of negative words, 0 to 1, each weighed by its rating.
    pub negative: f64,
    /// The share of words that are neither.
    pub neutral: f64,
    /// The share of positive words, 0 to 1, each weighed by its rating.
    pub positive: f64,
    /// The sum of all ratings *s* as s / √(s² + 15): -1 is most negative, 1 most positive.
    pub compound: f64,
}

/// Scores texts in English.
#[derive(Debug)]
pub struct Analyzer {
    lexicon: Lexicon,
}

impl Analyzer {
    /// The one analyzer; its word lists are read at the first call.
    pub fn shared() -> &'static Self {
        static SHARED: LazyLock<Analyzer> = LazyLock::new(|| Analyzer { lexicon: Lexicon::read() });
        &SHARED
    }

    /// The scores of a text, rounded as the Python package does: shares to 3 decimals, the compound to 4.
    ///
    /// ```
    /// use serve_features::vader::Analyzer;
    /// let scores = Analyzer::shared().scores("VADER is VERY SMART, handsome, and FUNNY!!!");
    /// assert_eq!((scores.negative, scores.neutral, scores.positive), (0.0, 0.233, 0.767));
    /// assert_eq!(scores.compound, 0.9342);
    /// ```
    pub fn scores(&self, text: &str) -> Scores {
        self.unrounded(text).rounded()
    }

    /// The scores of a text before they are rounded.
    pub fn unrounded(&self, text: &str) -> Scores {
        let text = words::describe_emoji(text, &self.lexicon);
        let words = words::split(&text, &self.lexicon);
        let mut ratings = valence::ratings(&words, &self.lexicon);
        if let Some(but) = words.iter().position(|word| word.is("but")) {
            contrast::shift(&mut ratings, but);
        }
        summary::scores(&ratings, summary::emphasis(&text))
    }
}

/// The compound score of a text, -1 to 1, rounded to 4 decimals; 0 for a text without words.
///
/// ```
/// assert_eq!(serve_features::vader::compound("Not bad at all"), 0.431);
/// assert_eq!(serve_features::vader::compound(""), 0.0);
/// ```
pub fn compound(text: &str) -> f64 {
    Analyzer::shared().scores(text).compound
}
