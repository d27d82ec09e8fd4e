//! CatBoost's JSON model, as `save_model("model.json", format="json")` writes it (its rules were checked against CatBoost
//! 1.2.10). What is read: symmetric trees and those of the growing policies `Depthwise` and `Lossguide`, over numbers
//! and one-hot categories. Target statistics of categories (CTR), which combine counts kept in the file, are refused by
//! name.
//!
//! Numbers are compared in `f32`, `x > border` goes right. Leaves are summed in `f64`, times a scale, onto a bias.
//! Categories are compared by the hash of their text, so every text is answered as CatBoost answers it, whether the file
//! has the texts or not.

mod features;
mod file;
mod objective;
mod tree;

use std::collections::BTreeMap;

use serde_json::Value;
use serve_core::ensemble::Model;
use serve_core::link::{Link, Precision};
use serve_core::tree::{InvalidTrees, Shape};
use serve_core::{Estimator, SourceInfo, Tolerance, TreeEnsemble};

use crate::error::{ImportError, Place};
use crate::imported::ImportedModel;
use features::Features;
use file::File;
use objective::Objective;
use tree::Lowering;

/// Reads a CatBoost JSON model.
///
/// # Errors
/// When it is broken or uses what cannot be answered exactly.
pub(crate) fn import(bytes: &[u8]) -> Result<ImportedModel, ImportError> {
    let file = file::parse(bytes)?;
    refuse_statistics(&file)?;
    let features = Features::read(&file.features_info)?;
    let bias = bias(&file)?;
    let outputs = bias.len();
    let objective = Objective::read(&file.model_info, outputs)?;
    let trees = Lowering { features: &features, outputs, scale: file.scale_and_bias.0 }.trees(&file)?;
    let shape = Shape {
        inputs: features.all.len() as u32,
        outputs: outputs as u32,
        base: bias,
        input_precision: Precision::F32,
        ..Shape::default()
    };
    let ensemble = TreeEnsemble::new(shape, &trees).map_err(located)?;
    Ok(ImportedModel {
        task: objective.task,
        estimator: Estimator::of(Model::Trees(ensemble), Link::new(objective.link)),
        operators: BTreeMap::new(),
        hyperparameters: hyperparameters(&file, trees.len()),
        source: SourceInfo { library: "catboost".to_owned(), version: file.model_info.version(), file: None },
        objective: objective.name,
        tolerance: Tolerance::F64,
        notes: objective.notes.into_iter().chain(features.notes).collect(),
        features: features.all,
        golden: None,
    })
}

fn refuse_statistics(file: &File) -> Result<(), ImportError> {
    if file.features_info.ctrs.as_ref().is_none_or(Vec::is_empty) {
        return Ok(());
    }
    Err(ImportError::Unsupported {
        place: Place::Path("features_info.ctrs".to_owned()),
        what: "a model with target statistics of categories (CTR)".to_owned(),
        supported: "numbers and one-hot categories; train with a one_hot_max_size of at least the number of \
                    categories",
    })
}

/// What the sums start from, one number per output.
fn bias(file: &File) -> Result<Vec<f64>, ImportError> {
    const MOST_OUTPUTS: usize = 1 << 16;
    let bias = &file.scale_and_bias.1;
    if (1..=MOST_OUTPUTS).contains(&bias.len()) {
        return Ok(bias.clone());
    }
    let place = Place::Path("scale_and_bias[1]".to_owned());
    Err(ImportError::invalid(place, format!("1 to {MOST_OUTPUTS} numbers"), bias.len().to_string()))
}

fn located(error: InvalidTrees) -> ImportError {
    let (place, problem) = match error {
        InvalidTrees::Node { tree, node, problem } => {
            (format!("tree {tree}"), format!("node {node}: {problem}"))
        }
        InvalidTrees::Tree { tree, problem } => (format!("tree {tree}"), problem),
        other => ("trees".to_owned(), other.to_string()),
    };
    ImportError::Graph { place: Place::Path(place), problem }
}

fn hyperparameters(file: &File, trees: usize) -> BTreeMap<String, Value> {
    const KEPT: [(&str, &str); 6] = [
        ("/boosting_options/iterations", "iterations"),
        ("/boosting_options/learning_rate", "learning_rate"),
        ("/tree_learner_options/depth", "depth"),
        ("/tree_learner_options/grow_policy", "grow_policy"),
        ("/tree_learner_options/l2_leaf_reg", "l2_leaf_reg"),
        ("/random_seed", "random_seed"),
    ];
    let parameters = file.model_info.parameters();
    let kept = KEPT.iter().filter_map(|(path, name)| {
        let value = parameters.pointer(path).filter(|value| value.is_number() || value.is_string())?;
        Some(((*name).to_owned(), value.clone()))
    });
    kept.chain([("trees".to_owned(), trees.into())]).collect()
}
