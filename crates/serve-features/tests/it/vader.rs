//! VADER against the Python package (`tests/golden/make_vader.py`): the same bits before rounding, the same numbers after.

use std::fs;
use std::path::PathBuf;

use proptest::prelude::*;
use serve_features::vader::{Analyzer, Scores, compound};

fn golden<T: serde::de::DeserializeOwned>(name: &str) -> Vec<T> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden/vader").join(name);
    serde_json::from_slice(&fs::read(path).expect("is in tests/golden/vader")).expect("holds rows")
}

/// Texts whose scores differ, with what was expected.
fn differing(texts: impl Iterator<Item = (String, Scores, f64)>) -> Vec<String> {
    let analyzer = Analyzer::shared();
    let check = |(text, expected, exact): (String, Scores, f64)| {
        let (got, unrounded) = (analyzer.scores(&text), analyzer.unrounded(&text).compound);
        let same = got == expected && unrounded == exact && compound(&text) == expected.compound;
        let start: String = text.chars().take(100).collect();
        (!same).then(|| format!("{start:?}: expected {expected:?} {exact}, got {got:?} {unrounded}"))
    };
    texts.filter_map(check).collect()
}

#[test]
fn every_text_has_the_scores_of_the_python_package() {
    let rows: Vec<(String, f64, f64, f64, f64, f64)> = golden("cases.json");
    assert!(rows.len() > 3000, "{} rows", rows.len());
    let rows = rows.into_iter().map(|(text, negative, neutral, positive, compound, exact)| {
        (text, Scores { negative, neutral, positive, compound }, exact)
    });
    let differing = differing(rows);
    assert!(differing.is_empty(), "{} differ:\n{}", differing.len(), differing.join("\n"));
}

#[test]
fn long_texts_have_the_scores_of_the_python_package() {
    let rows: Vec<(String, usize, f64, f64, f64, f64, f64)> = golden("long.json");
    let rows = rows.into_iter().map(|(piece, times, negative, neutral, positive, compound, exact)| {
        (piece.repeat(times), Scores { negative, neutral, positive, compound }, exact)
    });
    assert_eq!(differing(rows), Vec::<String>::new());
}

fn assert_in_range(text: &str) -> Result<(), TestCaseError> {
    let scores = Analyzer::shared().unrounded(text);
    let shares = [scores.negative, scores.neutral, scores.positive];
    prop_assert!(shares.iter().all(|share| (0.0..=1.0).contains(share)), "{scores:?}");
    let sum = shares.iter().sum::<f64>();
    prop_assert!(sum == 0.0 || (sum - 1.0).abs() < 1e-12, "{scores:?}");
    prop_assert!((-1.0..=1.0).contains(&scores.compound), "{scores:?}");
    prop_assert_eq!(sum == 0.0, scores == Scores::default());
    Ok(())
}

/// Texts of 2 MB that take hours where any step walks the words anew for each word, as the package does.
#[test]
fn hostile_texts_end() {
    let numbered: String = (0..200_000).flat_map(|i| ["good", &"!-!-!-"[i % 7..], " "]).collect();
    let shifted = "very good kinda bad NICE but ".repeat(70_000);
    let pieces = [
        "but good ",
        "good but bad ",
        "n't ",
        "'n't'",
        "!",
        "?a",
        "😁",
        "K\u{212a}",
        "so never kind of ",
        "good\u{1c}",
        ".",
        "a.",
    ];
    let repeated = pieces.iter().map(|piece| piece.repeat(2_000_000 / piece.len()));
    for text in repeated.chain([numbered, shifted]) {
        assert_in_range(&text).expect("is in range");
    }
}

proptest! {
    #[test]
    fn scores_of_any_text_are_in_range(text in any::<String>()) {
        assert_in_range(&text)?;
    }

    #[test]
    fn scores_of_any_words_are_in_range_and_white_space_changes_nothing(
        words in prop::collection::vec(
            prop_oneof![
                prop::sample::select(vec![
                    "good", "BAD", "not", "isn't", "very", "KINDA", "kind", "of", "but", "no", "nor", "least", "at", "never", "so",
                    "this", "without", "doubt", "the", "bomb", "yeah", "right", ":)", "😁", "!?", "love!!", "\"hate\"",
                ]).prop_map(str::to_owned),
                "\\S{1,8}",
            ],
            0..30,
        ),
    ) {
        let text = words.join(" ");
        assert_in_range(&text)?;
        prop_assert_eq!(Analyzer::shared().scores(&text), Analyzer::shared().scores(&format!("\n{} ", words.join("\u{3000}\t"))));
    }
}
