//! Linear models in the leaves (`linear_tree`): `leaf_const + Σ leaf_coeff · x`, added in the file's order, or
//! `leaf_value` where one of the leaf's features is NaN. A leaf without features is its `leaf_const`.
//!
//! The lists of all leaves stand one after the other, `num_features` says where one ends. A file may have plain trees
//! among linear ones (one that could not be split, or those that training was continued from).

use serve_core::tree::{Leaf, Node, Tree};

use super::section::Section;
use crate::error::ImportError;

/// The leaves of a block whose `is_linear` is 1, given their `leaf_value`s.
pub(super) fn leaves(section: &Section<'_>, values: &[f64]) -> Result<Vec<Leaf>, ImportError> {
    let constants = section.require("leaf_const")?.numbers::<f64>(values.len(), "a number")?;
    let counts = section.require("num_features")?;
    let lengths = counts.numbers::<usize>(values.len(), "a count of features")?;
    let coefficients = section.require("leaf_coeff")?;
    let numbers = coefficients.all_numbers::<f64>("a number")?;
    let total = lengths.iter().try_fold(0_usize, |sum, length| sum.checked_add(*length));
    if total != Some(numbers.len()) {
        let expected = format!("counts that add up to the {} coefficients", numbers.len());
        return Err(counts.invalid(expected, total.map_or("more".to_owned(), |total| total.to_string())));
    }
    let features = section.require("leaf_features")?.numbers::<u32>(numbers.len(), "a feature")?;
    let mut terms = features.into_iter().zip(numbers);
    let leaf = |((constant, otherwise), length)| Leaf::Linear {
        constant,
        terms: terms.by_ref().take(length).collect(),
        otherwise,
    };
    Ok(constants.into_iter().zip(values.iter().copied()).zip(lengths).map(leaf).collect())
}

/// Where some tree has linear leaves, the others' become linear ones of no terms.
pub(super) fn agree(trees: &mut [Tree]) {
    let leaves = |tree: &Tree| tree.nodes.iter().any(|node| matches!(node, Node::Leaf(Leaf::Linear { .. })));
    if !trees.iter().any(leaves) {
        return;
    }
    for node in trees.iter_mut().flat_map(|tree| &mut tree.nodes) {
        if let Node::Leaf(Leaf::Scalar(value)) = *node {
            *node = Node::Leaf(Leaf::Linear { constant: value, terms: Vec::new(), otherwise: value });
        }
    }
}
