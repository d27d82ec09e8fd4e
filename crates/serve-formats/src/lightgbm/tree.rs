//! One tree's block, lowered.
//!
//! - `decision_type`: bit 0 categorical, bit 1 "missing goes left", bits 2 and 3 what is missing; see [`split`].
//! - Children below zero are leaves: `-1` is leaf 0. In the lowered tree the leaves come after the splits.

use serve_core::tree::{Leaf, Missing, Node, Test, Tree};

use super::section::{Entry, Section};
use super::split::{self, MissingType};
use super::{linear, statistics};
use crate::error::{ImportError, shown};

const CATEGORICAL: u8 = 1;
const DEFAULT_LEFT: u8 = 2;

pub(super) fn lower(section: &Section<'_>, output: u32) -> Result<Tree, ImportError> {
    let leaves = leaves(section)?;
    let splits = leaves.len() - 1;
    let mut nodes = if splits == 0 { Vec::new() } else { Splits::read(section, splits)?.lower()? };
    nodes.extend(leaves.into_iter().map(Node::Leaf));
    Ok(Tree { output, nodes, statistics: statistics::read(section, splits)? })
}

fn leaves(section: &Section<'_>) -> Result<Vec<Leaf>, ImportError> {
    let count = section.require("num_leaves")?;
    let leaves = count.number::<usize>("a count of leaves")?;
    if leaves == 0 {
        return Err(count.invalid("at least one leaf", "0"));
    }
    let entry = section.require("leaf_value")?;
    let values = entry.numbers::<f64>(leaves, "a number")?;
    if let Some(leaf) = values.iter().position(|value| !value.is_finite()) {
        return Err(entry.invalid("finite numbers", format!("{} (value {leaf})", values[leaf])));
    }
    match section.get("is_linear") {
        Some(kind) if kind.number::<u8>("0 or 1")? != 0 => linear::leaves(section, &values),
        _ => Ok(values.into_iter().map(Leaf::Scalar).collect()),
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
            split::categorical(self.set(split)?)
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
        let missing = match kind >> 2 {
            0 => MissingType::None,
            1 => MissingType::Zero,
            2 => MissingType::Nan,
            _ => {
                let expected = "a decision type with missing type 0, 1 or 2";
                return Err(self.kinds.0.invalid(expected, format!("{kind} (value {split})")));
            }
        };
        Ok(split::numeric(threshold, missing, kind & DEFAULT_LEFT != 0))
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
