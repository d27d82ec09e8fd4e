//! One tree's block, lowered. LightGBM's rules, as they are in its source:
//!
//! - Before the trees run, every magnitude up to 1e-35 (an `f32` constant) becomes 0. That is lowered into the
//!   thresholds within that distance of zero.
//! - `decision_type`: bit 0 categorical, bit 1 "missing goes left", bits 2 and 3 what is missing: nothing (NaN is
//!   compared as 0), zero and NaN, or NaN.
//! - A categorical split sends its members left, and NaN and everything else right.
//! - Children below zero are leaves: `-1` is leaf 0. In the lowered tree the leaves come after the splits.

use serve_core::tree::{Leaf, Missing, Node, Test, Tree, ZERO_THRESHOLD};

use super::section::{Entry, Section};
use super::statistics;
use crate::error::{ImportError, shown};
use crate::imported::Feature;

const CATEGORICAL: u8 = 1;
const DEFAULT_LEFT: u8 = 2;

pub(super) fn lower(section: &Section<'_>, output: u32) -> Result<Tree, ImportError> {
    if let Some(linear) = section.get("is_linear")
        && linear.number::<u8>("0 or 1")? != 0
    {
        return Err(ImportError::Unsupported {
            place: linear.place(),
            what: "a linear model in each leaf (linear_tree)".to_owned(),
            supported: "leaves of one value",
        });
    }
    let leaves = leaves(section)?;
    let splits = leaves.len() - 1;
    let mut nodes = if splits == 0 { Vec::new() } else { Splits::read(section, splits)?.lower()? };
    nodes.extend(leaves.into_iter().map(|value| Node::Leaf(Leaf::Scalar(value))));
    Ok(Tree { output, nodes, statistics: statistics::read(section, splits)? })
}

/// How many splits the block claims; 0 where it does not read.
pub(super) fn split_count(section: &Section<'_>) -> usize {
    let leaves = section.get("num_leaves").and_then(|entry| entry.number::<usize>("").ok());
    leaves.unwrap_or(1).saturating_sub(1)
}

fn leaves(section: &Section<'_>) -> Result<Vec<f64>, ImportError> {
    let count = section.require("num_leaves")?;
    let leaves = count.number::<usize>("a count of leaves")?;
    if leaves == 0 {
        return Err(count.invalid("at least one leaf", "0"));
    }
    let entry = section.require("leaf_value")?;
    let values = entry.numbers::<f64>(leaves, "a number")?;
    match values.iter().position(|value| !value.is_finite()) {
        Some(leaf) => Err(entry.invalid("finite numbers", format!("{} (value {leaf})", values[leaf]))),
        None => Ok(values),
    }
}

struct Splits<'a> {
    count: usize,
    children: [(Entry<'a>, Vec<i64>); 2],
    features: Vec<u32>,
    thresholds: (Entry<'a>, Vec<f64>),
    kinds: (Entry<'a>, Vec<u8>),
    /// Each belongs to one split, so all together are no longer than the file.
    sets: Vec<Option<Vec<u32>>>,
}

impl<'a> Splits<'a> {
    fn read(section: &Section<'a>, splits: usize) -> Result<Self, ImportError> {
        let children = |key| {
            let entry = section.require(key)?;
            Ok((entry, entry.numbers::<i64>(splits, "a node")?))
        };
        let (thresholds, kinds) = (section.require("threshold")?, section.require("decision_type")?);
        Ok(Self {
            count: splits,
            children: [children("left_child")?, children("right_child")?],
            features: section.require("split_feature")?.numbers(splits, "a feature")?,
            thresholds: (thresholds, thresholds.numbers(splits, "a number")?),
            kinds: (kinds, kinds.numbers(splits, "a decision type")?),
            sets: sets(section)?,
        })
    }

    fn lower(mut self) -> Result<Vec<Node>, ImportError> {
        (0..self.count).map(|split| self.node(split)).collect()
    }

    fn node(&mut self, split: usize) -> Result<Node, ImportError> {
        let kind = self.kinds.1[split];
        let (test, missing) = if kind & CATEGORICAL == 0 {
            self.threshold(split, kind)?
        } else {
            (Test::InSet(self.set(split)?), Missing::default())
        };
        let (left, right) = (self.child(0, split)?, self.child(1, split)?);
        Ok(Node::Split { feature: self.features[split], test, missing, left, right })
    }

    fn child(&self, side: usize, split: usize) -> Result<u32, ImportError> {
        let (entry, children) = &self.children[side];
        let child = children[split];
        let (place, count) = if child < 0 { (!child, self.count + 1) } else { (child, self.count) };
        match usize::try_from(place) {
            Ok(place) if place < count => Ok((if child < 0 { self.count + place } else { place }) as u32),
            _ => {
                let expected = format!("-{} to {}", self.count + 1, self.count - 1);
                Err(entry.invalid(expected, format!("{child} (value {split})")))
            }
        }
    }

    fn threshold(&self, split: usize, kind: u8) -> Result<(Test, Missing), ImportError> {
        let threshold = self.thresholds.1[split];
        if threshold.is_nan() {
            return Err(self.thresholds.0.invalid("a number", format!("nan (value {split})")));
        }
        let left = kind & DEFAULT_LEFT != 0;
        let missing = match kind >> 2 {
            0 => Missing { left: 0.0 <= threshold, zero: false },
            1 => Missing { left, zero: true },
            2 => Missing { left, zero: false },
            _ => {
                let expected = "a decision type with missing type 0, 1 or 2";
                return Err(self.kinds.0.invalid(expected, format!("{kind} (value {split})")));
            }
        };
        Ok((Test::AtMost(past_zero(threshold)), missing))
    }

    /// A categorical split's threshold is the number of its set.
    fn set(&mut self, split: usize) -> Result<Vec<u32>, ImportError> {
        let number = self.thresholds.1[split];
        if (0.0..self.sets.len() as f64).contains(&number)
            && number.fract() == 0.0
            && let Some(set) = self.sets[number as usize].take()
        {
            return Ok(set);
        }
        let expected = format!("the number of one of {} category sets, each once", self.sets.len());
        Err(self.thresholds.0.invalid(expected, format!("{number} (value {split})")))
    }
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

/// The category sets: set `k` is the words from boundary `k` to boundary `k + 1`.
fn sets(section: &Section<'_>) -> Result<Vec<Option<Vec<u32>>>, ImportError> {
    let Some(boundaries) = section.get("cat_boundaries") else { return Ok(Vec::new()) };
    let words = section.require("cat_threshold")?.all_numbers::<u32>("32 bits")?;
    let bounds = boundaries.all_numbers::<usize>("a place in cat_threshold")?;
    if let Some(count) = section.get("num_cat")
        && count.number::<usize>("a count")?.checked_add(1) != Some(bounds.len())
    {
        let expected = format!("one below the {} category boundaries", bounds.len());
        return Err(count.invalid(expected, shown(count.value)));
    }
    let set = |pair: &[usize]| match words.get(pair[0]..pair[1]) {
        Some(words) => Ok(Some(words.to_vec())),
        None => Err(boundaries.invalid(
            format!("ascending places up to {}, the end of cat_threshold", words.len()),
            format!("{} {}", pair[0], pair[1]),
        )),
    };
    bounds.windows(2).map(set).collect()
}

/// Marks what the trees ask for by category.
pub(super) fn mark_categorical(trees: &[Tree], features: &mut [Feature]) {
    for node in trees.iter().flat_map(|tree| &tree.nodes) {
        if let Node::Split { feature, test: Test::InSet(_), .. } = node {
            features[*feature as usize].categorical = true;
        }
    }
}
