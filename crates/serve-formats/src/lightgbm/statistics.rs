//! What training left at the nodes: rows (`leaf_count`, `internal_count`) and how much a split gained (`split_gain`).
//! Predictions do not use it, explanations and importances do. A file has it for every tree, or it is left out of all:
//! only a tree of one leaf may lack it, since nothing depends on its cover.
//!
//! LightGBM's own importances leave out gains that are not above 0 (forced splits have such), so these become 0 here.

use serve_core::tree::{Statistics, Tree};

use super::section::Section;
use crate::error::ImportError;

/// The statistics of a block with `splits` splits, in the order of the lowered tree: splits, then leaves.
pub(super) fn read(section: &Section<'_>, splits: usize) -> Result<Statistics, ImportError> {
    let counts = |key, count| match section.get(key) {
        Some(entry) if !entry.value.trim().is_empty() => {
            let counts = entry.numbers::<f64>(count, "a count of rows")?;
            match counts.iter().position(|count| !(*count >= 0.0 && count.is_finite())) {
                Some(node) => {
                    Err(entry.invalid("counts of rows", format!("{} (value {node})", counts[node])))
                }
                None => Ok(counts),
            }
        }
        _ => Ok(Vec::new()),
    };
    let mut statistics = Statistics { cover: counts("internal_count", splits)?, gain: Vec::new() };
    statistics.cover.extend(counts("leaf_count", splits + 1)?);
    if let Some(gains) = section.get("split_gain") {
        statistics.gain = gains.numbers::<f64>(splits, "a gain")?;
    }
    complete(&mut statistics, splits);
    Ok(statistics)
}

/// Leaves gain nothing; a lone leaf whose rows nobody counted has none.
pub(super) fn complete(statistics: &mut Statistics, splits: usize) {
    let nodes = 2 * splits + 1;
    if statistics.cover.len() < nodes {
        statistics.cover = if splits == 0 { vec![0.0] } else { Vec::new() };
    }
    if splits == 0 || !statistics.gain.is_empty() {
        statistics.gain.iter_mut().for_each(|gain| *gain = if *gain > 0.0 { *gain } else { 0.0 });
        statistics.gain.resize(nodes, 0.0);
    }
}

/// Leaves out of all trees what some tree lacks.
pub(super) fn agree(trees: &mut [Tree]) {
    let lacks = |list: fn(&Statistics) -> &Vec<f64>| {
        trees.iter().any(|tree| list(&tree.statistics).len() != tree.nodes.len())
    };
    let (cover, gain) = (lacks(|statistics| &statistics.cover), lacks(|statistics| &statistics.gain));
    for Tree { statistics, .. } in trees {
        if cover {
            statistics.cover = Vec::new();
        }
        if gain {
            statistics.gain = Vec::new();
        }
    }
}
