//! What LightGBM asks at a split, lowered. Its rules, as they are in its source:
//!
//! - Before the trees run, every magnitude up to 1e-35 (an `f32` constant) becomes 0. That is lowered into the
//!   thresholds within that distance of zero.
//! - What is missing: nothing (NaN is compared as 0), zero and NaN, or NaN.
//! - A categorical split sends its members left, and NaN and everything else right.

use serve_core::tree::{Missing, Test, Tree, ZERO_THRESHOLD};

use crate::imported::Feature;

/// What counts as missing at a split.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum MissingType {
    None,
    Zero,
    Nan,
}

/// Left where `x <= threshold`; a missing value goes left where `default_left`.
pub(super) fn numeric(threshold: f64, missing: MissingType, default_left: bool) -> (Test, Missing) {
    let missing = match missing {
        MissingType::None => Missing { left: 0.0 <= threshold, zero: false },
        MissingType::Zero => Missing { left: default_left, zero: true },
        MissingType::Nan => Missing { left: default_left, zero: false },
    };
    (Test::AtMost(past_zero(threshold)), missing)
}

/// Left where the category is in the set.
pub(super) fn categorical(set: Vec<u32>) -> (Test, Missing) {
    (Test::InSet(set), Missing::default())
}

/// The threshold that asks of `x` what `threshold` asks of `x` with magnitudes up to [`ZERO_THRESHOLD`] set to 0.
fn past_zero(threshold: f64) -> f64 {
    if (0.0..=ZERO_THRESHOLD).contains(&threshold) {
        ZERO_THRESHOLD
    } else if (-ZERO_THRESHOLD..0.0).contains(&threshold) {
        (-ZERO_THRESHOLD).next_down()
    } else {
        threshold
    }
}

/// Marks what the trees ask for by category.
pub(super) fn mark_categorical(trees: &[Tree], features: &mut [Feature]) {
    for node in trees.iter().flat_map(|tree| &tree.nodes) {
        if let serve_core::tree::Node::Split { feature, test: Test::InSet(_), .. } = node {
            features[*feature as usize].categorical = true;
        }
    }
}
