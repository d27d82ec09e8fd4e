//! The trees, lowered. A symmetric tree asks the same question on every level: leaf number `Σ answerᵢ · 2ⁱ`, so the last
//! question is the root's. The others are nested objects.
//!
//! `x > border` goes right, a missing value where its feature says; a category goes right where its hash is the split's.

use serve_core::tree::{Leaf, Missing, Node, Statistics, Test, Tree};

use super::features::Features;
use super::file::{File, Split, SymmetricTree, TreeNode};
use crate::error::{ImportError, Place, shown};

/// CatBoost itself allows 16; a tree of more would have more leaves than a file can hold.
const MOST_SPLITS: usize = 24;

pub(super) struct Lowering<'a> {
    pub(super) features: &'a Features,
    pub(super) outputs: usize,
    pub(super) scale: f64,
}

/// A split on its way: its children's places are set once they are known.
#[derive(Clone)]
struct Question {
    feature: u32,
    test: Test,
    missing: Missing,
    /// Whether a yes is the branch that CatBoost calls right.
    yes_is_right: bool,
}

impl Question {
    fn node(&self, left: u32, right: u32) -> Node {
        let (yes, no) = if self.yes_is_right { (right, left) } else { (left, right) };
        let Self { feature, test, missing, .. } = self.clone();
        Node::Split { feature, test, missing, left: yes, right: no }
    }
}

impl Lowering<'_> {
    pub(super) fn trees(&self, file: &File) -> Result<Vec<Tree>, ImportError> {
        let mut trees = match (&file.oblivious_trees, &file.trees) {
            (_, None) => {
                let all = file.oblivious_trees.iter().flatten().enumerate();
                all.map(|(number, tree)| self.symmetric(tree, number)).collect::<Result<Vec<Tree>, _>>()?
            }
            (None, Some(roots)) => {
                let all = roots.iter().enumerate();
                all.map(|(number, root)| self.nested(root, number)).collect::<Result<Vec<Tree>, _>>()?
            }
            (Some(_), Some(_)) => {
                let problem = "the model has both oblivious_trees and trees".to_owned();
                return Err(ImportError::Graph { place: Place::Path("trees".to_owned()), problem });
            }
        };
        if trees.is_empty() {
            let place = Place::Path("oblivious_trees".to_owned());
            return Err(ImportError::invalid(place, "at least one tree", "none"));
        }
        if trees.iter().any(|tree| tree.statistics.cover.is_empty()) {
            trees.iter_mut().for_each(|tree| tree.statistics = Statistics::default());
        }
        Ok(trees)
    }

    fn symmetric(&self, tree: &SymmetricTree, number: usize) -> Result<Tree, ImportError> {
        let path = format!("oblivious_trees[{number}]");
        let splits = tree.splits.as_deref().unwrap_or_default();
        let leaves = self.leaf_count(tree, splits.len(), &path)?;
        let questions = splits.iter().enumerate();
        let questions =
            questions.map(|(place, split)| self.question(split, &format!("{path}.splits[{place}]")));
        let questions = questions.collect::<Result<Vec<Question>, _>>()?;
        // Level by level: the children of node k are 2k + 1 and 2k + 2, the leaves come last, in their own order.
        let mut nodes = Vec::with_capacity(2 * leaves - 1);
        for (level, question) in questions.iter().rev().enumerate() {
            let first = (1_u32 << level) - 1;
            nodes.extend((first..=2 * first).map(|place| question.node(2 * place + 1, 2 * place + 2)));
        }
        let place = || format!("{path}.leaf_values");
        for values in tree.leaf_values.chunks_exact(self.outputs) {
            nodes.push(Node::Leaf(self.leaf(values, place)?));
        }
        let mut cover = Vec::new();
        if let Some(weights) = &tree.leaf_weights {
            cover = vec![0.0; leaves - 1];
            cover.extend(weights.iter().map(|weight| weight.max(0.0)));
            (0..leaves - 1).rev().for_each(|k| cover[k] = cover[2 * k + 1] + cover[2 * k + 2]);
        }
        Ok(Tree { output: 0, nodes, statistics: Statistics { cover, gain: Vec::new() } })
    }

    fn leaf_count(&self, tree: &SymmetricTree, splits: usize, path: &str) -> Result<usize, ImportError> {
        let invalid = |key: &str, expected: String, got: usize| {
            let place = Place::Path(format!("{path}.{key}"));
            Err(ImportError::invalid(place, expected, got.to_string()))
        };
        if splits > MOST_SPLITS {
            return invalid("splits", format!("at most {MOST_SPLITS} splits"), splits);
        }
        let leaves = 1_usize << splits;
        let values = leaves.saturating_mul(self.outputs);
        if tree.leaf_values.len() != values {
            let expected = format!("{values} numbers for {splits} splits and {} outputs", self.outputs);
            return invalid("leaf_values", expected, tree.leaf_values.len());
        }
        match &tree.leaf_weights {
            Some(weights) if weights.len() != leaves => {
                invalid("leaf_weights", format!("{leaves} numbers for {splits} splits"), weights.len())
            }
            _ => Ok(leaves),
        }
    }

    fn nested(&self, root: &TreeNode, number: usize) -> Result<Tree, ImportError> {
        let path = format!("trees[{number}]");
        let mut order = vec![root];
        let mut children = Vec::new();
        let mut nodes = Vec::new();
        while let Some(&node) = order.get(nodes.len()) {
            let place = || format!("{path}, node {} breadth first", nodes.len());
            let lowered = match (node, &node.value) {
                (TreeNode { split: Some(split), left: Some(left), right: Some(right), .. }, None) => {
                    let first = order.len() as u32;
                    order.extend([&**left, &**right]);
                    children.push(Some(first as usize));
                    self.question(split, &place())?.node(first, first + 1)
                }
                (TreeNode { split: None, left: None, right: None, .. }, Some(value)) => {
                    children.push(None);
                    Node::Leaf(self.leaf(value.values(), place)?)
                }
                _ => {
                    let expected = "a split with left and right, or a value";
                    return Err(ImportError::invalid(Place::Path(place()), expected, "neither or both"));
                }
            };
            nodes.push(lowered);
        }
        let leaves = || order.iter().filter(|node| node.value.is_some());
        let mut cover = Vec::new();
        if leaves().all(|leaf| leaf.weight.is_some()) {
            cover = order.iter().map(|node| node.weight.unwrap_or_default().max(0.0)).collect();
            for (place, first) in children.iter().enumerate().rev() {
                if let Some(first) = *first {
                    cover[place] = cover[first] + cover[first + 1];
                }
            }
        }
        Ok(Tree { output: 0, nodes, statistics: Statistics { cover, gain: Vec::new() } })
    }

    fn leaf(&self, values: &[f64], place: impl Fn() -> String) -> Result<Leaf, ImportError> {
        let place = || Place::Path(place());
        if values.len() != self.outputs {
            let expected = format!("{} values, one per output", self.outputs);
            return Err(ImportError::invalid(place(), expected, values.len().to_string()));
        }
        let scaled: Vec<f64> = values.iter().map(|value| value * self.scale).collect();
        match scaled.iter().find(|value| !value.is_finite()) {
            Some(value) => Err(ImportError::invalid(place(), "finite numbers", value.to_string())),
            None if self.outputs == 1 => Ok(Leaf::Scalar(scaled[0])),
            None => Ok(Leaf::Vector(scaled)),
        }
    }

    fn question(&self, split: &Split, path: &str) -> Result<Question, ImportError> {
        match split.kind.as_str() {
            "FloatFeature" => self.border(split, path),
            "OneHotFeature" => self.category(split, path),
            other => Err(ImportError::Unsupported {
                place: Place::Path(format!("{path}.split_type")),
                what: format!("a split of type {}", shown(other)),
                supported: "FloatFeature, OneHotFeature",
            }),
        }
    }

    fn border(&self, split: &Split, path: &str) -> Result<Question, ImportError> {
        let index = given(split.float_feature_index, path, "float_feature_index")?;
        let number = self.features.numbers.get(&index).ok_or_else(|| {
            let place = Place::Path(format!("{path}.float_feature_index"));
            ImportError::invalid(place, "one of features_info.float_features", index.to_string())
        })?;
        let border = given(split.border, path, "border")?;
        Ok(Question {
            feature: number.flat,
            test: Test::AtMost(f64::from(border)),
            missing: Missing { left: !number.missing_above, zero: false },
            yes_is_right: false,
        })
    }

    fn category(&self, split: &Split, path: &str) -> Result<Question, ImportError> {
        let index = given(split.cat_feature_index, path, "cat_feature_index")?;
        let hash = given(split.value, path, "value")?;
        let category = self.features.categories.get(&index).ok_or_else(|| {
            let place = Place::Path(format!("{path}.cat_feature_index"));
            ImportError::invalid(place, "one of features_info.categorical_features", index.to_string())
        })?;
        let Some(&code) = category.codes.get(&hash.cast_unsigned()) else {
            let expected = format!("one of the values of categorical feature {index}");
            let place = Place::Path(format!("{path}.value"));
            return Err(ImportError::invalid(place, expected, hash.to_string()));
        };
        let mut set = vec![0; code as usize / 32 + 1];
        set[code as usize / 32] = 1 << (code % 32);
        Ok(Question {
            feature: category.flat,
            test: Test::InSet(set),
            missing: Missing::default(),
            yes_is_right: true,
        })
    }
}

fn given<T: Copy>(value: Option<T>, path: &str, what: &str) -> Result<T, ImportError> {
    value.ok_or_else(|| ImportError::Missing { place: Place::Path(path.to_owned()), what: what.to_owned() })
}
