//! The two forms of tree ensembles in ONNX files read into one: lists over nodes with ids (`TreeEnsembleClassifier`,
//! `TreeEnsembleRegressor`), and roots, nodes and leaves apart (`TreeEnsemble`).

use std::collections::{HashMap, HashSet};

use super::super::file::NodeFile;
use super::super::lower::Fault;
use super::super::tensor::Values;

/// How a node compares.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Mode {
    AtMost,
    Below,
    AtLeast,
    Above,
    Equal,
    NotEqual,
    Member(Vec<f64>),
}

/// A node: where it goes, or what a leaf adds to which outputs.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum RawNode {
    Split { feature: u32, mode: Mode, value: f64, missing_true: bool, yes: usize, no: usize },
    Leaf(Vec<(usize, f64)>),
}

/// Trees, the root of each first.
#[derive(Debug, Default)]
pub(super) struct RawTrees {
    pub(super) trees: Vec<Vec<RawNode>>,
    /// Whether the file's numbers are `f64`.
    pub(super) double: bool,
}

/// A list of numbers that is an attribute of floats, or a tensor of doubles under another name.
pub(super) fn numbers(node: &NodeFile<'_>, name: &str) -> Result<(Vec<f64>, bool), Fault> {
    let as_tensor = node.attribute(&format!("{name}_as_tensor")).or_else(|| node.attribute(name));
    if let Some(tensor) = as_tensor.and_then(|attribute| attribute.tensor.as_ref()) {
        return match tensor.values()? {
            Values::Numbers(numbers) => Ok((numbers, tensor.kind == 11)),
            Values::Texts(_) => Err(Fault::invalid(format!("numbers in {name}"), "texts")),
        };
    }
    Ok((node.floats(name), false))
}

fn same_length(name: &str, expected: usize, got: usize) -> Result<(), Fault> {
    if expected == got {
        Ok(())
    } else {
        Err(Fault::invalid(format!("{expected} values in {name}"), got.to_string()))
    }
}

fn index(value: i64, end: usize, what: impl FnOnce() -> String) -> Result<usize, Fault> {
    let found = usize::try_from(value).ok().filter(|&value| value < end);
    found.ok_or_else(|| Fault::invalid(format!("{} below {end}", what()), value.to_string()))
}

/// The older form; `leaf` is `class` or `target`.
pub(super) fn listed(
    node: &NodeFile<'_>,
    leaf: &str,
    outputs: usize,
    width: usize,
) -> Result<RawTrees, Fault> {
    let list = |name: &str| node.ints(name);
    let (tree_ids, node_ids) = (list("nodes_treeids"), list("nodes_nodeids"));
    let (yes, no) = (list("nodes_truenodeids"), list("nodes_falsenodeids"));
    let features = list("nodes_featureids");
    let modes = node.strings("nodes_modes");
    let missing = list("nodes_missing_value_tracks_true");
    let (values, double) = numbers(node, "nodes_values")?;
    let count = tree_ids.len();
    let lengths = [node_ids.len(), yes.len(), no.len(), features.len()];
    for (name, length) in
        ["nodes_nodeids", "nodes_truenodeids", "nodes_falsenodeids", "nodes_featureids"].iter().zip(lengths)
    {
        same_length(name, count, length)?;
    }
    same_length("nodes_modes", count, modes.len())?;
    same_length("nodes_values", count, values.len())?;
    if !missing.is_empty() {
        same_length("nodes_missing_value_tracks_true", count, missing.len())?;
    }
    let places = Places::new(tree_ids, node_ids)?;
    let mut raw = RawTrees { trees: Vec::new(), double };
    for i in 0..count {
        let (tree, _) = places.at[i];
        if tree == raw.trees.len() {
            raw.trees.push(Vec::new());
        }
        let target = |id: i64, what: &str| match places.by_id.get(&(tree_ids[i], id)) {
            Some(&place) => Ok(places.at[place].1),
            None => {
                Err(Fault::invalid(format!("a {what} child in tree {}", tree_ids[i]), format!("node {id}")))
            }
        };
        raw.trees[tree].push(match mode(modes[i])? {
            None => RawNode::Leaf(Vec::new()),
            Some(mode) => RawNode::Split {
                feature: index(features[i], width, || "a feature".to_owned())? as u32,
                mode,
                value: values[i],
                missing_true: missing.get(i) == Some(&1),
                yes: target(yes[i], "true")?,
                no: target(no[i], "false")?,
            },
        });
    }
    weights(node, leaf, outputs, &places, &mut raw)?;
    Ok(raw)
}

/// Where each listed node stands.
struct Places {
    /// Tree and place in it.
    at: Vec<(usize, usize)>,
    by_id: HashMap<(i64, i64), usize>,
}

impl Places {
    fn new(tree_ids: &[i64], node_ids: &[i64]) -> Result<Self, Fault> {
        let mut places = Self { at: Vec::new(), by_id: HashMap::new() };
        let mut seen: HashMap<i64, usize> = HashMap::new();
        let mut own = 0;
        for (i, (&tree, &node)) in tree_ids.iter().zip(node_ids).enumerate() {
            let next = seen.len();
            let number = *seen.entry(tree).or_insert(next);
            if number == next {
                own = 0;
            } else if number + 1 != next {
                return Err(Fault::invalid(
                    "the nodes of a tree side by side",
                    format!("tree {tree} in two places"),
                ));
            }
            places.at.push((number, own));
            own += 1;
            if places.by_id.insert((tree, node), i).is_some() {
                return Err(Fault::invalid("each node once", format!("node {node} of tree {tree} twice")));
            }
        }
        Ok(places)
    }
}

fn mode(text: &str) -> Result<Option<Mode>, Fault> {
    Ok(Some(match text {
        "LEAF" => return Ok(None),
        "BRANCH_LEQ" => Mode::AtMost,
        "BRANCH_LT" => Mode::Below,
        "BRANCH_GTE" => Mode::AtLeast,
        "BRANCH_GT" => Mode::Above,
        "BRANCH_EQ" => Mode::Equal,
        "BRANCH_NEQ" => Mode::NotEqual,
        other => {
            let what = format!("the node mode {:.40}", format!("{other:?}"));
            return Err(Fault::unsupported(what, "BRANCH_LEQ, _LT, _GTE, _GT, _EQ, _NEQ and LEAF"));
        }
    }))
}

fn weights(
    node: &NodeFile<'_>,
    leaf: &str,
    outputs: usize,
    places: &Places,
    raw: &mut RawTrees,
) -> Result<(), Fault> {
    let ids = node.ints(&format!("{leaf}_ids"));
    let nodes = node.ints(&format!("{leaf}_nodeids"));
    let trees = node.ints(&format!("{leaf}_treeids"));
    let (values, _) = numbers(node, &format!("{leaf}_weights"))?;
    for (name, length) in [("nodeids", nodes.len()), ("treeids", trees.len()), ("weights", values.len())] {
        same_length(&format!("{leaf}_{name}"), ids.len(), length)?;
    }
    let mut seen = HashSet::new();
    for i in 0..ids.len() {
        let output = index(ids[i], outputs, || format!("{leaf}_ids"))?;
        let Some(&place) = places.by_id.get(&(trees[i], nodes[i])) else {
            let got = format!("node {} of tree {}", nodes[i], trees[i]);
            return Err(Fault::invalid(format!("{leaf}_nodeids of the trees"), got));
        };
        let (tree, own) = places.at[place];
        let RawNode::Leaf(entries) = &mut raw.trees[tree][own] else {
            let got = format!("node {} of tree {}, a branch, at place {i}", nodes[i], trees[i]);
            return Err(Fault::invalid(format!("leaves in {leaf}_nodeids"), got));
        };
        if !seen.insert((place, output)) {
            return Err(Fault::unsupported("two weights of one leaf for one output", "one"));
        }
        entries.push((output, values[i]));
    }
    Ok(())
}

/// The newer form. Children are nodes or leaves by a flag.
struct Split5<'n> {
    features: &'n [i64],
    modes: Vec<f64>,
    splits: Vec<f64>,
    yes: &'n [i64],
    no: &'n [i64],
    yes_leaf: &'n [i64],
    no_leaf: &'n [i64],
    missing: &'n [i64],
    targets: &'n [i64],
    weights: Vec<f64>,
    members: Vec<Vec<f64>>,
}

impl<'n> Split5<'n> {
    fn read(node: &'n NodeFile<'_>) -> Result<(Self, bool), Fault> {
        let (splits, double) = numbers(node, "nodes_splits")?;
        let split = Self {
            features: node.ints("nodes_featureids"),
            modes: numbers(node, "nodes_modes")?.0,
            splits,
            yes: node.ints("nodes_truenodeids"),
            no: node.ints("nodes_falsenodeids"),
            yes_leaf: node.ints("nodes_trueleafs"),
            no_leaf: node.ints("nodes_falseleafs"),
            missing: node.ints("nodes_missing_value_tracks_true"),
            targets: node.ints("leaf_targetids"),
            weights: numbers(node, "leaf_weights")?.0,
            members: members(&numbers(node, "membership_values")?.0),
        };
        let count = split.features.len();
        let lists = [
            ("nodes_modes", split.modes.len()),
            ("nodes_splits", split.splits.len()),
            ("nodes_truenodeids", split.yes.len()),
            ("nodes_falsenodeids", split.no.len()),
            ("nodes_trueleafs", split.yes_leaf.len()),
            ("nodes_falseleafs", split.no_leaf.len()),
        ];
        for (name, length) in lists {
            same_length(name, count, length)?;
        }
        if !split.missing.is_empty() {
            same_length("nodes_missing_value_tracks_true", count, split.missing.len())?;
        }
        same_length("leaf_weights", split.targets.len(), split.weights.len())?;
        let sets = split.modes.iter().filter(|&&mode| mode == 6.0).count();
        same_length("membership_values (sets)", sets, split.members.len())?;
        Ok((split, double))
    }
}

/// Sets end with NaN.
fn members(values: &[f64]) -> Vec<Vec<f64>> {
    let mut sets: Vec<Vec<f64>> = values.split(|value| value.is_nan()).map(<[f64]>::to_vec).collect();
    if sets.last().is_some_and(Vec::is_empty) {
        sets.pop();
    }
    sets
}

/// The newer form.
pub(super) fn rooted(node: &NodeFile<'_>, outputs: usize, width: usize) -> Result<RawTrees, Fault> {
    let (split, double) = Split5::read(node)?;
    let count = split.features.len();
    let mut modes = Vec::with_capacity(count);
    let mut sets = split.members.iter();
    for &mode in &split.modes {
        modes.push(match mode as i64 {
            0 => Mode::AtMost,
            1 => Mode::Below,
            2 => Mode::AtLeast,
            3 => Mode::Above,
            4 => Mode::Equal,
            5 => Mode::NotEqual,
            6 => Mode::Member(sets.next().cloned().unwrap_or_default()),
            other => return Err(Fault::unsupported(format!("the node mode {other}"), "0 to 6")),
        });
    }
    let mut raw = RawTrees { trees: Vec::new(), double };
    let mut reached = vec![false; count];
    for &root in node.ints("tree_roots") {
        let root = index(root, count, || "a root".to_owned())?;
        raw.trees.push(tree(&split, &modes, root, outputs, width, &mut reached)?);
    }
    Ok(raw)
}

fn tree(
    split: &Split5<'_>,
    modes: &[Mode],
    root: usize,
    outputs: usize,
    width: usize,
    reached: &mut [bool],
) -> Result<Vec<RawNode>, Fault> {
    // A tree of one leaf has one node whose children are the same leaf.
    if split.yes_leaf[root] != 0 && split.no_leaf[root] != 0 && split.yes[root] == split.no[root] {
        return Ok(vec![leaf(split, split.yes[root], outputs)?]);
    }
    let mut nodes = vec![RawNode::Leaf(Vec::new())];
    let mut open = vec![(root, 0_usize)];
    while let Some((number, place)) = open.pop() {
        if std::mem::replace(&mut reached[number], true) {
            return Err(Fault::Problem(format!("node {number} is reached twice")));
        }
        let mut child = |is_leaf: bool, id: i64| -> Result<usize, Fault> {
            if is_leaf {
                nodes.push(leaf(split, id, outputs)?);
            } else {
                let id = index(id, modes.len(), || format!("a child of node {number}"))?;
                open.push((id, nodes.len()));
                nodes.push(RawNode::Leaf(Vec::new()));
            }
            Ok(nodes.len() - 1)
        };
        let yes = child(split.yes_leaf[number] != 0, split.yes[number])?;
        let no = child(split.no_leaf[number] != 0, split.no[number])?;
        nodes[place] = RawNode::Split {
            feature: index(split.features[number], width, || "a feature".to_owned())? as u32,
            mode: modes[number].clone(),
            value: split.splits[number],
            missing_true: split.missing.get(number) == Some(&1),
            yes,
            no,
        };
    }
    Ok(nodes)
}

fn leaf(split: &Split5<'_>, id: i64, outputs: usize) -> Result<RawNode, Fault> {
    let id = index(id, split.targets.len(), || "a leaf".to_owned())?;
    let output = index(split.targets[id], outputs, || "leaf_targetids".to_owned())?;
    Ok(RawNode::Leaf(vec![(output, split.weights[id])]))
}
