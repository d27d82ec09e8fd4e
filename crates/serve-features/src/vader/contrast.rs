//! What a `but` does: what is said before it counts half, what is said after it half as much again.
//!
//! The Python package walks over the ratings, looks each up by its value and changes the *first* equal one, by that one's
//! place. So two equal ratings after `but` may leave one of them raised twice, and one after it may halve one before it.
//! Scores depend on this, so it is done here too, but with an index of the places of each value: a look-up by walking takes
//! time that grows with the square of the text.

use std::collections::BTreeSet;

/// Changes the ratings around the `but` at a place.
pub(super) fn shift(ratings: &mut [f64], but: usize) {
    // Equal values side by side, the first place first. Nonzero numbers are equal if their bits are.
    let rated = ratings.iter().enumerate().filter(|(_, rating)| **rating != 0.0);
    let mut places: BTreeSet<_> = rated.map(|(at, rating)| (rating.to_bits(), at)).collect();
    for at in 0..ratings.len() {
        let bits = ratings[at].to_bits();
        let Some(&(_, first)) = places.range((bits, 0)..=(bits, at)).next() else { continue };
        let weight = if first < but { 0.5 } else { 1.5 };
        places.remove(&(bits, first));
        ratings[first] *= weight;
        places.insert((ratings[first].to_bits(), first));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The same by walking.
    fn walked(ratings: &mut [f64], but: usize) {
        for at in 0..ratings.len() {
            let first = ratings.iter().position(|rating| *rating == ratings[at]).expect("is there itself");
            match first.cmp(&but) {
                std::cmp::Ordering::Less => ratings[first] *= 0.5,
                std::cmp::Ordering::Equal => {}
                std::cmp::Ordering::Greater => ratings[first] *= 1.5,
            }
        }
    }

    #[test]
    fn an_equal_rating_before_is_changed_in_place_of_one_after() {
        let mut ratings = [2.0, 0.0, 1.0];
        shift(&mut ratings, 1);
        assert_eq!(ratings, [0.5, 0.0, 1.0]);
    }

    proptest! {
        #[test]
        fn the_index_finds_what_walking_finds(
            mut ratings in prop::collection::vec(prop::sample::select(vec![0.0, -0.0, 0.5, 0.75, 1.0, 1.5, 2.0, -1.0, -3.0]), 1..40),
            but in 0_usize..40,
        ) {
            let but = but % ratings.len();
            // `but` itself has no rating.
            ratings[but] = 0.0;
            let mut expected = ratings.clone();
            walked(&mut expected, but);
            shift(&mut ratings, but);
            prop_assert_eq!(ratings, expected);
        }
    }
}
