//! The trees of `gbtree` and `dart` as a whole: counts held against arrays, the order of the trees, their weights.
//!
//! A tree's `id` is its place, whatever its place in the file; `tree_info` and `weight_drop` go by that place. `dart`
//! multiplies what a tree says by its weight, in `f32`, before it adds it.

use serve_core::ensemble::Model;
use serve_core::link::Precision;
use serve_core::tree::{CategoryRounding, InvalidTrees, Shape};
use serve_core::{Tree, TreeEnsemble};

use super::file::{DartBooster, FileTree, Float, TreeBooster, TreeModel, count};
use super::tree::Lowering;
use crate::error::{ImportError, Place, shown};
use crate::imported::Feature;

/// Outputs that a file may claim without numbers that bear them out.
pub(super) const FREE_OUTPUTS: usize = 64;

/// The trees of a file.
#[derive(Debug)]
pub(super) struct Forest {
    /// Where they stand in it.
    pub(super) path: &'static str,
    pub(super) model: TreeModel,
    weights: Vec<Float>,
}

impl From<TreeBooster> for Forest {
    fn from(mut booster: TreeBooster) -> Self {
        let weights = std::mem::take(&mut booster.model.weight_drop);
        Self { path: "learner.gradient_booster.model", model: booster.model, weights }
    }
}

impl From<DartBooster> for Forest {
    fn from(mut booster: DartBooster) -> Self {
        let inner = std::mem::take(&mut booster.gbtree.model.weight_drop);
        let weights = if inner.is_empty() { booster.weight_drop } else { inner };
        Self { path: "learner.gradient_booster.gbtree.model", model: booster.gbtree.model, weights }
    }
}

impl Forest {
    fn invalid(&self, key: &str, expected: impl Into<String>, got: impl Into<String>) -> ImportError {
        ImportError::invalid(Place::Path(format!("{}.{key}", self.path)), expected, got)
    }

    /// Lowers the trees, and marks the features that they ask for by category.
    pub(super) fn lower(&self, base: Vec<f64>, features: &mut [Feature]) -> Result<Model, ImportError> {
        let outputs = base.len();
        self.check_counts(outputs)?;
        let shape = Shape {
            inputs: features.len() as u32,
            outputs: outputs as u32,
            base,
            input_precision: Precision::F32,
            sum_precision: Precision::F32,
            category_rounding: CategoryRounding::Floor,
            ..Shape::default()
        };
        let mut set_words = 0;
        let mut trees = Vec::with_capacity(self.model.trees.len());
        for (place, (number, tree)) in self.ordered()?.into_iter().enumerate() {
            let weight = self.weights.get(place).map_or(1.0, |weight| weight.0);
            let path = self.tree_path(number);
            let mut lowering = Lowering::new(tree, &path, weight, outputs, features, set_words)?;
            let (nodes, statistics) = lowering.lower()?;
            set_words = lowering.set_words();
            trees.push(Tree { output: self.model.tree_info[place] as u32, nodes, statistics });
        }
        same_statistics(&mut trees);
        TreeEnsemble::new(shape, &trees).map(Model::Trees).map_err(|error| self.located(error))
    }

    fn tree_path(&self, number: usize) -> String {
        format!("{}.trees[{number}]", self.path)
    }

    /// The trees by their place, each with its place in the file.
    fn ordered(&self) -> Result<Vec<(usize, &FileTree)>, ImportError> {
        let mut ordered = vec![None; self.model.trees.len()];
        for (number, tree) in self.model.trees.iter().enumerate() {
            let place = tree.id.map_or(Some(number), |id| usize::try_from(id).ok());
            let slot = place.and_then(|place| ordered.get_mut(place));
            let Some(slot @ None) = slot else {
                let expected = format!("0 to {}, each once", self.model.trees.len() - 1);
                return Err(self.invalid(
                    &format!("trees[{number}].id"),
                    expected,
                    tree.id.unwrap_or_default().to_string(),
                ));
            };
            *slot = Some((number, tree));
        }
        Ok(ordered.into_iter().flatten().collect())
    }

    /// Numbers in the file that bear out a number of outputs.
    pub(super) fn most_outputs(&self) -> usize {
        let leaves =
            self.model.trees.first().map_or(0, |tree| tree.base_weights.len().max(tree.leaf_weights.len()));
        FREE_OUTPUTS.max(self.model.trees.len()).max(leaves)
    }

    /// Rounds of training in the file.
    pub(super) fn rounds(&self, outputs: usize) -> usize {
        if let Some(rounds) = self.model.iteration_indptr.len().checked_sub(1) {
            return rounds;
        }
        let parallel = self.model.gbtree_model_param.num_parallel_tree.as_deref();
        let parallel: usize = parallel.and_then(|text| text.trim().parse().ok()).unwrap_or(1);
        self.model.trees.len() / parallel.saturating_mul(outputs).max(1)
    }

    fn check_counts(&self, outputs: usize) -> Result<(), ImportError> {
        let trees = self.model.trees.len();
        let told = &self.model.gbtree_model_param.num_trees;
        if count(told, || format!("{}.gbtree_model_param.num_trees", self.path))? != trees {
            return Err(self.invalid("gbtree_model_param.num_trees", trees.to_string(), shown(told)));
        }
        let info = &self.model.tree_info;
        if info.len() != trees {
            return Err(self.invalid("tree_info", format!("{trees} values"), info.len().to_string()));
        }
        if !self.weights.is_empty() && self.weights.len() != trees {
            let got = self.weights.len().to_string();
            return Err(ImportError::invalid(Self::weights_place(None), format!("{trees} values"), got));
        }
        if let Some(tree) = self.weights.iter().position(|weight| !weight.0.is_finite()) {
            let got = self.weights[tree].0.to_string();
            return Err(ImportError::invalid(Self::weights_place(Some(tree)), "a finite number", got));
        }
        let known = |class: i64| usize::try_from(class).is_ok_and(|class| class < outputs);
        match info.iter().position(|&class| !known(class)) {
            Some(tree) => {
                let (key, last) = (format!("tree_info[{tree}]"), outputs - 1);
                Err(self.invalid(&key, format!("0 to {last}"), info[tree].to_string()))
            }
            None => Ok(()),
        }
    }

    fn weights_place(tree: Option<usize>) -> Place {
        let tree = tree.map(|tree| format!("[{tree}]")).unwrap_or_default();
        Place::Path(format!("learner.gradient_booster.weight_drop{tree}"))
    }

    fn located(&self, error: InvalidTrees) -> ImportError {
        let (place, problem) = match error {
            InvalidTrees::Node { tree, node, problem } => {
                (self.tree_path(tree), format!("node {node}: {problem}"))
            }
            InvalidTrees::Tree { tree, problem } => (self.tree_path(tree), problem),
            other => (self.path.to_owned(), other.to_string()),
        };
        ImportError::Graph { place: Place::Path(place), problem }
    }
}

/// Where one tree lacks a kind of statistics, all are without.
fn same_statistics(trees: &mut [Tree]) {
    let lists: [fn(&mut Tree) -> &mut Vec<f64>; 2] =
        [|tree| &mut tree.statistics.cover, |tree| &mut tree.statistics.gain];
    for list in lists {
        if trees.iter_mut().any(|tree| list(tree).is_empty()) {
            trees.iter_mut().for_each(|tree| list(tree).clear());
        }
    }
}
