//! Trees of the form: parallel lists with an entry a node, leaves' values in the order of the leaves.
//!
//! Values are compared as scikit-learn does: `x <= threshold` in `f64`, after rounding to `f32` where the file says so. A
//! category goes left where it is in the split's list.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serve_core::tree::{Leaf, Missing, Node, Statistics, Test, Tree};

/// Categories are below this: HistGradientBoosting has at most 255.
const CATEGORIES: u32 = 256;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TreeFile {
    left: Vec<i64>,
    right: Vec<i64>,
    feature: Vec<i64>,
    threshold: Vec<Threshold>,
    missing_left: Vec<u8>,
    leaves: Vec<LeafFile>,
    cover: Vec<f64>,
    gain: Vec<f64>,
    #[serde(default)]
    output: u32,
}

/// The question of a split.
#[derive(Debug)]
enum Threshold {
    AtMost(f64),
    In(Vec<u32>),
}

/// What a leaf adds.
#[derive(Debug)]
enum LeafFile {
    One(f64),
    Many(Vec<f64>),
}

/// A tree for an ensemble of `outputs` scores.
///
/// # Errors
/// What is wrong with it, after the place in the tree, as in `.left[3]: …`. Whether it is a tree is left to the engine's own
/// check.
pub(super) fn lower(file: &TreeFile, outputs: u32) -> Result<Tree, String> {
    let count = file.left.len();
    let lists = [
        ("right", file.right.len()),
        ("feature", file.feature.len()),
        ("threshold", file.threshold.len()),
        ("missing_left", file.missing_left.len()),
        ("cover", file.cover.len()),
        ("gain", file.gain.len()),
    ];
    if let Some((name, got)) = lists.into_iter().find(|(_, length)| *length != count) {
        return Err(format!(".{name}: expected {count} nodes as in left, got {got}"));
    }
    let splits = file.left.iter().filter(|&&left| left >= 0).count();
    if file.leaves.len() != count - splits {
        return Err(format!(".leaves: expected {} leaves, got {}", count - splits, file.leaves.len()));
    }
    let mut leaves = file.leaves.iter();
    let nodes = (0..count).map(|node| {
        if file.left[node] >= 0 {
            return split(file, node);
        }
        // counted above
        leaves.next().map_or_else(|| Err(".leaves: too few".to_owned()), |value| leaf(value, outputs))
    });
    let nodes = nodes.collect::<Result<_, _>>()?;
    let statistics = Statistics { cover: file.cover.clone(), gain: file.gain.clone() };
    Ok(Tree { output: file.output, nodes, statistics })
}

fn split(file: &TreeFile, node: usize) -> Result<Node, String> {
    let index = |name: &str, value: i64| {
        u32::try_from(value).map_err(|_| format!(".{name}[{node}]: expected a number from 0, got {value}"))
    };
    let test = match &file.threshold[node] {
        Threshold::AtMost(threshold) => Test::AtMost(*threshold),
        Threshold::In(members) => {
            Test::InSet(bit_set(members).map_err(|problem| format!(".threshold[{node}]{problem}"))?)
        }
    };
    Ok(Node::Split {
        feature: index("feature", file.feature[node])?,
        test,
        missing: Missing { left: file.missing_left[node] != 0, zero: false },
        left: index("left", file.left[node])?,
        right: index("right", file.right[node])?,
    })
}

fn bit_set(members: &[u32]) -> Result<Vec<u32>, String> {
    if let Some(&member) = members.iter().find(|&&member| member >= CATEGORIES) {
        return Err(format!(".in: expected categories below {CATEGORIES}, got {member}"));
    }
    let mut words = vec![0; members.iter().max().map_or(1, |&last| last as usize / 32 + 1)];
    members.iter().for_each(|&member| words[member as usize / 32] |= 1 << (member % 32));
    Ok(words)
}

fn leaf(value: &LeafFile, outputs: u32) -> Result<Node, String> {
    Ok(Node::Leaf(match value {
        LeafFile::One(value) => Leaf::Scalar(*value),
        LeafFile::Many(values) => match values[..] {
            [value] if outputs == 1 => Leaf::Scalar(value),
            _ if values.len() == outputs as usize => Leaf::Vector(values.clone()),
            _ => return Err(format!(".leaves: expected {outputs} values a leaf, got {}", values.len())),
        },
    }))
}

struct ThresholdVisitor;

impl<'de> Visitor<'de> for ThresholdVisitor {
    type Value = Threshold;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number, \"inf\", \"-inf\" or {\"in\": categories}")
    }

    fn visit_f64<E: Error>(self, x: f64) -> Result<Threshold, E> {
        Ok(Threshold::AtMost(x))
    }

    fn visit_i64<E: Error>(self, x: i64) -> Result<Threshold, E> {
        Ok(Threshold::AtMost(x as f64))
    }

    fn visit_u64<E: Error>(self, x: u64) -> Result<Threshold, E> {
        Ok(Threshold::AtMost(x as f64))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Threshold, E> {
        match text {
            "inf" => Ok(Threshold::AtMost(f64::INFINITY)),
            "-inf" => Ok(Threshold::AtMost(f64::NEG_INFINITY)),
            other => Err(E::invalid_value(serde::de::Unexpected::Str(other), &self)),
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Threshold, A::Error> {
        let mut members = None;
        while let Some(key) = map.next_key::<String>()? {
            if key != "in" || members.is_some() {
                return Err(A::Error::custom("expected the one key \"in\""));
            }
            members = Some(map.next_value()?);
        }
        members.map(Threshold::In).ok_or_else(|| A::Error::missing_field("in"))
    }
}

impl<'de> Deserialize<'de> for Threshold {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ThresholdVisitor)
    }
}

struct LeafVisitor;

impl<'de> Visitor<'de> for LeafVisitor {
    type Value = LeafFile;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a leaf's number or a list of them")
    }

    fn visit_f64<E: Error>(self, x: f64) -> Result<LeafFile, E> {
        Ok(LeafFile::One(x))
    }

    fn visit_i64<E: Error>(self, x: i64) -> Result<LeafFile, E> {
        Ok(LeafFile::One(x as f64))
    }

    fn visit_u64<E: Error>(self, x: u64) -> Result<LeafFile, E> {
        Ok(LeafFile::One(x as f64))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<LeafFile, A::Error> {
        let mut values = Vec::new();
        while let Some(value) = list.next_element()? {
            values.push(value);
        }
        Ok(LeafFile::Many(values))
    }
}

impl<'de> Deserialize<'de> for LeafFile {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(LeafVisitor)
    }
}
