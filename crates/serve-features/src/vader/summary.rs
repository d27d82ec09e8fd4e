//! From ratings to scores: the sum and the shares, the weight of exclamation and question marks, and rounding.

use super::Scores;

/// What one `!` weighs; up to four count.
const EXCLAMATION: f64 = 0.292;
/// What one `?` weighs, where there are two or three.
const QUESTION: f64 = 0.18;
/// What more than three `?` weigh together.
const QUESTIONS: f64 = 0.96;
/// Where the compound is halfway to 1: a sum of √5, since 5 / (5 + 15) = ½².
const SPREAD: f64 = 15.0;

/// What the marks in a text add to the side that prevails.
pub(super) fn emphasis(text: &str) -> f64 {
    let count = |mark: char| text.matches(mark).count();
    let questions = match count('?') {
        0 | 1 => 0.0,
        few @ 2..=3 => few as f64 * QUESTION,
        _ => QUESTIONS,
    };
    count('!').min(4) as f64 * EXCLAMATION + questions
}

/// The scores, unrounded; all 0 where there are no ratings.
pub(super) fn scores(ratings: &[f64], emphasis: f64) -> Scores {
    if ratings.is_empty() {
        return Scores::default();
    }
    let (mut sum, mut positive, mut negative, mut neutral) = (0.0, 0.0, 0.0, 0_usize);
    for &rating in ratings {
        sum += rating;
        // A word without a rating counts 1, so one with a rating counts that much more.
        if rating > 0.0 {
            positive += rating + 1.0;
        } else if rating < 0.0 {
            negative += 1.0 - rating;
        } else {
            neutral += 1;
        }
    }
    if sum > 0.0 {
        sum += emphasis;
    } else if sum < 0.0 {
        sum -= emphasis;
    }
    if positive > negative {
        positive += emphasis;
    } else if positive < negative {
        negative += emphasis;
    }
    let total = positive + negative + neutral as f64;
    Scores {
        negative: negative / total,
        neutral: neutral as f64 / total,
        positive: positive / total,
        compound: (sum / (sum * sum + SPREAD).sqrt()).clamp(-1.0, 1.0),
    }
}

impl Scores {
    pub(super) fn rounded(self) -> Self {
        Self {
            negative: round(self.negative, 1e3),
            neutral: round(self.neutral, 1e3),
            positive: round(self.positive, 1e3),
            compound: round(self.compound, 1e4),
        }
    }
}

/// The multiple of 1 / `scale` nearest to `x`, an even one if two are, as Python's `round`: by the exact value of `x`. So
/// 0.0625 becomes 0.062 and 0.0005 (a little more than that) 0.001.
fn round(x: f64, scale: f64) -> f64 {
    let scaled = x * scale;
    let nearest = if (scaled - scaled.trunc()).abs() == 0.5 {
        // The product may have been rounded to a half; what was lost decides.
        match x.mul_add(scale, -scaled) {
            lost if lost > 0.0 => scaled.ceil(),
            lost if lost < 0.0 => scaled.floor(),
            _ => scaled.round_ties_even(),
        }
    } else {
        scaled.round_ties_even()
    };
    nearest / scale
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// By decimal digits; the standard library prints the exact value, a tie to even.
    fn printed(x: f64, decimals: usize) -> f64 {
        format!("{x:.decimals$}").parse().expect("is a number")
    }

    #[test]
    fn halves_are_rounded_by_the_exact_value() {
        assert_eq!((round(0.0625, 1e3), round(0.1875, 1e3), round(-0.0625, 1e3)), (0.062, 0.188, -0.062));
        assert_eq!((round(0.0005, 1e3), round(0.0015, 1e3), round(1.0, 1e4)), (0.001, 0.002, 1.0));
    }

    proptest! {
        #[test]
        fn rounding_is_that_of_printing(x in -1.0..1.0, thousands in 0_u32..10_000, ulps in -2_i64..=2) {
            let half = (f64::from(thousands) + 0.5) / 1e4;
            let beside = f64::from_bits(half.to_bits().wrapping_add_signed(ulps));
            for x in [x, beside, -beside] {
                prop_assert_eq!(round(x, 1e4), printed(x, 4));
                prop_assert_eq!(round(x, 1e3), printed(x, 3));
            }
        }
    }

    #[test]
    fn marks_weigh_up_to_a_limit() {
        let weights = ["", "!", "!!!!", "!!!!!!", "?", "??", "???", "????", "!?"].map(emphasis);
        assert_eq!(weights, [0.0, 0.292, 1.168, 1.168, 0.0, 0.36, 0.54, 0.96, 0.292]);
    }
}
